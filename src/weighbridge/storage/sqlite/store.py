"""The SQLite store: commits in groups, answers after COMMIT, reads beside the writer.

Promises: what `commit` returned survives a crash and a power cut; a record, and every row that follows from it, is there whole
or not at all; whoever was not answered was refused, and the refusal says whether it may be recorded (G2). Deciding is left to
``ledger.commit``, queueing to ``storage.group_commit``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from weighbridge.errors import Refusal, StoreError, UsageError, WeighbridgeError
from weighbridge.ledger.commit import require_own
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage.batching import Items, Kept, Work
from weighbridge.storage.group_commit import GroupCommit, Take
from weighbridge.storage.reading import LedgerReader
from weighbridge.storage.rows import Query
from weighbridge.storage.sqlite.batch import Batch
from weighbridge.storage.sqlite.file import (
    PURPOSES,
    open_another_writer,
    open_for_reading,
    open_reader,
    open_writer,
    querying,
    read_meta,
    refusal_of,
    require_file,
    require_place,
    stored_key,
    translated,
    words,
)
from weighbridge.storage.sqlite.rows import SqliteRows

KEY_BYTES = 32

QUEUE_MAX = 10_000  # callers waiting, each with a few kilobytes: tens of megabytes
BATCH_MAX = 512  # about 1.5 MB a flush; more gains nothing and holds the lock longer
LOCK_WAIT_US_MAX = 5_000_000  # another process holds the write lock: longer than any flush that will still end
PAUSE_US_MIN = 100  # SQLite's own busy handler starved a process for 1.4 s
PAUSE_US_SPAN = 500
CONTENDED_BATCHES = (
    8  # how long we remember that others write too: halves their 99th percentile, costs one process nothing
)


class SqliteStore(SqliteRows):
    """A `LedgerWriter` and `LedgerReader` on one file.

    ``purpose`` (``enforcement`` or ``evaluation``) is kept in the file when it is made; opening it for another is refused;
    None takes what the file says and never makes one. ``entropy(n)`` gives n random bytes, for tenant keys. After a fork the
    child must open its own. ``read_only`` reads an existing store and writes nothing, also where nothing can be written: every
    commit is refused.

    Raises:
        StoreError: the file cannot be made or opened, is not a store, was written by a newer version, has another purpose, or
            lies where SQLite cannot keep its promises. The message says what to do.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        purpose: str | None = "enforcement",
        entropy: Callable[[int], bytes],
        create: bool = True,
        read_only: bool = False,
    ) -> None:
        super().__init__(self._read)
        if purpose is not None and purpose not in PURPOSES:
            raise UsageError(f"a store's purpose is `enforcement` or `evaluation`, not `{purpose}`")
        self._entropy, self._pid, self._read_only = entropy, os.getpid(), read_only
        self._jitter = int.from_bytes(entropy(4), "big") | 1
        self._readers: deque[apsw.Connection] = deque()
        self._keys: dict[str, bytes] = {}
        self._closed = False
        self._contended = 0
        self._kept: dict[str, Kept] = {}
        require_place(os.fspath(path))
        self._path = str(Path(path).resolve())  # a change of the working folder must not change the store
        with translated(self._path):
            require_file(self._path, purpose if create and not read_only else None, entropy)
            found = Path(self._path).stat()
            self._file = (found.st_dev, found.st_ino)
            self._immutable = False
            if read_only:
                self._immutable, meta = open_for_reading(self._path)
                self._writer = open_reader(
                    self._path, immutable=self._immutable
                )  # commits are refused before they get here
            else:
                self._writer = open_writer(self._path)
                meta = read_meta(self._writer)
            self._purpose = meta["purpose"]
        if purpose not in (None, self._purpose):
            self._writer.close()
            raise StoreError(
                f"`{path}` was made for {self._purpose} and cannot be opened for {purpose}; use another file (B9)"
            )
        self._group: GroupCommit[Work, Committed] = GroupCommit(self._flush, queue_max=QUEUE_MAX, batch_max=BATCH_MAX)

    # --- writing ---

    def commit(self, submission: Submission) -> Committed:
        """Append one record and return it once it is durable (`LedgerWriter`)."""
        return self._submit((submission, ()))

    def commit_many(self, submissions: Sequence[Submission]) -> list[Committed | WeighbridgeError]:
        """Append many records in order, at most `BATCH_MAX` in a transaction; errors stand in their places."""
        outcomes: list[Committed | WeighbridgeError] = []
        for first in range(0, len(submissions), BATCH_MAX):
            works = [(submission, ()) for submission in submissions[first : first + BATCH_MAX]]
            try:
                self._require_writable()
                outcomes += self._group.submit(works)
            except WeighbridgeError as error:
                outcomes += [error] * len(works)
        return outcomes

    def erase_content(self, tenant_id: str, hashes: tuple[str, ...], submission: Submission) -> Committed:
        """Remove content bodies and append the `CONTENT_ERASED` record in one transaction (L6).

        The bytes are overwritten in the file; in the write-ahead log they stay until the next checkpoint, which is tried here.
        """
        require_own(tenant_id, submission)
        committed = self._submit((submission, hashes))
        with (
            contextlib.suppress(apsw.Error, StoreError),
            contextlib.closing(open_another_writer(self._path)) as connection,
        ):
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        return committed

    def close(self) -> None:
        """Wait until what is queued is answered, then close every connection. Refuses everything afterwards."""
        if self._closed or os.getpid() != self._pid:
            return
        self._group.close()
        self._closed = True
        for connection in (self._writer, *self._readers):
            with contextlib.suppress(
                apsw.Error
            ):  # what was answered is durable; a checkpoint is made up for at the next opening
                connection.close()
        self._readers.clear()

    def _submit(self, work: Work) -> Committed:
        self._require_writable()
        (outcome,) = self._group.submit((work,))
        if isinstance(outcome, WeighbridgeError):
            raise outcome
        return outcome

    def _flush(self, take: Take[Work, Committed]) -> None:
        """Decide and write everything that is queued in one transaction, and answer it (storage.md, the writers)."""
        if self._begin_for(take):
            try:
                self._write(take())
            finally:
                self._roll_back()  # does something only after an interrupt

    def _begin_for(self, items: Callable[[], Items]) -> bool:
        """Begin a transaction; where that fails, refuse ``items()`` and return False."""
        try:
            self._begin(self._writer)
            self._require_in_place()
        except (apsw.Error, OSError, Refusal) as error:
            self._roll_back()
            for item in items():
                item.error = refusal_of(error)
            return False
        return True

    def _write(self, items: Items) -> None:
        """Write a batch in the transaction that is open; one that the database refuses is retried one by one."""
        batch = Batch(SqliteRows(querying(self._writer)), self._purpose, self._kept)
        try:
            batch.decide(items)
            batch.write(self._writer)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing is recorded and the caller is told so (G2)
            self._roll_back()
            self._retry(items, error)
            return
        try:
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._roll_back()
            self._settle_failed_commit(items, batch, error)
            return
        batch.answer()

    def _retry(self, items: Items, error: Exception) -> None:
        """Give every item of a failed batch a transaction of its own, so that one bad request poisons no other."""
        if len(items) == 1:
            items[0].error = refusal_of(error)
            return
        for item in items:
            item.answer = item.error = None
            alone = [item]
            if self._begin_for(alone.copy):
                self._write(alone)

    def _settle_failed_commit(self, items: Items, batch: Batch, error: apsw.Error) -> None:
        """Find out what a COMMIT that reported an error did (G2)."""
        if isinstance(error, (apsw.FullError, apsw.BusyError)):
            self._retry(items, error)  # the frame that commits was not written whole: certainly not recorded
            return
        for item, effects in batch.pending:
            # Perhaps written, perhaps not flushed: only what can be read back is an answer.
            with contextlib.suppress(StoreError):
                stored = self.record(effects.tenant_id, effects.head.seq)
                if stored is not None and stored.hash == effects.head.hash:
                    item.answer = effects.committed
        for item in items:
            if not item.settled:
                item.error = Refusal("COMMIT_UNKNOWN", f"{words(error)}; ask again under the same id")

    def _roll_back(self) -> None:
        if self._writer.in_transaction:
            with contextlib.suppress(apsw.Error):  # then BEGIN fails from now on, and everything is refused
                self._writer.execute("ROLLBACK")

    def _begin(self, connection: apsw.Connection) -> None:
        """Begin a writing transaction, waiting our own way for other processes."""
        waited_us = 0
        if self._contended:
            # Who has just written steps back once, so that the others, who sleep between their tries, get their turn too.
            self._contended -= 1
            self._pause()
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except apsw.BusyError:
                self._contended = CONTENDED_BATCHES
                if waited_us >= LOCK_WAIT_US_MAX:
                    raise Refusal("OVERLOADED", "another process keeps writing to the store; ask again later") from None
            else:
                return
            waited_us += self._pause()

    def _pause(self) -> int:
        """Sleep a random while and return how long, in microseconds."""
        pause_us = PAUSE_US_MIN + self._next_jitter() % PAUSE_US_SPAN
        time.sleep(pause_us / 1_000_000)
        return pause_us

    def _next_jitter(self) -> int:
        """Return the next number of a xorshift32 (Marsaglia 2003): spread is all that is asked of it."""
        number = self._jitter
        number ^= number << 13 & 0xFFFFFFFF
        number ^= number >> 17
        number ^= number << 5 & 0xFFFFFFFF
        self._jitter = number
        return number

    def _require_in_place(self) -> None:
        """Refuse to write into a file that was removed or replaced: what it answers would be nowhere."""
        found = os.stat(self._path)  # noqa: PTH116 - the hot path: half the time of a Path
        if (found.st_dev, found.st_ino) != self._file:
            raise FileNotFoundError(0, "the file was replaced while it was open")

    # --- reading ---

    def purpose(self) -> str:
        """Return ``enforcement`` or ``evaluation``, as the file says (B9)."""
        return self._purpose

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key, made and kept on first use (L6)."""
        known = self._keys.get(tenant_id)
        if known is not None:
            return known
        key = stored_key(self._read, tenant_id) or self._make_key(tenant_id)
        self._keys[tenant_id] = key
        return key

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        """Give a reader of this one moment."""
        with self._reader() as connection:
            query = self._querying(connection)
            connection.execute("BEGIN")
            try:
                query("SELECT key FROM meta", ())  # the moment begins with the first read
                yield _Snapshot(query, self)
            finally:
                connection.execute("ROLLBACK")

    def _make_key(self, tenant_id: str) -> bytes:
        if self._read_only:
            return self._entropy(KEY_BYTES)  # kept nowhere: no content is addressed by it, which is so without a key
        with translated(self._path), contextlib.closing(open_another_writer(self._path)) as connection:
            self._begin(connection)
            sql = "INSERT INTO tenant_key (tenant, key) VALUES (?, ?) ON CONFLICT DO NOTHING"
            connection.execute(sql, (tenant_id, self._entropy(KEY_BYTES)))
            connection.execute("COMMIT")
        key = stored_key(self._read, tenant_id)
        if key is None:
            raise StoreError(f"no key could be kept for tenant `{tenant_id}`")
        return key

    def _read(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._reader() as connection:
            return self._querying(connection)(sql, values)

    def _querying(self, connection: apsw.Connection) -> Query:
        execute = connection.execute

        def query(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
            try:
                return execute(sql, values).fetchall()
            except (apsw.Error, UnicodeDecodeError) as error:
                raise StoreError(f"`{self._path}`: {words(error)}") from error
            except UnicodeEncodeError:
                return []  # text with a lone surrogate was never stored

        return query

    @contextmanager
    def _reader(self) -> Iterator[apsw.Connection]:
        """Lend a reading connection: readers and the writer never wait for each other."""
        self._require_usable()
        try:
            connection = self._readers.pop()
        except IndexError:
            with translated(self._path):
                connection = open_reader(self._path, immutable=self._immutable)
        try:
            yield connection
        finally:
            if self._closed:
                connection.close()
            else:
                self._readers.append(connection)

    def _require_writable(self) -> None:
        self._require_usable()
        if self._read_only:
            raise Refusal("LEDGER_WRITE_FAILED", "the store was opened for reading")

    def _require_usable(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")
        if os.getpid() != self._pid:
            raise StoreError("the store was opened before this process was forked; open it again in every process")


class _Snapshot(SqliteRows):
    """A reader whose connection is in one read transaction."""

    def __init__(self, query: Query, store: SqliteStore) -> None:
        super().__init__(query)
        self._store = store

    def purpose(self) -> str:
        return self._store.purpose()

    def tenant_key(self, tenant_id: str) -> bytes:
        return self._store.tenant_key(tenant_id)

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        yield self
