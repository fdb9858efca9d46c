"""Nothing that decides can read outcomes: the import contracts prove it, and each turns red where it is broken (O1)."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import environment
from weighbridge.storage.memory import MemoryStore
from weighbridge.storage.reading import LedgerReader

ROOT = Path(__file__).parent.parent.parent
READER = "from weighbridge.outcomes.reader import OutcomeReader"
ROWS = "from weighbridge.storage.outcome_rows import outcome_rows"
BREACHES = [
    ("executor", READER),
    ("executor", ROWS),
    ("gateway", ROWS),
    ("operations", READER),
    ("orchestrator/advancing", READER),
    ("runtime", READER),
    ("recorder", ROWS),
    ("outcomes/capture", ROWS),
]


def contracts(folder):
    words = [
        *(sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"),
        *("--no-cache", "--contract", "outcomes-read-side", "--contract", "outcome-rows"),
    ]
    path = str(folder / "src")
    done = subprocess.run(
        words, cwd=folder, env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_whoever_decides_and_reads_an_outcome_breaks_a_contract(tmp_path):
    """O1: as the source is, both are kept; with every breach at once, each one is named."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    code, said = contracts(tmp_path)
    assert code == 0, said
    for module, line in BREACHES:
        path = tmp_path / "src/weighbridge" / f"{module}.py"
        path.write_text(f"{path.read_text()}\n{line}\n")
    code, said = contracts(tmp_path)
    assert code == 1
    for module, line in BREACHES:
        assert f"weighbridge.{module.replace('/', '.')} -> {line.split()[1]}" in said, said


def test_the_port_that_everybody_reads_through_knows_no_outcomes():
    """O1: so a type checker refuses what the contracts cannot see."""
    assert not hasattr(LedgerReader, "outcomes")
    assert hasattr(MemoryStore, "outcomes")
