"""Plans as files: one JSON or YAML object, from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from weighbridge.cli.lines import STANDARD_INPUT
from weighbridge.errors import UsageError


def read_document(name: str) -> dict[str, Any]:
    """Return the object that a file holds. JSON is read strictly, everything else as the YAML that policies are written in.

    Raises:
        UsageError: it cannot be read, or holds no object; every mistake with its line and column.
    """
    text = _text(name)
    document = _json(name, text) if text.lstrip().startswith("{") else None
    if document is None:
        document = _yaml(name, text)
    if not isinstance(document, dict):
        raise UsageError(f'`{name}` holds no object; write one, as in {{"plan_id": ...}}')
    return document


def _text(name: str) -> str:
    try:
        data = sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"`{name}` cannot be read ({error.strerror}); give a JSON or YAML file, or `-`") from None
    except UnicodeDecodeError:
        raise UsageError(f"`{name}` is not UTF-8 text; save it as UTF-8") from None


def _json(name: str, text: str) -> Any:
    """Return what JSON says; None where it is none, and may be YAML in braces."""
    import json

    from weighbridge.domain.json_text import parse_strict
    from weighbridge.errors import WeighbridgeError

    try:
        json.loads(text)
    except ValueError:
        return None
    try:
        return parse_strict(text.encode())
    except WeighbridgeError as error:
        raise UsageError(f"`{name}`: {error}") from None


def _yaml(name: str, text: str) -> Any:
    from weighbridge.policy.yaml_text import read_policy_text

    read = read_policy_text(text)
    if read.problems:
        said = "\n".join(f"  {name}:{problem}" for problem in read.problems)
        raise UsageError(f"`{name}` cannot be read\n{said}")
    return read.value
