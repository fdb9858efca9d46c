from __future__ import annotations

from contextlib import closing

import pytest

from tests.ledgers import fill
from weighbridge.errors import StoreError
from weighbridge.storage.archiving import range_to_archive
from weighbridge.storage.postgres import owner
from weighbridge.testing.submissions import fact


@pytest.fixture
def filled(database):
    with closing(database.store()) as store:
        fill(store)
        fill(store, "globex")
    return database.dsn("postgres")


def test_the_owner_sees_the_tenants_it_opened_and_no_others(filled):
    """L5: row-level security holds for the owner, too."""
    assert owner.tenants_of(filled) == ("acme", "globex")
    with owner.owned(filled, ["acme"], reading=True) as rows:
        assert rows.head("acme").seq == 11
        assert rows.connection.execute(b"SELECT current_user").fetchall() == [("weighbridge_owner",)]
        assert rows.connection.execute(b"SELECT DISTINCT tenant FROM ledger").fetchall() == [("acme",)]
        with rows.snapshot() as moment:
            assert moment is rows
        with pytest.raises(StoreError, match="no content key"):
            rows.tenant_key("nobody")


def test_what_fails_in_between_leaves_nothing(filled, database):
    def half(rows):
        rows.write("tenant", [("new",)])
        rows.lock("new")
        rows.write("tenant_key", [("new", bytes(32))])
        return 1 / 0  # whatever goes wrong

    with pytest.raises(ZeroDivisionError), owner.owned(filled, ["new"]) as rows:
        half(rows)
    with closing(database.owner()) as connection:
        for table in ("tenant_key", "ledger_head"):
            assert connection.execute(f"SELECT FROM weighbridge.{table} WHERE tenant = 'new'").fetchall() == []


def test_records_that_are_not_those_in_the_file_are_not_detached(filled, database):
    """L3: what is detached is looked at under the lock, by its hashes."""
    with owner.owned(filled, ["acme"], reading=True) as rows:
        found = range_to_archive(rows, "acme", through=5)
    event = fact({"type": "LEDGER_ARCHIVED", "file": "a", "first_seq": 1, "last_seq": 5, "root": "00", "sha256": ""})
    other = type(found)(found.tenant_id, 1, 5, "00" * 32, found.head, found.kept, found.state)
    with pytest.raises(StoreError, match="not those in the file"):
        owner.detach(filled, other, event, "a", "")
    with closing(database.store()) as store:
        assert store.head("acme").seq == 11


def test_a_database_without_a_store_says_what_to_do(postgres):
    made = postgres.empty()
    with pytest.raises(StoreError, match="weighbridge db init"), owner.owned(made.dsn("postgres"), ()):
        pass
    made.drop()
