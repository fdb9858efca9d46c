"""Asks a witness of logs for its cosignature over HTTP (c2sp.org/tlog-witness): another Weighbridge, or any other one.

A witness like this keeps no checkpoints; it remembers the largest head, and refuses whatever does not continue it. So a store
that was put back *together with* the folders and buckets that hold its checkpoints is still found.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from weighbridge.errors import UsageError
from weighbridge.ledger.cosignature import CosignerKey, cosigned_by
from weighbridge.ledger.merkle import Proof
from weighbridge.ledger.note import NoteError, SignatureCheck, split_note
from weighbridge.ledger.witnessing import CONFLICT, PATH, Request
from weighbridge.witnesses.interface import WitnessConflict, WitnessError

ANSWER_S_MAX = 15.0
ANSWER_BYTES_MAX = 1 << 16
_OK = 200


class HttpCosigner:
    """A `Cosigner` under a URL, whose cosignatures are taken only under one of ``keys``.

    Raises:
        UsageError: on construction, where the URL cannot be one, or there are no keys.
    """

    def __init__(self, url: str, keys: Sequence[CosignerKey], check: SignatureCheck) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"`{url}` is not the address of a witness; write http://host:port")
        if not keys:
            raise UsageError(f"the key of the witness `{url}` is not known; name it with --witness-key FILE")
        self._url, self._parts, self._keys, self._check = url, parts, tuple(keys), check

    @property
    def place(self) -> str:
        """Return the URL."""
        return self._url

    def cosign(self, note: str, size: int, proof_from: Callable[[int], Proof]) -> str:
        """Return the witness's cosignature of ``note`` (`Cosigner.cosign`)."""
        status, said = self._ask(Request(max(size - 1, 0), proof_from(size - 1) if size > 1 else (), note))
        if status == CONFLICT:
            known = self._size(said)
            if known > size:
                raise WitnessConflict(
                    f"the witness `{self._url}` cosigned seal {known} of this log, and this is seal {size}: the log was put "
                    "back; find out what happened before you seal again"
                )
            status, said = self._ask(Request(known, proof_from(known) if 0 < known < size else (), note))
            if status == CONFLICT:
                raise WitnessConflict(f"the witness `{self._url}` cosigned another seal {size}: the log forked")
        if status != _OK:
            refused = f"the witness `{self._url}` does not cosign seal {size} ({status}: {said.strip()[:500]})"
            raise WitnessError(refused)
        try:
            signed_by = cosigned_by(note + said, self._keys, self._check)
            if split_note(note + said)[0] != split_note(note)[0]:
                raise NoteError("it is of another text")  # noqa: TRY301 - said below
        except NoteError as error:
            raise WitnessError(f"the witness `{self._url}` answered with no cosignature ({error})") from None
        if not signed_by:
            raise WitnessError(f"the witness `{self._url}` cosigned with another key than those you listed")
        return said

    def _size(self, said: str) -> int:
        text = said.removesuffix("\n")
        if not (text.isascii() and text.isdecimal()):
            raise WitnessConflict(f"the witness `{self._url}` refuses: {said.strip()[:500]}")
        return int(text)

    def _ask(self, request: Request) -> tuple[int, str]:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=ANSWER_S_MAX)
        try:
            connection.request("POST", self._parts.path.rstrip("/") + PATH, request.encode())
            answer = connection.getresponse()
            return answer.status, answer.read(ANSWER_BYTES_MAX).decode()
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            raise WitnessError(
                f"the witness `{self._url}` cannot be asked ({error}); what was sealed stays sealed, and is cosigned next time"
            ) from None
        finally:
            connection.close()
