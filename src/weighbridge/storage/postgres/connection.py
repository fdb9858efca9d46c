"""Connections to PostgreSQL: how they are made, what they must keep, and what their errors mean.

Promises: nothing is kept in a session, so that a pooler may hand every transaction another one; a server that does not answer is
an error in bounded time; a server that could lose an answered decision is refused; nobody above this package knows psycopg.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo, errors
from psycopg.rows import TupleRow
from psycopg.types.string import TextLoader

from weighbridge.errors import Refusal, StoreError
from weighbridge.storage import migrate

BACKEND = "postgres"
SCHEMA = "weighbridge"
OWNER, RUNTIME, AUDITOR = "weighbridge_owner", "weighbridge_runtime", "weighbridge_auditor"
PURPOSES = ("enforcement", "evaluation")
VERSION_MIN = 150_000  # what is tested; older ones let anybody create in `public`

LOCK_WAIT_MS_MAX = 2_000  # another process holds a tenant's head: longer than any batch that will still end
STATEMENT_MS_MAX = 10_000
IDLE_MS_MAX = 10_000  # a process that is stopped in the middle of a batch must not hold its tenants for ever
ANSWER_S_MAX = 15.0  # a server that says nothing for longer than it may take; then the outcome is unknown
_LOST = {  # a peer that is gone without a word is noticed, unless the address says otherwise
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

_SETTINGS = {
    "search_path": f"{SCHEMA}, pg_temp",  # pg_temp last: nobody's temporary table stands before ours
    "lock_timeout": str(LOCK_WAIT_MS_MAX),
    "statement_timeout": str(STATEMENT_MS_MAX),
    "idle_in_transaction_session_timeout": str(IDLE_MS_MAX),
    # What is read is a few rows by their keys, whatever the statistics of a table that has just begun to grow say.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
OPEN = (
    "SELECT set_config('weighbridge.tenants', %s, true), "
    + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
    + ", current_setting('synchronous_commit'), current_setting('fsync')"
).encode()
"""Opens a transaction for a list of tenants (`opened_for`), for as long as it lasts: nothing stays behind in the session.

The last two columns are for `require_durable`.
"""

Connection = psycopg.Connection[TupleRow]
_Answer = TypeVar("_Answer")


class _Bounded(psycopg.Connection[Any]):
    """A connection that does not wait for ever."""

    def wait(self, gen: Generator[Any, Any, _Answer], interval: float = 0.1, *_others: Any) -> _Answer:
        return super().wait(_impatient(gen, self, round(ANSWER_S_MAX / interval)), interval)


def _impatient(
    gen: Generator[Any, Any, _Answer], connection: Connection, silences_max: int
) -> Generator[Any, Any, _Answer]:
    """Do what ``gen`` does, until nothing was heard ``silences_max`` times in a row."""
    silences = 0
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            silences = 0 if ready else silences + 1
            if silences > silences_max:
                connection.pgconn.finish()
                raise psycopg.OperationalError(f"the server says nothing for {ANSWER_S_MAX:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: _Answer = end.value
        return answer


def connect(dsn: str, *, prepare: bool = False) -> Connection:
    """Return a connection that begins and ends its transactions explicitly and keeps nothing in its session.

    With ``prepare`` it keeps statements there, where the server itself is at the other end.

    Raises:
        psycopg.Error: nobody answers, or refuses us.
    """
    given = conninfo.conninfo_to_dict(dsn)
    options = {name: value for name, value in _LOST.items() if name not in given}
    connection = _Bounded.connect(dsn, autocommit=True, prepare_threshold=None, **options)  # type: ignore[arg-type]
    for exact in ("numeric", "jsonb"):  # digits as they are
        connection.adapters.register_loader(exact, TextLoader)
    if prepare and _is_direct(connection):
        # psycopg forgets what it prepared at the first ROLLBACK it sees; so that it need not, it sees one before.
        connection.execute(b"BEGIN")
        connection.execute(b"ROLLBACK")
        connection.prepare_threshold = 0  # planning is half of what the server does for a small batch
    return connection


def _is_direct(connection: Connection) -> bool:
    """Return whether there is no pooler in between: one may send the next transaction to a server that knows no statement.

    A pooler makes up the process number that it greets with, because it does not know yet whom it will ask.
    """
    ((pid,),) = connection.execute(b"SELECT pg_backend_pid()").fetchall()
    return bool(pid == connection.info.backend_pid)


def opened_for(tenants: Iterable[str]) -> str:
    """Return the text that opens a transaction for these tenants (L5)."""
    return json.dumps(dict.fromkeys(tenants, 0))


def storable(texts: Iterable[str]) -> bool:
    """Return whether PostgreSQL can hold these texts: well-formed Unicode without NUL."""
    try:
        return b"\0" not in "".join(texts).encode()
    except UnicodeEncodeError:
        return False


@functools.lru_cache(maxsize=256)
def marked(sql: str) -> bytes:
    """Return a statement with psycopg's marks for its values, from one with ``?``."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


def select(connection: Connection, tenants: Iterable[str], sql: str, values: Sequence[Any]) -> list[TupleRow]:
    """Return the rows of one query in a transaction of its own, in one round trip."""
    with connection.pipeline():
        connection.execute(b"BEGIN READ ONLY")
        connection.execute(OPEN, (opened_for(tenants),))
        rows = connection.execute(marked(sql), values)
        connection.execute(b"COMMIT")
        return rows.fetchall()


def require_durable(synchronous_commit: str, fsync: str) -> None:
    """Refuse a server that could lose an answered decision.

    Raises:
        StoreError: ``synchronous_commit`` or ``fsync`` is off.
    """
    off = [name for name, value in (("synchronous_commit", synchronous_commit), ("fsync", fsync)) if value == "off"]
    if off:
        raise StoreError(f"`{off[0]}` is off, which can lose answered decisions; turn it on for this role and database")


def inspect(connection: Connection, purpose: str | None, *, read_only: bool) -> str:
    """Return the purpose of the store in this database, after a look at everything that must hold.

    Raises:
        StoreError: it is no store, of another version, for another purpose, without some of its guards, could lose what it
            answers, or we could do more there than we should.
    """
    if connection.info.server_version < VERSION_MIN:
        raise StoreError(
            f"PostgreSQL {VERSION_MIN // 10_000} or newer is needed, this is {connection.info.server_version // 10_000}"
        )
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise StoreError("the database does not hold Unicode; make it with ENCODING 'UTF8'")
    meta = read_meta(connection)
    if meta is None:
        raise StoreError("there is no store in this database; make one as its owner with `initialise`")
    if migrate.pending(BACKEND, int(meta["schema_version"])):
        raise StoreError("the schema was made by an older version; upgrade it as its owner with `initialise`")
    if purpose not in (None, meta["purpose"]):
        raise StoreError(
            f"it was made for {meta['purpose']} and cannot be opened for {purpose}; use another database (B9)"
        )
    if meta["purpose"] == "enforcement" and not read_only:
        (settings,) = connection.execute(
            b"SELECT current_setting('synchronous_commit'), current_setting('fsync')"
        ).fetchall()
        require_durable(*settings)
    _require_role(connection, RUNTIME if not read_only else None)
    _require_guards(connection)
    return meta["purpose"]


_META = f"SELECT key, value FROM {SCHEMA}.meta".encode()  # noqa: S608 - our own name


def read_meta(connection: Connection) -> dict[str, str] | None:
    """Return the rows of ``meta``; None where there is no store that we may see."""
    try:
        return dict(connection.execute(_META).fetchall())
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return None


def _require_role(connection: Connection, wanted: str | None) -> None:
    """Refuse to work as somebody who could do more than the runtime may (Z3)."""
    ((name, beyond, own, may),) = connection.execute(
        b"SELECT current_user, rolsuper OR rolbypassrls, pg_has_role(%s, 'MEMBER'), "
        b"%s::text IS NULL OR pg_has_role(%s, 'USAGE') FROM pg_roles WHERE rolname = current_user",
        (OWNER, wanted, wanted or RUNTIME),
    ).fetchall()
    if beyond or own:
        why = "row-level security does not hold for it" if beyond else "it owns the tables"
        raise StoreError(f"role `{name}` must not run decisions: {why}; connect as a member of `{RUNTIME}`")
    if not may:
        raise StoreError(f"role `{name}` may not write here; make it a member of `{RUNTIME}`")


def _require_guards(connection: Connection) -> None:
    """Refuse a database whose triggers or row-level security are not those of our migrations (L1, L5)."""
    missing = [name for (name,) in connection.execute(_MISSING.encode()).fetchall()]
    if missing:
        raise StoreError(f"guards of the schema were taken away ({', '.join(missing)}); restore them")


_GUARDS = (
    *("counter_no_delete", "counter_only_up", "consumption_no_delete", "consumption_only_up", "content_no_delete"),
    *("content_only_erase", "head_no_delete", "head_only_forward", "identity_no_delete", "identity_only_state"),
    *("key_no_change", "ledger_no_change", "ledger_only_append", "tenant_no_change"),
)
_MISSING = f"""
    SELECT wanted.name FROM unnest('{{{", ".join(_GUARDS)}}}'::text[]) AS wanted (name) WHERE NOT EXISTS (
        SELECT FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE tgname = wanted.name AND tgenabled = 'A' AND relnamespace = '{SCHEMA}'::regnamespace)
    UNION ALL
    SELECT relname FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p')
        AND relname <> 'meta' AND NOT (relrowsecurity AND relforcerowsecurity)
    UNION ALL
    SELECT 'ledger is not append-only' WHERE has_table_privilege('{SCHEMA}.ledger', 'UPDATE, DELETE, TRUNCATE')
"""  # noqa: S608 - our own names


_WORDS: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    ((errors.LockNotAvailable, errors.DeadlockDetected), "other processes keep writing for this tenant"),
    ((errors.QueryCanceled,), "the database took too long"),
    ((errors.ReadOnlySqlTransaction,), "the database takes no writes now (a standby, or read-only)"),
    ((errors.InsufficientPrivilege,), "the role may not do this ({})"),
    ((psycopg.OperationalError, psycopg.InterfaceError), "the database cannot be reached ({})"),
    ((psycopg.Error,), "the database refused it ({})"),
)


def words(error: BaseException) -> str:
    """Return what an error means, and what to do."""
    for kinds, meaning in _WORDS:
        if isinstance(error, kinds):
            return meaning.format(_first_line(error))
    return f"no record could be made of it ({type(error).__name__})"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def refusal_of(error: BaseException) -> Refusal:
    """Return the refusal for a write that certainly did not happen, a new one for every caller (G2)."""
    busy = isinstance(error, (errors.LockNotAvailable, errors.DeadlockDetected))
    message = str(error) if isinstance(error, StoreError) else words(error)
    refusal = Refusal(
        "OVERLOADED" if busy else "LEDGER_WRITE_FAILED", f"{message}; ask again later" if busy else message
    )
    refusal.__cause__ = error
    return refusal


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the driver into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreError(words(error)) from error


def discard(connection: Connection | None) -> None:
    """Close a connection, whatever state it is in."""
    if connection is not None:
        with contextlib.suppress(psycopg.Error):
            connection.close()
