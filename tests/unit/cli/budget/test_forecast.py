"""`budget forecast`: when is it hit?"""

from __future__ import annotations

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import asked, policy, spend


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    return spend(tmp_path / "s.db")


def forecast(store, *options):
    return run("budget", "forecast", "--store", store, *options)


def test_when_each_cap_is_hit_the_soonest_first(store):
    """B9: 11 of the day's 24 hours have passed in Berlin; 5 of 8 operations are reached at 8 * 11 / 5 hours."""
    lines = forecast(store, "--json").lines
    assert [(line["cap"], line["outlook"]) for line in lines] == [
        ("dear", "REACHED"),
        ("day", "HIT"),
        ("account-money", "NOT_IN_PERIOD"),
        ("account-money", "NOT_IN_PERIOD"),
        ("account-money", "NOT_IN_PERIOD"),
        ("idle", "NOT_IN_PERIOD"),
        ("free", "UNLIMITED"),
        ("plan", "NO_FORECAST"),
        ("plan", "NO_FORECAST"),
    ]
    assert lines[1] == {
        "cap": "day",
        "unit": "operations",
        "hard_cap": "8",
        "soft_cap": "4",
        "counter": "operations 2026-11-22 any",
        "period": "2026-11-22",
        "usage": "5",
        "outlook": "HIT",
        "from": "2026-11-21T23:00:00.000Z",
        "to": "2026-11-22T23:00:00.000Z",
        "at": "2026-11-22T10:00:00.000Z",
        "elapsed_permille": 458,
        "hit_at": "2026-11-22T16:36:00.000Z",
        "usage_at_end": "10",
        "soft_outlook": "REACHED",
    }
    assert "from" not in lines[-1]  # nobody knows when a plan's life ends


def test_another_instant_sees_what_had_been_reserved_by_then(store):
    """The day before: five operations in its first eleven hours, and none of those that came after."""
    line = forecast(store, "--json", "--cap", "day", "--at", "2026-11-21T10:00:00Z").lines[0]
    assert (line["usage"], line["hit_at"]) == ("5", "2026-11-21T16:36:00.000Z")
    (before,) = forecast(store, "--json", "--cap", "day", "--at", "2026-11-21T09:59:59.999Z").lines
    assert (before["usage"], before["outlook"]) == ("0", "NOT_IN_PERIOD")
    (given_back,) = [
        line for line in forecast(store, "--json", "--cap", "account-money").lines if line["counter"].endswith('"a-2"')
    ]
    as_of = forecast(store, "--json", "--cap", "account-money", "--at", "2026-11-22T10:00:00Z").lines
    assert given_back in as_of  # B7


def test_before_any_time_has_passed_there_is_no_line(store):
    begins = "2026-11-21T23:00:00Z"
    (line,) = forecast(store, "--json", "--cap", "day", "--at", begins).lines
    assert (line["outlook"], line["elapsed_permille"]) == ("NO_TIME_PASSED", 0)
    assert "too early to say" in forecast(store, "--table", "--cap", "day", "--at", begins).out


@pytest.mark.parametrize(
    ("at", "instant", "usage"),
    [
        ("2026-11-21", "2026-11-21T22:59:59.999Z", "5"),  # over: all of it
        ("2026-11-22", "2026-11-22T10:00:00.000Z", "5"),  # under way: up to now
        ("2026-11", "2026-11-22T10:00:00.000Z", "5"),
        ("2026-11-23", "2026-11-23T22:59:59.999Z", "0"),
    ],
)
def test_a_day_or_a_month_is_its_end_or_now(store, at, instant, usage):
    """B9: of its first instant there is nothing to forecast."""
    (line,) = forecast(store, "--json", "--cap", "day", "--at", at).lines
    assert (line["at"], line["usage"]) == (instant, usage)


def test_the_soft_cap_is_hit_too(store):
    """B9, B13: one operation in eleven hours reaches a soft cap of four after 44 hours, of two after 22."""
    at = ("--at", "2026-11-21T10:00:00Z")
    (line,) = forecast(store, "--json", "--cap", "day", *at).lines
    assert (line["soft_outlook"], line["outlook"]) == ("REACHED", "HIT")
    (free,) = forecast(store, "--json", "--cap", "dear").lines
    assert "soft_outlook" not in free
    told = forecast(store, "--table", "--cap", "day", *at).out
    assert "soft: reached" in told


def test_what_is_used_is_never_more_than_at_its_end(tmp_path, monkeypatch):
    """B2: small money has as many digits at its end as in what is used; it was 0.00."""
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    prices = {"currency": "USD", "operations": {"crm.note": "$0.0075"}}
    caps = [{"id": "money", "hard_cap": "$6/month", "soft_cap": "$0.01"}]
    with samples.weighbridge(tmp_path / "s.db", policy=policy(prices=prices, caps=caps)) as wb:
        wb.reserve(asked(1, "crm.note"))
    told = forecast(tmp_path / "s.db", "--table").out
    assert "0.0104" in told  # 0.0075 * 30 days / 21.458 days
    assert "soft: 2026-11-29" in told


@pytest.mark.parametrize("width", [80, 140])
def test_people_see_when_in_every_width(store, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    told = forecast(store, "--table").out
    assert max(map(len, told.splitlines())) <= width
    for part in ("reached", "45.8 %", "not in this period", "never: unlimited", "2.86", "2 more: --all"):
        assert part in told or (
            width == 80 and part.split()[-1] in told
        )  # words may stand on several lines, amounts not
    assert "2026-11-22 16:36:00" in " ".join(told.split()) or "16:36:00" in told
    every = forecast(store, "--table", "--all").out
    assert "more: --all" not in every
