"""The next action of a plan: a function of (plan, attempts, plan type, time), and of nothing else (H4). Pure.

One action at a time, one step at a time: of the steps that are ready the first in the order of the document. Nothing is
delayed or reordered (B11). Verdicts are no input; that a step was blocked, its state says (H5).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from weighbridge.domain.plan import OUTCOME_UNKNOWN, PauseReason, PlanState, PlanStatus, StepState, StepStatus, is_ready
from weighbridge.plans.lifecycle import ENDED
from weighbridge.plans.policy_gate import still_authorised
from weighbridge.plans.state_evaluator import Ended
from weighbridge.policy.effective import PlanType

NOT_RETRIED: Final[frozenset[str]] = frozenset(
    {OUTCOME_UNKNOWN, PauseReason.WRITE_NOT_STORED.value, PauseReason.READ_BACK_FAILED.value}
)
"""Failures after which it may have happened: another attempt needs a person (G10)."""


class Activate(msgspec.Struct, frozen=True, tag=True):
    """Ask the policy gate, and activate or be refused on record (H3)."""


class RunStep(msgspec.Struct, frozen=True, tag=True):
    """Draw this attempt and run it through the executor."""

    step_id: str
    attempt: int


class SettleUnknown(msgspec.Struct, frozen=True, tag=True):
    """Say of an attempt that nobody runs any more that its outcome is unknown (G10)."""

    step_id: str
    attempt: int


class Pause(msgspec.Struct, frozen=True, tag=True):
    """Pause for a person."""

    reason: str
    step_id: str | None = None


class Abort(msgspec.Struct, frozen=True, tag=True):
    """Abort because of a blocked step."""

    reason: str
    step_id: str | None = None


class End(msgspec.Struct, frozen=True, tag=True):
    """Complete or expire."""

    status: PlanStatus
    reason: str


class Wait(msgspec.Struct, frozen=True, tag=True):
    """Nothing to do before somebody or something else acts."""

    reason: str
    step_id: str | None = None


Action = Activate | RunStep | SettleUnknown | Pause | Abort | End | Wait

NOT_APPROVED: Final = "NOT_APPROVED"
ACTIVATION_REFUSED: Final = "ACTIVATION_REFUSED"
PAUSED: Final = "PAUSED"
STEP_RUNNING: Final = "STEP_RUNNING"
HAS_ENDED: Final = "ENDED"


def next_action(
    state: PlanState,
    plan_type: PlanType | None,
    ended: Ended | None,
    *,
    alive: bool,
    registered: Collection[str] | None = None,
) -> Action:
    """Return what is to be done next.

    ``ended`` is what the state evaluator says now, which is where time comes in. ``alive`` says whether an attempt that is
    RUNNING may still be held by a worker that lives. ``registered`` are the operations that this worker has; None: all.
    """
    if state.status in ENDED:
        return Wait(HAS_ENDED)
    if ended is not None and ended.status is PlanStatus.EXPIRED:
        return End(ended.status, ended.reason)
    running = state.running
    if running is not None and not alive:
        return SettleUnknown(running.step_id, running.attempts)
    if state.status is PlanStatus.ACTIVE:
        return _go_on(state, plan_type, ended, registered)
    return _wait(state)


def _wait(state: PlanState) -> Action:
    """Return what a plan that is not ACTIVE waits for. An approved one waits for nobody, unless it was refused once (H3)."""
    if state.status is PlanStatus.APPROVED:
        return Wait(ACTIVATION_REFUSED) if state.refused else Activate()
    return Wait(PAUSED, state.pause_step) if state.status is PlanStatus.PAUSED else Wait(NOT_APPROVED)


def may_try(step: StepState, attempts_max: int) -> bool:
    """Return whether another attempt of a step may be drawn: within the limit, or because a person allowed it (H4)."""
    if step.attempts < step.granted:
        return step.status in {StepStatus.PENDING, StepStatus.FAILED, StepStatus.BLOCKED}
    if step.status is StepStatus.FAILED and step.reason in NOT_RETRIED:
        return False
    return step.status in {StepStatus.PENDING, StepStatus.FAILED} and step.attempts < attempts_max  # G8: never BLOCKED


def _go_on(
    state: PlanState, plan_type: PlanType | None, ended: Ended | None, registered: Collection[str] | None
) -> Action:
    """Return the next action of an ACTIVE plan."""
    if state.running is not None:
        return Wait(STEP_RUNNING, state.running.step_id)
    if ended is not None:
        return End(ended.status, ended.reason)
    if plan_type is None:
        return Pause(PauseReason.INVALID_PLAN_TYPE)
    stuck = [step for step in state.steps if _is_stuck(step, 1 + plan_type.max_retries)]
    return _stop(stuck, plan_type) if stuck else _run(state, plan_type, registered)


def _stop(stuck: Sequence[StepState], plan_type: PlanType) -> Action:
    """Return what follows from steps that cannot go on: a blocked one first, because it may abort the plan."""
    blocked = next((step for step in stuck if step.status is StepStatus.BLOCKED), None)
    if blocked is not None:
        act = Abort if plan_type.abort_on_block else Pause
        return act(PauseReason.STEP_BLOCKED, blocked.step_id)
    reason = stuck[0].reason
    if reason is None or reason not in NOT_RETRIED:
        reason = PauseReason.RETRIES_EXHAUSTED
    return Pause(reason, stuck[0].step_id)


def _run(state: PlanState, plan_type: PlanType, registered: Collection[str] | None) -> Action:
    """Return the next step of a plan of which every step can go on."""
    left = [step for step in state.steps if not step.done]
    ready = [step for step in left if is_ready(state, step)]
    free = next((step for step in ready if step.touched or not _needs_touch(step, plan_type)), None)
    if free is None:
        step, reason = (ready or left)[0], PauseReason.HUMAN_TOUCH_REQUIRED if ready else PauseReason.DEPENDENCY_UNMET
        return Pause(reason, step.step_id)
    against = _against(state, free, plan_type)
    if against is not None:
        return Pause(against, free.step_id)
    if registered is not None and free.operation not in registered:
        return Pause(PauseReason.OPERATION_NOT_REGISTERED, free.step_id)
    return RunStep(free.step_id, free.attempts + 1)


def _against(state: PlanState, step: StepState, plan_type: PlanType) -> PauseReason | None:
    """Return what the policy has against a step by now: one that was narrowed holds for plans that run, too (H3)."""
    action = plan_type.actions.get(step.action_type)
    if action is None:
        return PauseReason.ACTION_NOT_ALLOWED
    if action.operations is not None and step.operation not in action.operations:
        return PauseReason.OPERATION_NOT_ALLOWED
    return None if still_authorised(state, plan_type) else PauseReason.RISK_ELEVATED


def _is_stuck(step: StepState, attempts_max: int) -> bool:
    """Return whether a step's last attempt failed or was blocked, and no other may be drawn."""
    return step.status in {StepStatus.FAILED, StepStatus.BLOCKED} and not may_try(step, attempts_max)


def _needs_touch(step: StepState, plan_type: PlanType) -> bool:
    """Return whether a step waits for a person: as drafted, or as the policy says by now."""
    action = plan_type.actions.get(step.action_type)
    return step.human_touch or (action is not None and action.human_touch)
