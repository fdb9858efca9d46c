"""Making the schema, the roles and the logins of a PostgreSQL store. The owner's act; the runtime can do none of it.

Three roles, without passwords and without login: whoever runs decisions is made a member of `weighbridge_runtime`, whoever reads
and verifies of `weighbridge_auditor`; `weighbridge_owner` owns the tables and is used for migrations and archiving only. Roles
belong to the server: databases of one server share them, and who may connect to which one is said by CONNECT.

Everything happens in one transaction. It waits for a table only for moments, so that whoever writes meanwhile never waits longer
for it than they would for each other; where the table is not to be had, it gives up, pauses and begins again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import sql

from weighbridge.errors import StoreError, UsageError
from weighbridge.storage import migrate
from weighbridge.storage.postgres.connection import (
    AUDITOR,
    BACKEND,
    OWNER,
    PURPOSES,
    RUNTIME,
    SCHEMA,
    Connection,
    connect,
    holders,
    read_meta,
    require_server,
    translated,
)
from weighbridge.storage.state import Upgrade

_ONE_AT_A_TIME = 0x57454947  # "WEIG": the advisory lock that migrations take
_ROLE_EXISTS = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)
TURN_WAIT_MS_MAX = 60_000  # another upgrade is running
TABLE_WAIT_MS_MAX = (
    500  # below the second after which the server looks for a deadlock: writers are never the ones to give way
)
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 1.0, 2.0, 2.0, 5.0)


def initialise(dsn: str, *, purpose: str = "enforcement") -> int:
    """Make the store in this database, or bring its schema up to date, and return the schema's version (`make`)."""
    return make(dsn, purpose=purpose).after


def make(
    dsn: str, *, purpose: str = "enforcement", runtime_logins: Sequence[str] = (), auditor_logins: Sequence[str] = ()
) -> Upgrade:
    """Make the store in this database, or bring its schema up to date, and make logins members of its roles.

    ``dsn`` connects as a superuser, or as somebody who may create roles and, in this database, schemas. A login that is not
    there is made, without a password. May be run again, and by several at once; it happens whole or not at all, but for the
    three roles.

    Raises:
        StoreError: it cannot be reached, is newer than this code, was made for another purpose, or a login could do too much.
    """
    if purpose not in PURPOSES:
        raise UsageError(f"a store's purpose is `enforcement` or `evaluation`, not `{purpose}`")
    members = [*((name, RUNTIME) for name in runtime_logins), *((name, AUDITOR) for name in auditor_logins)]
    with _as_owner(dsn) as connection:
        for role in (OWNER, RUNTIME, AUDITOR):
            with contextlib.suppress(*_ROLE_EXISTS):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        return _in_turn(connection, purpose, members)


def upgrade(dsn: str) -> Upgrade:
    """Bring the schema of a store up to date, whole or not at all; writers go on meanwhile.

    Raises:
        StoreError: it cannot be reached, there is no store, it is newer than this code, we are not its owner, or somebody keeps
            a table for so long that it cannot be changed.
    """
    with _as_owner(dsn) as connection:
        return _in_turn(connection, None, ())


@contextmanager
def _as_owner(dsn: str) -> Iterator[Connection]:
    with translated(), contextlib.closing(connect(dsn, patient=True)) as connection:
        require_server(connection)
        try:
            yield connection
        except psycopg.errors.InsufficientPrivilege as error:
            raise StoreError(
                f"role `{connection.info.user}` may not do this ({error.diag.message_primary}); connect as a superuser, or as "
                "somebody who may create roles and, in this database, schemas"
            ) from error


def _in_turn(connection: Connection, purpose: str | None, members: Iterable[tuple[str, str]]) -> Upgrade:
    for pause_s in (*PAUSES_S, None):
        try:
            with connection.transaction():
                take_turn(connection, _ONE_AT_A_TIME)
                connection.execute(f"SET LOCAL lock_timeout = {TABLE_WAIT_MS_MAX}".encode())
                done = _migrate(connection, purpose)
                advice = [said for name, role in members for said in _attach(connection, name, role)]
                return Upgrade(*done, tuple(advice))
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if pause_s is None:
                break
            time.sleep(pause_s)
    raise StoreError(
        "the schema was not changed: somebody keeps reading or writing a table that must change (a long export or backup); "
        "try again when it is done"
    )


def take_turn(connection: Connection, key: int) -> None:
    """Wait until nobody else changes the schema, in a transaction that is open; later, locks are waited for without a limit.

    Raises:
        StoreError: somebody holds the lock all the time.
    """
    connection.execute(f"SET LOCAL lock_timeout = {TURN_WAIT_MS_MAX}".encode())
    try:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
    except psycopg.errors.LockNotAvailable as error:
        raise StoreError(
            f"nothing was changed: another upgrade is running, or somebody keeps its lock ({holders(connection, key)}); wait for "
            "it, or end that connection (`pg_terminate_backend`), and try again"
        ) from error
    connection.execute(b"SET LOCAL lock_timeout = 0")


def _migrate(connection: Connection, purpose: str | None) -> tuple[int, int, tuple[str, ...]]:
    """Apply what is missing, in a transaction that is open, and return from where to where, and by what.

    Where ``purpose`` is None, no store is made.
    """
    exists = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.meta",)).fetchall()[0][0]
    if not exists:
        if purpose is None:
            raise StoreError("there is no store in this database; make one with `weighbridge db init`")
        _make_schema(connection)
    become_owner(connection)
    meta = (read_meta(connection) if exists else None) or {}
    if meta and purpose not in (None, meta["purpose"]):
        raise StoreError(f"the store was made for {meta['purpose']}, not for {purpose}; use another database (B9)")
    before = int(meta.get("schema_version", "0"))
    missing = migrate.pending(BACKEND, before)
    for migration in missing:
        connection.execute(migration.sql.encode())
    if missing:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('purpose', %s), ('schema_version', %s) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (meta.get("purpose", purpose), str(missing[-1].version)),
        )
    connection.execute(b"SET LOCAL ROLE NONE")
    return before, migrate.latest_version(BACKEND), tuple(migration.name for migration in missing)


def _make_schema(connection: Connection) -> None:
    # Whoever made the role may give it to themselves; a superuser needs no leave.
    if not _is_owner(connection):
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
    connection.execute(
        sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(SCHEMA), sql.Identifier(OWNER))
    )


def _is_owner(connection: Connection) -> bool:
    ((may,),) = connection.execute("SELECT pg_has_role(%s, 'MEMBER')", (OWNER,)).fetchall()
    return bool(may)


def become_owner(connection: Connection) -> None:
    """Go on as the owner of the tables, for the transaction that is open.

    Raises:
        StoreError: we may not.
    """
    if not _is_owner(connection):
        raise StoreError(
            f"role `{connection.info.user}` may not change the schema; connect as a member of `{OWNER}` or as a superuser"
        )
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
    connection.execute(f"SET LOCAL search_path = {SCHEMA}, pg_temp".encode())


_LOGIN = (
    b"SELECT rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication OR pg_has_role(rolname, %s, 'MEMBER'), "
    b"has_database_privilege(rolname, current_database(), 'CONNECT') FROM pg_roles WHERE rolname = %s"
)


def _attach(connection: Connection, name: str, role: str) -> Iterable[str]:
    """Make a login a member of a role, and yield what a person has to do so that it can be used (Z3)."""
    login = sql.Identifier(name)
    found = connection.execute(_LOGIN, (OWNER, name)).fetchall()
    if not found:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(login))
        yield (
            f'`{name}` was made without a password: set one with `\\password "{name}"` in psql, which sends no plain text, '
            "or let pg_hba.conf accept a certificate or the system's user"
        )
        found = connection.execute(_LOGIN, (OWNER, name)).fetchall()
    ((may_login, too_much, may_connect),) = found
    if too_much:
        raise StoreError(
            f"login `{name}` could pass the guards (it is a superuser, may make roles, replicates, passes row-level security or "
            f"is a member of `{OWNER}`); name another one (Z3)"
        )
    connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), login))
    if not may_login:
        yield f'`{name}` may not log in: `ALTER ROLE "{name}" LOGIN`'
    if not may_connect:
        yield f'`{name}` may not connect here: `GRANT CONNECT ON DATABASE "{connection.info.dbname}" TO "{name}"`'
