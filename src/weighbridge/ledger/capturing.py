"""What an outcome becomes on record, decided inside the store's transaction: the part of the kernel that is about outcomes. Pure.

It decides nothing else: whether an outcome was said before (O4), and whether the event that it reports is there and says so (O2,
O3). No verdict, budget or plan depends on one (O1).
"""

from __future__ import annotations

from typing import Any, Final

from weighbridge.domain.instant import format_instant
from weighbridge.domain.outcome import DOWNSTREAM, OF_PERSONS, OutcomeKind, OutcomeRow
from weighbridge.domain.plan import STEERERS
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger import record
from weighbridge.ledger.submission import OutcomeDraft, Submission, View

_KINDS: Final = {
    record.PLAN_APPROVED: OutcomeKind.APPROVED,
    record.PLAN_REJECTED: OutcomeKind.REJECTED,
    record.PLAN_UPDATED: OutcomeKind.EDITED,
    record.STEP_COMPLETED: OutcomeKind.STEP_SUCCEEDED,
    record.STEP_FAILED: OutcomeKind.STEP_FAILED,
    record.STEP_BLOCKED: OutcomeKind.STEP_FAILED,
    record.PLAN_COMPLETED: OutcomeKind.COMPLETED,
    record.PLAN_ABORTED: OutcomeKind.ABORTED,
    record.PLAN_EXPIRED: OutcomeKind.EXPIRED,
}
_PERSONS: Final = frozenset(role.value for role in STEERERS)


def implied(event: record.Event) -> OutcomeKind | None:
    """Return the kind of outcome that an event is to be followed by, if any.

    An edit by an agent is no human edit. An attempt that was blocked before it began was not executed.
    """
    kind, said = _KINDS.get(event.type), event.fields
    if kind is OutcomeKind.EDITED and said["actor"].get("role") not in _PERSONS:
        return None
    if event.type == record.STEP_BLOCKED and "operation_request_hash" in said:
        return None
    return kind


def check(submission: Submission) -> None:
    """Refuse an outcome that comes with anything else: it is written after what it reports, never with it (O2).

    Raises:
        UsageError: it does, or it lacks what it is joined by (O3).
    """
    draft = submission.outcome
    if draft is None:
        return
    does = (submission.completes, submission.usage, submission.authorises, submission.plan, submission.reservation)
    if submission.runs or submission.events or does != (None,) * len(does):
        raise UsageError("an outcome is a record of its own, after what it reports")
    if draft.kind not in OutcomeKind.__members__:
        raise UsageError(f"`{draft.kind}` is no kind of outcome")
    downstream = draft.kind in DOWNSTREAM
    needed: dict[str, Any] = {"outcome_id": draft.outcome_id, "idempotency_key": draft.idempotency_key}
    if downstream:
        needed |= {"account_id": draft.account_id, "opportunity_id": draft.opportunity_id}
    else:
        needed |= {"plan_id": draft.plan_id, "event": draft.event}
    if draft.kind in OF_PERSONS:
        needed["actor_id"] = draft.actor_id
    for name, value in needed.items():
        if not value:
            raise UsageError(f"an outcome {draft.kind} names its `{name}`; without, it can be joined with nothing")
    if downstream and draft.event is not None:
        raise UsageError(f"an outcome {draft.kind} comes from elsewhere and reports no event of ours")
    if (submission.common.get("plan_id"), submission.common.get("account_id")) != (draft.plan_id, draft.account_id):
        raise UsageError("an outcome is of the plan and account that its record names")


def known(draft: OutcomeDraft, view: View) -> int | None:
    """Return the record that tells of this outcome already (O4)."""
    found = view.outcome(draft.idempotency_key)
    return None if found is None else found[1]


def captured(draft: OutcomeDraft, view: View, seq: int) -> tuple[dict[str, Any], OutcomeRow]:
    """Return the event and the row of an outcome.

    Raises:
        NotFound: the event that it reports is not on record, or says something else.
    """
    if draft.event is not None:
        _require_reported(draft, view)
    event = {
        "type": record.OUTCOME_CAPTURED,
        "kind": draft.kind,
        "outcome_id": draft.outcome_id,
        "idempotency_key": draft.idempotency_key,
        "at": format_instant(draft.at_ms),
        "opportunity_id": draft.opportunity_id,
        "actor_id": draft.actor_id,
        "event": None if draft.event is None else {"seq": draft.event[0], "index": draft.event[1]},
        "details": draft.details or None,
        "content": draft.content or None,
    }
    event_seq, event_index = draft.event or (None, None)
    row = OutcomeRow(
        outcome_id=draft.outcome_id,
        idempotency_key=draft.idempotency_key,
        seq=seq,
        kind=draft.kind,
        plan_id=draft.plan_id,
        account_id=draft.account_id,
        opportunity_id=draft.opportunity_id,
        actor_id=draft.actor_id,
        event_seq=event_seq,
        event_index=event_index,
        at_ms=draft.at_ms,
        body={**draft.details, **({"content": draft.content} if draft.content else {})},
    )
    return {name: value for name, value in event.items() if value is not None}, row


def _require_reported(draft: OutcomeDraft, view: View) -> None:
    seq, index = draft.event or (0, 0)
    place = f"event {seq}.{index}"
    if not 0 < seq <= view.head().seq:
        raise NotFound(f"{place} is not on record; an outcome follows what it reports")
    told = next((event for event in record.events(view.body(seq)) if event.index == index), None)
    if told is None:
        raise NotFound(f"{place} is not on record; record {seq} has no event {index}")
    plan, actor = told.fields.get("plan_id"), told.fields["actor"].get("id")
    if (implied(told), plan) != (OutcomeKind(draft.kind), draft.plan_id):
        raise NotFound(f"{place} is {told.type} of plan `{plan}`, which is not {draft.kind} of plan `{draft.plan_id}`")
    if draft.kind in OF_PERSONS and actor != draft.actor_id:
        raise NotFound(f"{place} is by `{actor}`, not by `{draft.actor_id}`")


def outcome_id(body: bytes) -> str:
    """Return the id of the outcome that a record captures.

    Raises:
        NotFound: it captures none.
    """
    for event in record.events(body):
        if event.type == record.OUTCOME_CAPTURED:
            return str(event.fields["outcome_id"])
    raise NotFound("the record captures no outcome")
