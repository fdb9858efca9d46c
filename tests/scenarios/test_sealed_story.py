"""The whole proof half on the command line, on both stores: seal, prove, verify, hand out, erase, and seal on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command_line import run
from tests.sealing import NAME, address, decide, site
from weighbridge.verifier.command import main as verify


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, postgres, monkeypatch):
    """The address of a store with two tenants, in the environment; keys and a witness lie in the current folder."""
    monkeypatch.chdir(tmp_path)
    with site(request.param, tmp_path, postgres) as at:
        monkeypatch.setenv("WEIGHBRIDGE_STORE", at.address)
        decide(at.address, "one", "two", "three")
        decide(at.address, "theirs", tenant="beta")
        (tmp_path / "w").mkdir()
        run("keys", "create", NAME)
        yield at.address


def test_seal_prove_verify_bundle_erase(store, capsys):
    """L3, L6: what left the building is checked without the store, and goes on being true after an erasure."""
    keys = ["--key", "weighbridge.keys/public-keys.txt"]
    assert run("ledger", "seal", "--to", "w", "--begin").lines[0]["records"] == 4
    decide(store, "four")
    assert run("ledger", "seal", "--to", "w").lines[0] | {"sealed_at": ""} == {
        "number": 2, "sealed_at": "", "tenants": 2, "records": 5,
    }  # fmt: skip
    assert run("ledger", "prove", "two", "--checkpoint", "w", "--tenant", "acme", "--out", "two.proof").code == 0
    assert run("ledger", "prove-growth", 1, 2, "--checkpoint", "w", "--out", "growth.proof").code == 0
    first, second = sorted(Path("w").iterdir())
    assert verify(["proof", "two.proof", *keys]) == 0
    assert verify(["growth", str(first), str(second), "growth.proof", *keys]) == 0
    assert run("ledger", "verify", "--checkpoint", "w").code == 0
    given = ("--tenant", "acme", "--out", "acme.zip", "--checkpoint", "w")
    assert run("ledger", "export", *given).code == 0
    assert verify(["bundle", "acme.zip", *keys]) == 0
    who = ("--by", "dana", "--reason", "asked for it", "--yes")
    assert run("content", "erase", "--tenant", "acme", "--subject", "account of two", *who).code == 0
    assert run("replay", "two", "--tenant", "acme").lines[0]["outcome"] == "CONTENT_ERASED"
    for word in ("proof two.proof", "bundle acme.zip"):
        assert verify([*word.split(), *keys]) == 0
    checked = run("ledger", "verify", "--checkpoint", "w")
    assert (checked.code, [line["records"] for line in checked.lines if "records" in line]) == (0, [5, 1])
    assert run("ledger", "seal", "--to", "w").lines[0]["records"] == 6
    assert run("ledger", "verify", "--checkpoint", "w").code == 0
    again = run("ledger", "seal", "--to", "w")
    assert (again.code, again.out, "nothing is new since seal 3" in again.err) == (0, "", True)
    capsys.readouterr()


def test_whoever_may_only_read_seals(database, tmp_path, monkeypatch):
    """Z3: the sealer needs nothing of the runtime's: in PostgreSQL it is a member of the auditor role."""
    monkeypatch.chdir(tmp_path)
    decide(address(database), "one")
    monkeypatch.setenv("WEIGHBRIDGE_STORE", address(database, "inspector"))
    (tmp_path / "w").mkdir()
    run("keys", "create", NAME)
    assert run("ledger", "seal", "--to", "w", "--begin").lines[0]["records"] == 1
    assert run("ledger", "verify", "--checkpoint", "w").code == 0
