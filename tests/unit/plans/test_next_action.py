"""H4: the next action, case by case, and what holds of it for every plan there can be."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plans.states import state, step
from weighbridge.domain.plan import PlanStatus, Risk, StepState, StepStatus, is_ready
from weighbridge.plans.lifecycle import ENDED
from weighbridge.plans.next_action import (
    Abort,
    Activate,
    End,
    Pause,
    RunStep,
    SettleUnknown,
    Wait,
    may_try,
    next_action,
)
from weighbridge.plans.state_evaluator import Ended, evaluate
from weighbridge.policy.effective import PlanAction
from weighbridge.testing.plans import ATTEMPTS_MAX, EXPIRES_MS, PLAN_TYPE
from weighbridge.testing.submissions import NOW_MS

PENDING, RUNNING, DONE = StepStatus.PENDING, StepStatus.RUNNING, StepStatus.COMPLETED
FAILED, BLOCKED, SKIPPED = StepStatus.FAILED, StepStatus.BLOCKED, StepStatus.SKIPPED
ABORTING = msgspec.structs.replace(PLAN_TYPE, abort_on_block=True)
TOUCHING = msgspec.structs.replace(PLAN_TYPE, actions={"brief": PlanAction(Risk.LOW, human_touch=True)})


def action(row, plan_type=PLAN_TYPE, *, now_ms=NOW_MS, alive=True, registered=None):
    return next_action(row, plan_type, evaluate(row, plan_type, now_ms), alive=alive, registered=registered)


def failed(name="a", attempts=1, **changes):
    return step(name, FAILED, attempts=attempts, **({"reason": "OPERATION_FAILED"} | changes))


CASES = {
    "a draft waits for its approval": (state(PENDING, status=PlanStatus.DRAFT), Wait("NOT_APPROVED")),
    "an approved plan is activated": (state(PENDING, status=PlanStatus.APPROVED), Activate()),
    "refused once, it waits for a person": (
        state(PENDING, status=PlanStatus.APPROVED, refused=True),
        Wait("ACTIVATION_REFUSED"),
    ),
    "a paused plan waits": (state(PENDING, status=PlanStatus.PAUSED, pause_step="a"), Wait("PAUSED", "a")),
    "the first step runs": (state(PENDING, PENDING), RunStep("a", 1)),
    "the next one after it": (state(DONE, PENDING), RunStep("b", 1)),
    "not before what it depends on": (state(step("a", depends_on=("b",)), step("b")), RunStep("b", 1)),
    "nothing beside what runs": (state(step("a", RUNNING, attempts=1), PENDING), Wait("STEP_RUNNING", "a")),
    "a failed step is tried again": (state(failed()), RunStep("a", 2)),
    "until its retries are used up": (state(failed(attempts=ATTEMPTS_MAX)), Pause("RETRIES_EXHAUSTED", "a")),
    "a resume grants one more": (state(failed(attempts=ATTEMPTS_MAX, granted=3)), RunStep("a", 3)),
    "and only one": (state(failed(attempts=3, granted=3)), Pause("RETRIES_EXHAUSTED", "a")),
    "a block is not retried": (state(step("a", BLOCKED, attempts=1)), Pause("STEP_BLOCKED", "a")),
    "a person's resume allows it": (state(step("a", BLOCKED, attempts=1, granted=2)), RunStep("a", 2)),
    "unknown is not retried": (state(failed(reason="OUTCOME_UNKNOWN")), Pause("OUTCOME_UNKNOWN", "a")),
    "neither is what was not stored": (state(failed(reason="WRITE_NOT_STORED")), Pause("WRITE_NOT_STORED", "a")),
    "a person's resume allows that too": (state(failed(reason="OUTCOME_UNKNOWN", granted=2)), RunStep("a", 2)),
    "a stuck step stops the others": (state(step("a", BLOCKED, attempts=1), PENDING), Pause("STEP_BLOCKED", "a")),
    "a human touch pauses": (state(step("a", human_touch=True)), Pause("HUMAN_TOUCH_REQUIRED", "a")),
    "others go first": (state(step("a", human_touch=True), PENDING), RunStep("b", 1)),
    "touched, it runs": (state(step("a", human_touch=True, touched=True)), RunStep("a", 1)),
    "skipped and not accepted": (
        state(SKIPPED, step("b", depends_on=("a",))),
        Pause("DEPENDENCY_UNMET", "b"),
    ),
    "skipped and accepted": (state(SKIPPED, step("b", depends_on=("a",), accepts_skipped=("a",))), RunStep("b", 1)),
    "done": (state(DONE, SKIPPED), End(PlanStatus.COMPLETED, "all_steps_done")),
}


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    """H4: what is done next."""
    row, expected = CASES[name]
    assert action(row) == expected


def test_a_block_follows_the_plan_type():
    """H4: on_block abort; of several stuck steps the blocked one decides, because it may end the plan."""
    row = state(failed(attempts=ATTEMPTS_MAX), step("b", BLOCKED, attempts=1))
    assert action(row, ABORTING) == Abort("STEP_BLOCKED", "b")
    assert action(row) == Pause("STEP_BLOCKED", "b")


def test_a_policy_that_asks_for_a_person_by_now():
    """H3: a step that was drafted without waits all the same."""
    assert action(state(PENDING), TOUCHING) == Pause("HUMAN_TOUCH_REQUIRED", "a")


def test_a_type_that_is_gone():
    """H3: an active plan of a type that the policy no longer has pauses; nothing runs under no rules."""
    assert action(state(PENDING), None) == Pause("INVALID_PLAN_TYPE")


def test_an_operation_that_this_worker_does_not_have():
    """Bad input: a paused plan with its reason, and no attempt drawn."""
    assert action(state(PENDING), registered={"x.meet"}) == Pause("OPERATION_NOT_REGISTERED", "a")
    assert action(state(PENDING), registered={"x.brief"}) == RunStep("a", 1)


@pytest.mark.parametrize("status", [PlanStatus.ACTIVE, PlanStatus.PAUSED])
def test_an_attempt_that_nobody_runs(status):
    """G10: its outcome is unknown, also where the plan was paused meanwhile; it is never run again by itself."""
    row = state(step("a", RUNNING, attempts=2), status=status)
    assert action(row, alive=False) == SettleUnknown("a", 2)


@pytest.mark.parametrize("status", [status for status in PlanStatus if status not in ENDED])
def test_past_its_time_it_expires(status):
    """H4: whatever it is, and whatever runs: a result that comes later moves nothing."""
    row = state(step("a", RUNNING, attempts=1), status=status)
    assert action(row, now_ms=EXPIRES_MS, alive=False) == End(PlanStatus.EXPIRED, "expired")


@pytest.mark.parametrize("status", sorted(ENDED))
def test_after_its_end_nothing(status):
    """H1: nothing leads out of an end."""
    assert action(state(step("a", RUNNING, attempts=1), status=status), now_ms=EXPIRES_MS, alive=False) == Wait("ENDED")


def test_a_goal_that_is_reached_waits_for_what_runs():
    """H4: a plan completes when nothing is under way."""
    goal = Ended(PlanStatus.COMPLETED, "objective_met")
    row = state(step("a", RUNNING, attempts=1), PENDING)
    assert next_action(row, PLAN_TYPE, goal, alive=True) == Wait("STEP_RUNNING", "a")
    assert next_action(state(DONE, PENDING), PLAN_TYPE, goal, alive=True) == End(goal.status, goal.reason)


# --- For every plan ---------------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c", "d")


@st.composite
def rows(draw):
    """Return any row: steps depend on earlier ones, at most one runs."""
    steps: list[StepState] = []
    for index, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        needed = tuple(draw(st.sets(st.sampled_from(NAMES[:index])))) if index else ()
        runs = any(one.status is RUNNING for one in steps)
        status = draw(st.sampled_from([one for one in StepStatus if not (runs and one is RUNNING)]))
        steps.append(
            step(
                name,
                status,
                depends_on=needed,
                accepts_skipped=tuple(draw(st.sets(st.sampled_from(needed)))) if needed else (),
                attempts=0 if status is PENDING else draw(st.integers(1, 3)),
                granted=draw(st.integers(0, 4)),
                human_touch=draw(st.booleans()),
                touched=draw(st.booleans()),
                reason=draw(st.sampled_from([None, "OPERATION_FAILED", "OUTCOME_UNKNOWN"])),
            )
        )
    return state(*steps, status=draw(st.sampled_from(PlanStatus)), refused=draw(st.booleans()))


@given(
    rows(), st.booleans(), st.sampled_from([NOW_MS, EXPIRES_MS]), st.sampled_from([PLAN_TYPE, ABORTING, TOUCHING, None])
)
def test_whatever_the_row_only_what_is_allowed_runs(row, alive, now_ms, plan_type):
    """H4: an attempt is drawn only in an active plan, in time, of a ready step, within its limit, and alone."""
    found = action(row, plan_type, now_ms=now_ms, alive=alive)
    assert found == action(row, plan_type, now_ms=now_ms, alive=alive)  # a function of what it is given
    if isinstance(found, RunStep):
        chosen = row.step(found.step_id)
        assert row.status is PlanStatus.ACTIVE
        assert now_ms < row.expires_ms
        assert row.running is None
        assert is_ready(row, chosen)
        assert not chosen.done
        assert may_try(chosen, ATTEMPTS_MAX)
        assert found.attempt == chosen.attempts + 1
        assert chosen.touched or not (chosen.human_touch or plan_type is TOUCHING)
    elif isinstance(found, End):
        assert (found.status is PlanStatus.EXPIRED) == (now_ms >= row.expires_ms and not _all_done(row))
    elif isinstance(found, Pause | Abort):
        assert row.status is PlanStatus.ACTIVE
        assert isinstance(found, Pause) or plan_type is ABORTING


def _all_done(row):
    return row.status is PlanStatus.ACTIVE and all(one.done for one in row.steps)


@given(rows(), st.booleans())
def test_a_plan_that_lives_is_never_stuck_in_silence(row, alive):
    """H4: every row has an action, or waits for a person or for what runs, and says which."""
    found = action(row, alive=alive)
    if isinstance(found, Wait):
        waits = {
            "ENDED": row.status in ENDED,
            "NOT_APPROVED": row.status is PlanStatus.DRAFT,
            "ACTIVATION_REFUSED": row.status is PlanStatus.APPROVED and row.refused,
            "PAUSED": row.status is PlanStatus.PAUSED,
            "STEP_RUNNING": row.running is not None and alive,
        }
        assert waits[found.reason]


def acting(**terms):
    return msgspec.structs.replace(PLAN_TYPE, actions={"brief": PlanAction(**({"risk": Risk.LOW} | terms))})


@pytest.mark.parametrize(
    ("plan_type", "reason"),
    [
        (msgspec.structs.replace(PLAN_TYPE, actions={}), "ACTION_NOT_ALLOWED"),
        (acting(operations=frozenset({"y.brief"})), "OPERATION_NOT_ALLOWED"),
        (acting(risk=Risk.HIGH), "RISK_ELEVATED"),
        (msgspec.structs.replace(acting(risk=Risk.MEDIUM), elevated_risk=Risk.MEDIUM), "RISK_ELEVATED"),
    ],
)
def test_a_policy_that_was_narrowed_since(plan_type, reason):
    """H3: a running plan's next step is asked of the policy as it is now."""
    row = state(PENDING, approver_id="maria", approver_role="approver")
    assert action(row) == RunStep("a", 1)
    assert action(row, plan_type) == Pause(reason, "a")


@pytest.mark.parametrize(
    ("approver", "runs"),
    [(("maria", "approver"), False), (("ada", "admin"), True), (("agent-1", "admin"), False), ((None, None), False)],
)
def test_a_risk_that_was_raised_stops_what_could_not_be_approved(approver, runs):
    """H3: elevated authority of somebody who did not propose it is enough, also later."""
    row = state(PENDING, approver_id=approver[0], approver_role=approver[1])
    assert action(row, acting(risk=Risk.HIGH)) == (RunStep("a", 1) if runs else Pause("RISK_ELEVATED", "a"))
    assert action(row, acting(risk=Risk.MEDIUM)) == RunStep("a", 1)
