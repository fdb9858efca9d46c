r"""The export of one tenant's ledger: lines of canonical JSON that anybody can check with a hash function. Pure.

::

    {"format": "weighbridge-ledger", "version": 1, "tenant_id": "acme", "after_seq": 0, "after_hash": <hex>, "purpose": ...}
    {"seq": 1, "leaf": <hex>, "hash": <hex>, "body": "<the body, as text>"}        one for each record, in order
    {"content": <hash>, "text": "..."}                                             only if asked for; also "base64", "erased"
    {"end": true, "seq": 7, "hash": <hex>, "contents": 0}

``after_hash`` is the genesis hash for a whole ledger, else the hash of the record before the first. The body is text, so that
any JSON reader gives back exactly the bytes that were hashed: ``(printf '\0'; jq -j .body) | sha256sum`` prints the leaf.
A file without its last line was cut. The format of the chain is told in ``ledger.chain``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from weighbridge import canonical

FORMAT = "weighbridge-ledger"
VERSION = 1


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    format: str
    version: int
    tenant_id: str
    after_seq: int
    after_hash: str
    purpose: str | None = None


class RecordLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record."""

    seq: int
    leaf: str
    hash: str
    body: str


class ContentLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A content: its keyed hash, and its body as text, as base64 where it is none, or that it was erased."""

    content: str
    text: str | None = None
    base64: str | None = None
    erased: bool = False

    @property
    def body(self) -> bytes | None:
        """Return the bytes; None where they were erased."""
        if self.base64 is not None:
            return base64.b64decode(self.base64, validate=True)
        return self.text.encode() if self.text is not None else None


class Trailer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line."""

    end: bool
    seq: int
    hash: str
    contents: int


def export_lines(
    tenant_id: str,
    after: tuple[int, bytes],
    records: Iterable[tuple[int, bytes, bytes, bytes]],
    *,
    purpose: str | None = None,
    contents: Iterable[tuple[str, bytes | None]] = (),
) -> Iterator[bytes]:
    """Yield the lines of an export, newline included. ``after`` is number and hash of what stands before the first record."""
    seq, hash_ = after
    header = {"format": FORMAT, "version": VERSION, "tenant_id": tenant_id, "after_seq": seq, "after_hash": hash_.hex()}
    yield _line(header if purpose is None else {**header, "purpose": purpose})
    for seq, leaf, hash_, body in records:
        yield _line({"seq": seq, "leaf": leaf.hex(), "hash": hash_.hex(), "body": body.decode()})
    count = 0
    for content_hash, content in contents:
        yield _line({"content": content_hash, **_content(content)})
        count += 1
    yield _line({"end": True, "seq": seq, "hash": hash_.hex(), "contents": count})


def _content(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"erased": True}
    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _line(value: dict[str, Any]) -> bytes:
    return canonical.encode(value) + b"\n"


# Understood here and not at their first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(Header)
msgspec.json.Decoder(RecordLine)
msgspec.json.Decoder(ContentLine)
msgspec.json.Decoder(Trailer)
