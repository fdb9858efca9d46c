"""The fold: state from records alone, and its comparison with what is stored. What it finds in a file: the tamper scenario."""

import os

import pytest

from weighbridge.canonical import keyed_hash
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger import chain, record
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.fold import Fold, compare_contents, compare_head, compare_rows
from weighbridge.ledger.submission import Head, Identity
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import (
    TENANT,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    ended,
    erasure,
    reservation,
    usage,
    with_content,
)


@pytest.fixture
def store():
    store = MemoryStore(entropy=os.urandom)
    blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
    store.commit(decision(blocked, operation="op-1"))
    store.commit(authorisation(blocked))
    store.commit(decision(draft("run-2", proposal="p", request="r"), operation="op-2", policy="new"))
    store.commit(completion("op-2", "FAILED"))
    store.commit(with_content("run-3", store.tenant_key(TENANT), b"x", time_source="supplied", at_ms=1))
    store.erase_content(TENANT, (keyed_hash(store.tenant_key(TENANT), b"x"),), erasure())
    return store


def folded(store):
    fold = Fold(TENANT)
    assert [fold.add(*stored) for stored in store.records(TENANT)] == [None] * store.head(TENANT).seq
    return fold


def test_the_fold_is_what_the_kernel_wrote(store):
    """L3: two pieces of code, one state."""
    fold = folded(store)
    assert fold.head == store.head(TENANT)
    assert fold.identities == {(kind, name): known for kind, name, known in store.identities(TENANT)}
    assert fold.blocked == {(point, proposal): row for point, proposal, row in store.blocked_proposals(TENANT)}
    assert fold.authorisations == {(point, proposal): row for point, proposal, row in store.authorisations(TENANT)}
    assert set(fold.subjects) == set(store.subjects(TENANT))
    assert set(fold.contents) == set(fold.erased) == {content_hash for content_hash, _ in store.contents(TENANT)}
    assert fold.purpose == store.purpose()


def test_the_fold_counts_what_the_kernel_counted():
    """L3, B3, B7, B14: counters, cells, what counts and where the day begins, by other code, over policies that change."""
    store = MemoryStore(entropy=os.urandom)
    day = [cap("day", 4), cap("each", None, unit="tokens", scope=(("account", None),), settles=True)]
    life = [cap("life", None, unit="tokens", period=Period.PLAN, scope=(("plan", None),)), day[0]]
    amounts = {"operations": 1, "tokens": 7}
    for number, (caps, account, zone) in enumerate(
        [
            (day, "a", "UTC"),
            (day, None, "UTC"),
            (life, "b", "Asia/Tokyo"),
            ([], "a", "UTC"),
            (day, "a", "UTC"),
            (day, "a", "UTC"),
        ]
    ):
        store.commit(reservation(f"op-{number}", caps, amounts=amounts, account=account, zone=zone))
    store.commit(usage("op-0", {"tokens": 2}))
    store.commit(ended("op-4", {"tokens": 8}))
    fold = folded(store)
    assert fold.budget.counters == dict(store.counters(TENANT))
    assert fold.budget.cells == dict(store.consumption(TENANT))
    assert fold.budget.families == store.families(TENANT)
    assert fold.head == store.head(TENANT)
    assert fold.identities == {(kind, name): known for kind, name, known in store.identities(TENANT)}
    states = [fold.identities["op", f"op-{number}"].state for number in range(6)]
    assert states == ["PENDING", "PENDING", "PENDING", "BLOCKED", "COMPLETED", "BLOCKED"]


def test_a_broken_record_is_named_and_the_next_ones_are_still_checked(store):
    """L3: every further break shows as its own."""
    fold = Fold(TENANT)
    faults = []
    for stored in store.records(TENANT):
        body = stored.body.replace(b"agent-1", b"agent-2") if stored.seq in {1, 3} else stored.body
        faults.append(fold.add(stored.seq, stored.leaf_hash, stored.hash, body))
    assert [fault.seq for fault in faults if fault] == [1, 3]


def link(body, seq=1):
    leaf = chain.leaf_hash(body)
    return seq, leaf, chain.link(chain.genesis(TENANT), seq, leaf), body


@pytest.mark.parametrize(
    "body",
    [
        b"no record",
        record.encode("other", 1, {"time_source": "clock"}, []),
        record.encode(TENANT, 2, {"time_source": "clock"}, []),
        record.encode(TENANT, 1, {}, []),
        record.encode(TENANT, 1, {"time_source": "x"}, [{"type": "VALIDATOR_RUN_SUMMARY"}]),
        record.encode(
            TENANT, 1, {"time_source": "x"}, [{"type": "OPERATION_COMPLETED", "operation_id": "?", "state": "x"}]
        ),
        record.encode(TENANT, 1, {"time_source": "x"}, [{"type": "RETRY_AUTHORISED", "expires_at": "soon"}]),
        record.encode(TENANT, 1, {"time_source": "x"}, [{"type": "CONTENT_ERASED", "hashes": None}]),
        record.encode(TENANT, 1, {"time_source": "x", "operation_request_hash": "h"}, []),
    ],
)
def test_a_linked_body_that_makes_no_sense_is_named(body):
    """L3: the hashes alone are not enough."""
    fault = Fold(TENANT).add(*link(body))
    assert fault is not None
    assert (fault.seq, fault.part) == (1, "record")


def test_an_id_that_is_bound_twice_is_named():
    """G3: two records for one id: somebody wrote past the kernel."""
    common = {"time_source": "x", "operation_id": "op", "operation_request_hash": "h"}
    fold = Fold(TENANT)
    first = link(record.encode(TENANT, 1, common, []))
    assert fold.add(*first) is None
    body = record.encode(TENANT, 2, common, [])
    leaf = chain.leaf_hash(body)
    fault = fold.add(2, leaf, chain.link(first[2], 2, leaf), body)
    assert fault is not None
    assert "binds op id `op` again" in fault.message


def test_heads_are_compared_in_full():
    """L3: number, hash, time and policy."""
    head = Head(3, b"h" * 32, 5, "p")
    assert list(compare_head(head, head)) == []
    for found, seq in [
        (Head(4, b"h" * 32, 5, "p"), 4),
        (Head(1, b"h" * 32, 5, "p"), 2),
        (Head(3, b"x" * 32, 5, "p"), 3),
        (Head(3, b"h" * 32, 6, "p"), 3),
        (Head(3, b"h" * 32, 5, None), 3),
    ]:
        assert [fault.seq for fault in compare_head(head, found)] == [seq]


def test_rows_are_compared_both_ways():
    """L3: changed, missing and made up."""
    expected = {("run", "a"): Identity("h", 1), ("run", "b"): Identity("h", 2), ("run", "c"): Identity("h", 3)}
    found = [(("run", "a"), Identity("h", 1)), (("run", "b"), Identity("x", 2)), (("run", "d"), Identity("h", 4))]
    assert [(fault.seq, fault.message) for fault in compare_rows("identity", expected, found)] == [
        (2, "identity run `b` is not what record 2 and those after it give"),
        (4, "identity run `d` is stored, but no record gives it"),
        (3, "identity run `c` of record 3 is missing"),
    ]


def test_contents_are_compared_with_what_records_point_to():
    """L6: missing, gone without an erasure, put back after one, changed, made up; and a hash that is merely mentioned is fine."""
    key = b"k" * 32
    fold = Fold(TENANT)
    good, gone, changed, lost = (keyed_hash(key, name) for name in (b"good", b"gone", b"changed", b"lost"))
    fold.contents = {good: 1, gone: 2, changed: 3, lost: 4, "back": 5, "erased": 6}
    fold.erased = {"back": 7, "erased": 8, "vanished": 9}
    mentioned, misnamed = keyed_hash(key, b"mentioned"), keyed_hash(key, b"misnamed")
    found = [
        (good, b"good"),
        (gone, None),
        (changed, b"other"),
        ("back", b"back"),
        ("erased", None),
        (mentioned, b"mentioned"),
        (misnamed, b"other"),
        (keyed_hash(key, b"made up"), b"made up"),
    ]
    faults = list(compare_contents(fold, key, found, lambda hashes: dict.fromkeys(hashes & {mentioned, misnamed}, 8)))
    assert all(isinstance(fault, Fault) for fault in faults)
    assert sorted(fault.seq for fault in faults if fault.seq is not None) == [2, 3, 4, 7, 8, 9]
    assert [fault.message for fault in faults if fault.seq is None] == [
        f"content `{keyed_hash(key, b'made up')}` is stored, but no record names it"
    ]


def test_a_record_of_another_tenant_is_named():
    """L3, L5: its body says whose it is, whatever chain it was linked into."""
    body = record.encode("globex", 1, {"time_source": "supplied"}, [{"type": "LOGIN"}])
    leaf = chain.leaf_hash(body)
    fault = Fold(TENANT).add(1, leaf, chain.link(chain.genesis(TENANT), 1, leaf), body)
    assert fault is not None
    assert (fault.seq, fault.part) == (1, "record")
    assert "tenant `globex`" in fault.message
