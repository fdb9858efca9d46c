"""Plan steps per second from approval to the end, with both engines, and what of a step's time is governance.

A plan has five steps, one after the other; each is an external writeback under ten rules and four caps, whose function does
nothing. A step is two records, of which the first has to be durable before the call, and a plan is two more; so no engine that
does one thing after the other can reach more than 5/12 of the flush limit.

- *local* is one worker, in this process, on SQLite. *dbos* is two worker processes on PostgreSQL, each with eight plans at once.
- The *null executor* of the tests draws an attempt, calls the function and records its end, and weighs nothing: what is above it
  is governance.
"""

from __future__ import annotations

import importlib.util
import itertools
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.flush import FIXED, MEMORY, Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, take_turns
from tests.bench.plan_worker import AT_ONCE, OPERATION, STEPS, TENANT, Work, approve, opened
from tests.bench.postgres import served
from tests.null_executor import over_nothing
from weighbridge import wiring
from weighbridge.runtime import Weighbridge

GROUP = "plans"
WORKERS = 2
REAL_WORK_S = 0.02
_PATIENCE_S = 60.0
_REPOSITORY = Path(__file__).parents[2]
_UNDER_WAY = ("APPROVED", "ACTIVE")


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparisons. Without DBOS Transact its engine is left out (`make bench` installs it)."""
    rows = _local(place, scale)
    if place.name == FIXED or scale.seconds < _SHORT:
        rows += _dbos(place, scale) if importlib.util.find_spec("dbos") is not None else []
    return rows


_SHORT = 0.1  # what no figure is taken from runs everything


def _local(place: Place, scale: Scale) -> list[Row]:
    """Return the rate of the local engine, and what of a step is governance."""
    with ExitStack() as stack:
        names = ("engine", "governed", "null", "long")
        engine, governed, null, long = (
            stack.enter_context(Carried(place.folder / f"{name}.db").open()) for name in names
        )
        over_nothing(null.wb, {OPERATION: null.work})
        long.work.seconds = REAL_WORK_S
        settle()
        # Where nothing sleeps, processor time says it with less noise.
        clock = time.process_time if place.name == MEMORY else time.perf_counter
        few = max(2, int(2 * scale.seconds))
        took = take_turns(
            {
                "governed": partial(governed.seconds_a_step, few, clock),
                "null": partial(null.seconds_a_step, few, clock),
                "long": partial(long.seconds_a_step, 1, time.perf_counter),
                "bare": partial(_bare, long.work),
            },
            scale.rounds,
        )
        rows = _shares(place, took)
        if place.name != MEMORY:  # where a flush takes nothing, it is no limit
            rows = [_rate("local engine on SQLite", place, scale, partial(engine.rate, few * 5)), *rows]
    return rows


def _shares(place: Place, took: dict[str, list[float]]) -> list[Row]:
    share = statistics.median(1 - other / one for one, other in zip(took["governed"], took["null"], strict=True))
    said = f"{place.name}: of the time of a step whose function does nothing, {share:.0%} is governance"

    def row(what: str, name: str, beside: str, other: str, note: str = "") -> Row:
        typical, compared = (statistics.median(took[one]) * 1e6 for one in (name, other))
        words = f"{what}, governed, {place.name}"
        return Row(GROUP, words, typical, "us", beside, compared, ratio(took[name], took[other]), note=note)

    return [
        row("a step", "governed", "over the null executor", "null", said),
        row(f"a step of {REAL_WORK_S * 1e3:.0f} ms", "long", "the call alone", "bare"),
    ]


def _rate(what: str, place: Place, scale: Scale, rate: Callable[[int], float]) -> Row:
    """Return steps per second beside the flush limit."""
    flushes = partial(_flushes, place.folder, int(50 * scale.seconds) + 1)
    took = take_turns({"steps": rate, "flush": flushes}, max(3, scale.rounds // 6))
    typical, limit = statistics.median(took["steps"]), statistics.median(took["flush"])
    within = ratio(took["steps"], took["flush"])
    return Row(GROUP, f"steps, {what}, {place.name}", typical, "/s", "flushes alone", limit, within, better="high")


class Carried:
    """A store, and plans that are carried out there."""

    def __init__(self, path: Path) -> None:
        self.work = Work()
        self.wb: Weighbridge = opened(path, self.work)
        self._numbers = itertools.count()

    def approved(self, count: int) -> list[str]:
        """Let so many plans be approved, and return their ids."""
        return [approve(self.wb, next(self._numbers)) for _ in range(count)]

    @contextmanager
    def open(self) -> Iterator[Carried]:
        """Have the store open."""
        with self.wb:
            yield self

    def seconds_a_step(self, count: int, clock: Callable[[], float], _round: int) -> float:
        """Return the seconds that a step takes typically, of plans that are carried out one after the other."""
        took = []
        for plan_id in self.approved(count):
            start = clock()
            done = self.wb.run_plan(plan_id, TENANT)
            took.append((clock() - start) / STEPS)
            assert done.plan.status == "COMPLETED", done
        return statistics.median(took)

    def rate(self, count: int, _round: int) -> float:
        """Return the steps per second that a worker gets done, from its start until every plan has ended."""
        plans, before = self.approved(count), self.work.calls
        engine = wiring.local_engine(self.wb)
        start = time.perf_counter()
        engine.start()
        _wait_for(lambda: self.work.calls >= before + count * STEPS and _ended(self.wb), every=0.001)
        took = time.perf_counter() - start
        engine.stop()
        _require_completed(self.wb, plans)
        return count * STEPS / took


def _bare(work: Work, _round: int) -> float:
    start = time.perf_counter()
    for _ in range(STEPS):
        work()
    return (time.perf_counter() - start) / STEPS


def _flushes(folder: Path, times: int, _round: int) -> float:
    return 1 / statistics.median(flush_seconds(folder, times))


# --- many workers ---


def _dbos(place: Place, scale: Scale) -> list[Row]:
    """Return the rate of two workers on PostgreSQL."""
    plans = max(2, int(20 * scale.seconds))
    with served(place) as server:
        database = server.database()
        wiring.make_dbos_schema(database.url("postgres"))
        crowd = _Crowd(database.url(), place.folder / "gate")
        with crowd.wb, crowd.working():
            return [_rate(f"dbos engine, {WORKERS} workers on PostgreSQL", place, scale, partial(crowd.rate, plans))]


class _Crowd:
    """Several workers of one store, which begin together, and whoever approves plans there."""

    def __init__(self, store: str, gate: Path) -> None:
        self._store, self._gate = store, gate
        self.wb: Weighbridge = opened(store, Work())
        self._numbers = itertools.count()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Have the workers."""
        command = [sys.executable, "-m", "tests.bench.plan_worker", self._store, str(self._gate)]
        with ExitStack() as stack:
            for _ in range(WORKERS):
                process = subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True)
                stack.enter_context(process)
                stack.callback(process.send_signal, signal.SIGTERM)
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
            yield

    def rate(self, count: int, _round: int) -> float:
        """Return the steps per second, from when all workers are at it until every plan has ended."""
        self._gate.touch()
        try:
            plans = [approve(self.wb, next(self._numbers)) for _ in range(count)]
            _wait_for(lambda: self._begun() >= min(count, AT_ONCE + 1), every=0.02)  # more than one alone takes
        finally:
            begun, start = self._begun(), time.perf_counter()
            self._gate.unlink()
        _wait_for(partial(_ended, self.wb), every=0.02)
        took = time.perf_counter() - start
        _require_completed(self.wb, plans)
        return (count * STEPS - begun) / took  # those that had begun are not counted

    def _begun(self) -> int:
        return sum(plan.running is not None for plan in self.wb.plans(status="ACTIVE", tenant_id=TENANT))


def _ended(wb: Weighbridge) -> bool:
    return next(wb.plans(status=_UNDER_WAY, tenant_id=TENANT), None) is None


def _require_completed(wb: Weighbridge, plans: list[str]) -> None:
    states = [wb.plan(plan_id, TENANT) for plan_id in plans]
    assert {state.status for state in states} == {"COMPLETED"}, [(state.status, state.pause_reason) for state in states]


def _wait_for(true: Callable[[], bool], *, every: float) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not true():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(every)
