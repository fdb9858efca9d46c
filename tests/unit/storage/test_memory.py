"""The store in memory keeps the contract of stores, which it is the reference for."""

import itertools

import pytest

from weighbridge.errors import StoreError
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract import StoreContract
from weighbridge.testing.submissions import decision, draft


def counting():
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore(entropy=counting())


def test_a_closed_store_refuses():
    store = MemoryStore(entropy=counting())
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit(decision(draft("run-1")))
    with pytest.raises(StoreError, match="closed"):
        store.head("acme")


def test_a_snapshot_cannot_be_reached_from_outside():
    store = MemoryStore(entropy=counting())
    store.commit(decision(draft("run-1")))
    with store.snapshot() as moment:
        store.commit(decision(draft("run-2")))
        assert [stored.seq for stored in moment.records("acme")] == [1]
