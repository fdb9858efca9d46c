from __future__ import annotations

import re

import pytest

from tests.command_line import run
from weighbridge.cli.demo import STORE

SCREEN_LINES = 34


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)
    return tmp_path


def test_it_tells_of_an_approval_and_of_one_step_of_every_kind():
    """B4, C1, F1, G7, G8, H4: allowed, warned of, out of budget and left out by a person, blocked before it starts."""
    ran = run("demo", "--json")
    assert ran.code == 0
    assert [(line["type"], line["step_id"], line["verdict"], line["done"]) for line in ran.lines] == [
        ("PLAN_APPROVED", None, "ALLOW", None),
        ("STEP_STARTED", "brief", "ALLOW", True),
        ("STEP_STARTED", "meet", "ALLOW", True),
        ("STEP_STARTED", "update", "ALLOW", True),
        ("PLAN_APPROVED", None, "WARN", None),
        ("STEP_STARTED", "brief", "WARN", True),
        ("STEP_BLOCKED", "board-brief", "BLOCK", False),
        ("STEP_SKIPPED", "board-brief", None, None),
        ("PLAN_RESUMED", None, None, None),
        ("STEP_STARTED", "meet", "WARN", True),
        ("STEP_STARTED", "update", "WARN", True),
        ("APPROVAL_BLOCKED", None, "BLOCK", None),
        ("PLAN_ABORTED", None, None, None),
    ]


def test_it_fits_a_screen_and_says_where_its_ledger_is(here):
    ran = run("demo")
    assert len(ran.out.splitlines()) <= SCREEN_LINES
    assert re.search(rf"on record in {STORE}: \d+ records, and they verify", ran.out)
    assert (here / STORE).exists()


def test_it_says_why_in_sentences_with_numbers(monkeypatch):
    """B10, C3, F2: each reason once."""
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", 300)
    shown = " ".join(run("demo").out.split())
    assert shown.count("is 10 days old") == 1
    assert "has no room for 0.02 USD: 0.02 of 0.03 USD used" in shown
    assert "in step `update`, `renewal.status` is `renewed`" in shown
    assert "step board-brief was skipped, by maria “one brief will do”" in shown


def test_running_it_again_tells_the_same_story():
    """B7, G8: other renewals and other plans, so that nothing is a retry of the run before or paid for by it."""
    first, second = run("demo", "--json").lines, run("demo", "--json").lines
    assert [(line["what"], line["verdict"]) for line in first] == [(line["what"], line["verdict"]) for line in second]
    assert first[1]["why"] != second[1]["why"]


def test_the_tenant_is_the_environments_so_that_the_commands_it_prints_work(monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "acme")
    operation_id = run("demo", "--json").lines[6]["why"]
    assert run("why", operation_id, "--store", STORE).lines[0]["tenant_id"] == "acme"
