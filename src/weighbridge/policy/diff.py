"""What gets stricter and what looser between two effective policies, in words; and what changed where that cannot be told.

Stricter means: whatever was WARN or BLOCK still is at least that, and something more may be. A change whose effect depends on
the requests (another path, another target, the trust of a source whose fields are also compared) is only *changed*. Every
change stands for itself: several may cancel each other out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Literal

from weighbridge import canonical
from weighbridge.domain.amounts import shown
from weighbridge.domain.instant import parse_duration
from weighbridge.policy.amount_text import UNLIMITED
from weighbridge.policy.budget_caps import limit_of, no_higher, shown_limit, uncovered_classes, warning_of
from weighbridge.policy.effective import EffectivePolicy
from weighbridge.policy.mistakes import Steps, where

Effect = Literal["stricter", "looser", "changed"]
STRICTER: Final = "stricter"
LOOSER: Final = "looser"
CHANGED: Final = "changed"

_ABSENT: Final = object()
_SHOWN_MAX: Final = 80  # characters of a value that are shown


@dataclass(frozen=True, slots=True)
class Change:
    """One change: where, what it does, and what happened, as in ``is 10d, was 14d``."""

    where: str
    effect: Effect
    what: str

    def __str__(self) -> str:
        return f"{self.effect}: {self.where} {self.what}"


def diff_policies(before: EffectivePolicy, after: EffectivePolicy) -> list[Change]:
    """Return every change from one effective policy to another, in the order of the document's keys."""
    return list(_compare((), before.document, after.document))


# --- Walking ----------------------------------------------------------------------------------------------------------

_Compare = Callable[[Steps, Any, Any], Iterator[Change]]


def _compare(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    if before is not _ABSENT and after is not _ABSENT and canonical.encode(before) == canonical.encode(after):
        return
    compare = _rule_for(steps)
    if compare is not None:
        yield from compare(steps, before, after)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({**before, **after}):
            yield from _compare((*steps, key), before.get(key, _ABSENT), after.get(key, _ABSENT))
    else:
        yield _change(steps, CHANGED, before, after)


def _rule_for(steps: Steps) -> _Compare | None:
    for pattern, compare in _RULES.items():
        if len(pattern) == len(steps) and all(p in {"*", s} for p, s in zip(pattern, steps, strict=True)):
            return compare
    return None


def _change(steps: Steps, effect: Effect, before: Any, after: Any) -> Change:
    if before is _ABSENT:
        what = f"is new: {_shown(after)}"
    elif after is _ABSENT:
        what = "is gone" if isinstance(before, Mapping) else f"is gone, was {_shown(before)}"
    else:
        what = f"is {_shown(after)}, was {_shown(before)}"
    return Change(where(steps), effect, what)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"


# --- One kind of key each ---------------------------------------------------------------------------------------------


def _sized(measure: Callable[[Any], Any], larger: Effect) -> _Compare:
    """A key that is always there and has a size; ``larger`` is what a larger one does."""

    def compare(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
        effect = larger if measure(after) > measure(before) else _opposite(larger)
        yield _change(steps, effect, before, after)

    return compare


def _opposite(effect: Effect) -> Effect:
    if effect == CHANGED:
        return CHANGED
    return LOOSER if effect == STRICTER else STRICTER


def _members(more: Effect) -> _Compare:
    """A set that is always there; ``more`` is what another member does."""

    def compare(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
        olds = {canonical.encode(value): value for value in before}
        news = {canonical.encode(value): value for value in after}
        for key in sorted({**olds, **news}):
            if key not in olds:
                yield Change(where(steps), more, f"has `{_shown(news[key])}`, had it not")
            elif key not in news:
                yield Change(where(steps), _opposite(more), f"has `{_shown(olds[key])}` no more")

    return compare


def _allow_list(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    if before is _ABSENT or after is _ABSENT:
        yield _change(steps, STRICTER if before is _ABSENT else LOOSER, before, after)
    else:
        yield from _members(LOOSER)(steps, before, after)


def _presence(more: Effect) -> _Compare:
    """A key that may be there or not; ``more`` is what its being there does. Inside it, each key counts for itself."""

    def compare(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
        if before is _ABSENT or after is _ABSENT:
            yield _change(steps, more if before is _ABSENT else _opposite(more), before, after)
            return
        for key in sorted({**before, **after}):
            yield from _compare((*steps, key), before.get(key, _ABSENT), after.get(key, _ABSENT))

    return compare


def _changed_only(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    yield _change(steps, CHANGED, before, after)


def _section(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """Without the section, what it is about is BLOCK `CONFIG_MISSING` (G5), so that one that is new loosens."""
    if before is _ABSENT:
        yield Change(where(steps), LOOSER, "is configured, and was BLOCK CONFIG_MISSING")
    elif after is _ABSENT:
        yield Change(where(steps), STRICTER, "is not configured any more, which is BLOCK CONFIG_MISSING")
    else:
        yield from _presence(LOOSER)(steps, before, after)


# --- Rules with an id -------------------------------------------------------------------------------------------------


def _rules(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """A list of rules: one more is stricter, one less looser; inside a rule, each key counts for itself."""
    olds = {entry["id"]: entry for entry in (() if before is _ABSENT else before)}
    news = {entry["id"]: entry for entry in (() if after is _ABSENT else after)}
    for identity in sorted({**olds, **news}):
        place = (*steps, identity)
        if identity not in olds or identity not in news:
            effect: Effect = STRICTER if identity not in olds else LOOSER
            yield Change(where(place), effect, "is new" if effect == STRICTER else "is gone")
            continue
        yield from _rule_changes(place, olds[identity], news[identity])


def _rule_changes(steps: Steps, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    kinds = {before.get("rule"), after.get("rule")}
    for key in sorted({**before, **after}):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old is _ABSENT or new is _ABSENT or canonical.encode(old) != canonical.encode(new):
            effect = _rule_effect(key, old, new, str(before.get("rule"))) if len(kinds) == 1 else CHANGED
            yield _change((*steps, key), effect, old, new)


def _rule_effect(key: str, before: Any, after: Any, kind: str) -> Effect:
    if key in {"action_types", "source_types"} and (before is _ABSENT or after is _ABSENT):
        # Left out means all: of action types more is stricter, of sources that count less.
        all_now = after is _ABSENT
        return STRICTER if all_now == (key == "action_types") else LOOSER
    if before is _ABSENT or after is _ABSENT:
        return _BOUND_EFFECTS.get(key, CHANGED) if before is _ABSENT else _gone(_BOUND_EFFECTS.get(key, CHANGED))
    if key == "severity":
        return STRICTER if after == "BLOCK" else LOOSER
    if key == "text":
        return LOOSER if after else STRICTER
    larger = _LARGER.get((kind, key)) or _LARGER.get(("*", key))
    if larger is None:
        return CHANGED
    return _set_effect(before, after, larger) if isinstance(before, list) else _size_effect(key, before, after, larger)


_BOUND_EFFECTS: Final[Mapping[str, Effect]] = {"earliest": STRICTER, "latest": STRICTER, "checksum": LOOSER}
"""What a bound does that was not there: it limits a window, or what a pattern finds."""

_LARGER: Final[Mapping[tuple[str, str], Effect]] = {
    ("at_most", "value"): LOOSER,
    ("at_least", "value"): STRICTER,
    ("count_max", "max"): LOOSER,
    ("max_delta", "absolute"): LOOSER,
    ("max_delta", "percent"): LOOSER,
    ("one_of", "values"): LOOSER,
    ("requires_state", "values"): LOOSER,
    ("date_window", "earliest"): STRICTER,
    ("date_window", "latest"): LOOSER,
    ("transitions", "allowed"): LOOSER,
    ("None", "values"): STRICTER,  # of prohibited values
    ("None", "fields"): STRICTER,
    ("None", "source_types"): LOOSER,
    ("*", "action_types"): STRICTER,
    ("*", "when"): LOOSER,
}
"""What a larger number or set does, by kind of rule and key (``None``: lists whose rules have no kind)."""


def _gone(effect: Effect) -> Effect:
    return effect if effect == CHANGED else _opposite(effect)


def _set_effect(before: Any, after: Any, larger: Effect) -> Effect:
    olds, news = {canonical.encode(value) for value in before}, {canonical.encode(value) for value in after}
    if olds < news:
        return larger
    return _opposite(larger) if news < olds else CHANGED


def _size_effect(key: str, before: Any, after: Any, larger: Effect) -> Effect:
    if key == "allowed":
        return _set_effect(_pairs(before), _pairs(after), larger) if set(before) == set(after) else CHANGED
    measure = _signed_ms if key in {"earliest", "latest"} else lambda value: Decimal(str(value))
    return larger if measure(after) > measure(before) else _opposite(larger)


def _pairs(allowed: Mapping[str, Any]) -> list[list[str]]:
    return [[source, target] for source, targets in allowed.items() for target in targets]


def _signed_ms(text: str) -> int:
    return -_milliseconds(text[1:]) if text.startswith("-") else _milliseconds(text)


def _milliseconds(text: str) -> int:
    return parse_duration(text) or 0


# --- Which key is what ------------------------------------------------------------------------------------------------


def _trust(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """A source that is no longer trusted grounds nothing, and its fields are no longer compared: no word for both."""
    yield _change(steps, CHANGED, before, after)


def _cost_class(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """An EXPENSIVE operation passes one choke point more."""
    effect: Effect = STRICTER if after == "EXPENSIVE" else LOOSER if before == "EXPENSIVE" else CHANGED
    yield _change(steps, effect, before, after)


def _proposal(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    yield _change(steps, STRICTER if after else LOOSER, before, after)


def _validators(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    olds, news = {entry["id"]: entry for entry in before}, {entry["id"]: entry for entry in after}
    yield from _rules(steps, [e for e in before if e["id"] not in news], [e for e in after if e["id"] not in olds])
    for identity in sorted(olds.keys() & news.keys()):
        if canonical.encode(olds[identity]) != canonical.encode(news[identity]):
            yield _change((*steps, identity, "config"), CHANGED, olds[identity]["config"], news[identity]["config"])
    if [i for i in olds if i in news] != [i for i in news if i in olds]:
        yield Change(where(steps), CHANGED, "run in another order")


# --- Budgets ----------------------------------------------------------------------------------------------------------


def _budgets(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """Without the section, every operation is BLOCK `NO_APPLICABLE_CONFIG` (B8)."""
    if before is _ABSENT:
        yield Change(where(steps), LOOSER, "is configured, and was BLOCK NO_APPLICABLE_CONFIG")
    elif after is _ABSENT:
        yield Change(where(steps), STRICTER, "is not configured any more, which is BLOCK NO_APPLICABLE_CONFIG")
    else:
        yield from _presence(LOOSER)(steps, before, after)


def _caps(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """One cap more is stricter, unless it lets through what fell under no cap before (B8); one less is the opposite."""
    olds, news = {cap["id"]: cap for cap in before}, {cap["id"]: cap for cap in after}
    for identity in sorted({**olds, **news}):
        place = (*steps, identity)
        old, new = olds.get(identity), news.get(identity)
        if old is not None and new is not None:
            yield from _cap_changes(place, old, new)
        elif new is not None:
            effect: Effect = CHANGED if uncovered_classes(new, before) else STRICTER
            yield Change(where(place), effect, f"is new: {_cap_text(new)}")
        elif old is not None:
            effect = CHANGED if uncovered_classes(old, after) else LOOSER
            yield Change(where(place), effect, f"is gone, was {_cap_text(old)}")


def _cap_text(cap: Mapping[str, Any]) -> str:
    return f"{shown_limit(cap)}/{cap['period'].lower()}"


def _cap_changes(steps: Steps, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    comparable = all(before.get(key) == after.get(key) for key in ("unit", "period", "scope", "cost_classes"))
    for key in sorted({**before, **after}):
        old, new = before.get(key, _ABSENT), after.get(key, _ABSENT)
        if old != new:
            effect = _cap_effect(key, before, after) if comparable else CHANGED
            yield _change((*steps, key), effect, _cap_value(key, before), _cap_value(key, after))


def _cap_effect(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Effect:
    if key in {"hard_cap", "soft_cap"}:
        measure = limit_of if key == "hard_cap" else warning_of
        return STRICTER if no_higher(measure(after), measure(before)) else LOOSER
    return STRICTER if after[key] == (key == "justification") else LOOSER


def _cap_value(key: str, cap: Mapping[str, Any]) -> Any:
    if key not in cap:
        return _ABSENT
    value = cap[key]
    return shown(int(value), cap["unit"]) if key in {"hard_cap", "soft_cap"} and value != UNLIMITED else value


def _maximum(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """Where more is assumed of unknown cost, less fits (B12). Assumed at all, it may pass, or be counted by caps that are new."""
    effect: Effect = CHANGED
    if before is not _ABSENT and after is not _ABSENT:
        effect = STRICTER if int(after) > int(before) else LOOSER
    yield _change(steps, effect, *(_amount(value, str(steps[-1])) for value in (before, after)))


def _amount(value: Any, unit: str) -> Any:
    return value if value is _ABSENT else shown(int(value), unit)


def _prices(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    if before is _ABSENT or after is _ABSENT:
        yield Change(where(steps), CHANGED, "are new" if before is _ABSENT else "are gone")
        return
    comparable = before["currency"] == after["currency"]
    for key in sorted({**before, **after}):
        for change in _compare((*steps, key), before.get(key, _ABSENT), after.get(key, _ABSENT)):
            yield change if comparable else replace(change, effect=CHANGED)


def _price(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """At a higher price the same calls reserve more. A price that is new makes cost known."""
    effect: Effect = CHANGED
    if before is not _ABSENT and after is not _ABSENT:
        effect = STRICTER if int(after) > int(before) else LOOSER
    yield _change(steps, effect, before, after)


# --- Plans ------------------------------------------------------------------------------------------------------------


def _plan_types(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    """Without the section, every plan is `INVALID_PLAN_TYPE` (H3)."""
    olds, news = ({} if section is _ABSENT else section for section in (before, after))
    for name in sorted({**olds, **news}):
        yield from _compare((*steps, name), olds.get(name, _ABSENT), news.get(name, _ABSENT))


def _on_block(steps: Steps, before: Any, after: Any) -> Iterator[Change]:
    yield _change(steps, STRICTER if after == "abort" else LOOSER, before, after)


_RISKS: Final = ("LOW", "MEDIUM", "HIGH")

_RULES: Final[Mapping[Steps, _Compare]] = {
    ("max_clock_skew",): _sized(_milliseconds, LOOSER),
    ("sources", "*", "trust"): _trust,
    ("sources", "*", "free_text"): _members(STRICTER),
    ("sources", "*", "admitted_text"): _members(LOOSER),
    ("operations", "*"): _presence(LOOSER),
    ("operations", "*", "cost_class"): _cost_class,
    ("operations", "*", "declares_proposal"): _proposal,
    ("required_inputs", "not_needed"): _members(LOOSER),
    ("freshness",): _section,
    ("freshness", "source_types", "*"): _presence(LOOSER),
    ("freshness", "source_ids", "*"): _changed_only,
    ("freshness", "source_types", "*", "soft_ttl"): _sized(_milliseconds, LOOSER),
    ("freshness", "source_types", "*", "hard_ttl"): _sized(_milliseconds, LOOSER),
    ("grounding",): _section,
    ("grounding", "severity"): _sized(lambda severity: severity == "BLOCK", STRICTER),
    ("grounding", "values"): _rules,
    ("contradiction",): _section,
    ("contradiction", "unknown_values"): _members(LOOSER),
    ("contradiction", "rules"): _rules,
    ("compliance",): _section,
    ("compliance", "unknown_values"): _members(STRICTER),
    ("compliance", "restricted_fields"): _rules,
    ("compliance", "personal_fields", "*"): _rules,
    ("compliance", "prohibited_actions"): _members(STRICTER),
    ("compliance", "allowed_actions"): _allow_list,
    ("compliance", "allowed_targets"): _allow_list,
    ("compliance", "prohibited_targets"): _members(STRICTER),
    ("compliance", "prohibited_values"): _rules,
    ("compliance", "required_known"): _rules,
    ("compliance", "value_patterns"): _rules,
    ("budgets",): _budgets,
    ("budgets", "caps"): _caps,
    ("budgets", "cost_classes", "*"): _presence(CHANGED),
    ("budgets", "cost_classes", "*", "maximum", "*"): _maximum,
    ("budgets", "prices"): _prices,
    ("budgets", "prices", "operations", "*"): _price,
    ("budgets", "prices", "models", "*"): _presence(CHANGED),
    ("budgets", "prices", "models", "*", "input"): _price,
    ("budgets", "prices", "models", "*", "output"): _price,
    ("plan_types",): _plan_types,
    ("plan_types", "*"): _presence(LOOSER),
    ("plan_types", "*", "disabled"): _sized(int, STRICTER),
    ("plan_types", "*", "actions", "*"): _presence(LOOSER),
    ("plan_types", "*", "actions", "*", "disabled"): _sized(int, STRICTER),
    ("plan_types", "*", "actions", "*", "human_touch"): _sized(int, STRICTER),
    ("plan_types", "*", "actions", "*", "risk"): _sized(_RISKS.index, STRICTER),
    ("plan_types", "*", "actions", "*", "operations"): _allow_list,
    ("plan_types", "*", "order"): _members(STRICTER),
    ("plan_types", "*", "objective"): _changed_only,
    ("plan_types", "*", "max_retries"): _sized(int, LOOSER),
    ("plan_types", "*", "on_block"): _on_block,
    ("plan_types", "*", "elevated_risk"): _sized(_RISKS.index, LOOSER),
    ("plan_types", "*", "lifetime"): _sized(_milliseconds, LOOSER),
    ("validators",): _validators,
}
