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

from weighbridge.errors import Refusal, StoreError, UsageError
from weighbridge.storage.addresses import is_plain

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
    "fallback_application_name": "weighbridge",  # for whoever looks who holds what
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


def connect(dsn: str, *, prepare: bool = False, patient: bool = False) -> Connection:
    """Return a connection that begins and ends its transactions explicitly and keeps nothing in its session.

    With ``prepare`` it keeps statements and their plans there, where the server itself is at the other end. ``patient`` is for
    the owner, whose statements may take as long as they do.

    Raises:
        psycopg.Error: nobody answers, or refuses us.
        UsageError: the address cannot be read.
    """
    options = {name: value for name, value in _LOST.items() if name not in _read_address(dsn)}
    kind: type[psycopg.Connection[Any]] = psycopg.Connection if patient else _Bounded
    connection = kind.connect(dsn, autocommit=True, prepare_threshold=None, **options)  # type: ignore[arg-type]
    for exact in ("numeric", "jsonb"):  # digits as they are
        connection.adapters.register_loader(exact, TextLoader)
    if prepare and is_direct(connection):
        # psycopg forgets what it prepared at the first ROLLBACK it counts; so that it need not, it counts one before.
        connection.prepare_threshold = 1
        connection.execute(b"BEGIN")
        connection.execute(b"ROLLBACK")
        connection.prepare_threshold = 0  # planning is half of what the server does for a small batch
        connection.execute(b"SET plan_cache_mode = force_generic_plan", prepare=False)  # or it plans small ones anew
    return connection


def _read_address(dsn: str) -> dict[str, Any]:
    """Return the parts of an address, so that nothing of a password is taken for a host, which errors name.

    Raises:
        UsageError: it cannot be read; not even a part of it is said, because that may be part of a password.
    """
    with contextlib.suppress(psycopg.Error):
        if is_plain(dsn):
            return conninfo.conninfo_to_dict(dsn)
    raise UsageError(
        "the address of the store cannot be read; write `postgresql://user@host:port/database`, with `@`, `/`, `%` and the like "
        "in a name or a password as %40, %2F, %25, or keep the password out of it (PGPASSFILE, ~/.pgpass)"
    )


def is_direct(connection: Connection) -> bool:
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


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Send what is executed in the block without waiting for each answer; the first error is the one that is raised.

    psycopg would log every error of the block's end besides, once for each request while a server is away.
    """
    first: Exception | None = None
    try:
        with connection.pipeline():
            try:
                yield
            except Exception as error:  # noqa: BLE001 - raised below
                first = error
    except psycopg.Error:
        if first is None:
            raise
    if first is not None:
        raise first


def select(
    connection: Connection, tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
) -> list[TupleRow]:
    """Return the rows of one query in a transaction of its own, in one round trip."""
    with pipelined(connection):
        connection.execute(b"BEGIN READ ONLY")
        connection.execute(OPEN, (opened_for(tenants),))
        rows = connection.execute(marked(sql), values, binary=binary)
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


def require_server(connection: Connection) -> None:
    """Refuse a server or a database that cannot hold a store.

    Raises:
        StoreError: it is too old, or holds no Unicode.
    """
    if connection.info.server_version < VERSION_MIN:
        raise StoreError(
            f"PostgreSQL {VERSION_MIN // 10_000} or newer is needed, this is {connection.info.server_version // 10_000}"
        )
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise StoreError("the database does not hold Unicode; make it with ENCODING 'UTF8'")


_VERSION_DIGITS_MAX = 9
_META = f"SELECT key, value FROM {SCHEMA}.meta".encode()  # noqa: S608 - our own name


def read_meta(connection: Connection) -> dict[str, str] | None:
    """Return the rows of ``meta``; None where there is no store that we may see.

    Raises:
        StoreError: they do not say what they must.
    """
    try:
        meta: dict[str, str] = dict(connection.execute(_META).fetchall())
    except (errors.UndefinedTable, errors.InvalidSchemaName):
        return None
    version, purpose = meta.get("schema_version", ""), meta.get("purpose")
    if not (version.isascii() and version.isdecimal() and len(version) <= _VERSION_DIGITS_MAX):
        raise StoreError(f"`{SCHEMA}.meta` does not say which schema the store has; restore that row from a backup")
    if purpose not in PURPOSES:
        raise StoreError(f"`{SCHEMA}.meta` does not say what the store was made for; restore that row from a backup")
    return meta


_WORDS: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    ((errors.LockNotAvailable, errors.DeadlockDetected), "other processes keep writing for this tenant"),
    ((errors.QueryCanceled,), "the database took too long"),
    ((errors.ReadOnlySqlTransaction,), "the database takes no writes now (a standby, or read-only)"),
    ((errors.InsufficientPrivilege,), "the role may not do this ({})"),
    ((psycopg.OperationalError, psycopg.InterfaceError), "the database cannot be reached ({})"),
    ((psycopg.Error,), "the database refused it ({})"),
)


_FATAL = (
    "failed: FATAL:"  # how libpq says that somebody did answer: no such role, no such database, no more connections
)


def words(error: BaseException) -> str:
    """Return what an error means, and what to do."""
    said = _first_line(error)
    if isinstance(error, psycopg.OperationalError) and _FATAL in said:
        return f"the server answers, but does not let us in: {said.rpartition(_FATAL)[2].strip()}"
    for kinds, meaning in _WORDS:
        if isinstance(error, kinds):
            return meaning.format(said)
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


_HOLDERS = b"""
    SELECT coalesce(string_agg(format('process %%s of login `%%s`, application `%%s`', pid, usename, application_name), '; '
                               ORDER BY pid), 'somebody who has just let go')
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND (classid::bigint << 32 | objid::bigint) = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def holders(connection: Connection, key: int) -> str:
    """Return who holds an advisory lock of this database, for a sentence: any login that may connect can take one."""
    ((who,),) = connection.execute(_HOLDERS, (key,)).fetchall()
    return str(who)


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
