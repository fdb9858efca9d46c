"""The PostgreSQL store: commits in groups, answers after COMMIT, reads beside the writers.

Promises: what `commit` returned survives a crash of the server; a record, and every row that follows from it, is there whole or
not at all; whoever was not answered was refused, and the refusal says whether it may be recorded (G2); whatever the question, a
transaction sees the tenant it was opened for and no other (L5). Deciding is left to ``ledger.commit``, queueing to
``storage.group_commit``.
"""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from weighbridge.errors import Refusal, StoreError, UsageError, WeighbridgeError
from weighbridge.ledger.commit import require_own
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage.batching import Work
from weighbridge.storage.postgres.connection import (
    OPEN,
    PURPOSES,
    Connection,
    connect,
    discard,
    marked,
    opened_for,
    select,
    storable,
    translated,
    words,
)
from weighbridge.storage.postgres.guards import inspect
from weighbridge.storage.postgres.lane import BATCH_MAX, Lane
from weighbridge.storage.postgres.rows import PostgresRows, QueryFor
from weighbridge.storage.reading import LedgerReader

KEY_BYTES = 32
LANES = 1
SNAPSHOT_IDLE_MS_MAX = 600_000  # an export goes as fast as its reader; it holds nothing but old rows back


class PostgresStore(PostgresRows):
    """A `LedgerWriter` and `LedgerReader` on one database, which `initialise` has made.

    ``dsn`` connects as a member of the runtime role (``read_only``: or of the auditor role), directly or through a pooler that
    hands out transactions. ``purpose`` (``enforcement`` or ``evaluation``) is kept in the database; opening it for another is
    refused, None takes what it says. ``entropy(n)`` gives n random bytes, for tenant keys. ``lanes`` writers share the tenants of
    this process. After a fork the child must open its own. ``read_only`` refuses every commit.

    Raises:
        StoreError: it cannot be reached, is no store, is of another version or purpose, could lose what it answers, or its guards
            are not in place. The message says what to do.
    """

    def __init__(
        self,
        dsn: str,
        *,
        purpose: str | None = "enforcement",
        entropy: Callable[[int], bytes],
        read_only: bool = False,
        lanes: int = LANES,
    ) -> None:
        super().__init__(self._read)
        if purpose is not None and purpose not in PURPOSES:
            raise UsageError(f"a store's purpose is `enforcement` or `evaluation`, not `{purpose}`")
        self._dsn, self._entropy, self._pid, self._read_only = dsn, entropy, os.getpid(), read_only
        self._readers: deque[Connection] = deque()
        self._keys: dict[str, bytes] = {}
        self._closed = False
        with translated():
            connection = connect(dsn)
            try:
                self._purpose = inspect(connection, purpose, read_only=read_only)
            except BaseException:
                discard(connection)
                raise
        self._readers.append(connection)
        self._lanes = [Lane(dsn, self._purpose) for _ in range(lanes)]

    # --- writing ---

    def commit(self, submission: Submission) -> Committed:
        """Append one record and return it once it is durable (`LedgerWriter`)."""
        return self._submit((submission, ()))

    def commit_many(self, submissions: Sequence[Submission]) -> list[Committed | WeighbridgeError]:
        """Append many records, each tenant's in order, at most `BATCH_MAX` in a transaction; errors stand in their places."""
        outcomes: dict[int, Committed | WeighbridgeError] = {}
        for first in range(0, len(submissions), BATCH_MAX):
            shares: dict[int, list[int]] = defaultdict(list)
            for number, submission in enumerate(submissions[first : first + BATCH_MAX], start=first):
                shares[self._lane(submission.tenant_id)].append(number)
            for lane, numbers in shares.items():
                outcomes |= zip(
                    numbers, self._answers(lane, [(submissions[number], ()) for number in numbers]), strict=True
                )
        return [outcomes[number] for number in range(len(submissions))]

    def erase_content(self, tenant_id: str, hashes: tuple[str, ...], submission: Submission) -> Committed:
        """Remove content bodies and append the `CONTENT_ERASED` record in one transaction (L6).

        The bytes leave the database's files with the next VACUUM, and its write-ahead log and backups as these expire.
        """
        require_own(tenant_id, submission)
        return self._submit((submission, hashes))

    def close(self) -> None:
        """Wait until what is queued is answered, then close every connection. Refuses everything afterwards."""
        if self._closed or os.getpid() != self._pid:
            return
        for lane in self._lanes:
            lane.close()
        self._closed = True
        while self._readers:
            discard(self._readers.pop())

    def _submit(self, work: Work) -> Committed:
        self._require_writable()
        (outcome,) = self._lanes[self._lane(work[0].tenant_id)].submit((work,))
        if isinstance(outcome, WeighbridgeError):
            raise outcome
        return outcome

    def _answers(self, lane: int, works: list[Work]) -> list[Committed | WeighbridgeError]:
        try:
            self._require_writable()
            return self._lanes[lane].submit(works)
        except WeighbridgeError as error:
            return [error] * len(works)

    def _lane(self, tenant_id: str) -> int:
        return zlib.crc32(tenant_id.encode(errors="replace")) % len(self._lanes)

    # --- reading ---

    def purpose(self) -> str:
        """Return ``enforcement`` or ``evaluation``, as the database says (B9)."""
        return self._purpose

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key, made and kept on first use (L6)."""
        known = self._keys.get(tenant_id)
        if known is not None:
            return known
        key = self._stored_key(tenant_id)
        if key is None:
            key = self._make_key(tenant_id)
        self._keys[tenant_id] = key
        return key

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        """Give a reader of this one moment."""
        with self._reader() as connection:
            with translated():
                connection.execute(b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                connection.execute(OPEN, (opened_for(()),))  # the moment begins with the first statement
                idle = str(SNAPSHOT_IDLE_MS_MAX)
                connection.execute(b"SELECT set_config('idle_in_transaction_session_timeout', %s, true)", (idle,))
            try:
                yield _Snapshot(_querying(connection), self)
            finally:
                with contextlib.suppress(psycopg.Error):
                    connection.execute(b"ROLLBACK")

    def _stored_key(self, tenant_id: str) -> bytes | None:
        rows = self._read((tenant_id,), "SELECT key FROM tenant_key WHERE tenant = ?", (tenant_id,))
        return bytes(rows[0][0]) if rows else None

    def _make_key(self, tenant_id: str) -> bytes:
        made = self._entropy(KEY_BYTES)
        if self._read_only:
            return made  # kept nowhere: no content is addressed by it, which is so without a key
        with self._reader() as connection, translated(), connection.transaction():
            connection.execute(OPEN, (opened_for([tenant_id]),))
            connection.execute(
                b"INSERT INTO tenant_key (tenant, key) VALUES (%s, %s) ON CONFLICT DO NOTHING", (tenant_id, made)
            )
        key = self._stored_key(tenant_id)
        if key is None:
            raise StoreError(f"no key could be kept for tenant `{tenant_id}`")
        return key

    def _read(
        self, tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        tenants = [*tenants]
        if not _askable(tenants, values):
            return []
        for _ in range(len(self._readers)):  # those that died while they were idle
            with self._reader() as connection:
                try:
                    return select(connection, tenants, sql, values, binary=binary)
                except psycopg.Error as error:
                    if not connection.closed:
                        raise StoreError(words(error)) from error
        with self._reader() as connection, translated():
            return select(connection, tenants, sql, values, binary=binary)

    @contextmanager
    def _reader(self) -> Iterator[Connection]:
        """Lend a reading connection: readers and the writers never wait for each other."""
        self._require_usable()
        try:
            connection = self._readers.pop()
        except IndexError:
            with translated():
                connection = connect(self._dsn)
        try:
            yield connection
        finally:
            if self._closed:
                discard(connection)
            elif not connection.closed:
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


def _askable(tenants: Iterable[str], values: Iterable[Any]) -> bool:
    """Return whether there can be an answer: text that PostgreSQL cannot hold was never stored."""
    return storable(text for text in (*tenants, *values) if isinstance(text, str))


def _querying(connection: Connection) -> QueryFor:
    """Return the function that asks inside one open transaction, which sees one list of tenants at a time."""
    opened: list[str] = []

    def query(
        tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        wanted = [*tenants]
        if not _askable(wanted, values):
            return []
        with translated():
            if wanted != opened:
                text = opened_for(wanted)
                connection.execute(b"SELECT set_config('weighbridge.tenants', %s, true)", (text,))
                opened[:] = wanted
            return connection.execute(marked(sql), values, binary=binary).fetchall()

    return query


class _Snapshot(PostgresRows):
    """A reader whose connection is in one read transaction."""

    def __init__(self, query_for: QueryFor, store: PostgresStore) -> None:
        super().__init__(query_for)
        self._store = store

    def purpose(self) -> str:
        return self._store.purpose()

    def tenant_key(self, tenant_id: str) -> bytes:
        return self._store.tenant_key(tenant_id)

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        yield self
