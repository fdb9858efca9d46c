"""The walk of compliance: every field of an action's arguments, at any depth, against the rules that name fields (P1 to P3).

Rules stand under the last name of their path, normalised; a field is looked up once by its name as it was sent, and only
where a rule ends in that name are the names further out compared. Text that parses as JSON is walked too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from weighbridge.domain.paths import FieldPattern, child_place, normalise_name
from weighbridge.policy.effective import ActionTypes, CompliancePolicy, FieldRule, ProhibitedValue, ValuePattern
from weighbridge.validators import text_json, value_patterns
from weighbridge.validators.values import typed_key

DEPTH_MAX: Final = 64
"""Names and indices from the arguments to a value (P2)."""
NODES_MAX: Final = 100_000
"""Values below the arguments, containers counted (P2)."""

_REMEMBERED_NAMES_MAX: Final = 10_000  # names are the agent's to choose; what is remembered of them is bounded
_REMEMBERED_NAME_MAX: Final = 64

_CONTAINERS: Final = frozenset({dict, list, tuple, text_json.Pairs})

Violation = dict[str, Any]
_Rule = FieldRule | ProhibitedValue | ValuePattern

_Trail = tuple[Any, str | int] | None
"""The steps to a value: the trail of its container, and its name or index there. None is the arguments themselves."""


class TooComplex(Exception):
    """The arguments go beyond `DEPTH_MAX` or `NODES_MAX`."""


class _Entry:
    """A rule under the last name of its path. ``before`` are the names further out, nearest first."""

    __slots__ = ("before", "judge", "order", "rule")

    def __init__(self, order: int, names: tuple[str, ...], rule: _Rule) -> None:
        self.order = order
        self.before = names[-2::-1]
        self.rule = rule
        self.judge = _judge_of(rule)


def _judge_of(rule: _Rule) -> Callable[[Any], bool] | None:
    """Return what the rule asks of a value; None where the field alone is enough."""
    if isinstance(rule, FieldRule):
        return None
    if isinstance(rule, ProhibitedValue):
        prohibited = frozenset(typed_key(value) for value in rule.values)
        return lambda value: typed_key(value) in prohibited
    return lambda value: (text := value_patterns.text_of(value)) is not None and value_patterns.matches(rule, text)


class FieldGuard:
    """The rules about fields for one action type, ready to be walked along."""

    __slots__ = ("_by_last", "_everywhere", "_sieve", "_sifted", "entries", "looks_everywhere")

    def __init__(self, section: CompliancePolicy, action_type: str) -> None:
        self._by_last: dict[str, list[_Entry]] = {}
        self._everywhere: list[_Entry] = []
        self._sifted: list[_Entry] = []
        self.entries: dict[str, tuple[_Entry, ...]] = {}
        for order, pattern, rule in _field_rules(section):
            if not applies(rule.action_types, action_type):
                continue
            entry = _Entry(order, pattern.names, rule)
            if pattern.names:
                self._by_last.setdefault(pattern.names[-1], []).append(entry)
            elif isinstance(rule, ValuePattern) and value_patterns.is_siftable(rule):
                self._sifted.append(entry)
            else:
                self._everywhere.append(entry)
        self._sieve = value_patterns.Sieve(e.rule for e in self._sifted if isinstance(e.rule, ValuePattern))
        self.looks_everywhere: bool = bool(self._everywhere or self._sifted)

    def find_entries(self, name: str) -> tuple[_Entry, ...]:
        """Return the rules whose path ends in ``name``; remembered by the name as it was sent."""
        found = tuple(self._by_last.get(normalise_name(name), ()))
        if len(name) <= _REMEMBERED_NAME_MAX:
            if len(self.entries) >= _REMEMBERED_NAMES_MAX:
                self.entries.clear()
            self.entries[name] = found
        return found

    def hits_everywhere(self, leaves: list[tuple[Any, _Trail]]) -> list[tuple[_Entry, _Trail]]:
        """Return the hits of the rules that are about every field."""
        asking = self._everywhere
        if self._sifted and self._sieve.lets_pass(
            [text for value, _ in leaves if (text := value_patterns.text_of(value))]
        ):
            asking = [*asking, *self._sifted]
        return [(e, trail) for e in asking for value, trail in leaves if e.judge is None or e.judge(value)]

    def inspect(self, arguments: dict[str, Any], found: list[Violation]) -> int:
        """Add every violation in ``arguments`` to ``found``, by path; return how many values were visited."""
        walk = _Walk(self)
        try:
            walk.visit_object(arguments.items(), len(arguments), None, 1)
        except (TooComplex, text_json.NestedTooDeep):
            # Which fields were met before the limit depends on their order, so none of them is named (G4).
            found.append({"reason": "TOO_COMPLEX", "depth_max": DEPTH_MAX, "nodes_max": NODES_MAX})
        else:
            if walk.found_something:
                found += walk.violations()
        return walk.nodes


def applies(action_types: ActionTypes, action_type: str) -> bool:
    """Return whether a rule limited to ``action_types`` is about this one."""
    return action_types is None or action_type in action_types


def _field_rules(section: CompliancePolicy) -> Iterator[tuple[int, FieldPattern, _Rule]]:
    """Yield every rule about fields with its place in the policy, once per path it names."""
    rules: list[_Rule] = [*section.field_rules, *section.prohibited_values, *section.value_patterns]
    for order, rule in enumerate(rules):
        for pattern in rule.fields if isinstance(rule, ValuePattern) else (rule.pattern,):
            yield order, pattern, rule


class _Walk:
    """One visit of one proposal's arguments."""

    __slots__ = ("_entries", "_everywhere", "_guard", "_hits", "_leaves", "nodes")

    def __init__(self, guard: FieldGuard) -> None:
        self._guard = guard
        self._entries = guard.entries
        self._everywhere = guard.looks_everywhere
        self._hits: list[tuple[_Entry, _Trail]] = []
        self._leaves: list[tuple[Any, _Trail]] = []
        self.nodes = 0

    @property
    def found_something(self) -> bool:
        """Return whether there is a hit, or anything that rules about every field must still look at."""
        return bool(self._hits or self._leaves)

    def violations(self) -> list[Violation]:
        """Return what was found, by path and then in the policy's order, each rule once per path."""
        if self._leaves:
            self._hits += self._guard.hits_everywhere(self._leaves)
        if not self._hits:
            return []
        found = {(_place(trail), entry.order): entry.rule for entry, trail in self._hits}
        return [_violation(place, found[place, order]) for place, order in sorted(found)]

    def visit_object(self, pairs: Any, size: int, trail: _Trail, depth: int) -> None:
        """Visit every value of an object, given as pairs; the arguments themselves stand at depth 0."""
        self.nodes += size
        if self.nodes > NODES_MAX or depth > DEPTH_MAX:
            raise TooComplex
        entries, everywhere = self._entries, self._everywhere
        for name, value in pairs:
            found = entries.get(name)
            if found is None:
                found = self._guard.find_entries(name)
            if found:
                found = self._judging(found, trail, name)
            kind = type(value)
            if kind is str:
                if found or everywhere:
                    self._leaf(value, (trail, name), found)
                if value[:1] in text_json.STARTS:
                    self._text(value, trail, name, found, depth)
            elif kind in _CONTAINERS or found or everywhere:
                self._value(value, trail, name, found, depth)

    def _list(self, items: Sequence[Any], trail: _Trail, found: tuple[_Entry, ...], depth: int) -> None:
        self.nodes += len(items)
        if self.nodes > NODES_MAX or depth > DEPTH_MAX:
            raise TooComplex
        for index, value in enumerate(items):
            self._value(value, trail, index, found, depth)

    def _value(self, value: Any, trail: _Trail, step: str | int, found: tuple[_Entry, ...], depth: int) -> None:
        """Visit a value that ``found`` judges; a list's elements are judged like the list, for indices are ignored (P2)."""
        if isinstance(value, dict):
            if value:
                self.visit_object(value.items(), len(value), (trail, step), depth + 1)
        elif isinstance(value, text_json.Pairs):
            if value:
                self.visit_object(value, len(value), (trail, step), depth + 1)
        elif isinstance(value, (list, tuple)):
            if value:
                self._list(value, (trail, step), found, depth + 1)
        else:
            if found or self._everywhere:
                self._leaf(value, (trail, step), found)
            if type(value) is str and value[:1] in text_json.STARTS:
                self._text(value, trail, step, found, depth)

    def _text(self, text: str, trail: _Trail, step: str | int, found: tuple[_Entry, ...], depth: int) -> None:
        """Visit what a text holds, at the place of the text."""
        inner = text_json.parse(text, nesting_max=DEPTH_MAX)
        if inner is not None:
            self._value(inner, trail, step, found, depth)

    def _judging(self, candidates: tuple[_Entry, ...], trail: _Trail, name: str) -> tuple[_Entry, ...]:
        """Keep hits for fields that must not occur at all; return the rules that judge the value."""
        judging: list[_Entry] = []
        for entry in candidates:
            if entry.before and not _leads_to(entry.before, trail):
                continue
            if entry.judge is None:
                self._hits.append((entry, (trail, name)))
            else:
                judging.append(entry)
        return tuple(judging)

    def _leaf(self, value: Any, trail: _Trail, found: tuple[_Entry, ...]) -> None:
        self._hits += [(entry, trail) for entry in found if entry.judge is not None and entry.judge(value)]
        if self._everywhere:
            self._leaves.append((value, trail))


def _leads_to(before: tuple[str, ...], trail: _Trail) -> bool:
    """Return whether the names of ``trail``, read outwards, begin with ``before``."""
    position = 0
    while trail is not None and position < len(before):
        trail, step = trail
        if isinstance(step, str):
            if normalise_name(step) != before[position]:
                return False
            position += 1
    return position == len(before)


def _place(trail: _Trail) -> str:
    """Return the path of a trail, as in ``contacts[0].email``."""
    steps: list[str | int] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    place = ""
    for step in reversed(steps):
        place = f"{place}[{step}]" if isinstance(step, int) else child_place(place, step)
    return place


def _violation(place: str, rule: _Rule) -> Violation:
    if isinstance(rule, ProhibitedValue):
        return {"reason": "PROHIBITED_VALUE", "path": place, "rule": rule.id}
    if isinstance(rule, ValuePattern):
        return {"reason": "PII_VALUE", "path": place, "rule": rule.id, "class": rule.personal_class}
    if rule.personal_class is None:
        return {"reason": "RESTRICTED_FIELD", "path": place, "rule": rule.id}
    return {"reason": "PII_FIELD", "path": place, "rule": rule.id, "class": rule.personal_class}
