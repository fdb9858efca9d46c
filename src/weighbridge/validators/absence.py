"""Absence is refusal: what a choke point requires, what the policy needs, and what the context lacks (G5)."""

from __future__ import annotations

from weighbridge.domain.choke_point import REQUIRED_INPUTS, ChokePoint, Input
from weighbridge.domain.context import Proposal, ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.effective import EffectivePolicy

UNKNOWN_ACTION = ""
"""The action type of an operation nobody registered. No policy can name it, so nothing is waived for it."""


def action_type_of(proposal: Proposal) -> str:
    """Return the registered action type, or `UNKNOWN_ACTION`."""
    return proposal.facts.action_type if proposal.facts is not None else UNKNOWN_ACTION


def proposing_input(context: ValidationContext) -> Input:
    """Return the input that carries what is proposed at this choke point."""
    return Input.PLAN if context.choke_point is ChokePoint.BEFORE_PLAN_APPROVAL else Input.PROPOSAL


def lacks(context: ValidationContext, wanted: Input) -> bool:
    """Return whether an input is absent. A plan without steps, a snapshot without fields and no source at all are absent."""
    match wanted:
        case Input.PLAN:
            return context.plan is None or not context.plan.steps
        case Input.PROPOSAL:
            return context.proposal is None
        case Input.SNAPSHOT:
            return context.snapshot is None or not context.snapshot.fields
        case Input.DATA_SOURCES:
            return not context.data_sources
        case Input.EVIDENCE:
            return context.evidence is None


def missing_inputs(context: ValidationContext, policy: EffectivePolicy, *wanted: Input) -> list[str]:
    """Return the names of those ``wanted`` inputs that are required here, needed by the policy, and absent."""
    absent = [name for name in wanted if name in REQUIRED_INPUTS[context.choke_point] and lacks(context, name)]
    if not absent:
        return []
    action_types = frozenset(action_type_of(proposal) for proposal in context.proposals)
    return [str(name) for name in absent if policy.needs(context.choke_point, name, action_types)]


def input_missing(validator: str, missing: list[str]) -> ValidatorResult:
    """Return the BLOCK for required inputs that are not there."""
    return ValidatorResult(validator, Verdict.BLOCK, "INPUT_MISSING", {"missing": missing})


def config_missing(validator: str) -> ValidatorResult:
    """Return the BLOCK for an input that is there while the policy's section about it is not."""
    return ValidatorResult(validator, Verdict.BLOCK, "CONFIG_MISSING", {"missing": [validator]})


def not_applicable(validator: str) -> ValidatorResult:
    """Return the ALLOW of a validator that has nothing to judge here, and need not have."""
    return ValidatorResult(validator, Verdict.ALLOW, "NOT_APPLICABLE", {})
