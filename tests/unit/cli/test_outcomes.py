"""`weighbridge outcomes`: what a person sees who brings in wins and losses, looks for what is missing, and takes all out."""

import csv
import json
import os
from contextlib import closing

import pytest

from tests.command_line import run
from tests.samples import policy
from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.store_contract_outcomes import ended, outcomes
from weighbridge.testing.submissions import TENANT
from weighbridge.wiring import open as open_weighbridge

HEADER = "Stage,account_id,opportunity_id,closed_at,amount,currency,note\n"


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path, entropy=os.urandom)) as made:
        ended(made)
    return path


@pytest.fixture
def export(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text(f"{HEADER}Closed Won,a-1,o-1,2026-11-20,1200,USD,Bob was nice\nopen,a-1,o-2,2026-11-20,,,\n")
    return path


def read(path):
    with closing(SqliteStore(path, entropy=os.urandom, purpose=None, read_only=True)) as opened:
        assert verify_store(opened).ok
        return outcomes(opened)


def test_an_export_is_imported_and_its_bad_rows_are_told(store, export):
    """O1, O3, O4: by line; the rest is kept, and once."""
    words = ("outcomes", "import", export, "--column", "kind=Stage", "--source", "sf", "--by", "ann", "--store", store)
    first, again = run(*words), run(*words)
    assert (first.code, again.code) == (3, 3)
    assert first.lines == [{"captured": 1, "duplicates": 0, "bad": 1}]
    assert again.lines == [{"captured": 0, "duplicates": 1, "bad": 1}]
    assert f"{export}:3: `kind`: `open` is neither won nor lost" in first.err
    assert [(row.kind, row.body["source"]) for row in read(store)] == [("WON", "sf")]
    assert "1 duplicates" in run(*words, "--table").out


def test_what_is_missing_is_swept_and_exported(store, export):
    """O2: twice is once; in JSON and in CSV, all or some."""
    for captured in (5, 0):
        assert run("outcomes", "sweep", "--store", store).lines == [{"captured": captured, "errors": 0}]
    run("outcomes", "import", export, "--column", "kind=Stage", "--store", store)
    told = run("outcomes", "export", "--store", store)
    assert (told.code, len(told.lines)) == (0, 6)
    assert "Bob" not in told.out
    some = run("outcomes", "export", "--store", store, "--kind", "WON", "--kind", "ABORTED", "--account", "a-1")
    assert [line["kind"] for line in some.lines] == ["ABORTED", "WON"]
    assert run("outcomes", "export", "--store", store, "--plan", "p-9").out == ""
    as_csv = run("outcomes", "export", "--store", store, "--format", "csv")
    lines = [*csv.DictReader(as_csv.out.splitlines())]
    assert [line["kind"] for line in lines] == [line["kind"] for line in told.lines]
    assert run("ledger", "verify", "--store", store).code == 0
    assert len(read(store)) == 6


def test_an_opportunity_has_a_story(store, export):
    """L4: `why` leads from the opportunity to what was captured."""
    run("outcomes", "import", export, "--column", "kind=Stage", "--store", store)
    assert "OUTCOME_CAPTURED" in run("why", "o-1", "--store", store).out


def test_the_record_says_under_which_policy(tmp_path, export):
    """L2: the one in force, which is in the ledger."""
    place = tmp_path / "ledger.db"
    with open_weighbridge(policy(), place) as wb:
        wb.gate({"tenant_id": TENANT, "choke_point": "BEFORE_STEP_EXECUTION", "actor": {"id": "x"}})
    run("outcomes", "import", export, "--column", "kind=Stage", "--store", place)
    with closing(SqliteStore(place, entropy=os.urandom, purpose=None, read_only=True)) as opened:
        head = opened.head(TENANT)
        assert head.policy_version is not None
        last = opened.record(TENANT, head.seq)
        assert last is not None
        assert json.loads(last.body)["common"]["policy_version"] == head.policy_version


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "none.csv"), "`none.csv` cannot be read"),
        (("import", "{export}"), "the header has no column `kind`"),
        (("import", "{export}", "--column", "kind"), "names no column; write OURS=THEIRS"),
        (("import", "{export}", "--column", "owner=Owner"), "`owner` is nothing that a row says"),
        (("import", "{export}", "--column", "kind=Stage", "--source", "a:b"), None),
        (("export", "--kind", "MAYBE"), "MAYBE"),
    ],
)
def test_what_cannot_be_done_is_said(store, export, words, said):
    """Nothing is recorded."""
    told = run("outcomes", *(word.format(export=export) for word in words), "--store", store)
    assert told.code == (2 if said else 3)
    assert (said or "is no name") in told.err
    assert read(store) == []


@pytest.mark.parametrize("words", [("import", "x.csv"), ("sweep",), ("export",)])
def test_no_store_is_made(tmp_path, words):
    told = run("outcomes", *words, "--store", tmp_path / "none.db")
    assert (told.code, "there is no store" in told.err) == (2, True)
    assert not (tmp_path / "none.db").exists()
