from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.ledger.checkpoint import LogHead
from weighbridge.ledger.ed25519 import Ed25519Signer, is_signature
from weighbridge.ledger.merkle import consistency_proof, tree_head
from weighbridge.ledger.note import sign_note
from weighbridge.ledger.witnessing import NotCosigned, Request, examined

LOG = Ed25519Signer("log.example", b"\1" * 32)
LEAVES = [bytes([number]) * 32 for number in range(1, 20)]


def head(size, leaves=LEAVES):
    return LogHead("log.example", size, tree_head(leaves[:size]))


def request(old, size, proof=None, leaves=LEAVES):
    grown = 0 < old < size
    given_ = consistency_proof(leaves[:size], old) if grown and proof is None else proof or ()
    return Request(old, tuple(given_), sign_note(str(head(size, leaves)), [LOG]))


def status(asked, last):
    with pytest.raises(NotCosigned) as raised:
        examined(asked, last, [LOG.key], is_signature)
    return raised.value.status, raised.value.size


@pytest.mark.parametrize("old", range(19))
def test_every_growth_is_cosigned_and_nothing_else(old):
    """C2SP tlog-witness: from every size to every one that is not below it."""
    last = head(old) if old else None
    for size in range(max(1, old), 19):
        asked = Request.parse(request(old, size).encode())
        assert examined(asked, last, [LOG.key], is_signature) == head(size)
        for wrong in range(1, 19):
            if wrong != old:
                assert status(asked, head(wrong)) == (409, wrong)


@given(st.integers(1, 18), st.integers(1, 18), st.integers(0, 17))
def test_a_log_that_changed_what_it_was_is_never_cosigned(old, size, changed):
    """L3: whatever it proves with: one leaf below what was cosigned is another one."""
    last = head(old)
    forked = [*LEAVES[: changed % old], b"\xff" * 32, *LEAVES[changed % old + 1 :]]
    if size >= old:
        assert status(request(old, size, leaves=forked), last)[0] in {409, 422}


def test_a_request_says_what_it_says():
    asked = request(3, 9)
    assert Request.parse(asked.encode()) == asked
    assert asked.encode().startswith(b"old 3\n")
    assert status(Request(9, (), asked.note), head(3)) == (409, 3)
    assert status(Request(10, (), asked.note), head(3))[0] == 400
    with pytest.raises(NotCosigned, match="not witnessed here"):
        examined(asked, head(3), [], is_signature)
