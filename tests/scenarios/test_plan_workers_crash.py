"""Workers die, freeze and lose their server at any moment: every plan ends as it would have, and nothing happens twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.plan_checks import Called, all_ended, calls, check_completed, resume_what_is_unknown
from tests.planned import TENANT, approved, told
from tests.postgres import Database, running
from tests.scenarios.many_workers_process import PLAN_TYPES, opened
from weighbridge import wiring
from weighbridge.domain.plan import OUTCOME_UNKNOWN
from weighbridge.errors import Refusal, StoreError
from weighbridge.runtime import Weighbridge

REPOSITORY = Path(__file__).parents[2]
LEASE_S = 2.0
ATTEMPT_S = 0.25
PATIENCE_S = 60.0
KILLS, ACCOUNTS = 3, 4
KILLS_SOAK, ACCOUNTS_SOAK = 20, 30


class Workers:
    """Worker processes of one store, the calls that they made, and the person who holds the store in the test."""

    def __init__(self, store: str, folder: Path, *, attempt_s: float = ATTEMPT_S) -> None:
        self.store, self.attempt_s, self.calls_file = store, attempt_s, folder / "calls"
        self.running: list[subprocess.Popen[str]] = []
        self.person: Weighbridge = opened(store, folder / "none")
        self.resumed: list[str] = []

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.scenarios.many_workers_process", self.store, "dbos"]
        given = [*command, str(self.calls_file), str(self.attempt_s), str(LEASE_S)]
        process = subprocess.Popen(given, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def end(self, process: subprocess.Popen[str], number: int) -> int:
        """Send a signal that ends a process, and return how it ended."""
        process.send_signal(number)
        return self.ended(process)

    def ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(PATIENCE_S)
        self.running.remove(process)
        assert process.stdout is not None
        process.stdout.close()
        return code

    def kill_all(self) -> None:
        for process in [*self.running]:
            process.send_signal(signal.SIGCONT)
            self.end(process, signal.SIGKILL)
        self.person.close()

    @property
    def calls(self) -> list[Called]:
        return calls(self.calls_file)

    def caller(self, after: int) -> subprocess.Popen[str]:
        """Return the worker that makes the next call after so many, while it is at it."""
        wait_for(lambda: len(self.calls) > after)
        pid = self.calls[after].pid
        return next(process for process in self.running if process.pid == pid)

    def carry_on(self, plans: list[str]) -> None:
        """Let the person resume what is unknown, until every plan has ended."""

        def over() -> bool:
            try:
                self.resumed += resume_what_is_unknown(self.person)
                return all_ended(self.person, plans)
            except (Refusal, StoreError):  # the server is away
                return False

        wait_for(over)


def wait_for(true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def workers_of(database: Database, folder: Path, **given: float) -> Iterator[Workers]:
    wiring.make_dbos_schema(database.url("postgres"))
    made = Workers(database.url(), folder, **given)
    try:
        yield made
    finally:
        made.kill_all()


@pytest.fixture
def workers(database: Database, tmp_path: Path) -> Iterator[Workers]:
    with workers_of(database, tmp_path) as made:
        yield made


def plans_of(workers: Workers, accounts: int) -> list[str]:
    """Return plans that were approved: for each account one of every type."""
    made = [(f"p-{number}-{kind}", f"a-{number}", kind) for number in range(accounts) for kind in PLAN_TYPES]
    for plan_id, account_id, kind in made:
        approved(workers.person, plan_id, account_id=account_id, plan_type=kind)
    return [plan_id for plan_id, *_ in made]


@pytest.mark.slow
def test_kill_9_at_any_point_repeats_no_attempt_and_charges_none_twice(workers):
    """H4, G10, B5: two workers, killed at random points and in the middle of attempts; the plans end as they would have."""
    kill_and_check(workers, KILLS, ACCOUNTS, seed=1)


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")
def test_kill_9_twenty_times(workers):
    """H4, G10, B5: as above, twenty times."""
    kill_and_check(workers, KILLS_SOAK, ACCOUNTS_SOAK, seed=int(time.time()))


def kill_and_check(workers: Workers, kills: int, accounts: int, seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    plans = plans_of(workers, accounts)
    workers.start(), workers.start()
    for kill in range(kills):
        if kill == 0:  # for certain while it is at one
            victim = workers.caller(len(workers.calls))
        else:
            time.sleep(chance.uniform(0, 2 * ATTEMPT_S))
            victim = chance.choice(workers.running)
        assert workers.end(victim, signal.SIGKILL) == -signal.SIGKILL
        workers.resumed += resume_what_is_unknown(workers.person)
        workers.start()
    workers.carry_on(plans)
    check_completed(workers.person, plans, workers.calls)
    unknown = [event for event in told(workers.person) if event.fields.get("reason") == OUTCOME_UNKNOWN]
    assert unknown, "nobody was killed in the middle of an attempt; nothing was tested"
    assert workers.resumed


@pytest.mark.slow
def test_one_that_was_only_asleep_finds_itself_dead(workers):
    """H4, G10: frozen past its lease in the middle of an attempt, then woken: its plan went on elsewhere, and it ends."""
    plans = plans_of(workers, 2)
    asleep = workers.start()
    assert workers.caller(0) is asleep
    asleep.send_signal(signal.SIGSTOP)
    workers.start()
    workers.carry_on(plans)  # without it
    assert workers.resumed
    asleep.send_signal(signal.SIGCONT)
    assert workers.ended(asleep) == os.EX_TEMPFAIL
    check_completed(workers.person, plans, workers.calls)


@pytest.mark.slow
def test_sigterm_lets_attempts_end_and_hands_the_rest_over(workers):
    """H4: a worker that is told to end finishes what runs, starts nothing, and leaves no attempt unknown."""
    plans = plans_of(workers, 2)
    first = workers.start()
    assert workers.caller(0) is first
    assert workers.end(first, signal.SIGTERM) == 0
    ended = told(workers.person)
    started = [event for event in ended if event.type == "STEP_STARTED"]
    assert started
    assert len(started) == len([event for event in ended if event.type == "STEP_COMPLETED"])
    assert not all_ended(workers.person, plans)
    workers.start()
    workers.carry_on(plans)
    assert not workers.resumed  # nothing was left for a person
    check_completed(workers.person, plans, workers.calls)


@pytest.mark.slow
def test_an_approval_in_another_process_wakes_a_plan_and_one_that_waits_holds_nothing(workers, database):
    """H4, B11: whatever waits for a person holds no thread and no row of the engine; an approval elsewhere sets it going."""
    touched = ({"step_id": "brief", "operation": "x.brief", "human_touch": True},)
    workers.start(), workers.start()
    waiting = [f"w-{number}" for number in range(20)]
    busy_from = max(threads(process) for process in workers.running)
    for plan_id in waiting:
        approved(workers.person, plan_id, touched, account_id=f"of {plan_id}")
    wait_for(lambda: all(workers.person.plan(plan_id, tenant_id=TENANT).pause_reason for plan_id in waiting))
    with database.owner() as connection:
        unfinished = "SELECT count(*) FROM weighbridge_engine.workflow_status WHERE status NOT IN ('SUCCESS', 'ERROR')"
        wait_for(lambda: connection.execute(unfinished).fetchall() == [(0,)])
        assert connection.execute("SELECT count(*) FROM weighbridge_engine.weighbridge_holding").fetchall() == [(0,)]
        assert connection.execute(unfinished.replace("NOT IN ('SUCCESS', 'ERROR')", "= 'ERROR'")).fetchall() == [(0,)]
    assert max(threads(process) for process in workers.running) <= busy_from + 8  # as many as work at once, and no more
    (plan_id,) = plans_of(workers, 1)[:1]
    wait_for(lambda: all_ended(workers.person, [plan_id]))


def threads(process: subprocess.Popen[str]) -> int:
    return len([*Path(f"/proc/{process.pid}/task").iterdir()])


@pytest.mark.slow
@pytest.mark.parametrize("away_s", [0.0, 2 * LEASE_S])
def test_the_server_dies_and_comes_back(tmp_path, away_s):
    """G2, H4: PostgreSQL stops at once and starts again under two workers; nobody has to do anything about them.

    Nor does one take the other for dead because the server was away for longer than a lease.
    """
    with running() as server, workers_of(server.database(), tmp_path) as workers:
        plans = plans_of(workers, ACCOUNTS)
        workers.start(), workers.start()
        workers.caller(0)
        server.crash()
        time.sleep(away_s)
        server.start()
        workers.carry_on(plans)
        time.sleep(2 * LEASE_S)  # by then they would know
        assert [process.poll() for process in workers.running] == [None, None]
        check_completed(workers.person, plans, workers.calls)
