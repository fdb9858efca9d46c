"""The chain: the published format, and every way a link can be wrong."""

import hashlib

import pytest

from weighbridge.errors import CanonicalError
from weighbridge.ledger import chain
from weighbridge.ledger.chain import Fault, check_link, first_bad, genesis, leaf_hash, link


def test_the_format_is_the_published_one():
    """L3: anybody can compute it: three uses of SHA-256, told apart by what stands before."""
    assert genesis("acme") == hashlib.sha256(b"\x02acme").digest()
    assert leaf_hash(b"{}") == hashlib.sha256(b"\x00{}").digest()
    assert link(b"p" * 32, 258, b"l" * 32) == hashlib.sha256(b"p" * 32 + b"\0\0\0\0\0\0\x01\x02" + b"l" * 32).digest()


def test_a_tenant_without_a_utf8_form_has_no_chain():
    with pytest.raises(CanonicalError):
        genesis("\ud800")


LEAF = leaf_hash(b"body")
GOOD = (1, LEAF, link(genesis("acme"), 1, LEAF), b"body")
START = (0, genesis("acme"))


def test_a_good_link_has_no_fault():
    assert check_link(START, *GOOD) is None


@pytest.mark.parametrize(
    ("start", "stored", "named"),
    [
        (START, (2, *GOOD[1:]), 1),
        (START, (-1, *GOOD[1:]), 1),
        (START, (1, LEAF, GOOD[2], b"other"), 1),
        (START, (1, leaf_hash(b"other"), GOOD[2], b"other"), 1),
        (START, (1, LEAF, b"x" * 32, b"body"), 1),
        ((0, genesis("other")), GOOD, 1),
        ((4, b"p" * 32), (6, LEAF, link(b"p" * 32, 6, LEAF), b"body"), 5),
        (START, (1, b"", GOOD[2], b"body"), 1),
    ],
)
def test_every_wrong_link_names_the_record(start, stored, named):
    """L3: number, leaf, hash or predecessor changed."""
    fault = check_link(start, *stored)
    assert fault is not None
    assert (fault.seq, fault.part) == (named, "chain")


def test_broken_records_come_before_what_follows_from_them():
    """L3: the first bad record is the first that is broken; rows are named only where all records hold."""
    rows = [Fault(None, "content", "?"), Fault(2, "identity", "?"), Fault(9, "head", "?")]
    assert first_bad([*rows, Fault(5, "chain", "?"), Fault(7, "record", "?")]) == Fault(5, "chain", "?")
    assert first_bad(rows) == Fault(2, "identity", "?")
    assert first_bad([]) is None
    assert {fault.part for fault in rows} <= chain.FOLLOWS
