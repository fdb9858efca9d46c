"""Questions to a whole ledger. What a check finds in an edited file is in the tamper scenario."""

import json
import os

import pytest

from weighbridge.domain.verdict import Verdict
from weighbridge.errors import NotFound, StoreError
from weighbridge.storage import audit
from weighbridge.storage.audit import export_ledger, verify_store, verify_tenant
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import TENANT, decision, draft, hashed, with_content
from weighbridge.verify import verify_export


@pytest.fixture
def store():
    store = MemoryStore(entropy=os.urandom)
    for number in range(5):
        store.commit(decision(draft(f"run-{number}", verdict=Verdict.BLOCK if number == 2 else Verdict.ALLOW)))
    store.commit(with_content("run-c", store.tenant_key(TENANT), b"text"))
    store.commit(decision(draft("run-1"), tenant="globex"))
    return store


def test_a_store_is_checked_tenant_by_tenant(store):
    """L3: every tenant, or the one asked for."""
    checked = verify_store(store)
    assert (checked.ok, checked.records) == (True, 7)
    assert str(checked) == "tenant `acme`: 6 records verify; tenant `globex`: 1 records verify"
    assert [one.tenant_id for one in verify_store(store, "globex").tenants] == ["globex"]
    assert str(verify_store(MemoryStore(entropy=os.urandom))) == "no records"


def test_content_that_events_point_to_in_their_own_way_is_known_by_its_hash(store):
    """L6: a hash anywhere in a body counts as named; a content that no record names is found."""
    store.commit(decision(draft("x"), note={"deep": [hashed("c")]}, contents=[(hashed("c"), b"?")]))
    (fault,) = verify_tenant(store, TENANT).faults
    assert "does not match its hash" in fault.message
    store._tenants[TENANT].contents[hashed("nobody")] = b"?"
    assert any("no record names it" in fault.message for fault in verify_tenant(store, TENANT).faults)


def test_the_purpose_is_fixed_by_record_1(store):
    """B9: a store relabelled for evaluation is found."""
    store._purpose = "evaluation"
    (fault,) = verify_tenant(store, TENANT).faults
    assert (fault.seq, fault.part) == (1, "purpose")


def test_progress_adds_up(store, monkeypatch):
    monkeypatch.setattr(audit, "PROGRESS_RECORDS", 4)
    told: list[int] = []
    verify_tenant(store, TENANT, progress=told.append)
    assert told == [4, 2]


def test_what_cannot_be_read_is_a_fault(store):
    """L3: a damaged page ends the check where it stands, and says so."""
    real = MemoryStore.records

    class Damaged(MemoryStore):
        def records(self, tenant_id, first_seq=1, last_seq=None):
            yield from real(self, tenant_id, first_seq, 3)
            raise StoreError("the file is damaged")

        def snapshot(self):
            return closing_nothing(self)

    store.__class__ = Damaged
    (fault,) = verify_tenant(store, TENANT).faults
    assert (fault.seq, fault.part) == (4, "store")


class closing_nothing:  # noqa: N801 - reads as the verb it is
    def __init__(self, store):
        self.store = store

    def __enter__(self):
        return self.store

    def __exit__(self, *_):
        return None


def test_faults_are_not_endless(store, monkeypatch):
    monkeypatch.setattr(audit, "FAULTS_MAX", 2)
    store._tenants[TENANT].identities.clear()
    assert len(verify_tenant(store, TENANT).faults) == 2


def test_an_export_of_a_store_verifies(store):
    """L3: whole, in part, and with content."""
    assert verify_export(export_ledger(store, TENANT)).ok
    assert verify_export(export_ledger(store, TENANT, after_seq=2)).records == 4
    lines = [json.loads(line) for line in export_ledger(store, TENANT, contents=True)]
    assert lines[-2]["text"] == "text"
    assert lines[0]["purpose"] == "enforcement"


@pytest.mark.parametrize(("tenant", "after"), [("nobody", 0), (TENANT, 7)])
def test_nothing_to_export_is_said(store, tenant, after):
    """L5: an unknown tenant has nothing, and nothing of another's."""
    with pytest.raises(NotFound):
        list(export_ledger(store, tenant, after_seq=after))


@pytest.mark.parametrize("how", ["bodies", "key"])
def test_the_first_bad_record_is_named_however_much_is_bad(store, monkeypatch, how):
    """L3: content is read in the order of its hashes, and there is more of it than faults are told."""
    monkeypatch.setattr(audit, "FAULTS_MAX", 3)
    for number in range(40):
        store.commit(with_content(f"run-n{number}", store.tenant_key(TENANT), f"text {number}".encode()))
    if how == "bodies":
        store._tenants[TENANT].contents = dict.fromkeys(store._tenants[TENANT].contents)
    else:
        store._keys[TENANT] = b"another key of 32 bytes in total"
    checked = verify_tenant(store, TENANT)
    assert [fault.seq for fault in checked.faults] == [6, 7, 8]
    assert checked.first_bad == checked.faults[0]


def test_what_no_record_names_has_no_number(store):
    """L3: and what a record merely mentions has that record's."""
    store.commit(decision(draft("x"), note={"deep": [hashed("c")]}, contents=[(hashed("c"), b"?")]))
    store._tenants[TENANT].contents["0" * 64] = b"?"
    named, unnamed = verify_tenant(store, TENANT).faults
    assert (named.seq, named.message) == (7, f"content `{hashed('c')}` does not match its hash")
    assert (unnamed.seq, unnamed.message) == (None, f"content `{'0' * 64}` is stored, but no record names it")


@pytest.mark.parametrize("seq", [0, 7, 99])
def test_a_witness_of_a_record_that_is_not_there(store, seq):
    """L3: what the witness saw must be there, whatever its number."""
    (fault,) = verify_tenant(store, TENANT, witness=(seq, hashed("x"))).faults
    assert (fault.seq, fault.part) == (seq, "witness")
