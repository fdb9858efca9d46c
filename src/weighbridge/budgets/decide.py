"""The pure kernel of every reservation: caps, usage and amounts to a decision (B3, B4, B12, B13, B14).

Integers only. It is given what every applicable cap's counter holds, and says for each cap and for all together what follows;
it moves nothing. Larger than a hard cap itself is `NEVER_FITS`, and nothing is ever shrunk to what is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from weighbridge.domain.amounts import AMOUNT_MAX, Amounts, currency_of
from weighbridge.domain.caps import Cap
from weighbridge.domain.verdict import Verdict

WITHIN_CAPS = "WITHIN_CAPS"
SOFT_CAP_EXCEEDED = "SOFT_CAP_EXCEEDED"
HARD_CAP_EXCEEDED = "HARD_CAP_EXCEEDED"
NEVER_FITS = "NEVER_FITS"
JUSTIFIED = "JUSTIFIED"
JUSTIFICATION_MISSING = "JUSTIFICATION_MISSING"
COST_UNKNOWN = "COST_UNKNOWN"
CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
AMOUNT_OUT_OF_RANGE = "AMOUNT_OUT_OF_RANGE"
NO_APPLICABLE_CONFIG = "NO_APPLICABLE_CONFIG"


class Counter(msgspec.Struct, frozen=True, gc=False):
    """What fell under a counter: everything reserved, and what of it was given back by settlement."""

    reserved: int = 0
    settled: int = 0

    def usage(self, cap: Cap) -> int:
        """Return the usage that a cap sees: settlement counts for caps that opted in, and for no others (B7)."""
        return self.reserved - self.settled if cap.settles else self.reserved


class CapDecision(msgspec.Struct, frozen=True, gc=False):
    """What one cap says. ``after`` is None where nothing would be reserved under it: the amount is not known."""

    cap: Cap
    before: int
    after: int | None
    verdict: Verdict
    reason: str


class Weighed(msgspec.Struct, frozen=True, gc=False):
    """What all caps say. ``reason`` is the first of the gravest; ``caps`` stand in the order they were given."""

    verdict: Verdict
    reason: str
    caps: tuple[CapDecision, ...]


def weigh(
    used: Iterable[tuple[Cap, Counter]], amounts: Amounts, *, justified: bool, findings: Sequence[str] = ()
) -> Weighed:
    """Return the decision over every applicable cap and its counter.

    ``findings`` are reasons to BLOCK that were found before; with one, or without any cap at all, nothing is reserved.
    """
    caps = tuple([_judge(cap, counter, amounts, justified) for cap, counter in used])
    reasons = [*findings, *(() if caps else (NO_APPLICABLE_CONFIG,))]  # B8: no cap, no go
    if reasons:
        return Weighed(Verdict.BLOCK, reasons[0], caps)
    worst = max(caps, key=_gravity)
    return Weighed(worst.verdict, worst.reason, caps)


def _judge(cap: Cap, counter: Counter, amounts: Amounts, justified: bool) -> CapDecision:  # noqa: FBT001 - the hot path
    before, amount = counter.usage(cap), amounts.get(cap.unit)
    if amount is None:  # B12: unknown cost is never 0
        mismatch = currency_of(cap.unit) is not None and any(map(currency_of, amounts))
        return CapDecision(cap, before, None, Verdict.BLOCK, CURRENCY_MISMATCH if mismatch else COST_UNKNOWN)
    after = before + amount
    if after > AMOUNT_MAX:
        return CapDecision(cap, before, None, Verdict.BLOCK, AMOUNT_OUT_OF_RANGE)
    hard, soft = cap.hard_cap, cap.soft_cap
    if hard is not None and after > hard:
        verdict, reason = Verdict.BLOCK, NEVER_FITS if amount > hard else HARD_CAP_EXCEEDED
    elif cap.requires_justification and not justified:
        verdict, reason = Verdict.BLOCK, JUSTIFICATION_MISSING
    elif soft is not None and after > soft:
        verdict, reason = Verdict.WARN, SOFT_CAP_EXCEEDED
    else:
        verdict, reason = (Verdict.WARN, JUSTIFIED) if cap.requires_justification else (Verdict.ALLOW, WITHIN_CAPS)
    return CapDecision(cap, before, after, verdict, reason)


def _gravity(one: CapDecision) -> int:
    return _PRECEDENCE[one.reason]


_MILDEST_FIRST = (
    WITHIN_CAPS,
    JUSTIFIED,
    SOFT_CAP_EXCEEDED,
    JUSTIFICATION_MISSING,
    HARD_CAP_EXCEEDED,
    NEVER_FITS,
    COST_UNKNOWN,
    CURRENCY_MISMATCH,
    AMOUNT_OUT_OF_RANGE,
)
"""Reasons of a single cap, the one that says most last: those of ALLOW, of WARN, of BLOCK; a request that can never pass comes
before one that came too late, and both before one that only lacks its reason (B4, B13)."""
_PRECEDENCE = {reason: place for place, reason in enumerate(_MILDEST_FIRST)}
