"""Working until a signal says to end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def until_signalled() -> Iterator[Callable[[], bool]]:
    """Give what says whether SIGTERM or SIGINT came. The second one is what it would be without us. In the main thread only."""
    before: dict[int, Any] = {}
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)  # nothing that takes a lock: whoever holds it may be what was interrupted
        signal.signal(number, before[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for signalled, handler in before.items():
            signal.signal(signalled, handler)
