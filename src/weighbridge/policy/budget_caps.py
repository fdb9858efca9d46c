"""Caps against caps, in the effective form: does one apply wherever another does, and does one make another pointless?

Whether a cap applies hangs on the values its scope names; an "each" field always applies (B3). What a counter holds hangs on all
of its scope: a cap "each account" sees less at a time than one of the whole tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from weighbridge.domain.amounts import CostClass, shown
from weighbridge.domain.caps import EACH
from weighbridge.policy.amount_text import UNLIMITED

Cap = Mapping[str, Any]
"""A cap as `complete.complete_cap` returns it."""

_CLASSES: Final = tuple(CostClass)  # from low to high

_PERIOD_LENGTH: Final = {"DAY": 0, "MONTH": 1, "PLAN": 2}
"""What falls into a shorter period falls into every longer one too; a plan's counter is never begun anew."""


def classes_of(cap: Cap) -> frozenset[str]:
    """Return the cost classes a cap is about."""
    return frozenset(cap.get("cost_classes", tuple(CostClass)))


def limit_of(cap: Cap) -> int | None:
    """Return the hard cap; None is unlimited."""
    return None if cap["hard_cap"] == UNLIMITED else int(cap["hard_cap"])


def warning_of(cap: Cap) -> int | None:
    """Return the soft cap, or None where there is none."""
    return int(cap["soft_cap"]) if "soft_cap" in cap else None


def no_higher(one: int | None, other: int | None) -> bool:
    """Return whether a limit is at most another; None is no limit."""
    return other is None or (one is not None and one <= other)


def shown_limit(cap: Cap) -> str:
    """Return the hard cap for people."""
    limit = limit_of(cap)
    return UNLIMITED if limit is None else shown(limit, cap["unit"])


def uncovered_classes(cap: Cap, others: Iterable[Cap]) -> list[str]:
    """Return the cost classes of which a request can fall under ``cap`` and under none of ``others`` (B8).

    Values have no end, so caps for single values never add up to all of them: one of the others must apply by itself.
    """
    covering = [other for other in others if _values(other).items() <= _values(cap).items()]
    covered = frozenset[str]().union(*(classes_of(other) for other in covering))
    return sorted(classes_of(cap) - covered)


def _values(cap: Cap) -> dict[str, str]:
    return {name: value for name, value in cap["scope"].items() if value != EACH}


def shadows(strict: Cap, cap: Cap) -> bool:
    """Return whether ``cap`` never matters beside ``strict``: whatever it says about a request, the other says as severely.

    A cap without a limit that counts apart what another counts together is kept: its usage is there to be seen (B8).
    """
    if not _counts_at_least(strict, cap):
        return False
    if limit_of(cap) is None and _family(strict) != _family(cap):
        return False
    return (
        no_higher(limit_of(strict), limit_of(cap))
        and _warns_as_early(strict, cap)
        and (strict["justification"] or not cap["justification"])
        and (
            cap["settlement"] or not strict["settlement"]
        )  # B7: what is given back counts no more for a cap that settles
    )


def _counts_at_least(wide: Cap, narrow: Cap) -> bool:
    """Return whether everything that one counter of ``narrow`` holds is in one counter of ``wide`` (B3)."""
    scope = narrow["scope"]
    return (
        wide["unit"] == narrow["unit"]
        and _PERIOD_LENGTH[wide["period"]] >= _PERIOD_LENGTH[narrow["period"]]
        and classes_of(wide) >= classes_of(narrow)
        and all(name in scope and value in {EACH, scope[name]} for name, value in wide["scope"].items())
    )


def _family(cap: Cap) -> tuple[Any, ...]:
    return cap["unit"], cap["period"], classes_of(cap), cap["scope"]


def _warns_as_early(strict: Cap, cap: Cap) -> bool:
    warning = warning_of(cap)
    if warning is None:
        return True
    return any(at is not None and at <= warning for at in (warning_of(strict), limit_of(strict)))


def may_meet(cap: Cap, operations: Mapping[str, Mapping[str, Any]], cost_class: str) -> bool:
    """Return whether a request of a cost class can fall under a cap; no operations: none is declared, and any may come."""
    return cost_class in classes_of(cap) & classes_in_reach(cap, operations)


def classes_in_reach(cap: Cap, operations: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """Return the cost classes that requests for the operations of a cap's scope can have: theirs, or a higher one (B1).

    Of operations that nobody declares, any class may come.
    """
    tool = _values(cap).get("tool")
    declared = [facts for name, facts in operations.items() if tool in {None, name}]
    lowest = min((_CLASSES.index(facts["cost_class"]) for facts in declared), default=0)
    return frozenset(_CLASSES[lowest:])
