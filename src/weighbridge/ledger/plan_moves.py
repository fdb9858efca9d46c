"""What is done to a plan: a move that is permitted, as the event that tells of it and the row that follows. Pure.

The event says all that the row holds (L3), by codes, ids and hashes, and nothing of what people wrote (L6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import OUTCOME_UNKNOWN, PlanState, PlanStatus, StepStatus, Verb
from weighbridge.errors import UsageError
from weighbridge.ledger import record
from weighbridge.ledger.plan_refusals import step_of
from weighbridge.ledger.submission import PlanDraft, PlanMove
from weighbridge.plans import lifecycle
from weighbridge.plans.policy_gate import CONFLICT_ACTIVE_PLAN, conflict

BLOCKED: Final = "BLOCKED"
"""Why a step is BLOCKED: its decision, in the same record, says by what."""


class Planned(msgspec.Struct, frozen=True):
    """What a move comes to. ``event`` None: a BLOCK, which changes nothing; ``row`` None: the plan stays as it is."""

    event: dict[str, Any] | None = None
    row: PlanState | None = None


class Recorded(msgspec.Struct, frozen=True):
    """What the record of a move says besides it: its number, who proposes, the operation, and whether it is a BLOCK.

    ``active`` is the plan of the same account and type that is ACTIVE.
    """

    seq: int
    proposers: frozenset[str]
    operation_id: str | None = None
    blocked: bool = False
    active: str | None = None


class _Told(msgspec.Struct, frozen=True):
    """An event's type and what it says, and what changes in the row. ``status`` None: what the lifecycle says."""

    type: str
    said: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    status: PlanStatus | None = None


def created(move: PlanMove, about: Recorded) -> Planned:
    """Return a new plan."""
    draft, proposers = _draft(move), tuple(sorted(about.proposers))
    row = PlanState(
        plan_id=move.plan_id,
        account_id=draft.account_id,
        plan_type=draft.plan_type,
        status=PlanStatus.DRAFT,
        revision=1,
        seq=about.seq,
        created_seq=about.seq,
        plan_hash=draft.plan_hash,
        snapshot_id=draft.snapshot_id,
        expires_ms=draft.expires_ms,
        risk=draft.risk,
        proposers=proposers,
        request_hash=move.request_hash,
        steps=draft.steps,
    )
    event = _event(record.PLAN_CREATED, move, PlanStatus.DRAFT, row.revision) | _drafted(draft, proposers)
    return Planned(event, row)


def moved(row: PlanState, move: PlanMove, about: Recorded) -> Planned:
    """Return what a move makes of a plan that permits it."""
    if move.verb is Verb.END_STEP and not _counts(row, move):
        outcome = move.outcome or StepStatus.FAILED
        late = _event(_ENDS[outcome], move, row.status, row.revision) | {"from": row.status.value, "late": True}
        return Planned(late | _attempted(move))
    told = _TELLS[move.verb](row, move, about)
    status = told.status or lifecycle.after(move.verb, row.status, move.plan_id)
    event = _event(told.type, move, status, row.revision + 1) | {"from": row.status.value, **told.said}
    common = {"status": status, "revision": row.revision + 1, "seq": about.seq, "request_hash": move.request_hash}
    return Planned(event, msgspec.structs.replace(row, **common, **told.changes))


def _event(type_: str, move: PlanMove, status: PlanStatus, revision: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": type_,
        "status": status.value,
        "revision": revision,
        "move_hash": move.request_hash,
        "actor": move.by,
        "content": dict(move.content) or None,
    }
    return {name: value for name, value in event.items() if value is not None}


def _draft(move: PlanMove) -> PlanDraft:
    if move.draft is None:
        raise UsageError(f"{move.verb} says its `draft`")
    return move.draft


def _drafted(draft: PlanDraft, proposers: tuple[str, ...]) -> dict[str, Any]:
    return {
        "plan_type": draft.plan_type,
        "plan_hash": draft.plan_hash,
        "snapshot_id": draft.snapshot_id,
        "expires_at": format_instant(draft.expires_ms),
        "expires_ms": draft.expires_ms,
        "risk": draft.risk.value,
        "proposers": list(proposers),
        "steps": msgspec.to_builtins(draft.steps),
    }


# --- The document, and who decides about it ---------------------------------------------------------------------------


def _edited(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    draft, proposers = _draft(move), tuple(sorted({*row.proposers, *about.proposers}))
    said = _drafted(draft, proposers) | {"changed": list(move.changed)}
    if row.approved_seq is not None:
        said["voids_approval"] = row.approved_seq
    changes = {
        "plan_hash": draft.plan_hash,
        "snapshot_id": draft.snapshot_id,
        "expires_ms": draft.expires_ms,
        "risk": draft.risk,
        "steps": draft.steps,
        "proposers": proposers,
        "submitted": False,
        "refused": False,
        **dict.fromkeys(("approved_hash", "approved_seq", "approver_id", "approver_role")),
    }
    return _Told(record.PLAN_UPDATED, said, changes)


def _submitted(row: PlanState, _move: PlanMove, _about: Recorded) -> _Told:
    return _Told(record.PLAN_SUBMITTED, {"plan_hash": row.plan_hash}, {"submitted": True})


def _approved(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    by = move.by or {}
    approval = {"approved_hash": row.plan_hash, "approved_seq": about.seq}
    approver = {"approver_id": by["id"], "approver_role": by["role"]}
    return _Told(record.PLAN_APPROVED, {"plan_hash": row.plan_hash}, approval | approver)


def _rejected(_row: PlanState, _move: PlanMove, _about: Recorded) -> _Told:
    return _Told(record.PLAN_REJECTED, {}, {"submitted": False})


# --- Its life ---------------------------------------------------------------------------------------------------------


def _activated(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    return _refused(row, move, about) or _Told(record.PLAN_ACTIVATED, {"plan_hash": row.plan_hash}, {"refused": False})


def _resumed(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    """H4: a person's resume grants the step that the plan was paused for one attempt, or is the human touch it waited for."""
    refused = _refused(row, move, about)
    if refused is not None:
        return refused
    said: dict[str, Any] = {}
    changes: dict[str, Any] = {"pause_reason": None, "pause_step": None}
    step = row.step(row.pause_step)
    if step is not None and step.status in {StepStatus.FAILED, StepStatus.BLOCKED}:
        said["grants"] = {"step": step.step_id, "attempt": step.attempts + 1}
        step = msgspec.structs.replace(step, granted=step.attempts + 1, touched=True, seq=about.seq)
        changes["steps"] = row.with_step(step)
    elif step is not None and step.status is StepStatus.PENDING:
        said["touches"] = step.step_id
        changes["steps"] = row.with_step(msgspec.structs.replace(step, touched=True, seq=about.seq))
    return _Told(record.PLAN_RESUMED, said, changes)


def _refused(row: PlanState, move: PlanMove, about: Recorded) -> _Told | None:
    """H3: refused once, on record. Who is ACTIVE is decided here, and not where the plan was read."""
    reasons = [said for said in move.refusals if said["reason"] != CONFLICT_ACTIVE_PLAN]
    reasons += [] if about.active is None else [conflict(about.active).document()]
    if not reasons:
        return None
    said = {"wanted": move.verb.value, "reasons": reasons}
    return _Told(record.PLAN_ACTIVATION_REFUSED, said, {"refused": move.verb is Verb.ACTIVATE}, row.status)


def _paused(_row: PlanState, move: PlanMove, _about: Recorded) -> _Told:
    changes = {"pause_reason": move.reason, "pause_step": move.step_id}
    return _Told(record.PLAN_PAUSED, _because(move), changes)


def _stopped(_row: PlanState, move: PlanMove, _about: Recorded) -> _Told:
    types = {Verb.ABORT: record.PLAN_ABORTED, Verb.COMPLETE: record.PLAN_COMPLETED, Verb.EXPIRE: record.PLAN_EXPIRED}
    return _Told(types[move.verb], _because(move), {"pause_reason": None, "pause_step": None})


def _because(move: PlanMove) -> dict[str, Any]:
    said = {"reason": move.reason, "step": move.step_id}
    return {name: value for name, value in said.items() if value is not None}


# --- Its steps --------------------------------------------------------------------------------------------------------

_ENDS: Final = {
    StepStatus.COMPLETED: record.STEP_COMPLETED,
    StepStatus.FAILED: record.STEP_FAILED,
    StepStatus.BLOCKED: record.STEP_BLOCKED,
}


def _started(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    """Draw an attempt. A BLOCK uses it up as well: the operation's id is consumed (G10)."""
    step = step_of(row, move)
    drawn = msgspec.structs.replace(
        step,
        status=StepStatus.BLOCKED if about.blocked else StepStatus.RUNNING,
        attempts=step.attempts + 1,
        reason=BLOCKED if about.blocked else None,
        operation_id=about.operation_id,
        seq=about.seq,
    )
    said = {"attempt": move.attempt} | ({"reason": BLOCKED} if about.blocked else {})
    return _Told(record.STEP_BLOCKED if about.blocked else record.STEP_STARTED, said, {"steps": row.with_step(drawn)})


def _ended(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    outcome = move.outcome or StepStatus.FAILED
    step = msgspec.structs.replace(step_of(row, move), status=outcome, reason=move.reason, seq=about.seq)
    return _Told(_ENDS[outcome], _attempted(move), {"steps": row.with_step(step)})


def _counts(row: PlanState, move: PlanMove) -> bool:
    """H4: what happened is recorded in any case; it moves the plan only while it lives, and by its step's last attempt."""
    step = step_of(row, move)
    unknown = step.status is StepStatus.FAILED and step.reason == OUTCOME_UNKNOWN
    still_open = step.status is StepStatus.RUNNING or unknown
    return row.status not in lifecycle.ENDED and still_open and move.attempt == step.attempts


def _attempted(move: PlanMove) -> dict[str, Any]:
    said = {"attempt": move.attempt, "reason": move.reason, "details": move.details or None}
    return {name: value for name, value in said.items() if value is not None}


def _skipped(row: PlanState, move: PlanMove, about: Recorded) -> _Told:
    skipped = msgspec.structs.replace(step_of(row, move), status=StepStatus.SKIPPED, reason=move.reason, seq=about.seq)
    return _Told(record.STEP_SKIPPED, {"reason": move.reason}, {"steps": row.with_step(skipped)})


_TELLS: Final[Mapping[Verb, Callable[[PlanState, PlanMove, Recorded], _Told]]] = {
    Verb.EDIT: _edited,
    Verb.SUBMIT: _submitted,
    Verb.APPROVE: _approved,
    Verb.REJECT: _rejected,
    Verb.ACTIVATE: _activated,
    Verb.RESUME: _resumed,
    Verb.PAUSE: _paused,
    Verb.ABORT: _stopped,
    Verb.COMPLETE: _stopped,
    Verb.EXPIRE: _stopped,
    Verb.START_STEP: _started,
    Verb.END_STEP: _ended,
    Verb.SKIP_STEP: _skipped,
}
