from __future__ import annotations

import pytest

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import spend
from weighbridge.replay import Replayed, RunReplay


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "s.db"
    with samples.weighbridge(path) as wb:
        wb.gate(samples.context(validation_run_id="one"))
        wb.gate(samples.blocked_context(validation_run_id="two"))
    return path


def test_every_run_comes_out_equal(store):
    """G4: judged again from the record, byte for byte."""
    ran = run("replay", "--all", "--store", store)
    assert ran.code == 0
    assert [(line["id"], line["outcome"]) for line in ran.lines] == [("one", "EQUAL"), ("two", "EQUAL")]
    assert "2 EQUAL" in ran.err


def test_one_run_by_its_id(store):
    ran = run("replay", "two", "--store", store, "--table")
    assert (ran.code, ran.out) == (0, "1 EQUAL: judged again, byte for byte the same\n")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Replayed.DIFFERENT, 4), (Replayed.DIFFERENT_ENGINE, 4), (Replayed.CONTENT_ERASED, 0)],
)
def test_what_did_not_come_out_equal_is_shown_and_counted(store, monkeypatch, outcome, code):
    """G4: another engine and erased content are said, not guessed over."""
    runs = [
        RunReplay("one", 1, Replayed.EQUAL, "ALLOW"),
        RunReplay("two", 2, outcome, "BLOCK", differs=("contradiction",), missing=()),
    ]
    monkeypatch.setattr("weighbridge.replay.replay", lambda *_: iter(runs))
    ran = run("replay", "--all", "--store", store, "--table")
    assert ran.code == code
    assert f"1 {outcome.value}: " in ran.out
    assert "contradiction" in ran.out
    assert "1 EQUAL" in ran.out


def test_a_run_that_is_not_on_record_ends_with_2(store):
    assert run("replay", "three", "--store", store).code == 2


@pytest.mark.parametrize("arguments", [[], ["one", "--all"]])
def test_it_is_said_what_to_judge_again(store, arguments):
    ran = run("replay", *arguments, "--store", store)
    assert ran.code == 2
    assert "--all" in ran.err


def test_a_tenant_without_runs_is_said_to_have_none(store):
    ran = run("replay", "--all", "--store", store, "--tenant", "nobody")
    assert (ran.code, ran.out) == (0, "")
    assert "no runs are on record for tenant nobody" in ran.err


def test_an_operation_that_asked_for_its_budget_alone_has_no_run(tmp_path):
    """G4: what budgets said is checked by adding up, not by judging again."""
    store = spend(tmp_path / "b.db")
    ran = run("replay", "op-1", "--store", store, "--table")
    assert ran.code == 0
    assert "operation op-1 asked for its budget alone, and no run is to be judged again" in ran.out
    assert run("replay", "--all", "--store", store).err == "no runs are on record for tenant acme\n"
