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
from weighbridge.storage.locking import LockHeld

SUFFIX = ".sealing"
_MODE = 0o600


class LockFile:
    """An `AdvisoryLock` by ``flock`` on ``<store>.sealing``."""

    def __init__(self, store: str | os.PathLike[str]) -> None:
        path = Path(store).resolve()
        self._path = path.with_name(path.name + SUFFIX)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock (`AdvisoryLock`)."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StoreError(f"the lock file `{self._path}` cannot be made ({error.strerror})") from None
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        try:
            import fcntl  # noqa: PLC0415 - not on every system, and only whoever seals needs it
        except ImportError:
            raise StoreError("this system has no advisory file locks; seal where there are, as on Linux") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(f"another process is sealing this store (it holds `{self._path}`); one at a time") from None
        except OSError as error:
            raise StoreError(f"`{self._path}` cannot be locked ({error.strerror})") from None
