"""One process at a time carries out the plans of a store: its advisory lock, held once for all threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from weighbridge.storage.locking import AdvisoryLock, StillHeld


class Alone:
    """Holds a store's lock as long as any thread of this process works under it. ``lock`` None: nobody else has the store."""

    def __init__(self, lock: AdvisoryLock | None) -> None:
        self.lock: AdvisoryLock | None = lock
        self._guard = threading.Lock()
        self._count = 0
        self._held = ExitStack()
        self._still_held: StillHeld = lambda: None

    @contextmanager
    def held(self) -> Iterator[StillHeld]:
        """Hold it, and give what asks whether it still is.

        Raises:
            LockHeld: another process has it.
        """
        still_held = self.take()
        try:
            yield still_held
        finally:
            self.give_back()

    def take(self) -> StillHeld:
        """Hold it until it is given back as often."""
        with self._guard:
            if self._count == 0 and self.lock is not None:
                self._still_held = self._held.enter_context(self.lock.held())
            self._count += 1
            return self._still_held

    def give_back(self) -> None:
        """Let it go, where nobody else in this process holds it."""
        with self._guard:
            self._count -= 1
            if self._count == 0:
                self._held.close()
