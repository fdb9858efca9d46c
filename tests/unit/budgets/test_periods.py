"""Periods: days of 23 and 25 hours, days that are missing, midnights that are skipped, zones that change."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.budgets.periods import (
    ZoneFrom,
    Zones,
    describe,
    next_start,
    period_keys,
    period_of,
    read_zones,
    with_zone,
    write_zones,
)
from weighbridge.domain.caps import Period
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.zones import zone

HOUR_MS = 3_600_000
END_MS = 253_402_300_799_999


def ms(text):
    instant = parse_instant(text)
    assert instant is not None
    return instant


def in_zone(name):
    return write_zones((ZoneFrom(name, 0, 0),))


def day(name, instant_ms):
    return period_keys(in_zone(name), instant_ms)[0]


def days_from(name, start, steps, step_ms=HOUR_MS):
    """Return how many steps lie in each day, as (day, steps), from an instant on."""
    found: dict[str, int] = {}
    for number in range(steps):
        key = day(name, ms(start) + number * step_ms)
        found[key] = found.get(key, 0) + 1
    return list(found.items())


@pytest.mark.parametrize(
    ("name", "start", "expected"),
    [
        # clocks forward: 23 hours
        ("Europe/Berlin", "2024-03-29T23:00:00Z", [("2024-03-30", 24), ("2024-03-31", 23), ("2024-04-01", 24)]),
        # clocks back: 25 hours
        ("Europe/Berlin", "2024-10-25T22:00:00Z", [("2024-10-26", 24), ("2024-10-27", 25), ("2024-10-28", 24)]),
        # clocks forward at midnight, which does not exist: the day begins at 01:00
        ("America/Havana", "2024-03-09T05:00:00Z", [("2024-03-09", 24), ("2024-03-10", 23), ("2024-03-11", 24)]),
        ("Asia/Beirut", "2024-03-29T22:00:00Z", [("2024-03-30", 24), ("2024-03-31", 23), ("2024-04-01", 24)]),
        # clocks back to midnight, and back from midnight into the day before
        ("America/Havana", "2024-11-02T04:00:00Z", [("2024-11-02", 24), ("2024-11-03", 25), ("2024-11-04", 24)]),
        ("America/Asuncion", "2024-03-22T03:00:00Z", [("2024-03-22", 24), ("2024-03-23", 25), ("2024-03-24", 24)]),
        # a day that was never there
        ("Pacific/Apia", "2011-12-29T10:00:00Z", [("2011-12-29", 24), ("2011-12-31", 24), ("2012-01-01", 24)]),
    ],
)
def test_days_have_the_hours_they_have(name, start, expected):
    """B9: 23, 24, 25, or none. Of years that are over, whose clocks no new edition of the zone data changes."""
    assert days_from(name, start, sum(hours for _, hours in expected)) == expected


def test_a_day_that_begins_twice_is_one_day():
    """B9: in Newfoundland clocks went back at 00:01: its first minute is of the same counter as the rest of the day."""
    minutes = [day("America/St_Johns", ms("2006-10-29T02:29:00Z") + minute * 60_000) for minute in range(63)]
    assert minutes == ["2006-10-28"] + ["2006-10-29"] + ["2006-10-28"] * 59 + ["2006-10-29"] * 2


@pytest.mark.parametrize(
    ("name", "instant", "expected"),
    [
        ("UTC", "1970-01-01T00:00:00Z", ("1970-01-01", "1970-01")),
        ("UTC", "2026-01-31T23:59:59.999Z", ("2026-01-31", "2026-01")),
        ("UTC", "2026-02-01T00:00:00Z", ("2026-02-01", "2026-02")),
        ("UTC", "2028-02-29T12:00:00Z", ("2028-02-29", "2028-02")),
        ("Asia/Tokyo", "2026-12-31T15:00:00Z", ("2027-01-01", "2027-01")),
        ("America/New_York", "2027-01-01T04:59:59.999Z", ("2026-12-31", "2026-12")),
        ("America/New_York", "1970-01-01T00:00:00Z", ("1969-12-31", "1969-12")),
        ("Asia/Kolkata", "2026-11-22T18:29:59.999Z", ("2026-11-22", "2026-11")),
        ("Asia/Kolkata", "2026-11-22T18:30:00Z", ("2026-11-23", "2026-11")),
        ("Asia/Tokyo", "9999-12-31T23:59:59.999Z", ("9999-12-31", "9999-12")),  # year 10000 there, which has no text
    ],
)
def test_keys_to_the_millisecond(name, instant, expected):
    """B9: month ends, year ends, leap days, half hours, and both ends of time."""
    assert period_keys(in_zone(name), ms(instant)) == expected


def test_without_zones_it_is_utc():
    """B9: UTC unless set."""
    assert period_keys(None, ms("2026-11-22T23:30:00Z")) == ("2026-11-22", "2026-11")
    assert read_zones(None) == (ZoneFrom("UTC", 0, 0),)


def test_the_key_of_a_period():
    keys = ("2026-11-22", "2026-11")
    assert [period_of(keys, period) for period in Period] == ["2026-11-22", "2026-11", "PLAN"]


@pytest.mark.parametrize(
    ("name", "instant", "period", "expected"),
    [
        ("UTC", "2026-11-22T10:00:00Z", Period.DAY, "2026-11-23T00:00:00Z"),
        ("UTC", "2026-11-22T00:00:00Z", Period.DAY, "2026-11-23T00:00:00Z"),
        ("UTC", "2026-11-22T23:59:59.999Z", Period.DAY, "2026-11-23T00:00:00Z"),
        ("UTC", "2026-12-05T00:00:00Z", Period.MONTH, "2027-01-01T00:00:00Z"),
        ("Europe/Berlin", "2024-03-30T23:30:00Z", Period.DAY, "2024-03-31T22:00:00Z"),
        ("Europe/Berlin", "2024-10-01T00:00:00Z", Period.MONTH, "2024-10-31T23:00:00Z"),
        ("America/Havana", "2024-03-09T12:00:00Z", Period.DAY, "2024-03-10T05:00:00Z"),
        ("Asia/Beirut", "2024-03-30T12:00:00Z", Period.DAY, "2024-03-30T22:00:00Z"),
        ("Pacific/Apia", "2011-12-30T05:00:00Z", Period.DAY, "2011-12-30T10:00:00Z"),
        ("Asia/Pyongyang", "2018-05-04T12:00:00Z", Period.DAY, "2018-05-04T15:00:00Z"),  # 23:30 was followed by 00:00
        ("UTC", "9999-12-31T12:00:00Z", Period.DAY, None),
        ("Asia/Tokyo", "9999-12-31T23:00:00Z", Period.MONTH, None),
    ],
)
def test_when_the_next_period_begins(name, instant, period, expected):
    """B9: a midnight that the clocks skip is where they skip it."""
    assert next_start(ms(instant), name, period) == (END_MS + 1 if expected is None else ms(expected))


ZONES = (
    *("Europe/Berlin", "America/Havana", "Asia/Beirut", "Pacific/Apia", "America/St_Johns", "Australia/Lord_Howe"),
    *("Africa/Casablanca", "Asia/Tehran", "America/Sao_Paulo", "Antarctica/Troll", "Asia/Kathmandu", "UTC"),
)


@given(
    st.integers(0, ms("2037-12-31T00:00:00Z")),
    st.sampled_from(ZONES),
    st.sampled_from([Period.DAY, Period.MONTH]),
)
def test_the_next_period_begins_where_the_key_changes(instant_ms, name, period):
    """B9: right before it is another period than right after, and nothing in between is a later one."""
    start = next_start(instant_ms, name, period)
    now, before, after = (period_of(period_keys(in_zone(name), at), period) for at in (instant_ms, start - 1, start))
    assert instant_ms < start
    assert before < after
    assert now <= before
    local = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=start)).astimezone(zone(name))
    assert local.day == 1 or period is Period.DAY


NOON_MS = ms("2026-11-22T12:00:00Z")


def test_the_first_zone_counts_from_the_beginning():
    """B9: a tenant that never had a budget has no period under way."""
    assert with_zone(None, "Asia/Tokyo", NOON_MS) == '[["Asia/Tokyo",0,0]]'
    assert with_zone('[["UTC",0,0]]', "UTC", NOON_MS) == '[["UTC",0,0]]'


def test_another_zone_counts_from_the_next_day_and_the_next_month():
    """B9: each period ends where it would have ended, in the zone it began in."""
    zones = with_zone(in_zone("Europe/Berlin"), "America/New_York", NOON_MS)
    days, months = ms("2026-11-22T23:00:00Z"), ms("2026-11-30T23:00:00Z")
    assert read_zones(zones) == (ZoneFrom("Europe/Berlin", 0, 0), ZoneFrom("America/New_York", days, months))
    assert period_keys(zones, days - 1) == ("2026-11-22", "2026-11")
    # Going west a day is lived twice: it goes on counting on the same counter, never more than one cap.
    assert period_keys(zones, days) == ("2026-11-22", "2026-11")
    assert period_keys(zones, days + 6 * HOUR_MS) == ("2026-11-23", "2026-11")
    assert period_keys(zones, months) == ("2026-11-30", "2026-11")
    assert period_keys(zones, months + 6 * HOUR_MS) == ("2026-12-01", "2026-12")


def test_a_month_keeps_its_zone_while_days_change():
    """B9: two changes in one month: the month knows neither of them yet."""
    zones = with_zone(in_zone("UTC"), "Asia/Tokyo", NOON_MS)
    zones = with_zone(zones, "Europe/Berlin", NOON_MS + 48 * HOUR_MS)
    assert [one.zone for one in read_zones(zones)] == ["UTC", "Asia/Tokyo", "Europe/Berlin"]
    assert period_keys(zones, ms("2026-11-23T16:00:00Z"))[0] == "2026-11-24"  # Tokyo
    assert period_keys(zones, ms("2026-11-24T15:00:00Z"))[0] == "2026-11-24"  # Berlin: from Tokyo's midnight
    assert period_keys(zones, ms("2026-11-30T23:30:00Z")) == ("2026-12-01", "2026-11")
    assert period_keys(zones, ms("2026-12-31T23:00:00Z")) == ("2027-01-01", "2027-01")


def test_policies_that_take_turns_do_not_lengthen_the_list():
    """B9: what never came into force, or changes nothing, is left out."""
    zones = in_zone("UTC")
    for number in range(50):
        zones = with_zone(zones, "Asia/Tokyo" if number % 2 == 0 else "UTC", NOON_MS + number)
    assert read_zones(zones) == (ZoneFrom("UTC", 0, 0),)


NAMES = st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago"])


@given(st.lists(st.tuples(NAMES, st.integers(0, 90 * 24)), min_size=1, max_size=6), st.integers(0, 120 * 24))
def test_what_is_left_out_makes_no_difference(changes, hour):
    """B9: every key is what the full list of zones gives, and a change never touches the period it is made in."""
    start = ms("2026-01-01T00:00:00Z")
    zones: str | None = None
    full: Zones = ()
    for name, hours in sorted(changes, key=lambda change: change[1]):
        at = start + hours * HOUR_MS
        before = zones
        zones = with_zone(zones, name, at)
        if not full:
            full = (ZoneFrom(name, 0, 0),)
        elif full[-1].zone != name:
            text = write_zones(full)
            day_zone = next(one.zone for one in reversed(full) if one.day_from_ms <= at)
            month_zone = next(one.zone for one in reversed(full) if one.month_from_ms <= at)
            added = ZoneFrom(name, next_start(at, day_zone, Period.DAY), next_start(at, month_zone, Period.MONTH))
            full = (*read_zones(text), added)
        if before is not None:
            assert period_keys(before, at) == period_keys(zones, at)
    at = start + hour * HOUR_MS
    assert period_keys(zones, at) == period_keys(write_zones(full), at)


def test_zones_for_people():
    zones = with_zone(in_zone("UTC"), "Asia/Tokyo", NOON_MS)
    assert describe(zones)[1] == {
        "zone": "Asia/Tokyo",
        "days_from": "2026-11-23T00:00:00.000Z",
        "months_from": "2026-12-01T00:00:00.000Z",
    }
