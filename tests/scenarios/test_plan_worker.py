"""H4, G10: a worker process, stopped and killed: every plan ends as it would have, nothing is called twice. On both stores."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.command_line import environment
from tests.planned import AGENT, MARIA, OLE, TENANT, World, plan_policy
from tests.sealing import site
from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import PlanStatus
from weighbridge.testing.plans import plan_document
from weighbridge.wiring import open as open_weighbridge

KILLS = 60 if os.environ.get("WEIGHBRIDGE_SOAK") else 5
PATIENCE_S = 60.0
POLICY = plan_policy()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, postgres):
    """The address of an empty store."""
    with site(request.param, tmp_path, postgres) as at:
        yield at.address


@pytest.fixture
def log(tmp_path):
    return tmp_path / "calls"


@pytest.fixture
def wb(store):
    with open_weighbridge(POLICY, store) as made:
        World().connect(made)
        yield made


@pytest.fixture
def started(store, log):
    running = []

    def start(slow="", says="ready"):
        words = [sys.executable, "-m", "tests.scenarios.plan_worker_process", str(store), str(log), slow]
        worker = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment(), cwd=Path(__file__).parents[2])
        running.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline().decode().strip() == says
        return worker

    yield start
    for worker in running:
        worker.kill()
        worker.communicate()


def approved(wb, count):
    now_ms = time.time_ns() // 1_000_000
    for number in range(count):
        document = plan_document(
            f"p-{number}",
            account_id=f"a-{number}",
            expires_at=format_instant(now_ms + 86_400_000),
            data_sources=[{"source_id": "r-1", "source_type": "crm_renewal", "last_updated": format_instant(now_ms)}],
        )
        wb.propose_plan(document)
        wb.submit_plan(f"p-{number}", by=AGENT, tenant_id=TENANT)
        assert wb.approve_plan(f"p-{number}", by=MARIA, revision=2, tenant_id=TENANT).approved


def until(met):
    begun = time.monotonic()
    while not met():
        assert time.monotonic() - begun < PATIENCE_S
        time.sleep(0.02)


def calls(log):
    lines = log.read_text().splitlines() if log.exists() else []
    return [line for line in lines if line != "waiting"]


def statuses(wb):
    return Counter(row.status for row in wb.plans(tenant_id=TENANT))


def test_sigterm_ends_what_is_running_and_starts_nothing(wb, started, log):
    """Drain: the attempt is told as what it was, the next worker goes on from there."""
    approved(wb, 1)
    worker = started("x.meet")
    until(lambda: log.exists() and "waiting" in log.read_text())
    worker.send_signal(signal.SIGTERM)
    Path(f"{log}.go").touch()
    assert worker.wait(PATIENCE_S) == 0
    row = wb.plan("p-0", TENANT)
    assert [step.status for step in row.steps] == ["COMPLETED", "COMPLETED", "PENDING"]
    started()
    until(lambda: statuses(wb) == {PlanStatus.COMPLETED: 1})
    assert calls(log) == ["p-0 brief 1", "p-0 meet 1", "p-0 update 1"]


def test_one_worker_to_a_store_and_the_next_one_after_it(wb, started, log):
    """A lock that a killed process held is free; what it left behind is settled, and a person decides (G10)."""
    approved(wb, 2)
    first = started("x.meet")
    until(lambda: log.exists() and "waiting" in log.read_text())
    assert started(says="held").wait(PATIENCE_S) == 3
    first.kill()
    first.wait()
    started()
    until(lambda: statuses(wb) == {PlanStatus.COMPLETED: 1, PlanStatus.PAUSED: 1})
    left = next(wb.plans(status="PAUSED", tenant_id=TENANT))
    assert (left.pause_reason, left.pause_step) == ("OUTCOME_UNKNOWN", "meet")
    wb.resume_plan(left.plan_id, by=OLE, reason="it did not happen", tenant_id=TENANT)
    until(lambda: statuses(wb) == {PlanStatus.COMPLETED: 2})
    assert Counter(calls(log))[f"{left.plan_id} meet 1"] == 1
    assert wb.verify(TENANT).ok


def test_killed_at_any_moment_every_plan_ends(wb, started, log):
    """H4, B5, G10: every attempt and every charge exactly once, and the ledger verifies."""
    rng = random.Random(5)
    approved(wb, 12)
    for _ in range(KILLS):
        worker = started()
        time.sleep(rng.random() * 0.15)
        worker.kill()
        worker.wait()
    started()

    def done():
        for row in wb.plans(status="PAUSED", tenant_id=TENANT):
            assert row.pause_reason == "OUTCOME_UNKNOWN"
            wb.resume_plan(row.plan_id, by=OLE, reason="again", tenant_id=TENANT)
        return statuses(wb) == {PlanStatus.COMPLETED: 12}

    until(done)
    assert max(Counter(calls(log)).values()) == 1
    rows = list(wb.plans(tenant_id=TENANT))
    drawn = {
        f"{row.plan_id} {step.step_id} {n}" for row in rows for step in row.steps for n in range(1, step.attempts + 1)
    }
    assert set(calls(log)) <= drawn
    reserved = sum(cell.reserved["operations"] for _, cell in wb.reader.consumption(TENANT))
    assert reserved == len(drawn)
    assert wb.verify(TENANT).ok
