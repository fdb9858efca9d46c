"""The contradiction rules, prepared: one class per way of looking (C1).

A rule of the policy is prepared once into a `Comparison`. It finds the values of the proposal it speaks of, each with its
own element, drops those its conditions leave out and those that are unknown (C2), and puts the rest beside the state.

Most rules speak of one value and one state. Those have a short way first, which says that there is nothing to find; only
where it cannot does the rule look again, element by element, and say what stands where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from weighbridge.domain.decision import Sealed
from weighbridge.domain.paths import EACH, MISSING, Key, Path, SnapshotPath, children
from weighbridge.errors import ContextError
from weighbridge.policy.effective import ContradictionRule
from weighbridge.validators.cases import Case, Holds
from weighbridge.validators.pairs import CONTRADICTION, INCOMPARABLE, PAIR_KINDS, Judge
from weighbridge.validators.values import instant_of, is_number, shown, typed_key

_LISTED_MAX: Final = 20
"""Values of an enumeration that details repeat for the reader; the policy holds the rest."""

_OWN_VALUES: Final = frozenset({"limit", "allowed"})
"""What of a rule itself are values of its field; the rest are bounds and instants."""

_Getter = Callable[[Case], Any]
"""The one value a rule speaks of; None where it is null or absent."""

_Quick = Callable[[Case], bool]
"""Whether a rule about one value and one state certainly finds nothing."""

_T = TypeVar("_T")


class Comparison:
    """A prepared rule. Subclasses say how it judges one case."""

    __slots__ = ("_conditions", "_quick", "_rule", "_unknown", "needs_snapshot")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        self._rule = rule
        self._unknown = unknown
        self._conditions = tuple(Holds(condition, rule.path) for condition in rule.when)
        self.needs_snapshot: bool = rule.snapshot is not None
        self._quick: _Quick | None = None

    def judge(self, case: Case) -> None:
        """Add an entry to ``case.found`` for every value that is refused."""
        quick = self._quick
        if quick is None or not quick(case):
            self._judge_each(case)

    def _judge_each(self, case: Case) -> None:
        raise NotImplementedError

    def _applies(self, element: Any, case: Case) -> bool:
        return all(condition.holds(element, case) for condition in self._conditions)

    def _is_unknown(self, value: Any) -> bool:
        """Return whether a value contradicts nothing: null, absent, or one of the policy's unknown values (C2)."""
        if value is None or value is MISSING:
            return True
        return not isinstance(value, (dict, list, tuple)) and typed_key(value) in self._unknown

    def _found(self, path: Path, case: Case) -> list[tuple[int, Any, Any]]:
        """Return ``(position, value, element)`` of the known values at ``path``, under the rule's conditions."""
        return [
            (position, value, element)
            for position, (value, element) in enumerate(path.values(case.arguments))
            if not self._is_unknown(value) and (not self._conditions or self._applies(element, case))
        ]

    def _states(self, snapshot: SnapshotPath, element: Any, case: Case) -> list[Any]:
        """Return the known values of the state."""
        found = snapshot.find(case.fields, element, case.arguments)
        return [value for value in found if not self._is_unknown(value)]

    def _report(
        self, case: Case, reason: str, place: str, values: Mapping[str, Any], own: Mapping[str, Any] | None = None
    ) -> None:
        """Add an entry: ``values`` are the request's and are sealed where C3 says so; ``own`` are the rule's."""
        rule = self._rule
        entry: dict[str, Any] = {"field": place, "rule": rule.id, "kind": rule.rule}
        entry |= {"reason": reason, "result": rule.severity}
        entry |= {name: shown(value, personal=rule.personal) for name, value in values.items()}
        entry |= {
            name: _own_shown(value, personal=rule.personal and name in _OWN_VALUES)
            for name, value in (own or {}).items()
        }
        case.found.append(entry)


class _Pair(Comparison):
    """Each value beside the rule's own, or beside every known value of the state: every one must hold."""

    __slots__ = ("_judge", "_own", "_path", "_snapshot")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._path = _given(rule, rule.path)
        self._snapshot = None if rule.has_literal else _given(rule, rule.snapshot)
        self._judge: Judge = PAIR_KINDS[rule.rule](rule)
        self._own: dict[str, Any] = {"limit": rule.literal} if rule.has_literal else {}
        for name, bound in (("absolute", rule.absolute), ("percent", rule.percent)):
            if bound is not None:
                self._own[name] = str(bound)
        proposed = _proposed(self._path)
        stated = (lambda _case: rule.literal) if self._snapshot is None else _stated(self._snapshot)
        if (
            proposed is not None
            and stated is not None
            and not rule.when
            and not (rule.has_literal and rule.literal is None)
        ):
            self._quick = _quick_pair(proposed, stated, self._judge, unknown)

    def _judge_each(self, case: Case) -> None:
        """C1: each by the rule's own typed comparison."""
        literal = self._snapshot is None
        states = [self._rule.literal]
        for position, value, element in self._found(self._path, case):
            if self._snapshot is not None:
                states = self._states(self._snapshot, element, case)
            case.compared += len(states)
            for state in states:
                reason = self._judge(value, state)
                if reason is not None:
                    values = (
                        {"proposed_value": value} if literal else {"snapshot_value": state, "proposed_value": value}
                    )
                    self._report(case, reason, case.place(self._path, position), values, self._own)
                    break


class _OneOf(Comparison):
    """Each value is one of the enumeration."""

    __slots__ = ("_path", "_values")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._path = _given(rule, rule.path)
        self._values = frozenset(typed_key(value) for value in rule.values)
        proposed = _proposed(self._path)
        if proposed is not None and not rule.when:
            self._quick = _quick_member(proposed, self._values - unknown)

    def _judge_each(self, case: Case) -> None:
        """C1: an enumeration."""
        for position, value, _ in self._found(self._path, case):
            case.compared += 1
            if typed_key(value) not in self._values:
                place = case.place(self._path, position)
                self._report(case, CONTRADICTION, place, {"proposed_value": value}, _allowed(self._rule))


class _MemberOf(Comparison):
    """Each value stands in a collection of the state: a list, the keys of an object, or what a ``[*]`` path finds."""

    __slots__ = ("_each", "_keyed", "_path", "_snapshot")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._path = _given(rule, rule.path)
        self._snapshot = _given(rule, rule.snapshot)
        self._each = EACH in self._snapshot.segments
        self._keyed = any(isinstance(segment, Key) for segment in self._snapshot.segments)

    def _judge_each(self, case: Case) -> None:
        """C1: stands in a collection of the snapshot."""
        found: list[Any] | None = None
        states: list[Any] = []
        members: set[Any] | None = None
        for position, value, element in self._found(self._path, case):
            if found is None or self._keyed:  # a collection that no element keys is the same for all of them
                found = self._snapshot.find(case.fields, element, case.arguments)
                states = [state for state in found if not self._is_unknown(state)]
                members = self._members(states)
            if found and not states:
                continue  # C2; a collection that is there and empty is known, and holds nothing
            case.compared += 1
            if members is None or typed_key(value) not in members:
                reason = INCOMPARABLE if members is None else CONTRADICTION
                values = {"snapshot_value": states if self._each else states[0], "proposed_value": value}
                self._report(case, reason, case.place(self._path, position), values)

    def _members(self, states: list[Any]) -> set[Any] | None:
        """Return the keys of every member, or None where the state is no collection."""
        members: set[Any] = set()
        for state in states:
            if isinstance(state, (list, tuple)):
                members.update(map(typed_key, state))
            elif self._each:
                members.add(typed_key(state))
            elif isinstance(state, dict):
                members.update(state)
            else:
                return None
        return members


class _CountMax(Comparison):
    """How many elements there are under the conditions, beside a whole number or the size of a collection of the state."""

    __slots__ = ("_each", "_path", "_snapshot")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._path = _given(rule, rule.path)
        self._snapshot = None if rule.has_literal else _given(rule, rule.snapshot)
        self._each = self._path.segments[-1] is EACH
        # The elements of a list that the path only names are the list's `[*]`.
        elements = self._path if self._each else Path(self._path.text, (*self._path.segments, EACH))
        self._conditions = tuple(Holds(condition, elements) for condition in rule.when)

    def _judge_each(self, case: Case) -> None:
        """C1: how many there may be."""
        literal = self._snapshot is None
        limits = [self._rule.literal] if self._snapshot is None else self._limits(self._snapshot, case)
        if not limits:
            return  # C2
        count = self._count(case)
        for limit in limits:
            case.compared += 1
            whole = is_number(limit) and limit == int(limit)
            if not whole or count > limit:
                reason = CONTRADICTION if whole else INCOMPARABLE
                values = {"proposed_value": count} if literal else {"snapshot_value": limit, "proposed_value": count}
                self._report(case, reason, self._path.text, values, {"limit": limit} if literal else None)
                return

    def _count(self, case: Case) -> int:
        elements: list[Any] = []
        for value, element in self._path.values(case.arguments):
            if not self._each and isinstance(value, (list, tuple, dict)):
                elements += children(value)
            elif self._each or value is not None:
                elements.append(element)
        if not self._conditions:
            return len(elements)
        return sum(1 for element in elements if self._applies(element, case))

    def _limits(self, snapshot: SnapshotPath, case: Case) -> list[Any]:
        if EACH in snapshot.segments:
            found = snapshot.find(case.fields, case.arguments, case.arguments)
            return [] if MISSING in found else [len(found)]
        states = self._states(snapshot, case.arguments, case)
        return [len(state) if isinstance(state, (list, tuple, dict)) else state for state in states]


class _DateWindow(Comparison):
    """Each instant stands in a window around the state's instant, or around the evaluation time; both ends belong to it."""

    __slots__ = ("_own", "_path", "_snapshot")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._path, self._snapshot = rule.path, rule.snapshot
        ends = {"earliest_ms": rule.earliest_ms, "latest_ms": rule.latest_ms}
        self._own = {name: end_ms for name, end_ms in ends.items() if end_ms is not None}
        placed = _evaluation_time if rule.path is None else _proposed(rule.path)
        base = _evaluation_time if rule.snapshot is None else _stated(rule.snapshot)
        if placed is not None and base is not None and not rule.when:
            self._quick = _quick_pair(placed, base, self._window, unknown)

    def _judge_each(self, case: Case) -> None:
        """C1: a duration, against a snapshot field or the evaluation time."""
        now, path, snapshot = case.evaluation_time, self._path, self._snapshot
        if path is not None:
            placed = self._found(path, case)
        else:
            placed = [(0, now, case.arguments)] if self._applies(case.arguments, case) else []
        for position, value, element in placed:
            for base in [now] if snapshot is None else self._states(snapshot, element, case):
                case.compared += 1
                reason = self._window(value, base)
                if reason is not None:
                    self._report_window(case, reason, position, value, base)
                    break

    def _window(self, value: Any, base: Any) -> str | None:
        rule, value_ms, base_ms = self._rule, instant_of(value), instant_of(base)
        if value_ms is None or base_ms is None:
            return INCOMPARABLE
        apart_ms = value_ms - base_ms
        early = rule.earliest_ms is not None and apart_ms < rule.earliest_ms
        late = rule.latest_ms is not None and apart_ms > rule.latest_ms
        return CONTRADICTION if early or late else None

    def _report_window(self, case: Case, reason: str, position: int, value: Any, base: Any) -> None:
        values: dict[str, Any] = {}
        own: dict[str, Any] = dict(self._own)
        if self._snapshot is not None:
            values["snapshot_value"] = base
        if self._path is not None:
            values["proposed_value"] = value
        if self._snapshot is None or self._path is None:
            own["evaluation_time"] = case.evaluation_time
        place = case.place(self._path, position) if self._path else _given(self._rule, self._snapshot).text
        self._report(case, reason, place, values, own)


class _RequiresState(Comparison):
    """The state has one of the values; an unknown state is `INCOMPARABLE_VALUE` (C2)."""

    __slots__ = ("_snapshot", "_values")

    def __init__(self, rule: ContradictionRule, unknown: frozenset[Any]) -> None:
        super().__init__(rule, unknown)
        self._snapshot = _given(rule, rule.snapshot)
        self._values = frozenset(typed_key(value) for value in rule.values)
        stated = _stated(self._snapshot)
        if stated is not None and not rule.when:
            # An unknown state is refused even where it is listed (C2), so what is accepted leaves it out.
            self._quick = _quick_member(stated, self._values - unknown, absent=False)

    def _judge_each(self, case: Case) -> None:
        """C1: the action type is possible only while a snapshot field has one of the listed values."""
        if not self._applies(case.arguments, case):
            return
        place, allowed = self._snapshot.text, _allowed(self._rule)
        for state in self._snapshot.find(case.fields, case.arguments, case.arguments) or [MISSING]:
            case.compared += 1
            if self._is_unknown(state):
                self._report(case, INCOMPARABLE, place, {} if state is MISSING else {"snapshot_value": state}, allowed)
                return
            if typed_key(state) not in self._values:
                self._report(case, CONTRADICTION, place, {"snapshot_value": state}, allowed)
                return


def _given(rule: ContradictionRule, part: _T | None) -> _T:
    """Return a part the rule kind cannot do without. Where it is not there, the validator fails closed (G6)."""
    if part is None:
        message = f"rule `{rule.id}` of kind `{rule.rule}` lacks a path"
        raise ValueError(message)
    return part


def _own_shown(value: Any, *, personal: bool) -> Any:
    """Return what a rule itself says; its texts are a person's where the field is personal (L6)."""
    if personal and isinstance(value, list):
        return [_own_shown(item, personal=True) for item in value]
    return Sealed(value) if personal and isinstance(value, str) else value


def _allowed(rule: ContradictionRule) -> dict[str, Any]:
    return {"allowed": list(rule.values)} if len(rule.values) <= _LISTED_MAX else {}


# --- The short way ----------------------------------------------------------------------------------------------------


def _proposed(path: Path) -> _Getter | None:
    if EACH in path.segments:
        return None
    first, rest = path.segments[0], path.segments[1:]
    if not rest:
        return lambda case: case.arguments.get(first)
    return lambda case: _descend(case.arguments.get(first), rest)


def _stated(snapshot: SnapshotPath) -> _Getter | None:
    if not all(isinstance(segment, str) for segment in snapshot.segments):
        return None
    first, rest = snapshot.segments[0], snapshot.segments[1:]

    def get(case: Case) -> Any:
        field = case.fields.get(first)
        return None if field is None else _descend(field.value, rest)

    return get


def _descend(value: Any, names: tuple[str, ...]) -> Any:
    for name in names:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def _evaluation_time(case: Case) -> Any:
    if case.evaluation_time is None:
        raise ContextError("evaluation_time", "is not set; the entry takes it once, before judging")
    return case.evaluation_time


def _quick_pair(proposed: _Getter, stated: _Getter, judge: Judge, unknown: frozenset[Any]) -> _Quick:
    def quick(case: Case) -> bool:
        value, state = proposed(case), stated(case)
        if value is None or state is None:
            return True  # C2
        if unknown and (typed_key(value) in unknown or typed_key(state) in unknown):
            return False
        if judge(value, state) is not None:
            return False
        case.compared += 1
        return True

    return quick


def _quick_member(get: _Getter, accepted: frozenset[Any], *, absent: bool = True) -> _Quick:
    def quick(case: Case) -> bool:
        value = get(case)
        if value is None:
            return absent
        if typed_key(value) not in accepted:
            return False
        case.compared += 1
        return True

    return quick


_KINDS: Final[dict[str, type[Comparison]]] = {
    **dict.fromkeys(PAIR_KINDS, _Pair),
    "one_of": _OneOf,
    "member_of": _MemberOf,
    "count_max": _CountMax,
    "date_window": _DateWindow,
    "requires_state": _RequiresState,
}


def comparison(rule: ContradictionRule, unknown_values: tuple[Any, ...]) -> Comparison:
    """Return ``rule`` prepared. A kind nobody knows raises `KeyError`: the validator then fails closed (G6)."""
    return _KINDS[rule.rule](rule, frozenset(typed_key(value) for value in unknown_values))
