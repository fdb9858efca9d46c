"""Which caps apply to a request, and the counter each one is checked against (B3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Cap

Applicable = tuple[tuple[Cap, str], ...]
"""Caps, each with the name of its counter but for unit and period (`Cap.counter_tail`)."""


def applicable(caps: Iterable[Cap], cost_class: CostClass, values: Mapping[str, str | None]) -> Applicable:
    """Return every cap that a request falls under, in the order of ``caps``.

    ``values`` are the request's account, plan and tool, None where it has none. A cap applies when every value its scope sets
    matches; "each" always does.
    """
    return tuple((cap, cap.counter_tail(values)) for cap in caps if cap.applies(cost_class, values))
