"""Running commands in tests: in this process, and as an operator's shell would."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from tests import samples
from weighbridge.cli import app


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(*args: Any, stdin: bytes | str | None = None) -> Ran:
    """Run a command in this process; whatever is not an orderly end is raised."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def command(*args: Any) -> list[str]:
    """Return the words that run a command in a process of its own."""
    return [sys.executable, "-m", "weighbridge.cli", *(str(arg) for arg in args)]


def environment(**changes: str) -> dict[str, str]:
    """Return an environment in which nobody has chosen a store, a tenant or how output is buffered."""
    dropped = ("WEIGHBRIDGE_", "PYTHONUNBUFFERED")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)} | changes


def shell(*args: Any, cwd: Path, stdin: bytes | None = None, **changes: str) -> Ran:
    """Run a command in a process of its own."""
    done = subprocess.run(
        command(*args), cwd=cwd, input=stdin, capture_output=True, env=environment(**changes), timeout=60, check=False
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def write_policy(folder: Path, name: str = "policy.json", **changes: Any) -> Path:
    """Write the sample policy, with changes, and return where."""
    path = folder / name
    path.write_text(json.dumps(samples.policy(**changes)))
    return path


def write_contexts(path: Path, *contexts: Any) -> Path:
    """Write contexts, or lines as they are, one a line; gzipped if the name ends so."""
    data = b"".join(
        (context if isinstance(context, bytes) else json.dumps(context).encode()) + b"\n" for context in contexts
    )
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
