"""An archive that is killed leaves a ledger as it was, or as it is to be, and never one in between."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests import samples
from tests.command_line import environment, run
from tests.sealing import address
from weighbridge.ledger.archive import is_stub
from weighbridge.storage.audit import verify_tenant
from weighbridge.verify import verify_export


@pytest.fixture
def place(tmp_path, monkeypatch, database):
    monkeypatch.chdir(tmp_path)
    with samples.weighbridge(address(database)) as wb:
        for number in range(1, 9):
            wb.gate(samples.context(validation_run_id=f"run-{number}"))
    return database


def killed(place, where):
    words = [sys.executable, "-m", "tests.scenarios.archive_process", address(place, "postgres"), "a.jsonl", where]
    repository = environment() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=repository) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.kill()
    assert process.returncode == -9


def archive(place, out):
    words = ("--out", out, "--through", "4", "--by", "bob", "--reason", "old")
    return run("ledger", "archive", "--store", address(place, "postgres"), *words)


@pytest.mark.parametrize("where", ["before", "inside"])
def test_killed_before_the_commit_nothing_left_the_ledger(place, where):
    """L1, G2: a file too many, which verifies and is never overwritten; the ledger is as it was and can be archived anew."""
    with closing(place.store()) as store:
        before = [*store.records("acme")]
    killed(place, where)
    with closing(place.store()) as store:
        assert [*store.records("acme")] == before
        assert verify_tenant(store, "acme").ok
    with Path("a.jsonl").open("rb") as file:
        assert verify_export(file).ok
    assert "is there already" in archive(place, "a.jsonl").err
    assert archive(place, "b.jsonl").code == 0
    assert run("ledger", "verify", "--store", address(place), "--archive", "b.jsonl").code == 0


def test_killed_after_the_commit_all_of_it_is_done(place):
    """L1, G2: the event is on record with every stub, and the file is the one that it names."""
    killed(place, "after")
    with closing(place.store()) as store:
        assert [stored.seq for stored in store.records("acme") if is_stub(stored.body)] == [1, 2, 3, 4]
        assert store.head("acme").seq == 9
    ran = run("ledger", "verify", "--store", address(place), "--archive", "a.jsonl")
    assert (ran.code, ran.lines[0]["not_recomputed_to"]) == (0, 0)
    assert "records up to 4 are archived" in archive(place, "b.jsonl").err
