"""When is a cap hit? A straight line from this period's use (B9). Pure, and exact: whole numbers only.

A period is the span of instants that have its key, in milliseconds that really pass: a day on which the clocks change has 23
or 25 hours. With usage ``u`` after ``e`` of a period's ``d`` milliseconds, the line is ``u * t / e``. It reaches a cap of ``h``
after ``ceil(h * e / u)`` milliseconds, and ``u * d // e`` is where it ends. There is no line before any time has passed, and
none for a plan's life, whose end nobody knows.
"""

from __future__ import annotations

import enum

import msgspec

from weighbridge.budgets.periods import next_start, period_keys, period_of, read_zones
from weighbridge.domain.caps import Period
from weighbridge.domain.instant import INSTANT_MS_MAX

_HOUR_MS = 3_600_000
# A day is over everywhere on earth 50 hours after it began anywhere (UTC+14 to UTC-12); a month after 31 days and 26 hours.
_SPAN_MS_MAX = {Period.DAY: 51 * _HOUR_MS, Period.MONTH: (31 * 24 + 27) * _HOUR_MS}


class Span(msgspec.Struct, frozen=True):
    """A period: its key, the instant (milliseconds) it begins and the one it ends before."""

    key: str
    start_ms: int
    end_ms: int


def span(zones: str | None, instant_ms: int, period: Period) -> Span:
    """Return the day or month that an instant lies in, under a tenant's zones (`budgets.periods`).

    Where a change of zones makes a key come up again, the span goes from the first instant with that key to the last.
    """
    key = period_of(period_keys(zones, instant_ms), period)
    first = last = None
    moment = max(0, instant_ms - _SPAN_MS_MAX[period])
    until = min(instant_ms + _SPAN_MS_MAX[period], INSTANT_MS_MAX)
    while moment <= until:
        after = _next_turn(zones, moment, period)
        if period_of(period_keys(zones, moment), period) == key:
            first, last = moment if first is None else first, after
        if after <= moment:
            break
        moment = after
    begins = instant_ms if first is None else first
    ends = min(max(instant_ms + 1, last if last is not None else 0), INSTANT_MS_MAX)  # what comes later has no text
    return Span(key, begins, max(begins + 1, ends))


def _next_turn(zones: str | None, moment_ms: int, period: Period) -> int:
    """Return the next instant at which the key could change: a period of any of the zones begins, or a zone begins to count."""
    known = read_zones(zones)
    turns = [next_start(moment_ms, one.zone, period) for one in known]
    turns += [one.day_from_ms if period is Period.DAY else one.month_from_ms for one in known]
    return min((turn for turn in turns if turn > moment_ms), default=moment_ms)


class Outlook(enum.StrEnum):
    """What the line says about a cap."""

    REACHED = "REACHED"
    HIT = "HIT"
    NOT_IN_PERIOD = "NOT_IN_PERIOD"
    UNLIMITED = "UNLIMITED"
    NO_TIME_PASSED = "NO_TIME_PASSED"
    NO_FORECAST = "NO_FORECAST"


class Forecast(msgspec.Struct, frozen=True):
    """Where the line leads. ``hit_ms`` is the instant at which the cap is reached, ``end`` the usage when the period ends.

    ``outlook``: ``REACHED`` (nothing more fits now), ``HIT`` (at ``hit_ms``), ``NOT_IN_PERIOD``, ``UNLIMITED``,
    ``NO_TIME_PASSED`` (nothing to draw a line from) or ``NO_FORECAST`` (a plan's life).
    """

    outlook: Outlook
    hit_ms: int | None = None
    end: int | None = None


NO_FORECAST = Forecast(Outlook.NO_FORECAST)


def forecast(usage: int, hard_cap: int | None, within: Span, at_ms: int) -> Forecast:
    """Return where the straight line leads from ``usage`` at the instant ``at_ms`` of a period."""
    elapsed_ms, length_ms = at_ms - within.start_ms, within.end_ms - within.start_ms
    end = usage * length_ms // elapsed_ms if elapsed_ms > 0 else None
    if hard_cap is None:
        return Forecast(Outlook.UNLIMITED, end=end)
    if usage >= hard_cap:
        return Forecast(Outlook.REACHED, end=end)
    if end is None:
        return Forecast(Outlook.NO_TIME_PASSED)
    if usage == 0:
        return Forecast(Outlook.NOT_IN_PERIOD, end=end)
    hit_ms = within.start_ms - (-hard_cap * elapsed_ms // usage)  # rounded up: at that instant it is reached
    if hit_ms >= within.end_ms:
        return Forecast(Outlook.NOT_IN_PERIOD, end=end)
    return Forecast(Outlook.HIT, hit_ms, end)


def elapsed_permille(within: Span, at_ms: int) -> int:
    """Return which share of a period has passed, in thousandths, rounded down."""
    return (at_ms - within.start_ms) * 1000 // (within.end_ms - within.start_ms)
