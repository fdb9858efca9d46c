"""One process at a time: the port of an advisory lock that goes with a store.

Two sealers that continue the same log would each publish a next seal, and the log would fork. So whoever seals holds this lock
from reading the last seal to publishing the next, and asks right before publishing whether it still does. It keeps our own
processes apart; it is not what makes a seal believable.

Whoever carries out plans alone holds another one, because it takes an attempt that is running, and not in its own hands, for
left behind, and says that its outcome is unknown. Nothing would be called twice without the lock: the store draws attempts.

Behind it: a lock file beside a SQLite store (``storage.sqlite.lock``), a transaction's lock in PostgreSQL
(``storage.postgres.lock``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from weighbridge.errors import WeighbridgeError


class LockName(NamedTuple):
    """Which lock: a word for where it is kept, a number for a database, and what its holder does."""

    word: str
    key: int
    does: str


SEALING = LockName("sealing", int.from_bytes(b"wbridge.", "big"), "sealing this store")
SWEEPING = LockName("sweeping", int.from_bytes(b"wbsweep.", "big"), "looking for plans to carry out")
WORKING = LockName("working", int.from_bytes(b"wbplans.", "big"), "carrying out the plans of this store")

StillHeld = Callable[[], None]
"""Raises :class:`LockLost` where the lock is no longer ours. What comes after it may be late all the same, by a moment."""


class LockHeld(WeighbridgeError):
    """Another process holds the lock; nothing was done."""


class LockLost(WeighbridgeError):
    """The lock was held and is not any more: another process may have it. Whoever held it stops, and begins anew."""


class AdvisoryLock(Protocol):
    """A lock that ends with the process that holds it, however that ends."""

    def held(self) -> AbstractContextManager[StillHeld]:
        """Hold the lock, without waiting for it, and give what asks whether it still is.

        Raises:
            LockHeld: another process holds it.
            StoreError: it cannot be had here at all.
        """
