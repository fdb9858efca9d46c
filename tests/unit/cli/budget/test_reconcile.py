"""`budget reconcile`: counters against the sum of the ledger."""

from __future__ import annotations

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import asked, edit, spend


@pytest.fixture
def store(tmp_path):
    return spend(tmp_path / "s.db")


def reconcile(store, *options):
    return run("budget", "reconcile", "--store", store, *options)


def test_counters_that_add_up_are_said_to(store):
    """L3."""
    ran = reconcile(store, "--json")
    assert ran.code == 0
    assert ran.lines == [
        {
            "tenant_id": "acme",
            "ok": True,
            "records": 12,
            "counters": 9,
            "cells": 5,
            "differences": [],
            "families": [],
            "faults": [],
        }
    ]
    told = reconcile(store, "--table")
    assert told.code == 0
    assert "tenant acme: 9 counters and 5 sums of consumption are what 12 records add up to" in told.out


def test_a_counter_that_was_changed_is_named_with_how_much_it_is_off(store):
    """L3, B5: exit code 4, every counter that differs, by how much."""
    edit(store, "UPDATE counter SET reserved = '3' WHERE name = 'operations 2026-11-22 any'")
    edit(store, "UPDATE counter SET settled = '0' WHERE name LIKE 'pico%a-2%'")
    edit(store, "DELETE FROM counter WHERE name LIKE 'operations PLAN%p-1%'")
    ran = reconcile(store, "--json")
    assert ran.code == 4
    (line,) = ran.lines
    assert not line["ok"]
    assert [(one["part"], one["name"], one["difference"]) for one in line["differences"]] == [
        ("counter", "operations 2026-11-22 any", {"reserved": "-2", "settled": "0"}),
        ("counter", 'operations PLAN any plan="p-1"', {"reserved": "-1", "settled": "0"}),
        ("counter", 'pico_USD 2026-11 any account="a-2"', {"reserved": "0", "settled": "-1500000000000"}),
    ]
    told = reconcile(store, "--table")
    assert told.code == 4
    assert "3 of 13 sums differ from what 12 records add up to" in told.out
    assert "given back: pico_USD 2026-11 any" in told.out
    assert "-1.50" in told.out


def test_consumption_that_was_changed_is_named_too(store):
    """M4: who spent it is answered from these sums."""
    edit(store, "UPDATE consumption SET reserved = '{\"operations\":\"99\"}' WHERE cell LIKE '%enrich%'")
    ran = reconcile(store, "--table")
    assert ran.code == 4
    assert "+98" in ran.out


def test_what_is_counted_is_compared_as_well(store):
    """B14."""
    edit(store, "DELETE FROM counter_family WHERE family LIKE 'operations DAY any'")
    ran = reconcile(store, "--table")
    assert ran.code == 4
    assert "what is counted differs: operations DAY any" in ran.out


def test_a_ledger_that_does_not_verify_proves_nothing(store):
    """L3: the sum of a changed ledger is no sum to hold counters against."""
    edit(
        store,
        "UPDATE ledger SET body = CAST(replace(CAST(body AS TEXT), 'renewal-agent', 'somebody') AS BLOB) WHERE seq = 3",
    )
    ran = reconcile(store, "--table")
    assert ran.code == 4
    assert "the ledger itself: " in ran.out
    assert "`weighbridge ledger verify` says all that does not verify" in ran.out


def test_one_of_anything_is_said_as_one(tmp_path):
    caps = [{"id": "day", "hard_cap": "5/day"}]
    with samples.weighbridge(tmp_path / "one.db", policy=samples.policy(budgets={"caps": caps})) as wb:
        wb.reserve(asked(1, "crm.note"))
    told = reconcile(tmp_path / "one.db", "--table").out
    assert told == "tenant acme: 1 counter and 1 sum of consumption are what 1 record adds up to\n"


PLANTED = {
    "INSERT INTO counter VALUES ('acme', 'operations 2026-11-20 any', '0', '0')": "`operations 2026-11-20 any` is stored",
    "INSERT INTO consumption VALUES ('acme', '[\"2026-11-21\",\"2026-11\",null,null,\"x\",\"CHEAP\"]', '{}', '{}')": "is stored",
    "UPDATE ledger_head SET zones = '[[\"Asia/Tokyo\",0,0]]'": "the head after record 12",
    "UPDATE ledger_head SET zones = 'x'": "the head after record 12",
    "UPDATE ledger_head SET seq = 11": "stands after the head",
}


@pytest.mark.parametrize("sql", PLANTED)
def test_what_the_check_of_the_ledger_finds_beside_the_sums_is_found_here_too(store, sql):
    """L3: a row of nothing that no record gives, and a head or a zone that the records do not."""
    edit(store, sql)
    ran = reconcile(store, "--table")
    assert ran.code == run("ledger", "verify", store).code == 4
    assert "the sums agree, and something else does not" in ran.out
    assert PLANTED[sql] in ran.out.replace("\n", " ")
    assert "beside the ledger: " in ran.out or "seq" in sql
    assert len(reconcile(store, "--json").lines[0]["faults"]) == 1
