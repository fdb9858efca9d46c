"""Checkpoints: one signature over where every tenant's ledger stands, to be kept where whoever could rewrite it cannot reach.

A chain alone does not show that its tail was cut, that an old copy was put back, or that all of it was computed anew; a
checkpoint kept elsewhere does, and only that (L3). Three RFC 6962 trees stand on one another::

    a tenant's tree    leaf n-1 = the leaf hash of record n, as the ledger holds it
    the forest         leaf i   = SHA-256(0x00 || line of tenant i), the tenants in the order of their ids' code points
    the log of seals   leaf n-1 = SHA-256(0x00 || seal n)

    line = {"root":"<hex>","size":7,"tenant_id":"acme"}                                             canonical JSON
    seal = {"forest":"<hex>","number":42,"records":9,"sealed_at":"<RFC 3339>","tenants":2}          canonical JSON

A forest changes in the middle when a ledger grows, so its root is no log's. The log of seals only grows, one leaf for each
sealing, and so its head can be what c2sp.org/tlog-checkpoint asks for: origin, size and root as three lines, in a signed note
(``ledger.note``), which any witness of such logs can check and sign. Its size is the number of the seal.

The document is lines of canonical JSON; every line after the first is, byte for byte, the entry of a leaf of the forest::

    {"format":"weighbridge-checkpoint","signed":{"before":[<hex>,...],"note":"<the signed note>","seal":{...}},"version":1}
    {"root":"<hex>","size":7,"tenant_id":"acme"}
    ...

``before`` are the peaks of the log before this seal (``merkle.Frontier``). With the seal they give the root in the note, which
shows that the seal is the log's last; and they are all that the next sealing needs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from weighbridge import canonical
from weighbridge.errors import CanonicalError, LedgerCorrupt, UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.merkle import EMPTY_ROOT, HASH_BYTES, TREE_SIZE_MAX, Frontier, tree_head
from weighbridge.ledger.note import SignatureCheck, Signer, VerifierKey, open_note, sign_note

FORMAT = "weighbridge-checkpoint"
VERSION = 1

# Origin, a decimal without leading zeros, 32 bytes in base64, and lines that are not ours to read.
_LOG_HEAD = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*")

_Document = TypeVar("_Document", bound=msgspec.Struct)


class CheckpointError(LedgerCorrupt):
    """A checkpoint or a proof is malformed, or its parts do not belong together."""


class LogHead(msgspec.Struct, frozen=True):
    """The head of a log. Its text is the one of c2sp.org/tlog-checkpoint, without extension lines."""

    origin: str
    size: int
    root: bytes

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> LogHead:
        """Return the head that the text of a note states. Extension lines are opaque and passed over.

        Raises:
            CheckpointError: it states none, or not in the one way there is.
        """
        found = _LOG_HEAD.fullmatch(text)
        if found is None:
            raise CheckpointError(
                "this note is no checkpoint: origin, size and root are expected, each on its own line"
            )
        origin, size, root = found.groups()
        head = cls(origin, int(size), base64.b64decode(root))
        if not text.startswith(str(head)) or head.size > TREE_SIZE_MAX:
            raise CheckpointError(f"`{size}` and `{root}` are not the size and the root of a log")
        return head


class TenantHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where one tenant's ledger stands: its number of records and the root (hex) of the tree over them."""

    tenant_id: str
    size: int
    root: str

    @property
    def line(self) -> bytes:
        """Return the entry of its leaf in the forest.

        Raises:
            CanonicalError: the tenant's id has no UTF-8 form.
        """
        try:
            return canonical.encode_simple(self)
        except UnicodeEncodeError:
            raise CanonicalError("the tenant id holds a lone surrogate; send well-formed Unicode") from None

    @property
    def leaf(self) -> bytes:
        """Return its leaf hash in the forest."""
        return chain.leaf_hash(self.line)


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one sealing adds to the log: its number, and the root (hex) of the forest over so many tenants and records."""

    number: int
    sealed_at: str
    tenants: int
    records: int
    forest: str

    @property
    def leaf(self) -> bytes:
        """Return its leaf hash in the log of seals."""
        return chain.leaf_hash(canonical.encode(msgspec.structs.asdict(self)))


class OpenedSeal(msgspec.Struct, frozen=True):
    """What a signature vouches for: the seal as the last of the log that ``log`` is, under ``origin``, by these listed keys."""

    origin: str
    seal: Seal
    log: Frontier
    signed_by: tuple[VerifierKey, ...]


class SignedSeal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seal with the note over the log that it ends, and the peaks (hex) of the log before it."""

    note: str
    seal: Seal
    before: tuple[str, ...]

    @property
    def log(self) -> Frontier:
        """Return the log with this seal, which the next one continues. Checked by `opened`, not here.

        Raises:
            CheckpointError: the peaks are not those of such a log (also ProofError).
        """
        peaks = tuple(root_bytes(peak) for peak in self.before)
        return Frontier(self.seal.number - 1, peaks).extended((self.seal.leaf,))

    def opened(self, keys: Iterable[VerifierKey], check: SignatureCheck) -> OpenedSeal:
        """Return what the signature vouches for. A key vouches for the log of its own name only: a witness alone does not do.

        Raises:
            NoteError: no listed key signed it, or a signature is false.
            CheckpointError: the note is of another log, or the seal is not its last (also ProofError).
        """
        text, signed_by = msgspec.structs.astuple(open_note(self.note, keys, check))
        head, log = LogHead.parse(text), self.log
        own = tuple(key for key in signed_by if key.name == head.origin)
        if not own:
            raise CheckpointError(
                f"no listed key of `{head.origin}` signed this checkpoint; a witness does not do alone"
            )
        if (head.size, head.root) != (log.size, log.root):
            raise CheckpointError(f"seal {self.seal.number} is not the last of the log that was signed")
        return OpenedSeal(head.origin, self.seal, log, signed_by)


class Checkpoint(msgspec.Struct, frozen=True):
    """A signed seal and what it seals: where each tenant's ledger stands, in the order of the forest."""

    signed: SignedSeal
    heads: tuple[TenantHead, ...]

    def head(self, tenant_id: str) -> TenantHead | None:
        """Return where a tenant's ledger stood; None where it had none."""
        return next((head for head in self.heads if head.tenant_id == tenant_id), None)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the document, newline included."""
        header = _Header(FORMAT, VERSION, self.signed)
        yield canonical.encode(msgspec.to_builtins(header)) + b"\n"
        for head in self.heads:
            yield head.line + b"\n"


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    signed: SignedSeal


def seal_ledgers(
    ledgers: Mapping[str, Frontier], log: Frontier, *, sealed_at: str, signers: Sequence[Signer]
) -> Checkpoint:
    """Return the checkpoint over the trees of all tenants, as the next seal of ``log``.

    The origin is the signers' common name. While keys are rotated the old one and the new one both sign, so that whoever lists
    either can read it.

    Raises:
        UsageError: there is no signer, or they sign under different names (also CanonicalError, for a tenant's id).
    """
    names = {signer.key.name for signer in signers}
    if len(names) != 1:
        raise UsageError("a checkpoint is signed under one name, its origin, by one key or several")
    heads = tuple(TenantHead(tenant, tree.size, tree.root.hex()) for tenant, tree in sorted(ledgers.items()))
    records = sum(head.size for head in heads)
    seal = Seal(log.size + 1, sealed_at, len(heads), records, _forest(heads).hex())
    grown = log.extended((seal.leaf,))
    text = str(LogHead(names.pop(), grown.size, grown.root))
    before = tuple(peak.hex() for peak in log.peaks)
    return Checkpoint(SignedSeal(sign_note(text, signers), seal, before), heads)


def open_checkpoint(
    lines: Iterable[bytes], keys: Iterable[VerifierKey], check: SignatureCheck
) -> tuple[Checkpoint, OpenedSeal]:
    """Return the checkpoint that a document is and what its signature vouches for, which is all of it.

    Raises:
        NoteError: no listed key signed it, or a signature is false.
        CheckpointError: it is malformed, or its parts do not belong together (also ProofError).
    """
    found = [line.removesuffix(b"\n") for line in lines]
    header = parse_document(found[0] if found else b"", _Header)
    require_format(header.format, header.version, FORMAT)
    checkpoint = Checkpoint(header.signed, tuple(parse_document(line, TenantHead) for line in found[1:]))
    opened = header.signed.opened(keys, check)
    _require_heads(checkpoint.heads)
    seal, heads = opened.seal, checkpoint.heads
    if (seal.tenants, seal.records) != (len(heads), sum(head.size for head in heads)):
        raise CheckpointError(f"seal {seal.number} is over {seal.tenants} tenants; the document was cut or added to")
    if seal.forest != _forest(heads).hex():
        raise CheckpointError(f"the tenants in the document are not those of seal {seal.number}")
    return checkpoint, opened


def leaf_of(document: bytes) -> bytes:
    """Return the leaf hash of a checkpoint's seal in the log; nothing else of the document is read or checked.

    Raises:
        CheckpointError: it is malformed.
    """
    return parse_document(document.partition(b"\n")[0], _Header).signed.seal.leaf


def require_format(name: str, version: int, expected: str) -> None:
    """Refuse a document of another kind or version.

    Raises:
        CheckpointError: it is.
    """
    if (name, version) != (expected, VERSION):
        raise CheckpointError(f"this is `{name}` version {version}, not {expected} version {VERSION}")


def parse_document(data: bytes, kind: type[_Document]) -> _Document:
    """Return what a line states. One that is not canonical could say different things to different readers.

    Raises:
        CheckpointError: it states something else, or not in canonical form.
    """
    try:
        document = msgspec.json.decode(data, type=kind)
        if canonical.encode(msgspec.to_builtins(document)) == data:
            return document
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, CanonicalError):
        pass
    raise CheckpointError("a line is not of a checkpoint or a proof, or was changed in transit")


def root_bytes(text: str) -> bytes:
    """Return the hash that lower-case hex states.

    Raises:
        CheckpointError: it states none.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != HASH_BYTES or data.hex() != text:
        raise CheckpointError(f"`{text}` is not a hash of {HASH_BYTES} bytes in lower-case hex")
    return data


def _forest(heads: Iterable[TenantHead]) -> bytes:
    return tree_head(head.leaf for head in heads)


def _require_heads(heads: Sequence[TenantHead]) -> None:
    """Refuse heads that cannot be: a tenant twice, a size below 0, a ledger without records that has a root."""
    tenants = [head.tenant_id for head in heads]
    if tenants != sorted(set(tenants)):
        raise CheckpointError("the tenants are not in order, or one stands twice")
    for head in heads:
        root = root_bytes(head.root)
        if not 0 <= head.size <= TREE_SIZE_MAX or (head.size == 0) != (root == EMPTY_ROOT):
            raise CheckpointError(f"tenant `{head.tenant_id}` cannot have {head.size} records with this root")


# Understood here and not at their first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(_Header)
msgspec.json.Decoder(TenantHead)
