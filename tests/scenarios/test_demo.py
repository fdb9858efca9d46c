"""`weighbridge demo` on a fresh machine: it tells its story, and every command it prints works as printed."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tests.command_line import Ran, environment, shell


def as_printed(words, cwd):
    """Run a command exactly as it was printed."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, env=environment(), timeout=60, check=False)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def verified(folder):
    """Return how many records there are, all of which verify."""
    ran = shell("ledger", "verify", "--store", "weighbridge-demo.db", cwd=folder)
    assert ran.code == 0
    return ran.lines[0]["records"]


@pytest.mark.parametrize("store", ["weighbridge-demo.db", "a folder/demo ledger.db"])
def test_every_command_it_prints_works(tmp_path, store):
    """B10, G7, G8, L3, L4, M4: what was warned of and blocked is explained, and what was used is shown, from one ledger."""
    (tmp_path / "a folder").mkdir()
    told = shell("demo", "--store", store, cwd=tmp_path)
    assert told.code == 0, told.err
    asked = [shlex.split(line) for line in told.out.splitlines() if " --store " in line]
    printed = [words[words.index("--store") - 2 :][:2] for words in asked]
    assert [words[0] for words in printed] == ["why", "why", "why", "show", "budget", "ledger"]
    explained = [as_printed(words, tmp_path) for words in asked]
    assert [ran.code for ran in explained] == [0] * 6
    stories = [ran.lines[0] for ran in explained[:3]]
    assert [story["verdict"] for story in stories] == ["WARN", "BLOCK", "BLOCK"]
    assert [story["state"] for story in stories] == ["COMPLETED", "BLOCKED", None]
    events = [line["event"]["type"] for line in explained[3].lines if "event" in line]
    assert (events[0], events[-1]) == ("PLAN_CREATED", "PLAN_COMPLETED")
    used = {line["scope"].get("plan"): line["usage"] for line in explained[4].lines if line["cap"] == "briefs"}
    assert sorted(used.values()) == ["20000000000", "20000000000"]
    assert shell("ledger", "verify", "--store", store, cwd=tmp_path).code == 0
    assert {line["outcome"] for line in shell("replay", "--all", "--store", store, cwd=tmp_path).lines} == {"EQUAL"}


def test_it_can_be_run_again_and_adds_to_the_same_ledger(tmp_path):
    """L1: a ledger is added to, never begun anew."""
    first = shell("demo", "--json", cwd=tmp_path)
    records = verified(tmp_path)
    second = shell("demo", "--json", cwd=tmp_path)
    assert [line["verdict"] for line in second.lines] == [line["verdict"] for line in first.lines]
    assert shell("why", first.lines[6]["why"], "--store", "weighbridge-demo.db", cwd=tmp_path).code == 0
    assert verified(tmp_path) == 2 * records
