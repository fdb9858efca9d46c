"""The owner makes the store; whoever may do too much, or finds it without its guards, does not get to use it."""

import multiprocessing
import os
import threading
import time
from contextlib import closing

import pytest

from tests.postgres import APP, AUDITOR, BYSTANDER
from weighbridge.canonical import keyed_hash
from weighbridge.errors import Refusal, StoreError, UsageError
from weighbridge.ledger.submission import Committed
from weighbridge.storage import migrate
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import PostgresStore, initialise, setup, upgrade, workers
from weighbridge.storage.postgres.workers import make_engine_schema
from weighbridge.testing.submissions import TENANT, decision, draft, erasure, with_content


def opened(database, user=APP, **given):
    return PostgresStore(database.dsn(user), **{"entropy": os.urandom} | given)


def test_it_is_there_after_reopening(database):
    """G3: also after a restart; the key of a tenant is one key for every process."""
    with closing(opened(database)) as store, closing(opened(database)) as beside:
        first = store.commit(decision(draft("run-1")))
        keys = {store.tenant_key(TENANT), beside.tenant_key(TENANT)}
    with closing(opened(database)) as again:
        answer = again.commit(decision(draft("run-1")))
        assert (answer.replayed, answer.body, {again.tenant_key(TENANT)}) == (True, first.body, keys)


def test_it_may_be_made_again_and_by_several_at_once(postgres):
    """L1: one schema comes of it."""
    empty = postgres.empty()
    versions = []
    threads = [threading.Thread(target=lambda: versions.append(initialise(empty.dsn("postgres")))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert versions == [migrate.latest_version("postgres")] * 4
    empty.drop()


@pytest.mark.parametrize(
    ("act", "key"), [(upgrade, setup._ONE_AT_A_TIME), (make_engine_schema, workers._ONE_AT_A_TIME)]
)
def test_who_keeps_the_turn_of_upgrades_is_named(database, monkeypatch, act, key):
    """Any login that may connect can keep it: the owner waits once, and is told whom to end, not that an export is long."""
    monkeypatch.setattr(setup, "TURN_WAIT_MS_MAX", 200)
    with closing(database.connect(BYSTANDER)) as stranger:
        stranger.execute("SELECT pg_advisory_lock(%s)", (key,))
        started = time.monotonic()
        with pytest.raises(StoreError, match="another upgrade is running") as refused:
            act(database.dsn("postgres"))
        assert time.monotonic() - started < 5
        assert f"process {stranger.info.backend_pid} of login `bystander`" in str(refused.value)
        stranger.execute("SELECT pg_advisory_unlock_all()")
    act(database.dsn("postgres"))


def test_somebody_who_may_make_roles_and_schemas_can_be_the_owner(postgres):
    """Z3: no superuser is needed."""
    empty = postgres.empty()
    with closing(empty.owner()) as admin:
        admin.execute("DROP ROLE IF EXISTS maker")
        admin.execute("CREATE ROLE maker LOGIN CREATEROLE")
        admin.execute(f"GRANT CREATE ON DATABASE {empty.name} TO maker".encode())
        admin.execute("GRANT weighbridge_owner TO maker")
    assert initialise(empty.dsn("maker")) == migrate.latest_version("postgres")
    with closing(opened(empty)) as store:
        assert store.commit(decision(draft("run-1"))).seq == 1
    with pytest.raises(StoreError, match="owns the tables"):
        opened(empty, "maker")
    empty.drop()


def test_the_purpose_is_kept(postgres):
    """B9: opened for another one it is refused; None takes what it says."""
    database = postgres.database("evaluation")
    with pytest.raises(StoreError, match="made for evaluation"):
        opened(database)
    with closing(opened(database, purpose=None)) as store:
        assert store.purpose() == "evaluation"
    with pytest.raises(StoreError, match="made for evaluation"):
        initialise(database.dsn("postgres"))
    for call in (lambda: initialise(database.dsn("postgres"), purpose="x"), lambda: opened(database, purpose="x")):
        with pytest.raises(UsageError):
            call()
    database.drop()


@pytest.mark.parametrize(
    ("user", "message"),
    [("postgres", "row-level security does not hold"), (AUDITOR, "member of"), (BYSTANDER, "may not")],
)
def test_the_wrong_role_decides_nothing(database, user, message):
    """Z3: each component can do what it needs and no more."""
    with pytest.raises(StoreError, match=message):
        opened(database, user)


def test_an_auditor_reads_and_verifies(database):
    """L3, Z3: whatever there is, and writes nothing."""
    with closing(opened(database)) as store:
        key = store.tenant_key(TENANT)
        store.commit(with_content("run-1", key, b"body"))
    with closing(opened(database, AUDITOR, read_only=True)) as reader:
        assert verify_store(reader).ok
        assert reader.tenants() == (TENANT,)
        assert (reader.tenant_key(TENANT), len(reader.tenant_key("nobody"))) == (key, 32)
        with pytest.raises(Refusal, match="for reading"):
            reader.commit(decision(draft("run-2")))
        assert isinstance(reader.commit_many([decision(draft("run-2"))])[0], Refusal)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE weighbridge.ledger DISABLE TRIGGER ledger_no_change", "ledger_no_change"),
        ("DROP TRIGGER counter_only_up ON weighbridge.counter", "counter_only_up"),
        ("ALTER TABLE weighbridge.identity NO FORCE ROW LEVEL SECURITY", "identity"),
        ("ALTER TABLE weighbridge.content DISABLE ROW LEVEL SECURITY", "content"),
        ("GRANT DELETE ON weighbridge.ledger TO app", "append-only"),
        ("UPDATE weighbridge.meta SET value = '99' WHERE key = 'schema_version'", "upgrade weighbridge"),
        ("UPDATE weighbridge.meta SET value = '0' WHERE key = 'schema_version'", "older version"),
        ("DROP SCHEMA weighbridge CASCADE", "no store"),
        ("ALTER DATABASE {} SET synchronous_commit = off", "synchronous_commit"),
    ],
)
def test_a_database_without_its_guards_is_not_opened(database, change, message):
    """L1, L5: they are asserted, not assumed; what could lose an answered decision is refused."""
    with closing(database.owner()) as owner:
        owner.execute(change.format(database.name).encode())
    with pytest.raises(StoreError, match=message):
        opened(database)


def test_a_server_without_fsync_is_not_opened(database):
    """G2: it can lose what it answered."""
    with closing(database.owner()) as owner:
        try:
            owner.execute("ALTER SYSTEM SET fsync = off")
            owner.execute("SELECT pg_reload_conf()")
            while owner.execute("SHOW fsync").fetchall() != [("off",)]:
                time.sleep(0.01)
            with pytest.raises(StoreError, match="fsync"):
                opened(database)
        finally:
            owner.execute("ALTER SYSTEM RESET fsync")
            owner.execute("SELECT pg_reload_conf()")


def test_where_nobody_answers_there_is_an_error(tmp_path):
    with pytest.raises(StoreError, match="cannot be reached"):
        PostgresStore(f"host={tmp_path} dbname=x user=x", entropy=os.urandom)


def test_nothing_of_ours_stays_in_a_session(database):
    """L5: the next transaction of a pooled session is nobody's; no setting and no list outlives ours."""
    with closing(opened(database)) as store:
        store.commit(decision(draft("run-1")))
        for connection in (store._lanes[0]._connection, *store._readers):
            settings = (
                "current_setting('weighbridge.tenants', true), current_setting('search_path'), current_setting('jit')"
            )
            ((opened_for, path, _),) = connection.execute(f"SELECT {settings}").fetchall()
            assert (opened_for or "", path) == ("", '"$user", public')


def test_erased_content_is_gone_and_stays_gone(database):
    """L6."""
    with closing(opened(database)) as store:
        key = store.tenant_key(TENANT)
        store.commit(with_content("run-1", key, b"secret"))
        store.erase_content(TENANT, (keyed_hash(key, b"secret"),), erasure())
        store.commit(with_content("run-2", key, b"secret"))
        assert store.content(TENANT, keyed_hash(key, b"secret")) is None
        assert verify_store(store).ok


def test_a_closed_store_refuses(database):
    store = opened(database)
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
def test_a_forked_child_must_open_its_own(database):
    """G2: two processes on one connection would talk at once."""
    with closing(opened(database)) as store:
        store.commit(decision(draft("run-1")))
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        process = context.Process(target=child, args=(store, answers))
        process.start()
        process.join(20)
        assert process.exitcode == 0
        assert all("forked" in answers.get() for _ in range(2))
        assert store.commit(decision(draft("run-2"))).seq == 2


def test_more_tenants_than_a_batch_holds(database):
    """L2: many at once, in order, and found again."""
    with closing(opened(database, lanes=2)) as store:
        given = [decision(draft(f"run-{number}"), tenant=f"t-{number % 700:03}") for number in range(1400)]
        outcomes = store.commit_many(given)
        assert [one.seq for one in outcomes if isinstance(one, Committed)] == [1] * 700 + [2] * 700
        assert store.tenants() == tuple(sorted(f"t-{number:03}" for number in range(700)))


def test_a_restored_database_is_noticed(database):
    """L3: a tenant that we wrote for is not there any more: nothing is decided over a head that we only remember."""
    with closing(opened(database)) as store:
        store.commit(decision(draft("run-0")))
        store.commit(decision(draft("run-1")))
        with closing(database.owner()) as owner, owner.transaction():
            owner.execute("ALTER TABLE weighbridge.ledger_head DISABLE TRIGGER ALL")
            owner.execute("ALTER TABLE weighbridge.ledger DISABLE TRIGGER ALL")
            owner.execute("DELETE FROM weighbridge.ledger_head")
            owner.execute("DELETE FROM weighbridge.ledger")
            owner.execute("DELETE FROM weighbridge.subject")
        with pytest.raises(Refusal):
            store.commit(decision(draft("run-2")))
        assert store.commit(decision(draft("run-2"))).seq == 1
