"""From an instant to the keys of the periods it lies in (B9). Pure, but for the constant zone data.

A tenant has one zone at a time. When its policy names another one, the period under way ends where it would have ended, and
the next one begins in the new zone; days and months change over on their own. So the zones of a tenant are a list, in the
order in which they were activated, each with the instants from which its days and its months count. A period whose key comes
up again after the change (going west, a day is lived twice) goes on counting on the same counter: never more than one cap.
"""

from __future__ import annotations

import datetime as dt
import functools

import msgspec

from weighbridge import canonical
from weighbridge.domain.caps import Period
from weighbridge.domain.instant import format_instant
from weighbridge.domain.zones import UTC, zone

PLAN_KEY = "PLAN"
"""The period key of a plan's life: the plan itself stands in the counter's scope."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_END_MS = 253_402_300_800_000  # the end of year 9999, beyond which nothing counts
_DECEMBER = 12
_KEYS_KEPT_MAX = 4096


class ZoneFrom(msgspec.Struct, frozen=True, array_like=True):
    """A zone, and the instants (milliseconds) from which its days and months count."""

    zone: str
    day_from_ms: int
    month_from_ms: int


Zones = tuple[ZoneFrom, ...]

_decoder = msgspec.json.Decoder(Zones)


def read_zones(text: str | None) -> Zones:
    """Return the zones of a tenant, from their text form; None is UTC from the beginning."""
    return (ZoneFrom(UTC, 0, 0),) if text is None else _decoder.decode(text)


def write_zones(zones: Zones) -> str:
    """Return the text form of zones: ``[["UTC",0,0],["Europe/Berlin",1793404800000,1793404800000]]``."""
    return canonical.encode(msgspec.to_builtins(zones)).decode()


def period_keys(zones: str | None, instant_ms: int) -> tuple[str, str]:
    """Return the keys of day and month, as in ``("2026-11-22", "2026-11")``, under the zones' text form."""
    return _keys_of_second(zones, instant_ms // 1000)  # days and months begin with a whole second, in every zone


@functools.lru_cache(maxsize=_KEYS_KEPT_MAX)
def _keys_of_second(zones: str | None, second: int) -> tuple[str, str]:
    known, instant_ms = read_zones(zones), second * 1000
    day = _local(instant_ms, _zone_at(known, instant_ms, Period.DAY))
    month = _local(instant_ms, _zone_at(known, instant_ms, Period.MONTH))
    return f"{day.year:04d}-{day.month:02d}-{day.day:02d}", f"{month.year:04d}-{month.month:02d}"


def with_zone(zones: str | None, name: str, instant_ms: int) -> str:
    """Return the zones after the activation of a policy that names zone ``name``, at ``instant_ms``.

    The first zone of a tenant counts from the beginning; another one from the start of the next period (B9).
    """
    if zones is None:
        return write_zones((ZoneFrom(name, 0, 0),))
    known = read_zones(zones)
    if known[-1].zone == name:
        return zones
    added = ZoneFrom(
        name,
        next_start(instant_ms, _zone_at(known, instant_ms, Period.DAY), Period.DAY),
        next_start(instant_ms, _zone_at(known, instant_ms, Period.MONTH), Period.MONTH),
    )
    return write_zones(_needed((*known, added)))


def _needed(zones: Zones) -> Zones:
    """Leave out zones that make no difference at any instant, so that policies that take turns do not lengthen the list."""
    kept: list[ZoneFrom] = []
    for one in zones:
        while kept and one.day_from_ms <= kept[-1].day_from_ms and one.month_from_ms <= kept[-1].month_from_ms:
            kept.pop()  # another one begins before it ever counts
        same = kept and kept[-1].zone == one.zone
        if not same or one.day_from_ms < kept[-1].day_from_ms or one.month_from_ms < kept[-1].month_from_ms:
            kept.append(one)
    return tuple(kept)


def next_start(instant_ms: int, name: str, period: Period) -> int:
    """Return the instant at which the next day or month of a zone begins. Days have 23, 24 or 25 hours, or none."""
    local = _local(instant_ms, name)
    last_month = local.year == dt.MAXYEAR and local.month == _DECEMBER
    if local.date() == dt.date.max or (last_month and period is Period.MONTH):
        return _END_MS
    if period is Period.MONTH:
        first = dt.date(local.year + local.month // 12, local.month % 12 + 1, 1)
    else:
        first = local.date() + dt.timedelta(days=1)
    # A midnight that the clocks skip lies, with the offset before the change, exactly at the change.
    start = dt.datetime(first.year, first.month, first.day, tzinfo=zone(name))
    return (start.astimezone(dt.UTC) - _EPOCH) // dt.timedelta(milliseconds=1)


def period_of(keys: tuple[str, str], period: Period) -> str:
    """Return the key of one period, of the keys of day and month."""
    if period is Period.DAY:
        return keys[0]
    return keys[1] if period is Period.MONTH else PLAN_KEY


def describe(zones: str) -> list[dict[str, str]]:
    """Return the zones for people: each with the instants it counts from."""
    return [
        {
            "zone": one.zone,
            "days_from": format_instant(one.day_from_ms),
            "months_from": format_instant(one.month_from_ms),
        }
        for one in read_zones(zones)
    ]


def _zone_at(zones: Zones, instant_ms: int, period: Period) -> str:
    """Return the zone whose days (months) count at an instant: the last one activated that has begun."""
    begun = [
        one.zone for one in zones if (one.month_from_ms if period is Period.MONTH else one.day_from_ms) <= instant_ms
    ]
    return begun[-1] if begun else zones[0].zone


def _local(instant_ms: int, name: str) -> dt.datetime:
    instant = _EPOCH + dt.timedelta(milliseconds=instant_ms)
    try:
        return instant.astimezone(zone(name))
    except OverflowError:  # a zone ahead of UTC is in year 10000 already, which has no text
        return instant
