"""Mistakes in a policy, before they know their line: where they are, what is wrong, what to write instead.

The checks work on plain data and say *where* as a path of keys and indices; the loader, which knows the text, turns that into
line and column.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass

Steps = tuple[str | int, ...]
"""The keys and indices that lead from the document to a value."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. ``at_key`` says that the key itself is wrong, not its value."""

    steps: Steps
    message: str
    write: str = ""
    at_key: bool = False


def where(steps: Steps) -> str:
    """Return ``steps`` as people write them, as in ``contradiction.rules[2].values``."""
    text = ""
    for step in steps:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        plain = step and not set(step) & set('.[]{}"') and step.isprintable()
        name = step if plain else json.dumps(step, ensure_ascii=False)
        text += f".{name}" if text else name
    return text


def listed(names: Iterable[str]) -> str:
    """Return names in backticks, joined by commas."""
    return ", ".join(f"`{name}`" for name in names)


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known name that ``name`` was probably meant to be, or an empty text."""
    folded = {candidate.replace("-", "_").lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.replace("-", "_").lower(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else ""
