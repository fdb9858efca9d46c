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


def test_one_is_allowed_one_warned_of_one_blocked_of_offers_and_of_what_they_cost():
    """B4, G7, G8: what is warned of is done, what is blocked is not."""
    ran = run("demo", "--json")
    assert ran.code == 0
    assert [(line["operation"], line["verdict"], line["reasons"], line["done"]) for line in ran.lines] == [
        ("llm.summarise", "ALLOW", [], True),
        ("crm.offer_discount", "ALLOW", [], True),
        ("llm.summarise", "WARN", ["SOFT_CAP_EXCEEDED"], True),
        ("crm.offer_discount", "WARN", ["DATA_AGING"], True),
        ("llm.summarise", "BLOCK", ["HARD_CAP_EXCEEDED"], False),
        ("crm.offer_discount", "BLOCK", ["CONTRADICTION"], False),
    ]


def test_it_fits_a_screen_and_says_where_its_ledger_is(here):
    ran = run("demo")
    assert len(ran.out.splitlines()) <= SCREEN_LINES
    assert f"on record in {STORE}: 16 records, and they verify" in ran.out
    assert (here / STORE).exists()


def test_it_shows_a_cap_that_is_warned_of_and_then_hit(monkeypatch):
    """B10: with the numbers."""
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", 300)
    shown = " ".join(run("demo").out.split())
    assert "cap `summaries`: 0.02 of 0.05 USD used" in shown
    assert "at 0.04 of 0.05 USD" in shown
    assert "has no room for 0.02 USD" in shown


def test_running_it_again_tells_the_same_story():
    """B7, G8: other renewals and another plan, so that nothing is a retry of the run before or paid for by it."""
    first, second = run("demo", "--json").lines, run("demo", "--json").lines
    assert [line["reasons"] for line in first] == [line["reasons"] for line in second]
    assert first[5]["renewal_id"] != second[5]["renewal_id"]


def test_the_tenant_is_the_environments_so_that_the_commands_it_prints_work(monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "acme")
    operation_id = run("demo", "--json").lines[5]["operation_id"]
    assert run("why", operation_id, "--store", STORE).lines[0]["tenant_id"] == "acme"
