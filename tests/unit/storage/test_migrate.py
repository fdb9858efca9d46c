"""Migrations: numbered without gaps, and a newer store is refused."""

import pytest

from weighbridge.errors import StoreError
from weighbridge.storage import migrate


def test_the_migrations_are_numbered_and_named():
    found = migrate.migrations("sqlite")
    assert [migration.version for migration in found] == list(range(1, len(found) + 1))
    assert all(migration.name == f"{migration.version:04}{migration.name[4:]}" for migration in found)
    assert migrate.latest_version("sqlite") == len(found)


def test_a_store_needs_what_it_does_not_have():
    assert migrate.pending("sqlite", 0) == migrate.migrations("sqlite")
    assert migrate.pending("sqlite", migrate.latest_version("sqlite")) == ()


def test_a_newer_store_is_refused():
    with pytest.raises(StoreError, match="upgrade weighbridge"):
        migrate.pending("sqlite", migrate.latest_version("sqlite") + 1)
