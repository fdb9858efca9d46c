"""The worker of a SQLite store dies at any moment: every plan ends as it would have, and nothing happens twice.

What really happened stands in a log that the operations write (`plan_crash_process`). A person, who is the test, decides about
what was left behind: where the log says that it was done, the step is skipped; else it gets another attempt. The same plans,
carried out by one process that nobody kills, are the reference.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.planned import OLE, TENANT, approved, told
from tests.scenarios.plan_crash_process import HELD, Line, World, opened
from weighbridge.domain.plan import OUTCOME_UNKNOWN, PlanState, PlanStatus, StepStatus
from weighbridge.errors import PlanRefused
from weighbridge.plans.lifecycle import ENDED
from weighbridge.runtime import Weighbridge
from weighbridge.storage.locking import LockHeld

REPOSITORY = Path(__file__).parents[2]
KILLS, ACCOUNTS = 5, 2
KILLS_SOAK, ACCOUNTS_SOAK = 60, 40
PATIENCE_S = 60.0
STARTS, START_S = 0.2, 1.0  # how many kills come while a worker starts, and how long that takes at most

CHAIN = ("brief", "meet", "update")
KINDS: dict[str, tuple[str, ...]] = {
    "plain": CHAIN,
    "second": CHAIN,  # of the account and type of the plain one: it waits its turn
    "flaky": CHAIN,
    "stubborn": CHAIN,
    "touch": CHAIN,
    "blocked": ("brief", "forbidden", "update"),
    "doomed": ("brief", "forbidden", "update"),
}


def made(wb: Weighbridge, accounts: int) -> list[str]:
    """Approve a plan of every kind for every account, and return their ids."""
    for number in range(accounts):
        for kind, names in KINDS.items():
            owner = "plain" if kind == "second" else kind
            plan_type = "ONE_GO" if kind == "doomed" else "RENEWAL_DEFENSE"
            account = {"account_id": f"{owner}-{number}", "plan_type": plan_type}
            approved(wb, f"{kind}-{number}", steps(kind, names), **account)
    return [f"{kind}-{number}" for number in range(accounts) for kind in KINDS]


def steps(kind: str, names: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    """Return a chain; what was skipped will do, because a person skips what was done."""
    before = (None, *names)
    return tuple(
        {
            "step_id": name,
            "operation": f"x.{name}",
            "depends_on": [needed] if needed else [],
            "accepts_skipped": [needed] if needed else [],
            **({"human_touch": True} if (kind, name) == ("touch", "update") else {}),
        }
        for needed, name in zip(before, names, strict=False)
    )


class Person:
    """Decides about the plans that wait for somebody."""

    def __init__(self, wb: Weighbridge, world: World) -> None:
        self.wb, self.world = wb, world
        self.decided: Counter[str] = Counter()

    def decide(self) -> bool:
        """Decide whatever there is to decide now, and return whether every plan has ended."""
        states = [*self.wb.plans(tenant_id=TENANT)]
        for state in states:
            try:
                self._decide_about(state)
            except PlanRefused as refused:
                if refused.code not in {"PLAN_CHANGED", "PLAN_TRANSITION"}:  # the worker was at it: look again
                    raise
        return all(state.status in ENDED for state in states)

    def _decide_about(self, state: PlanState) -> None:
        who: dict[str, Any] = {"by": OLE, "tenant_id": TENANT}
        if state.status is PlanStatus.APPROVED and state.refused:
            active = self.wb.plans(status="ACTIVE", tenant_id=TENANT)
            paused = self.wb.plans(status="PAUSED", tenant_id=TENANT)
            if state.account_id not in {other.account_id for other in (*active, *paused)}:
                self.wb.activate_plan(state.plan_id, **who)
                self.decided["its turn"] += 1
        if state.status is not PlanStatus.PAUSED or state.running is not None:
            return
        reason, step_id = state.pause_reason, state.pause_step
        assert reason is not None
        assert step_id is not None
        was_done = reason == OUTCOME_UNKNOWN and any(
            line[:2] == (state.plan_id, step_id) and line.said == "done" for line in self.world.lines
        )
        step = state.step(step_id)
        assert step is not None
        needless = was_done or reason == "STEP_BLOCKED"
        if needless and step.status is not StepStatus.SKIPPED:
            self.wb.skip_step(state.plan_id, step_id, reason="it was done, or may not be", **who)
        self.wb.resume_plan(state.plan_id, reason="go on", **who)
        self.decided[f"{reason}, done" if was_done else reason] += 1


class Result(NamedTuple):
    """What it all came to: how plans and steps ended, what the world saw, and what was charged to accounts."""

    ends: dict[str, tuple[str, tuple[str, ...]]]
    happened: Counter[tuple[str, str, str]]
    charged: Counter[str]


def result(wb: Weighbridge, world: World) -> Result:
    """Return it, after a look at what must be true of every ledger (L3, B5, G10)."""
    checked = wb.verify(TENANT)
    assert checked.ok, checked
    lines = world.lines
    done = {line[:2] for line in lines if line.said == "done"}
    states = [*wb.plans(tenant_id=TENANT)]
    ends = {state.plan_id: (state.status.value, tuple(came_to(state, done))) for state in states}
    accounts = {state.plan_id: state.account_id for state in states}
    drawn = Counter(
        (event.fields["plan_id"], event.fields["step_id"], event.fields["attempt"])
        for event in told(wb)
        if event.type == "STEP_STARTED"
    )
    called = Counter(line[:3] for line in lines if line.said == ".")
    assert set(drawn.values()) == {1}, "an attempt was drawn twice"
    assert set(called.values()) == {1}, "an attempt was called twice"
    assert set(called) <= set(drawn), "an operation was called for an attempt that nobody drew"
    charged = counters(wb)
    assert charged == Counter(accounts[plan_id] for plan_id, _, _ in drawn), "an attempt was not charged exactly once"
    happened = Counter((line.plan_id, line.step_id, line.said) for line in lines if line.said != ".")
    return Result(ends, happened, charged)


def came_to(state: PlanState, done: set[tuple[str, str]]) -> Iterator[str]:
    """Yield how steps ended: one that a person skipped because it was done counts as what it is."""
    for step in state.steps:
        skipped_as_done = step.status is StepStatus.SKIPPED and (state.plan_id, step.step_id) in done
        yield StepStatus.COMPLETED.value if skipped_as_done else step.status.value


def counters(wb: Weighbridge) -> Counter[str]:
    """Return what was charged to each account."""
    with wb.reader.snapshot() as moment:
        found = {name: counter.reserved for name, counter in moment.counters(TENANT)}
    own = {name.partition("account=")[2].strip('"'): reserved for name, reserved in found.items() if "account=" in name}
    assert sum(found.values()) == sum(own.values()), found  # what is blocked moves no counter (B4)
    return Counter(own)


def reference(folder: Path, accounts: int) -> Result:
    """Return what the same plans come to where nobody is killed."""
    world = World(folder / "reference")
    with opened(":memory:", world) as wb:
        plans, person = made(wb, accounts), Person(wb, world)
        while not person.decide():
            for plan_id in plans:
                wb.run_plan(plan_id, TENANT)
        assert not any(OUTCOME_UNKNOWN in reason for reason in person.decided)
        return result(wb, world)


class Worker:
    """One store, its world, the worker process that is running if any, and the person who holds the store in the test."""

    def __init__(self, folder: Path) -> None:
        self.store, self.world = folder / "ledger.db", World(folder / "log")
        self.wb: Weighbridge = opened(self.store, self.world)
        self.person = Person(self.wb, self.world)
        self.running: list[subprocess.Popen[str]] = []

    def start(self, says: str | None = "ready") -> subprocess.Popen[str]:
        """Start a worker; wait until it says so, unless ``says`` is None."""
        words = [sys.executable, "-m", "tests.scenarios.plan_crash_process", str(self.store), str(self.world.path)]
        process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        assert process.stdout is not None
        if says is not None:
            assert process.stdout.readline() == f"{says}\n"
        return process

    def end(self, process: subprocess.Popen[str], number: int) -> int:
        """Send a signal that ends it, and return how it ended."""
        process.send_signal(number)
        return self.ended(process)

    def ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
        self.running.remove(process)
        return code

    def close(self) -> None:
        for process in [*self.running]:
            self.end(process, signal.SIGKILL)
        self.wb.close()

    def called(self) -> list[Line]:
        return [line for line in self.world.lines if line.said == "."]

    def waiting_at(self, place: str) -> subprocess.Popen[str]:
        """Start a worker, and return it in the middle of an attempt: before it has done something, or after."""
        said = "." if place == "before" else "done"
        seen = len(self.world.lines)
        self.world.gate(place).touch()
        process = self.start()
        wait_for(lambda: any(line.said == said for line in self.world.lines[seen:]) or self.person.decide())
        return process

    def kill_at(self, place: str) -> None:
        process = self.waiting_at(place)
        assert self.end(process, signal.SIGKILL) == -signal.SIGKILL
        self.world.gate(place).unlink()

    def finish(self) -> None:
        """Let a worker and the person go on until every plan has ended; then it ends when it is told to."""
        process = self.start()
        wait_for(self.person.decide)
        assert self.end(process, signal.SIGTERM) == 0


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    found = Worker(tmp_path)
    yield found
    found.close()


@pytest.mark.slow
def test_kill_9_at_any_point_repeats_nothing_and_charges_nothing_twice(worker, tmp_path):
    """H4, G10, B5, B7, L3: killed in the middle of attempts and at random points, the plans end as they would have."""
    kill_and_check(worker, tmp_path, KILLS, ACCOUNTS, seed=1)


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")
def test_kill_9_sixty_times(worker, tmp_path):
    """H4, G10, B5, B7, L3: as above, sixty times."""
    kill_and_check(worker, tmp_path, KILLS_SOAK, ACCOUNTS_SOAK, seed=int(time.time()))


def kill_and_check(worker: Worker, folder: Path, kills: int, accounts: int, seed: int) -> None:
    print("seed", seed)
    chance = random.Random(seed)
    expected = reference(folder, accounts)
    made(worker.wb, accounts)
    worker.kill_at("before")  # for certain before anything was done, and for certain after
    worker.kill_at("after")
    left = 2 * expected.charged.total() - len(worker.world.lines)
    share = left // kills  # so that something is left after the last one
    for _ in range(kills - 2):
        kill_somewhere(worker, chance, share)
    assert not worker.person.decide(), "every plan had ended before the last kill; nothing was tested"
    worker.finish()
    check(worker, expected)
    decided = worker.person.decided
    assert decided[OUTCOME_UNKNOWN] > 0, decided
    assert decided[f"{OUTCOME_UNKNOWN}, done"] > 0, decided
    print(dict(decided))


def kill_somewhere(worker: Worker, chance: random.Random, share: int) -> None:
    """Kill a worker at some point of its start, or of its work: at the latest after so many lines and a moment."""
    until = len(worker.world.lines) + chance.randint(1, max(1, share))
    in_its_start = chance.random() < STARTS
    process = worker.start(says=None if in_its_start else "ready")
    latest = time.monotonic() + (chance.uniform(0, START_S) if in_its_start else PATIENCE_S)
    wait_for(lambda: time.monotonic() > latest or len(worker.world.lines) >= until or worker.person.decide())
    time.sleep(chance.uniform(0, 0.03))
    assert worker.end(process, signal.SIGKILL) == -signal.SIGKILL, "it died by itself"


def check(worker: Worker, expected: Result) -> None:
    """Compare with the reference. Only attempts that were cut off before anything came of them are charged besides."""
    found = result(worker.wb, worker.world)
    assert found.ends == expected.ends
    assert found.happened == expected.happened
    drawn = [event for event in told(worker.wb) if event.type == "STEP_STARTED"]
    assert found.charged.total() == len(drawn)
    with_an_end = {line[:3] for line in worker.world.lines if line.said != "."}
    accounts = {state.plan_id: state.account_id for state in worker.wb.plans(tenant_id=TENANT)}
    attempts = {(event.fields["plan_id"], event.fields["step_id"], event.fields["attempt"]) for event in drawn}
    cut_off = Counter(accounts[plan_id] for plan_id, *_ in attempts - with_an_end)
    assert found.charged == expected.charged + cut_off


@pytest.mark.slow
def test_frozen_it_keeps_the_store_and_awake_it_goes_on(worker, tmp_path):
    """H4, G10: stopped in the middle of an attempt, nobody else may have the store; continued, nothing is unknown."""
    expected = reference(tmp_path, 1)
    made(worker.wb, 1)
    frozen = worker.waiting_at("before")
    frozen.send_signal(signal.SIGSTOP)
    worker.world.gate("before").unlink()
    seen, head = worker.world.lines, worker.wb.reader.head(TENANT).seq
    assert worker.ended(worker.start(says="held")) == HELD
    with pytest.raises(LockHeld):
        worker.wb.run_plan("plain-0", TENANT)
    assert (worker.world.lines, worker.wb.reader.head(TENANT).seq) == (seen, head)
    frozen.send_signal(signal.SIGCONT)
    wait_for(worker.person.decide)
    assert worker.end(frozen, signal.SIGTERM) == 0
    check(worker, expected)
    assert not any(OUTCOME_UNKNOWN in reason for reason in worker.person.decided)


@pytest.mark.slow
def test_sigterm_at_any_point_leaves_nothing_unknown(worker, tmp_path):
    """H4: workers that are told to end, one after the other, finish what runs; nothing is left to be settled."""
    chance, expected = random.Random(2), reference(tmp_path, 1)
    made(worker.wb, 1)
    process = worker.waiting_at("before")
    process.send_signal(signal.SIGTERM)
    worker.world.gate("before").unlink()
    assert worker.ended(process) == 0
    assert not worker.person.decide()
    assert [line.said for line in worker.world.lines] == [".", "done"], (
        "it began another attempt after it was told to end"
    )
    process, seen = worker.start(), len(worker.world.lines)
    wait_for(lambda: len(worker.world.lines) > seen + 3)
    time.sleep(chance.uniform(0, 0.02))
    assert worker.end(process, signal.SIGTERM) == 0
    assert [state.plan_id for state in worker.wb.plans(tenant_id=TENANT) if state.running is not None] == []
    worker.finish()
    check(worker, expected)
    assert not any(OUTCOME_UNKNOWN in reason for reason in worker.person.decided)
