"""One process at a time: the port of an advisory lock that goes with a store.

Two sealers that continue the same log would each publish a next seal, and the log would fork. So whoever seals holds this lock
from reading the last seal to publishing the next. It keeps our own processes apart; it is not what makes a seal believable.

Behind it: a lock file beside a SQLite store (``storage.sqlite.lock``). PostgreSQL has advisory locks of its own for this.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from weighbridge.errors import WeighbridgeError


class LockHeld(WeighbridgeError):
    """Another process holds the lock; nothing was done."""


class AdvisoryLock(Protocol):
    """A lock that ends with the process that holds it, however that ends."""

    def held(self) -> AbstractContextManager[None]:
        """Hold the lock, without waiting for it.

        Raises:
            LockHeld: another process holds it.
            StoreError: it cannot be had here at all.
        """
