"""Somebody who owns the store edits it: one transaction without triggers, in which a verifier looks, and which is taken back.

So thousands of edits cost no copy of the store, and each begins with what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import apsw
import msgspec
import psycopg
from psycopg.types.string import TextLoader

from tests.postgres import Database
from weighbridge.domain.caps import Period
from weighbridge.domain.plan import Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres.connection import marked
from weighbridge.storage.postgres.rows import PostgresRows
from weighbridge.storage.sqlite.rows import SqliteRows
from weighbridge.testing.plans import Mover, plan_of
from weighbridge.testing.store_contract_outcomes import BY, WON, capture
from weighbridge.testing.submissions import (
    EXPENSIVE,
    TENANT,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    erasure,
    reservation,
    usage,
    with_content,
)

OTHER = "globex"
BUDGET = [
    cap("day", 2),
    cap("each", None, unit="tokens", scope=(("account", None),), period=Period.MONTH, settles=True),
]
MONTHLY = [BUDGET[1], cap("month", 9, period=Period.MONTH)]

REFUSED = (apsw.ConstraintError, apsw.SQLError, psycopg.DatabaseError)
"""What the checks and keys of the tables do not let pass, whoever asks."""


def fill_plans(store: Any) -> None:
    """Put two plans into a store, one that runs and one that was broken off, and what became of them, and of an opportunity."""
    last = reservation(
        "op-m", MONTHLY, zone="Asia/Tokyo"
    )  # its policy is in force: under another, other counters would count
    in_force = {"policy_version": last.policy_version, "terms": last.terms}
    moves = Mover(plan_of(account_id="a-9"), key=store.tenant_key(TENANT))
    store.commit(moves.create())
    store.commit(moves.act(Verb.SUBMIT, store.plan(TENANT, "p-1")))
    store.commit(msgspec.structs.replace(moves.approve(store.plan(TENANT, "p-1")), **in_force))
    store.commit(moves.act(Verb.ACTIVATE, store.plan(TENANT, "p-1")))
    store.commit(msgspec.structs.replace(moves.start("brief"), **in_force))
    store.commit(moves.end("brief"))
    other = Mover(plan_of("p-9", account_id="a-9"), key=store.tenant_key(TENANT))
    store.commit(other.create())
    store.commit(other.act(Verb.ABORT))
    captures = capture(store)
    sweep(store, captures, TENANT, by=BY)
    captures.capture(TENANT, msgspec.structs.replace(WON, note="on time"), by=BY)


def fill(store: Any) -> None:
    """Put everything into a store: allowed, blocked, retried, completed, erased, reserved, settled, planned, of two tenants."""
    key = store.tenant_key(TENANT)
    blocked = draft("run-1", proposal="p", request="r", verdict=Verdict.BLOCK)
    store.commit(decision(blocked, draft("run-1b", choke_point=EXPENSIVE), operation="op-1"))
    store.commit(authorisation(blocked))
    store.commit(decision(draft("run-2", proposal="p", request="r"), operation="op-2", plan_id="p-2"))
    store.commit(completion("op-2"))
    store.commit(with_content("run-3", key, b"first"))
    store.commit(with_content("run-4", key, b"second"))
    store.erase_content(TENANT, (with_content("x", key, b"first").contents[0][0],), erasure())
    store.commit(decision(draft("run-5", verdict=Verdict.BLOCK), operation="op-5"))
    for number in range(3):
        store.commit(reservation(f"op-b{number}", BUDGET, amounts={"operations": 1, "tokens": 9}))
    store.commit(usage("op-b1", {"tokens": 4}))
    store.commit(
        reservation("op-m", MONTHLY, amounts={"operations": 1, "tokens": 9}, zone="Asia/Tokyo")
    )  # the daily counters stand still from here
    fill_plans(store)
    store.commit(decision(draft("run-1"), tenant=OTHER))
    store.commit(with_content("run-2", store.tenant_key(OTHER), b"theirs", tenant=OTHER))
    assert verify_store(store).ok


class Intruder(Protocol):
    """One transaction of the store's owner."""

    reader: Any
    """Reads what the transaction sees."""

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement with ``?`` for its values."""

    def undone(self) -> Any:
        """Return a context after which everything done in it was not."""

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of every table of tenants."""


class _Moment:
    """What verifying asks besides rows."""

    _query: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

    def purpose(self) -> str:
        return "enforcement"

    def tenant_key(self, tenant_id: str) -> bytes:
        rows = self._query("SELECT key FROM tenant_key WHERE tenant = ?", (tenant_id,))
        return bytes(rows[0][0]) if rows else bytes(32)

    @contextmanager
    def snapshot(self) -> Iterator[Any]:
        yield self


class _SqliteMoment(_Moment, SqliteRows):
    pass


class _PostgresMoment(_Moment, PostgresRows):
    pass


class SqliteIntruder:
    """The owner of the file, who drops the triggers."""

    def __init__(self, path: Any) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.execute("BEGIN IMMEDIATE")
        for (name,) in self.run("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
            self.run(f"DROP TRIGGER {name}")
        self.reader = _SqliteMoment(lambda sql, values: self.run(sql, *values))

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def undone(self) -> Iterator[None]:
        self.run("SAVEPOINT edit")
        try:
            yield
        finally:
            self.run("ROLLBACK TO edit")
            self.run("RELEASE edit")

    def tables(self) -> dict[str, tuple[str, ...]]:
        names = [name for (name,) in self.run("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'meta'")]
        return {
            table: tuple(name for (name,) in self.run(f"SELECT name FROM pragma_table_info('{table}')"))
            for table in names
        }

    def close(self) -> None:
        self.run("ROLLBACK")
        self._connection.close()


class PostgresIntruder:
    """A superuser, for whom row-level security does not hold, and who switches the triggers off."""

    def __init__(self, database: Database) -> None:
        self._connection = database.owner()
        for exact in ("numeric", "jsonb"):  # digits as they are
            self._connection.adapters.register_loader(exact, TextLoader)
        self.run("BEGIN")
        self.run("SET LOCAL search_path = weighbridge")
        for table in self.tables():
            self.run(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
        self.run("SET LOCAL session_replication_role = replica")
        self.reader = _PostgresMoment(self._query)

    def _query(
        self, tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        return self.run(sql, *values)

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        cursor = self._connection.execute(marked(sql), values)
        return cursor.fetchall() if cursor.description else []

    @contextmanager
    def undone(self) -> Iterator[None]:
        self.run("SAVEPOINT edit")
        try:
            yield
        finally:
            self.run("ROLLBACK TO edit")
            self.run("RELEASE edit")

    def tables(self) -> dict[str, tuple[str, ...]]:
        rows = self.run(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'weighbridge' "
            "AND table_name NOT IN ('meta', 'tenant') ORDER BY ordinal_position"
        )
        found: dict[str, tuple[str, ...]] = {}
        for table, column in rows:
            found[table] = (*found.get(table, ()), column)
        return found

    def close(self) -> None:
        self.run("ROLLBACK")
        self._connection.close()
