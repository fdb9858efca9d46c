"""Does a decision cost more on a ledger of a million events than on one of a thousand?

A gate's record holds five events. Two stores of one tenant are filled through the product itself; then decisions take turns
between them. The small store is made anew for every round, so that it stays small. Reported are what a decision typically takes
(the median), and the average, which has the checkpoints of the write-ahead log in it and every interruption by the machine.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from tests.bench import workload
from tests.bench.flush import Place
from tests.bench.measure import Row, Scale, ratio, settle, typical_call
from weighbridge.domain.decision import GateDecision
from weighbridge.runtime import Weighbridge
from weighbridge.wiring import open as open_weighbridge

GROUP = "growth"
TARGET = 1.2
EVENTS_PER_DECISION = 5
_BULK = 500


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparison of a large ledger with a small one."""
    few, many = scale.events_few // EVENTS_PER_DECISION, scale.events_many // EVENTS_PER_DECISION
    block = scale.decisions * 2
    took: dict[str, list[tuple[float, float]]] = {"large": [], "small": []}
    with open_weighbridge(workload.POLICY, place.folder / "large.db") as large:
        _fill(large, 0, many)
        settle()
        for number in range(max(3, scale.rounds // 2)):
            path = place.folder / f"small-{number}.db"
            with open_weighbridge(workload.POLICY, path) as small:
                _fill(small, 0, few)
                took["small"].append(_block(small, few, block))
            remove(path)
            took["large"].append(_block(large, many + number * block, block))

    def row(which: int, words: str, target: float | None) -> Row:
        at_many, at_few = ([both[which] for both in took[name]] for name in ("large", "small"))
        return Row(
            GROUP,
            f"decision at {scale.events_many:,} events, {place.name}, {words}",
            statistics.median(at_many) * 1e6,
            "us",
            f"at {scale.events_few:,} events",
            statistics.median(at_few) * 1e6,
            ratio(at_many, at_few),
            target,
        )

    return [row(0, "typical", TARGET), row(1, "average", None)]


def _fill(wb: Weighbridge, first: int, count: int) -> None:
    warm = min(count, 20)  # asked one by one, as the measured ones are
    for start in range(first, first + count - warm, _BULK):
        stop = min(start + _BULK, first + count - warm)
        answers = wb.answer_many([workload.request(number) for number in range(start, stop)])
        assert all(isinstance(answer, GateDecision) for answer in answers), answers[:3]
    for number in range(first + count - warm, first + count):
        wb.gate(workload.request(number))


def _block(wb: Weighbridge, first: int, count: int) -> tuple[float, float]:
    """Return the seconds of a decision, typically and on average."""
    requests = [workload.request(number) for number in range(first, first + count)]
    start = time.perf_counter()
    typical = typical_call(wb.gate, requests)
    return typical, (time.perf_counter() - start) / count


def remove(path: Path) -> None:
    """Remove a store and what lies beside it."""
    for end in ("", "-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
