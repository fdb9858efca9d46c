"""What a witness of logs asks before it cosigns, as c2sp.org/tlog-witness defines it. Pure.

A request is the size that the log says the witness saw last, the proof that the log grew from there, and the checkpoint::

    old 41
    <hash in base64>                     zero to 63 lines (RFC 6962, section 2.1.2)
                                         an empty line
    <the checkpoint: a signed note>

The witness knows the head that it cosigned last for each origin. It cosigns a head only if that one is its beginning; so it never
cosigns two heads of one log of which neither continues the other, and never a smaller one after a larger one.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

import msgspec

from weighbridge.errors import WeighbridgeError
from weighbridge.ledger.checkpoint import CheckpointError, LogHead
from weighbridge.ledger.merkle import EMPTY_ROOT, HASH_BYTES, TREE_SIZE_MAX, Proof, ProofError, verify_consistency
from weighbridge.ledger.note import NoteError, SignatureCheck, VerifierKey, open_note, split_note

PATH = "/add-checkpoint"
SIZE_TYPE = "text/x.tlog.size"
REQUEST_BYTES_MAX = 1 << 16
PROOF_LINES_MAX = 63

BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROVED = 400, 403, 404, 409, 422

_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


class NotCosigned(WeighbridgeError):
    """A checkpoint is not cosigned: ``status`` says why, ``size`` what was cosigned last where the request was wrong about it."""

    def __init__(self, status: int, why: str, *, size: int | None = None) -> None:
        super().__init__(why)
        self.status: int = status
        self.size: int | None = size


class Request(msgspec.Struct, frozen=True):
    """A request for a cosignature: the size that was cosigned last, as the log believes, the proof, and the signed note."""

    old: int
    proof: Proof
    note: str

    def encode(self) -> bytes:
        """Return the body of the request."""
        lines = [f"old {self.old}", *(base64.b64encode(item).decode() for item in self.proof), ""]
        return ("".join(f"{line}\n" for line in lines) + self.note).encode()

    @classmethod
    def parse(cls, body: bytes) -> Request:
        """Return the request that a body is.

        Raises:
            NotCosigned: it is none.
        """
        try:
            head, blank, note = body.decode().partition("\n\n")
        except UnicodeDecodeError:
            raise NotCosigned(BAD_REQUEST, "the request is not UTF-8") from None
        first, *rest = head.split("\n")
        old = _OLD.fullmatch(first)
        if old is None or not blank or int(old[1]) > TREE_SIZE_MAX or len(rest) > PROOF_LINES_MAX:
            raise NotCosigned(
                BAD_REQUEST, "an old size, at most 63 proof lines, an empty line and a checkpoint are expected"
            )
        return cls(int(old[1]), tuple(map(_hash, rest)), note)


def examined(request: Request, last: LogHead | None, keys: Sequence[VerifierKey], check: SignatureCheck) -> LogHead:
    """Return the head to cosign. ``last`` is the one that was cosigned before; ``keys`` are those of the logs that are witnessed.

    Raises:
        NotCosigned: it is malformed, of no log that is witnessed, not signed by it, or not shown to continue the last one.
    """
    head = origin_of(request.note)
    own = [key for key in keys if key.name == head.origin]
    if not own:
        raise NotCosigned(NOT_FOUND, f"`{head.origin}` is not witnessed here")
    try:
        open_note(request.note, own, check)
    except NoteError as error:
        raise NotCosigned(FORBIDDEN, str(error)) from None
    if request.old > head.size:
        raise NotCosigned(BAD_REQUEST, f"the old size {request.old} is above the size {head.size}")
    before = last or LogHead(head.origin, 0, EMPTY_ROOT)
    if request.old != before.size:
        raise NotCosigned(CONFLICT, f"size {before.size} was cosigned last", size=before.size)
    _require_growth(before, head, request.proof)
    return head


def origin_of(note: str) -> LogHead:
    """Return the head that a note states; nothing vouches for it yet.

    Raises:
        NotCosigned: it states none.
    """
    try:
        return LogHead.parse(split_note(note)[0])
    except (NoteError, CheckpointError) as error:
        raise NotCosigned(BAD_REQUEST, str(error)) from None


def _require_growth(before: LogHead, head: LogHead, proof: Proof) -> None:
    if before.size == head.size:
        if before.root != head.root:
            raise NotCosigned(
                CONFLICT, f"another head of size {before.size} was cosigned: the log forked", size=before.size
            )
        if not proof:
            return
    if before.size == 0:
        if proof:
            raise NotCosigned(UNPROVED, "from a log without entries nothing is proved; send no proof")
        return
    try:
        verify_consistency(before.size, head.size, before.root, head.root, proof)
    except ProofError as error:
        raise NotCosigned(UNPROVED, f"size {head.size} is not shown to continue size {before.size}: {error}") from None


def _hash(line: str) -> bytes:
    try:
        data = base64.b64decode(line, validate=True)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES or base64.b64encode(data).decode() != line:
        raise NotCosigned(BAD_REQUEST, "a line of the proof is not a hash in base64")
    return data
