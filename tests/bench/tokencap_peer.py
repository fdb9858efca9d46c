"""One reservation beside one of `tokencap`, on SQLite: what a single caller waits, and what 32 callers get.

Theirs is `SQLiteBackend.check_and_increment` over four keys, with the keys of a `Guard`: what its interceptor calls before every
request to a model, without the interceptor. It checks four limits and adds to four rows, one transaction and one flush a call;
it keeps no record of what it decided, knows no operation ids, periods, units or classes. Ours is `Weighbridge.reserve` under
four caps: everything, from a mapping to a decision that is on record. Both files lie on the same place.
"""

from __future__ import annotations

import importlib
import itertools
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.flush import DISK, Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, take_turns, typical_call
from tests.bench.reserve import OPERATION, POLICY, together
from weighbridge.runtime import Weighbridge
from weighbridge.wiring import open as open_weighbridge

GROUP = "tokencap"
LATENCY_TARGET, RATE_TARGET = 2.0, 4.0
CALLERS = 32
DIMENSIONS = ("tenant", "tool", "plan", "account")
_LIMIT = 10**15
_RATE_MAX = 20_000
_WARM = 1_000  # until both write-ahead logs have their size: a log that still grows costs a file system several flushes


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparisons at one place."""
    rounds, seconds = max(3, scale.rounds // 4), scale.seconds / 4
    guard, theirs = _theirs(place.folder / "tokencap.db")
    with open_weighbridge(POLICY, place.folder / "ours.db") as wb:
        ours = _Ours(wb)
        for request in ours.requests(_WARM):
            ours.ask(request)
        for _ in range(_WARM):
            theirs(None)
        settle()
        alone = take_turns(
            {
                "ours": lambda _round: typical_call(ours.ask, ours.requests(scale.decisions)),
                "theirs": lambda _round: typical_call(theirs, range(scale.decisions)),
            },
            rounds,
        )
        crowds = take_turns(
            {
                "ours": lambda _round: _rate(ours.ask, ours.requests, seconds),
                "theirs": lambda _round: _rate(theirs, lambda count: [0] * count, seconds),
            },
            rounds,
        )
    guard.teardown()
    flush = statistics.median(flush_seconds(place.folder, scale.decisions))
    judged = place.name == DISK
    return [
        Row(
            GROUP,
            f"reserve, 1 caller, {place.name}",
            statistics.median(alone["ours"]) * 1e6,
            "us",
            "tokencap",
            statistics.median(alone["theirs"]) * 1e6,
            ratio(alone["ours"], alone["theirs"]),
            LATENCY_TARGET,
            note=f"{place.name}: a flush alone takes {flush * 1e3:.2f} ms",
        ),
        Row(
            GROUP,
            f"reserve, {CALLERS} callers, {place.name}",
            statistics.median(crowds["ours"]),
            "/s",
            "tokencap",
            statistics.median(crowds["theirs"]),
            ratio(crowds["ours"], crowds["theirs"]),
            RATE_TARGET if judged else None,
            better="high",
        ),
    ]


def _rate(ask: Callable[[Any], object], requests: Callable[[int], Any], seconds: float) -> float:
    made = requests(int(_RATE_MAX * seconds) + CALLERS)
    return together(ask, [made[caller::CALLERS] for caller in range(CALLERS)], seconds)


class _Ours:
    """Reservations that nobody made before, of one tenant, plan and account."""

    def __init__(self, wb: Weighbridge) -> None:
        self._number = itertools.count()
        self.ask = wb.reserve

    def requests(self, count: int) -> list[dict[str, Any]]:
        """Return so many of them."""
        about = {"tenant_id": "acme", "account_id": "a-1", "plan_id": "p-1", "budget": {"operation": OPERATION}}
        return [{"operation_id": f"op-{next(self._number):09d}", **about} for _ in range(count)]


def _theirs(path: Path) -> tuple[Any, Callable[[object], object]]:
    # Installed for the benchmark only; looked up here so that the suite can be read without it.
    backend = importlib.import_module("tokencap.backends.sqlite").SQLiteBackend(str(path))
    core = {name: importlib.import_module(f"tokencap.core.{name}") for name in ("guard", "policy", "types")}
    dimensions = {name: core["policy"].DimensionPolicy(limit=_LIMIT) for name in DIMENSIONS}
    guard = core["guard"].Guard(
        policy=core["policy"].Policy(dimensions=dimensions),
        identifiers={name: f"{name}-1" for name in DIMENSIONS},
        backend=backend,
        otel_enabled=False,
        quiet=True,
    )
    return guard, partial(_reserve, guard, core["types"].BudgetKey)


def _reserve(guard: Any, key: Any, _request: object) -> object:
    keys = [key(dimension=name, identifier=guard.identifiers[name]) for name in guard.policy.dimensions]
    result = guard.backend.check_and_increment(keys, 1)
    assert result.allowed
    return result
