from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.command_line import run
from tests.sealing import NAME, decide
from weighbridge.verifier.command import main

HEAVY = ("apsw", "fsspec", "pydantic", "rich", "typer", "yaml")
OURS = (
    "acts",
    "admission",
    "cli",
    "executor",
    "gateway",
    "operations",
    "policy",
    "recorder",
    "runtime",
    "sealer",
    "settings",
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", "s.db")
    decide("s.db", "a", "b")
    (tmp_path / "w").mkdir()
    assert run("keys", "create", NAME).code == 0
    assert run("ledger", "seal", "--to", "w", "--begin").code == 0
    decide("s.db", "c")
    assert run("ledger", "seal", "--to", "w").code == 0
    assert run("ledger", "prove", "b", "--checkpoint", "w", "--out", "b.proof").code == 0
    assert run("ledger", "prove-growth", "1", "2", "--checkpoint", "w", "--out", "growth.proof").code == 0
    assert run("ledger", "export", "--out", "acme.export").code == 0
    assert run("ledger", "export", "--out", "acme.zip", "--checkpoint", "w").code == 0
    return tmp_path


CALLS = [
    ("export", "acme.export"),
    ("export", "acme.export", "--checkpoint", "w", "--key", "weighbridge.keys"),
    ("bundle", "acme.zip", "--key", "weighbridge.keys/public-keys.txt"),
    ("proof", "b.proof", "--key", "weighbridge.keys"),
    (
        "growth",
        "w/0000000000000001.checkpoint",
        "w/0000000000000002.checkpoint",
        "growth.proof",
        "--key",
        "weighbridge.keys",
    ),
    ("checkpoint", "w", "--key", "weighbridge.keys"),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_what_holds_is_said_in_words_and_exits_with_0(place, capsys, call):
    (place / "s.db").unlink()  # it needs no store
    assert main(call) == 0
    out = capsys.readouterr().out
    assert out
    assert "Traceback" not in out


def test_what_does_not_hold_exits_with_4(place, capsys):
    text = (place / "acme.export").read_text()
    (place / "acme.export").write_text(text.replace("ALLOW", "BLOCK", 1))
    assert main(["export", "acme.export"]) == 4
    assert "does not verify; the first bad record is 1" in capsys.readouterr().out
    (place / "b.proof").write_text((place / "b.proof").read_text().replace("a", "b", 1))
    assert main(["proof", "b.proof", "--key", "weighbridge.keys"]) == 4
    checkpoint = place / "w" / "0000000000000002.checkpoint"
    checkpoint.chmod(0o600)
    checkpoint.write_text(checkpoint.read_text().replace('"records":3', '"records":2'))
    assert main(["checkpoint", "w", "--key", "weighbridge.keys"]) == 4
    assert "`0000000000000002.checkpoint`" in capsys.readouterr().out


@pytest.mark.parametrize(
    "call",
    [
        ("export", "none"),
        ("export", "acme.export", "--checkpoint", "w"),
        ("export", "acme.export", "--key", "weighbridge.keys"),
        ("export", "acme.export", "--witness", "three"),
        ("proof", "b.proof", "--key", "none"),
        ("bundle", "acme.export"),
    ],
)
def test_a_wrong_call_exits_with_2_and_one_line(place, capsys, call):
    assert main(call) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("call", [(), ("nonsense",), ("proof", "b.proof"), ("growth", "a")])
def test_arguments_that_are_none_exit_with_2(call, capsys):
    with pytest.raises(SystemExit) as ended:
        main(call)
    assert ended.value.code == 2
    assert capsys.readouterr().out == ""


def test_a_witness_shows_a_cut_end(place, capsys):
    """L3: a number and a hash are enough."""
    last = json.loads((place / "acme.export").read_text().splitlines()[-1])
    assert main(["export", "acme.export", "--witness", f"{last['seq']}:{last['hash']}"]) == 0
    assert "not shown" not in capsys.readouterr().out
    assert main(["export", "acme.export", "--witness", f"9:{last['hash']}"]) == 4


def test_what_strangers_called_things_moves_no_cursor(place, capsys):
    text = (place / "acme.export").read_text()
    (place / "acme.export").write_text(text.replace('"tenant_id":"acme"', '"tenant_id":"\\u001b[31m"', 1))
    main(["export", "acme.export"])
    assert "\x1b" not in capsys.readouterr().out


def test_it_loads_none_of_the_code_that_judges_or_writes():
    """The stranger's verifier needs no database, no configuration and none of the writing code."""
    program = "import sys, weighbridge.verifier.command, weighbridge.ledger.ed25519; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.split(".")[0] in HEAVY} == set()
    ours = {".".join(name.split(".")[1:2]) for name in loaded if name.startswith("weighbridge.")}
    assert ours & {*OURS, "storage", "validators", "wiring"} == set()


def test_it_is_a_program(place):
    command = [sys.executable, "-m", "weighbridge.verifier", *CALLS[3]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=True)
    assert done.stdout.startswith("record 2 of tenant `acme` (")
