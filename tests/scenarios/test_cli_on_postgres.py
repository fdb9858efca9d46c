"""Every command that takes a store works on PostgreSQL, with the role that it needs and no more."""

from __future__ import annotations

import os

import pytest

from tests import samples
from tests.command_line import run, shell, write_contexts, write_policy
from tests.postgres import APP, AUDITOR
from tests.scenarios.test_upgrade import url
from tests.unit.cli.budget import spending
from weighbridge.errors import WeighbridgeError
from weighbridge.storage.postgres import PostgresStore

RUN = "run-1"
RECORDS = 15


@pytest.fixture
def filled(database):
    fill(url(database, APP))
    return database


def fill(place):
    spending.spend(place)
    with samples.weighbridge(place, policy=spending.policy()) as wb:
        for number in range(3):
            wb.gate(samples.context(validation_run_id=f"run-{number}"))


def stores_in_process(monkeypatch):
    monkeypatch.delenv("WEIGHBRIDGE_STORE", raising=False)
    monkeypatch.delenv("WEIGHBRIDGE_TENANT", raising=False)


READING = {
    "why": ("why", RUN),
    "replay": ("replay", "--all"),
    "ledger verify": ("ledger", "verify"),
    "ledger tail": ("ledger", "tail"),
    "ledger show": ("ledger", "show", "1"),
    "ledger export": ("ledger", "export"),
    "budget show": ("budget", "show"),
    "budget show by": ("budget", "show", "--by", "account"),
    "budget reconcile": ("budget", "reconcile"),
    "budget forecast": ("budget", "forecast"),
    "content erase, tried": ("content", "erase", "--older-than", "1d"),
    "db status": None,
}


@pytest.mark.parametrize("user", [APP, AUDITOR])
@pytest.mark.parametrize("what", READING)
def test_a_command_that_reads(filled, monkeypatch, tmp_path, what, user):
    """Z3, L5: as the auditor and as the runtime; the answer is the one that a file gives."""
    stores_in_process(monkeypatch)
    place = url(filled, user)
    words = READING[what]
    if words is None:
        done = run("db", "status", place)
        assert (done.code, done.lines[0]["may"]) == (0, ["runtime" if user == APP else "auditor"])
        return
    done = run(*words, "--store", place)
    assert done.code == 0, done.err
    assert "error" not in done.err

    beside = tmp_path / "same.db"
    fill(beside)
    other = run(*words, "--store", beside)
    assert len(done.out.splitlines()) == len(other.out.splitlines())
    assert done.code == other.code


def test_the_store_may_come_from_the_environment(filled, monkeypatch):
    stores_in_process(monkeypatch)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", url(filled, AUDITOR))
    assert run("why", RUN).code == 0
    assert run("db", "status").code == 0


def test_verify_takes_an_address_in_place_of_a_file(filled, monkeypatch):
    """L3."""
    stores_in_process(monkeypatch)
    assert run("ledger", "verify", url(filled, AUDITOR)).lines[0]["records"] == RECORDS
    assert run("ledger", "verify", url(filled, AUDITOR), "--store", "x").code == 2


def test_seal_prove_and_export_a_bundle(filled, monkeypatch, tmp_path):
    """L3: sealed, proved and handed out, as the auditor alone."""
    stores_in_process(monkeypatch)
    keys, witness, place = tmp_path / "keys", tmp_path / "witness", url(filled, AUDITOR)
    witness.mkdir()
    assert run("keys", "create", "example.org/log", "--keys", keys).code == 0
    sealed = run("ledger", "seal", "--begin", "--to", witness, "--keys", keys, "--store", place)
    assert sealed.code == 0, sealed.err
    options = ("--checkpoint", witness, "--keys", keys, "--store", place)
    assert run("ledger", "prove", RUN, *options).code == 0
    public = next(keys.glob("public-keys.txt"))
    assert run("ledger", "verify", "--checkpoint", witness, "--key", public, "--store", place).code == 0
    bundle = tmp_path / "bundle.zip"
    made = run("ledger", "export", "--out", bundle, "--tenant", "acme", "--store", place)
    assert (made.code, bundle.exists()) == (0, True), made.err


def test_other_caps_are_tried(filled, monkeypatch, tmp_path):
    """B14: as the auditor."""
    stores_in_process(monkeypatch)
    policy = write_policy(tmp_path, budgets=spending.BUDGETS | {"caps": [samples.cap("day", "2/day")]})
    done = run("budget", "simulate", policy, "--store", url(filled, AUDITOR))
    assert (done.code, bool(done.lines)) == (0, True), done.err


def test_erasing_takes_the_runtime(filled, monkeypatch):
    """L6, Z3: the auditor may not; the runtime may, and the ledger verifies after it."""
    stores_in_process(monkeypatch)
    words = ("content", "erase", "--subject", "a-1", "--yes", "--by", "ann", "--reason", "asked to")
    refused = run(*words, "--store", url(filled, AUDITOR))
    assert (refused.code, "weighbridge_runtime" in refused.err) == (1, True)
    done = run(*words, "--store", url(filled, APP))
    assert done.code == 0, done.err
    assert run("ledger", "verify", "--store", url(filled, AUDITOR)).code == 0


def test_evaluating_and_its_questions(postgres, monkeypatch, tmp_path):
    """B9: on a store that was made for it; a second run appends nothing."""
    stores_in_process(monkeypatch)
    empty = postgres.empty()
    assert run("db", "init", url(empty, "postgres"), "--purpose", "evaluation", "--runtime-login", APP).code == 0
    place = url(empty, APP)
    policy = write_policy(tmp_path)
    contexts = write_contexts(tmp_path / "c.jsonl", samples.context(), samples.blocked_context())
    for _ in range(2):
        done = run("evaluate", policy, contexts, "--store", place)
        assert (done.code, len(done.lines)) == (11, 2), done.err
    assert run("ledger", "verify", "--store", place).lines[0]["records"] == 2
    empty.drop()


def test_the_demonstration(database, monkeypatch, tmp_path):
    stores_in_process(monkeypatch)
    monkeypatch.chdir(tmp_path)
    done = run("demo", "--store", url(database, APP), "--json")
    assert done.code == 0, done.err
    assert not any(tmp_path.iterdir())
    assert run("ledger", "verify", "--store", url(database, APP)).code == 0


SECRET = "s3cret-Pa55"


def with_secret(address):
    scheme, rest = address.split("://")
    user, where = rest.split("@")
    return f"{scheme}://{user}:{SECRET}@{where}"


def test_no_password_is_ever_shown(filled, monkeypatch, tmp_path):
    """Z3: not in an answer, not in an error, not in advice, not in a traceback; whatever goes wrong."""
    stores_in_process(monkeypatch)
    good, bad = with_secret(url(filled, APP)), f"postgresql://app:{SECRET}@127.0.0.1:1/none"
    policy, contexts = write_policy(tmp_path), write_contexts(tmp_path / "c.jsonl", samples.context())
    absent = "postgresql://app:{}@/none?host=" + str(tmp_path)
    parts = (f"a@{SECRET}", f"{SECRET}/x", f"%zz{SECRET}", f"x?{SECRET}")
    misread = [f"postgresql://app:{part}@127.0.0.1:1/db" for part in parts]
    misread += [
        f"postgresql://app:{SECRET}",
        f"postgresql://127.0.0.1:1/db?passwort={SECRET}",
        f"postgres://app:{SECRET} x@h/d",
    ]
    for place in (good, bad, absent.format(SECRET), *misread):
        for words in (
            ("db", "init", place, "--json"), ("db", "init", place, "--table"), ("db", "upgrade", place),
            ("db", "status", place, "--table"), ("db", "status", place, "--json"), ("why", RUN, "--store", place),
            ("ledger", "verify", place), ("ledger", "verify", "--store", place), ("budget", "show", "--store", place),
            ("demo", "--store", place), ("evaluate", policy, contexts, "--store", place), ("why", "x"),
            ("content", "erase", "--older-than", "1d", "--store", place), ("ledger", "seal", "--begin", "--store", place),
        ):  # fmt: skip
            done = run(*words)
            assert SECRET not in done.out + done.err, words
    outside = shell("db", "status", bad, cwd=tmp_path)
    assert (outside.code, SECRET in outside.out + outside.err) == (1, False)


def test_a_blocked_call_says_where_to_look_without_the_password(database):
    """G8: the hint names the store, and not how to get in."""
    with samples.weighbridge(with_secret(url(database, APP))) as wb:
        assert SECRET not in repr(wb._executor._store)
        assert "app:***@" in wb._executor._store


def test_errors_of_the_library_hold_no_password(tmp_path):
    """Z3."""
    misread = (f"host={tmp_path} password={SECRET} user x", f"postgresql://u:{SECRET}")
    for dsn in (f"postgresql://app:{SECRET}@127.0.0.1:1/none", *misread):
        with pytest.raises(WeighbridgeError) as caught:
            PostgresStore(dsn, entropy=os.urandom)
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in str(error)
            error = error.__cause__
