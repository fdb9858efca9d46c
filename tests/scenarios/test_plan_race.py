"""Processes move the same plans at the same time: one of racing transitions wins, and an attempt is drawn once (H1, H3, H4)."""

import subprocess
import sys
from collections import Counter
from contextlib import closing

import apsw
import psycopg
import pytest

from tests.command_line import environment
from tests.intruder import PostgresIntruder, SqliteIntruder
from tests.postgres import shared_place
from weighbridge import wiring
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.storage.audit import verify_store
from weighbridge.testing.store_contract_plans import STEPS, approved, mover
from weighbridge.testing.submissions import TENANT

PROCESSES = 4
PLANS = 3


@pytest.fixture
def store(place):
    opened = wiring.open_store(place, purpose="enforcement", surroundings=wiring.system_surroundings())
    with closing(opened):
        yield opened


@shared_place
@pytest.mark.slow
def test_racing_processes_move_a_plan_once(place, store):
    """H1, H3, H4: of all plans one is ACTIVE, each other is refused once, each attempt is drawn by one process; all verifies."""
    for number in range(PLANS):
        approved(store, mover(store, f"p-{number}"))
    words = [sys.executable, "-m", "tests.scenarios.plan_process", str(place)]
    started = [
        subprocess.Popen(
            [*words, f"w{number}", str(PLANS), *STEPS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for number in range(PROCESSES)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        said = [process.communicate(timeout=120) for process in started]
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert [err for _, err in said] == [""] * PROCESSES
    lines = [line.split() for out, _ in said for line in out.splitlines()]
    answers = Counter(line[2] for line in lines if line[0] == "activate")
    assert (answers["PLAN_ACTIVATED"], answers["PLAN_ACTIVATION_REFUSED"]) == (1, PLANS - 1)
    assert sum(answers.values()) == PROCESSES * PLANS
    fresh = Counter(line[1] for line in lines if line[0] == "draw" and line[2] == "fresh")
    assert fresh == dict.fromkeys(STEPS, 1)
    (row,) = store.plans(TENANT, [PlanStatus.ACTIVE])
    assert [(step.status, step.attempts) for step in row.steps] == [(StepStatus.COMPLETED, 1)] * len(STEPS)
    assert verify_store(store).ok


@pytest.fixture(params=["sqlite", "postgres"])
def owner(request, tmp_path):
    """The owner of a store with two approved plans of one account and type, whom no trigger stops."""
    database = request.getfixturevalue("database") if request.param == "postgres" else None
    place = str(tmp_path / "ledger.db") if database is None else str(database.url())
    opened = wiring.open_store(place, purpose="enforcement", surroundings=wiring.system_surroundings())
    for number in range(2):
        approved(opened, mover(opened, f"p-{number}"))
    opened.close()
    with closing(SqliteIntruder(place) if database is None else PostgresIntruder(database)) as owner:
        yield owner


def test_the_table_itself_holds_one_active_plan(owner):
    """H3: whatever decided it, a second one cannot even be written down; another account's can."""
    owner.run("UPDATE plan SET status = 'ACTIVE' WHERE plan_id = 'p-0'")
    with owner.undone(), pytest.raises((apsw.ConstraintError, psycopg.errors.UniqueViolation)):
        owner.run("UPDATE plan SET status = 'ACTIVE' WHERE plan_id = 'p-1'")
    owner.run("UPDATE plan SET status = 'ACTIVE', account_id = 'a-2' WHERE plan_id = 'p-1'")
