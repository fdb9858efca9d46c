"""From a committed record back to the decisions it holds.

Every answer is read from the record, the first one and every later one, so that there is no second copy of a verdict that
could differ (G3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighbridge import canonical
from weighbridge.domain.amounts import from_text
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.decision import (
    BudgetDecision,
    CapUsage,
    Finding,
    GateDecision,
    OperationDecision,
    RecordRef,
    ValidatorResult,
)
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.archive import require_kept
from weighbridge.ledger.record import BUDGET_DECISIONS, UNLIMITED

_VERDICTS = {verdict.value: verdict for verdict in Verdict}  # a look-up costs a fifth of a call of the enumeration


def gate_decisions(body: bytes, record_hash: bytes, *, replayed: bool) -> tuple[GateDecision, ...]:
    """Return the decision of every run in a record, in order."""
    return _gates(_decoded(body), record_hash, replayed=replayed)


def _gates(record: dict[str, Any], record_hash: bytes, *, replayed: bool) -> tuple[GateDecision, ...]:
    reference = RecordRef(record["tenant_id"], record["seq"], record_hash.hex())
    results: list[ValidatorResult] = []
    decisions: list[GateDecision] = []
    for event in record["events"]:
        if event["type"] == "VALIDATOR_RUN":
            verdict = _VERDICTS[event["result"]]
            results.append(ValidatorResult(event["validator"], verdict, event["reason"], event["details"]))
        elif event["type"] == "VALIDATOR_RUN_SUMMARY":
            decisions.append(_decision(record["common"] | event, tuple(results), reference, replayed=replayed))
            results = []
    return tuple(decisions)


def operation_decision(
    body: bytes, record_hash: bytes, operation_id: str, state: str, *, replayed: bool
) -> OperationDecision:
    """Return the decision on one operation."""
    record = _decoded(body)
    operation = next((event["operation"] for event in record["events"] if "operation" in event), "unknown")
    common = record["common"]
    about = {name: common[name] for name in ("account_id", "plan_id", "step_id") if name in common}
    return OperationDecision(
        operation_id=operation_id,
        operation=operation,
        gates=_gates(record, record_hash, replayed=replayed),
        budget=next((budget_decision(event) for event in record["events"] if event["type"] in BUDGET_DECISIONS), None),
        record=RecordRef(record["tenant_id"], record["seq"], record_hash.hex()),
        state=state,
        policy_version=common["policy_version"],
        engine_version=common["engine_version"],
        evaluation_time=common["evaluation_time"],
        enforcement=common["enforcement"],
        replayed=replayed,
        about=about,
    )


def budget_decision(event: Mapping[str, Any]) -> BudgetDecision:
    """Return the decision that a `BUDGET_RESERVE`, `BUDGET_WARN` or `BUDGET_BLOCK` event states."""
    return BudgetDecision(
        verdict=_VERDICTS[event["result"]],
        reason=event["reason"],
        operation=event["operation"],
        cost_class=event.get("cost_class"),
        amounts=from_text(event["amounts"]),
        period=event["period"],
        caps=tuple(_cap(said) for said in event["caps"]),
        findings=tuple(Finding(found["reason"], found["details"]) for found in event["findings"]),
        assumed=tuple(event.get("assumed", ())),
        unpriced=event.get("unpriced"),
        priced=event.get("priced"),
    )


def _cap(said: Mapping[str, Any]) -> CapUsage:
    return CapUsage(
        cap=said["cap"],
        counter=said["counter"],
        unit=said["unit"],
        hard_cap=None if said["hard_cap"] == UNLIMITED else int(said["hard_cap"]),
        usage_before=int(said["usage_before"]),
        verdict=_VERDICTS[said["verdict"]],
        reason=said["reason"],
        soft_cap=int(said["soft_cap"]) if "soft_cap" in said else None,
        usage_after=int(said["usage_after"]) if "usage_after" in said else None,
    )


def _decision(
    event: dict[str, Any], results: tuple[ValidatorResult, ...], reference: RecordRef, *, replayed: bool
) -> GateDecision:
    return GateDecision(
        verdict=_VERDICTS[event["result"]],
        choke_point=ChokePoint(event["choke_point"]),
        validation_run_id=event["validation_run_id"],
        results=results,
        findings=tuple(Finding(found["reason"], found["details"]) for found in event["findings"]),
        policy_version=event["policy_version"],
        engine_version=event["engine_version"],
        evaluation_time=event["evaluation_time"],
        enforcement=event["enforcement"],
        record=reference,
        proposal_hash=event["proposal_hash"],
        snapshot_id=event.get("snapshot_id"),
        retry_of=event.get("retry_of"),
        replayed=replayed,
    )


def inputs_of(body: bytes, validation_run_id: str) -> str:
    """Return the hash of what a recorded run was judged from: what leave to retry it is bound to (G8)."""
    record = _decoded(body)
    told = (record["common"] | event for event in record["events"] if event["type"] == "VALIDATOR_RUN_SUMMARY")
    return str(next(said["inputs_hash"] for said in told if said["validation_run_id"] == validation_run_id))


def _decoded(body: bytes) -> Any:
    require_kept(body)
    return canonical.decode(body)
