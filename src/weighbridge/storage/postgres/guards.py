"""What must hold before a store is used: whose it is, who we are, and that every guard of its schema stands as it was made."""

from __future__ import annotations

from weighbridge.errors import StoreError
from weighbridge.storage import migrate
from weighbridge.storage.postgres.connection import (
    AUDITOR,
    BACKEND,
    OWNER,
    RUNTIME,
    SCHEMA,
    Connection,
    read_meta,
    require_durable,
    require_server,
)
from weighbridge.storage.postgres.schema import GUARDS, describe_guards
from weighbridge.storage.schema import declared, differences


def inspect(connection: Connection, purpose: str | None, *, read_only: bool) -> str:
    """Return the purpose of the store in this database, after a look at everything that must hold.

    Raises:
        StoreError: it is no store, of another version, for another purpose, without some of its guards, could lose what it
            answers, or we could do more there than we should.
    """
    require_server(connection)
    meta = read_meta(connection)
    if meta is None:
        raise StoreError("there is no store in this database; its owner makes one with `weighbridge db init`")
    version = int(meta["schema_version"])
    if migrate.pending(BACKEND, version):
        raise StoreError("the schema was made by an older version; its owner upgrades it with `weighbridge db upgrade`")
    if purpose not in (None, meta["purpose"]):
        raise StoreError(
            f"it was made for {meta['purpose']} and cannot be opened for {purpose}; use another database (B9)"
        )
    if meta["purpose"] == "enforcement" and not read_only:
        (settings,) = connection.execute(
            b"SELECT current_setting('synchronous_commit'), current_setting('fsync')"
        ).fetchall()
        require_durable(*settings)
    _require_role(connection, read_only=read_only)
    _require_guards(connection, version)
    return meta["purpose"]


def _require_role(connection: Connection, *, read_only: bool) -> None:
    """Refuse to work as somebody who could do more than the runtime, or than whoever only reads, may (Z3)."""
    ((name, beyond, own, may),) = connection.execute(
        b"SELECT current_user, rolsuper OR rolbypassrls, pg_has_role(%s, 'MEMBER'), pg_has_role(%s, 'USAGE') "
        b"FROM pg_roles WHERE rolname = current_user",
        (OWNER, RUNTIME),
    ).fetchall()
    if beyond or own:
        why = "row-level security does not hold for it" if beyond else "it owns the tables"
        what, role = ("read a store", AUDITOR) if read_only else ("run decisions", RUNTIME)
        raise StoreError(f"role `{name}` must not {what}: {why}; connect as a member of `{role}`")
    if not (may or read_only):
        raise StoreError(f"role `{name}` may not write here; make it a member of `{RUNTIME}`")


def _require_guards(connection: Connection, version: int) -> None:
    """Refuse a database whose guards are not those of our migrations (L1, L5)."""
    wrong = missing_guards(connection) or changed_guards(connection, version)
    if wrong:
        raise StoreError(
            f"guards of the schema were taken away or changed ({', '.join(wrong)}); `weighbridge db status` says more; "
            "restore them"
        )


def changed_guards(connection: Connection, version: int) -> tuple[str, ...]:
    """Return what is wrong with everything that acts on rows: policies, triggers, their functions, rules.

    A policy more shows more; a trigger's function may be hollow while the trigger stands.
    """
    wanted = declared(BACKEND, version)
    guards = {what: how for what, how in wanted.things.items() if what.startswith(GUARDS)}
    return differences(describe_guards(connection), wanted._replace(things=guards))


def missing_guards(connection: Connection) -> list[str]:
    """Return the triggers, and the tables without row-level security, that are not as our migrations made them."""
    return [name for (name,) in connection.execute(_MISSING.encode()).fetchall()]


_GUARDS = (
    *("counter_no_delete", "counter_only_up", "consumption_no_delete", "consumption_only_up", "content_no_delete"),
    *("content_only_erase", "head_no_delete", "head_only_forward", "identity_no_delete", "identity_only_state"),
    *("key_no_change", "ledger_no_change", "ledger_only_append", "ledger_only_archive", "tenant_no_change"),
)
_GUARDS_OF_PLANS = ("plan_only_forward", "plan_no_delete", "outcome_no_change")  # since schema 2
CAN_CHANGE = "ledger is not append-only"  # for who asks: true of the owner, who is told nothing new by it
_MISSING = f"""
    SELECT wanted.name FROM (
        SELECT unnest('{{{", ".join(_GUARDS)}}}'::text[]) UNION ALL
        SELECT unnest('{{{", ".join(_GUARDS_OF_PLANS)}}}'::text[])
            FROM {SCHEMA}.meta WHERE key = 'schema_version' AND value <> '1'
    ) AS wanted (name) WHERE NOT EXISTS (
        SELECT FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE tgname = wanted.name AND tgenabled = 'A' AND relnamespace = '{SCHEMA}'::regnamespace)
    UNION ALL
    SELECT relname FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p')
        AND relname <> 'meta' AND NOT (relrowsecurity AND relforcerowsecurity)
    UNION ALL
    SELECT '{CAN_CHANGE}' WHERE has_table_privilege('{SCHEMA}.ledger', 'UPDATE, DELETE, TRUNCATE')
"""  # noqa: S608 - our own names
