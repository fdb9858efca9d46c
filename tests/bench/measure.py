"""How things are timed: in short blocks that take turns, and compared within each turn.

The machine is never quiet. So the contenders of a comparison run one after the other in every round, the order turns from
round to round, and what is reported is the median over the rounds: of each one's time, and of the ratio within a round.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Clock = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One comparison: what was measured, beside what, and whether the ratio keeps its target.

    ``better`` says which way is better: ``low`` (at most the target) or ``high`` (at least).
    """

    group: str
    what: str
    value: float
    unit: str
    beside: str
    beside_value: float
    ratio: float
    target: float | None = None
    better: str = "low"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Return whether the target is met; None where there is none."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.better == "low" else self.ratio >= self.target

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return asdict(self) | {"met": self.met}


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    rounds: int
    calls: int
    """Calls in one block of something that takes microseconds."""
    decisions: int
    """Decisions in one block of something that takes a flush each."""
    seconds: float
    """How long callers keep asking."""
    events_few: int
    events_many: int
    processes: int
    """Fresh interpreters per contender."""


FULL = Scale(rounds=31, calls=250, decisions=60, seconds=3.0, events_few=1_000, events_many=1_000_000, processes=61)
QUICK = Scale(rounds=7, calls=250, decisions=20, seconds=0.5, events_few=200, events_many=5_000, processes=5)


def take_turns(contenders: Mapping[str, Callable[[int], float]], rounds: int) -> dict[str, list[float]]:
    """Return what every contender answers in every round (it is told which), after a first round that does not count."""
    names = list(contenders)
    for name in names:
        contenders[name](-1)
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            took[name].append(contenders[name](number))
    return took


def ratio(values: Sequence[float], beside: Sequence[float]) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(one / other for one, other in zip(values, beside, strict=True))


def typical_call(
    function: Callable[[Any], object], arguments: Sequence[Any], *, clock: Clock = time.perf_counter, together: int = 1
) -> float:
    """Return the seconds that a call typically takes: the median over the arguments.

    Calls are timed ``together`` where one alone is too short for the clock.
    """
    took = []
    for first in range(0, len(arguments), together):
        some = arguments[first : first + together]
        start = clock()
        for argument in some:
            function(argument)
        took.append((clock() - start) / len(some))
    return statistics.median(took)


def settle() -> None:
    """Put what was built for the measurement out of the collector's sight, as a long-running program's memory is."""
    gc.collect()
    gc.freeze()


def table(rows: Iterable[Row]) -> str:
    """Return the rows as text, aligned."""
    cells = [("group", "what", "takes", "beside", "takes", "ratio", "target", "")]
    for row in rows:
        sign = "<=" if row.better == "low" else ">="
        target = "" if row.target is None else f"{sign} {row.target:g}"
        met = {None: "", True: "ok", False: "MISSED"}[row.met]
        takes, other = (f"{number:,.1f} {row.unit}" for number in (row.value, row.beside_value))
        cells.append((row.group, row.what, takes, row.beside, other, f"{row.ratio:.2f}", target, met))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = (
            cell.rjust(width) if place in {2, 4, 5} else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        lines.append("  ".join(padded).rstrip())
    notes = dict.fromkeys(f"{row.group}: {row.note}" for row in rows if row.note)
    return "\n".join([*lines, *([""] if notes else []), *notes])
