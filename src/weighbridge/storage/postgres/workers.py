"""Which workers live, and which plan is in whose hands, where many workers carry out the plans of one store.

Two tables in the schema of the engine, which the owner of the store makes (`make_engine_schema`). They say who may try next, and
no more: what happens to a plan is decided by the store, and it would be right without them.

A worker lives as long as its row. It renews its lease there, by the server's clock; whoever finds a lease that ran out removes
the row, and with it everything that the worker held. That is final: an id is not used again, so one that was only asleep finds
itself gone, can hold nothing more, and ends. Every statement stands alone, so that a process that is frozen holds no lock.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import conninfo, sql
from psycopg.rows import TupleRow

from weighbridge.errors import StoreError
from weighbridge.storage.postgres.connection import (
    OWNER,
    RUNTIME,
    Connection,
    connect,
    discard,
    read_meta,
    require_server,
    translated,
)
from weighbridge.storage.postgres.setup import become_owner, take_turn

ENGINE_SCHEMA: Final = "weighbridge_engine"

_MISSING = (psycopg.errors.InvalidSchemaName, psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege)
_ONE_AT_A_TIME = 0x57424547  # "WBEG": the advisory lock under which the schema is made

_TABLES = f"""
CREATE TABLE IF NOT EXISTS {ENGINE_SCHEMA}.weighbridge_worker (
    id          text COLLATE "C" PRIMARY KEY,
    lease_until timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS {ENGINE_SCHEMA}.weighbridge_holding (
    tenant  text COLLATE "C" NOT NULL,
    plan_id text COLLATE "C" NOT NULL,
    worker  text COLLATE "C" NOT NULL REFERENCES {ENGINE_SCHEMA}.weighbridge_worker ON DELETE CASCADE,
    PRIMARY KEY (tenant, plan_id)
);
CREATE INDEX IF NOT EXISTS weighbridge_holding_by_worker ON {ENGINE_SCHEMA}.weighbridge_holding (worker);
GRANT USAGE ON SCHEMA {ENGINE_SCHEMA} TO {RUNTIME};
GRANT SELECT, INSERT, UPDATE, DELETE ON {ENGINE_SCHEMA}.weighbridge_worker, {ENGINE_SCHEMA}.weighbridge_holding TO {RUNTIME};
"""


def _of_ours(text: str) -> bytes:
    return text.replace("{schema}", ENGINE_SCHEMA).encode()


_REGISTER = _of_ours(
    "INSERT INTO {schema}.weighbridge_worker VALUES (%s, clock_timestamp() + make_interval(secs => %s)) RETURNING 1"
)
_RENEW = _of_ours(
    "UPDATE {schema}.weighbridge_worker SET lease_until = clock_timestamp() + make_interval(secs => %s) "
    "WHERE id = %s RETURNING 1"
)
_REMOVE_EXPIRED = _of_ours("DELETE FROM {schema}.weighbridge_worker WHERE lease_until < clock_timestamp() RETURNING id")
_RETIRE = _of_ours("DELETE FROM {schema}.weighbridge_worker WHERE id = %s RETURNING 1")
_LIVING = _of_ours("SELECT id FROM {schema}.weighbridge_worker")
_TAKE = _of_ours(
    "INSERT INTO {schema}.weighbridge_holding AS held VALUES (%s, %s, %s) "
    "ON CONFLICT (tenant, plan_id) DO UPDATE SET worker = excluded.worker WHERE held.worker = excluded.worker RETURNING 1"
)
_HOLDS = _of_ours("SELECT 1 FROM {schema}.weighbridge_holding WHERE (tenant, plan_id, worker) = (%s, %s, %s)")
_GIVE_BACK = _of_ours(
    "DELETE FROM {schema}.weighbridge_holding WHERE (tenant, plan_id, worker) = (%s, %s, %s) RETURNING 1"
)


class PostgresWorkers:
    """The workers of the store that ``dsn`` leads to (`orchestrator.workers.Workers`). Safe to use from many threads."""

    def __init__(self, dsn: str) -> None:
        # The heart must not wait for what a plan waits for.
        self._beats, self._plans = _Line(dsn), _Line(dsn)

    def close(self) -> None:
        """Close the connections."""
        self._beats.close()
        self._plans.close()

    def register(self, worker: str, lease_s: float) -> None:
        """Begin a life.

        Raises:
            StoreError: the tables are not there, or we may not write them.
        """
        self._beats.ask(_REGISTER, (worker, lease_s))

    def renew(self, worker: str, lease_s: float) -> bool:
        """Prolong a life, and return whether it is still one: what has ended does not begin again."""
        return bool(self._beats.ask(_RENEW, (lease_s, worker)))

    def remove_expired(self) -> Sequence[str]:
        """End the lives whose lease ran out, and return whose they were."""
        return [worker for (worker,) in self._beats.ask(_REMOVE_EXPIRED, ())]

    def retire(self, worker: str) -> None:
        """End a life; what it held is free."""
        self._beats.ask(_RETIRE, (worker,))

    def living(self) -> frozenset[str]:
        """Return who lives, or was not found dead yet."""
        return frozenset(worker for (worker,) in self._plans.ask(_LIVING, ()))

    def take(self, worker: str, tenant_id: str, plan_id: str) -> bool:
        """Take a plan, and return whether it is this worker's now: not where another one has it, or this one's life ended."""
        try:
            return bool(self._plans.ask(_TAKE, (tenant_id, plan_id, worker)))
        except StoreError as error:
            if isinstance(error.__cause__, psycopg.errors.ForeignKeyViolation):
                return False
            raise

    def holds(self, worker: str, tenant_id: str, plan_id: str) -> bool:
        """Return whether a worker that lives has a plan in its hands."""
        return bool(self._plans.ask(_HOLDS, (tenant_id, plan_id, worker)))

    def give_back(self, worker: str, tenant_id: str, plan_id: str) -> None:
        """Let go of a plan."""
        self._plans.ask(_GIVE_BACK, (tenant_id, plan_id, worker))


class _Line:
    """A connection for statements that stand alone and may be said twice; made anew when it breaks."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def ask(self, statement: bytes, values: Sequence[Any]) -> list[TupleRow]:
        """Return the rows of a statement.

        Raises:
            StoreError: it could not be said.
        """
        with self._lock, translated():
            try:
                if self._connection is not None:
                    with contextlib.suppress(psycopg.OperationalError):  # the server was restarted meanwhile
                        return self._connection.execute(statement, values).fetchall()
                self._renew()
                return self._fresh().execute(statement, values).fetchall()
            except _MISSING as error:
                raise StoreError(_NOT_MADE) from error
            except psycopg.Error:
                self._renew()
                raise

    def close(self) -> None:
        with self._lock:
            self._renew()

    def _fresh(self) -> Connection:
        self._connection = connect(self._dsn)
        return self._connection

    def _renew(self) -> None:
        discard(self._connection)
        self._connection = None


_NOT_MADE = (
    "the schema of the `dbos` engine is not there, or this login may not use it; the owner of the store makes it: "
    "`weighbridge db upgrade --engine dbos`"
)


def make_engine_schema(dsn: str) -> None:
    """Make the schema of the engine and the tables of its workers, as the owner of the store; what is there stays.

    Raises:
        StoreError: there is no store, or we are not its owner and may make no schema.
    """
    with translated(), contextlib.closing(connect(dsn, patient=True)) as connection:
        require_server(connection)
        if read_meta(connection) is None:
            raise StoreError("there is no store in this database; make one with `weighbridge db init`")
        with connection.transaction():
            take_turn(connection, _ONE_AT_A_TIME)
            ((made,),) = connection.execute("SELECT to_regnamespace(%s)", (ENGINE_SCHEMA,)).fetchall()
            if made is None:
                connection.execute(
                    sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(
                        sql.Identifier(ENGINE_SCHEMA), sql.Identifier(OWNER)
                    )
                )
            become_owner(connection)
            connection.execute(_TABLES.encode(), prepare=False)


def engine_url(dsn: str, *, as_owner: bool = False) -> str:
    """Return the address of a store as SQLAlchemy reads it, with everything in its place, and what libpq would add by itself.

    Raises:
        StoreError: nobody answers there.
    """
    with translated(), contextlib.closing(connect(dsn)) as connection:
        require_server(connection)
        found = {name: str(value) for name, value in conninfo.conninfo_to_dict(dsn).items()}
        found = {"dbname": connection.info.dbname, "user": connection.info.user} | found
    if as_owner:
        found["options"] = f"{found.get('options', '')} -c role={OWNER}".strip()
    user, password = quote(found.pop("user"), safe=""), found.pop("password", None)
    who = user if password is None else f"{user}:{quote(password, safe='')}"
    database = quote(found.pop("dbname"), safe="")
    return f"postgresql://{who}@/{database}?{urlencode(found, quote_via=quote)}"
