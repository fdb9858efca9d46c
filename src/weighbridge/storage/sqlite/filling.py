"""A SQLite store that is filled with a copy, and one that stands still while it is copied."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from weighbridge.errors import StoreError
from weighbridge.storage.reading import LedgerReader
from weighbridge.storage.sqlite.batch import write_rows
from weighbridge.storage.sqlite.file import drafted, open_writer, querying, require_place, stored_key, translated
from weighbridge.storage.sqlite.rows import SqliteRows

TRIES_MAX = 1_000
PAUSE_S = 0.005  # five seconds in all, longer than any batch takes

_KEY = "INSERT INTO tenant_key (tenant, key) VALUES (?, ?)"


class Filling(SqliteRows):
    """A `LedgerReader` of a store that is being filled, and what fills it."""

    def __init__(self, connection: apsw.Connection, purpose: str) -> None:
        super().__init__(querying(connection))
        self._connection, self._purpose = connection, purpose

    def purpose(self) -> str:
        """Return what it is made for."""
        return self._purpose

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key; it was written before anything else.

        Raises:
            StoreError: it was not.
        """
        key = stored_key(self._query, tenant_id)
        if key is None:
            raise StoreError(f"tenant `{tenant_id}` has no content key here")
        return key

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        """Give this reader: nobody else writes."""
        yield self

    def lock(self, tenant_id: str) -> None:
        """Do nothing: the file has no name yet."""

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows as a copy brings them."""
        if table == "tenant_key":
            self._connection.executemany(_KEY, rows)
        elif table != "tenant":  # a file has no table of names
            write_rows(self._connection, table, [*rows])


@contextmanager
def filled(path: str, purpose: str, entropy: Callable[[int], bytes]) -> Iterator[Filling]:
    """Give a new store to fill; the file gets its name when the block ends in order, and never before.

    Raises:
        StoreError: there is something at that place already, or no store can be there.
    """
    require_place(path)
    if Path(path).exists():
        raise StoreError(f"`{path}` is there already; name a file that is not, a copy never adds to one")
    with translated(path), drafted(path, purpose, entropy) as connection:
        yield Filling(connection, purpose)
    # A file of that name that came meanwhile stays, and the copy is gone: `drafted` never overwrites.


@contextmanager
def standing_still(path: str) -> Iterator[bool]:
    """Hold a store's write lock, so that nobody adds to it, and give whether that was possible: not where nobody can write.

    Raises:
        StoreError: somebody keeps writing.
    """
    try:
        connection = open_writer(str(Path(path).resolve()))
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.IOError):
        yield False
        return
    with contextlib.closing(connection):
        for _ in range(TRIES_MAX):
            with contextlib.suppress(apsw.BusyError):
                connection.execute("BEGIN IMMEDIATE")
                break
            time.sleep(PAUSE_S)
        else:
            raise StoreError(f"`{path}` is being written; stop whoever writes to it, and start again")
        try:
            yield True
        finally:
            connection.execute("ROLLBACK")
