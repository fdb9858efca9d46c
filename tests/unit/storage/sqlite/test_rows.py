"""Reading rows: long listings come in pages and are complete."""

import os

import pytest

from weighbridge.budgets.decide import Counter
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.submission import Consumption
from weighbridge.storage import rows
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.submissions import TENANT, authorisation, cap, decision, draft, hashed, reservation


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
    for number in range(23):
        run = draft(f"run-{number}", verdict=Verdict.BLOCK, content=hashed(str(number)))
        content = [(hashed(str(number)), b"x")]
        store.commit(
            decision(run, operation=f"op-{number % 100}", contents=content, tenant=TENANT, plan_id=f"p-{number}")
        )
        store.commit(authorisation(run))
        caps = [cap("each", None, scope=(("account", None),))]
        store.commit(reservation(f"op-r{number}", caps, account=f"a-{number}", tenant=TENANT))
        store.commit(decision(draft("run-1"), tenant=f"tenant-{number:02}"))
    yield store
    store.close()


LISTINGS = (
    *("identities", "blocked_proposals", "authorisations", "subjects", "contents"),
    *("counters", "consumption"),
)


@pytest.mark.parametrize("page", [1, 2, 23, 46, 1000])
def test_pages_join_without_a_seam(store, monkeypatch, page):
    """L2: whatever the size of a page, every row once and sorted."""
    monkeypatch.setattr(rows, "_PAGE_RECORDS", page)
    monkeypatch.setattr(rows, "_PAGE_ROWS", page)
    assert [stored.seq for stored in store.records(TENANT)] == list(range(1, 70))
    assert [stored.seq for stored in store.records(TENANT, 5, 20)] == list(range(5, 21))
    listings = {name: list(getattr(store, name)(TENANT)) for name in LISTINGS}
    for name, listing in listings.items():
        keys = [row[: {"subjects": 3, "counters": 1, "consumption": 1}.get(name, 2)] for row in listing]
        assert keys == sorted(keys, key=str if name == "contents" else None), name
        assert len(keys) == len(set(keys))
    assert {name: len(listing) for name, listing in listings.items()} == {
        "identities": 69,
        "blocked_proposals": 23,
        "authorisations": 23,
        "subjects": 23 * 6 + 23,
        "contents": 23,
        "counters": 23,
        "consumption": 23,
    }


def test_tenants_are_found_wherever_they_have_rows(store):
    """L3: in any table, so that none can be hidden by dropping its head."""
    assert store.tenants() == (TENANT, *(f"tenant-{number:02}" for number in range(23)))


def test_a_counter_that_is_not_there_is_zero(store):
    """B3: and a cell that is not there is none."""
    assert store.counter(TENANT, "operations 1999-01-01 any") == Counter()
    assert store.counter(TENANT, 'operations 2026-11-22 any account="a-7"') == Counter(1)
    assert store.cell(TENANT, "[]") is None
    assert store.cell(TENANT, next(store.consumption(TENANT))[0]) == Consumption({"operations": 1}, {})


def test_text_that_was_never_stored_is_not_found(store):
    assert store.identity(TENANT, "run", "\ud800") is None
    assert store.find(TENANT, "\ud800") == ()
    assert store.record("nobody", 1) is None
