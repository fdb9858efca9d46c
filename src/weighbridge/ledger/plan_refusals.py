"""What cannot be done to a plan, whatever a verdict says: the part of the kernel that refuses moves. Pure.

A move that does not go together with the rest of its submission is a mistake of ours (`UsageError`). One that the plan does not
permit now is refused (`PlanRefused`), and nothing is appended: another revision than it was decided on, no way from this status
(H1), or an attempt that cannot be drawn (H4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import STEP_VERBS, PlanState, StepState, StepStatus, Verb, is_ready
from weighbridge.errors import PlanRefused, UsageError
from weighbridge.ledger.submission import PlanMove, Submission
from weighbridge.plans import lifecycle
from weighbridge.plans.next_action import may_try
from weighbridge.plans.state_evaluator import ALL_STEPS_DONE

_ON_A_REVISION: Final = frozenset(
    {Verb.EDIT, Verb.SUBMIT, Verb.APPROVE, Verb.REJECT, Verb.ACTIVATE, Verb.RESUME, Verb.COMPLETE}
)
"""Verbs that somebody decides after reading the plan: what was read must be what there is."""

_ENDS: Final = frozenset({StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.BLOCKED})


class Asked(msgspec.Struct, frozen=True):
    """A move, the plan it is asked of, and when. ``ended`` is the operation that the record completes, if any."""

    move: PlanMove
    row: PlanState
    now_ms: int
    ended: str | None = None

    @property
    def step(self) -> StepState:
        """Return the step that the move names.

        Raises:
            PlanRefused: ``STEP_UNKNOWN``.
        """
        return step_of(self.row, self.move)


def check(submission: Submission) -> None:
    """Refuse a move that does not go together with the rest of its submission.

    Raises:
        UsageError: it does not.
    """
    move = submission.plan
    if move is None:
        return
    beside = _beside(submission)
    wanted = {Verb.APPROVE: ("runs",), Verb.START_STEP: ("runs", "operation")}.get(move.verb, ())
    if move.verb is Verb.END_STEP and submission.completes is not None:
        wanted = ("completes",)
    if beside != wanted:
        raise UsageError(
            f"{move.verb} goes with {' and '.join(wanted) or 'nothing'} in one record, not with {beside or 'nothing'}"
        )
    _check_parts(move)
    common = submission.common
    if common.get("plan_id") != move.plan_id:
        raise UsageError("a move is of the plan that its record names")
    if move.verb in STEP_VERBS and common.get("step_id") != move.step_id:
        raise UsageError("a step's move is of the step that its record names")


def _beside(submission: Submission) -> tuple[str, ...]:
    """Return what stands beside a move; a reservation and a report of use belong to what they are of."""
    others = {
        "runs": bool(submission.runs),
        "operation": submission.operation is not None,
        "completes": submission.completes is not None,
        "events": bool(submission.events) and submission.completes is None,
        "authorises": submission.authorises is not None,
    }
    return tuple(name for name, there in others.items() if there)


def _check_parts(move: PlanMove) -> None:
    needed: dict[str, bool] = {
        "draft": move.verb in {Verb.CREATE, Verb.EDIT},
        "revision": move.verb in _ON_A_REVISION,
        "plan_hash": move.verb in {Verb.APPROVE, Verb.ACTIVATE, Verb.START_STEP},
        "step_id": move.verb in STEP_VERBS,
        "attempt": move.verb in {Verb.START_STEP, Verb.END_STEP},
        "attempts_max": move.verb is Verb.START_STEP,
        "facts": move.verb is Verb.START_STEP,
        "outcome": move.verb is Verb.END_STEP,
        "by": move.verb is Verb.APPROVE,
        "reason": move.verb in {Verb.PAUSE, Verb.ABORT, Verb.COMPLETE, Verb.EXPIRE, Verb.SKIP_STEP},
    }
    for name, is_needed in needed.items():
        if is_needed and getattr(move, name) is None:
            raise UsageError(f"{move.verb} says its `{name}`")
    if move.verb is Verb.EDIT and not move.changed:
        raise UsageError("an edit says what it changes")
    if move.outcome is not None and move.outcome not in _ENDS:
        raise UsageError(f"an attempt ends as COMPLETED, FAILED or BLOCKED, not `{move.outcome}`")
    if move.outcome in {StepStatus.FAILED, StepStatus.BLOCKED} and not move.reason:
        raise UsageError(f"an attempt that is {move.outcome} says why")
    if move.draft is not None and not move.draft.steps:
        raise UsageError("a plan has at least one step")


def require_future(move: PlanMove, now_ms: int) -> None:
    """Refuse a draft that is past its expiry."""
    if move.draft is not None and move.draft.expires_ms <= now_ms:
        raise _refused(move, "PLAN_EXPIRED", f"its expiry, {format_instant(move.draft.expires_ms)}, is past")


def require_possible(asked: Asked) -> None:
    """Refuse what the plan does not permit now.

    Raises:
        PlanRefused: it does not.
        UsageError: an attempt would end with another operation than it was drawn with.
    """
    move, row = asked.move, asked.row
    if move.revision is not None and move.revision != row.revision:
        now = f"is {row.status} at {row.revision} now; read it again"
        raise _refused(move, "PLAN_CHANGED", f"it was at revision {move.revision} when this was decided, and {now}")
    lifecycle.after(move.verb, row.status, move.plan_id)
    special = _REQUIRES.get(move.verb)
    if special is not None:
        special(asked)


def step_of(row: PlanState, move: PlanMove) -> StepState:
    """Return the step that a move names.

    Raises:
        PlanRefused: ``STEP_UNKNOWN``.
    """
    step = row.step(move.step_id)
    if step is None:
        raise _refused(move, "STEP_UNKNOWN", f"it has no step `{move.step_id}`")
    return step


def _refused(move: PlanMove, code: str, why: str) -> PlanRefused:
    return PlanRefused(code, f"plan `{move.plan_id}`: {why}", move.plan_id)


def _require_edit(asked: Asked) -> None:
    move, row = asked.move, asked.row
    require_future(move, asked.now_ms)
    if move.draft is not None and (move.draft.account_id, move.draft.plan_type) != (row.account_id, row.plan_type):
        raise _refused(move, "PLAN_INVALID", "its account and type stay; propose another plan instead")


def _require_approval(asked: Asked) -> None:
    _require_in_time(asked)
    if not asked.row.submitted:
        raise _refused(asked.move, "NOT_SUBMITTED", "it was not submitted since it was last changed; submit it first")
    _require_document(asked)


def _require_document(asked: Asked) -> None:
    if asked.move.plan_hash != asked.row.plan_hash:
        why = "this was decided from another document than there is now; read it again"
        raise _refused(asked.move, "PLAN_CHANGED", why)


def _require_in_time(asked: Asked) -> None:
    if asked.now_ms >= asked.row.expires_ms:
        why = f"it expired at {format_instant(asked.row.expires_ms)}; propose a new one"
        raise _refused(asked.move, "PLAN_EXPIRED", why)


def _require_expired(asked: Asked) -> None:
    if asked.now_ms < asked.row.expires_ms:
        why = f"it expires at {format_instant(asked.row.expires_ms)}; abort it instead"
        raise _refused(asked.move, "NOT_EXPIRED", why)


def _require_complete(asked: Asked) -> None:
    _require_nothing_runs(asked)
    if asked.move.reason != ALL_STEPS_DONE:
        _require_in_time(asked)  # H4: a goal that is reached later is not reached by this plan
    elif not all(step.done for step in asked.row.steps):
        raise _refused(asked.move, "STEP_NOT_READY", "not all of its steps are done")


def _require_nothing_runs(asked: Asked) -> None:
    running = asked.row.running
    if running is not None:
        raise _refused(asked.move, "STEP_RUNNING", f"an attempt of step `{running.step_id}` has not ended")


def _require_attempt(asked: Asked) -> None:
    """H4: started at most once, after its dependencies, one at a time, and not at or after expiry."""
    move, step = asked.move, asked.step
    _require_in_time(asked)
    if move.attempt != step.attempts + 1:
        why = f"attempt {move.attempt} of step `{step.step_id}`: the next one is {step.attempts + 1}"
        raise _refused(move, "ATTEMPT_TAKEN", why)
    _require_nothing_runs(asked)
    if step.done or not is_ready(asked.row, step):
        why = f"is {step.status}" if step.done else "depends on steps that are not done"
        raise _refused(move, "STEP_NOT_READY", f"step `{step.step_id}` {why}")
    if step.human_touch and not step.touched:
        why = f"step `{step.step_id}` waits for a person; pause the plan, and let one resume it"
        raise _refused(move, "STEP_NOT_READY", why)
    if not may_try(step, move.attempts_max or 0):
        why = f"step `{step.step_id}` is {step.status}; a person resumes or skips it"
        raise _refused(move, "ATTEMPTS_USED_UP", why)


def _require_end(asked: Asked) -> None:
    move, step = asked.move, asked.step
    if move.attempt is None or not 0 < move.attempt <= step.attempts:
        raise _refused(move, "STEP_NOT_READY", f"attempt {move.attempt} of step `{step.step_id}` was never drawn")
    last = move.attempt == step.attempts
    if asked.ended is None and not (last and step.status is StepStatus.RUNNING):
        raise _refused(move, "STEP_NOT_RUNNING", f"attempt {move.attempt} of step `{step.step_id}` has ended")
    if asked.ended is not None and last and asked.ended != step.operation_id:
        raise UsageError("an attempt ends with its own operation")


def _require_skip(asked: Asked) -> None:
    step = asked.step
    _require_in_time(asked)  # H4: else skipping what is left would make an expired plan a completed one
    if step.status is StepStatus.RUNNING:
        _require_nothing_runs(asked)
    if step.done:
        raise _refused(asked.move, "STEP_NOT_READY", f"step `{step.step_id}` is {step.status}")


def _require_named_step(asked: Asked) -> None:
    if asked.move.step_id is not None:
        step_of(asked.row, asked.move)


_REQUIRES: Final[Mapping[Verb, Callable[[Asked], None]]] = {
    Verb.EDIT: _require_edit,
    Verb.APPROVE: _require_approval,
    Verb.ACTIVATE: _require_document,
    Verb.PAUSE: _require_named_step,
    Verb.ABORT: _require_named_step,
    Verb.COMPLETE: _require_complete,
    Verb.EXPIRE: _require_expired,
    Verb.START_STEP: _require_attempt,
    Verb.END_STEP: _require_end,
    Verb.SKIP_STEP: _require_skip,
}
