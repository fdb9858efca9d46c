from __future__ import annotations

import json

import pytest

from tests import samples
from tests.command_line import run
from tests.postgres import AUDITOR
from tests.sealing import NAME, address, decide


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decide("s.db", "a", "b")
    decide("s.db", "a", "b", "c", tenant="globex")
    return tmp_path


def copy(*words):
    return run("db", "copy", *words)


def test_a_ledger_moves_to_postgres_with_its_seals(place, database):
    """L3: heads are equal, and a checkpoint that was made on the file holds for the copy."""
    (place / "w").mkdir()
    run("keys", "create", NAME)
    assert run("ledger", "seal", "--store", "s.db", "--to", "w", "--begin").code == 0
    before = run("ledger", "verify", "--store", "s.db").lines
    ran = copy("s.db", address(database, "postgres"))
    assert ran.code == 0, ran.err
    assert [(line["tenant_id"], line["records"], line["added"]) for line in ran.lines] == [
        ("acme", 2, 2),
        ("globex", 3, 3),
    ]
    assert [line["head"] for line in ran.lines] == [line["head"] for line in before]
    assert "let nobody write to FROM any more" in ran.err
    checked = run("ledger", "verify", "--store", address(database, AUDITOR), "--checkpoint", "w")
    assert (checked.code, checked.lines) == (0, before)
    assert "BLOCK" not in json.dumps(
        run("why", "a", "--tenant", "acme", "--store", address(database, AUDITOR)).lines[0]["verdict"]
    )
    with samples.weighbridge(address(database)) as wb:
        assert wb.gate(samples.context(validation_run_id="next")).record.seq == 3


def test_what_was_there_is_told(place, database):
    copy("s.db", address(database, "postgres"))
    decide("s.db", "d")
    assert (
        "tenant acme: 2 were there, 1 records were copied" in copy("s.db", address(database, "postgres"), "--table").out
    )


def test_bad_input_says_what_to_do(place, database):
    """Nothing is copied, and the message says what to do."""
    for words, code, said in [
        (("s.db", "s.db"), 2, "the same store"),
        (("none.db", "t.db"), 2, "there is no store `none.db`"),
        (("s.db", "t.db", "--tenant", "nobody"), 2, "no tenant `nobody`"),
        (("s.db", ":memory:"), 2, "memory"),
        (("s.db", address(database)), 1, "weighbridge_owner"),
    ]:
        ran = copy(*words)
        assert (ran.code, ran.out) == (code, "")
        assert said in ran.err
    assert not (place / "t.db").exists()
