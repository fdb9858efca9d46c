r"""Cosignatures: what a witness of a log signs, as c2sp.org/tlog-cosignature defines it, with Ed25519. Pure.

::

    signed message  = "cosignature/v1\ntime <seconds since 1970>\n" || the text of the note
    signature       = those seconds as 8 bytes, big-endian || the Ed25519 signature
    key id          = the first 4 bytes of SHA-256(name || 0x0A || 0x04 || public key)

It says: at that time this was the largest head of the log that I saw, and it continues every head that I saw before. So it is
worth as much as the witness that keeps that promise (``ledger.witnessing``).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

import msgspec

from weighbridge.errors import UsageError
from weighbridge.ledger.note import (
    ED25519_KEY_BYTES,
    KEY_ID_BYTES,
    NoteError,
    SignatureCheck,
    Signer,
    VerifierKey,
    signature_line,
    split_note,
)

COSIGNATURE = b"\x04"  # the signature type (tlog-cosignature, "Format")
_TIME_BYTES = 8
_TIME_MAX = 2**63 - 1
_PARTS = 3


class CosignerKey(msgspec.Struct, frozen=True):
    """The public key of a witness and its name. Text form: ``name+id in hex+base64(0x04 || public key)``.

    Raises:
        UsageError: on construction, where the name cannot be a key's, or the key has not 32 bytes.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        VerifierKey(self.name, self.public_key)

    @property
    def id(self) -> bytes:
        """Return the 4 bytes that tell it from other keys of the name."""
        return hashlib.sha256(self.name.encode() + b"\n" + COSIGNATURE + self.public_key).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(COSIGNATURE + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> CosignerKey:
        """Return the key that a text names.

        Raises:
            UsageError: it names none, or another key than its id says.
        """
        parts = text.split("+", _PARTS - 1)
        try:
            coded = base64.b64decode(parts[-1], validate=True)
        except ValueError:
            coded = b""
        if len(parts) != _PARTS or coded[:1] != COSIGNATURE or len(coded) != 1 + ED25519_KEY_BYTES:
            raise UsageError(f"`{text}` is not the key of a witness; `weighbridge witness show` prints it")
        key = cls(parts[0], coded[1:])
        if str(key) != text:
            raise UsageError(f"`{text}` was changed: its id does not follow from its key; copy all of it again")
        return key


def cosign(text: str, signer: Signer, at_s: int) -> str:
    """Return the line of a cosignature over the text of a note, newline included."""
    signature = at_s.to_bytes(_TIME_BYTES, "big") + signer.sign(_message(text, at_s))
    return signature_line(signer.key.name, cosigner_key(signer).id, signature)


def cosigner_key(signer: Signer) -> CosignerKey:
    """Return under which key ``signer`` cosigns."""
    return CosignerKey(signer.key.name, signer.key.public_key)


def cosigned_by(note: str, keys: Iterable[CosignerKey], check: SignatureCheck) -> dict[CosignerKey, int]:
    """Return which of the listed ``keys`` cosigned a note, and when (seconds since 1970). Those of other keys are ignored.

    Raises:
        NoteError: it is malformed, or a line in the name of a listed key is false.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    found: dict[CosignerKey, int] = {}
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        at_s = int.from_bytes(signature[:_TIME_BYTES], "big")
        if at_s > _TIME_MAX or not check(key.public_key, signature[_TIME_BYTES:], _message(text, at_s)):
            raise NoteError(f"the cosignature of `{name}` ({key_id.hex()}) is not over this text; the note was changed")
        found[key] = at_s
    return found


def _message(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()
