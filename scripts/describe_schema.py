"""Writes what each migration adds to the schema, as `storage/sql/BACKEND/NNNN_name.schema`: run it after writing a migration.

A store is made at every version in turn and described from its catalogs (`storage.schema`). Read what changed before committing
it: `db status` holds every store against these files.
"""

import contextlib
import sys
from pathlib import Path
from unittest import mock

import apsw
import psycopg

ROOT = Path(__file__).parent.parent
SQL = ROOT / "src/weighbridge/storage/sql"
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.postgres import shared  # noqa: E402 - the path comes first
from weighbridge.storage import migrate, schema  # noqa: E402
from weighbridge.storage.postgres import initialise  # noqa: E402
from weighbridge.storage.postgres.schema import describe as describe_postgres  # noqa: E402
from weighbridge.storage.sqlite.schema import describe as describe_sqlite  # noqa: E402

Migrations = tuple[migrate.Migration, ...]


def sqlite(migrations: Migrations) -> dict[str, str]:
    """Return the schema that these migrations make in SQLite."""
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        for migration in migrations:
            connection.execute(migration.sql)
        return describe_sqlite(connection)


def postgres(migrations: Migrations) -> dict[str, str]:
    """Return the schema that these migrations make in PostgreSQL."""
    database = shared().empty()
    with mock.patch.object(migrate, "migrations", return_value=migrations):
        initialise(database.dsn("postgres"))
    with psycopg.connect(database.dsn("postgres"), autocommit=True) as connection:
        return describe_postgres(connection)


def main() -> None:
    """Write the files of both backends."""
    for backend, described in (("sqlite", sqlite), ("postgres", postgres)):
        before: dict[str, str] = {}
        for migration in migrate.migrations(backend):
            found = described(migrate.migrations(backend)[: migration.version])
            added = {what: how for what, how in found.items() if before.get(what) != how}
            file = SQL / backend / (migration.name.removesuffix(".sql") + schema.SUFFIX)
            file.write_text(schema.encode(added), encoding="utf-8")
            print(f"{file.relative_to(ROOT)}: {len(added)}")
            before = found


if __name__ == "__main__":
    main()
