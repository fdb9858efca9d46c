"""Schema migrations: which SQL files a backend has, and which of them a store still needs.

Files lie in ``storage/sql/<backend>/NNNN_name.sql``, numbered from 0001 without gaps. Each is applied once, whole or not at
all, by the backend itself. A store written by a newer version is refused: what its rows mean is not known here.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import NamedTuple

from weighbridge.errors import StoreError


class Migration(NamedTuple):
    """One SQL file: its number, its name and its text."""

    version: int
    name: str
    sql: str


@functools.cache
def migrations(backend: str) -> tuple[Migration, ...]:
    """Return the migrations of a backend (``sqlite``) in order."""
    folder = resources.files("weighbridge.storage") / "sql" / backend
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".sql")), key=lambda entry: entry.name)
    found = tuple(Migration(int(entry.name[:4]), entry.name, entry.read_text(encoding="utf-8")) for entry in files)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise StoreError(
            f"the migrations of `{backend}` are not numbered from 0001 without gaps; install the package again"
        )
    return found


def latest_version(backend: str) -> int:
    """Return the schema version this code writes."""
    return len(migrations(backend))


def pending(backend: str, version: int) -> tuple[Migration, ...]:
    """Return what a store at schema ``version`` (0: empty) still needs.

    Raises:
        StoreError: the store is newer than this code.
    """
    latest = latest_version(backend)
    if version > latest:
        raise StoreError(_newer(version, latest))
    return migrations(backend)[version:]


def problems(version: int, latest: int) -> tuple[str, ...]:
    """Return what somebody has to do about a store at schema ``version``, as sentences."""
    if version > latest:
        return (_newer(version, latest),)
    if version < latest:
        return (
            f"the store has schema {version}, this version of weighbridge needs {latest}: `weighbridge db upgrade`",
        )
    return ()


def _newer(version: int, latest: int) -> str:
    return f"the store has schema {version}, this version of weighbridge knows {latest}; upgrade weighbridge"
