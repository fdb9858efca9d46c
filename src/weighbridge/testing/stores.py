"""What the tests of a store stand on, whichever store it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from weighbridge.ledger.record import Event, events
from weighbridge.ledger.submission import Committed
from weighbridge.storage.reading import LedgerReader
from weighbridge.storage.writing import LedgerWriter

TURN_S_MIN = 0.000_01  # in turns of 5 ms, the default, threads hardly ever meet


class Store(LedgerWriter, LedgerReader, Protocol):
    """Both sides of a store."""


def told(answer: Committed) -> list[Event]:
    """Return the events of a committed record."""
    return list(events(answer.body))


def in_threads(call: Callable[[int], None], numbers: Iterable[int]) -> None:
    """Call with every number at the same time, in turns as short as they get, and raise what any of them raised."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            call(number)
        except BaseException as error:  # noqa: BLE001 - raised below, on the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in numbers]
    turn_s = sys.getswitchinterval()
    sys.setswitchinterval(TURN_S_MIN)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(turn_s)
    if failures:
        raise failures[0]
