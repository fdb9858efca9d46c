from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.command_line import run
from weighbridge.cli import app, output
from weighbridge.errors import StoreError, UsageError

PAGE = Path(__file__).parents[3] / "docs/reference/cli.md"
COMMANDS = ["demo", "evaluate", "policy", "why", "ledger", "replay"]


def test_help_names_every_command():
    ran = run("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in COMMANDS)


@pytest.mark.parametrize(
    "words", [*([c] for c in COMMANDS), ["ledger", "verify"], ["ledger", "export"], ["ledger", "tail"]]
)
def test_every_command_explains_itself(words):
    assert run(*words, "--help").code == 0


def test_the_version_is_said():
    assert run("--version").out.startswith("weighbridge 0.")


@pytest.mark.parametrize(
    "words", [["no-such-command"], ["evaluate"], ["why"], ["ledger", "show", "x"], ["demo", "--no"]]
)
def test_what_is_not_understood_ends_with_2(words):
    assert run(*words).code == output.USAGE


@pytest.mark.parametrize(("error", "code"), [(UsageError("x"), 2), (StoreError("x"), 1), (KeyboardInterrupt(), 130)])
def test_an_error_ends_in_one_line_and_its_code(error, code, monkeypatch):
    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr("weighbridge.wiring.open_store", fail)
    ran = run("why", "id", "--store", __file__)
    assert ran.code == code
    assert len(ran.err.splitlines()) == 1
    assert "Traceback" not in ran.err


def test_help_loads_no_store_and_no_table():
    """`--help` answers at once: a driver, YAML and tables are loaded by the command that needs them."""
    loaded = "import sys, weighbridge.cli; print([name for name in sys.modules if name.split('.')[0] in %r])"
    heavy = ("apsw", "yaml", "pydantic", "rich")
    done = subprocess.run([sys.executable, "-c", loaded % (heavy,)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def options(command, words=()):
    """Yield every option of a command and of those beneath it, as `(command, "--name")`."""
    for name, beneath in getattr(command, "commands", {}).items():
        yield from options(beneath, (*words, name))
    if words:
        for parameter in command.params:
            yield from (
                (" ".join(words), name) for name in (*parameter.opts, *parameter.secondary_opts) if name[:2] == "--"
            )


def test_the_reference_names_every_command_and_option():
    page = PAGE.read_text()
    assert [name for name in COMMANDS if f"## weighbridge {name}" not in page] == []
    assert [
        pair
        for pair in options(typer.main.get_command(app))
        if pair[1] not in {"--help", "--lines"} and pair[1] not in page
    ] == []


def test_the_reference_names_every_exit_code():
    page = PAGE.read_text()
    codes = [
        value
        for name, value in vars(output).items()
        if name.isupper() and not name.startswith("WIDTH") and type(value) is int
    ]
    assert [code for code in codes if f"| {code} | " not in page] == []
