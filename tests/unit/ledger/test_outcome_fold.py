"""Outcomes computed from the records alone, and where a claim does not follow."""

import os

import msgspec
import pytest

from weighbridge.ledger import record
from weighbridge.ledger.outcome_fold import OutcomeFold, compare_outcomes
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, WON, capture, ended, outcomes
from weighbridge.testing.submissions import TENANT


@pytest.fixture
def store():
    made = MemoryStore(entropy=os.urandom)
    ended(made)
    captures = capture(made)
    sweep(made, captures, TENANT, by=BY)
    captures.capture(TENANT, WON, by=BY)
    return made


def folded(store, change=lambda event: event, archived_to=0):
    state, wrong = OutcomeFold(), []
    for stored in store.records(TENANT, archived_to + 1):
        wrong += state.add([change(event) for event in record.events(stored.body)], archived_to)
    return state, wrong


def test_the_fold_gives_the_rows(store):
    """L3."""
    state, wrong = folded(store)
    assert wrong == []
    assert list(state.outcomes.values()) == outcomes(store)
    assert list(compare_outcomes(state.outcomes, outcomes(store))) == []


def test_a_row_that_differs_is_named(store):
    """L3: changed, missing, made up."""
    state, _ = folded(store)
    one, other, *_rest = outcomes(store)
    changed = [msgspec.structs.replace(one, at_ms=0), msgspec.structs.replace(other, outcome_id="mine"), *_rest]
    said = [(fault.seq, fault.part, fault.message) for fault in compare_outcomes(state.outcomes, changed)]
    assert said == [
        (one.seq, "outcome row", f"outcome `{one.outcome_id}` is not what record {one.seq} gives"),
        (None, "outcome row", "outcome `mine` is stored, but no record gives it"),
        (other.seq, "outcome row", f"outcome `{other.outcome_id}` of record {other.seq} is missing"),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "COMPLETED"}, "which is not COMPLETED of plan `p-1`"),
        ({"plan_id": "p-2"}, "which is not ABORTED of plan `p-2`"),
        ({"event": {"seq": 99, "index": 0}}, "reports event 99.0"),
        ({"outcome_id": "outcome-001"}, "captured again"),
        ({"idempotency_key": "plan:APPROVED:3.6"}, "captured again"),
        ({"actor_id": "eve"}, "is by `eve`"),
    ],
)
def test_an_outcome_that_does_not_follow_is_named(store, fields, said):
    """L3, O2, O3: it must report what stands before it."""

    def change(event):
        if event.type == "OUTCOME_CAPTURED" and event.fields["kind"] == "ABORTED":
            return msgspec.structs.replace(event, fields=event.fields | fields)
        return event

    _, (wrong,) = folded(store, change)
    assert said in wrong


def test_what_reports_an_archived_record_may(store):
    """L3: what is not at hand cannot be compared; what is, is."""
    state, wrong = folded(store, archived_to=11)
    assert wrong == []
    assert len(state.outcomes) == 6
    _, wrong = folded(store, archived_to=9)
    assert wrong == []
