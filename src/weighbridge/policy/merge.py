"""The effective policy of a tenant: the base merged with the tenant's section.

A section can only make things stricter. Limits: the lower. Denials and rules: the union. Allow lists: the intersection.
Severities: the stricter; trust: the lower. Keys that the base declares replaceable are replaced by what the section writes.
Anything that would widen is a mistake, found when the policy is loaded; merging itself then keeps the stricter side, so that
even an unchecked document never widens.

Plain data in, plain data out; defaults and order are `complete`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.amounts import shown
from weighbridge.domain.instant import parse_duration
from weighbridge.domain.paths import parse_path
from weighbridge.policy.amount_text import named
from weighbridge.policy.amount_text import written as as_written
from weighbridge.policy.budget_caps import (
    classes_of,
    limit_of,
    no_higher,
    shown_limit,
    uncovered_classes,
    warning_of,
)
from weighbridge.policy.complete import MAX_CLOCK_SKEW, complete_cap, finished, ordered_entry, with_ids
from weighbridge.policy.mistakes import Mistake, Steps, listed, where

_TRUST_ORDER: Final = ("observed", "trusted", "system_of_record")
_SEVERITY_ORDER: Final = ("WARN", "BLOCK")
_RISK_ORDER: Final = ("LOW", "MEDIUM", "HIGH")
_ABSENT: Final = object()


def effective_form(written: Mapping[str, Any], tenant_id: str | None) -> dict[str, Any]:
    """Return the effective document of a tenant (None, or one without a section: of the base).

    ``written`` is a checked document as `PolicyDocument.written` gives it.
    """
    return merge(written, tenant_id).document


@dataclass(slots=True)
class Merged:
    """An effective document, and what in the tenant's section would have widened it (with paths from the document's root)."""

    document: dict[str, Any]
    mistakes: list[Mistake]


def merge(written: Mapping[str, Any], tenant_id: str | None) -> Merged:
    """Return the effective document of a tenant and every attempt to widen it."""
    base = with_ids({key: value for key, value in written.items() if key not in {"tenants", "replaceable"}})
    section = written.get("tenants", {}).get(tenant_id) if tenant_id is not None else None
    if section is None:
        return Merged(finished(base), [])
    source_types = base.get("freshness", {}).get("source_types", {})
    caps = list(map(complete_cap, base.get("budgets", {}).get("caps", ())))
    merger = _Merger(("tenants", str(tenant_id)), _replaceable_keys(written), source_types, caps)
    merged = merger.mapping((), base, with_ids(section))
    return Merged(finished(merged), merger.mistakes)


def _replaceable_keys(written: Mapping[str, Any]) -> frozenset[Steps]:
    return frozenset(tuple(parse_path(text).segments) for text in written.get("replaceable", ()))


# --- Merging ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Merger:
    """One merge. Paths here start at the section; ``prefix`` leads to it."""

    prefix: Steps
    replaceable: frozenset[Steps]
    source_types: Mapping[str, Any]
    caps: Sequence[Mapping[str, Any]]
    mistakes: list[Mistake] = field(default_factory=list)

    def refuse(self, steps: Steps, message: str, write: str) -> None:
        self.mistakes.append(Mistake(self.prefix + steps, message, write))

    def mapping(self, steps: Steps, base: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
        merged = dict(base)
        for key, value in section.items():
            merged[key] = self.value((*steps, key), base.get(key, _ABSENT), value)
        return {key: value for key, value in merged.items() if value is not _ABSENT}

    def value(self, steps: Steps, base: Any, section: Any) -> Any:
        if steps in self.replaceable:
            return section
        if steps in _SECTIONS and base is _ABSENT:
            return self._new_section(steps)
        rule = _merge_rule(steps)
        if rule is not None:
            return rule(self, steps, base, section)
        return self.mapping(steps, {} if base is _ABSENT else base, section)

    def _new_section(self, steps: Steps) -> Any:
        """Refuse a section the base lacks: it would turn `CONFIG_MISSING` into a judgement (G5)."""
        self.refuse(
            steps,
            f"the base has no `{steps[0]}`, so that it is BLOCK {_ABSENCE_IS.get(steps[0], 'CONFIG_MISSING')} for everybody; "
            "one for a tenant widens that",
            f"`{steps[0]}` in the base, {_declare(steps)}",
        )
        return _ABSENT

    def below_every_type(self, limits: Mapping[str, Any]) -> bool:
        """Return whether limits are no higher than those of any source type of the base."""
        return bool(self.source_types) and all(
            _milliseconds(limits.get(key)) <= _milliseconds(known[key])
            for known in self.source_types.values()
            for key in ("soft_ttl", "hard_ttl")
        )


_SECTIONS: Final = frozenset(
    {("freshness",), ("grounding",), ("contradiction",), ("compliance",), ("budgets",), ("plan_types",)}
)
_ABSENCE_IS: Final[Mapping[Any, str]] = {
    "budgets": "NO_APPLICABLE_CONFIG",  # B8
    "plan_types": "INVALID_PLAN_TYPE",  # H3
}

_Rule = Callable[[_Merger, Steps, Any, Any], Any]


def _declare(steps: Steps) -> str:
    return f"or declare `{where(steps)}` replaceable in the base"


def _lower_duration(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    if base is _ABSENT and steps == ("max_clock_skew",):
        base = MAX_CLOCK_SKEW
    if _milliseconds(section) > _milliseconds(base):
        merger.refuse(
            steps,
            f"`{section}` is above the base's `{base}`; a tenant can only lower it",
            f"{base} or less, {_declare(steps)}",
        )
        return base
    return section


def _milliseconds(duration: Any) -> int:
    return parse_duration(duration) or 0


_NEW_TTL: Final[Mapping[Any, str]] = {
    "source_types": "the base has no limits for this source type, so that it is BLOCK CONFIG_MISSING; new ones widen that",
    "source_ids": "new limits for a source id must not be above those of any source type in the base",
}


def _ttl(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    if base is not _ABSENT:
        return merger.mapping(steps, base, section)
    merger.refuse(
        steps,
        _NEW_TTL[steps[1]],
        f"limits for it in the base, {_declare(steps)}",
    )
    return _ABSENT


def _narrower_ids(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Limits for more source ids: no higher than any source type's, because an id does not say its type (F4)."""
    merged = {} if base is _ABSENT else dict(base)
    for name, limits in section.items():
        key, known = (*steps, name), merged.get(name, _ABSENT)
        if known is _ABSENT and key not in merger.replaceable and merger.below_every_type(limits):
            merged[name] = limits
        else:
            merged[name] = merger.value(key, known, limits)
    return {name: limits for name, limits in merged.items() if limits is not _ABSENT}


def _lower_word(order: tuple[str, ...], default: str, *, strict_is_low: bool) -> _Rule:
    def rule(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
        base = default if base is _ABSENT else base
        wider = order.index(section) > order.index(base) if strict_is_low else order.index(section) < order.index(base)
        if wider:
            verb = "lower" if strict_is_low else "raise"
            merger.refuse(
                steps,
                f"`{section}` widens the base's `{base}`; a tenant can only {verb} it",
                f"{base}, {_declare(steps)}",
            )
            return base
        return section

    return rule


_lower_trust_word = _lower_word(_TRUST_ORDER, "observed", strict_is_low=True)


def _lower_trust(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Keep the lower trust, down to `trusted`: contradiction compares nothing that is observed, so less would widen (C1)."""
    if section == "observed" and base not in {_ABSENT, "observed"}:
        merger.refuse(
            steps,
            "`observed` would switch off every comparison with this source's fields, which widens; a tenant can lower it to "
            "`trusted`",
            f"trusted, {_declare(steps)}",
        )
        return base
    return _lower_trust_word(merger, steps, base, section)


def _union(_merger: _Merger, _steps: Steps, base: Any, section: Any) -> Any:
    return [*(() if base is _ABSENT else base), *section]


def _intersection(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Keep what both allow. An entry of the section that the base does not have would widen."""
    known = {canonical.encode(value) for value in base}
    for index, value in enumerate(section):
        if canonical.encode(value) not in known:
            merger.refuse(
                (*steps, index),
                f"`{value}` is not in the base's `{where(steps)}`; a tenant can only shorten it",
                f"it there too, {_declare(steps)}",
            )
    return [value for value in section if canonical.encode(value) in known]


def _allow_list(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    return section if base is _ABSENT else _intersection(merger, steps, base, section)


def _shrinking(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    return _intersection(merger, steps, () if base is _ABSENT else base, section)


def _fixed(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    if base is _ABSENT or canonical.encode(base) != canonical.encode(section):
        what = "adding" if base is _ABSENT else "changing"
        merger.refuse(steps, f"{what} it for one tenant widens the base", f"it in the base, {_declare(steps)}")
    return base


def _no_more_exceptions(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    known = {canonical.encode(ordered_entry(entry)) for entry in (() if base is _ABSENT else base)}
    for index, entry in enumerate(section):
        if canonical.encode(ordered_entry(entry)) not in known:
            merger.refuse(
                (*steps, index), "a tenant cannot need fewer inputs than the base", f"it in the base, {_declare(steps)}"
            )
    return base


def _rules(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Add rules. One with the id of a base rule replaces it where declared, or raises nothing but its severity."""
    merged = {entry["id"]: entry for entry in (() if base is _ABSENT else base)}
    for index, entry in enumerate(section):
        known = merged.get(entry["id"])
        if known is None or (*steps, entry["id"]) in merger.replaceable or _only_stricter(known, entry):
            merged[entry["id"]] = entry
        else:
            merger.refuse(
                (*steps, index),
                f"the base has a rule `{entry['id']}` already",
                f"another id, {_declare((*steps, entry['id']))}",
            )
    return list(merged.values())


def _only_stricter(known: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Return whether a rule says what the known one says, at least as severely."""
    alike = {**known, "severity": None} == {**entry, "severity": None}
    return alike and (known.get("severity") == entry.get("severity") or entry.get("severity") == "BLOCK")


def _appended(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    merged = list(() if base is _ABSENT else base)
    known = {entry["id"]: index for index, entry in enumerate(merged)}
    for index, entry in enumerate(section):
        position = known.get(entry["id"])
        if position is None:
            merged.append(entry)
        elif (*steps, entry["id"]) in merger.replaceable:
            merged[position] = entry
        elif canonical.encode(merged[position]) != canonical.encode(entry):
            merger.refuse(
                (*steps, index),
                f"the base configures `{entry['id']}` already",
                f"it there, {_declare((*steps, entry['id']))}",
            )
    return merged


# --- Budgets ----------------------------------------------------------------------------------------------------------


def _free(_merger: _Merger, _steps: Steps, _base: Any, section: Any) -> Any:
    return section


def _prices(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Keep the base's prices: with another price the same calls reserve more or less, and a new one makes cost known (B12)."""
    if base is not _ABSENT:
        return merger.mapping(steps, base, section)
    merger.refuse(
        steps,
        "the base has no prices, so that cost in money is unknown there; prices for one tenant may widen that",
        f"them in the base, {_declare(steps)}",
    )
    return _ABSENT


def _higher_maximum(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Assume more of unknown cost, never less (B12). What no cap of the base counts is free to be assumed."""
    cost_class, unit = str(steps[2]), str(steps[4])
    if base is not _ABSENT:
        if int(section) < int(base):
            merger.refuse(
                steps,
                f"{shown(int(section), unit)} is below the base's {shown(int(base), unit)}; a tenant can only raise it",
                f"{as_written(int(base), unit)} or more, {_declare(steps)}",
            )
            return base
        return section
    if not any(cap["unit"] == unit and cost_class in classes_of(cap) for cap in merger.caps):
        return section
    merger.refuse(
        steps,
        f"the base assumes nothing of unknown {named(unit)}, which is BLOCK COST_UNKNOWN under its caps; a maximum for one "
        "tenant widens that",
        f"it in the base, {_declare(steps)}",
    )
    return _ABSENT


def _caps(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    """Add caps, for requests that fall under a cap of the base too (B8), and lower those of the base."""
    merged = {cap["id"]: cap for cap in (() if base is _ABSENT else base)}
    for index, cap in enumerate(section):
        known = merged.get(cap["id"])
        if (*steps, cap["id"]) in merger.replaceable:
            merged[cap["id"]] = cap
        elif known is not None:
            merged[cap["id"]] = _lower_cap(merger, (*steps, index), known, cap)
        elif not (beyond := uncovered_classes(complete_cap(cap), merger.caps)):
            merged[cap["id"]] = cap
        else:
            merger.refuse(
                (*steps, index),
                f"requests of {listed(beyond)} can fall under this cap and under none of the base, where they are BLOCK "
                "NO_APPLICABLE_CONFIG; a cap for one tenant widens that",
                f"a cap for them in the base, {_declare(steps)}",
            )
    return list(merged.values())


def _lower_cap(merger: _Merger, steps: Steps, known: Mapping[str, Any], cap: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base's cap with what the section lowers in it; keys that the section leaves out are the base's."""
    merged = dict(known)
    before, after = complete_cap(known), complete_cap({**known, **cap})
    for key, place in (
        ("unit", "hard_cap"),
        ("period", "hard_cap"),
        ("scope", "scope"),
        ("cost_classes", "cost_classes"),
    ):
        if before.get(key) != after.get(key) and not (
            key == "cost_classes" and classes_of(before) == classes_of(after)
        ):
            merger.refuse(
                (*steps, place),
                f"the base has a cap `{cap['id']}` with another `{key}`",
                f"the same {key}, or another id, {_declare(_cap_key(cap))}",
            )
            return merged
    if no_higher(limit_of(after), limit_of(before)):
        merged["hard_cap"] = after["hard_cap"]
    else:
        _refuse_higher(merger, (*steps, "hard_cap"), cap, shown_limit(after), shown_limit(before))
    if no_higher(warning_of(after), warning_of(before)):
        merged.update({"soft_cap": after["soft_cap"]} if "soft_cap" in after else {})
    else:
        texts = [shown(warning_of(one) or 0, one["unit"]) for one in (after, before)]
        _refuse_higher(merger, (*steps, "soft_cap"), cap, *texts)
    _keep_soft_below_hard(merger, steps, merged, cap)
    for key, strict in (("justification", True), ("settlement", False)):
        if after[key] in {before[key], strict}:
            merged[key] = after[key]
        else:
            text = str(after[key]).lower()
            message = f"`{key}: {text}` widens the base's; a tenant can only turn it {'on' if strict else 'off'}"
            merger.refuse((*steps, key), message, f"{str(strict).lower()}, {_declare(_cap_key(cap))}")
    return merged


def _keep_soft_below_hard(merger: _Merger, steps: Steps, merged: dict[str, Any], cap: Mapping[str, Any]) -> None:
    warning, limit = warning_of(merged), limit_of(merged)
    if warning is None or no_higher(warning, limit):
        return
    if "soft_cap" not in cap:
        message = f"the base's soft cap {shown(warning, merged['unit'])} is above this hard cap {shown_limit(merged)}"
        merger.refuse((*steps, "hard_cap"), message, "a `soft_cap` in this section too")
    merged["soft_cap"] = merged["hard_cap"]


def _refuse_higher(merger: _Merger, steps: Steps, cap: Mapping[str, Any], section: str, base: str) -> None:
    message = f"{section} is above the base's {base}; a tenant can only lower it"
    merger.refuse(steps, message, f"{base.replace(',', '')} or less, {_declare(_cap_key(cap))}")


def _cap_key(cap: Mapping[str, Any]) -> Steps:
    return "budgets", "caps", str(cap["id"])


# --- Plans ------------------------------------------------------------------------------------------------------------


def _known_only(what: str) -> _Rule:
    """Merge what the base has too; what is new would let something happen that cannot happen there."""

    def rule(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
        if base is not _ABSENT:
            return merger.mapping(steps, base, section)
        merger.refuse(
            steps, f"the base has no such {what}; one for a tenant widens that", f"it in the base, {_declare(steps)}"
        )
        return _ABSENT

    return rule


def _fewer_retries(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    if section > base:
        merger.refuse(
            steps,
            f"{section} is above the base's {base}; a tenant can only lower it",
            f"{base} or less, {_declare(steps)}",
        )
        return base
    return section


def _only_on(merger: _Merger, steps: Steps, base: Any, section: Any) -> Any:
    if base is True and not section:
        merger.refuse(steps, "`false` widens the base's; a tenant can only turn it on", f"true, {_declare(steps)}")
        return base
    return section


# --- Which key is what ------------------------------------------------------------------------------------------------

_ANY: Final = "*"
_MERGE_RULES: Final[Mapping[Steps, _Rule]] = {
    ("max_clock_skew",): _lower_duration,
    ("sources", _ANY, "trust"): _lower_trust,
    ("sources", _ANY, "free_text"): _union,
    ("sources", _ANY, "admitted_text"): _shrinking,
    ("operations", _ANY): _fixed,
    ("required_inputs", "not_needed"): _no_more_exceptions,
    ("freshness", "source_types", _ANY): _ttl,
    ("freshness", "source_ids"): _narrower_ids,
    ("freshness", "source_ids", _ANY): _ttl,
    ("freshness", "source_types", _ANY, "soft_ttl"): _lower_duration,
    ("freshness", "source_types", _ANY, "hard_ttl"): _lower_duration,
    ("freshness", "source_ids", _ANY, "soft_ttl"): _lower_duration,
    ("freshness", "source_ids", _ANY, "hard_ttl"): _lower_duration,
    ("grounding", "severity"): _lower_word(_SEVERITY_ORDER, "BLOCK", strict_is_low=False),
    ("grounding", "values"): _rules,
    ("contradiction", "unknown_values"): _shrinking,
    ("contradiction", "rules"): _rules,
    ("compliance", "unknown_values"): _union,
    ("compliance", "restricted_fields"): _rules,
    ("compliance", "personal_fields", _ANY): _rules,
    ("compliance", "prohibited_actions"): _union,
    ("compliance", "allowed_actions"): _allow_list,
    ("compliance", "allowed_targets"): _allow_list,
    ("compliance", "prohibited_targets"): _union,
    ("compliance", "prohibited_values"): _rules,
    ("compliance", "required_known"): _rules,
    ("compliance", "value_patterns"): _rules,
    ("budgets", "time_zone"): _free,
    ("budgets", "cost_classes", _ANY, "maximum", _ANY): _higher_maximum,
    ("budgets", "prices"): _prices,
    ("budgets", "prices", "currency"): _fixed,
    ("budgets", "prices", "source"): _fixed,
    ("budgets", "prices", "date"): _fixed,
    ("budgets", "prices", "sha256"): _fixed,
    ("budgets", "prices", "operations", _ANY): _fixed,
    ("budgets", "prices", "models", _ANY): _fixed,
    ("budgets", "caps"): _caps,
    ("plan_types", _ANY): _known_only("plan type"),
    ("plan_types", _ANY, "actions", _ANY): _known_only("action type in this plan type"),
    ("plan_types", _ANY, "actions", _ANY, "risk"): _lower_word(_RISK_ORDER, "LOW", strict_is_low=False),
    ("plan_types", _ANY, "actions", _ANY, "operations"): _allow_list,
    ("plan_types", _ANY, "actions", _ANY, "human_touch"): _only_on,
    ("plan_types", _ANY, "actions", _ANY, "disabled"): _only_on,
    ("plan_types", _ANY, "order"): _union,
    ("plan_types", _ANY, "objective"): _fixed,
    ("plan_types", _ANY, "max_retries"): _fewer_retries,
    ("plan_types", _ANY, "on_block"): _lower_word(("pause", "abort"), "pause", strict_is_low=False),
    ("plan_types", _ANY, "elevated_risk"): _lower_word(_RISK_ORDER, "HIGH", strict_is_low=True),
    ("plan_types", _ANY, "lifetime"): _lower_duration,
    ("plan_types", _ANY, "disabled"): _only_on,
    ("validators",): _appended,
}


def _merge_rule(steps: Steps) -> _Rule | None:
    for pattern, rule in _MERGE_RULES.items():
        if len(pattern) == len(steps) and all(p in {_ANY, s} for p, s in zip(pattern, steps, strict=True)):
            return rule
    return None


def is_key(steps: Steps, base: Mapping[str, Any]) -> bool:
    """Return whether ``steps`` name something that a tenant's section can write: a section, a key, or a rule by its id."""
    return any(_names_key(pattern, rule, steps, base) for pattern, rule in _MERGE_RULES.items())


def _names_key(pattern: Steps, rule: _Rule, steps: Steps, base: Mapping[str, Any]) -> bool:
    if not all(p in {_ANY, s} for p, s in zip(pattern, steps, strict=False)):
        return False
    if len(steps) <= len(pattern):
        return True
    if len(steps) != len(pattern) + 1 or rule not in {_rules, _appended, _caps}:
        return False
    entries: Any = base
    for step in steps[:-1]:
        entries = entries.get(step, {}) if isinstance(entries, dict) else {}
    return any(entry["id"] == steps[-1] for entry in entries)
