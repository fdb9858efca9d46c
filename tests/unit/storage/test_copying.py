"""A ledger moves from store to store. What a kill in the middle leaves is in the copy scenario."""

from __future__ import annotations

import os
from contextlib import closing

import psycopg
import pytest

from tests.ledgers import ERASED, ONE_CAP, change, fill
from tests.postgres import AUDITOR
from tests.sealing import address
from weighbridge import wiring
from weighbridge.domain.plan import Verb
from weighbridge.errors import LedgerCorrupt, NotFound, StoreError, UsageError
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage import copying
from weighbridge.storage.audit import export_ledger, verify_store
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.store_contract_outcomes import BY, WON, capture
from weighbridge.testing.store_contract_plans import active, approved, mover
from weighbridge.testing.submissions import decision, draft, reservation

TENANTS = ("acme", "globex")
ROWS = (
    *("identities", "blocked_proposals", "authorisations", "subjects", "contents", "counters", "consumption"),
    *("plans", "outcomes"),
)


@pytest.fixture
def source(tmp_path):
    """A file with two tenants, and where it is."""
    with closing(open_file(tmp_path / "from.db")) as store:
        for tenant in TENANTS:
            fill(store, tenant)
    return tmp_path / "from.db"


def open_file(path, **given):
    return SqliteStore(path, entropy=os.urandom, **given)


def everything(store):
    """Return all that a store says of its tenants."""
    return {
        tenant: {name: [*getattr(store, name)(tenant)] for name in (*ROWS, "records", "families")}
        | {"head": store.head(tenant), "key": store.tenant_key(tenant)}
        for tenant in store.tenants()
    }


def said(path):
    with closing(open_file(path, purpose=None, read_only=True)) as store:
        return everything(store)


def test_everything_of_a_file_is_in_postgres_as_it_was(source, database):
    """L3: bodies, hashes, every row, the keys; the same export, byte for byte; and it goes on from there."""
    copied = wiring.copy_store(str(source), address(database, "postgres"))
    assert [(one.tenant_id, one.records, one.added) for one in copied] == [("acme", 11, 11), ("globex", 11, 11)]
    with closing(database.store()) as store, closing(open_file(source)) as before:
        assert everything(store) == everything(before)
        assert any(body is None for _, body in store.contents("acme"))
        assert b"".join(export_ledger(store, "acme", contents=True)) == b"".join(
            export_ledger(before, "acme", contents=True)
        )
        assert ERASED not in b"".join(export_ledger(store, "acme", contents=True))
        assert verify_store(store).ok
        answer = store.commit(reservation("op-9", ONE_CAP))
        assert answer.seq == 12
        assert verify_store(store).ok


def test_what_was_answered_there_is_answered_here(source, database):
    """G3, G8, B5: an id that is known is a replay, a blocked proposal stays blocked, and the caps go on counting."""
    wiring.copy_store(str(source), address(database, "postgres"))
    with closing(database.store()) as store, closing(open_file(source)) as before:
        for request in (
            decision(draft("run-3b", request="run-3", proposal="run-3")),
            decision(draft("run-x", proposal="run-2")),
        ):
            one, other = store.commit(request), before.commit(request)
            assert (one.seq, one.body, one.replayed) == (other.seq, other.body, other.replayed)


def test_it_moves_back_into_a_file(source, database, tmp_path):
    """The way back falls out: the file is new, and says the same."""
    wiring.copy_store(str(source), address(database, "postgres"))
    wiring.copy_store(address(database, AUDITOR), str(tmp_path / "back.db"))
    assert said(tmp_path / "back.db") == said(source)
    assert sorted(path.name for path in tmp_path.iterdir() if "new" in path.name) == []


def test_one_tenant_alone(source, database):
    """L5: nothing of another tenant is written."""
    (copied,) = wiring.copy_store(str(source), address(database, "postgres"), "globex")
    assert copied.tenant_id == "globex"
    with closing(database.store()) as store:
        assert store.tenants() == ("globex",)


def test_what_was_added_since_is_added(source, database):
    """A second copy brings the rest: states that changed, erased content, new counters, families that left."""
    wiring.copy_store(str(source), address(database, "postgres"))
    with closing(open_file(source)) as store:
        change(store)
    copied = wiring.copy_store(str(source), address(database, "postgres"))
    assert [(one.tenant_id, one.added) for one in copied] == [("acme", 14), ("globex", 0)]
    with closing(database.store()) as store:
        assert everything(store) == said(source)
        assert verify_store(store).ok


def test_plans_and_outcomes_that_moved_since_are_moved_there(source, database, tmp_path):
    """L3, H3: the place of a plan that ended meanwhile is taken by another one, in the target too."""
    target = address(database, "postgres")
    with closing(open_file(source)) as store:
        one, other = mover(store, "p-1"), mover(store, "p-2")
        active(store, one)
        row = approved(store, other)
        sweep(store, capture(store), "acme", by=BY)
    wiring.copy_store(str(source), target)
    with closing(open_file(source)) as store:
        store.commit(one.act(Verb.ABORT))
        store.commit(other.act(Verb.ACTIVATE, row))
        capture(store, 100).capture("acme", WON, by=BY)
    wiring.copy_store(str(source), target)
    with closing(database.store()) as store:
        assert [row.status for row in store.plans("acme")] == ["ABORTED", "ACTIVE"]
        assert everything(store) == said(source)
        assert verify_store(store).ok
    wiring.copy_store(address(database, AUDITOR), str(tmp_path / "back.db"))
    assert said(tmp_path / "back.db") == said(source)


def refused(source, target, error, words, **given):
    with pytest.raises(error, match=words):
        wiring.copy_store(str(source), target, **given)


def test_a_target_with_another_ledger_is_left_alone(source, database):
    """Nothing is mixed: another chain, one that is ahead, another key, another purpose, another file."""
    with closing(database.store()) as store:
        store.commit(decision(draft("other")))
        before = everything(store)
        refused(source, address(database, "postgres"), UsageError, "another ledger of tenant `acme`")
        assert everything(store) == before


def test_a_target_that_is_ahead_is_left_alone(source, database):
    wiring.copy_store(str(source), address(database, "postgres"))
    with closing(database.store()) as store:
        store.commit(decision(draft("more")))
    refused(source, address(database, "postgres"), UsageError, "the target is ahead")


def test_a_target_that_made_a_key_of_its_own_is_left_alone(source, database):
    """L6: content is addressed under one key."""
    with closing(database.store()) as store:
        store.tenant_key("acme")
        refused(source, address(database, "postgres"), UsageError, "another content key")
        assert store.tenants() == ()


def test_a_target_for_something_else_is_refused(source, postgres):
    """B9: what was made to judge the past enforces nothing."""
    made = postgres.database("evaluation")
    refused(source, address(made, "postgres"), UsageError, "make a target for enforcement")
    made.drop()


def test_a_target_that_is_none_is_refused(source, postgres, tmp_path):
    made = postgres.empty()
    refused(source, address(made, "postgres"), StoreError, "weighbridge db init")
    made.drop()
    refused(source, str(source), StoreError, "there already")
    refused(source, str(tmp_path / "x.db"), NotFound, "no tenant `nobody`", tenant_id="nobody")
    assert not (tmp_path / "x.db").exists()


def test_only_the_owner_fills_a_store(source, database):
    """Z3: the runtime cannot put heads and keys where it likes."""
    refused(source, address(database), StoreError, "connect as a member of `weighbridge_owner`")


def test_a_source_that_does_not_verify_is_not_copied(source, database):
    """L3: what was changed is found, named, and not carried along."""
    import sqlite3

    with closing(sqlite3.connect(source)) as file:
        file.executescript(
            "DROP TRIGGER counter_only_up; UPDATE counter SET reserved = '7' WHERE tenant = 'globex' AND name LIKE 'operations%';"
        )
        (trigger,) = [text for text in sqlite_triggers() if "counter_only_up" in text]
        file.executescript(trigger)
    refused(source, address(database, "postgres"), LedgerCorrupt, "the source does not verify.*counter")
    with closing(database.store()) as store:
        assert store.tenants() == ()


def sqlite_triggers():
    from weighbridge.storage.migrate import migrations

    text = migrations("sqlite")[0].sql
    return ["CREATE TRIGGER " + part.split("\nEND;")[0] + "\nEND;" for part in text.split("CREATE TRIGGER ")[1:]]


def test_a_row_that_is_not_what_was_read_stops_the_copy(source, database, monkeypatch):
    """L3: the comparison is of every row, not of what was meant to be written."""
    real = copying._rows

    def lossy(*given):
        for table, rows in real(*given):
            yield table, (row for row in rows if table != "subject" or row[1] != "step")

    monkeypatch.setattr(copying, "_rows", lossy)
    refused(source, address(database, "postgres"), LedgerCorrupt, r"subject [0-9]+ is not in the target")


def test_the_source_stands_still_meanwhile(source, database, monkeypatch):
    """Nobody writes to a file while it is copied; whoever tries is refused, and nothing is lost."""
    answers: list[str] = []

    def trying(records):
        if not answers:
            with closing(open_file(source)) as store:
                monkeypatch.setattr("weighbridge.storage.sqlite.store.LOCK_WAIT_US_MAX", 10_000)
                (answer,) = store.commit_many([decision(draft("meanwhile"))])
                answers.append(str(answer))

    wiring.copy_store(str(source), address(database, "postgres"), progress=trying)
    assert answers[0].startswith("OVERLOADED")


def test_a_source_that_grew_all_the_same_is_told(source, database, postgres):
    """From PostgreSQL there is no such lock: growth is seen, and nothing is copied."""
    wiring.copy_store(str(source), address(database, "postgres"))
    other = postgres.database()

    def grow(_records):
        with closing(database.store()) as store:
            store.commit(decision(draft("meanwhile")))

    with pytest.raises(StoreError, match=r"written meanwhile \(tenant `acme`, record 12"):
        wiring.copy_store(address(database, AUDITOR), address(other, "postgres"), progress=grow)
    with closing(other.store()) as store:
        assert store.tenants() == ()
    other.drop()


def test_what_postgres_cannot_hold_is_said(tmp_path, database):
    """An id with a NUL character is text for SQLite alone."""
    with closing(open_file(tmp_path / "nul.db")) as store:
        store.commit(decision(draft("a\0b")))
    refused(tmp_path / "nul.db", address(database, "postgres"), StoreError, "NUL character")


def test_the_runtime_can_go_on(source, database):
    """Z3: what the owner wrote belongs to the tables, and the runtime adds to it as ever."""
    wiring.copy_store(str(source), address(database, "postgres"))
    with closing(database.store()) as store:
        assert store.commit(decision(draft("next"), tenant="globex")).seq == 12
    with closing(database.connect()) as runtime, pytest.raises(psycopg.Error):
        runtime.execute("DELETE FROM weighbridge.ledger")
