"""Typed identifiers, and how new ones are minted.

Ids are opaque text of 1 to 200 characters. New ones are UUIDv7 (RFC 9562): they sort by time, which keeps the index of
operations dense. Time and random bytes are handed in, so that nothing here reads a clock.
"""

from __future__ import annotations

import uuid
from typing import NewType

TenantId = NewType("TenantId", str)
RunId = NewType("RunId", str)
OperationId = NewType("OperationId", str)

ID_LENGTH_MAX = 200  # long enough for any framework's ids, short enough for an index key
RANDOM_BYTES = 10


def mint(instant_ms: int, random_bytes: bytes) -> str:
    """Return a UUIDv7 (RFC 9562, section 5.7) from an instant and 10 random bytes."""
    value = (instant_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(random_bytes[:RANDOM_BYTES], "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def shortened(text: str) -> str:
    """Return ``text`` cut to the length of an id."""
    return text[:ID_LENGTH_MAX]
