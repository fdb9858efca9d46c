"""Plans from their events: what every row `plan` must be, computed from nothing but the records (L3). Pure.

Other code than the kernel that wrote them (`ledger.plan_moves`), so that each checks the other: an event must continue where the
plan stands, by a way that its life knows (H1), and everything that a row holds is said by some event.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from weighbridge.domain.plan import OUTCOME_UNKNOWN, PlanState, PlanStatus, Risk, StepState, StepStatus
from weighbridge.ledger import record
from weighbridge.ledger.chain import Fault
from weighbridge.plans.lifecycle import ENDED, permits

_LEADS_TO: Final = {
    record.PLAN_CREATED: PlanStatus.DRAFT,
    record.PLAN_UPDATED: PlanStatus.DRAFT,
    record.PLAN_SUBMITTED: PlanStatus.DRAFT,
    record.PLAN_APPROVED: PlanStatus.APPROVED,
    record.PLAN_REJECTED: PlanStatus.DRAFT,
    record.PLAN_ACTIVATED: PlanStatus.ACTIVE,
    record.PLAN_PAUSED: PlanStatus.PAUSED,
    record.PLAN_RESUMED: PlanStatus.ACTIVE,
    record.PLAN_ABORTED: PlanStatus.ABORTED,
    record.PLAN_COMPLETED: PlanStatus.COMPLETED,
    record.PLAN_EXPIRED: PlanStatus.EXPIRED,
}
"""What a plan is after an event. Those that are missing leave it as it is."""

_ENDS: Final = {
    record.STEP_COMPLETED: StepStatus.COMPLETED,
    record.STEP_FAILED: StepStatus.FAILED,
    record.STEP_BLOCKED: StepStatus.BLOCKED,
}
_OF_STEPS: Final = frozenset({record.STEP_STARTED, record.STEP_SKIPPED, *_ENDS})
OF_PLANS: Final = frozenset({record.PLAN_ACTIVATION_REFUSED, *_LEADS_TO, *_OF_STEPS})
"""Every event that a plan is made or moved by."""

_NO_PAUSE: Final = {"pause_reason": None, "pause_step": None}


class PlanFold:
    """The plans of one tenant after the events added so far."""

    def __init__(self) -> None:
        self.plans: dict[str, PlanState] = {}

    def add(self, events: Iterable[record.Event], *, partial: bool = False) -> list[str]:
        """Take the events of a record in, and return what in them does not follow from what was before.

        ``partial`` says that earlier records are archived: what continues a plan from there is passed over.
        """
        wrong: list[str] = []
        for event in events:
            if event.type in OF_PLANS:
                wrong += self._apply(event, partial=partial)
        return wrong

    def _apply(self, event: record.Event, *, partial: bool) -> Iterator[str]:
        said, plan_id = event.fields, event.fields["plan_id"]
        row = self.plans.get(plan_id)
        if event.type == record.PLAN_CREATED:
            if row is not None:
                yield f"plan `{plan_id}` is created again"
            self.plans[plan_id] = _created(event)
            return
        if row is None:
            if not partial:
                yield f"plan `{plan_id}` was never created"
            return
        if said.get("late"):
            if not _is_late(row, event):
                yield f"the end of attempt {said['attempt']} of step `{said['step_id']}` is called late, and is not"
            return
        yield from _breaks(row, event)
        self.plans[plan_id] = _after(row, event)


def compare_plans(expected: dict[str, PlanState], found: Iterable[PlanState]) -> Iterator[Fault]:
    """Yield where stored plans differ from what the records give (L3). Uses ``expected`` up."""
    for row in found:
        wanted = expected.pop(row.plan_id, None)
        if wanted is None:
            yield Fault(None, "plan row", f"plan `{row.plan_id}` is stored, but no record gives it")
        elif wanted != row:
            message = f"plan `{row.plan_id}` is not what record {wanted.seq} and those before it give"
            yield Fault(wanted.seq, "plan row", message)
    for row in expected.values():
        yield Fault(row.seq, "plan row", f"plan `{row.plan_id}` of record {row.seq} is missing")


def _created(event: record.Event) -> PlanState:
    said = event.fields
    return PlanState(
        plan_id=said["plan_id"],
        account_id=said["account_id"],
        status=PlanStatus.DRAFT,
        revision=said["revision"],
        seq=event.seq,
        created_seq=event.seq,
        request_hash=said["move_hash"],
        **_document(said),
    )


def _document(said: dict[str, Any]) -> dict[str, Any]:
    """Return what an event says of a draft, as a row holds it."""
    return {
        "plan_type": said["plan_type"],
        "plan_hash": said["plan_hash"],
        "snapshot_id": said["snapshot_id"],
        "expires_ms": said["expires_ms"],
        "risk": Risk(said["risk"]),
        "proposers": tuple(said["proposers"]),
        "steps": msgspec.convert(said["steps"], tuple[StepState, ...]),
    }


def _breaks(row: PlanState, event: record.Event) -> Iterator[str]:
    """Yield where an event does not continue the plan as it stands."""
    said, plan = event.fields, f"plan `{row.plan_id}`"
    if said["from"] != row.status or said["revision"] != row.revision + 1:
        yield f"{plan} is said to be {said['from']} before revision {said['revision']}; it is {row.status} at {row.revision}"
    after = _LEADS_TO.get(event.type, row.status)
    if said["status"] != after:
        yield f"{plan} is said to be {said['status']} after {event.type}"
    if row.status in ENDED or (after is not row.status and not permits(row.status, after)):
        yield f"{plan} cannot go from {row.status} to {after}"  # H1
    if event.type in _OF_STEPS and row.step(said["step_id"]) is None:
        yield f"{plan} has no step `{said['step_id']}`"


def _after(row: PlanState, event: record.Event) -> PlanState:
    said = event.fields
    return msgspec.structs.replace(
        row,
        status=PlanStatus(said["status"]),
        revision=said["revision"],
        seq=event.seq,
        request_hash=said["move_hash"],
        **_changes(row, event),
    )


def _changes(row: PlanState, event: record.Event) -> dict[str, Any]:  # noqa: PLR0911 - one line for each type of event
    said = event.fields
    match event.type:
        case record.PLAN_UPDATED:
            unapproved = dict.fromkeys(("approved_hash", "approved_seq", "approver_id", "approver_role"))
            return _document(said) | unapproved | {"submitted": False, "refused": False}
        case record.PLAN_SUBMITTED | record.PLAN_REJECTED:
            return {"submitted": event.type == record.PLAN_SUBMITTED}
        case record.PLAN_APPROVED:
            who = {"approver_id": said["actor"]["id"], "approver_role": said["actor"]["role"]}
            return who | {"approved_hash": said["plan_hash"], "approved_seq": event.seq}
        case record.PLAN_ACTIVATED:
            return {"refused": False}
        case record.PLAN_ACTIVATION_REFUSED:
            return {"refused": said["wanted"] == "ACTIVATE"}
        case record.PLAN_PAUSED:
            return {"pause_reason": said["reason"], "pause_step": said.get("step")}
        case record.PLAN_RESUMED:
            return _NO_PAUSE | {"steps": tuple(_resumed(step, event) for step in row.steps)}
        case record.PLAN_ABORTED | record.PLAN_COMPLETED | record.PLAN_EXPIRED:
            return dict(_NO_PAUSE)
        case _:
            return {"steps": tuple(_moved(step, event) for step in row.steps)}


def _resumed(step: StepState, event: record.Event) -> StepState:
    said = event.fields
    grants = said.get("grants", {})
    if grants.get("step") == step.step_id:
        return msgspec.structs.replace(step, granted=grants["attempt"], touched=True, seq=event.seq)
    if said.get("touches") == step.step_id:
        return msgspec.structs.replace(step, touched=True, seq=event.seq)
    return step


def _moved(step: StepState, event: record.Event) -> StepState:
    said = event.fields
    if step.step_id != said["step_id"]:
        return step
    if event.type == record.STEP_SKIPPED:
        return msgspec.structs.replace(step, status=StepStatus.SKIPPED, reason=said["reason"], seq=event.seq)
    status = _ENDS.get(event.type, StepStatus.RUNNING)
    drawn = said["attempt"] > step.attempts
    return msgspec.structs.replace(
        step,
        status=status,
        attempts=said["attempt"],
        reason=said.get("reason"),
        operation_id=said["operation_id"] if drawn else step.operation_id,
        seq=event.seq,
    )


def _is_late(row: PlanState, event: record.Event) -> bool:
    step = row.step(event.fields["step_id"])
    if step is None or row.status in ENDED or step.attempts != event.fields["attempt"]:
        return True
    return step.status is not StepStatus.RUNNING and (step.status, step.reason) != (StepStatus.FAILED, OUTCOME_UNKNOWN)
