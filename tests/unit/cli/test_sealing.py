from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time

import pytest

from tests.command_line import command, environment, run
from tests.sealing import NAME, decide
from weighbridge.storage.sqlite.lock import LockFile


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", "s.db")
    decide("s.db", "a", "b")
    (tmp_path / "w").mkdir()
    run("keys", "create", NAME)
    return tmp_path


def seal(*words):
    return run("ledger", "seal", "--to", "w", *words)


def test_a_seal_is_published(place):
    ran = seal("--begin")
    assert ran.code == 0
    assert ran.lines == [{"number": 1, "sealed_at": ran.lines[0]["sealed_at"], "tenants": 1, "records": 2}]
    assert seal().err == "nothing is new since seal 1\n"
    decide("s.db", "c")
    assert "seal 2 of" in seal("--table").out
    assert len(list((place / "w").iterdir())) == 2


def test_a_bucket_is_a_witness_too(place):
    assert run("ledger", "seal", "--to", (place / "w").as_uri(), "--begin").code == 0
    assert len(list((place / "w").iterdir())) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("seal", "--begin"),
        ("seal", "--to", "w"),
        ("seal", "--to", "w", "--begin", "--every", "soon"),
        ("seal", "--to", "w", "--begin", "--keys", "none"),
        ("seal", "--to", "https://x", "--begin"),
        ("seal", "--to", "w", "--begin", "--store", "none.db"),
        ("prove", "a"),
        ("prove", "a", "--checkpoint", "w"),
        ("verify", "--key", "weighbridge.keys"),
        ("export", "--form", "ocsf"),
        ("export", "--out", "x.zip", "--after", "1"),
        ("export", "--out", "x.zip", "--from", "soon"),
    ],
)
def test_a_wrong_call_says_so(place, words):
    ran = run("ledger", *words)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert not list((place / "w").iterdir())


def test_a_witness_that_is_not_there_is_the_worlds_fault(place):
    ran = run("ledger", "seal", "--to", "typo", "--begin")
    assert ran.code == 1
    assert "cannot be read" in ran.err


def test_another_sealer_is_told_to_wait(place):
    with LockFile("s.db").held():
        ran = seal("--begin")
    assert ran.code == 1
    assert "one at a time" in ran.err


def test_a_restored_copy_is_not_sealed(place):
    """L3: exit code 4, loudly."""
    shutil.copy("s.db", "old.db")
    decide("s.db", "c")
    seal("--begin")
    shutil.copy("old.db", "s.db")
    ran = seal()
    assert ran.code == 4
    assert "the store is an old copy, or was cut" in ran.err


def test_verify_finds_a_restored_copy_and_a_recomputed_chain_against_a_checkpoint_alone(place):
    """L3: a cut, restored or recomputed chain is found against a checkpoint kept elsewhere, and only so."""
    shutil.copy("s.db", "old.db")
    decide("s.db", "c")
    seal("--begin")
    good = run("ledger", "verify", "--checkpoint", "w", "--table")
    assert good.code == 0
    assert "seal 1 of ledger.example/log" in good.out
    assert "What this cannot show" not in good.out
    shutil.copy("old.db", "s.db")
    assert run("ledger", "verify").code == 0
    ran = run("ledger", "verify", "--checkpoint", "w")
    assert ran.code == 4
    assert ran.lines[0]["faults"][0]["message"].endswith("the checkpoint saw 3: it was cut, or is an old copy")
    decide("s.db", "another")
    ran = run(
        "ledger", "verify", "--checkpoint", "w/0000000000000001.checkpoint", "--key", "weighbridge.keys/public-keys.txt"
    )
    assert "the chain was computed anew" in ran.lines[0]["faults"][0]["message"]


def test_verify_finds_a_tenant_that_is_gone(place):
    """L3: a whole tenant removed shows only against a checkpoint."""
    decide("s.db", "x", tenant="beta")
    seal("--begin")
    (place / "s.db").unlink()
    decide("s.db", "a", "b")
    assert run("ledger", "verify").code == 0
    ran = run("ledger", "verify", "--checkpoint", "w")
    assert [(line["tenant_id"], line["ok"]) for line in ran.lines] == [("acme", True), ("beta", False)]
    assert run("ledger", "verify", "--checkpoint", "w", "--tenant", "beta").code == 4
    assert run("ledger", "verify", "--checkpoint", "w", "--tenant", "acme").code == 0


def test_verify_says_which_records_no_checkpoint_covers(place):
    seal("--begin")
    decide("s.db", "c")
    decide("s.db", "x", tenant="beta")
    out = run("ledger", "verify", "--checkpoint", "w", "--table").out
    assert "tenant acme: from record 3 on no checkpoint covers it" in out
    assert "tenant beta: from record 1 on no checkpoint covers it" in out


def test_an_export_is_checked_against_a_checkpoint_too(place):
    seal("--begin")
    run("ledger", "export", "--out", "a.export")
    assert run("ledger", "verify", "a.export", "--checkpoint", "w").code == 0
    lines = (place / "a.export").read_text().splitlines()
    first, last = json.loads(lines[1]), json.loads(lines[-1])
    cut = last | {"seq": 1, "hash": first["hash"]}
    (place / "cut.export").write_text(
        "\n".join([*lines[:2], json.dumps(cut, separators=(",", ":"), sort_keys=True), ""])
    )
    assert run("ledger", "verify", "cut.export").code == 0
    assert run("ledger", "verify", "cut.export", "--checkpoint", "w").code == 4


def test_a_proof_is_one_line_that_names_no_other_tenant(place):
    decide("s.db", "x", tenant="beta")
    seal("--begin")
    ran = run("ledger", "prove", "b", "--tenant", "acme", "--checkpoint", "w")
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert "beta" not in ran.out
    assert run("ledger", "prove", "2", "--tenant", "acme", "--checkpoint", "w").out == ran.out
    assert run("ledger", "prove", "account of b", "--tenant", "acme", "--checkpoint", "w").out == ran.out
    assert run("ledger", "prove", "p-1", "--tenant", "acme", "--checkpoint", "w").out.count("\n") == 2
    run("ledger", "prove", "b", "--tenant", "acme", "--checkpoint", "w", "--out", "b.proof")
    assert (place / "b.proof").read_text() == ran.out
    assert run("ledger", "prove", "b", "--tenant", "acme", "--checkpoint", "w", "--out", "b.proof").code == 2


def test_a_record_that_is_younger_than_the_seal_waits_for_the_next(place):
    seal("--begin")
    decide("s.db", "c")
    ran = run("ledger", "prove", "c", "--checkpoint", "w")
    assert ran.code == 2
    assert "wait for the next one" in ran.err
    assert run("ledger", "prove", "nobody", "--checkpoint", "w").code == 2


def test_growth_takes_every_checkpoint(place):
    seal("--begin")
    decide("s.db", "c")
    seal()
    assert run("ledger", "prove-growth", "1", "2", "--checkpoint", "w").code == 0
    ran = run("ledger", "prove-growth", "1", "2", "--checkpoint", "w/0000000000000002.checkpoint")
    assert ran.code == 2
    assert "checkpoint 1 is not there" in ran.err
    assert run("ledger", "prove-growth", "2", "1", "--checkpoint", "w").code == 2


def test_a_bundle_is_written_whole_and_never_over_another(place):
    seal("--begin")
    ran = run("ledger", "export", "--out", "b.zip", "--checkpoint", "w", "--from", "2026-11", "--form", "ocsf")
    assert ran.code == 0
    assert "weighbridge-verify bundle b.zip" in ran.err
    assert run("ledger", "export", "--out", "b.zip").code == 2
    bare = run("ledger", "export", "--out", "bare.zip", "--to", "2026-11-23")
    assert "no checkpoint covers them" in bare.err
    assert run("ledger", "export", "--out", "none.zip", "--from", "2030").code == 2
    assert run("ledger", "export", "--out", "none.zip", "--from", "2030-01").code == 2
    assert not (place / "none.zip").exists()


def _interruptible():
    """Undo what a shell does to the jobs that it starts in the background: they ignore interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
def test_it_goes_on_until_it_is_interrupted(place):
    words = command("ledger", "seal", "--to", "w", "--begin", "--every-records", "1", "--every", "1h")
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(WEIGHBRIDGE_STORE="s.db"),
        preexec_fn=_interruptible,  # noqa: PLW1509 - nothing else runs in this test
    ) as process:
        try:
            assert process.stdout
            assert json.loads(process.stdout.readline())["number"] == 1
            decide("s.db", "c")
            assert json.loads(process.stdout.readline())["records"] == 3
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 130
        finally:
            process.kill()
    assert list((place / "w").iterdir())
