"""A batch: later submissions see the effects of earlier ones, before anything is written."""

import os

import msgspec
import pytest

from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import CanonicalError, IdempotencyConflict, Refusal, StoreError
from weighbridge.ledger.commit import Replay
from weighbridge.ledger.record import events
from weighbridge.ledger.submission import Committed, Identity
from weighbridge.storage import batching
from weighbridge.storage.audit import verify_store
from weighbridge.storage.batching import Items, TenantView
from weighbridge.storage.group_commit import Item
from weighbridge.storage.rows import TOGETHER
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.storage.sqlite.batch import Batch
from weighbridge.storage.sqlite.rows import SqliteRows
from weighbridge.testing.submissions import (
    TENANT,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    reservation,
    with_content,
)


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
    yield store
    store.close()


def seqs(outcomes):
    return [one.seq if isinstance(one, Committed) else type(one) for one in outcomes]


def test_one_batch_is_one_story(store):
    """G3: the same id twice, a completion of what was just allowed, an authorised retry: all in one transaction."""
    blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
    allowed = decision(draft("run-2"), operation="op-2")
    outcomes = store.commit_many(
        [
            decision(blocked, operation="op-1"),
            decision(blocked, operation="op-1"),
            decision(draft("run-1", request="other"), operation="op-1"),
            allowed,
            completion("op-2"),
            completion("op-2"),
            allowed,
            authorisation(blocked),
            decision(draft("run-3", proposal="p", request="r")),
            decision(draft("run-4", proposal="p", request="r")),
            with_content("run-5", store.tenant_key(TENANT), b"c"),
            decision(draft("run-1"), tenant="globex"),
        ]
    )
    assert seqs(outcomes) == [1, 1, IdempotencyConflict, 2, 3, 3, 2, 4, 5, 6, 7, 1]
    assert [one.replayed for one in outcomes if isinstance(one, Committed)][:2] == [False, True]
    results = [event.fields["result"] for seq in (5, 6) for event in told(store, seq) if "SUMMARY" in event.type]
    assert results == ["ALLOW", "BLOCK"]
    assert verify_store(store).ok


def told(store, seq):
    return events(store.record(TENANT, seq).body)


def test_a_batch_larger_than_a_transaction(store):
    """G2: many at once, in order."""
    assert seqs(store.commit_many([decision(draft(f"run-{n}")) for n in range(1200)])) == list(range(1, 1201))
    assert verify_store(store).ok


def test_a_batch_reads_a_budget_row_once(store):
    """B5: a hot tenant asks for the same counters again and again; nobody else can change them meanwhile."""
    caps = [cap("day", 99), cap("each", None, scope=(("account", None),))]
    store.commit(reservation("op-first", caps))
    asked = []

    class Rows(SqliteRows):
        def counter(self, tenant_id, name):
            asked.append(name)
            return super().counter(tenant_id, name)

        def counters_of(self, tenant_id, names):
            asked.extend(names)
            return super().counters_of(tenant_id, names)

        def cell(self, tenant_id, name):
            asked.append(name)
            return super().cell(tenant_id, name)

        def families_of(self, tenants):
            asked.extend("families" for _ in tenants)
            return super().families_of(tenants)

        def families(self, tenant_id):
            asked.append("families")
            return super().families(tenant_id)

    with store._reader() as connection:
        batch = Batch(Rows(store._querying(connection)), "enforcement")
        items: Items = [Item((reservation(f"op-{number}", caps), ())) for number in range(200)]
        batch.decide(items)
    assert [item.error for item in items] == [None] * 200
    assert [effects.state for _, effects in batch.pending].count("PENDING") == 98
    assert sorted(asked) == sorted(
        {"families", *(name for name, _ in store.counters(TENANT)), *(name for name, _ in store.consumption(TENANT))}
    )


def test_a_wrong_reservation_leaves_no_trace_in_its_batch(store):
    """B5: one that cannot be recorded moves nothing that a later one sees."""
    caps = [cap("day", 2)]
    wrong = reservation("op-x", caps, note=float("nan"))
    answers = store.commit_many([wrong, reservation("op-1", caps), wrong, reservation("op-2", caps)])
    assert [getattr(answer, "state", type(answer)) for answer in answers] == [
        CanonicalError,
        "PENDING",
        CanonicalError,
        "PENDING",
    ]
    assert verify_store(store).ok


def test_families_are_written_as_they_changed(store):
    """B14: those that left in a batch go, those that came are there, those that went and came back stay."""
    day, month = [cap("day", 9)], [cap("month", 9, period=Period.MONTH)]
    store.commit(reservation("op-0", day))
    store.commit_many([reservation("op-1", month), reservation("op-2", day)])
    assert store.families(TENANT) == ("operations DAY any",)
    store.commit_many([reservation("op-3", [*day, *month]), reservation("op-4", month)])
    assert store.families(TENANT) == ("operations MONTH any",)
    assert verify_store(store).ok


def test_an_identity_without_its_record_is_no_answer():
    """L3: a store that lost a record refuses, it does not judge again."""

    class Rows(SqliteRows):
        def identity(self, tenant_id, kind, identity):
            return Identity("h", 5)

        def record(self, tenant_id, seq):
            return None

    view = TenantView(TENANT, Rows(lambda sql, values: []))
    with pytest.raises(StoreError, match="verify"):
        view.recorded(Replay(5))


@pytest.mark.parametrize("count", [1, TOGETHER - 1, TOGETHER, 3 * TOGETHER + 1])
def test_rows_read_and_written_together_are_those_of_one_by_one(store, tmp_path, count):
    """G3, L1: how many share a statement changes nothing: the same bytes, and the same answers to whoever asks again."""
    caps = [cap("day", 5), cap("each", None, scope=(("account", None),))]
    given = [reservation(f"op-{n}", caps, draft(f"run-{n}"), tenant=f"t-{n % 5}") for n in range(count)]
    alone = SqliteStore(tmp_path / "alone.db", entropy=os.urandom)
    expected = [alone.commit(one) for one in given]
    assert store.commit_many(given) == expected
    assert [answer.replayed for answer in store.commit_many(given)] == [True] * count
    stranger = msgspec.structs.replace(given[0], operation=("op-0", "another request"))
    assert isinstance(store.commit_many([*given, stranger])[-1], IdempotencyConflict)
    assert verify_store(store).ok
    alone.close()


def test_an_id_that_has_no_bytes_stops_nobody_else(store):
    """G2: a lone surrogate is told to the one who sent it, in a large batch too."""
    given = [decision(draft(f"run-{n}")) for n in range(TOGETHER)]
    nameless = msgspec.structs.replace(draft("run"), validation_run_id="run-\ud800")
    outcomes = store.commit_many([*given, decision(nameless)])
    assert [type(one) for one in outcomes] == [Committed] * TOGETHER + [CanonicalError]


def test_what_is_kept_of_a_budget_is_never_older_than_the_ledger(store, tmp_path):
    """B5: two stores on one file take turns, each with its own memory of the counters: the cap holds to the last unit."""
    caps = [cap("day", 10), cap("each", 7, scope=(("account", None),))]
    other = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
    states = []
    for number in range(30):
        turn = store if number % 3 else other
        states.append(turn.commit(reservation(f"op-{number}", caps, account=f"a-{number % 2}")).state)
    assert states.count("PENDING") == 10
    assert store.counter(TENANT, "operations 2026-11-22 any").reserved == 10
    assert verify_store(store).ok
    other.close()


def test_what_a_failed_batch_decided_is_not_kept(store, monkeypatch):
    """B5, G2: a reservation that was rolled back has used nothing up."""
    caps = [cap("day", 2)]
    store.commit(reservation("op-0", caps))
    write = Batch.write

    def failing(self, connection):
        write(self, connection)
        raise StoreError("rolled back")

    monkeypatch.setattr(Batch, "write", failing)
    with pytest.raises(Refusal):
        store.commit(reservation("op-1", caps))
    monkeypatch.setattr(Batch, "write", write)
    states = [store.commit(reservation(f"op-{number}", caps)).state for number in (2, 3)]
    assert states == ["PENDING", "BLOCKED"]
    assert verify_store(store).ok


def test_what_is_kept_stays_small(store, monkeypatch):
    """However many tenants and counters there are, memory does not grow with them."""
    monkeypatch.setattr(batching, "KEPT_TENANTS_MAX", 3)
    monkeypatch.setattr(batching, "KEPT_ROWS_MAX", 4)
    caps = [cap("each", 9, scope=(("account", None),))]
    for number in range(20):
        store.commit(reservation(f"op-{number}", caps, tenant=f"t-{number}"))
        store.commit(reservation(f"op-{number}", caps, account=f"a-{number}"))
    assert len(store._kept) <= 3
    assert all(len(kept.counters) <= 5 + 1 for kept in store._kept.values())
    assert verify_store(store).ok
