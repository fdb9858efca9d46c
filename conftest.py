"""Executes the documentation: the examples in README.md and docs/ are tests.

The examples of one page share their names and run in a scratch directory, so that a page can write a policy file in one
block and open it in the next:

* a `python` block is run; where it holds `>>>` prompts, what it prints must be what the page says;
* a `yaml` block whose first line is a file name (`# policy.yaml`) is written to that file;
* a `shell-session` block is run command by command (lines that start with `$ `), and what is printed must be what the page
  says; `...` stands for anything. A `console` block is only shown.

An example that must not run says so in the page: `<!-- skip: next -->`.
"""

import doctest
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.myst import CodeBlockParser, PythonCodeBlockParser, SkipParser

_REPOSITORY = Path(__file__).parent
_FILE_NAME = re.compile(r"# ([\w-]+\.ya?ml)")
_COMMAND_SECONDS_MAX = 60
_LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _enter_scratch_directory(namespace: dict[str, Any]) -> None:
    scratch = tempfile.TemporaryDirectory(prefix="weighbridge-docs-", ignore_cleanup_errors=True)
    namespace["_scratch"] = scratch
    os.chdir(scratch.name)


def _leave_scratch_directory(namespace: dict[str, Any]) -> None:
    os.chdir(_REPOSITORY)
    namespace["_scratch"].cleanup()


def _write_file(example: Example) -> None:
    text = str(example.parsed)
    name = _FILE_NAME.fullmatch(text.partition("\n")[0])
    if name is not None:
        Path(name[1]).write_text(text, encoding="utf-8")


def _run_session(example: Example) -> str | None:
    """Run the commands of a session; return what differs from the page, or None."""
    commands = re.split(r"^\$ ", str(example.parsed), flags=re.MULTILINE)[1:]
    preparation = f'export PATH="{Path(sys.executable).parent}:$PATH" COLUMNS=120\n'
    for command, _, expected in (text.partition("\n") for text in commands):
        done = subprocess.run(  # noqa: S602 - our own documentation
            preparation + command, shell=True, capture_output=True, text=True, timeout=_COMMAND_SECONDS_MAX, check=False
        )
        printed = done.stdout + done.stderr
        if "Traceback" in printed or not doctest.OutputChecker().check_output(
            expected.strip(), printed.strip(), _LOOSE
        ):
            return f"$ {command}\nthe page says:\n{expected}\nit prints (exit code {done.returncode}):\n{printed}"
    return None


pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(),
        CodeBlockParser("yaml", _write_file),
        CodeBlockParser("shell-session", _run_session),
        SkipParser(),
    ],
    patterns=["README.md", "docs/**/*.md"],
    setup=_enter_scratch_directory,
    teardown=_leave_scratch_directory,
).pytest()

pytest_plugins = ["tests.postgres"]
