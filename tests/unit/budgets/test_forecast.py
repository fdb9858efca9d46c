"""Forecasts: spans of periods that really pass, and a straight line in whole numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.budgets.forecast import Outlook, Span, elapsed_permille, forecast, span
from weighbridge.budgets.periods import ZoneFrom, period_keys, period_of, with_zone, write_zones
from weighbridge.domain.caps import Period
from weighbridge.domain.instant import INSTANT_MS_MAX, format_instant, parse_instant

HOUR_MS = 3_600_000
ZONES = ("UTC", "Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns", "Africa/Cairo")


def ms(text):
    instant = parse_instant(text)
    assert instant is not None
    return instant


def zones(name):
    return write_zones((ZoneFrom(name, 0, 0),))


@pytest.mark.parametrize(
    ("zone", "at", "period", "start", "end"),
    [
        ("UTC", "2026-11-22T10:00:00Z", Period.DAY, "2026-11-22T00:00:00.000Z", "2026-11-23T00:00:00.000Z"),
        ("Europe/Berlin", "2026-11-22T23:00:00Z", Period.DAY, "2026-11-22T23:00:00.000Z", "2026-11-23T23:00:00.000Z"),
        ("Europe/Berlin", "2026-03-29T10:00:00Z", Period.DAY, "2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"),
        ("Europe/Berlin", "2026-10-25T10:00:00Z", Period.DAY, "2026-10-24T22:00:00.000Z", "2026-10-25T23:00:00.000Z"),
        ("Europe/Berlin", "2026-10-02T10:00:00Z", Period.MONTH, "2026-09-30T22:00:00.000Z", "2026-10-31T23:00:00.000Z"),
        ("UTC", "1970-01-01T00:00:00Z", Period.MONTH, "1970-01-01T00:00:00.000Z", "1970-02-01T00:00:00.000Z"),
    ],
)
def test_a_period_is_the_time_that_really_passes_in_the_tenants_zone(zone, at, period, start, end):
    """B9: days have 23 or 25 hours where the clocks change, and so have their forecasts."""
    found = span(zones(zone), ms(at), period)
    assert (format_instant(found.start_ms), format_instant(found.end_ms)) == (start, end)


def test_the_end_of_time_ends_a_period_too():
    """Beyond year 9999 nothing counts, and nothing is raised."""
    found = span(zones("UTC"), ms("9999-12-31T12:00:00Z"), Period.MONTH)
    assert found.start_ms <= ms("9999-12-31T12:00:00Z") < found.end_ms


def test_a_change_of_zones_lengthens_the_period_that_goes_on():
    """B9: going west, the key of the day comes up again, and the day ends where the new zone's does."""
    at = ms("2026-11-22T10:00:00Z")
    changed = with_zone(zones("Europe/Berlin"), "America/New_York", at)
    found = span(changed, at, Period.DAY)
    assert found == Span("2026-11-22", ms("2026-11-21T23:00:00Z"), ms("2026-11-23T05:00:00Z"))
    assert span(changed, found.end_ms, Period.DAY).start_ms == found.end_ms


@given(st.sampled_from(ZONES), st.integers(0, ms("9999-10-20T00:00:00Z")), st.sampled_from((Period.DAY, Period.MONTH)))
def test_a_span_is_every_instant_with_its_key_and_no_other(zone, at_ms, period):
    """B9."""
    known = zones(zone)
    found = span(known, at_ms, period)

    def key(instant_ms):
        return period_of(period_keys(known, instant_ms), period)

    assert found.start_ms <= at_ms < found.end_ms
    assert {key(found.start_ms), key(at_ms), key(found.end_ms - 1)} == {found.key}
    assert key(found.end_ms) != found.key
    assert found.start_ms == 0 or key(found.start_ms - 1) != found.key


DAY = Span("2026-11-22", 0, 24 * HOUR_MS)


@pytest.mark.parametrize(
    ("usage", "hard", "hours", "expected"),
    [
        (10, 20, 6, (Outlook.HIT, 12, 40)),
        (10, 40, 6, (Outlook.NOT_IN_PERIOD, None, 40)),  # reached when the day is over is not in the day
        (10, 39, 6, (Outlook.HIT, 23.4, 40)),
        (20, 20, 6, (Outlook.REACHED, None, 80)),
        (21, 20, 6, (Outlook.REACHED, None, 84)),
        (0, 20, 6, (Outlook.NOT_IN_PERIOD, None, 0)),
        (0, 0, 6, (Outlook.REACHED, None, 0)),
        (7, None, 6, (Outlook.UNLIMITED, None, 28)),
        (7, 20, 0, (Outlook.NO_TIME_PASSED, None, None)),
        (20, 20, 0, (Outlook.REACHED, None, None)),
    ],
)
def test_the_line_from_a_quarter_of_the_day(usage, hard, hours, expected):
    outlook, hit_hours, end = expected
    found = forecast(usage, hard, DAY, hours * HOUR_MS)
    assert (found.outlook, found.end) == (outlook, end)
    assert found.hit_ms == (None if hit_hours is None else int(hit_hours * HOUR_MS))


def test_the_hour_that_a_day_has_more_is_time_for_spending():
    """B9: on a day of 25 hours the same use comes further."""
    at = ms("2026-10-25T10:00:00Z")
    longer = span(zones("Europe/Berlin"), at, Period.DAY)
    assert forecast(12, 24, longer, at).outlook is Outlook.HIT
    assert forecast(12, 24, DAY, 12 * HOUR_MS).outlook is Outlook.NOT_IN_PERIOD
    assert forecast(12, 25, longer, at).end == 25
    assert elapsed_permille(longer, at) == 480


@given(st.integers(1, 10**30), st.integers(1, 10**27), st.integers(1, 24 * HOUR_MS - 1))
def test_a_cap_is_hit_at_the_first_instant_at_which_the_line_is_there(usage, hard, elapsed_ms):
    """B2: whole numbers only, at any size."""
    found = forecast(usage, hard, DAY, elapsed_ms)
    if found.outlook is Outlook.HIT:
        assert found.hit_ms is not None
        assert usage * found.hit_ms >= hard * elapsed_ms
        assert usage * (found.hit_ms - 1) < hard * elapsed_ms
        assert elapsed_ms < found.hit_ms < DAY.end_ms
    elif found.outlook is Outlook.NOT_IN_PERIOD:
        assert usage * (DAY.end_ms - 1) < hard * elapsed_ms
    else:
        assert usage >= hard


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.999Z", "9999-12-31T00:00:00Z", "9999-12-10T12:00:00Z"])
def test_the_last_periods_end_with_the_last_instant_that_has_a_text(at):
    """B9: a day of the last month is a day, and no end lies where no text can name it."""
    instant_ms = ms(at)
    day, month = (span(None, instant_ms, period) for period in (Period.DAY, Period.MONTH))
    assert (day.start_ms, month.start_ms) == (ms(f"{at[:10]}T00:00:00Z"), ms("9999-12-01T00:00:00Z"))
    assert day.end_ms == min(day.start_ms + 86_400_000, INSTANT_MS_MAX)
    assert month.end_ms == INSTANT_MS_MAX
    assert format_instant(month.end_ms) == "9999-12-31T23:59:59.999Z"
