"""A batch: later submissions see the effects of earlier ones, before anything is written."""

import os

import pytest

from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, StoreError
from weighbridge.ledger.commit import Replay
from weighbridge.ledger.record import events
from weighbridge.ledger.submission import Committed, Identity
from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.storage.sqlite.batch import TenantView
from weighbridge.storage.sqlite.rows import SqliteRows
from weighbridge.testing.submissions import TENANT, authorisation, completion, decision, draft, with_content


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
