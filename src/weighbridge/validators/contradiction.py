"""Contradiction: does a proposal contradict the canonical snapshot (C1 to C4)?

Only what a rule of the policy names is compared, only with snapshot fields whose source is a system of record or trusted,
each by the rule's own typed comparison. Everything else is ignored. ``validators.comparisons`` holds the comparisons.
"""

from __future__ import annotations

from typing import Any, Final

from weighbridge.domain.choke_point import Input
from weighbridge.domain.context import Proposal, SnapshotField, ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.effective import ContradictionPolicy, EffectivePolicy
from weighbridge.validators import absence
from weighbridge.validators.cases import Case
from weighbridge.validators.comparisons import Comparison, comparison


class Contradiction:
    """ALLOW `CONSISTENT`, or the severity of the worst broken rule: `CONTRADICTION`, `INCOMPARABLE_VALUE`."""

    id: Final = "contradiction"
    version: Final = "1"

    def evaluate(self, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
        """Return whether any proposal contradicts the snapshot; one entry per field and rule in the details (C3)."""
        proposals, snapshot, section = context.proposals, context.snapshot, policy.contradiction
        without_snapshot = snapshot is None or not snapshot.fields
        if not proposals or without_snapshot:
            missing = absence.missing_inputs(context, policy, absence.proposing_input(context), Input.SNAPSHOT)
            if missing:
                return absence.input_missing(self.id, missing)
        if not proposals or (without_snapshot and section is None):
            return absence.not_applicable(self.id)
        if section is None:
            return absence.config_missing(self.id)
        fields = _trusted_fields(snapshot.fields, policy) if snapshot is not None else {}
        found: list[dict[str, Any]] = []
        applied = compared = 0
        for proposal in proposals:
            case = Case(proposal.arguments, fields, context.evaluation_time)
            applied += _judge(proposal, case, section, policy, without_snapshot=without_snapshot)
            compared += case.compared
            if case.found:
                named = {} if proposal.step_id is None else {"step_id": proposal.step_id}
                found += [{**named, **entry} for entry in case.found]
        if found:
            worst = next((entry for entry in found if entry["result"] is Verdict.BLOCK), found[0])
            return ValidatorResult(self.id, worst["result"], worst["reason"], {"contradictions": found})
        if without_snapshot and not applied:
            return absence.not_applicable(self.id)
        return ValidatorResult(self.id, Verdict.ALLOW, "CONSISTENT", {"checked": compared})


def _judge(
    proposal: Proposal, case: Case, section: ContradictionPolicy, policy: EffectivePolicy, *, without_snapshot: bool
) -> int:
    """Judge one proposal by every rule for its action type; return how many rules could be applied."""
    rules = _rules_for(absence.action_type_of(proposal), section, policy)
    if without_snapshot:  # the policy waives the snapshot for this action; what needs none still holds
        rules = tuple(rule for rule in rules if not rule.needs_snapshot)
    for rule in rules:
        rule.judge(case)
    return len(rules)


def _trusted_fields(fields: dict[str, SnapshotField], policy: EffectivePolicy) -> dict[str, SnapshotField]:
    """Return the fields rules may read: what comes from another source is as absent as what is not there (C1)."""
    grounding = policy.memo.get("grounding source types")
    if grounding is None:
        grounding = frozenset(name for name, source in policy.sources.items() if source.trust.grounds)
        policy.memo["grounding source types"] = grounding
    for field in fields.values():
        if field.source_type not in grounding:
            return {name: field for name, field in fields.items() if field.source_type in grounding}
    return fields


def _rules_for(action_type: str, section: ContradictionPolicy, policy: EffectivePolicy) -> tuple[Comparison, ...]:
    key = ("comparisons", action_type)
    rules: tuple[Comparison, ...] | None = policy.memo.get(key)
    if rules is None:
        rules = policy.memo[key] = tuple(
            comparison(rule, section.unknown_values)
            for rule in section.rules
            if rule.action_types is None or action_type in rule.action_types
        )
    return rules
