from __future__ import annotations

import pytest

from tests.command_line import run
from weighbridge.cli.demo import STORE

SCREEN_LINES = 30


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)
    return tmp_path


def test_one_is_allowed_one_warned_of_one_blocked():
    """G7, G8: the warned call is made, the blocked one is not."""
    ran = run("demo", "--json")
    assert ran.code == 0
    assert [(line["verdict"], line["offer_made"]) for line in ran.lines] == [
        ("ALLOW", True),
        ("WARN", True),
        ("BLOCK", False),
    ]
    assert [line["reasons"] for line in ran.lines] == [[], ["DATA_AGING"], ["CONTRADICTION"]]


def test_it_fits_a_screen_and_says_where_its_ledger_is(here):
    ran = run("demo")
    assert len(ran.out.splitlines()) <= SCREEN_LINES
    assert f"on record in {STORE}: 11 records, and they verify" in ran.out
    assert (here / STORE).exists()


def test_running_it_again_tells_the_same_story():
    """G8: other renewals, so that nothing is a retry of the run before."""
    first, second = run("demo", "--json").lines, run("demo", "--json").lines
    assert [line["reasons"] for line in first] == [line["reasons"] for line in second]
    assert first[2]["renewal_id"] != second[2]["renewal_id"]


def test_the_tenant_is_the_environments_so_that_the_commands_it_prints_work(monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "acme")
    operation_id = run("demo", "--json").lines[2]["operation_id"]
    assert run("why", operation_id, "--store", STORE).lines[0]["tenant_id"] == "acme"
