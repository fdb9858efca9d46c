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


@pytest.mark.parametrize("store", ["weighbridge-demo.db", "a folder/demo ledger.db"])
def test_every_command_it_prints_works(tmp_path, store):
    """G7, G8, L3, L4: one allowed, one warned of, one blocked; each explained from the ledger, which verifies."""
    (tmp_path / "a folder").mkdir()
    told = shell("demo", "--store", store, cwd=tmp_path)
    assert told.code == 0, told.err
    printed = [shlex.split(line) for line in told.out.splitlines() if line.startswith("  ") and " --store " in line]
    assert [words[words.index("--store") - 2] for words in printed] == ["why", "why", "why", "ledger"]
    explained = [as_printed(words, tmp_path) for words in printed]
    assert [ran.code for ran in explained] == [0, 0, 0, 0]
    assert [ran.lines[0]["verdict"] for ran in explained[:3]] == ["ALLOW", "WARN", "BLOCK"]
    assert [ran.lines[0]["state"] for ran in explained[:3]] == ["COMPLETED", "COMPLETED", "BLOCKED"]
    assert shell("ledger", "verify", "--store", store, cwd=tmp_path).code == 0
    assert {line["outcome"] for line in shell("replay", "--all", "--store", store, cwd=tmp_path).lines} == {"EQUAL"}


def test_it_can_be_run_again_and_adds_to_the_same_ledger(tmp_path):
    """L1: a ledger is added to, never begun anew."""
    first = shell("demo", "--json", cwd=tmp_path)
    second = shell("demo", "--json", cwd=tmp_path)
    assert [line["verdict"] for line in second.lines] == [line["verdict"] for line in first.lines]
    assert shell("why", first.lines[2]["operation_id"], "--store", "weighbridge-demo.db", cwd=tmp_path).code == 0
    assert shell("ledger", "verify", "--store", "weighbridge-demo.db", cwd=tmp_path).lines[0]["records"] == 22
