"""What the owner of a PostgreSQL store may do and the runtime may not: fill it with a copy, and detach what was archived.

Each is one transaction, in which the session takes the owner's role and sees the tenants it was opened for: row-level security
holds for the owner, too. It is there whole or not at all, also when this process is killed in the middle.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weighbridge.errors import StoreError
from weighbridge.ledger import chain
from weighbridge.ledger.archive import Archived
from weighbridge.ledger.merkle import tree_head
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage import migrate
from weighbridge.storage.archiving import Range
from weighbridge.storage.batching import Batch, Work
from weighbridge.storage.group_commit import Item
from weighbridge.storage.postgres.connection import (
    BACKEND,
    LOCK_WAIT_MS_MAX,
    OPEN,
    Connection,
    connect,
    marked,
    opened_for,
    read_meta,
    require_durable,
    require_server,
    storable,
    translated,
)
from weighbridge.storage.postgres.rows import PostgresRows
from weighbridge.storage.postgres.setup import become_owner
from weighbridge.storage.postgres.statements import WRITE, writes
from weighbridge.storage.reading import LedgerReader

_NO_LIMITS = (
    b"SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true), "
    b"set_config('lock_timeout', %s, true)"
)
_INSERT = {
    "tenant": b"INSERT INTO tenant (tenant) SELECT * FROM unnest(%b::text[]) ON CONFLICT DO NOTHING",
    "tenant_key": b"INSERT INTO tenant_key (tenant, key) SELECT * FROM unnest(%b::text[], %b::bytea[]) ON CONFLICT DO NOTHING",
    "content": b"INSERT INTO content (tenant, hash, body) SELECT * FROM unnest(%b::text[], %b::text[], %b::bytea[]) "
    b"ON CONFLICT DO NOTHING",
    "ledger_head": b"INSERT INTO ledger_head (tenant, seq, hash, last_time_ms, policy_version, zones) "
    b"SELECT * FROM unnest(%b::text[], %b::bigint[], %b::bytea[], %b::bigint[], %b::text[], %b::text[]) "
    b"ON CONFLICT (tenant) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, last_time_ms = excluded.last_time_ms, "
    b"policy_version = excluded.policy_version, zones = excluded.zones",
}

_HEAD = b"INSERT INTO ledger_head (tenant, seq, hash) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING"


class OwnedRows(PostgresRows):
    """A `LedgerReader` inside the owner's transaction."""

    def __init__(self, connection: Connection, purpose: str) -> None:
        super().__init__(self._asked)
        self._purpose = purpose
        self.connection: Connection = connection

    def purpose(self) -> str:
        """Return what the store was made for."""
        return self._purpose

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key; it must have one.

        Raises:
            StoreError: it has none.
        """
        rows = self._query("SELECT key FROM tenant_key WHERE tenant = ?", (tenant_id,))
        if not rows:
            raise StoreError(f"tenant `{tenant_id}` has no content key here")
        return bytes(rows[0][0])

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        """Give this reader: the transaction is the moment."""
        yield self

    def write(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write rows as a copy brings them, by the names that `Batch.changes` gives.

        Raises:
            StoreError: PostgreSQL cannot hold them.
        """
        if not storable(text for row in rows for text in row if isinstance(text, str)):
            raise StoreError(
                f"a row of `{table}` holds a NUL character, which PostgreSQL cannot keep; nothing was copied"
            )
        self._open({row[0] for row in rows})
        self.connection.execute(_INSERT.get(table) or WRITE[table], tuple(map(list, zip(*rows, strict=True))))

    def lock(self, tenant_id: str) -> None:
        """Hold the head of a tenant, made where there is none, so that nobody appends."""
        self._open([tenant_id])
        self.connection.execute(_HEAD, (tenant_id, chain.genesis(tenant_id)))
        self.connection.execute(b"SELECT FROM ledger_head WHERE tenant = %s FOR UPDATE", (tenant_id,))

    def _open(self, tenants: Iterable[str]) -> None:
        self.connection.execute(b"SELECT set_config('weighbridge.tenants', %s, true)", (opened_for(tenants),))

    def _asked(
        self, tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        with translated():
            self._open(tenants)
            return self.connection.execute(marked(sql), values, binary=binary).fetchall()


@contextmanager
def owned(dsn: str, tenants: Iterable[str], *, reading: bool = False) -> Iterator[OwnedRows]:
    """Give the owner's transaction, opened for these tenants; ``reading`` is of one moment and writes nothing.

    Raises:
        StoreError: there is no store, it is of another version, we are not its owner, or it could lose what it keeps.
    """
    with translated(), contextlib.closing(connect(dsn, patient=True)) as connection:
        require_server(connection)
        meta = read_meta_of(connection)
        with connection.transaction():
            level = b"REPEATABLE READ READ ONLY" if reading else b"READ COMMITTED"
            connection.execute(b"SET TRANSACTION ISOLATION LEVEL " + level)
            become_owner(connection)
            ((*_, synchronous_commit, fsync),) = connection.execute(OPEN, (opened_for(tenants),)).fetchall()
            if meta["purpose"] == "enforcement":
                require_durable(synchronous_commit, fsync)
            connection.execute(_NO_LIMITS, (str(LOCK_WAIT_MS_MAX),))
            yield OwnedRows(connection, meta["purpose"])


def read_meta_of(connection: Connection) -> dict[str, str]:
    """Return what the store says of itself.

    Raises:
        StoreError: there is none that we may see, or it must be upgraded first.
    """
    meta = read_meta(connection)
    if meta is None:
        raise StoreError("there is no store in this database; its owner makes one with `weighbridge db init`")
    if migrate.pending(BACKEND, int(meta["schema_version"])):
        raise StoreError("the schema was made by an older version; its owner upgrades it with `weighbridge db upgrade`")
    return meta


def detach(dsn: str, wanted: Range, submission: Submission, file: str, sha256: str) -> Archived:
    """Append the `LEDGER_ARCHIVED` record and put stubs in place of the bodies of a range, in one transaction.

    Raises:
        StoreError: the range is no longer what it was, or it cannot be written. Whether it was may be unknown where the
            connection is lost at the end: `ledger verify` says.
    """
    tenant = wanted.tenant_id
    with owned(dsn, [tenant]) as rows:
        execute = rows.connection.execute
        rows.lock(tenant)
        leaves = execute(
            b"SELECT leaf_hash FROM ledger WHERE tenant = %s AND seq BETWEEN %s AND %s ORDER BY seq",
            (tenant, wanted.first_seq, wanted.last_seq),
        ).fetchall()
        if tree_head(leaf for (leaf,) in leaves).hex() != wanted.root:
            raise StoreError(
                "the records are not those in the file; nothing was archived: run `weighbridge ledger verify`"
            )
        seq = _appended(rows, submission).seq
        archived = Archived(file, wanted.first_seq, wanted.last_seq, wanted.root, seq, sha256)
        execute(
            b"UPDATE ledger SET body = %s WHERE tenant = %s AND seq BETWEEN %s AND %s AND seq <> ALL(%s::bigint[])",
            (archived.stub, tenant, wanted.first_seq, wanted.last_seq, sorted(wanted.kept)),
        )
    return archived


def _appended(rows: OwnedRows, submission: Submission) -> Committed:
    item: Item[Work, Committed] = Item((submission, ()))
    batch = Batch(rows, rows.purpose())
    batch.decide([item])
    if item.error is not None:
        raise item.error
    for statement, values in writes(batch.changes()):
        rows.connection.execute(statement, values)
    return batch.pending[0][1].committed


def tenants_of(dsn: str) -> tuple[str, ...]:
    """Return the tenants that have records."""
    with owned(dsn, (), reading=True) as rows:
        return rows.tenants()
