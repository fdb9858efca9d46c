"""Does a reservation cost more on a ledger of a million and a half records? A long run of its own: `--group reserve-growth`.

Two stores of one tenant are filled through the store; then bursts of reservations, as many to a flush as there were callers, take
turns between them. The small store is made anew for every round, so that it stays small. Gigabytes, and minutes.
"""

from __future__ import annotations

import os
import statistics
import time

from tests.bench.flush import FIXED, Place
from tests.bench.growth import remove
from tests.bench.measure import Row, Scale, ratio, settle
from tests.bench.reserve import Submissions
from weighbridge.ledger.submission import Committed
from weighbridge.storage.sqlite import SqliteStore

GROUP = "reserve-growth"
TARGET = 0.7
TO_A_FLUSH = 32
_FILL = 512
_MANY_FOR_A_MILLION_EVENTS = 1_500_000


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the rate on a large ledger beside the rate on a small one."""
    few, many = scale.events_few, scale.events_many * _MANY_FOR_A_MILLION_EVENTS // 1_000_000
    rates: dict[str, list[float]] = {"large": [], "small": []}
    store = SqliteStore(place.folder / "large.db", entropy=os.urandom)
    large = Submissions(store)
    _fill(store, large, many)
    settle()
    for number in range(max(3, scale.rounds // 3)):
        path = place.folder / f"small-{number}.db"
        other = SqliteStore(path, entropy=os.urandom)
        small = Submissions(other)
        _fill(other, small, few)
        rates["small"].append(_rate(other, small, scale))
        rates["large"].append(_rate(store, large, scale))
        other.close()
        remove(path)
    store.close()
    return [
        Row(
            GROUP,
            f"reserve at {many:,} records, {TO_A_FLUSH} to a flush, {place.name}",
            statistics.median(rates["large"]),
            "/s",
            f"at {few:,} records",
            statistics.median(rates["small"]),
            ratio(rates["large"], rates["small"]),
            TARGET if place.name == FIXED else None,
            better="high",
        )
    ]


def _fill(store: SqliteStore, made: Submissions, count: int) -> None:
    for first in range(0, count, _FILL):
        answers = store.commit_many([made.request("reserve", "t-0") for _ in range(min(_FILL, count - first))])
        assert all(isinstance(answer, Committed) for answer in answers), answers[:3]


def _rate(store: SqliteStore, made: Submissions, scale: Scale) -> float:
    bursts = [[made.request("reserve", "t-0") for _ in range(TO_A_FLUSH)] for _ in range(scale.decisions)]
    start = time.perf_counter()
    for burst in bursts:
        store.commit_many(burst)
    return len(bursts) * TO_A_FLUSH / (time.perf_counter() - start)
