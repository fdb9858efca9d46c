"""What is asked about a plan: the request for its approval, where each step is called, and under which id. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from weighbridge import canonical
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import PlanProposal, Proposal, ValidationContext
from weighbridge.domain.plan import Plan, Step

_ID_DIGITS = 40  # 160 bits: no two attempts meet

ATTEMPT_PREFIX: Final = "plan:"
"""What the ids of step attempts begin with, and no id that somebody states."""


def operation_id(plan_id: str, step_id: str, attempt: int) -> str:
    """Return the id of a step attempt's operation: the same for whoever asks, so that it is drawn once (G10, H4)."""
    return f"{ATTEMPT_PREFIX}{canonical.sha256_hex(canonical.encode([plan_id, step_id, attempt]))[:_ID_DIGITS]}"


def approval_context(plan: Plan, run_id: str) -> ValidationContext:
    """Return the request to judge a whole plan before its approval; each step is a proposal with its own evidence (R1)."""
    steps = [
        Proposal(
            operation=step.operation,
            arguments=step.arguments,
            evidence=step.evidence,
            step_id=step.step_id,
            depends_on=step.depends_on,
        )
        for step in plan.steps
    ]
    return ValidationContext(
        choke_point=ChokePoint.BEFORE_PLAN_APPROVAL,
        tenant_id=plan.tenant_id,
        validation_run_id=run_id,
        actor=plan.proposer,
        account_id=plan.account_id,
        plan_id=plan.plan_id,
        plan=PlanProposal(plan_id=plan.plan_id, plan_type=plan.plan_type, steps=steps),
        snapshot=plan.snapshot,
        data_sources=plan.data_sources,
        evidence=plan.evidence,
    )


def step_scope(plan: Plan, step: Step, attempt: int) -> dict[str, Any]:
    """Return the arguments of `weighbridge.scope` in which a step's operation is called: exactly what was approved (G11)."""
    return {
        "tenant": plan.tenant_id,
        "actor": plan.proposer,
        "account": plan.account_id,
        "plan": plan.plan_id,
        "step": step.step_id,
        "attempt": attempt,
        "snapshot": msgspec.to_builtins(plan.snapshot.fields),
        "data_sources": msgspec.to_builtins(plan.data_sources),
        "evidence": msgspec.to_builtins(plan.evidence),
        "references": step.evidence,
    }
