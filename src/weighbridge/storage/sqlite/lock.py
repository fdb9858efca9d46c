"""The advisory lock of a SQLite store: a file beside it, locked by the operating system for as long as the process lives.

The file is empty and stays; what counts is the lock on it, which no crash leaves behind. It is another file than the store,
because closing any descriptor of a file gives up all of a process's locks on it, SQLite's included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weighbridge.errors import StoreError
from weighbridge.storage.locking import SEALING, LockHeld, LockLost, LockName, StillHeld

_MODE = 0o600


class LockFile:
    """An `AdvisoryLock` by ``flock`` on a file beside the store, as ``<store>.sealing``."""

    def __init__(self, store: str | os.PathLike[str], name: LockName = SEALING) -> None:
        self._does = name.does
        path = Path(store).resolve()
        self._path = path.with_name(f"{path.name}.{name.word}")

    @contextmanager
    def held(self) -> Iterator[StillHeld]:
        """Hold the lock (`AdvisoryLock`)."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StoreError(f"the lock file `{self._path}` cannot be made ({error.strerror})") from None
        try:
            self._lock(descriptor)
            yield lambda: self._require(descriptor)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            import fcntl  # noqa: PLC0415 - not on every system, and only whoever seals needs it
        except ImportError:
            raise StoreError("this system has no advisory file locks; use one that has, as Linux") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(f"another process is {self._does} (it holds `{self._path}`); one at a time") from None
        except OSError as error:
            raise StoreError(f"`{self._path}` cannot be locked ({error.strerror})") from None

    def _require(self, descriptor: int) -> None:
        """Require that the file beside the store is still the one that is locked: whoever removed it may have made another."""
        try:
            same = os.path.samestat(os.fstat(descriptor), self._path.stat())
        except OSError:
            same = False
        if not same:
            raise LockLost(
                f"the lock file `{self._path}` was removed; another process may be {self._does}, start again"
            )
