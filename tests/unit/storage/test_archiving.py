import os

import pytest

from tests.ledgers import CAPS, fill
from weighbridge.domain.plan import Verb
from weighbridge.errors import LedgerCorrupt, NotFound, UsageError
from weighbridge.ledger.merkle import tree_head
from weighbridge.storage.archiving import range_to_archive
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_plans import mover, row_of
from weighbridge.testing.submissions import NOW_MS, completion, decision, draft, reservation


@pytest.fixture
def store():
    made = MemoryStore(entropy=os.urandom)
    fill(made)
    return made


def test_what_something_open_needs_stays(store):
    """G8, G10, B7, L6: latest blocks, leave and its use, operations without an outcome, erasures; what ended goes."""
    found = range_to_archive(store, "acme", through=11)
    assert (found.first_seq, found.last_seq, found.detached) == (1, 11, 11 - len(found.kept))
    assert found.kept == {2, 3, 4, 5, 6, 9, 11}  # run-2 and its leave, run-3, its leave and use, op-2, what was erased
    assert found.root == tree_head(stored.leaf_hash for stored in store.records("acme")).hex()


def test_a_use_that_may_still_be_settled_keeps_its_reservation(store):
    """B7, G10: a late settle is booked; what ended, and what no report can settle, goes."""
    store.commit(reservation("op-3", CAPS[:1]))
    store.commit(reservation("op-4", CAPS, amounts={"operations": 1, "tokens": 1}))
    assert {12, 13} <= range_to_archive(store, "acme", through=13).kept
    for name in ("op-3", "op-4"):
        store.commit(completion(name))
    kept = range_to_archive(store, "acme", through=15).kept
    assert 13 in kept
    assert 12 not in kept


def test_a_living_plan_keeps_what_made_it_and_what_moved_it_last(store):
    """G3, H1, L3: said again, a move is answered from there, and a check has all of the plan; an ended one needs nothing."""
    living, ended = mover(store, "p-1"), mover(store, "p-2")
    for moves in (living, ended):
        store.commit(moves.create())  # 12, 13
    store.commit(living.act(Verb.SUBMIT, row_of(store, "p-1")))
    store.commit(ended.act(Verb.ABORT))
    kept = range_to_archive(store, "acme", through=15).kept
    assert {12, 14} <= kept
    assert not {13, 15} & kept


def test_every_move_of_a_living_plan_stays(store):
    """H1, L3: not only the first and the last one: a check folds all of them or none."""
    living = mover(store, "p-1")
    store.commit(living.create())  # 12
    for verb in (Verb.SUBMIT, Verb.APPROVE):
        store.commit(
            living.act(verb, row_of(store, "p-1")) if verb is Verb.SUBMIT else living.approve(row_of(store, "p-1"))
        )
    store.commit(living.act(Verb.ACTIVATE, row_of(store, "p-1")))  # 15
    assert {12, 13, 14, 15} <= range_to_archive(store, "acme", through=15).kept


def test_what_is_all_needed_is_not_archived():
    """L3: an archive that takes no body away would tell of nothing."""
    store = MemoryStore(entropy=os.urandom)
    store.commit(mover(store, "p-1").create())
    with pytest.raises(NotFound, match="needs every body of records 1 to 1"):
        range_to_archive(store, "acme", through=1)


def test_the_range_ends_before_the_first_record_that_is_too_young(store):
    store.commit(decision(draft("later"), at_ms=NOW_MS + 5_000))
    assert range_to_archive(store, "acme", before_ms=NOW_MS + 5_000).last_seq == 11
    assert range_to_archive(store, "acme", before_ms=NOW_MS + 5_001).last_seq == 12
    with pytest.raises(NotFound, match="there are no records before"):
        range_to_archive(store, "acme", before_ms=NOW_MS)


def test_what_is_not_there_is_said(store):
    with pytest.raises(UsageError, match="the last one is 11"):
        range_to_archive(store, "acme", through=12)
    with pytest.raises(NotFound, match="no records of tenant `globex`"):
        range_to_archive(store, "globex", through=1)


def test_nothing_of_a_broken_ledger_is_moved(store):
    """L3: what does not verify stays where it is."""
    store._tenants["acme"].records[4] = store._tenants["acme"].records[4]._replace(body=b"{}")
    with pytest.raises(LedgerCorrupt, match="nothing was archived"):
        range_to_archive(store, "acme", through=3)
