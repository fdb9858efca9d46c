"""What the life of a plan says, in words: its events, the reasons of the policy gate, and what a paused plan waits for. Pure.

Sentences are derived from codes, ids and names that stand in records and rows, never stored: without a capital or a full stop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from weighbridge.domain.plan import PauseReason

_Said = Mapping[str, Any]


def explain(found: _Said) -> str:
    """Return what a reason of the policy gate says, as ``{"reason", "details"}``."""
    reason, details = str(found["reason"]), found.get("details", {})
    said = _UNMET.get(str(details.get("precondition"))) if reason == "PRECONDITIONS_UNMET" else _REASONS.get(reason)
    return _plain(reason, details) if said is None else said(details)


def waits_for(reason: str | None, step_id: str | None = None) -> str:
    """Return why a plan is paused."""
    said = _PAUSES.get(reason or "", reason or "")
    return said.replace("the step", f"step `{step_id}`", 1) if step_id is not None else said


def told(type_: str, said: _Said, reason: str | None = None) -> str:
    """Return what an event of a plan or of a step says; ``reason`` is its code, where it has one."""
    sentence = _EVENTS[type_](said, reason) if type_ in _EVENTS else type_
    return f"{sentence} (the plan had moved on, and nothing changes)" if said.get("late") else sentence


# --- Reasons of the gate ----------------------------------------------------------------------------------------------


def _plain(reason: str, details: _Said) -> str:
    named = ", ".join(f"{name} `{value}`" for name, value in details.items())
    return f"{reason} ({named})" if named else reason


def _listed(names: Sequence[Any]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _order(details: _Said) -> str:
    if "circle" in details:
        return f"steps wait for each other: {_listed(details['circle'])}"
    if "unknown_dependency" in details:
        return (
            f"step `{details['step_id']}` depends on `{details['unknown_dependency']}`, which is no step of this plan"
        )
    first, second = details.get("before"), details.get("after")
    say = f"`{first}` comes before `{second}`: let step `{details.get('step_id')}` depend on `{details.get('depends_on')}`"
    return say if first is not None else _plain("STEP_ORDER_VIOLATION", details)


def _elevated(details: _Said) -> str:
    who = f", not `{details['approver']}`" if details.get("approver") else ""
    return f"its risk is {details.get('risk')}, so that its approval needs {details.get('needs')}{who}"


_REASONS: Final[Mapping[str, Callable[[_Said], str]]] = {
    "CONFLICT_ACTIVE_PLAN": lambda said: (
        f"plan `{said.get('active_plan_id')}` of this account and type is active; one at a time"
    ),
    "INVALID_PLAN_TYPE": lambda said: f"the policy has no plan type `{said.get('plan_type')}`",
    "STEP_ORDER_VIOLATION": _order,
    "RISK_ELEVATED": _elevated,
    "HUMAN_TOUCH_REQUIRED": lambda said: (
        f"step `{said.get('step_id')}` says that it needs no person, and the policy says that `{said.get('action_type')}` does"
    ),
}

_UNMET: Final[Mapping[str, Callable[[_Said], str]]] = {
    "NO_STEPS": lambda _: "it has no steps",
    "EXPIRED": lambda said: f"it expired at {said.get('expires_at')}; propose it anew with a later expiry",
    "LIFETIME_TOO_LONG": lambda said: (
        f"it expires at {said.get('expires_at')}, and plans of this type live {_days(said.get('lifetime_ms'))} at most"
    ),
    "OPERATION_UNKNOWN": lambda said: (
        f"step `{said.get('step_id')}`: nobody registered an operation `{said.get('operation')}`; "
        "register it (--connector, --app) or declare it in the policy"
    ),
    "ACTION_TYPE_DIFFERS": lambda said: (
        f"step `{said.get('step_id')}` says action type `{said.get('stated')}`, and operation `{said.get('operation')}` is "
        f"`{said.get('action_type')}`"
    ),
    "ACTION_NOT_ALLOWED": lambda said: (
        f"step `{said.get('step_id')}`: action type `{said.get('action_type')}` is none of a `{said.get('plan_type')}` plan"
    ),
    "OPERATION_NOT_ALLOWED": lambda said: (
        f"step `{said.get('step_id')}`: operation `{said.get('operation')}` is not allowed for `{said.get('action_type')}`"
    ),
    "NOT_SUBMITTED": lambda _: "it is not submitted; submit it first",
    "NOT_APPROVED": lambda _: "it is not approved",
    "NOT_AS_APPROVED": lambda _: "it is not what was approved",
    "DOCUMENT_ERASED": lambda _: "its document was erased; propose it anew",
    "APPROVER_NO_PERSON": lambda said: f"`{said.get('approver')}` is no person; a plan is approved by one",
    "APPROVER_ROLE": lambda said: f"`{said.get('approver')}` has no role to approve with; approver or admin does it",
}


def _days(lifetime_ms: Any) -> str:
    days = int(lifetime_ms or 0) / 86_400_000
    return f"{days:g} day{'' if days == 1 else 's'}"


# --- Why it is paused -------------------------------------------------------------------------------------------------

_PAUSES: Final[Mapping[str, str]] = {
    PauseReason.RETRIES_EXHAUSTED: "the step used up its attempts",
    PauseReason.STEP_BLOCKED: "the step was blocked",
    PauseReason.OUTCOME_UNKNOWN: "nobody knows whether the step happened; look at its target",
    PauseReason.WRITE_NOT_STORED: "the step wrote something, and something else is stored",
    PauseReason.READ_BACK_FAILED: "the step wrote something, and reading it back failed",
    PauseReason.HUMAN_TOUCH_REQUIRED: "the step waits for a person",
    PauseReason.DEPENDENCY_UNMET: "the step needs one that was skipped",
    PauseReason.OPERATION_NOT_REGISTERED: "the step needs an operation that this worker does not have",
    PauseReason.INVALID_PLAN_TYPE: "the policy does not have its plan type any more",
    PauseReason.ACTION_NOT_ALLOWED: "the policy does not allow the step's action in its plan type any more",
    PauseReason.OPERATION_NOT_ALLOWED: "the policy does not allow the step's operation in its plan type any more",
    PauseReason.RISK_ELEVATED: "by the policy it is riskier by now than its approver may approve",
    PauseReason.DOCUMENT_ERASED: "its document was erased",
    PauseReason.STEP_NOT_CALLABLE: "the step cannot be called with these arguments",
    PauseReason.ATTEMPT_TAKEN: "the id of an attempt of the step answers something else",
    PauseReason.BY_PERSON: "a person paused it",
}

# --- Events -----------------------------------------------------------------------------------------------------------


def _step(said: _Said) -> str:
    number = said.get("attempt") or 1
    return f"step `{said.get('step_id')}`" + (f", attempt {number}," if number > 1 else "")


def _updated(said: _Said, _reason: str | None) -> str:
    voids = ", which voids the approval" if "voids_approval" in said else ""
    return f"edited: {', '.join(said.get('changed', ()))}{voids}"


def _not_activated(said: _Said, _reason: str | None) -> str:
    wanted = "resumed" if said.get("wanted") == "RESUME" else "activated"
    return f"not {wanted}: {'; '.join(explain(found) for found in said.get('reasons', ()))}"


def _resumed(said: _Said, _reason: str | None) -> str:
    if grants := said.get("grants"):
        return f"resumed: step `{grants['step']}` gets attempt {grants['attempt']}"
    return f"resumed: a person has seen step `{said['touches']}`" if "touches" in said else "resumed"


def _ended(word: str) -> Callable[[_Said, str | None], str]:
    def sentence(said: _Said, reason: str | None) -> str:
        if reason in {None, PauseReason.BY_PERSON, "expired"}:
            return word
        return f"{word}: {_ENDINGS.get(reason or '', waits_for(reason, said.get('step')))}"

    return sentence


_ENDINGS: Final = {"all_steps_done": "all steps are done", "objective_met": "its objective is met"}


def _blocked(said: _Said, _reason: str | None) -> str:
    by = said.get("details", {}).get("blocked_by")
    return f"{_step(said)} was blocked" + (f" by what it called inside ({by})" if by else "")


def _failed(said: _Said, reason: str | None) -> str:
    details = said.get("details", {})
    why = {
        "OPERATION_FAILED": f"its operation raised {details.get('error', 'an error')}",
        "OUTCOME_UNKNOWN": "nobody knows whether it happened",
        "WRITE_NOT_STORED": f"something else is stored in {_listed(details.get('differs', ()))}",
        "READ_BACK_FAILED": "what it wrote could not be read back",
    }
    return f"{_step(said)} failed: {why.get(reason or '', reason or 'nobody said why')}"


def _drafted(said: _Said, _reason: str | None) -> str:
    count = len(said.get("steps", ()))
    return f"drafted: {count} step{'' if count == 1 else 's'}"


_EVENTS: Final[Mapping[str, Callable[[_Said, str | None], str]]] = {
    "PLAN_CREATED": _drafted,
    "PLAN_UPDATED": _updated,
    "PLAN_SUBMITTED": lambda *_: "submitted for approval",
    "PLAN_APPROVED": lambda *_: "approved",
    "PLAN_REJECTED": lambda *_: "rejected; it stays a draft",
    "PLAN_ACTIVATED": lambda *_: "active",
    "PLAN_ACTIVATION_REFUSED": _not_activated,
    "PLAN_PAUSED": lambda said, reason: f"paused: {waits_for(reason, said.get('step'))}",
    "PLAN_RESUMED": _resumed,
    "PLAN_ABORTED": _ended("aborted"),
    "PLAN_COMPLETED": _ended("completed"),
    "PLAN_EXPIRED": _ended("expired"),
    "STEP_STARTED": lambda said, _: f"{_step(said)} started",
    "STEP_COMPLETED": lambda said, _: f"{_step(said)} completed",
    "STEP_BLOCKED": _blocked,
    "STEP_FAILED": _failed,
    "STEP_SKIPPED": lambda said, _: f"{_step(said)} was skipped",
}
