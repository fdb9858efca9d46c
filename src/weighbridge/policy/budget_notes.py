"""What a sound policy says about budgets that its author may not expect: no mistakes, but worth a line. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from weighbridge.domain.amounts import currency_of
from weighbridge.policy.budget_section import NO_CAPS, WRITE_CAPS
from weighbridge.policy.effective import BudgetPolicy, EffectivePolicy
from weighbridge.policy.mistakes import listed


def budget_notes(policy: EffectivePolicy) -> tuple[str, ...]:
    """Return sentences about one effective policy, in a fixed order; an empty tuple where nothing is remarkable."""
    if policy.budgets is None:
        return (f"there is no `budgets` section, and {NO_CAPS}; write {WRITE_CAPS}",)
    return tuple(_unpriced_caps(policy.budgets))


def _unpriced_caps(budgets: BudgetPolicy) -> Iterator[str]:
    """Yield a note for each currency of caps that neither the price table nor a maximum has: nothing is converted (B2)."""
    if budgets.prices is None:  # who has no prices states amounts
        return
    maxima = {unit for by_unit in budgets.maxima.values() for unit in by_unit}
    priced = currency_of(budgets.prices.unit)
    for unit in sorted({cap.unit for cap in budgets.caps} - maxima - {budgets.prices.unit}):
        currency = currency_of(unit)
        if currency is not None:
            caps = listed(cap.id for cap in budgets.caps if cap.unit == unit)
            yield (
                f"the prices are in {priced}, and {caps} in {currency}: what is looked up in the prices is BLOCK "
                f"CURRENCY_MISMATCH under that; a request must state its {currency} itself"
            )
