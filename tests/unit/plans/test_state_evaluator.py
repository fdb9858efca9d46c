"""H4: is a plan done, or past its time? On data that is handed in, and on nothing else."""

import msgspec
import pytest

from tests.unit.plans.states import state
from weighbridge.domain.context import SnapshotField
from weighbridge.domain.evidence import Trust
from weighbridge.domain.paths import parse_snapshot_path
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.plans.state_evaluator import Ended, evaluate
from weighbridge.policy.effective import Condition
from weighbridge.testing.plans import EXPIRES_MS, PLAN_TYPE
from weighbridge.testing.submissions import NOW_MS

DONE, SKIPPED, LEFT = StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.PENDING
BY_STEPS = Ended(PlanStatus.COMPLETED, "all_steps_done")
BY_GOAL = Ended(PlanStatus.COMPLETED, "objective_met")
LATE = Ended(PlanStatus.EXPIRED, "expired")


def goal(*conditions):
    """Return the plan type with an objective: pairs of a path and its values."""
    made = tuple(Condition(None, parse_snapshot_path(path), tuple(values)) for path, values in conditions)
    return msgspec.structs.replace(PLAN_TYPE, objective=made)


RENEWED = goal(("renewal.status", ["renewed", "won"]))


def seen(value, source="crm"):
    return {"renewal": SnapshotField(value, source)}


@pytest.mark.parametrize(
    ("statuses", "now_ms", "ended"),
    [
        ((DONE, DONE), NOW_MS, BY_STEPS),
        ((DONE, SKIPPED), NOW_MS, BY_STEPS),
        ((SKIPPED, SKIPPED), NOW_MS, BY_STEPS),
        ((DONE, LEFT), NOW_MS, None),
        ((DONE, StepStatus.FAILED), NOW_MS, None),
        ((DONE, StepStatus.RUNNING), NOW_MS, None),
        ((DONE, LEFT), EXPIRES_MS - 1, None),
        ((DONE, LEFT), EXPIRES_MS, LATE),
        ((DONE, DONE), EXPIRES_MS + 1, BY_STEPS),
    ],
)
def test_by_steps_or_by_time(statuses, now_ms, ended):
    """H4: SKIPPED counts for all_steps_done; the millisecond of the expiry is past it; what is done is done."""
    assert evaluate(state(*statuses), PLAN_TYPE, now_ms) == ended


@pytest.mark.parametrize(
    ("observed", "ended"),
    [
        (seen({"status": "renewed"}), BY_GOAL),
        (seen({"status": "won"}), BY_GOAL),
        (seen({"status": "open"}), None),
        (seen({}), None),
        (seen("renewed"), None),
        ({}, None),
        (None, None),
    ],
)
def test_a_goal_is_reached_on_the_data_handed_in(observed, ended):
    """H4: without data, or without the field, no goal is reached (G5)."""
    assert evaluate(state(LEFT), RENEWED, NOW_MS, observed) == ended


def test_all_conditions_hold():
    """H4: one of two is none."""
    both = goal(("renewal.status", ["renewed"]), ("renewal.signed", [True]))
    assert evaluate(state(LEFT), both, NOW_MS, seen({"status": "renewed", "signed": True})) == BY_GOAL
    assert evaluate(state(LEFT), both, NOW_MS, seen({"status": "renewed", "signed": False})) is None


@pytest.mark.parametrize(
    ("wanted", "value", "met"), [(1, True, False), (True, 1, False), (1, 1.0, True), ("1", 1, False)]
)
def test_values_are_typed(wanted, value, met):
    """C1: true is not 1, and 1 is 1.0."""
    ended = evaluate(state(LEFT), goal(("renewal.status", [wanted])), NOW_MS, seen({"status": value}))
    assert (ended == BY_GOAL) is met


def test_any_element_of_a_list_will_do():
    """The path grammar of the policy, with [*]."""
    ended = evaluate(
        state(LEFT), goal(("renewal.lines[*].status", ["won"])), NOW_MS, seen({"lines": [{"status": "won"}, {}]})
    )
    assert ended == BY_GOAL


def test_a_note_ends_no_plan():
    """C1: only fields of sources that ground an action count for a goal."""
    trusts = {"crm": Trust.SYSTEM_OF_RECORD, "mail": Trust.OBSERVED}

    def trust_of(name):
        return trusts[name]

    for source, ended in (("crm", BY_GOAL), ("mail", None)):
        assert evaluate(state(LEFT), RENEWED, NOW_MS, seen({"status": "renewed"}, source), trust_of) == ended


def test_no_goal_is_never_reached():
    """G5: a type without an objective ends by its steps; one that nobody knows, too."""
    assert evaluate(state(LEFT), PLAN_TYPE, NOW_MS, seen({"status": "renewed"})) is None
    assert evaluate(state(LEFT), None, NOW_MS, seen({"status": "renewed"})) is None


@pytest.mark.parametrize("status", [status for status in PlanStatus if status is not PlanStatus.ACTIVE])
def test_only_an_active_plan_completes(status):
    """H1: any other only expires, also where all is done."""
    done = state(DONE, status=status)
    assert evaluate(done, RENEWED, NOW_MS, seen({"status": "renewed"})) is None
    assert evaluate(done, RENEWED, EXPIRES_MS) == LATE


def test_a_goal_that_is_seen_after_the_expiry_is_not_reached_by_the_plan():
    """H4: what it is like then says nothing about the time before; steps that are done were done before."""
    renewed = seen({"status": "renewed"})
    assert evaluate(state(LEFT), RENEWED, EXPIRES_MS - 1, renewed) == BY_GOAL
    assert evaluate(state(LEFT), RENEWED, EXPIRES_MS, renewed) == LATE
    assert evaluate(state(DONE), RENEWED, EXPIRES_MS, renewed) == BY_STEPS
