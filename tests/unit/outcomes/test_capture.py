"""Capturing: write-only, after the fact, once (O1, O2, O4). What stores do with it is in the contract of stores."""

import os
from typing import Any

import msgspec
import pytest

from weighbridge.domain.context import Actor, Role
from weighbridge.domain.outcome import Aborted, Approved, StepFailed, StepSucceeded
from weighbridge.errors import ContextError, Refusal
from weighbridge.ledger.record import events
from weighbridge.outcomes.capture import Capture, Captured, Setting, outcomes_of
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, WON, capture, ended, outcomes
from weighbridge.testing.submissions import NOW_MS, TENANT


@pytest.fixture
def store():
    return MemoryStore(entropy=os.urandom)


def test_the_events_of_a_record_say_what_follows_them(store):
    """O1, O2: each with the event it points to, when it happened, and by whom."""
    ended(store)
    found: list[Any] = [outcome for stored in store.records(TENANT) for outcome in outcomes_of(stored.body)]
    assert [type(outcome) for outcome in found] == [Approved, StepFailed, StepSucceeded, Aborted, StepSucceeded]
    assert (found[0].actor_id, found[0].at, found[0].account_id) == ("maria", "2026-11-22T10:00:00.000Z", "a-1")
    assert (found[1].step_id, found[1].attempt, found[1].reason, found[1].late) == (
        *("brief", 1, "OPERATION_FAILED"),
        False,
    )
    assert (found[3].reason, found[4].late) == ("BY_PERSON", True)


def test_a_record_says_who_captured_it_and_under_what(store):
    """L2: as every event does; what is not known is left out."""
    known = Capture(
        store.commit_many,
        lambda tenant: Setting(store.tenant_key(tenant), "engine-1", "policy-1"),
        clock_ms=lambda: NOW_MS,
        new_id=lambda: "x-1",
    )
    first = known.capture(TENANT, WON, by=Actor(id="importer", role=Role.HOST))
    second = capture(store).capture(TENANT, msgspec.structs.replace(WON, opportunity_id="o-2"), by=BY)
    (told,) = events(store.record(TENANT, first.seq).body)
    assert told.fields["actor"] == {"id": "importer", "role": "host"}
    assert (told.fields["engine_version"], told.fields["policy_version"]) == ("engine-1", "policy-1")
    (told,) = events(store.record(TENANT, second.seq).body)
    assert "policy_version" not in told.fields
    assert store.head(TENANT).policy_version is None


def test_one_that_is_wrong_harms_no_other(store):
    """O3: its error stands in its place, and what could not be recorded is told as what it is."""
    wrong = msgspec.structs.replace(WON, source="")
    one, other = capture(store).capture_many(TENANT, [wrong, WON], by=BY)
    assert isinstance(one, ContextError)
    assert other == Captured("outcome-001", 1)
    with pytest.raises(ContextError):
        capture(store).capture(TENANT, wrong, by=BY)
    full = Capture(
        lambda submissions: [Refusal("OVERLOADED", "later")] * len(submissions),
        lambda tenant: Setting(b"k" * 32),
        clock_ms=lambda: NOW_MS,
        new_id=lambda: "x",
    )
    with pytest.raises(Refusal, match="OVERLOADED"):
        full.capture(TENANT, WON, by=BY)
    assert len(outcomes(store)) == 1


def test_nothing_is_recorded_where_nothing_is_said(store):
    def never(submissions):
        raise AssertionError(submissions)

    silent = Capture(never, lambda tenant: Setting(b"k" * 32), clock_ms=lambda: NOW_MS, new_id=lambda: "x")
    assert silent.capture_many(TENANT, [], by=BY) == []
    assert silent.capture_events(TENANT, next(_records(store)), by=BY) == []


def _records(store):
    ended(store)
    return (stored.body for stored in store.records(TENANT))


def test_an_opportunity_leads_to_its_outcome(store):
    """L4: found by its id."""
    capture(store).capture(TENANT, WON, by=BY)
    assert store.find(TENANT, "o-1") == (1,)
    assert store.find(TENANT, "a-1") == (1,)
