"""From the effective document to frozen records the validators can use at once.

Compiling reads nothing but the document, so that replay compiles a recorded one and judges by the same rules (G4). The document
is expected in the effective form, as `merge.effective_form` makes it; this file checks no more than it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.amounts import CostClass, from_text, money, parse_amount
from weighbridge.domain.caps import EACH, SCOPE_FIELDS, Cap, Period
from weighbridge.domain.choke_point import ChokePoint, Input
from weighbridge.domain.context import OperationFacts, OperationKind
from weighbridge.domain.evidence import Trust
from weighbridge.domain.freezing import freeze
from weighbridge.domain.instant import parse_duration
from weighbridge.domain.paths import (
    FieldPattern,
    Path,
    SnapshotPath,
    normalise_name,
    parse_field_pattern,
    parse_path,
    parse_snapshot_path,
)
from weighbridge.domain.plan import Risk
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import CanonicalError, PolicyError, Problem
from weighbridge.policy.amount_text import UNLIMITED
from weighbridge.policy.effective import (
    BudgetPolicy,
    CompliancePolicy,
    Condition,
    ContradictionPolicy,
    ContradictionRule,
    CustomValidator,
    EffectivePolicy,
    FieldRule,
    FreshnessPolicy,
    GroundedValue,
    GroundingPolicy,
    ModelPrice,
    NotNeeded,
    PlanAction,
    PlanType,
    Prices,
    ProhibitedValue,
    RequiredKnown,
    SourcePolicy,
    Ttl,
    ValuePattern,
)
from weighbridge.policy.patterns import compile_pattern

_KEYED: Final = "\0"  # stands for a segment that is known only with the proposal; no name normalises to it


def compile_effective(document: Mapping[str, Any]) -> EffectivePolicy:
    """Return the compiled policy of an effective document; ``policy_version`` is the hash of its RFC 8785 bytes.

    Raises:
        PolicyError: the document is not in the effective form.
    """
    try:
        data, copy = canonical.encode_and_decode(document)
        return _compile(copy, canonical.sha256_hex(data))
    except (CanonicalError, KeyError, TypeError, ValueError, AttributeError) as error:
        message = f"this is not an effective policy ({type(error).__name__}: {error})"
        raise PolicyError("policy", (Problem(0, 0, "", message, "a policy document, and load that"),)) from error


def _compile(document: dict[str, Any], version: str) -> EffectivePolicy:
    compliance = _section(document, "compliance", _compliance)
    guarded = compliance.field_rules if compliance is not None else ()
    return EffectivePolicy(
        document=document,
        policy_version=version,
        name=document["name"],
        max_clock_skew_ms=_milliseconds(document["max_clock_skew"]),
        sources=_frozen({name: _source(source) for name, source in document["sources"].items()}),
        operations=_frozen({name: _operation(name, facts) for name, facts in document["operations"].items()}),
        not_needed=tuple(map(_not_needed, document["required_inputs"]["not_needed"])),
        freshness=_section(document, "freshness", _freshness),
        grounding=_section(document, "grounding", _grounding),
        contradiction=_section(document, "contradiction", lambda section: _contradiction(section, guarded)),
        compliance=compliance,
        budgets=_section(document, "budgets", _budgets),
        custom_validators=tuple(
            CustomValidator(entry["id"], freeze(entry["config"])) for entry in document["validators"]
        ),
        plan_types=_frozen(_plan_types(document.get("plan_types", {}))),
    )


def _section(document: Mapping[str, Any], name: str, build: Any) -> Any:
    """Return the built section, or None where it is absent (G5: never an empty one)."""
    return build(document[name]) if name in document else None


def _frozen(mapping: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(mapping)


def _milliseconds(text: str) -> int:
    sign, size = (-1, text[1:]) if text.startswith("-") else (1, text)
    milliseconds = parse_duration(size)
    if milliseconds is None:
        message = f"`{text}` is no duration"
        raise ValueError(message)
    return sign * milliseconds


def _optional_milliseconds(text: str | None) -> int | None:
    return None if text is None else _milliseconds(text)


def _set_or_none(values: Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)


def _patterns(texts: Iterable[str]) -> tuple[FieldPattern, ...]:
    return tuple(map(parse_field_pattern, texts))


# --- Sources, operations, inputs, freshness, grounding ----------------------------------------------------------------


def _source(source: Mapping[str, Any]) -> SourcePolicy:
    return SourcePolicy(Trust(source["trust"]), _patterns(source["free_text"]), _patterns(source["admitted_text"]))


def _operation(name: str, facts: Mapping[str, Any]) -> OperationFacts:
    return OperationFacts(
        name=name,
        action_type=facts["action_type"],
        kind=OperationKind(facts["kind"]),
        target=facts.get("target"),
        cost_class=CostClass(facts["cost_class"]),
        declares_proposal=facts["declares_proposal"],
    )


def _not_needed(entry: Mapping[str, Any]) -> NotNeeded:
    choke_points = entry.get("choke_points")
    return NotNeeded(
        inputs=frozenset(map(Input, entry["inputs"])),
        choke_points=None if choke_points is None else frozenset(map(ChokePoint, choke_points)),
        action_types=_set_or_none(entry.get("action_types")),
    )


def _freshness(section: Mapping[str, Any]) -> FreshnessPolicy:
    return FreshnessPolicy(_ttls(section["source_types"]), _ttls(section["source_ids"]))


def _ttls(limits: Mapping[str, Any]) -> Mapping[str, Ttl]:
    return _frozen(
        {name: Ttl(_milliseconds(t["soft_ttl"]), _milliseconds(t["hard_ttl"])) for name, t in limits.items()}
    )


def _grounding(section: Mapping[str, Any]) -> GroundingPolicy:
    return GroundingPolicy(Verdict(section["severity"]), tuple(map(_grounded_value, section["values"])))


def _grounded_value(entry: Mapping[str, Any]) -> GroundedValue:
    return GroundedValue(
        id=entry["id"],
        path=parse_path(entry["field"]),
        action_types=_set_or_none(entry.get("action_types")),
        text=entry["text"],
        normalise=frozenset(entry["normalise"]),
        source_types=_set_or_none(entry.get("source_types")),
        severity=Verdict(entry["severity"]),
    )


# --- Contradiction ----------------------------------------------------------------------------------------------------


def _contradiction(section: Mapping[str, Any], guarded: tuple[FieldRule, ...]) -> ContradictionPolicy:
    rules = tuple(_rule(rule, guarded) for rule in section["rules"])
    return ContradictionPolicy(rules, tuple(section["unknown_values"]))


def _rule(rule: Mapping[str, Any], guarded: tuple[FieldRule, ...]) -> ContradictionRule:
    path, snapshot = _proposal_path(rule), _snapshot_path(rule)
    literal_key = "max" if "max" in rule else "value"
    allowed = rule.get("allowed")
    return ContradictionRule(
        id=rule["id"],
        rule=rule["rule"],
        action_types=_set_or_none(rule.get("action_types")),
        severity=Verdict(rule["severity"]),
        when=tuple(map(_condition, rule["when"])),
        path=path,
        snapshot=snapshot,
        literal=rule.get(literal_key),
        has_literal=literal_key in rule,
        values=tuple(rule.get("ordering", rule.get("values", ()))),
        transitions=None if allowed is None else _frozen({name: frozenset(to) for name, to in allowed.items()}),
        absolute=_exact(rule.get("absolute")),
        percent=_exact(rule.get("percent")),
        earliest_ms=_optional_milliseconds(rule.get("earliest")),
        latest_ms=_optional_milliseconds(rule.get("latest")),
        personal=any(_touches(p, guarded) for p in (path, snapshot) if p is not None),
    )


def _proposal_path(part: Mapping[str, Any]) -> Path | None:
    return parse_path(part["field"]) if "field" in part else None


def _snapshot_path(part: Mapping[str, Any]) -> SnapshotPath | None:
    return parse_snapshot_path(part["snapshot"]) if "snapshot" in part else None


def _exact(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _condition(case: Mapping[str, Any]) -> Condition:
    return Condition(_proposal_path(case), _snapshot_path(case), tuple(case["equals"]))


def _touches(path: Path | SnapshotPath, guarded: tuple[FieldRule, ...]) -> bool:
    """Return whether a value at ``path`` may be, contain or lie within a personal or restricted field (C3).

    Sealing one value too many costs a look-up; showing one too many cannot be undone. Limits to action types are ignored.
    """
    names = tuple(
        normalise_name(segment) if isinstance(segment, str) else _KEYED
        for segment in path.segments
        if isinstance(segment, str) or hasattr(segment, "from_root")
    )
    return any(_overlaps(names, rule.pattern.names) for rule in guarded)


def _overlaps(names: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    within = any(names[:end][-len(pattern) :] == pattern for end in range(1, len(names) + 1)) if pattern else True
    contains = any(names[-size:] == pattern[:size] for size in range(1, min(len(names), len(pattern) - 1) + 1))
    return within or contains


# --- Compliance -------------------------------------------------------------------------------------------------------


def _compliance(section: Mapping[str, Any]) -> CompliancePolicy:
    personal = section["personal_fields"]
    return CompliancePolicy(
        field_rules=(
            *(_field_rule(entry, None) for entry in section["restricted_fields"]),
            *(_field_rule(entry, name) for name in sorted(personal) for entry in personal[name]),
        ),
        prohibited_actions=frozenset(section["prohibited_actions"]),
        allowed_actions=_set_or_none(section.get("allowed_actions")),
        allowed_targets=_set_or_none(section.get("allowed_targets")),
        prohibited_targets=frozenset(section["prohibited_targets"]),
        prohibited_values=tuple(map(_prohibited_value, section["prohibited_values"])),
        required_known=tuple(map(_required_known, section["required_known"])),
        unknown_values=tuple(section["unknown_values"]),
        value_patterns=tuple(map(_value_pattern, section["value_patterns"])),
    )


def _field_rule(entry: Mapping[str, Any], personal_class: str | None) -> FieldRule:
    pattern = parse_field_pattern(entry["path"])
    return FieldRule(entry["id"], pattern, _set_or_none(entry.get("action_types")), personal_class)


def _prohibited_value(entry: Mapping[str, Any]) -> ProhibitedValue:
    pattern = parse_field_pattern(entry["path"])
    return ProhibitedValue(entry["id"], pattern, tuple(entry["values"]), _set_or_none(entry.get("action_types")))


def _required_known(entry: Mapping[str, Any]) -> RequiredKnown:
    return RequiredKnown(entry["id"], parse_path(entry["path"]), _set_or_none(entry.get("action_types")))


def _value_pattern(entry: Mapping[str, Any]) -> ValuePattern:
    regex = entry.get("regex")
    return ValuePattern(
        id=entry["id"],
        personal_class=entry["class"],
        fields=_patterns(entry["fields"]),
        regex=regex,
        checksum=entry.get("checksum"),
        action_types=_set_or_none(entry.get("action_types")),
        compiled=None if regex is None else compile_pattern(regex),
        normalise=frozenset(entry["normalise"]),
    )


# --- Budgets ----------------------------------------------------------------------------------------------------------


def _budgets(section: Mapping[str, Any]) -> BudgetPolicy:
    caps = tuple(map(_cap, section["caps"]))
    maxima = {CostClass(name): _frozen(from_text(entry["maximum"])) for name, entry in section["cost_classes"].items()}
    return BudgetPolicy(
        time_zone=section["time_zone"],
        caps=caps,
        maxima=MappingProxyType(maxima),
        prices=_section(section, "prices", _prices),
        families=tuple(sorted({cap.family for cap in caps})),
    )


def _cap(entry: Mapping[str, Any]) -> Cap:
    scope, classes = entry["scope"], entry.get("cost_classes")
    return Cap(
        id=entry["id"],
        unit=entry["unit"],
        period=Period(entry["period"]),
        hard_cap=None if entry["hard_cap"] == UNLIMITED else parse_amount(entry["hard_cap"]),
        soft_cap=parse_amount(entry["soft_cap"]) if "soft_cap" in entry else None,
        scope=tuple((name, None if scope[name] == EACH else scope[name]) for name in SCOPE_FIELDS if name in scope),
        cost_classes=None if classes is None else frozenset(map(CostClass, classes)),
        settles=entry["settlement"],
        requires_justification=entry["justification"],
    )


def _prices(table: Mapping[str, Any]) -> Prices:
    models = {
        name: ModelPrice(parse_amount(price["input"]), parse_amount(price["output"]))
        for name, price in table["models"].items()
    }
    return Prices(money(table["currency"]), _frozen(from_text(table["operations"])), _frozen(models))


# --- Plans ------------------------------------------------------------------------------------------------------------


def _plan_types(section: Mapping[str, Any]) -> dict[str, PlanType]:
    """Return the types that there are: one that is disabled for this tenant is none."""
    return {name: _plan_type(name, entry) for name, entry in section.items() if not entry["disabled"]}


def _plan_type(name: str, entry: Mapping[str, Any]) -> PlanType:
    actions = {key: _plan_action(action) for key, action in entry["actions"].items() if not action["disabled"]}
    return PlanType(
        name=name,
        actions=_frozen(actions),
        max_retries=entry["max_retries"],
        lifetime_ms=_milliseconds(entry["lifetime"]),
        order=tuple((rule["before"], rule["after"]) for rule in entry["order"]),
        objective=tuple(map(_condition, entry.get("objective", ()))),
        abort_on_block=entry["on_block"] == "abort",
        elevated_risk=Risk(entry["elevated_risk"]),
    )


def _plan_action(entry: Mapping[str, Any]) -> PlanAction:
    return PlanAction(Risk(entry["risk"]), entry["human_touch"], _set_or_none(entry.get("operations")))
