"""The rule kinds that put one proposed value beside one value of the state, or of the rule itself (C1).

A value that the rule cannot place (not a number, not in the ordering, not in the table) is `INCOMPARABLE_VALUE` (C3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from weighbridge.policy.effective import ContradictionRule
from weighbridge.validators.values import fraction, is_number, typed_key, within

CONTRADICTION: Final = "CONTRADICTION"
INCOMPARABLE: Final = "INCOMPARABLE_VALUE"

Judge = Callable[[Any, Any], str | None]
"""The proposed value and the other one, both known: the reason it is refused, or None."""


def _equal(_rule: ContradictionRule) -> Judge:
    return lambda value, state: None if typed_key(value) == typed_key(state) else CONTRADICTION


def _differs(_rule: ContradictionRule) -> Judge:
    return lambda value, state: CONTRADICTION if typed_key(value) == typed_key(state) else None


def _at_most(_rule: ContradictionRule) -> Judge:
    def judge(value: Any, state: Any) -> str | None:
        if not is_number(value) or not is_number(state):
            return INCOMPARABLE
        return CONTRADICTION if value > state else None

    return judge


def _at_least(_rule: ContradictionRule) -> Judge:
    def judge(value: Any, state: Any) -> str | None:
        if not is_number(value) or not is_number(state):
            return INCOMPARABLE
        return CONTRADICTION if value < state else None

    return judge


def _max_delta(rule: ContradictionRule) -> Judge:
    percent = rule.percent is not None
    limit = fraction(rule.percent if percent else rule.absolute)

    def judge(value: Any, state: Any) -> str | None:
        if not is_number(value) or not is_number(state):
            return INCOMPARABLE
        return None if within(value, state, limit, percent=percent) else CONTRADICTION

    return judge


def _no_backward(rule: ContradictionRule) -> Judge:
    places = {typed_key(value): place for place, value in enumerate(rule.values)}

    def judge(value: Any, state: Any) -> str | None:
        proposed, current = places.get(typed_key(value)), places.get(typed_key(state))
        if proposed is None or current is None:
            return INCOMPARABLE
        return CONTRADICTION if proposed < current else None

    return judge


def _transitions(rule: ContradictionRule) -> Judge:
    allowed = rule.transitions or {}
    known = set(allowed).union(*allowed.values())

    def judge(value: Any, state: Any) -> str | None:
        if type(value) is not str or type(state) is not str or value not in known or state not in known:
            return INCOMPARABLE
        # What stays where it is goes nowhere.
        return None if value == state or value in allowed.get(state, ()) else CONTRADICTION

    return judge


PAIR_KINDS: Final[dict[str, Callable[[ContradictionRule], Judge]]] = {
    "eq": _equal,
    "differs": _differs,
    "at_most": _at_most,
    "at_least": _at_least,
    "max_delta": _max_delta,
    "no_backward": _no_backward,
    "transitions": _transitions,
}
