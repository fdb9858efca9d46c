"""`weighbridge worker` as a process: it finds what is approved, ends its step when it is told to stop, and is alone."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.command_line import command, environment, shell
from tests.unit.cli.plan.desk import CONNECTOR, WHY, Desk

pytestmark = pytest.mark.slow

SECONDS_MAX = 60
SLOW = """
import pathlib, time
from weighbridge.examples import renewals
from weighbridge.examples.crm import Crm, connect

class Slow(Crm):
    def add_meeting(self, *given):
        pathlib.Path("calling").touch()
        while not pathlib.Path("answer").exists():
            time.sleep(0.01)
        return super().add_meeting(*given)

def connector(wb):
    connect(wb, Slow("crm.db"))
"""


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    (tmp_path / "slow_crm.py").write_text(SLOW)
    yield made
    made.close()


@contextmanager
def worker(desk, *options, connector=CONNECTOR):
    """Run a worker until the block ends; however that is, no process is left behind."""
    words = command("worker", "--store", desk.store, "--policy", desk.policy, *connector, *options)
    process = subprocess.Popen(
        words, cwd=desk.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(happened):
    """Wait for something that another process does; how long is no matter."""
    started = time.monotonic()
    while not (found := happened()):
        assert time.monotonic() - started < SECONDS_MAX
        time.sleep(0.05)
    return found


def status(desk, plan_id):
    return desk.plan("show", plan_id).lines[0]["plan"]["status"]


def stopped(process):
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SECONDS_MAX)
    return process.returncode, err.decode()


def test_it_carries_out_what_is_approved_meanwhile_and_stops_when_told_to(desk):
    """H4: approved in one process, carried out in another."""
    plan_id = desk.propose()
    with worker(desk) as process:
        assert desk.plan("approve", plan_id, *desk.READ, "--by", "maria").code == 0
        until(lambda: status(desk, plan_id) == "COMPLETED")
        code, err = stopped(process)
    assert code == 0
    assert err.splitlines()[-1] == "stopped; every plan stands where its records say"
    assert desk.crm.row("renewals", "r-1001")["discount_percent"] == 10


def test_a_step_that_is_running_ends_and_no_other_starts(desk):
    """Draining: the meeting is asked for when SIGTERM comes; its end is on record, and the update is left for the next worker."""
    plan_id = desk.approved()
    with worker(desk, connector=("--connector", "slow_crm:connector")) as process:
        until((desk.folder / "calling").exists)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        (desk.folder / "answer").touch()
        process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0
    steps = desk.plan("show", plan_id).lines[0]["plan"]["steps"]
    assert [step["status"] for step in steps] == ["COMPLETED", "COMPLETED", "PENDING"]
    with worker(desk):
        until(lambda: status(desk, plan_id) == "COMPLETED")


def test_a_second_worker_of_one_store_is_refused(desk):
    """One worker process per store: the lock says so, and ends with the process that holds it."""
    plan_id = desk.approved()
    with worker(desk) as first:
        until(lambda: status(desk, plan_id) == "COMPLETED")
        second = shell("worker", "--store", desk.store, "--policy", desk.policy, *CONNECTOR, cwd=desk.folder)
        assert (second.code, second.out) == (1, "")
        assert second.err.startswith("error: another process is carrying out the plans of this store")
        first.kill()
        first.wait()
        with worker(desk) as third:
            another = json.dumps(desk.draft() | {"plan_id": "another"})
            assert desk.plan("new", "-", stdin=another).code == 0
            desk.plan("submit", "another", "--by", "ann")
            desk.plan("approve", "another", *desk.READ, "--by", "maria")
            until(lambda: status(desk, "another") == "COMPLETED")
            assert third.poll() is None


def test_killed_in_the_middle_of_a_step_nobody_knows_and_a_person_decides(desk):
    """G10, H4: the next worker says so and pauses; resumed, the step gets one attempt more."""
    plan_id = desk.approved()
    with worker(desk, connector=("--connector", "slow_crm:connector")) as process:
        until((desk.folder / "calling").exists)
        process.kill()
        process.wait()
    with worker(desk):
        until(lambda: status(desk, plan_id) == "PAUSED")
        assert desk.plan("show", plan_id).lines[0]["plan"]["pause_reason"] == "OUTCOME_UNKNOWN"
        assert desk.plan("resume", plan_id, *WHY).code == 0
        until(lambda: status(desk, plan_id) == "COMPLETED")
    assert desk.crm.row("meetings", "m-1")["renewal_id"] == "r-1001"
    assert shell("ledger", "verify", "--store", desk.store, cwd=desk.folder).code == 0


def test_many_workers_need_postgresql(desk):
    """Bad input."""
    desk.approved()
    ran = shell("worker", "--engine", "dbos", "--store", desk.store, "--policy", desk.policy, cwd=desk.folder)
    assert (ran.code, "PostgreSQL" in ran.err) == (2, True)
