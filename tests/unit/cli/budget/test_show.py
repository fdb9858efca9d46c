"""`budget show`: usage against every cap, and who spent it."""

from __future__ import annotations

import json

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import BUDGETS, asked, policy, spend


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    return spend(tmp_path / "s.db")


def show(store, *options):
    return run("budget", "show", "--store", store, *options)


def usages(lines):
    return [(line["cap"], line["scope"], line["usage"], line["verdict"]) for line in lines]


def test_every_cap_is_there_the_fullest_first(store):
    """M4, B3: one line for each counter of an "each" cap, and one for a cap that nothing fell under."""
    ran = show(store, "--json")
    assert (ran.code, ran.err) == (0, "")
    assert usages(ran.lines) == [
        ("dear", {"tool": "enrich"}, "2", "BLOCK"),
        ("day", {}, "5", "WARN"),
        ("account-money", {"account": "a-1"}, "2050000000000", "ALLOW"),
        ("account-money", {"account": "a-2"}, "520000000000", "ALLOW"),  # B7: what was given back is not used
        ("account-money", {"account": None}, "10000000000", "ALLOW"),
        ("plan", {"plan": None}, "9", "ALLOW"),
        ("plan", {"plan": "p-1"}, "1", "ALLOW"),
        ("idle", {"account": "each", "tool": "crm.update"}, "0", "ALLOW"),
        ("free", {"tool": "crm.note"}, "8", "ALLOW"),
    ]
    first, last = ran.lines[0], ran.lines[-1]
    assert first == {
        "cap": "dear",
        "unit": "operations",
        "hard_cap": "2",
        "counter": 'operations 2026-11-22 EXPENSIVE tool="enrich"',
        "scope": {"tool": "enrich"},
        "cost_classes": ["EXPENSIVE"],
        "period": "2026-11-22",
        "usage": "2",
        "left": "0",
        "percent": 100,
        "settles": False,
        "verdict": "BLOCK",
    }
    assert (last["hard_cap"], last["left"], last["percent"]) == ("unlimited", None, None)


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_people_see_bars_amounts_and_what_is_left(store, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    told = show(store, "--table").out
    assert max(map(len, told.splitlines())) <= width
    assert "tenant acme, 2026-11-22 and 2026-11 in Europe/Berlin" in told
    for part in ("dear (EXPENSIVE)", "account a-1", "no account", "3.95", "USD", "unlimited", "100 %", "62 %", "<1 %"):
        assert part in told
    cells = {140: 20, 120: 8, 100: 12, 80: 8}[width]  # the bar shrinks before anything else
    bars = [line for line in told.splitlines() if "█" in line or "░" in line]
    assert "█" * cells in bars[0]
    assert "░" * cells in bars[-1]
    assert len(bars) == 9


def test_a_cap_over_each_shows_its_fullest_unless_all_are_asked_for(store, monkeypatch):
    monkeypatch.setattr("weighbridge.cli.budget.tables.ROWS_PER_CAP_MAX", 2)
    some = show(store, "--table", "--cap", "account-money")
    assert some.out.count(" account ") == 2
    assert "1 more: --all" in some.out
    every = show(store, "--table", "--cap", "account-money", "--all").out
    assert every.count(" account ") == 3
    assert "more: --all" not in every
    assert len(show(store, "--json", "--cap", "account-money").lines) == 3  # programs get all of them


def test_one_cap_alone(store):
    assert [line["cap"] for line in show(store, "--json", "--cap", "day").lines] == ["day"]


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-11-21", "5", "8"),
        ("2026-11-21T22:59:59Z", "5", "8"),
        ("2026-11-21T23:00:00Z", "5", "8"),
        ("2026-11", "0", "8"),
        ("2026-10-31", "0", "0"),
    ],
)
def test_another_day_in_the_tenants_zone(store, at, day, month):
    """B9: the day begins where it begins for the tenant."""
    lines = {line["cap"]: line for line in show(store, "--json", "--at", at).lines}
    assert (lines["day"]["usage"], lines["free"]["usage"]) == (day, month)


def test_a_period_without_use_says_when_the_last_was(store):
    ran = show(store, "--table", "--at", "2026-12-24", "--cap", "day")
    assert ran.code == 0
    assert "nothing was reserved under these caps in this period; the last use on record is of 2026-11-22" in ran.err


def test_caps_of_another_policy_are_counted_from_what_was_consumed(store, tmp_path):
    """B14: a cap that is new starts at what already fell under it; one that is not in force is shown as if it were."""
    file = tmp_path / "other.json"
    caps = [{"id": "tools", "scope": {"tool": "each"}, "hard_cap": "4/month"}, BUDGETS["caps"][0]]
    file.write_text(json.dumps(samples.policy(budgets={"time_zone": "Europe/Berlin", "caps": caps})))
    ran = show(store, "--json", "--policy", file)
    assert usages(ran.lines) == [
        ("tools", {"tool": "crm.note"}, "8", "BLOCK"),
        ("tools", {"tool": "enrich"}, "2", "ALLOW"),
        ("day", {}, "5", "WARN"),
    ]
    assert "the policy given" in show(store, "--table", "--policy", file).out


# --- Who spent it -----------------------------------------------------------------------------------------------------


def spenders(lines, who, unit="operations"):
    return [(line[who], line["day"]["reserved"], line["month"]["reserved"]) for line in lines if line["unit"] == unit]


def test_who_spent_it(store):
    """M4: consumption by account, plan, tool and class, from the cells."""
    by = {who: show(store, "--json", "--by", who).lines for who in ("account", "plan", "tool", "class")}
    assert spenders(by["account"], "account") == [("a-1", "1", "6"), ("a-2", "3", "3"), (None, "1", "1")]
    assert spenders(by["plan"], "plan") == [(None, "4", "9"), ("p-1", "1", "1")]
    assert spenders(by["tool"], "tool") == [("crm.note", "3", "8"), ("enrich", "2", "2")]
    assert spenders(by["class"], "class") == [("CHEAP", "3", "8"), ("EXPENSIVE", "2", "2")]
    (spent,) = [line for line in by["account"] if (line["account"], line["unit"]) == ("a-2", "pico_USD")]
    assert spent == {
        "by": "account",
        "account": "a-2",
        "unit": "pico_USD",
        "day": {"period": "2026-11-22", "reserved": "2020000000000", "settled": "1500000000000"},
        "month": {"period": "2026-11", "reserved": "2020000000000", "settled": "1500000000000"},
        "ever": {"reserved": "2020000000000", "settled": "1500000000000"},
    }


def test_who_used_up_a_cap(store):
    """M4: the question that follows a BLOCK; in the cap's unit, the biggest of its period first."""
    lines = show(store, "--json", "--by", "account", "--cap", "day").lines
    assert spenders(lines, "account") == [("a-2", "3", "3"), ("a-1", "1", "6"), (None, "1", "1")]
    told = show(store, "--table", "--by", "account", "--cap", "dear").out
    assert "what was spent under cap dear, by account (reserved, less what was given back)" in told
    assert "Share of 2026-11-22" in told
    assert told.count("50 %") == 2


@pytest.mark.parametrize("width", [80, 140])
def test_people_see_shares(store, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    told = show(store, "--table", "--by", "account").out
    assert max(map(len, told.splitlines())) <= width
    assert "60 %" in told
    assert "no account" in told
    assert "Share of 2026-11 " in told
    header = next(line for line in told.splitlines() if "Ever" in line)
    assert header.index(" 2026-11-22 ") < header.rindex(" 2026-11 ") < header.index("Ever")
    under_a_day = show(store, "--table", "--by", "account", "--cap", "day").out
    assert header.split()[-4:] == next(line for line in under_a_day.splitlines() if "Ever" in line).split()[-4:]


def test_the_biggest_spenders_come_first_and_all_on_demand(store, monkeypatch):
    monkeypatch.setattr("weighbridge.cli.budget.show.SPENDERS_MAX", 2)
    some, every = (show(store, "--table", "--by", "account", *more).out for more in ((), ("--all",)))
    assert some.count("1 more: --all") == 2  # of each unit
    assert " no account " not in some
    assert "more: --all" not in every
    assert every.count(" no account ") == 2


def test_without_any_use_there_is_nothing_to_add_up(tmp_path):
    with samples.weighbridge(tmp_path / "s.db", policy=policy()) as wb:
        wb.gate(samples.context())
    for more in ((), ("--cap", "day")):
        ran = show(tmp_path / "s.db", "--by", "tool", *more)
        assert (ran.code, ran.out) == (2, "")
        assert "tenant `acme` never reserved anything" in ran.err


# --- Ids and amounts in one piece --------------------------------------------------------------------------------------

LONG = "0193a7c2-4b1e-7c3a-9d52-1f6e8a0b4c7"


@pytest.fixture
def long_ids(tmp_path, monkeypatch):
    """A store in which accounts, plans and operations have ids of 36 characters, and much money was spent."""
    monkeypatch.setattr("weighbridge.wiring.system_surroundings", lambda: samples.surroundings(samples.Clock()))
    prices = {"currency": "USD", "operations": {"crm.note": "$12345.6789"}}
    caps = [
        *BUDGETS["caps"][2:3],
        {"id": "both", "scope": {"account": "each", "plan": "each"}, "hard_cap": "$88888/month"},
    ]
    caps[0] = caps[0] | {"hard_cap": "$99999/month"}
    with samples.weighbridge(tmp_path / "s.db", policy=policy(prices=prices, caps=caps)) as wb:
        for number in range(3):
            wb.reserve(
                asked(number, "crm.note", f"{LONG}{number}", operation_id=f"{LONG}{number + 3}", plan_id=f"{LONG}9")
            )
    return tmp_path / "s.db"


@pytest.mark.parametrize("width", [80, 100, 120, 140, 200])
@pytest.mark.parametrize(
    "words", [("show",), ("show", "--by", "account"), ("show", "--by", "plan"), ("forecast", "--all")]
)
def test_ids_and_amounts_stay_in_one_piece(long_ids, monkeypatch, width, words):
    """An amount that loses digits is another amount, and an id that is broken cannot be copied."""
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    told = run("budget", *words, "--store", long_ids, "--table").out
    assert max(map(len, told.splitlines())) <= width
    by_plan = "plan" in words
    for part in [f"{LONG}9", "37,037.0367"] if by_plan else [*(f"{LONG}{n}" for n in range(3)), "12,345.6789"]:
        assert part in told
    assert all(line == line.rstrip() for line in told.splitlines())


def test_a_cap_that_does_not_settle_is_marked_where_something_was_given_back(store, tmp_path):
    """B7: its usage is what was reserved, which is more than the operations came to."""
    caps = [{"id": "kept", "hard_cap": "$6/month"}, {"id": "given", "hard_cap": "$5/day", "settlement": True}]
    file = tmp_path / "other.json"
    file.write_text(json.dumps(policy(caps=caps)))
    told = show(store, "--table", "--policy", file).out
    assert "*4.08" in told
    assert " 2.53" in told
    assert told.splitlines()[-1] == "* does not settle: what was given back counts all the same"
    assert "does not settle" not in show(store, "--table").out
    assert [line["settles"] for line in show(store, "--json", "--policy", file).lines] == [False, True]
