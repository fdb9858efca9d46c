"""Submissions as a recorder would make them, small and with every part that matters to a store."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from weighbridge.budgets.caps import applicable
from weighbridge.canonical import keyed_hash
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Cap, Period, Scope
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.submission import BudgetTerms, Reservation, RunDraft, Submission, Usage

TENANT = "acme"
NOW_MS = 1_795_341_600_000  # 2026-11-22T10:00:00Z
SKEW_MS = 5_000
VALIDATORS = ("freshness", "grounding", "contradiction", "compliance")
WRITEBACK = "BEFORE_EXTERNAL_WRITEBACK"
EXPENSIVE = "BEFORE_EXPENSIVE_READ"


def hashed(text: str) -> str:
    """Return a hash to stand for something."""
    return hashlib.sha256(text.encode()).hexdigest()


def draft(
    run_id: str,
    *,
    request: str | None = None,
    inputs: str | None = None,
    proposal: str | None = None,
    verdict: Verdict = Verdict.ALLOW,
    choke_point: str = WRITEBACK,
    content: str | None = None,
) -> RunDraft:
    """Return a judged run; the last validator has the verdict.

    ``request`` and ``proposal`` default to the run's own, ``inputs`` to the request's: asked in other words, they are the same.
    """
    results = [*[Verdict.ALLOW] * (len(VALIDATORS) - 1), verdict]
    reasons = {Verdict.ALLOW: "COMPLIANT", Verdict.WARN: "DATA_AGING", Verdict.BLOCK: "RESTRICTED_FIELD"}
    return RunDraft(
        validation_run_id=run_id,
        choke_point=choke_point,
        request_hash=hashed(f"request {request or run_id}"),
        inputs_hash=hashed(f"inputs {inputs or request or run_id}"),
        proposal_hash=hashed(f"proposal {proposal or run_id}"),
        verdict=verdict,
        fields={"target_id": "crm", "snapshot_id": hashed("snapshot")},
        events=tuple(
            {
                "type": "VALIDATOR_RUN",
                "validator": name,
                "result": str(result),
                "reason": reasons[result],
                "details": {},
            }
            for name, result in zip(VALIDATORS, results, strict=True)
        ),
        summary={"operation": "crm.update"} | ({"content": {"proposal": content}} if content else {}),
    )


def decision(
    *runs: RunDraft,
    tenant: str = TENANT,
    operation: str | None = None,
    request: str | None = None,
    at_ms: int = NOW_MS,
    time_source: str = "clock",
    policy: str = "policy-1",
    contents: Sequence[tuple[str, bytes]] = (),
    refusals: dict[str, int] | None = None,
    **common: Any,
) -> Submission:
    """Return the submission of judged runs: of one operation, or standing alone."""
    return Submission(
        tenant_id=tenant,
        common={
            "actor": {"id": "agent-1", "role": "agent"},
            "account_id": "a-1",
            "plan_id": "p-1",
            "step_id": "s-1",
            "engine_version": hashed("engine"),
            "enforcement": "executed" if operation else "asked",
            **common,
        },
        evaluation_time_ms=at_ms,
        time_source=time_source,
        max_clock_skew_ms=SKEW_MS,
        policy_version=hashed(policy),
        runs=runs,
        operation=(operation, hashed(f"operation {request or operation}")) if operation else None,
        contents=tuple(contents),
        refusals=refusals or {},
    )


def with_content(run_id: str, key: bytes, body: bytes, **given: Any) -> Submission:
    """Return a decision that points to one content, with the content."""
    content_hash = keyed_hash(key, body)
    return decision(draft(run_id, content=content_hash), contents=[(content_hash, body)], **given)


def fact(
    event: dict[str, Any],
    *,
    tenant: str = TENANT,
    at_ms: int = NOW_MS,
    about: dict[str, Any] | None = None,
    **given: Any,
) -> Submission:
    """Return the submission of one event that is no decision; ``about`` says what it tells of."""
    return Submission(
        tenant_id=tenant,
        common={"actor": {"id": "person-1", "role": "approver"}, "enforcement": "executed"} | (about or {}),
        evaluation_time_ms=at_ms,
        time_source="clock",
        max_clock_skew_ms=SKEW_MS,
        events=(event,),
        **given,
    )


def completion(operation: str, state: str = "COMPLETED", **given: Any) -> Submission:
    """Return the report that an operation ended."""
    event = {"type": "OPERATION_COMPLETED", "operation": "crm.update", "outcome": state}
    return fact(event, about={"operation_id": operation}, completes=(operation, state), **given)


def authorisation(run: RunDraft, *, expires_ms: int = NOW_MS + 60_000, **given: Any) -> Submission:
    """Return a person's leave to judge a blocked proposal again, unchanged; ``about`` may name another ``actor``."""
    authorises = (run.choke_point, run.proposal_hash, run.inputs_hash, expires_ms)
    event = {"type": "RETRY_AUTHORISED", "reason": "checked by hand"}
    about = {"validation_run_id": run.validation_run_id, **given.pop("about", {})}
    return fact(event, about=about, authorises=authorises, **given)


def erasure(**given: Any) -> Submission:
    """Return the record of an erasure, for `erase_content`."""
    return fact({"type": "CONTENT_ERASED", "reason": "request of the person"}, **given)


def cap(
    name: str,
    hard: int | None,
    *,
    unit: str = "operations",
    period: Period = Period.DAY,
    soft: int | None = None,
    scope: Scope = (),
    classes: Collection[CostClass] | None = None,
    settles: bool = False,
    justification: bool = False,
) -> Cap:
    """Return a cap of an effective policy: 1 day, whole tenant, any class, unless set."""
    return Cap(
        id=name,
        unit=unit,
        period=period,
        hard_cap=hard,
        soft_cap=soft,
        scope=scope,
        cost_classes=None if classes is None else frozenset(classes),
        settles=settles,
        requires_justification=justification,
    )


def reservation(
    operation: str,
    caps: Sequence[Cap],
    *runs: RunDraft,
    amounts: Mapping[str, int] | None = None,
    request: str | None = None,
    account: str | None = "a-1",
    plan: str | None = "p-1",
    tool: str = "crm.read",
    cost_class: CostClass = CostClass.CHEAP,
    zone: str = "UTC",
    justification: str | None = None,
    findings: Sequence[str] = (),
    policy: str | None = None,
    **given: Any,
) -> Submission:
    """Return a request for an operation under ``caps``, with the runs that are judged beside it.

    The policy's version follows from caps and zone, as it does from a policy's text; ``policy`` names another one.
    """
    values = {"account": account, "plan": plan, "tool": tool}
    version = policy or f"policy {zone} {caps!r}"
    judged = decision(*runs, operation=operation, request=request, policy=version, **given)
    common = judged.common | {"account_id": account, "plan_id": plan}
    wanted = Reservation(
        operation=tool,
        cost_class=cost_class.value,
        account_id=account,
        plan_id=plan,
        amounts={"operations": 1} if amounts is None else dict(amounts),
        applicable=applicable(caps, cost_class, values),
        request_hash=hashed(f"spending {request or operation}"),
        justification=justification,
        findings=tuple({"reason": reason, "details": {}} for reason in findings),
    )
    families = tuple(sorted({one.family for one in caps}))
    return msgspec.structs.replace(
        judged,
        common={name: value for name, value in common.items() if value is not None},
        reservation=wanted,
        terms=BudgetTerms(families, zone) if caps else None,
    )


def usage(operation: str, consumed: Mapping[str, int], *, request: str | None = None, **given: Any) -> Submission:
    """Return a host's report of what an operation really consumed."""
    event = {"type": "USAGE_REPORTED"}
    told = Usage(operation, dict(consumed), hashed(f"use {request or sorted(consumed.items())}"))
    return fact(event, about={"operation_id": operation}, usage=told, **given)


def ended(operation: str, consumed: Mapping[str, int], state: str = "COMPLETED", **given: Any) -> Submission:
    """Return the report that an operation ended, with what it really consumed."""
    told, used = completion(operation, state, **given), usage(operation, consumed, **given)
    return msgspec.structs.replace(told, usage=used.usage, events=(*told.events, *used.events))
