"""The PostgreSQL store keeps the contract of stores, and says honestly what became of a write that went wrong."""

import os

import pytest

from weighbridge.errors import NotFound
from weighbridge.storage.postgres import PostgresStore
from weighbridge.testing.store_contract import StoreContract
from weighbridge.testing.submissions import completion


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, database):
        store = database.store()
        yield store
        store.close()


class Batched(PostgresStore):
    """Puts everything between two submissions that come to nothing, in one transaction."""

    def commit(self, submission):
        nothing = completion("nobody", tenant="elsewhere")
        before, outcome, after = self.commit_many([nothing, submission, nothing])
        assert isinstance(before, NotFound)
        assert isinstance(after, NotFound)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class TestPostgresStoreInBatches(StoreContract):
    @pytest.fixture
    def store(self, database):
        store = Batched(database.dsn(), entropy=os.urandom)
        yield store
        store.close()


class TestPostgresStoreWithTwoLanes(StoreContract):
    @pytest.fixture
    def store(self, database):
        store = database.store(lanes=2)
        yield store
        store.close()
