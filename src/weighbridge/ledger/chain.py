"""Linking and checking: what makes a record part of one chain, and what shows that it is not.

The whole format, so that anybody can check it with a hash function (`storage.md`, the chain)::

    genesis(tenant)   = SHA-256(0x02 || tenant in UTF-8)          the hash before record 1
    leaf(body)        = SHA-256(0x00 || body)
    hash(record n)    = SHA-256(hash(record n-1) || n as 8 bytes, big-endian || leaf)

``n`` starts at 1 and has no gaps. The body itself says its tenant and number, so a record cannot be moved within a chain or
to another. What a chain cannot show: a tail that was cut off, an old copy put back, or everything computed anew (L3). Only a
head kept elsewhere shows those.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from weighbridge.errors import CanonicalError

_sha256 = hashlib.sha256

LEAF_PREFIX = b"\x00"
GENESIS_PREFIX = b"\x02"  # 0x01 stays free for the inner nodes of RFC 6962 trees
SEQ_BYTES = 8

FOLLOWS = frozenset(
    {"head", "identity", "blocked proposal", "retry authorisation", "subject", "content", "purpose"}
    | {"counter", "consumption", "counter family", "plan row", "outcome row", "archived row"}
)
"""The parts that follow from records; every other fault is one of the records themselves."""


def genesis(tenant_id: str) -> bytes:
    """Return the hash that stands before a tenant's first record.

    Raises:
        CanonicalError: the tenant id has no UTF-8 form.
    """
    try:
        return _sha256(GENESIS_PREFIX + tenant_id.encode()).digest()
    except UnicodeEncodeError:
        raise CanonicalError("the tenant id holds a lone surrogate; send well-formed Unicode") from None


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of a record's body alone."""
    return _sha256(LEAF_PREFIX + body).digest()


def link(previous: bytes, seq: int, leaf: bytes) -> bytes:
    """Return the hash of record ``seq``, which commits to everything before it."""
    return _sha256(previous + seq.to_bytes(SEQ_BYTES, "big") + leaf).digest()


class Fault(NamedTuple):
    """One thing that does not verify: the record it concerns (None: none in particular), what part, and what is wrong."""

    seq: int | None
    part: str
    message: str


def bad_order(fault: Fault) -> tuple[bool, bool, int]:
    """Return the key that sorts faults: broken records first, because what follows from them cannot be judged; then by record."""
    return fault.part in FOLLOWS, fault.seq is None, fault.seq or 0


def first_bad(faults: Iterable[Fault]) -> Fault | None:
    """Return the first bad record's fault: what stands before it verifies (L3)."""
    return min(faults, key=bad_order, default=None)


def check_link(previous: tuple[int, bytes], seq: int, leaf: bytes, hash_: bytes, body: bytes | None) -> Fault | None:
    """Return what is wrong with the record that should follow ``previous`` (its number and hash), if anything (L3).

    ``body`` is None where it was archived: then its leaf hash stands for it.
    """
    expected_seq = previous[0] + 1
    if seq != expected_seq:
        return Fault(expected_seq, "chain", f"record {expected_seq} is missing; record {seq} stands in its place")
    if body is not None and leaf_hash(body) != leaf:
        return Fault(seq, "chain", f"the body of record {seq} does not match its leaf hash")
    if link(previous[1], seq, leaf) != hash_:
        return Fault(seq, "chain", f"record {seq} does not continue record {seq - 1}")
    return None
