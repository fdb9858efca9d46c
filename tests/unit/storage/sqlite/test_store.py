"""The SQLite store keeps the contract of stores, and says honestly what became of a write that went wrong."""

import multiprocessing
import os
import threading
import time
from contextlib import closing

import apsw
import pytest

from weighbridge.canonical import keyed_hash
from weighbridge.domain.plan import Verb
from weighbridge.errors import IdempotencyConflict, Refusal, StoreError
from weighbridge.ledger.submission import Committed
from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.storage.sqlite import store as module
from weighbridge.testing.store_contract import StoreContract
from weighbridge.testing.store_contract_plans import active, approved, mover
from weighbridge.testing.submissions import TENANT, decision, draft, erasure, with_content


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
    yield store
    store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path):
        store = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
        yield store
        store.close()


class Broken:
    """Stands before a connection and fails at a statement, before it or after it was run."""

    def __init__(self, connection, statement, error, *, after=False, times=1):
        self._connection, self._statement, self._error = connection, statement, error
        self._after, self.times = after, times

    def _fail(self, sql, run):
        if self.times and sql.startswith(self._statement):
            self.times -= 1
            if self._after:
                run()
            raise self._error
        return run()

    def execute(self, sql, *values):
        return self._fail(sql, lambda: self._connection.execute(sql, *values))

    def executemany(self, sql, rows):
        return self._fail(sql, lambda: self._connection.executemany(sql, rows))

    def __getattr__(self, name):
        return getattr(self._connection, name)


def broken(store, *given, **options):
    store._writer = Broken(store._writer, *given, **options)
    return store


def refused(store, submission):
    with pytest.raises(Refusal) as caught:
        store.commit(submission)
    return caught.value.code


def test_it_is_there_after_reopening(store, tmp_path):
    """G3: also after a restart."""
    first = store.commit(decision(draft("run-1")))
    key = store.tenant_key(TENANT)
    store.close()
    again = SqliteStore(tmp_path / "ledger.db", entropy=os.urandom)
    answer = again.commit(decision(draft("run-1")))
    assert (answer.replayed, answer.body, again.tenant_key(TENANT)) == (True, first.body, key)
    with pytest.raises(IdempotencyConflict):
        again.commit(decision(draft("run-1", request="other")))
    again.close()


@pytest.mark.parametrize("statement", ["INSERT INTO ledger ", "INSERT INTO identity", "INSERT INTO ledger_head"])
@pytest.mark.parametrize("error", [apsw.FullError("full"), apsw.IOError("io"), apsw.ReadOnlyError("ro")])
def test_a_write_that_failed_left_nothing(store, statement, error):
    """G2: LEDGER_WRITE_FAILED is certain: no record, no row, and the id is free."""
    broken(store, statement, error, times=2)
    assert refused(store, decision(draft("run-1"))) == "LEDGER_WRITE_FAILED"
    assert (store.head(TENANT).seq, store.identity(TENANT, "run", "run-1")) == (0, None)
    store._writer.times = 0
    assert store.commit(decision(draft("run-1"))).seq == 1
    assert verify_store(store).ok


def test_a_commit_that_found_the_disk_full_left_nothing(store):
    """G2: the frame that commits was not written."""
    broken(store, "COMMIT", apsw.FullError("full"), times=2)
    assert refused(store, decision(draft("run-1"))) == "LEDGER_WRITE_FAILED"
    store._writer.times = 0
    assert not store.commit(decision(draft("run-1"))).replayed


def test_a_commit_that_may_have_happened_is_unknown(store):
    """G2: COMMIT_UNKNOWN; asked again under the same id it is recorded, once."""
    broken(store, "COMMIT", apsw.IOError("flush failed"))
    assert refused(store, decision(draft("run-1"))) == "COMMIT_UNKNOWN"
    assert store.commit(decision(draft("run-1"))).seq == 1


def test_a_commit_that_did_happen_is_answered(store):
    """G2: what can be read back is the answer, whatever COMMIT said."""
    broken(store, "COMMIT", apsw.IOError("flush failed"), after=True)
    answer = store.commit(decision(draft("run-1")))
    assert (answer.seq, answer.replayed) == (1, False)


def test_one_poisonous_submission_harms_no_other(store):
    """G2: a batch that the database refuses is retried one by one."""
    submissions = [decision(draft(f"run-{number}")) for number in range(5)]

    class Poisoned:
        def __init__(self, connection):
            self._connection = connection

        def executemany(self, sql, rows):
            if "INTO ledger " in sql and any(b"run-3" in row[-1] for row in rows):
                raise apsw.ConstraintError("poison")
            return self._connection.executemany(sql, rows)

        def __getattr__(self, name):
            return getattr(self._connection, name)

    store._writer = Poisoned(store._writer)
    outcomes = store.commit_many(submissions)
    assert [one.seq if isinstance(one, Committed) else one.code for one in outcomes] == [
        1,
        2,
        3,
        "LEDGER_WRITE_FAILED",
        4,
    ]
    assert verify_store(store).ok


def test_a_wait_for_another_process_ends(store, tmp_path, monkeypatch):
    """G2: OVERLOADED, in bounded time."""
    monkeypatch.setattr(module, "LOCK_WAIT_US_MAX", 20_000)
    other = apsw.Connection(str(tmp_path / "ledger.db"))
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    assert refused(store, decision(draft("run-1"))) == "OVERLOADED"
    assert time.monotonic() - started < 2
    other.execute("ROLLBACK")
    assert store.commit(decision(draft("run-1"))).seq == 1
    other.close()


def test_a_short_wait_for_another_process_is_just_a_wait(store, tmp_path):
    other = apsw.Connection(str(tmp_path / "ledger.db"))
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.05, lambda: other.execute("ROLLBACK")).start()
    assert store.commit(decision(draft("run-1"))).seq == 1
    other.close()


@pytest.mark.parametrize("gone", ["removed", "replaced"])
def test_a_file_that_is_gone_takes_no_more_decisions(store, tmp_path, gone):
    """G2: a record in a file that nobody finds again would be none."""
    store.commit(decision(draft("run-1")))
    path = tmp_path / "ledger.db"
    path.rename(tmp_path / "elsewhere.db")
    if gone == "replaced":
        SqliteStore(path, entropy=os.urandom).close() if not (tmp_path / "ledger.db-wal").exists() else path.touch()
    assert refused(store, decision(draft("run-2"))) == "LEDGER_WRITE_FAILED"


def test_an_interrupted_leader_rolls_back(store):
    """G2: Ctrl-C in the middle of a write leaves no transaction open and no half record."""
    broken(store, "INSERT INTO identity", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        store.commit(decision(draft("run-1")))
    assert store.head(TENANT).seq == 0
    assert store.commit(decision(draft("run-1"))).seq == 1


def test_erased_content_leaves_no_bytes(store, tmp_path):
    """L6: not in the file, and not in its write-ahead log."""
    key = store.tenant_key(TENANT)
    secret = b"a secret that is longer than nothing" * 300
    store.commit(with_content("run-1", key, secret))
    store.erase_content(TENANT, (keyed_hash(key, secret),), erasure())
    files = b"".join(entry.read_bytes() for entry in tmp_path.iterdir() if entry.name.startswith("ledger"))
    assert b"a secret" not in files
    assert verify_store(store).ok


def test_a_closed_store_refuses(store):
    store.close()
    store.close()
    for call in (
        lambda: store.commit(decision(draft("r"))),
        lambda: store.head(TENANT),
        lambda: store.tenant_key(TENANT),
    ):
        with pytest.raises(StoreError, match="closed"):
            call()
    assert isinstance(store.commit_many([decision(draft("r"))])[0], StoreError)


def child(store, answers):
    for call in (lambda: store.commit(decision(draft("r"))), lambda: store.head(TENANT)):
        try:
            answers.put(repr(call()))
        except StoreError as error:
            answers.put(str(error))
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads about is what is tested
def test_a_forked_child_must_open_its_own(store):
    """G2: two processes on one connection would corrupt the file."""
    store.commit(decision(draft("run-1")))
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=child, args=(store, answers))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    assert all("forked" in answers.get() for _ in range(2))
    assert store.commit(decision(draft("run-2"))).seq == 2
    assert verify_store(store).ok


def test_a_change_of_folder_is_no_change_of_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("ledger.db", entropy=os.urandom)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.commit(decision(draft("run-1")))
    assert store.head(TENANT).seq == 1
    store.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_place_that_changes_hands_is_written_in_one_transaction(tmp_path, monkeypatch):
    """H3: what leaves is written before what comes, so that the index never sees two ACTIVE plans, and nothing is tried again."""
    with closing(SqliteStore(tmp_path / "s.db", entropy=os.urandom)) as store:
        one, other = mover(store, "p-1"), mover(store, "p-2")
        active(store, one)
        comes = other.act(Verb.ACTIVATE, approved(store, other))

        def never(_self, _items, error):
            raise error

        monkeypatch.setattr(SqliteStore, "_retry", never)
        assert all(isinstance(answer, Committed) for answer in store.commit_many([one.act(Verb.ABORT), comes]))
        assert [row.status for row in store.plans(TENANT)] == ["ABORTED", "ACTIVE"]
