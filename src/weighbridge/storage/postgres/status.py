"""In what state a PostgreSQL store is, for whoever may connect and read its `meta`: owner, runtime, auditor or superuser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from psycopg import sql

from weighbridge.errors import StoreError
from weighbridge.storage import migrate
from weighbridge.storage.postgres.connection import (
    AUDITOR,
    BACKEND,
    OWNER,
    RUNTIME,
    SCHEMA,
    Connection,
    connect,
    is_direct,
    read_meta,
    require_server,
    translated,
)
from weighbridge.storage.postgres.guards import CAN_CHANGE, missing_guards
from weighbridge.storage.postgres.schema import describe
from weighbridge.storage.schema import declared, differences
from weighbridge.storage.state import StoreState

_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
_WHO = b"""
    SELECT current_user, rolsuper OR rolbypassrls, pg_has_role(%s, 'MEMBER'), pg_has_role(%s, 'USAGE'), pg_has_role(%s, 'USAGE')
    FROM pg_roles WHERE rolname = current_user
"""
_MEMBERS = b"""
    SELECT held.rolname, coalesce(array_agg(member.rolname::text ORDER BY member.rolname)
                                  FILTER (WHERE member.rolname IS NOT NULL), '{}')
    FROM pg_roles AS held LEFT JOIN pg_auth_members AS link ON link.roleid = held.oid
        LEFT JOIN pg_roles AS member ON member.oid = link.member
    WHERE held.rolname = ANY(%s) GROUP BY held.rolname ORDER BY held.rolname
"""
_LIKELY_TOO_MUCH = b"""
    SELECT rolname FROM pg_roles WHERE pg_has_role(rolname, %s, 'MEMBER') AND NOT rolsuper
        AND (rolbypassrls OR rolcreaterole OR rolreplication OR pg_has_role(rolname, %s, 'MEMBER')) ORDER BY 1
"""
_SECURED = f"""
    SELECT relname FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p')
        AND relrowsecurity AND relforcerowsecurity ORDER BY 1
""".encode()  # noqa: S608 - our own name
_OF_TENANTS = f"""
    SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r' AND attname = 'tenant' AND relname <> 'tenant' ORDER BY 1
""".encode()  # noqa: S608 - our own name
_UNNAMED = sql.SQL("""
    WITH RECURSIVE held (tenant) AS (
        (SELECT tenant FROM {table} ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT tenant FROM {table} AS next WHERE next.tenant > held.tenant ORDER BY tenant LIMIT 1)
        FROM held WHERE held.tenant IS NOT NULL)
    SELECT tenant FROM held WHERE tenant IS NOT NULL EXCEPT SELECT tenant FROM {names} LIMIT {many}
""")
"""One step of the index for each tenant, however many rows it has."""
UNNAMED_MAX = 20
_STANDBY = b"SELECT pg_is_in_recovery()"


def status(dsn: str) -> StoreState:
    """Return the state of the store in the database that ``dsn`` leads to. Nothing is changed.

    Raises:
        StoreError: it cannot be reached, there is no store, or we may not look.
    """
    with translated(), contextlib.closing(connect(dsn)) as connection:
        require_server(connection)
        meta = read_meta(connection)
        if meta is None:
            raise StoreError("there is no store in this database; its owner makes one with `weighbridge db init`")
        return _state(connection, meta)


def _state(connection: Connection, meta: dict[str, str]) -> StoreState:
    schema, latest = int(meta["schema_version"]), migrate.latest_version(BACKEND)
    pending = tuple(migration.name for migration in migrate.migrations(BACKEND)[schema:])
    altered = differences(describe(connection), declared(BACKEND, schema))
    facts = _facts(connection)
    too_much = [name for (name,) in connection.execute(_LIKELY_TOO_MUCH, (RUNTIME, OWNER)).fetchall()]
    return StoreState(
        backend=BACKEND,
        server=connection.info.parameter_status("server_version") or "",
        purpose=meta["purpose"],
        schema=schema,
        latest=latest,
        pending=pending,
        altered=altered,
        problems=(
            *migrate.problems(schema, latest),
            *(("the schema is not as its migrations made it: see `altered`; restore it",) if altered else ()),
            *_problems(facts, meta["purpose"]),
            *(
                f"role `{name}` runs decisions and could pass the guards: take one of the two from it (Z3)"
                for name in too_much
            ),
        ),
        facts=facts,
    )


def _facts(connection: Connection) -> dict[str, Any]:
    ((name, beyond, owner, runtime, auditor),) = connection.execute(_WHO, (OWNER, RUNTIME, AUDITOR)).fetchall()
    may = [
        role
        for role, held in (("superuser", beyond), ("owner", owner), ("runtime", runtime), ("auditor", auditor))
        if held
    ]
    roles = {
        role: list(members) for role, members in connection.execute(_MEMBERS, ([OWNER, RUNTIME, AUDITOR],)).fetchall()
    }
    ((standby,),) = connection.execute(_STANDBY).fetchall()
    return {
        "connected_as": name,
        "may": may,
        "roles": roles,
        "guards_missing": [name for name in missing_guards(connection) if name != CAN_CHANGE or not (beyond or owner)],
        "row_level_security": [table for (table,) in connection.execute(_SECURED).fetchall()],
        "durability": {
            setting: connection.execute(b"SELECT current_setting(%s)", (setting,)).fetchall()[0][0]
            for setting in _DURABLE
        },
        **({"tenants_unnamed": _unnamed(connection)} if beyond else {}),
        "standby": standby,
        "pooler": not is_direct(connection),
    }


def _unnamed(connection: Connection) -> list[str]:
    """Return the first tenants that have rows and no name, which whoever asks for every tenant would miss (L3)."""
    found: set[str] = set()
    for (table,) in connection.execute(_OF_TENANTS).fetchall():
        asked = _UNNAMED.format(
            table=sql.Identifier(SCHEMA, table), names=sql.Identifier(SCHEMA, "tenant"), many=sql.Literal(UNNAMED_MAX)
        )
        found.update(name for (name,) in connection.execute(asked).fetchall())
    return sorted(found)[:UNNAMED_MAX]


def _problems(facts: dict[str, Any], purpose: str) -> Iterator[str]:
    missing = [role for role in (OWNER, RUNTIME, AUDITOR) if role not in facts["roles"]]
    if missing:
        yield f"roles are missing ({', '.join(missing)}): `weighbridge db init` makes them"
    if facts["guards_missing"]:
        gone = ", ".join(facts["guards_missing"])
        yield f"guards of the schema were taken away ({gone}): no store is opened until they are back"
    if facts.get("tenants_unnamed"):
        names = ", ".join(f"`{name}`" for name in facts["tenants_unnamed"])
        yield (
            f"tenants have rows, but no name ({names}): somebody took them out of `{SCHEMA}.tenant`, and no check of every "
            "tenant looks at them; put the names back, and run `weighbridge ledger verify --tenant` on each"
        )
    off = [name for name, value in facts["durability"].items() if value == "off"]
    if off and purpose == "enforcement":
        yield f"{', '.join(f'`{name}`' for name in off)} is off, which can lose answered decisions: turn it on for this database"
