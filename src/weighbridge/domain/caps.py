"""Caps, and the counters they are checked against (B2, B3, B14).

A cap is what a policy says; a counter is what the ledger says. A counter is identified by unit, period, cost classes and
scope, and not by the cap's id, so that two caps over the same things share one, and renaming a cap moves nothing. Both have a
text form::

    family   operations DAY EXPENSIVE account=each tool="crm.read"      what a cap counts, over all periods and values
    counter  operations 2026-11-22 EXPENSIVE account="a-1" tool="crm.read"

Values stand in quotes as JSON text; ``each`` and ``(none)``, without quotes, are no values: an "each" field always applies, and
requests that lack it share the counter ``(none)``.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.domain.amounts import CostClass


class Period(enum.StrEnum):
    """How long a counter counts: a day or a month in the tenant's zone, or a plan's life."""

    DAY = "DAY"
    MONTH = "MONTH"
    PLAN = "PLAN"


SCOPE_FIELDS = ("account", "plan", "tool")
"""What a scope can name besides the tenant, in the order of the text form. The tool is the operation's name."""

EACH = "each"
NONE = "(none)"
ANY_CLASS = "any"

Scope = tuple[tuple[str, str | None], ...]
"""Fields that a cap's scope sets, in the order of `SCOPE_FIELDS`, and their values; None is "each"."""

_COUNTER = re.compile(r'(\S+) (\S+) (\S+)((?: (?:account|plan|tool)=(?:\(none\)|each|"(?:[^"\\]|\\.)*"))*)', re.DOTALL)
_QUOTED_KEPT_MAX = 4096  # the values of tenants at work: the same account, plan and tool are named again and again
_FIELD = re.compile(r' (account|plan|tool)=(\(none\)|each|"(?:[^"\\]|\\.)*")', re.DOTALL)


class Cap(msgspec.Struct, frozen=True):
    """One cap of an effective policy. Amounts are whole numbers of ``unit``.

    ``hard_cap`` None is "unlimited", which was written out (B8). ``cost_classes`` None is any. ``settles``: what turns out not
    to have been used is given back (B7). ``requires_justification``: a reservation states why (B13).
    """

    id: str
    unit: str
    period: Period
    hard_cap: int | None
    soft_cap: int | None = None
    scope: Scope = ()
    cost_classes: frozenset[CostClass] | None = None
    settles: bool = False
    requires_justification: bool = False

    @property
    def classes(self) -> str:
        """Return the cost classes as text: ``any``, ``EXPENSIVE``, ``CHEAP+MEDIUM``."""
        if self.cost_classes is None:
            return ANY_CLASS
        return "+".join(one for one in CostClass if one in self.cost_classes)

    @property
    def family(self) -> str:
        """Return what this cap counts, as text (see the module)."""
        fields = "".join(f" {name}={EACH if value is None else quoted(value)}" for name, value in self.scope)
        return f"{self.unit} {self.period} {self.classes}{fields}"

    def applies(self, cost_class: CostClass, values: Mapping[str, str | None]) -> bool:
        """Return whether a request of this class, with these scope values, falls under this cap (B3)."""
        if self.cost_classes is not None and cost_class not in self.cost_classes:
            return False
        return not [name for name, value in self.scope if value is not None and values.get(name) != value]

    def counter_tail(self, values: Mapping[str, str | None]) -> str:
        """Return what follows unit and period in the name of the counter that a request falls under."""
        tail = self.classes
        for name, _ in self.scope:
            tail += f" {name}={_value(values.get(name))}"
        return tail


class CounterName(msgspec.Struct, frozen=True):
    """The parts of a counter's or a family's text form. In ``scope``, None is ``(none)`` in a counter, "each" in a family."""

    unit: str
    period: str
    cost_classes: frozenset[CostClass] | None
    scope: Scope


def counter_name(unit: str, period_key: str, tail: str) -> str:
    """Return the name of a counter; ``period_key`` as in ``2026-11-22``, ``2026-11`` or ``PLAN``."""
    return f"{unit} {period_key} {tail}"


def parse_counter(name: str) -> CounterName:
    """Return the parts of a counter's name, or of a family's.

    Raises:
        ValueError: it is no such name.
    """
    match = _COUNTER.fullmatch(name)
    if match is None:
        message = f"`{name}` names no counter"
        raise ValueError(message)
    unit, period, classes, fields = match.groups()
    scope = tuple((field, _unquoted(value)) for field, value in _FIELD.findall(fields))
    known = None if classes == ANY_CLASS else frozenset(map(CostClass, classes.split("+")))
    return CounterName(unit, period, known, scope)


@functools.lru_cache(maxsize=_QUOTED_KEPT_MAX)
def quoted(value: str) -> str:
    """Return a value as JSON text."""
    return canonical.encode(value).decode()


def _value(value: str | None) -> str:
    return NONE if value is None else quoted(value)


def _unquoted(text: str) -> str | None:
    if text in {NONE, EACH}:
        return None
    value: Any = canonical.decode(text.encode())
    return str(value)
