"""Signed notes: text with signature lines below it, as c2sp.org/signed-note defines them, with Ed25519. Pure.

::

    <text, which ends with a newline>
    <an empty line>
    — <key name> base64(key id || signature over the text)          one line for each key

    key id = the first 4 bytes of SHA-256(key name || 0x0A || 0x01 || public key)

Whoever reads one lists the keys it trusts. Signatures of other keys are ignored, so that keys can be rotated and strangers can
add theirs; a key that was retired goes on verifying what it signed for as long as it is listed. The text of a note that no
listed key signed is not handed out.

The signatures themselves are made and checked behind two small ports, `Signer` and `SignatureCheck`; ``ledger.ed25519`` has
both, and nothing else needs its library.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from weighbridge.errors import LedgerCorrupt, UsageError

ED25519 = b"\x01"  # the signature type (signed-note, "Signature types")
ED25519_KEY_BYTES = 32
KEY_ID_BYTES = 4
NOTE_BYTES_MAX = 1 << 20  # a note is a few lines; whoever sends more is not read
SIGNATURES_MAX = 100  # at least 16 must be accepted (signed-note, "Format")

_DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_KEY_NAME = re.compile(r"[^\s+\x00-\x1f]+")
_VERIFIER_KEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")


class NoteError(LedgerCorrupt):
    """A note is malformed, or not signed by a key that was listed."""


class VerifierKey(msgspec.Struct, frozen=True):
    """A public key and the name it signs under. Text form: ``name+id in hex+base64(0x01 || public key)``.

    Raises:
        UsageError: on construction, where the name is empty or holds white space or a plus, or the key has not 32 bytes.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _KEY_NAME.fullmatch(self.name) or not self.name.isprintable():
            raise UsageError(
                f"a key name is text without spaces and plus signs, as `example.com/log`, not `{self.name!r}`"
            )
        if len(self.public_key) != ED25519_KEY_BYTES:
            raise UsageError(f"an Ed25519 public key has {ED25519_KEY_BYTES} bytes, not {len(self.public_key)}")

    @property
    def id(self) -> bytes:
        """Return the 4 bytes that tell it from other keys of the name."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public_key).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public_key).decode()}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key that a text names.

        Raises:
            UsageError: it names none, or another key than its id says.
        """
        found = _VERIFIER_KEY.fullmatch(text)
        coded = _decoded(found[3]) if found else None
        if found is None or coded is None or coded[:1] != ED25519 or len(coded) != 1 + ED25519_KEY_BYTES:
            raise UsageError(f"`{text}` is not an Ed25519 verifier key; it looks like `example.com/log+1a2b3c4d+AQ…`")
        key = cls(found[1], coded[1:])
        if key.id.hex() != found[2]:
            raise UsageError(f"`{text}` was changed: its id does not follow from its key; copy all of it again")
        return key


class Signer(Protocol):
    """A private key at work."""

    @property
    def key(self) -> VerifierKey:
        """Return the public half."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature over ``message``."""


SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""Takes public key, signature and message; returns whether the signature is the key's."""


class OpenedNote(msgspec.Struct, frozen=True):
    """The text of a note, and the listed keys that signed it, in the order of its lines."""

    text: str
    signed_by: tuple[VerifierKey, ...]


def sign_note(text: str, signers: Sequence[Signer]) -> str:
    """Return ``text`` as a note with one line for each signer.

    Raises:
        UsageError: there is no signer, or the text does not end with a newline or holds control characters.
    """
    if not signers:
        raise UsageError("a note needs at least one signer")
    message = _utf8(text)
    if message is None or not text.endswith("\n") or _CONTROL.search(text):
        raise UsageError("the text of a note is well-formed, ends with a newline and holds no other control characters")
    lines = (signature_line(signer.key.name, signer.key.id, signer.sign(message)) for signer in signers)
    return f"{text}\n{''.join(lines)}"


def open_note(note: str, keys: Iterable[VerifierKey], check: SignatureCheck) -> OpenedNote:
    """Return the text of a note and which of the listed ``keys`` signed it.

    Raises:
        NoteError: it is malformed, none of the keys signed it, or a line in the name of one of them is false.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.id): key for key in keys}
    message = _utf8(text)
    if message is None:
        raise NoteError("the note is not well-formed text")
    signed_by: dict[VerifierKey, None] = {}
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue  # signed-note: unknown keys are ignored, even under a known name or id
        if not check(key.public_key, signature, message):
            raise NoteError(f"the signature of `{name}` ({key_id.hex()}) is not over this text; the note was changed")
        signed_by[key] = None
    if not signed_by:
        names = ", ".join(f"`{name}` ({key_id.hex()})" for name, key_id, _ in signatures)
        raise NoteError(f"no listed key signed this note; it names {names}: get the key from whoever runs the ledger")
    return OpenedNote(text, tuple(signed_by))


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Return the line of a note that holds a signature, newline included."""
    return f"{_DASH}{name} {base64.b64encode(key_id + signature).decode()}\n"


def split_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Return the text of a note, and name, key id and signature of each of its lines. Nothing of it is checked.

    Raises:
        NoteError: it is malformed.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise NoteError(f"the note has more than {NOTE_BYTES_MAX} characters")
    body, blank, tail = note.rpartition("\n\n")
    if not blank or not tail.endswith("\n") or _CONTROL.search(note):
        raise NoteError("this is no signed note: a text, an empty line and signature lines are expected")
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise NoteError(f"the note has more than {SIGNATURES_MAX} signatures")
    return f"{body}\n", list(_signatures(lines))


def _signatures(lines: Iterable[str]) -> Iterator[tuple[str, bytes, bytes]]:
    for line in lines:
        name, _, text = line.removeprefix(_DASH).partition(" ")
        coded = _decoded(text)
        if not line.startswith(_DASH) or not _KEY_NAME.fullmatch(name) or coded is None or len(coded) <= KEY_ID_BYTES:
            raise NoteError(f"`{line}` is no signature line")
        yield name, coded[:KEY_ID_BYTES], coded[KEY_ID_BYTES:]


def _utf8(text: str) -> bytes | None:
    """Return the bytes of ``text``; None where a lone surrogate has none."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _decoded(text: str) -> bytes | None:
    """Return what base64 says; None where it is none, or not in the one form that its bytes have."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None
