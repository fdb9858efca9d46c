from __future__ import annotations

import pytest

from tests.command_line import run
from tests.sealing import decide


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", "s.db")
    decide("s.db", "run-1", "run-2")


DO_IT = ("--yes", "--by", "dana", "--reason", "Mr Miller asked for it")


def test_by_default_nothing_is_erased(tmp_path):
    before = (tmp_path / "s.db").read_bytes()
    ran = run("content", "erase", "--subject", "account of run-1")
    assert ran.code == 0
    actions = {line["names"][0]: line["action"] for line in ran.lines[:-1]}
    assert actions["proposal"] == "erase"
    assert actions["policy"] == "keep"
    assert ran.lines[-1] == {"erase": 1, "keep": 6, "gone_before": 0, "records": []}
    assert "nothing was erased; say --yes" in ran.err
    assert (tmp_path / "s.db").read_bytes() == before


def test_what_is_erased_is_gone_and_the_ledger_verifies(tmp_path):
    """L6: verify is ok, replay says what is gone, nothing puts it back; who did it is on record, why is content."""
    ran = run("content", "erase", "--subject", "account of run-1", *DO_IT)
    assert ran.lines[-1]["records"] == [3]
    assert run("ledger", "verify").code == 0
    outcomes = {line["id"]: (line["outcome"], line["missing"]) for line in run("replay", "--all").lines}
    assert outcomes == {"run-1": ("CONTENT_ERASED", ["proposal"]), "run-2": ("EQUAL", [])}
    (line,) = run("ledger", "show", "3").lines
    assert line["record"]["common"]["actor"] == {"id": "dana", "role": "admin"}
    assert "Miller" not in str(line)
    decide("s.db", "run-1")  # the same again: answered from the record
    again = run("content", "erase", "--subject", "account of run-1", *DO_IT)
    assert again.lines[-1] == {"erase": 0, "keep": 6, "gone_before": 1, "records": []}
    assert b'"text":"run-1"' not in b"".join(path.read_bytes() for path in tmp_path.glob("s.db*"))


def test_by_hash_and_by_age():
    (proposal,) = [
        line for line in run("content", "erase", "--subject", "run-2").lines if line.get("names") == ["proposal"]
    ]
    assert run("content", "erase", proposal["content"], *DO_IT, "--table").code == 0
    ran = run("content", "erase", "--older-than", "1ms")
    assert {line["action"] for line in ran.lines[:-1]} <= {"erase", "keep"}
    assert "not about whom" in run("content", "erase", "--older-than", "1ms", "--table").out.replace("\n", " ")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--subject", "x", "--older-than", "1d"),
        ("--older-than", "soon"),
        ("--subject", "nobody"),
        ("--kind", "run", "--older-than", "1d"),
        ("abc",),
        ("--subject", "run-1", "--yes"),
        ("--subject", "run-1", "--yes", "--by", "dana"),
        ("--subject", "run-1", "--yes", "--by", "dana", "--reason", " "),
        ("--subject", "run-1", "--store", "none.db"),
        ("--subject", "run-1", "--store", "none.db", *DO_IT),
    ],
)
def test_a_wrong_call_erases_nothing(tmp_path, words):
    assert run("content", "erase", *words).code == 2
    assert run("ledger", "verify").lines[0]["records"] == 2
    assert not (tmp_path / "none.db").exists()
