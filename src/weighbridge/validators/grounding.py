"""Grounding: does every action rest on trusted state, and do the values it names stand there (R1 to R5)?

References are matched by structure, values by type. Nothing here reads prose: a text either holds a value between
boundaries or it does not. What counts as trusted is ``validators.evidence_set``'s business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from weighbridge.domain.choke_point import REQUIRED_INPUTS, ChokePoint, Input
from weighbridge.domain.context import Proposal, ValidationContext
from weighbridge.domain.decision import Sealed, ValidatorResult
from weighbridge.domain.evidence import parse_reference
from weighbridge.domain.paths import child_place
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.effective import EffectivePolicy, GroundedValue
from weighbridge.validators import absence
from weighbridge.validators.evidence_set import EvidenceSet

_BLOCK = Verdict.BLOCK
_Failure = dict[str, Any]


class Grounding:
    """ALLOW `GROUNDED`, or the policy's severity of the first worst failure.

    Reasons: `MISSING_EVIDENCE`, `INVALID_EVIDENCE`, `UNKNOWN_EVIDENCE`, `UNTRUSTED_EVIDENCE` (R3), `UNGROUNDED_VALUE` (R5).
    """

    id: Final = "grounding"
    version: Final = "1"

    def evaluate(self, context: ValidationContext, policy: EffectivePolicy) -> ValidatorResult:
        """Return whether every proposal is grounded; the details name every reference and every field that is not."""
        proposals, given = context.proposals, context.evidence
        if not proposals:
            missing = absence.missing_inputs(context, policy, absence.proposing_input(context), Input.EVIDENCE)
            return absence.input_missing(self.id, missing) if missing else absence.not_applicable(self.id)
        evidence = EvidenceSet(given or (), policy)
        failures: list[_Failure] = []
        references = values = 0
        applies = must_refer = False
        for proposal in proposals:
            duty = _duty_of(proposal, context.choke_point, policy)
            if duty.applies:
                applies, must_refer = True, must_refer or duty.must_refer
                references += len(proposal.evidence)
                failures += _reference_failures(proposal, duty, evidence)
                for rule in duty.values:
                    values += _judge_values(rule, proposal, evidence, failures)
        if (
            given is None and must_refer
        ):  # G5: what is missing comes first; what fails for want of it is named beside it
            details = {"missing": [Input.EVIDENCE.value], "failures": failures}
            return ValidatorResult(self.id, _BLOCK, "INPUT_MISSING", details)
        if applies and policy.grounding is None and (given is not None or references):
            return absence.config_missing(self.id)
        if failures:
            worst = next((entry for entry in failures if entry["result"] is _BLOCK), failures[0])
            return ValidatorResult(self.id, worst["result"], worst["reason"], {"failures": failures})
        if not references and not values:  # G5: nothing is needed here, and nothing was brought
            return absence.not_applicable(self.id)
        return ValidatorResult(self.id, Verdict.ALLOW, "GROUNDED", {"checked": references, "values": values})


class _Duty(NamedTuple):
    """What one kind of action owes at one choke point: whether it is judged, must refer to something, and which values."""

    applies: bool
    must_refer: bool
    severity: Verdict
    values: tuple[GroundedValue, ...]


def _duty_of(proposal: Proposal, choke_point: ChokePoint, policy: EffectivePolicy) -> _Duty:
    facts = proposal.facts
    declares = facts is not None and facts.declares_proposal
    key = ("duty", choke_point, absence.action_type_of(proposal), declares)
    duty: _Duty | None = policy.memo.get(key)
    if duty is None:
        duty = policy.memo[key] = _derive_duty(choke_point, key[2], policy, declares=declares)
    return duty


def _derive_duty(choke_point: ChokePoint, action_type: str, policy: EffectivePolicy, *, declares: bool) -> _Duty:
    section = policy.grounding
    severity = section.severity if section is not None else _BLOCK
    expensive = choke_point is ChokePoint.BEFORE_EXPENSIVE_READ
    if expensive and not declares:
        return _Duty(applies=False, must_refer=False, severity=severity, values=())  # R1
    # R1: an expensive operation that declares a proposal owes evidence, although the table does not ask for it.
    asked = expensive or Input.EVIDENCE in REQUIRED_INPUTS[choke_point]
    must_refer = asked and policy.needs(choke_point, Input.EVIDENCE, frozenset({action_type}))
    rules = section.values if section is not None else ()
    values = tuple(rule for rule in rules if rule.action_types is None or action_type in rule.action_types)
    return _Duty(applies=True, must_refer=must_refer, severity=severity, values=values)


def _reference_failures(proposal: Proposal, duty: _Duty, evidence: EvidenceSet) -> list[_Failure]:
    if not proposal.evidence:
        return [_failure(proposal, "MISSING_EVIDENCE", duty.severity)] if duty.must_refer else []
    failures: list[_Failure] = []
    for position, given in enumerate(proposal.evidence):
        reference = parse_reference(given)
        reason = "INVALID_EVIDENCE" if reference is None else evidence.judge(reference)
        if reason is not None:
            # L6: what has no allowed shape may be anything, people's words included; it is named by its position.
            named = Sealed(given) if reference is None else given
            failures.append(_failure(proposal, reason, duty.severity) | {"position": position, "reference": named})
    return failures


def _judge_values(rule: GroundedValue, proposal: Proposal, evidence: EvidenceSet, failures: list[_Failure]) -> int:
    """Add an entry for every value that stands nowhere; return how many the rule asks for (R5)."""
    checked = 0
    places: list[str] | None = None
    for position, (value, _) in enumerate(rule.path.values(proposal.arguments)):
        if type(value) is str and evidence.holds(value, rule):
            checked += 1
            continue
        if places is None:
            places = [match.place for match in rule.path.find(proposal.arguments)]
        for place, leaf in _leaves(places[position], value):
            checked += 1
            if not evidence.holds(leaf, rule):
                named = {"field": place, "rule": rule.id}
                failures.append(_failure(proposal, "UNGROUNDED_VALUE", rule.severity) | named)
    return checked


def _failure(proposal: Proposal, reason: str, severity: Verdict) -> _Failure:
    named = {} if proposal.step_id is None else {"step_id": proposal.step_id}
    return {**named, "operation": proposal.operation, "reason": reason, "result": severity}


def _leaves(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every leaf below a value of the proposal with its place. Null names no value, so there is nothing to ground."""
    waiting = [(place, value)]
    while waiting:
        at, node = waiting.pop()
        if isinstance(node, dict):
            waiting += [(child_place(at, name), node[name]) for name in sorted(node, reverse=True)]
        elif isinstance(node, (list, tuple)):
            waiting += [(f"{at}[{index}]", node[index]) for index in range(len(node) - 1, -1, -1)]
        elif node is not None:
            yield at, node
