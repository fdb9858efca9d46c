"""The local engine: every plan in turn, what is wrong with one stops no other, and it drains when it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time

import pytest

from tests.planned import OLE, TENANT, World, approved, opened
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.errors import StoreError, UsageError
from weighbridge.orchestrator.engines.local import LocalEngine
from weighbridge.storage.locking import LockHeld, LockLost
from weighbridge.wiring import local_engine

ONE = ({"step_id": "a", "operation": "x.brief"},)
PATIENCE_S = 20.0
SOON_S = 0.01


@pytest.fixture
def world():
    return World()


@pytest.fixture
def wb(world):
    with opened(world=world) as made:
        yield made


@pytest.fixture
def engine(wb):
    made = local_engine(wb, poll_s=SOON_S)
    yield made
    made.stop()


def state(wb, plan_id="p-1"):
    return wb.plan(plan_id, TENANT)


def until(met):
    """Wait until something holds; what never does fails."""
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < PATIENCE_S
        time.sleep(SOON_S)


def test_it_carries_out_what_there_is_and_what_comes(wb, engine, world):
    approved(wb)
    engine.start()
    until(lambda: state(wb).status is PlanStatus.COMPLETED)
    approved(wb, "p-2")
    engine.wake(TENANT, "p-2")
    until(lambda: state(wb, "p-2").status is PlanStatus.COMPLETED)
    assert world.counts == dict.fromkeys(("x.brief", "x.meet", "x.update"), 2)


def test_it_is_woken_before_its_time(wb, world):
    slow = local_engine(wb, poll_s=60)
    slow.start()
    approved(wb)
    slow.wake(TENANT, "p-1")
    until(lambda: state(wb).status is PlanStatus.COMPLETED)
    slow.stop()


def test_every_plan_has_one_action_a_round_in_the_order_of_ids(wb, world):
    """The same plans give the same order, and a long one holds up none."""
    order = []
    for name in ("p-2", "p-1"):
        approved(wb, name, account_id=f"a-{name}")
    advance = wb.orchestrator.advance

    def noted(tenant_id, plan_id):
        order.append(plan_id)
        return advance(tenant_id, plan_id)

    wb.orchestrator.advance = noted
    engine = LocalEngine(wb.orchestrator, poll_s=SOON_S)
    while engine._round(lambda: None):
        """Once more."""
    assert order[:6] == ["p-1", "p-2"] * 3
    assert {row.status for row in wb.plans(tenant_id=TENANT)} == {PlanStatus.COMPLETED}


def test_what_is_wrong_with_one_plan_stops_no_other(wb, engine, world, caplog):
    """And it is told once, for as long as it stays the same."""
    approved(wb, "bad", account_id="a-0")
    approved(wb, "good")
    advance = wb.orchestrator.advance

    def raises(tenant_id, plan_id):
        if plan_id == "bad":
            raise ZeroDivisionError("secret")
        return advance(tenant_id, plan_id)

    wb.orchestrator.advance = raises
    with caplog.at_level(logging.ERROR, "weighbridge.worker"):
        engine.start()
        until(lambda: state(wb, "good").status is PlanStatus.COMPLETED)
        until(lambda: "bad" in str(engine._wrong))
        engine.stop()
    assert [one.getMessage() for one in caplog.records] == [
        f"plan `bad` of tenant `{TENANT}` cannot go on for now: ZeroDivisionError"
    ]


def test_a_store_that_is_gone_for_a_while_is_waited_for(wb, engine, caplog):
    approved(wb)
    work, gone = wb.orchestrator.work, threading.Event()

    def sometimes():
        if not gone.is_set():
            gone.set()
            raise StoreError("the database is not there")
        return work()

    wb.orchestrator.work = sometimes
    engine.start()
    until(lambda: state(wb).status is PlanStatus.COMPLETED)
    assert any("not there" in one.getMessage() for one in caplog.records)


def test_stopped_it_ends_what_is_running_and_starts_nothing(wb, engine, world):
    """Drain: the attempt is on record as what it was."""
    inside, go_on = threading.Event(), threading.Event()

    def waits(_):
        inside.set()
        assert go_on.wait(PATIENCE_S)

    world.does["x.brief"] = [waits]
    approved(wb)
    engine.start()
    assert inside.wait(PATIENCE_S)
    engine.stop(drain=False)
    go_on.set()
    engine.stop()
    assert [step.status for step in state(wb).steps] == [StepStatus.COMPLETED, StepStatus.PENDING, StepStatus.PENDING]
    assert world.calls == ["x.brief"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(wb, world, number):
    """In the main thread; afterwards signals mean what they meant before."""
    before = signal.getsignal(number)
    world.does["x.brief"] = [lambda _: os.kill(os.getpid(), number)]
    approved(wb)
    local_engine(wb, poll_s=SOON_S).serve()
    assert [step.status for step in state(wb).steps] == [StepStatus.COMPLETED, StepStatus.PENDING, StepStatus.PENDING]
    assert signal.getsignal(number) == before


def test_the_second_signal_is_what_it_always_was(wb, world):
    """Whoever does not want to wait does not have to: nobody knows what became of the attempt then (G10)."""

    def twice(_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

    world.does["x.brief"] = [twice]
    approved(wb)
    with pytest.raises(KeyboardInterrupt):
        local_engine(wb, poll_s=SOON_S).serve()
    assert wb.run_plan("p-1", TENANT).plan.pause_reason == "OUTCOME_UNKNOWN"


def test_one_worker_to_a_store(tmp_path, world):
    """The store's lock says so; other processes may propose, approve and look."""
    store = tmp_path / "s.db"
    with opened(store, world=world) as wb, opened(store, world=World()) as other:
        engine = local_engine(wb, poll_s=SOON_S)
        engine.start()
        try:
            with pytest.raises(LockHeld, match="one at a time"):
                local_engine(other).start()
            with pytest.raises(LockHeld):
                local_engine(other).serve()
            approved(other)
            with pytest.raises(LockHeld):
                other.run_plan("p-1", TENANT)
            until(lambda: state(other).status is PlanStatus.COMPLETED)
            wb.run_plan("p-1", TENANT)  # in the same process, it is the same worker
        finally:
            engine.stop()
        assert other.run_plan("p-1", TENANT).waits_for == "ENDED"


def test_a_lock_that_was_lost_stops_it(wb, world, caplog):
    """Another process may be at the same plans: it asks before every action."""
    approved(wb)

    def lost():
        raise LockLost("the lock was lost, start again")

    wb.orchestrator.alone.take = lambda: lost
    wb.orchestrator.alone.give_back = lambda: None
    engine = local_engine(wb, poll_s=SOON_S)
    engine.start()
    until(lambda: "start again" in caplog.text)
    engine.stop()
    assert world.calls == []


def test_it_is_started_once(engine):
    engine.start()
    with pytest.raises(UsageError, match="started already"):
        engine.start()


@pytest.mark.parametrize("poll_s", [0, -1, 61, float("nan")])
def test_it_looks_again_within_bounds(wb, poll_s):
    with pytest.raises(UsageError, match="looks again"):
        local_engine(wb, poll_s=poll_s)


def test_a_plan_that_a_person_stops_is_left_alone(wb, engine, world):
    world.does["x.brief"] = [lambda _: wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)]
    approved(wb, steps=(*ONE, {"step_id": "b", "operation": "x.meet"}))
    engine.start()
    until(lambda: state(wb).steps[0].status is StepStatus.COMPLETED)
    approved(wb, "p-2", account_id="a-2")
    until(lambda: state(wb, "p-2").status is PlanStatus.COMPLETED)
    assert (state(wb).status, state(wb).steps[1].attempts) == (PlanStatus.PAUSED, 0)


class OurOwn(BaseException):
    """What no `except Exception` sees."""


@pytest.mark.parametrize("raised", [SystemExit(3), asyncio.CancelledError(), OurOwn(), KeyboardInterrupt()])
def test_an_operation_that_ends_its_thread_ends_no_worker(wb, engine, world, raised):
    """G10: its own attempt is unknown and waits for a person; every other plan goes on."""
    world.does["x.brief"] = [raised]
    approved(wb, "p-1", ONE)
    approved(wb, "p-2", ONE, account_id="a-2")
    engine.start()
    until(lambda: state(wb, "p-2").status is PlanStatus.COMPLETED)
    until(lambda: state(wb, "p-1").status is PlanStatus.PAUSED)
    assert state(wb, "p-1").pause_reason == "OUTCOME_UNKNOWN"
    wb.resume_plan("p-1", by=OLE, reason="it did not happen", tenant_id=TENANT)
    until(lambda: state(wb, "p-1").status is PlanStatus.COMPLETED)


def test_a_person_at_the_keyboard_ends_it(wb, engine, world):
    """In the main thread an interrupt is a person's: the attempt is on record, and the worker ends."""
    world.does["x.brief"] = [KeyboardInterrupt()]
    approved(wb, steps=ONE)
    with pytest.raises(KeyboardInterrupt):
        engine.serve()
    assert state(wb).step("a").reason == "OUTCOME_UNKNOWN"


def test_whatever_stops_it_is_said(wb, engine, caplog, monkeypatch):
    """A thread that ends by SystemExit would say nothing by itself."""

    def gone(_still_held):
        raise SystemExit(1)

    monkeypatch.setattr(engine, "_round", gone)
    engine.start()
    engine._thread.join(PATIENCE_S)
    assert "this worker stops, and carries out nothing more: SystemExit" in caplog.text
