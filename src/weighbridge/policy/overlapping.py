"""Rules against rules: behind one that says the same, or against one that no proposal can satisfy as well.

A rule is compared with those before it in its list and, in a tenant's section, with those of the base. Rules that could not be
read completely stay out. Only rules that have something in common are compared, so that long lists take no longer than
their length.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from weighbridge import canonical
from weighbridge.domain.paths import normalise_name, parse_field_pattern
from weighbridge.policy.complete import ordered_entry
from weighbridge.policy.mistakes import Mistake, Steps
from weighbridge.policy.possible import Entry, entries_of, entry_lists, names_of
from weighbridge.policy.reachable import Scope
from weighbridge.policy.structure import Structure

Rule = Mapping[str, Any]


def overlapping_rules(structure: Structure, base: Scope, sections: Iterable[Scope]) -> Iterator[Mistake]:
    """Yield a mistake for every rule that another makes pointless or impossible to satisfy."""
    for scope in (base, *sections):
        for place, entries in entry_lists(scope.part):
            inherited = dict(entry_lists(base.part)).get(place, ()) if scope is not base else ()
            steps = (*scope.steps, *place)
            whole = [((*steps, i), entry) for i, entry in enumerate(entries) if _is_whole(structure, (*steps, i))]
            if place[:2] in _LIKENESS:
                yield from _shadowed(whole, inherited, _LIKENESS[place[:2]])
            if place == ("contradiction", "rules"):
                yield from _excluding_limits(whole, inherited)
        for mistake in _required_and_forbidden(scope, base):
            if not structure.mentions("action_types"):  # without its limits a rule seems to be about everything
                yield mistake


def _is_whole(structure: Structure, steps: Steps) -> bool:
    return structure.is_whole(*structure.as_written(steps))


def _pairs(
    entries: Iterable[Entry], inherited: Iterable[Rule], key: Callable[[Rule], Hashable]
) -> Iterator[tuple[Steps, Rule, Rule]]:
    """Yield every rule with each earlier one that has the same key."""
    earlier: dict[Hashable, list[Rule]] = defaultdict(list)
    for entry in inherited:
        earlier[key(entry)].append(entry)
    for place, entry in entries:
        alike = earlier[key(entry)]
        yield from ((place, entry, other) for other in alike if other["id"] != entry["id"])
        alike.append(entry)


# --- Behind a rule that says the same ---------------------------------------------------------------------------------


def _shadowed(
    entries: Iterable[Entry], inherited: Iterable[Rule], likeness: Callable[[Rule], Hashable]
) -> Iterator[Mistake]:
    reported: set[Steps] = set()
    for place, entry, other in _pairs(entries, inherited, likeness):
        for wide, narrow in ((other, entry), (entry, other)):
            if place not in reported and _covers(wide, narrow):
                reported.add(place)
                message = f"`{narrow['id']}` never matters: `{wide['id']}` says the same for at least the same cases"
                yield Mistake(place, message, "one of the two")


def _covers(wide: Rule, narrow: Rule) -> bool:
    severe = wide.get("severity") == narrow.get("severity") or wide.get("severity") == "BLOCK"
    limit = set(wide.get("action_types", ()))
    actions = not limit or ("action_types" in narrow and set(narrow["action_types"]) <= limit)
    return severe and actions and _meets_more(wide, narrow)


def _meets_more(wide: Rule, narrow: Rule) -> bool:
    cases = {canonical.encode(ordered_entry(case)) for case in wide.get("when", ())}
    others = {canonical.encode(ordered_entry(case)) for case in narrow.get("when", ())}
    # The conditions of `count_max` say what is counted, so fewer of them do not mean more cases.
    return cases == others if wide.get("rule") == "count_max" else cases <= others


def _likeness_of_rule(entry: Rule) -> Hashable:
    apart = {"id", "severity", "action_types", "when"}
    return canonical.encode({key: value for key, value in ordered_entry(entry).items() if key not in apart})


def _likeness_of_pattern(entry: Rule) -> Hashable:
    rest = {key: value for key, value in ordered_entry(entry).items() if key not in {"id", "action_types", "fields"}}
    return frozenset(parse_field_pattern(text).names for text in entry["fields"]), canonical.encode(rest)


def _likeness_of_field(entry: Rule) -> Hashable:
    return parse_field_pattern(entry["path"]).names, canonical.encode(list(ordered_entry(entry).get("values", ())))


def _likeness_of_path(entry: Rule) -> Hashable:
    return str(entry["path"])


_LIKENESS: Mapping[Steps, Callable[[Rule], Hashable]] = {
    ("grounding", "values"): _likeness_of_rule,
    ("contradiction", "rules"): _likeness_of_rule,
    ("compliance", "restricted_fields"): _likeness_of_field,
    ("compliance", "personal_fields"): _likeness_of_field,
    ("compliance", "prohibited_values"): _likeness_of_field,
    ("compliance", "required_known"): _likeness_of_path,
    ("compliance", "value_patterns"): _likeness_of_pattern,
}
"""What two rules of a list have in common when they say the same."""


# --- Against a rule that nothing satisfies as well --------------------------------------------------------------------


def _share_actions(one: Rule, other: Rule) -> bool:
    mine, others = one.get("action_types"), other.get("action_types")
    return mine is None or others is None or bool(set(mine) & set(others))


def _excluding_limits(entries: Iterable[Entry], inherited: Iterable[Rule]) -> Iterator[Mistake]:
    """Yield every pair of unconditional limits that leave no number between them."""
    limits = [(place, rule) for place, rule in entries if _is_limit(rule)]
    for place, entry, other in _pairs(limits, filter(_is_limit, inherited), lambda rule: str(rule["field"])):
        bounds = {entry["rule"]: entry["value"], other["rule"]: other["value"]}
        if len(bounds) == len(_LIMITS) and bounds["at_least"] > bounds["at_most"] and _share_actions(entry, other):
            demanded = f"at least {bounds['at_least']} and at most {bounds['at_most']}"
            message = f"no number is {demanded}, as `{other['id']}` demands too"
            yield Mistake((*place, "value"), message, "limits that leave room")


_LIMITS = frozenset({"at_least", "at_most"})


def _is_limit(rule: Rule) -> bool:
    return rule["rule"] in _LIMITS and "value" in rule and not rule["when"]


def _required_and_forbidden(scope: Scope, base: Scope) -> Iterator[Mistake]:
    """Yield every field that must be there and must not: no proposal passes. Reported where the second of the two stands."""
    own = _by_names(_forbidden(scope.part))
    inherited = _by_names(_forbidden(base.part)) if scope is not base else {}
    for place, known in entries_of(scope.part, "compliance", "required_known"):
        for _, rule in (*_around(known, own), *_around(known, inherited)):
            yield Mistake((*scope.steps, *place), _both(known, rule), "it in one of the two")
            break
    for _, known in entries_of(base.part, "compliance", "required_known") if scope is not base else ():
        for place, rule in _around(known, own):
            yield Mistake((*scope.steps, *place), _both(known, rule), "it in one of the two")


def _both(known: Rule, rule: Rule) -> str:
    return (
        f"`{known['path']}` is required to be known, and `{rule['id']}` forbids that it occurs: no proposal passes both"
    )


def _forbidden(part: Mapping[str, Any]) -> Iterator[Entry]:
    yield from entries_of(part, "compliance", "restricted_fields")
    for name, entries in part.get("compliance", {}).get("personal_fields", {}).items():
        yield from ((("compliance", "personal_fields", name, index), entry) for index, entry in enumerate(entries))


def _by_names(entries: Iterable[Entry]) -> Mapping[tuple[str, ...], list[Entry]]:
    found: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for place, entry in entries:
        found[parse_field_pattern(entry["path"]).names].append((place, entry))
    return found


def _around(known: Rule, forbidden: Mapping[tuple[str, ...], list[Entry]]) -> Iterator[Entry]:
    """Yield the forbidden fields that a required one is, or lies within (P2)."""
    names = tuple(map(normalise_name, names_of(known["path"])))
    parts = {names[start:end] for end in range(1, len(names) + 1) for start in range(end)} | {()}
    for part in sorted(parts):
        yield from ((place, rule) for place, rule in forbidden.get(part, ()) if _share_actions(known, rule))
