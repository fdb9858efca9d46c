"""Making the schema and the roles of a PostgreSQL store. The owner's act; the runtime can do none of it.

Three roles, without passwords and without login: whoever runs decisions is made a member of `weighbridge_runtime`, whoever reads
and verifies of `weighbridge_auditor`; `weighbridge_owner` owns the tables and is used for migrations and archiving only. Roles
belong to the server: databases of one server share them, and who may connect to which one is said by CONNECT.
"""

from __future__ import annotations

import contextlib

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
    read_meta,
    translated,
)

_ONE_AT_A_TIME = 0x57454947  # "WEIG": the advisory lock that migrations take
_ROLE_EXISTS = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation)


def initialise(dsn: str, *, purpose: str = "enforcement") -> int:
    """Make the store in this database, or bring its schema up to date, and return the schema's version.

    ``dsn`` connects as a superuser, or as somebody who may create roles and, in this database, schemas. May be run again, and by
    several at once.

    Raises:
        StoreError: it cannot be reached, is newer than this code, or was made for another purpose.
    """
    if purpose not in PURPOSES:
        raise UsageError(f"a store's purpose is `enforcement` or `evaluation`, not `{purpose}`")
    with translated(), contextlib.closing(connect(dsn)) as connection:
        for role in (OWNER, RUNTIME, AUDITOR):
            with contextlib.suppress(*_ROLE_EXISTS):
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_ONE_AT_A_TIME,))
            return _migrate(connection, purpose)


def _migrate(connection: Connection, purpose: str) -> int:
    exists = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"{SCHEMA}.meta",)).fetchall()[0][0]
    if not exists:
        # Whoever made the role may give it to themselves; a superuser needs no leave.
        ((may,),) = connection.execute("SELECT pg_has_role(%s, 'MEMBER')", (OWNER,)).fetchall()
        if not may:
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
        connection.execute(
            sql.SQL("CREATE SCHEMA {} AUTHORIZATION {}").format(sql.Identifier(SCHEMA), sql.Identifier(OWNER))
        )
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(OWNER)))
    connection.execute(f"SET LOCAL search_path = {SCHEMA}, pg_temp".encode())
    meta = (read_meta(connection) if exists else None) or {}
    if meta and meta["purpose"] != purpose:
        raise StoreError(f"the store was made for {meta['purpose']}, not for {purpose}; use another database (B9)")
    missing = migrate.pending(BACKEND, int(meta.get("schema_version", "0")))
    for migration in missing:
        connection.execute(migration.sql.encode())
    if missing:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('purpose', %s), ('schema_version', %s) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (purpose, str(missing[-1].version)),
        )
    return migrate.latest_version(BACKEND)
