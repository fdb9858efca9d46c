"""The engine for many workers: what it refuses, what it leaves behind, and what it does when its queue does something twice."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing

import msgspec
import psycopg
import pytest
from dbos import DBOS, DBOSPortableJSONSerializer

from tests.planned import OLE, OPERATIONS, PLAN_TYPE, TENANT, World, approved, opened, plan_policy, told
from tests.postgres import BYSTANDER
from weighbridge import scopes
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.principal import Principal
from weighbridge.errors import StoreError, UsageError
from weighbridge.orchestrator.engines import dbos as engine_module
from weighbridge.orchestrator.engines.dbos import ACTIONS_MAX, Pace
from weighbridge.storage.locking import SWEEPING, LockHeld
from weighbridge.storage.postgres.lock import TransactionLock
from weighbridge.wiring import dbos_engine, local_engine, make_dbos_schema

pytestmark = pytest.mark.slow  # a server, and DBOS started anew for each

PATIENCE_S = 30.0
ROWS = "weighbridge_engine.workflow_status"


@pytest.fixture
def world():
    return World()


@pytest.fixture
def wb(database, world):
    make_dbos_schema(database.url("postgres"))
    with opened(database.url(), world=world) as made:
        yield made


@pytest.fixture
def engine_of():
    with ExitStack() as held:

        def make(wb, *, start=True, **given):
            made = dbos_engine(wb, **{"look_s": 0.1, "lease_s": 5.0} | given)
            held.callback(made.stop)
            if start:
                made.start()
            return made

        yield make


def until(met):
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < PATIENCE_S, "it did not happen in time"
        time.sleep(0.02)


def ended(wb, *plan_ids):
    return all(wb.plan(plan_id, TENANT).status is PlanStatus.COMPLETED for plan_id in plan_ids)


def rows(database, what="workflow_uuid, status", where="true"):
    with database.owner() as owner:
        return owner.execute(f"SELECT {what} FROM {ROWS} WHERE {where} ORDER BY created_at".encode()).fetchall()


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_file_or_memory_has_one_worker(tmp_path):
    """H4: refused before DBOS could make a file of its own."""
    for store in (tmp_path / "ledger.db", ":memory:"):
        with opened(store) as wb, pytest.raises(UsageError, match="PostgreSQL"):
            dbos_engine(wb)
        with pytest.raises(UsageError, match="PostgreSQL"):
            make_dbos_schema(str(store))
    assert not [*tmp_path.glob("*weighbridge*")]


@pytest.mark.parametrize("given", [{"lease_s": 0.5}, {"lease_s": 601}, {"look_s": 0}, {"at_once": 0}, {"at_once": 65}])
def test_numbers_out_of_bounds(wb, given):
    with pytest.raises(UsageError, match=r"a lease is|`look`|1 to 64"):
        dbos_engine(wb, **given)


def test_a_second_one_in_a_process_is_refused_and_a_later_one_is_not(wb, engine_of):
    """DBOS is one for a process; it would silently hand the second one the first."""
    first = engine_of(wb)
    second = engine_of(wb, start=False)
    with pytest.raises(UsageError, match="in this process already"):
        second.start()
    with pytest.raises(UsageError, match="started already"):
        first.start()
    first.stop()
    first.stop()  # nothing more
    approved(wb)
    engine_of(wb)
    until(lambda: ended(wb, "p-1"))


FOREIGN = """
import sys
from dbos import DBOS, DBOSPortableJSONSerializer
from tests.planned import World, opened
from weighbridge.wiring import dbos_engine
DBOS(config={"name": "somebody-elses", "system_database_url": "sqlite:///" + sys.argv[2]})
with opened(sys.argv[1], world=World()) as wb:
    try:
        dbos_engine(wb).start()
    except Exception as error:
        print(type(error).__name__, error)
print(DBOS.executor_id)
"""


def test_a_process_that_uses_dbos_for_itself_keeps_it(wb, database, tmp_path):
    given = [sys.executable, "-c", FOREIGN, database.url(), str(tmp_path / "theirs.sqlite")]
    done = subprocess.run(given, capture_output=True, text=True, check=True, timeout=60)
    refused, theirs = done.stdout.splitlines()
    assert refused.startswith("UsageError this process uses DBOS Transact already")
    assert theirs == "local"


def test_a_local_worker_and_this_one_keep_each_other_out(wb, database, engine_of):
    """G10: a local worker takes an attempt that is running, and not its own, for left behind."""
    engine = engine_of(wb)
    with opened(database.url(), world=World()) as other:
        approved(other)
        with pytest.raises(LockHeld):
            local_engine(other).start()
        with pytest.raises(LockHeld):
            other.run_plan("p-1", TENANT)
        engine.stop()
        with other.orchestrator.alone.held(), pytest.raises(LockHeld):
            engine_of(wb)
    engine_of(wb)  # what was refused left nothing behind


def test_without_its_schema_it_says_who_makes_it(database, engine_of):
    with opened(database.url()) as wb:
        with pytest.raises(StoreError, match="`weighbridge db upgrade --engine dbos`"):
            engine_of(wb)
        make_dbos_schema(database.url("postgres"))
        with database.owner() as owner:
            owner.execute("UPDATE weighbridge_engine.dbos_migrations SET version = version - 1")
        with pytest.raises(StoreError, match="`weighbridge db upgrade --engine dbos`"):
            engine_of(wb)
        make_dbos_schema(database.url("postgres"))
        engine_of(wb)


def test_only_the_owner_makes_its_schema(database):
    """Z3: the runtime works in it, and nobody else."""
    with pytest.raises(StoreError):
        make_dbos_schema(database.url())
    make_dbos_schema(database.url("postgres"))
    with database.connect() as app:
        app.execute(f"SELECT count(*) FROM {ROWS}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE TABLE weighbridge_engine.more (x int)")
    with database.connect(BYSTANDER) as bystander, pytest.raises(psycopg.errors.InsufficientPrivilege):
        bystander.execute(f"SELECT count(*) FROM {ROWS}".encode())


def test_nobody_loads_dbos_who_does_not_ask_for_it():
    code = "import sys, weighbridge.wiring, weighbridge.cli; print('dbos' in sys.modules, 'sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_what_dbos_is_told(wb, engine_of):
    """Its own schema, a pinned version, names of our own, no pickle, and nobody to report to."""
    engine = engine_of(wb, start=False)
    told_to = engine_module._config(engine._url, engine._schema, engine.name)
    assert str(told_to["system_database_url"]).startswith("postgresql://")
    assert told_to["dbos_system_schema"] == "weighbridge_engine"
    assert told_to["application_version"] == "plan-segments-1"
    assert isinstance(told_to["serializer"], DBOSPortableJSONSerializer)
    assert told_to["executor_id"] != engine_of(wb, start=False).name
    assert told_to["conductor_key"] is None
    assert not told_to["run_migrations"]
    assert not told_to["enable_otlp"]


# --- Who is at it -----------------------------------------------------------------------------------------------------


def test_plans_of_one_account_follow_each_other_and_those_of_two_do_not(database, world, engine_of):
    """H4: one partition for each account."""
    make_dbos_schema(database.url("postgres"))
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()

    def act(renewal_id):
        account = scopes.current().stated["account_id"]
        for where in (account, "all"):
            with lock:
                now[where] += 1
                most[where] = max(most[where], now[where])
        time.sleep(0.1)
        with lock:
            now.subtract([account, "all"])

    world.does = dict.fromkeys(OPERATIONS, act)
    types = ("RENEWAL_DEFENSE", "WIN_BACK", "UPSELL")
    policy = plan_policy(plan_types=dict.fromkeys(types, PLAN_TYPE))
    with opened(database.url(), world=world, policy=policy) as wb:
        for account, kind in itertools.product(("a-1", "a-2"), types):
            approved(wb, f"{account}-{kind}", account_id=account, plan_type=kind)
        engine = engine_of(wb)
        until(lambda: ended(wb, *(f"{account}-{kind}" for account, kind in itertools.product(("a-1", "a-2"), types))))
        engine.stop()
    assert most == {"a-1": 1, "a-2": 1, "all": 2}


# --- What is left behind ----------------------------------------------------------------------------------------------


def test_a_segment_ends_when_there_is_nothing_to_do(wb, database, engine_of, world):
    """H4: one partition for each account; no plan is held, nothing is pending, and nothing was pickled."""
    engine_of(wb)
    approved(wb, "p-1")
    approved(wb, "p/2 %", account_id="a/2")
    until(lambda: ended(wb, "p-1", "p/2 %"))
    until(lambda: all(status == "SUCCESS" for _, status in rows(database)))
    assert {key for (key,) in rows(database, "queue_partition_key")} == {f"{TENANT}/a-1", f"{TENANT}/a%2F2"}
    assert {kind for (kind,) in rows(database, "serialization")} == {"portable_json"}
    with database.owner() as owner:
        assert owner.execute("SELECT count(*) FROM weighbridge_engine.weighbridge_holding").fetchall() == [(0,)]
    assert world.counts == dict.fromkeys(("x.brief", "x.meet", "x.update"), 2)


def test_segments_that_ended_are_removed_after_a_while(wb, database, engine_of):
    engine = engine_of(wb, start=False)
    engine._pace = msgspec.structs.replace(engine._pace, keep=0.2)
    engine.start()
    approved(wb)
    until(lambda: ended(wb, "p-1"))
    until(lambda: not rows(database))
    assert wb.verify(TENANT).ok


def test_it_leaves_at_once_what_it_held(wb, database, engine_of):
    engine = engine_of(wb)
    engine.stop()
    with database.owner() as owner:
        assert owner.execute("SELECT count(*) FROM weighbridge_engine.weighbridge_worker").fetchall() == [(0,)]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("weighbridge-")]
    with TransactionLock(database.dsn(), SWEEPING).held():
        pass


def test_while_it_drains_the_others_find_all_there_is(wb, database, engine_of, world):
    """H4: it takes no more segments and does not sweep; and it lives for as long as its attempt runs."""
    go = threading.Event()
    world.does["x.brief"] = lambda _: go.wait(PATIENCE_S)
    engine = engine_of(wb, lease_s=1.0)
    approved(wb)
    until(lambda: world.calls)
    stopping = threading.Thread(target=engine.stop)
    stopping.start()

    def is_free():
        try:
            with TransactionLock(database.dsn(), SWEEPING).held():
                return True
        except LockHeld:
            return False

    until(is_free)
    time.sleep(1.5)  # its queue has stopped, and its lease would have run out
    with closing(
        psycopg.connect(database.dsn("postgres"), autocommit=True)
    ) as owner:  # as if somebody enqueued it again
        owner.execute(f"UPDATE {ROWS} SET status = 'ENQUEUED'".encode())
        time.sleep(0.5)
        assert [status for _, status in rows(database)] == ["ENQUEUED"]
    assert engine._workers.holds(engine.name, TENANT, "p-1")
    assert engine.name in engine._workers.living()
    assert stopping.is_alive()
    go.set()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive()
    assert [event.type for event in told(wb)].count("STEP_COMPLETED") == 1
    with database.owner() as owner:
        assert owner.execute("SELECT count(*) FROM weighbridge_engine.weighbridge_worker").fetchall() == [(0,)]


# --- What is done twice -----------------------------------------------------------------------------------------------


def test_resuming_what_is_running_runs_nothing_twice(wb, database, engine_of, world):
    """H4: DBOS starts a resumed workflow again, whoever runs it; the plan is in one hand."""
    go = threading.Event()
    world.does["x.brief"] = lambda _: go.wait(PATIENCE_S)
    engine = engine_of(wb)
    approved(wb)
    until(lambda: world.calls)
    ids = [identity for identity, _ in rows(database)]
    for _ in range(5):
        DBOS.resume_workflows(ids, queue_name="plans")
        time.sleep(0.3)
        assert engine._workers.holds(engine.name, TENANT, "p-1")  # whoever comes second lets go of nothing
    go.set()
    until(lambda: ended(wb, "p-1"))
    assert world.counts == dict.fromkeys(("x.brief", "x.meet", "x.update"), 1)
    assert [event.type for event in told(wb)].count("STEP_STARTED") == 3


def test_what_a_dead_worker_left_behind_is_resumed(wb, database, engine_of):
    """H4: by the public way, and back into its own queue; so is what DBOS took for us and nobody here runs."""
    engine = engine_of(wb)
    approved(wb)
    until(lambda: ended(wb, "p-1"))
    until(lambda: all(status == "SUCCESS" for _, status in rows(database)))
    for owner_id in ("somebody-dead", engine.name):
        with database.owner() as owner:
            owner.execute(f"UPDATE {ROWS} SET status = 'PENDING', executor_id = %s".encode(), (owner_id,))
        until(lambda: all(status == "SUCCESS" for _, status in rows(database)))
        assert {queue for (queue,) in rows(database, "queue_name")} == {"plans"}


def test_an_attempt_in_nobodys_hands_is_unknown_and_waits_for_a_person(wb, database, engine_of, world):
    """G10: a worker died between draw and end; its operation is not called again before a person resumes the plan."""
    go, drawn = threading.Event(), approved(wb)
    world.does["x.brief"] = lambda _: go.wait(PATIENCE_S)
    with opened(database.url(), world=world) as dying:
        thread = threading.Thread(target=dying.orchestrator.run, args=(TENANT, drawn.plan_id), daemon=True)
        thread.start()
        until(lambda: world.calls)
        engine_of(wb)
        until(lambda: wb.plan("p-1", TENANT).status is PlanStatus.PAUSED)
        assert wb.plan("p-1", TENANT).pause_reason == "OUTCOME_UNKNOWN"
        assert world.counts == {"x.brief": 1}
        world.does.clear()
        wb.resume_plan("p-1", by=OLE, reason="it did not happen", tenant_id=TENANT)
        until(lambda: ended(wb, "p-1"))
        go.set()
        thread.join()
    assert world.counts == {"x.brief": 2, "x.meet": 1, "x.update": 1}
    assert wb.verify(TENANT).ok


def test_a_plan_in_the_hands_of_one_that_lives_is_left_alone(wb, database, engine_of):
    """H4: a fresh heartbeat means that its attempt may be running."""
    engine = engine_of(wb)
    engine._workers.register("another", PATIENCE_S)
    assert engine._workers.take("another", TENANT, "p-1")
    approved(wb)
    until(lambda: len(rows(database, where="status = 'SUCCESS'")) >= 2)
    assert wb.plan("p-1", TENANT).status is PlanStatus.APPROVED
    engine._workers.retire("another")
    until(lambda: ended(wb, "p-1"))


def test_one_that_was_found_dead_ends(wb, engine_of, world):
    """H4: whatever it was at, it starts nothing more."""
    gone, go = threading.Event(), threading.Event()
    world.does["x.brief"] = lambda _: go.wait(PATIENCE_S)
    engine = engine_of(wb, start=False, lease_s=1.0)
    engine._gone = gone.set
    engine.start()
    approved(wb)
    until(lambda: world.calls)
    engine._workers.retire(engine.name)  # as who finds its lease run out
    assert gone.wait(PATIENCE_S)
    go.set()
    until(lambda: not engine._in_hand)
    assert world.counts == {"x.brief": 1}


def test_an_operation_that_ends_its_thread_ends_no_plan(wb, database, engine_of, world):
    """G10: what is no Exception leaves a segment, too; its row is taken up again, and the attempt is unknown."""
    world.does["x.brief"] = [SystemExit(3)]
    engine_of(wb)
    approved(wb)
    until(lambda: wb.plan("p-1", TENANT).status is PlanStatus.PAUSED)
    assert wb.plan("p-1", TENANT).pause_reason == "OUTCOME_UNKNOWN"
    until(lambda: all(status == "SUCCESS" for _, status in rows(database)))
    wb.resume_plan("p-1", by=OLE, reason="it did not happen", tenant_id=TENANT)
    until(lambda: ended(wb, "p-1"))


# --- What goes wrong --------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_one_plan_stops_no_other_and_ends_no_segment_as_an_error(
    wb, database, engine_of, monkeypatch, caplog
):
    """Also of the same account; an exception that left a segment would be stored, and end it for good."""
    run = wb.orchestrator.run

    def fails_for_one(tenant_id, plan_id, **given):
        if plan_id == "p-1" and not mended:
            raise RuntimeError("postgresql://app:secret@host")
        return run(tenant_id, plan_id, **given)

    mended: list[bool] = []
    monkeypatch.setattr(wb.orchestrator, "run", fails_for_one)
    approved(wb, "p-1")
    engine_of(wb)
    until(lambda: len(rows(database, where="workflow_uuid LIKE '%/p-1/%' AND status <> 'ENQUEUED'")) >= 3)
    approved(wb, "p-2", account_id="a-2")
    until(lambda: ended(wb, "p-2"))
    assert not rows(database, where="status = 'ERROR'")
    assert rows(database, where="status = 'DELAYED'")  # ever later, and not in a hurry
    messages = [record.getMessage() for record in caplog.records if "p-1" in record.getMessage()]
    assert messages == [
        "plan `p-1` of tenant `acme` cannot go on for now: RuntimeError"
    ]  # once, and no text of anybody
    mended.append(True)
    until(lambda: ended(wb, "p-1"))


def test_a_wake_is_heard_by_one_that_does_not_sweep(wb, database, engine_of):
    with TransactionLock(database.dsn(), SWEEPING).held():
        engine = engine_of(wb, look_s=5.0)
        approved(wb)
        engine.wake(TENANT, "p-1")
        until(lambda: ended(wb, "p-1"))


def test_a_long_plan_gives_the_others_of_its_account_their_turn(wb, database, engine_of):
    """H4: a segment ends after so many actions, and the next one stands behind the others."""
    steps = tuple({"step_id": f"s-{number}", "operation": "x.brief"} for number in range(ACTIONS_MAX + 5))
    engine_of(wb)
    approved(wb, "p-1", steps)
    until(lambda: ended(wb, "p-1"))
    assert len(rows(database)) >= 2


def test_a_worker_for_one_tenant_takes_no_plan_of_another(wb, database, engine_of):
    """L5."""
    approved(wb)
    with opened(database.url(), world=World(), principal=Principal(id="theirs", tenant_id="else")) as theirs:
        engine = engine_of(theirs)
        engine.wake(TENANT, "p-1")
        until(lambda: engine._still_leading is not None)
        time.sleep(0.5)
        assert not rows(database)
        engine.stop()
    assert wb.plan("p-1", TENANT).status is PlanStatus.APPROVED
    with opened(database.url(), world=World(), principal=Principal(id="ours", tenant_id=TENANT)) as ours:
        engine_of(ours)
        until(lambda: ended(wb, "p-1"))
    assert {queue for (queue,) in rows(database, "queue_name")} == {f"plans/{TENANT}"}


def test_the_pace_of_a_worker():
    assert Pace().lease == 30.0
    with pytest.raises(UsageError, match="`keep`"):
        Pace(keep=-1.0)
