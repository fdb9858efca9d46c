"""What an outcome becomes on record, and which events are to be followed by one."""

import os

import pytest

from weighbridge.domain.plan import StepStatus, Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound
from weighbridge.ledger import capturing, record
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_plans import active, mover, row_of
from weighbridge.testing.submissions import TENANT, decision, draft


@pytest.fixture
def store():
    return MemoryStore(entropy=os.urandom)


def implied(store):
    """Return which events of a store are followed by an outcome, and by which."""
    return [
        (event.type, str(kind))
        for stored in store.records(TENANT)
        for event in record.events(stored.body)
        if (kind := capturing.implied(event)) is not None
    ]


def test_what_ends_or_is_decided_by_people_is_followed_by_an_outcome(store):
    """O1: approvals, edits, attempts and ends; nothing else of a plan's life is one."""
    moves = mover(store)
    store.commit(moves.create())
    store.commit(moves.edit(row_of(store), said="by the agent"))
    edited = moves.edit(row_of(store), said="by a person", by={"id": "maria", "role": "approver"})
    store.commit(edited)
    store.commit(moves.act(Verb.SUBMIT, row_of(store)))
    store.commit(moves.act(Verb.REJECT, row_of(store), by={"id": "maria", "role": "approver"}))
    store.commit(moves.act(Verb.ABORT))
    assert implied(store) == [
        ("PLAN_UPDATED", "EDITED"),
        ("PLAN_REJECTED", "REJECTED"),
        ("PLAN_ABORTED", "ABORTED"),
    ]


def test_an_attempt_that_was_blocked_before_it_began_was_not_executed(store):
    """O1, G8: one that was blocked while it ran was."""
    moves = mover(store)
    active(store, moves)
    store.commit(moves.start("brief", verdict=Verdict.BLOCK))
    other = mover(store, "p-2", account_id="a-2")
    active(store, other)
    store.commit(other.start("brief"))
    store.commit(other.end("brief", outcome=StepStatus.BLOCKED, reason="BLOCKED"))
    approval = ("PLAN_APPROVED", "APPROVED")
    assert implied(store) == [approval, approval, ("STEP_BLOCKED", "STEP_FAILED")]


def test_a_record_without_an_outcome_has_no_id(store):
    answer = store.commit(decision(draft("run-1")))
    with pytest.raises(NotFound, match="captures no outcome"):
        capturing.outcome_id(answer.body)
