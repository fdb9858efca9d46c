"""Values that cannot be meant: limits that contradict each other, rules that compare with nothing, keys without effect.

`impossible_parts` looks at the raw document, so that it speaks even where the shape is wrong elsewhere; `impossible_values` at
the checked base or at a tenant's section, `impossible_limits` at two ages that meet only after merging.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.choke_point import REQUIRED_INPUTS, ChokePoint, Input
from weighbridge.domain.instant import parse_duration
from weighbridge.domain.paths import FieldPattern, Key, parse_field_pattern, parse_path, parse_snapshot_path
from weighbridge.policy.leaves import signed_duration_ms
from weighbridge.policy.mistakes import Mistake, Steps, listed
from weighbridge.policy.rule_kinds import KINDS_BY_NAME, Case

_OWN_VALIDATORS: Final = ("freshness", "grounding", "contradiction", "compliance")
_AT_LEAST_ONE: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "date_window": (("earliest", "latest"), ("field", "snapshot")),
}
"""Keys of a rule kind of which at least one is written; those of which exactly one is stand at the kind."""

Entry = tuple[Steps, Mapping[str, Any]]
"""A rule and its place."""


# --- On the raw document ----------------------------------------------------------------------------------------------


def impossible_parts(raw: Any, left_out: AbstractSet[Steps] = frozenset()) -> Iterator[Mistake]:
    """Yield what is wrong with the combination of keys, whatever their values are.

    ``left_out`` are places of values that could not even be read: the keys are there all the same.
    """
    for steps, part in _raw_parts(raw):
        for name, rule in _raw_entries(part, "contradiction", "rules"):
            yield from _alternatives((*steps, *name), rule, left_out)
        for name, pattern in _raw_entries(part, "compliance", "value_patterns"):
            if not _present((*steps, *name), pattern, ("regex", "checksum"), left_out):
                message = "a value pattern without an expression or a checksum"
                yield Mistake((*steps, *name), message, "`regex`, `checksum` or both")
        for name, operation in _raw_mapping(part, "operations"):
            yield from _operation((*steps, *name), operation, left_out)
    yield from _empty_sections(raw)


def _present(steps: Steps, part: Mapping[str, Any], keys: Iterable[str], left_out: AbstractSet[Steps]) -> list[str]:
    return [key for key in keys if key in part or (*steps, key) in left_out]


def _raw_parts(raw: Any) -> Iterator[tuple[Steps, Any]]:
    yield (), raw
    yield from _raw_mapping(raw, "tenants")


def _raw_mapping(part: Any, key: str) -> Iterator[tuple[Steps, Any]]:
    values = part.get(key) if isinstance(part, dict) else None
    if isinstance(values, dict):
        yield from (((key, name), value) for name, value in values.items() if isinstance(value, dict))


def _raw_entries(part: Any, section: str, key: str) -> Iterator[tuple[Steps, Any]]:
    inner = part.get(section) if isinstance(part, dict) else None
    entries = inner.get(key) if isinstance(inner, dict) else None
    if isinstance(entries, list | tuple):
        yield from (((section, key, i), entry) for i, entry in enumerate(entries) if isinstance(entry, dict))


def _alternatives(steps: Steps, rule: Mapping[str, Any], left_out: AbstractSet[Steps]) -> Iterator[Mistake]:
    name = rule.get("rule")
    kind = KINDS_BY_NAME.get(name) if isinstance(name, str) else None
    if kind is not None:
        what = f"a rule of kind `{name}`"
        yield from _exactly_one(steps, rule, getattr(kind, "alternatives", ()), what, left_out)
        for keys in _AT_LEAST_ONE.get(str(name), ()):
            if not _present(steps, rule, keys, left_out):
                yield Mistake(steps, f"{what} without {listed(keys)}", "at least one of them")
    cases = rule.get("when")
    for index, case in enumerate(cases if isinstance(cases, list | tuple) else ()):
        if isinstance(case, dict):
            yield from _exactly_one((*steps, "when", index), case, Case.alternatives, "a condition", left_out)


def _exactly_one(
    steps: Steps, part: Mapping[str, Any], keys: tuple[str, ...], what: str, left_out: AbstractSet[Steps]
) -> Iterator[Mistake]:
    present = _present(steps, part, keys, left_out)
    if keys and len(present) != 1:
        message = f"{what} with both {listed(keys)}" if present else f"{what} without {listed(keys)}"
        yield Mistake((*steps, present[-1]) if present else steps, message, "exactly one of them", at_key=bool(present))


def _operation(steps: Steps, operation: Mapping[str, Any], left_out: AbstractSet[Steps]) -> Iterator[Mistake]:
    if operation.get("kind") == "writeback" and not _present(steps, operation, ("target",), left_out):
        yield Mistake(steps, "a writeback without a target", "`target:` with the system it writes to")
    if operation.get("declares_proposal") is True and operation.get("cost_class") in {"CHEAP", "MEDIUM"}:
        message = "has no effect: only EXPENSIVE operations pass the choke point it is about"
        yield Mistake((*steps, "declares_proposal"), message, "`cost_class: EXPENSIVE`, or leave it out")


def _empty_sections(raw: Any) -> Iterator[Mistake]:
    """G5: a section counts as configuration only where something is written out, be it an empty list."""
    for section, example in (("freshness", "source_types: {}"), ("compliance", "restricted_fields: []")):
        if isinstance(raw, dict) and raw.get(section) == {}:
            message = "is empty, which is not the same as configured"
            yield Mistake((section,), message, f"what it allows, if nothing else `{example}`, or leave the section out")


# --- On the checked base or section -----------------------------------------------------------------------------------


def impossible_values(steps: Steps, part: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield what is impossible in the base or in one section; ``part`` has ids in all its rules."""
    yield from _sources(steps, part)
    yield from _inputs(steps, part)
    if not steps:  # a section's limits are looked at after merging
        yield from impossible_limits(steps, part.get("freshness", {}), part.get("freshness", {}))
    unknown = part.get("contradiction", {}).get("unknown_values", ())
    for place, rule in entries_of(part, "contradiction", "rules"):
        yield from _rule((*steps, *place), rule, unknown)
    for place, entries in entry_lists(part):
        yield from _repeated_ids((*steps, *place), entries)
    for index, entry in enumerate(part.get("validators", ())):
        if entry["id"] in _OWN_VALIDATORS:
            message = f"`{entry['id']}` always takes part and is not configured here"
            yield Mistake((*steps, "validators", index), message, "the id of a validator of your own")


def entry_lists(part: Mapping[str, Any]) -> Iterator[tuple[Steps, Any]]:
    """Yield every list of rules with ids, and where it stands."""
    places = (
        ("grounding", "values"),
        ("contradiction", "rules"),
        ("compliance", "restricted_fields"),
        ("compliance", "prohibited_values"),
        ("compliance", "required_known"),
        ("compliance", "value_patterns"),
        ("budgets", "caps"),
    )
    for section, key in places:
        yield (section, key), part.get(section, {}).get(key, ())
    for name, entries in part.get("compliance", {}).get("personal_fields", {}).items():
        yield ("compliance", "personal_fields", name), entries
    yield ("validators",), part.get("validators", ())


def entries_of(part: Mapping[str, Any], section: str, key: str) -> Iterator[Entry]:
    """Yield the rules of one list, each with its place."""
    for index, entry in enumerate(part.get(section, {}).get(key, ())):
        yield (section, key, index), entry


def _repeated_ids(steps: Steps, entries: Any) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries):
        first = seen.setdefault(entry["id"], index)
        if first != index:
            message = f"the id `{entry['id']}` is already that of an earlier entry of this list"
            yield Mistake((*steps, index), message, "an `id` of its own")


def _sources(steps: Steps, part: Mapping[str, Any]) -> Iterator[Mistake]:
    for name, source in part.get("sources", {}).items():
        if steps and "free_text" not in source:
            continue
        free = [parse_field_pattern(text) for text in source.get("free_text", ())]
        for index, text in enumerate(source.get("admitted_text", ())):
            if not any(_overlap(parse_field_pattern(text), pattern) for pattern in free):
                message = f"`{text}` is not among the `free_text` of this source, so admitting it has no effect"
                yield Mistake(
                    (*steps, "sources", name, "admitted_text", index),
                    message,
                    "it under `free_text` too, or leave it out",
                )


def _overlap(one: FieldPattern, other: FieldPattern) -> bool:
    return one.matches(other.names) or other.matches(one.names)


def _inputs(steps: Steps, part: Mapping[str, Any]) -> Iterator[Mistake]:
    entries = part.get("required_inputs", {}).get("not_needed", ())
    for index, entry in enumerate(entries):
        place = (*steps, "required_inputs", "not_needed", index)
        points = [ChokePoint(name) for name in entry.get("choke_points", ())] or list(ChokePoint)
        for position, name in enumerate(entry["inputs"]):
            if not any(Input(name) in REQUIRED_INPUTS[point] for point in points):
                message = f"none of these choke points asks for `{name}`"
                yield Mistake((*place, "inputs", position), message, "an input they ask for, or leave it out")
        for other, earlier in enumerate(entries):
            if (
                other != index
                and _needs_no_more(earlier, entry)
                and (other < index or not _needs_no_more(entry, earlier))
            ):
                message = "adds nothing to another entry, which says the same for at least the same cases"
                yield Mistake(place, message, "one of the two")
                break


def _needs_no_more(wide: Mapping[str, Any], narrow: Mapping[str, Any]) -> bool:
    inputs = set(narrow["inputs"]) <= set(wide["inputs"])
    return inputs and all(
        key not in wide or (key in narrow and set(narrow[key]) <= set(wide[key]))
        for key in ("action_types", "choke_points")
    )


def impossible_limits(steps: Steps, limits: Mapping[str, Any], mentioned: Mapping[str, Any]) -> Iterator[Mistake]:
    """Yield every soft limit above its hard one (F3), of the sources that are ``mentioned``."""
    for key in ("source_types", "source_ids"):
        for name in mentioned.get(key, {}):
            ttl = limits.get(key, {}).get(name, {})
            soft, hard = parse_duration(ttl.get("soft_ttl")), parse_duration(ttl.get("hard_ttl"))
            if soft is not None and hard is not None and soft > hard:
                message = f"the soft limit {ttl['soft_ttl']} is above the hard limit {ttl['hard_ttl']}"
                place = (*steps, "freshness", key, name)
                changed = next((k for k in ("soft_ttl", "hard_ttl") if k in mentioned[key][name]), "soft_ttl")
                yield Mistake(
                    (*place, changed), message, "soft at most hard" + (", both in this section" if steps else "")
                )


# --- Contradiction rules ----------------------------------------------------------------------------------------------


def _rule(steps: Steps, rule: Mapping[str, Any], unknown: Any) -> Iterator[Mistake]:
    yield from _window(steps, rule)
    yield from _keys(steps, rule)
    yield from _cases(steps, rule)
    if rule["rule"] == "requires_state":
        known = {canonical.encode(value) for value in unknown}
        for index, value in enumerate(rule["values"]):
            if value is None or canonical.encode(value) in known:
                message = (
                    f"`{value}` is an unknown value, and an unknown state is INCOMPARABLE_VALUE, whatever is listed"
                )
                yield Mistake((*steps, "values", index), message, "the known states only")


def _window(steps: Steps, rule: Mapping[str, Any]) -> Iterator[Mistake]:
    if "earliest" not in rule or "latest" not in rule:
        return
    earliest, latest = signed_duration_ms(rule["earliest"]), signed_duration_ms(rule["latest"])
    if earliest is not None and latest is not None and earliest > latest:
        message = f"the window opens at {rule['earliest']}, after it closes at {rule['latest']}"
        yield Mistake((*steps, "earliest"), message, "`earliest` at most `latest`")


def _keys(steps: Steps, rule: Mapping[str, Any]) -> Iterator[Mistake]:
    """``{.}`` stands for an element; where nothing is an element, it never names anything."""
    if "[*]" in rule.get("field", ""):
        return
    for place, text in ((("snapshot",), rule.get("snapshot")), *_case_snapshots(rule)):
        if text is not None and any(isinstance(s, Key) and s.path is None for s in parse_snapshot_path(text).segments):
            message = "`{.}` is the element of a list, and the rule's `field` has no `[*]`"
            yield Mistake((*steps, *place), message, "a key such as {id}, or a `field` with `[*]`")


def _case_snapshots(rule: Mapping[str, Any]) -> Iterator[tuple[Steps, str | None]]:
    for index, case in enumerate(rule["when"]):
        yield ("when", index, "snapshot"), case.get("snapshot")


def _cases(steps: Steps, rule: Mapping[str, Any]) -> Iterator[Mistake]:
    possible: dict[tuple[str, str], set[bytes]] = {}
    for index, case in enumerate(rule["when"]):
        kind = "field" if "field" in case else "snapshot"
        if kind not in case:
            continue  # complained about where the keys are looked at
        values = {canonical.encode(value) for value in case["equals"]}
        known = possible.setdefault((kind, case[kind]), values)
        if not known & values:
            message = f"no value of `{case[kind]}` meets this condition and the one before, so the rule never applies"
            yield Mistake((*steps, "when", index), message, "the values in one condition, where any will do")
        possible[kind, case[kind]] = known & values
    yield from _never_violated(steps, rule, possible)


def _never_violated(
    steps: Steps, rule: Mapping[str, Any], possible: Mapping[tuple[str, str], set[bytes]]
) -> Iterator[Mistake]:
    kind = {"requires_state": "snapshot", "one_of": "field"}.get(rule["rule"])
    if kind is None:
        return
    values = possible.get((kind, rule[kind]))
    if values and values <= {canonical.encode(value) for value in rule["values"]}:
        message = f"`when` lets only values of `{rule[kind]}` through that the rule allows, so it is never violated"
        yield Mistake((*steps, "values"), message, "other values, or another condition")


def names_of(path: str) -> tuple[str, ...]:
    """Return the plain names of a proposal path."""
    return tuple(segment for segment in parse_path(path).segments if isinstance(segment, str))
