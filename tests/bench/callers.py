"""Decisions per second with 1, 4 and 16 callers, and in bulk, as multiples of what flushes alone allow.

One durable record costs one flush, whoever asks; callers who arrive while a flush is under way share the next. All callers
here are threads of one process and ask for the same tenant, whose chain every record extends: the hardest case.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import workload
from tests.bench.flush import Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, take_turns
from weighbridge.domain.decision import GateDecision
from weighbridge.runtime import Weighbridge
from weighbridge.wiring import open as open_weighbridge

GROUP = "callers"
CALLERS = (1, 4, 16)
BULK = 500
_REQUESTS_PER_SECOND_MAX = 8_000  # made before the clock starts; whoever runs out of them stops early


def run(place: Place, scale: Scale) -> list[Row]:
    """Return decisions per second beside the flush limit."""
    per_round = scale.seconds / 4
    rounds = max(3, scale.rounds // 6)
    with open_weighbridge(workload.POLICY, place.folder / "callers.db") as wb:
        asked = _Asked(wb)
        flushes = int(50 * scale.seconds)
        contenders: dict[str, Callable[[int], float]] = {
            f"{count} caller{'s' if count > 1 else ''}": partial(asked.threads, count, per_round) for count in CALLERS
        }
        contenders[f"answer_many of {BULK}"] = partial(asked.bulk, per_round)
        contenders["flush"] = partial(_flushes, place.folder, flushes)
        settle()
        took = take_turns(contenders, rounds)
    limit = took.pop("flush")
    return [
        Row(
            GROUP,
            f"{name}, {place.name}",
            statistics.median(rates),
            "/s",
            "flushes alone",
            statistics.median(limit),
            ratio(rates, limit),
            better="high",
        )
        for name, rates in took.items()
    ]


def _flushes(folder: Path, times: int, _round: int) -> float:
    return 1 / statistics.median(flush_seconds(folder, times))


class _Asked:
    """Asks for decisions no one asked for before, and counts."""

    def __init__(self, wb: Weighbridge) -> None:
        self._wb, self._next = wb, 0

    def threads(self, callers: int, seconds: float, _round: int) -> float:
        """Return the decisions per second that ``callers`` threads get together."""
        count = int(seconds * _REQUESTS_PER_SECOND_MAX / callers)
        shares = [self._requests(count) for _ in range(callers)]
        done = [0] * callers
        start = threading.Barrier(callers + 1)

        def call(caller: int) -> None:
            start.wait()
            until = time.perf_counter() + seconds
            for request in shares[caller]:
                self._wb.gate(request)
                done[caller] += 1
                if time.perf_counter() > until:
                    return

        threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
        for thread in threads:
            thread.start()
        start.wait()
        began = time.perf_counter()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - began)

    def bulk(self, seconds: float, _round: int) -> float:
        """Return the decisions per second of one caller who asks for `BULK` at a time."""
        done, took = 0, 0.0
        while took < seconds:
            requests = self._requests(BULK)
            start = time.perf_counter()
            answers = self._wb.answer_many(requests)
            took += time.perf_counter() - start
            assert all(isinstance(answer, GateDecision) for answer in answers), answers[:3]
            done += len(answers)
        return done / took

    def _requests(self, count: int) -> Sequence[dict[str, Any]]:
        first, self._next = self._next, self._next + count
        return [workload.request(number) for number in range(first, first + count)]
