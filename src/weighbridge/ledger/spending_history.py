"""What the ledger says of budgets, in commit order: every decision, every report of use, and the policy in force. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from weighbridge.budgets.simulate import Asked, Reported
from weighbridge.domain.amounts import CostClass, from_text
from weighbridge.domain.instant import parse_instant
from weighbridge.errors import LedgerCorrupt
from weighbridge.ledger import record
from weighbridge.ledger.answer import budget_decision
from weighbridge.ledger.archive import is_stub


def history(body: bytes) -> Iterator[Asked | Reported]:
    """Yield what one record says of budgets.

    Raises:
        LedgerCorrupt: the body is no record, or a budget event in it lacks what belongs to it.
    """
    told = list(record.events(body))
    settled = {event.fields.get("operation_id"): event for event in told if event.type == record.BUDGET_SETTLE}
    for event in told:
        try:
            if event.type in record.BUDGET_DECISIONS:
                yield _asked(event)
            elif event.type == record.USAGE_REPORTED:
                operation_id = event.fields["operation_id"]
                settlement = settled.get(operation_id)
                released = {} if settlement is None else from_text(settlement.fields["released"])
                yield Reported(event.seq, _instant(event), operation_id, from_text(event.fields["consumed"]), released)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerCorrupt(f"record {event.seq} lacks what its {event.type} needs ({error!r})") from None


def policy_hash(body: bytes, policy_version: str) -> str | None:
    """Return the content hash of the effective policy ``policy_version``, if a decision in this record points to it.

    None of a record that was archived: the archive leaves one that points to the policy in force.
    """
    if is_stub(body):
        return None
    for event in record.events(body):
        if event.fields.get("policy_version") == policy_version and isinstance(event.fields.get("content"), dict):
            found: Any = event.fields["content"].get("policy")
            if isinstance(found, str):
                return found
    return None


def _asked(event: record.Event) -> Asked:
    said, decision = event.fields, budget_decision(event.fields)
    return Asked(
        seq=event.seq,
        operation_id=said["operation_id"],
        operation=decision.operation,
        cost_class=None if decision.cost_class is None else CostClass(decision.cost_class),
        account=said.get("account_id"),
        plan=said.get("plan_id"),
        amounts=decision.amounts,
        at_ms=_instant(event),
        verdict=decision.verdict,
        reason=decision.reason,
        justified="justification" in said.get("content", {}),
        findings=decision.findings,
        assumed=decision.assumed,
    )


def _instant(event: record.Event) -> int:
    at_ms = parse_instant(event.fields["evaluation_time"])
    if at_ms is None:
        message = f"`{event.fields['evaluation_time']}` is no instant"
        raise ValueError(message)
    return at_ms
