"""Outcomes: each kind is a type, and one that could be joined with nothing cannot be made (O3)."""

import pytest

from weighbridge.domain.outcome import (
    Approved,
    EventRef,
    OutcomeKind,
    Won,
    downstream_key,
    kind_of,
    parse_outcome,
    plan_key,
)
from weighbridge.errors import ContextError

AT = "2026-11-22T10:00:00Z"
WON = {"kind": "WON", "account_id": "a-1", "opportunity_id": "o-1", "source": "crm", "closed_at": AT}
APPROVED = {"kind": "APPROVED", "plan_id": "p-1", "event": {"seq": 3, "index": 6}, "at": AT, "actor_id": "maria"}
STEP = {
    "kind": "STEP_FAILED",
    "plan_id": "p-1",
    "event": {"seq": 3, "index": 0},
    "at": AT,
    "step_id": "s",
    "attempt": 1,
}
END = {"kind": "ABORTED", "plan_id": "p-1", "event": {"seq": 3, "index": 0}, "at": AT, "reason": "BY_PERSON"}


def without(document, name):
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize(
    ("kinds", "document"),
    [
        (("APPROVED", "REJECTED", "EDITED"), APPROVED),
        (("STEP_SUCCEEDED", "STEP_FAILED"), STEP),
        (("COMPLETED", "ABORTED", "EXPIRED"), END),
        (("WON", "LOST"), WON),
    ],
)
def test_every_kind_is_read_and_named(kinds, document):
    for kind in kinds:
        assert kind_of(parse_outcome(document | {"kind": kind})) is OutcomeKind(kind)
    won = parse_outcome(WON | {"amount": "12.50", "currency": "USD", "note": "n", "plan_id": "p-1"})
    assert isinstance(won, Won)
    assert won.amount == "12.50"


def test_the_kinds_above_are_all_there_are():
    assert set(OutcomeKind) == {
        *("APPROVED", "REJECTED", "EDITED", "STEP_SUCCEEDED", "STEP_FAILED", "COMPLETED", "ABORTED", "EXPIRED"),
        *("WON", "LOST"),
    }


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        ([], "", "is an object"),
        ({}, "kind", "is missing; write one of APPROVED"),
        (WON | {"kind": "MAYBE"}, "kind", "`MAYBE` is no kind of outcome"),
        (without(WON, "opportunity_id"), "opportunity_id", "joined with nothing"),
        (without(WON, "account_id"), "account_id", "names the account"),
        (without(APPROVED, "plan_id"), "plan_id", "names it"),
        (without(APPROVED, "event"), "event", "points to the event"),
        (without(APPROVED, "actor_id"), "actor_id", "names the person"),
        (without(STEP, "step_id"), "step_id", "is missing"),
        (without(END, "plan_id"), "plan_id", "names it"),
        (END | {"plan_id": ""}, "plan_id", "has 0 characters"),
        (END | {"plan_id": None}, "plan_id", "expected `str`"),
        (END | {"at": "now"}, "at", "no instant"),
        (END | {"opportunity_id": "o-1"}, "", "unknown field `opportunity_id`"),
        (APPROVED | {"event": {"seq": "x", "index": 0}}, "event.seq", "expected `int`"),
        (WON | {"closed_at": "yesterday"}, "closed_at", "no instant"),
        (WON | {"source": "a:b"}, "source", "is no name"),
        (WON | {"amount": "1"}, "amount", "go together"),
        (WON | {"amount": "1", "currency": "dollars"}, "currency", "three letters"),
        (WON | {"amount": "many", "currency": "USD"}, "amount.USD", "is no number"),
        (WON | {"note": "x" * 10_001}, "note", "the limit is 10000"),
        (WON | {"account_id": "x" * 10_001}, "account_id", "10001 characters"),
    ],
)
def test_what_is_no_outcome_is_refused_with_what_to_write(document, place, said):
    """O3: by the name of what is missing, and why it is needed."""
    with pytest.raises(ContextError) as refused:
        parse_outcome(document)
    assert refused.value.path == place
    assert said in str(refused.value)


def test_no_type_holds_an_outcome_without_what_joins_it():
    """O3: also where nobody parses anything."""
    with pytest.raises(TypeError, match="opportunity_id"):
        Won(account_id="a-1", source="crm", closed_at=AT)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="actor_id"):
        Approved(plan_id="p-1", event=EventRef(1, 0), at=AT)  # type: ignore[call-arg]


def test_keys_are_the_same_for_the_same_and_for_nothing_else():
    """O4: a source without a colon cannot make the key of another one."""
    assert plan_key(OutcomeKind.APPROVED, EventRef(3, 6)) == "plan:APPROVED:3.6"
    assert downstream_key(OutcomeKind.WON, "crm", "o:1") == "crm:o:1:WON"
    assert downstream_key(OutcomeKind.LOST, "crm", "o:1") == "crm:o:1:LOST"
