"""One more migration than there is, for tests of what happens around an upgrade: additive, as the rule for them wants it."""

from __future__ import annotations

from typing import Any

from weighbridge.storage import migrate

ADDED = {
    "sqlite": """
        ALTER TABLE ledger_head ADD COLUMN remark TEXT;
        CREATE TABLE extra (tenant TEXT PRIMARY KEY, value TEXT) STRICT;
        CREATE TRIGGER extra_no_delete BEFORE DELETE ON extra BEGIN SELECT RAISE(ABORT, 'it stays'); END;
    """,
    "postgres": """
        ALTER TABLE ledger ADD COLUMN remark text;
        ALTER TABLE ledger_head ADD COLUMN remark text;
        CREATE TABLE extra (tenant text COLLATE "C" PRIMARY KEY, value text);
        ALTER TABLE extra ENABLE ROW LEVEL SECURITY;
        ALTER TABLE extra FORCE ROW LEVEL SECURITY;
        GRANT SELECT, INSERT ON extra TO weighbridge_runtime;
    """,
}
BROKEN = {
    "sqlite": "CREATE TABLE extra (tenant TEXT); CREATE TABLE ledger (tenant TEXT);",
    "postgres": "CREATE TABLE extra (tenant text); CREATE TABLE ledger (tenant text);",
}


def next_version(patch: Any, sql: dict[str, str] | None = None) -> None:
    """Make this process the next version, which has one migration more on both backends."""
    known = migrate.migrations

    def migrations(backend: str) -> tuple[migrate.Migration, ...]:
        given = known(backend)
        version = len(given) + 1
        return (*given, migrate.Migration(version, f"{version:04}_test.sql", (sql or ADDED)[backend]))

    patch.setattr(migrate, "migrations", migrations)


def only(patch: Any, version: int) -> None:
    """Make this process an older version, which has the first migrations only."""
    known = migrate.migrations
    patch.setattr(migrate, "migrations", lambda backend: known(backend)[:version])
