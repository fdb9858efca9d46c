"""Reservations per second, alone and beside a choke point, as multiples of what flushes alone allow.

A reservation is four caps of one policy, each with a counter of its own, an operation id that is looked up and bound, and one
record in the chain. It is measured at two levels: the store, which is handed finished submissions and decides, writes and
flushes them; and the governed call, which is everything a host asks for, from a mapping to a decision.

Callers are threads of one process. `hot` is one tenant, whose counters and chain every reservation moves: nothing can be done
side by side. `1,000 tenants` are asked for at random.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tests.bench import workload
from tests.bench.flush import FIXED, Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, take_turns
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.runtime import Weighbridge
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.storage.writing import LedgerWriter
from weighbridge.testing.submissions import cap, decision, draft, hashed, reservation
from weighbridge.wiring import open as open_weighbridge

GROUP = "reserve"
TENANTS = 1_000
PROCESSES = 4
OPERATION = "crm.update_renewal"

POLICY: dict[str, Any] = workload.POLICY | {
    "budgets": {
        "caps": [
            {"id": "tenant-day", "hard_cap": "90G/day"},
            {"id": "tool-day", "scope": {"tool": "each"}, "hard_cap": "9G/day"},
            {"id": "plan", "scope": {"plan": "each"}, "hard_cap": "900G/plan"},
            {"id": "account-month", "scope": {"account": "each"}, "cost_classes": ["MEDIUM"], "hard_cap": "900G/month"},
        ]
    }
}
"""The ten rules of the other groups, and four caps, under all of which every operation falls."""


@dataclass(frozen=True)
class Crowd:
    """Who asks at once, for how many tenants, and how many times the flush limit they are to get (`storage.md`)."""

    callers: int
    tenants: int
    target: float | None

    @property
    def words(self) -> str:
        """Return what the table calls it."""
        if self.callers == 1:
            return "1 caller"
        return f"{self.callers} callers, {'hot' if self.tenants == 1 else f'{self.tenants:,} tenants'}"


ONE, HOT, MANY, CROWD = Crowd(1, 1, 0.75), Crowd(32, 1, 12), Crowd(32, TENANTS, 8), Crowd(256, 1, 25)
_ASKED = {"reserve": (ONE, HOT, MANY, CROWD), "gate": (ONE, HOT), "both": (ONE, HOT)}
_ALLOWED_MS = 100.0


def run(place: Place, scale: Scale) -> list[Row]:
    """Return decisions per second beside the flush limit."""
    per_round = scale.seconds / 4
    rounds = max(3, scale.rounds // 6)
    with open_weighbridge(POLICY, place.folder / "governed.db") as wb:
        store = SqliteStore(place.folder / "store.db", entropy=os.urandom)
        levels: dict[str, Any] = {"store": Submissions(store), "governed": _Governed(wb)}
        for level in levels.values():
            level.know(TENANTS if scale.seconds >= 1 else 10)
        contenders: dict[str, Callable[[int], float]] = {
            f"{what}, {level}, {crowd.words}": partial(_rate, levels[level], what, crowd, per_round)
            for level in levels
            for what, crowds in _ASKED.items()
            for crowd in crowds
        }
        contenders["flush"] = partial(_flushes, place.folder, int(50 * scale.seconds))
        settle()
        took = take_turns(contenders, rounds)
        store.close()
    targets = {f"reserve, store, {crowd.words}": crowd.target for crowd in _ASKED["reserve"]}
    limit = took.pop("flush")
    rows = [
        Row(
            GROUP,
            f"{name}, {place.name}",
            statistics.median(rates),
            "/s",
            "flushes alone",
            statistics.median(limit),
            ratio(rates, limit),
            targets.get(name) if place.name == FIXED else None,
            better="high",
        )
        for name, rates in took.items()
    ]
    return [*rows, _longest_wait(place, scale)]


def _longest_wait(place: Place, scale: Scale) -> Row:
    """Return how long one of `PROCESSES` that all write to one file had to wait at most."""
    path = place.folder / "shared.db"
    SqliteStore(path, entropy=os.urandom).close()
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(PROCESSES) as pool:
        waits = pool.starmap(_write_alone, [(str(path), number, scale.seconds) for number in range(PROCESSES)])
    return Row(
        GROUP,
        f"longest wait of {PROCESSES} processes on one file, {place.name}",
        max(waits) * 1e3,
        "ms",
        "allowed",
        _ALLOWED_MS,
        max(waits) * 1e3 / _ALLOWED_MS,
        1.0 if place.name == FIXED else None,
    )


def _write_alone(path: str, process: int, seconds: float) -> float:
    """Commit one after the other, in a process of its own, and return the longest that one commit took."""
    store = SqliteStore(path, entropy=os.urandom)
    level = Submissions(store, f"p{process}-")
    longest, until = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        submission = level.request("reserve", "t-0")
        start = time.perf_counter()
        store.commit(submission)
        longest = max(longest, time.perf_counter() - start)
    store.close()
    return longest


def _flushes(folder: Path, times: int, _round: int) -> float:
    return 1 / statistics.median(flush_seconds(folder, times))


class Submissions:
    """Finished submissions, straight to the store."""

    per_second_max = 30_000  # made before the clock starts; who runs out of them stops early

    def __init__(self, store: LedgerWriter, prefix: str = "") -> None:
        self._store, self._prefix, self._number = store, prefix, itertools.count()
        scopes: tuple[tuple[str, dict[str, Any]], ...] = (
            ("tenant-day", {}),
            ("tool-day", {"scope": (("tool", None),)}),
            ("plan", {"scope": (("plan", None),)}),
            ("account-month", {"scope": (("account", None),)}),
        )
        caps = [cap(name, 9 * 10**14, **given) for name, given in scopes]
        self._reserve = reservation("x", caps, tool=OPERATION)
        # The policy is one, whatever is asked under it.
        policy = {"policy_version": self._reserve.policy_version, "terms": self._reserve.terms}
        self._gate = msgspec.structs.replace(decision(draft("x")), **policy)
        self._both = reservation("x", caps, draft("x"), tool=OPERATION)
        self.ask: Callable[[Submission], Committed] = store.commit

    def know(self, tenants: int) -> None:
        """Let every tenant have its first record, which activates the policy."""
        self._tenants = tenants
        firsts = [self.request("reserve", f"t-{number}") for number in range(tenants)]
        assert all(isinstance(answer, Committed) for answer in self._store.commit_many(firsts))

    def request(self, what: str, tenant: str) -> Submission:
        """Return a submission that nobody made before."""
        number = next(self._number)
        name = f"{self._prefix}op-{number:09d}"
        base = {"reserve": self._reserve, "gate": self._gate, "both": self._both}[what]
        changed: dict[str, Any] = {"tenant_id": tenant}
        if base.operation is not None:
            changed["operation"] = (name, hashed(name))
        if base.runs:
            mine = {"validation_run_id": f"{name}:run", "request_hash": hashed(name), "proposal_hash": hashed(name)}
            changed["runs"] = (msgspec.structs.replace(base.runs[0], **mine),)
        return msgspec.structs.replace(base, **changed)

    def tenant(self, crowd: Crowd, chance: random.Random) -> str:
        """Return whom the next request is for."""
        return "t-0" if crowd.tenants == 1 else f"t-{chance.randrange(self._tenants)}"


class _Governed:
    """What a host asks for: `gate`, `reserve`, and `reserve` beside a choke point."""

    per_second_max = 8_000

    def __init__(self, wb: Weighbridge) -> None:
        self._wb, self._number = wb, itertools.count()

    def know(self, tenants: int) -> None:
        """Let every tenant have its first record, which activates the policy."""
        self._tenants = tenants
        self._wb.answer_many([self.request("reserve", f"t-{number}") for number in range(tenants)])
        assert self.ask(self.request("both", "t-0")).verdict is Verdict.ALLOW

    def ask(self, request: dict[str, Any]) -> Any:
        """Return the decision."""
        return self._wb.reserve(request) if "budget" in request else self._wb.gate(request)

    def request(self, what: str, tenant: str) -> dict[str, Any]:
        """Return a request that nobody made before."""
        number = next(self._number)
        if what == "reserve":
            return {
                "operation_id": f"op-{number:09d}",
                "tenant_id": tenant,
                "account_id": "a-1",
                "plan_id": "p-1",
                "budget": {"operation": OPERATION},
            }
        asked = workload.request(number) | {"tenant_id": tenant, "account_id": "a-1", "plan_id": "p-1"}
        return asked if what == "gate" else asked | {"operation_id": f"op-{number:09d}", "budget": {}}

    def tenant(self, crowd: Crowd, chance: random.Random) -> str:
        """Return whom the next request is for."""
        return "t-0" if crowd.tenants == 1 else f"t-{chance.randrange(self._tenants)}"


def _rate(level: Any, what: str, crowd: Crowd, seconds: float, number: int) -> float:
    chance = random.Random(number)
    count = int(seconds * level.per_second_max / max(1, 12 / crowd.callers))
    requests = [level.request(what, level.tenant(crowd, chance)) for _ in range(max(count, crowd.callers))]
    return together(level.ask, [requests[caller :: crowd.callers] for caller in range(crowd.callers)], seconds)


def together(ask: Callable[[Any], object], shares: Sequence[Sequence[Any]], seconds: float) -> float:
    """Return the answers per second that one thread a share gets, all asking at once."""
    done = [0] * len(shares)
    start = threading.Barrier(len(shares) + 1)

    def call(caller: int) -> None:
        mine = shares[caller]
        start.wait()
        until = time.perf_counter() + seconds
        for request in mine:
            ask(request)
            done[caller] += 1
            if time.perf_counter() > until:
                return

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(len(shares))]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)
