"""Making and upgrading the file of a SQLite store as acts of their own, and saying in what state it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import apsw

from weighbridge.errors import StoreError, UsageError
from weighbridge.storage import migrate
from weighbridge.storage.schema import declared, differences
from weighbridge.storage.sqlite import file
from weighbridge.storage.sqlite.schema import describe
from weighbridge.storage.state import StoreState, Upgrade


def make(path: str | os.PathLike[str], *, purpose: str = "enforcement", entropy: Callable[[int], bytes]) -> Upgrade:
    """Make the file of a store; one that is there is brought up to date.

    Raises:
        StoreError: it cannot be made, is no store, is newer than this code, or was made for another purpose.
    """
    if purpose not in file.PURPOSES:
        raise UsageError(f"a store's purpose is `enforcement` or `evaluation`, not `{purpose}`")
    place = _place(path)
    with file.translated(place):
        if Path(place).exists():
            kept = file.look(place, lambda connection, _path: file.read_meta(connection)["purpose"])[1]
            if kept != purpose:
                raise StoreError(f"`{place}` was made for {kept}, not for {purpose}; use another file (B9)")
            return upgrade(place)
        file.require_file(place, purpose, entropy)
        _, applied = file.upgrade(place)  # nothing, but asks about everything that opening asks about
    return Upgrade(0, migrate.latest_version(file.BACKEND), applied or _all())


def upgrade(path: str | os.PathLike[str]) -> Upgrade:
    """Bring the schema of a store up to date, whole or not at all; writers of this and the last version go on meanwhile.

    Raises:
        StoreError: there is none, it is newer than this code, or its schema was changed.
    """
    place = _place(path)
    with file.translated(place):
        _require_there(place)
        before, applied = file.upgrade(place)
    return Upgrade(before, migrate.latest_version(file.BACKEND), applied)


def status(path: str | os.PathLike[str]) -> StoreState:
    """Return the state of the store in a file, without writing anything into it.

    Raises:
        StoreError: there is none, or it cannot be read where it lies.
    """
    place = _place(path)
    with file.translated(place):
        _require_there(place)
        return file.look(place, _state)[1]


def _place(path: str | os.PathLike[str]) -> str:
    file.require_place(os.fspath(path))
    return str(Path(path).resolve())


def _require_there(place: str) -> None:
    file.require_file(place, None, lambda _: b"")  # makes none


def _all() -> tuple[str, ...]:
    return tuple(migration.name for migration in migrate.migrations(file.BACKEND))


def _state(connection: apsw.Connection, _path: str) -> StoreState:
    meta = file.read_meta(connection)
    schema, latest = int(meta["schema_version"]), migrate.latest_version(file.BACKEND)
    altered = file.altered(connection) if schema <= latest else ()
    altered = altered or differences(describe(connection), declared(file.BACKEND, schema))
    ((journal,),) = connection.execute("PRAGMA journal_mode").fetchall()
    return StoreState(
        backend=file.BACKEND,
        server=apsw.sqlite_lib_version(),
        purpose=meta["purpose"],
        schema=schema,
        latest=latest,
        pending=tuple(migration.name for migration in migrate.migrations(file.BACKEND)[schema:]),
        altered=altered,
        problems=(
            *migrate.problems(schema, latest),
            *(
                ("the schema is not as its migrations made it: see `altered`; restore it from a good copy",)
                if altered
                else ()
            ),
            *(
                (f"no write-ahead log (journal mode `{journal}`): open it for writing once",)
                if journal != "wal"
                else ()
            ),
        ),
        facts={
            "durability": {"journal_mode": journal, "synchronous": "full"}
        },  # the second is set by every writer of ours
    )
