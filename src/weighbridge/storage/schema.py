"""What the schema of a store should be, as declared beside its migrations, and how one that is found differs from it.

Beside ``NNNN_name.sql`` lies ``NNNN_name.schema``: one line ``what: how it is defined`` for everything that the migration adds
or defines anew, sorted. A backend describes a database in the same terms (its own module ``schema``); a test holds the two
together, and ``scripts/describe_schema.py`` writes the files.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from weighbridge.storage import migrate

SUFFIX = ".schema"


class Declared(NamedTuple):
    """What is declared up to a version. ``whole`` is False where a migration came without its description."""

    things: Mapping[str, str]
    whole: bool


def encode(things: Mapping[str, str]) -> str:
    """Return the text of a description."""
    return "".join(f"{what}: {how}\n" for what, how in sorted(things.items()))


def decode(text: str) -> dict[str, str]:
    """Return what the text of a description says."""
    return {what: how for what, _, how in (line.partition(": ") for line in text.splitlines())}


def one_line(text: str) -> str:
    """Return SQL without its line breaks: how it is laid out is no part of what it says."""
    return " ".join(text.split())


@functools.cache
def _read(backend: str, name: str) -> str | None:
    file = resources.files("weighbridge.storage") / "sql" / backend / name
    return file.read_text(encoding="utf-8") if file.is_file() else None


def declared(backend: str, version: int) -> Declared:
    """Return what a store at schema ``version`` should hold."""
    things: dict[str, str] = {}
    whole = version <= migrate.latest_version(backend)
    for migration in migrate.migrations(backend)[:version]:
        text = _read(backend, migration.name.removesuffix(".sql") + SUFFIX)
        whole = whole and text is not None
        things |= decode(text or "")
    return Declared(things, whole)


def differences(found: Mapping[str, str], wanted: Declared) -> tuple[str, ...]:
    """Return what is missing, what is defined otherwise, and, where everything is declared, what nobody asked for."""
    missing = (f"{what} is missing" for what in wanted.things if what not in found)
    changed = (
        f"{what} was changed" for what in wanted.things if found.get(what, wanted.things[what]) != wanted.things[what]
    )
    added = (f"{what} was added" for what in found if wanted.whole and what not in wanted.things)
    return tuple(sorted((*missing, *changed, *added)))
