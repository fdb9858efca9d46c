"""Compliance, the field guard: does an action do, or touch, what it must not (P1 to P3)?

What the action is (its type and target) is judged here, and what it must know; what its fields hold is walked by
``validators.field_guard``. Details name path and rule, never the value.
"""

from __future__ import annotations

from typing import Any, Final

from weighbridge.domain.context import OperationFacts, OperationKind, Proposal, ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.paths import EACH, MISSING, Path, child_place
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.effective import CompliancePolicy, EffectivePolicy
from weighbridge.validators import absence
from weighbridge.validators.checksums import checksum
from weighbridge.validators.field_guard import FieldGuard, Violation, applies
from weighbridge.validators.values import typed_key


class Compliance:
    """ALLOW `COMPLIANT`, or BLOCK with the first violation's reason; every violation is in the details.

    Reasons: `UNKNOWN_OPERATION`, `PROHIBITED_ACTION`, `ACTION_NOT_ALLOWED`, `TARGET_NOT_ALLOWED`, `UNKNOWN_VALUE`,
    `RESTRICTED_FIELD`, `PII_FIELD`, `PROHIBITED_VALUE`, `PII_VALUE`, `TOO_COMPLEX`.
    """

    id: Final = "compliance"
    version: Final = "1"

    def evaluate(self, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
        """Return whether every proposal keeps the rules."""
        proposals, section = context.proposals, policy.compliance
        if not proposals:
            missing = absence.missing_inputs(context, policy, absence.proposing_input(context))
            return absence.input_missing(self.id, missing) if missing else absence.not_applicable(self.id)
        violations: list[Violation] = []
        visited = 0
        for proposal in proposals:
            found: list[Violation] = []
            if proposal.facts is None:  # Z5
                found.append({"reason": "UNKNOWN_OPERATION", "operation": proposal.operation})
            if section is not None:
                visited += _rules_for(proposal.facts, section, policy).inspect(proposal.arguments, found)
            if found:
                violations += _of_step(proposal, found)
        if section is None and not violations:
            return absence.config_missing(self.id)
        if not violations:
            return ValidatorResult(self.id, Verdict.ALLOW, "COMPLIANT", {"checked": visited})
        details: dict[str, Any] = {"violations": violations}
        if section is None:
            details["missing"] = [self.id]
        return ValidatorResult(self.id, Verdict.BLOCK, violations[0]["reason"], details)


def prepare(policy: EffectivePolicy) -> None:
    """Import the checksums that the policy names, so that judging does no I/O."""
    for pattern in policy.compliance.value_patterns if policy.compliance is not None else ():
        if pattern.checksum is not None:
            checksum(pattern.checksum)


class _Rules:
    """The rules for one kind of action: what holds of it always, what it must know, and what its fields must not be."""

    __slots__ = ("_always", "_guard", "_required", "_unknown")

    def __init__(self, section: CompliancePolicy, facts: OperationFacts | None) -> None:
        action_type = absence.UNKNOWN_ACTION if facts is None else facts.action_type
        self._always = [] if facts is None else _action_violations(section, facts)
        self._required = [rule for rule in section.required_known if applies(rule.action_types, action_type)]
        self._unknown = frozenset(typed_key(value) for value in section.unknown_values)
        self._guard = FieldGuard(section, action_type)

    def inspect(self, arguments: dict[str, Any], found: list[Violation]) -> int:
        """Add every violation to ``found``: the action's own, unknown values, then fields; return the values visited."""
        found += self._always
        for rule in self._required:
            found += [
                {"reason": "UNKNOWN_VALUE", "path": place, "rule": rule.id}
                for place, value in _required_values(rule.path, arguments)
                if value is MISSING or value is None or typed_key(value) in self._unknown
            ]
        return self._guard.inspect(arguments, found)


def _rules_for(facts: OperationFacts | None, section: CompliancePolicy, policy: EffectivePolicy) -> _Rules:
    key = ("rules",) if facts is None else ("rules", facts.action_type, facts.target, facts.kind)
    rules: _Rules | None = policy.memo.get(key)
    if rules is None:
        rules = policy.memo[key] = _Rules(section, facts)
    return rules


def _action_violations(section: CompliancePolicy, facts: OperationFacts) -> list[Violation]:
    found: list[Violation] = []
    if facts.action_type in section.prohibited_actions:
        found.append({"reason": "PROHIBITED_ACTION", "rule": facts.action_type})
    if section.allowed_actions is not None and facts.action_type not in section.allowed_actions:
        found.append({"reason": "ACTION_NOT_ALLOWED", "rule": facts.action_type})
    if facts.target in section.prohibited_targets or not _target_is_listed(section, facts):
        found.append({"reason": "TARGET_NOT_ALLOWED", **({} if facts.target is None else {"target": facts.target})})
    return found


def _target_is_listed(section: CompliancePolicy, facts: OperationFacts) -> bool:
    if section.allowed_targets is None:
        return True
    if facts.target is None:  # a writeback goes somewhere; one that names no target is on no list
        return facts.kind is not OperationKind.WRITEBACK
    return facts.target in section.allowed_targets


def _required_values(path: Path, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return every place the path speaks of with its value; `MISSING` where a name leads nowhere."""
    found: list[tuple[str, Any]] = [("", arguments)]
    for segment in path.segments:
        found = [after for place, value in found for after in _step(place, value, segment)]
    return found


def _step(place: str, value: Any, segment: Any) -> list[tuple[str, Any]]:
    if segment is not EACH:
        return [(child_place(place, segment), value.get(segment, MISSING) if isinstance(value, dict) else MISSING)]
    if isinstance(value, (list, tuple)):
        return [(f"{place}[{index}]", item) for index, item in enumerate(value)]
    if isinstance(value, dict):
        return [(child_place(place, name), value[name]) for name in sorted(value)]
    return [(f"{place}[*]", MISSING)]


def _of_step(proposal: Proposal, found: list[Violation]) -> list[Violation]:
    named = {} if proposal.step_id is None else {"step_id": proposal.step_id}
    return [{**named, **violation} for violation in found]
