"""`budget simulate`: what the recorded operations would have met under other caps."""

from __future__ import annotations

import copy
import json

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import BUDGETS, asked, policy, spend


@pytest.fixture
def store(tmp_path):
    return spend(tmp_path / "s.db")


@pytest.fixture
def other(tmp_path):
    """A policy whose day is shorter, with room for what was blocked."""
    caps = copy.deepcopy(BUDGETS["caps"])
    caps[0] |= {"hard_cap": "4/day", "soft_cap": 3}
    caps[3] |= {"hard_cap": "3/day"}
    path = tmp_path / "other.json"
    path.write_text(json.dumps(policy(caps=caps[:5])))
    return path


def simulate(store, file, *options):
    return run("budget", "simulate", file, "--store", store, *options)


def test_under_the_policy_that_was_in_force_everything_comes_out_as_recorded(store, tmp_path):
    """B10, G4."""
    file = tmp_path / "same.json"
    file.write_text(json.dumps(policy()))
    (line,) = simulate(store, file, "--json").lines
    assert (line["operations"], line["changed"], line["changes"]) == (11, 0, [])
    assert line["outcomes"] == line["recorded"]
    assert "Every verdict is the one on record." in simulate(store, file, "--table").out


def test_other_caps_give_other_verdicts(store, other):
    """B4: counts by verdict and reason, by cap, the first operation blocked, and what differs."""
    ran = simulate(store, other, "--json")
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.lines
    assert (line["from"], line["to"], line["operations"], line["before"]) == (None, None, 11, 0)
    assert line["recorded"] == [
        {"verdict": "ALLOW", "reason": "WITHIN_CAPS", "count": 8},
        {"verdict": "BLOCK", "reason": "HARD_CAP_EXCEEDED", "count": 1},
        {"verdict": "WARN", "reason": "SOFT_CAP_EXCEEDED", "count": 2},
    ]
    assert line["outcomes"] == [
        {"verdict": "ALLOW", "reason": "WITHIN_CAPS", "count": 6},
        {"verdict": "BLOCK", "reason": "HARD_CAP_EXCEEDED", "count": 3},
        {"verdict": "WARN", "reason": "SOFT_CAP_EXCEEDED", "count": 2},
    ]
    assert line["changed"] == sum(one["count"] for one in line["changes"]) == 6
    assert {
        "recorded": {"verdict": "BLOCK", "reason": "HARD_CAP_EXCEEDED"},
        "simulated": {"verdict": "ALLOW", "reason": "WITHIN_CAPS"},
        "count": 1,
    } in line["changes"]
    assert line["not_made"] == 1
    assert line["reserved"]["operations"] == {"recorded": "10", "simulated": "8"}
    day = next(cap for cap in line["caps"] if cap["cap"] == "day")
    assert day["verdicts"] == {"ALLOW": 6, "BLOCK": 3, "WARN": 2}
    assert day["fullest"] == {"counter": "operations 2026-11-21 any", "usage": "4"}
    assert line["first_blocked"] == day["first_blocked"]
    assert line["first_blocked"]["operation_id"] == "op-4"
    assert line["first_blocked"]["because"] == [
        "cap `day` is used up: 4 of 4 operations on 2026-11-21, no room for 1 operation more"
    ]


def test_from_somewhere_on_what_lies_before_counts_as_recorded(store, other):
    """B14: and a time is the tenant's day, not included where weighing ends."""
    (line,) = simulate(store, other, "--from", "2026-11-22", "--json").lines
    assert (line["from"], line["operations"], line["before"]) == ("2026-11-21T23:00:00.000Z", 6, 5)
    (line,) = simulate(store, other, "--to", "2026-11-22", "--json").lines
    assert (line["to"], line["operations"], line["before"]) == ("2026-11-21T23:00:00.000Z", 5, 0)


def test_every_operation_that_changed_on_demand(store, other):
    lines = simulate(store, other, "--changes", "--json").lines
    assert [(line["operation_id"], line["recorded"]["verdict"], line["simulated"]["verdict"]) for line in lines] == [
        ("op-3", "ALLOW", "WARN"),
        ("op-4", "WARN", "BLOCK"),
        ("op-12", "BLOCK", "ALLOW"),
        ("op-13", "ALLOW", "WARN"),
        ("op-14", "ALLOW", "BLOCK"),
        ("op-15", "WARN", "BLOCK"),
    ]
    told = simulate(store, other, "--changes", "--table").out
    assert told.count("op-") == 6


@pytest.mark.parametrize("width", [80, 140])
def test_people_see_counts_caps_and_the_first_ones_that_changed(store, other, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    monkeypatch.setattr("weighbridge.cli.budget.simulate.CHANGES_SHOWN_MAX", 2)
    told = simulate(store, other, "--table").out
    assert max(map(len, told.splitlines())) <= width
    for part in (
        "tenant acme: 11 operations weighed under the caps of policy",
        "The first one blocked is op-4 (record 5, 2026-11-21 10:00:00 UTC):",
        "6 of 11 would have met another verdict:",
        "and 4 more: --changes",
        "Reserved, before anything was given back:",
        "1 operation was not made then; it counts at what it reserves.",
    ):
        assert part in told
    assert "nothing fell under it" not in told


def test_nothing_is_written(store, other):
    before = store.read_bytes()
    simulate(store, other)
    assert store.read_bytes() == before


def test_a_time_without_operations_says_when_there_were_some(store, other):
    ran = simulate(store, other, "--from", "2026-12")
    assert (ran.code, ran.out) == (2, "")
    assert "in this time; the ledger has them from 2026-11-21T10:00:00.000Z to 2026-11-22T10:00:00.000Z" in ran.err
    ran = simulate(store, other, "--from", "2026-11-22", "--to", "2026-11-22")
    assert (ran.code, ran.out) == (2, "")
    assert "`2026-11-22` is not before `2026-11-22`" in ran.err


def test_a_ledger_without_budgets_has_nothing_to_weigh(tmp_path, other):
    with samples.weighbridge(tmp_path / "gates.db") as wb:
        wb.gate(samples.context())
    ran = simulate(tmp_path / "gates.db", other)
    assert (ran.code, ran.out) == (2, "")
    assert "no operation of tenant `acme` ever asked for its budget" in ran.err


def test_a_policy_without_budgets_or_with_mistakes_is_refused(store, tmp_path):
    file = tmp_path / "none.json"
    file.write_text(json.dumps(samples.policy(budgets=None)))
    assert "has no budgets for tenant `acme`" in simulate(store, file).err
    file.write_text("{}")
    ran = simulate(store, file)
    assert ran.code == 2
    assert "mistake" in ran.err


def test_ids_from_agents_do_not_reach_the_terminal_as_they_are(tmp_path, other):
    with samples.weighbridge(tmp_path / "evil.db", policy=policy()) as wb:
        for number in range(6):
            wb.reserve(
                {
                    "tenant_id": "acme",
                    "operation_id": f"\x1b[2J{number}",
                    "account_id": "\x1b[31m",
                    "budget": {"operation": "crm.note"},
                }
            )
    for args in (("simulate", other), ("show",), ("show", "--by", "account"), ("forecast",), ("show", "--all")):
        at = ("--at", "2026-11-22T12:00:00Z") if args[0] != "simulate" else ()
        ran = run("budget", *args, "--store", tmp_path / "evil.db", "--table", *at)
        assert ran.code == 0
        assert "\x1b" not in ran.out


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_ids_stay_in_one_piece(tmp_path, other, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    identity = "0193a7c2-4b1e-7c3a-9d52-1f6e8a0b4c7"
    with samples.weighbridge(tmp_path / "s.db", policy=policy()) as wb:
        for number in range(6):
            wb.reserve(asked(number, "crm.note", f"{identity}a", operation_id=f"{identity}{number}"))
    told = simulate(tmp_path / "s.db", other, "--table").out
    assert max(map(len, told.splitlines())) <= width
    for part in (f"account {identity}a", *(f"{identity}{number}" for number in range(3, 6))):
        assert part in told


def test_operations_that_were_not_made_are_counted(store, tmp_path):
    """B4, B7: nobody knows what they would have used."""
    file = tmp_path / "loose.json"
    file.write_text(json.dumps(policy(caps=[{"id": "all", "hard_cap": "unlimited operations/month"}])))
    with samples.weighbridge(store, samples.Clock(), policy=policy()) as wb:
        wb.reserve(asked(40, "enrich", "a-2"))
    assert simulate(store, file, "--json").lines[0]["not_made"] == 2
    assert "2 operations were not made then; they count at what they reserve." in simulate(store, file, "--table").out
