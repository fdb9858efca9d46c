"""Group commit: many callers, one flush. Threads and a queue; what a flush does is handed in.

A durable record costs one flush whoever writes it, so the only lever is records per flush (`docs/reference/storage.md`). The
first caller who finds nobody writing leads, inline, on its own thread: it flushes everything that is queued, hands the lead
to the next in the queue and wakes those it wrote for. What arrives while it flushes is the next batch. An idle store
therefore adds no thread and no delay, a busy one as many records per flush as there are callers, and nobody leads twice for
others.

Promise: every item that is taken is answered, by what the flush set or by a `Refusal`; a caller who is interrupted while
waiting leaves the queue in order.

Two hundred threads that wake at once fight for one interpreter, and its lock then costs more than the work. So those who were
served wake one after the other, each waking the next; and who leads next waits until they are awake, for a moment at most:
whoever asks again at once then shares the flush.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from weighbridge.errors import Refusal, StoreError, WeighbridgeError

AWAKE_WAIT_S_MAX = 0.001  # until those who were answered are awake; about what a flush takes, and rarely reached

_Work = TypeVar("_Work")
_Answer = TypeVar("_Answer")


class Item(Generic[_Work, _Answer]):
    """One thing to write. The flush sets ``answer`` or ``error``."""

    __slots__ = ("answer", "error", "work")

    def __init__(self, work: _Work) -> None:
        self.work: _Work = work
        self.answer: _Answer | None = None
        self.error: WeighbridgeError | None = None

    @property
    def settled(self) -> bool:
        """Return whether the flush said anything."""
        return self.answer is not None or self.error is not None

    @property
    def outcome(self) -> _Answer | WeighbridgeError:
        """Return what the flush said; if it said nothing, nobody knows."""
        if self.error is not None:
            return self.error
        if self.answer is None:
            return Refusal("COMMIT_UNKNOWN", "the write was interrupted; ask again under the same id")
        return self.answer


Take = Callable[[], list[Item[_Work, _Answer]]]
"""Takes the batch from the queue. Called by a flush when it is ready to write: what came until then takes part."""


class _Caller(Generic[_Work, _Answer]):
    """A caller's place in the queue, with everything it wants written."""

    __slots__ = ("called", "gone", "items", "leads", "served", "woken")

    def __init__(self, works: Sequence[_Work]) -> None:
        self.items: list[Item[_Work, _Answer]] = [Item(work) for work in works]
        self.leads = self.called = self.gone = False
        self.served: _Served[_Work, _Answer] | None = None
        self.woken = threading.Lock()  # a bare lock wakes faster than an Event, which is a condition around one
        self.woken.acquire()


class _Served(Generic[_Work, _Answer]):
    """Those whom one flush has answered, in the order in which they wake. ``awake`` is released when all are."""

    __slots__ = ("awake", "callers")

    def __init__(self, callers: list[_Caller[_Work, _Answer]]) -> None:
        self.callers = deque(callers)
        self.awake = threading.Lock()
        self.awake.acquire()


class GroupCommit(Generic[_Work, _Answer]):
    """``flush(take)`` gets the batch from ``take()`` when it is ready to write, and settles every item in it."""

    def __init__(self, flush: Callable[[Take[_Work, _Answer]], None], *, queue_max: int, batch_max: int) -> None:
        self._flush = flush
        self._queue_max, self._batch_max = queue_max, batch_max
        self._gate = threading.Lock()
        self._idle = threading.Condition(self._gate)
        self._queue: deque[_Caller[_Work, _Answer]] = deque()
        self._taken: list[_Caller[_Work, _Answer]] = []
        self._last: _Served[_Work, _Answer] | None = None
        self._led = False
        self._closed = False

    def submit(self, works: Sequence[_Work]) -> list[_Answer | WeighbridgeError]:
        """Return the answer or the error of every work, in order, once a flush has settled them.

        Raises:
            Refusal: ``OVERLOADED``, the queue is full; nothing was queued.
            StoreError: it is closed.
        """
        caller: _Caller[_Work, _Answer] = _Caller(works)
        try:
            self._enter(caller)
            if not caller.leads:
                caller.woken.acquire()
                self._wake_next(caller.served)
            if caller.leads:
                self._lead(caller)
        except BaseException:
            self._leave(caller)
            if caller.called:  # woken, and interrupted before it woke the next
                self._wake_next(caller.served)
            raise
        return [item.outcome for item in caller.items]

    def close(self) -> None:
        """Take no more work, and wait until what is queued is settled."""
        with self._gate:
            self._closed = True
            while self._led:
                self._idle.wait()

    def _enter(self, caller: _Caller[_Work, _Answer]) -> None:
        with self._gate:
            if self._closed:
                raise StoreError("the store is closed")
            if len(self._queue) >= self._queue_max:
                # G2: overload is a refusal, never a silent ALLOW.
                raise Refusal("OVERLOADED", f"{self._queue_max} callers are waiting to be recorded; ask again later")
            self._queue.append(caller)
            caller.leads, self._led = not self._led, True

    def _lead(self, leader: _Caller[_Work, _Answer]) -> None:
        if self._last is not None:
            self._last.awake.acquire(timeout=AWAKE_WAIT_S_MAX)
        try:
            self._flush(self._take)
        finally:
            callers, self._taken = [caller for caller in self._taken if caller is not leader], []
            self._last = served = _Served(callers) if callers else None
            for caller in callers:
                caller.served = served
            self._leave(leader)
            self._wake_next(served)

    def _wake_next(self, served: _Served[_Work, _Answer] | None) -> None:
        """Wake the next of those who were served together and are still there."""
        if served is None:
            return
        # An interrupt may have come between, and what is released here was released already.
        with self._gate, contextlib.suppress(RuntimeError):
            while served.callers:
                caller = served.callers.popleft()
                if not caller.gone:
                    caller.called = True
                    caller.woken.release()
                    return
            served.awake.release()

    def _take(self) -> list[Item[_Work, _Answer]]:
        items: list[Item[_Work, _Answer]] = []
        with self._gate:
            while self._queue and len(items) < self._batch_max:
                caller = self._queue.popleft()
                self._taken.append(caller)
                items += caller.items
        return items

    def _leave(self, caller: _Caller[_Work, _Answer]) -> None:
        """Leave the queue, served or interrupted; whoever leads hands the lead to the next."""
        with self._gate:
            caller.gone = True
            if not all(item.settled for item in caller.items) and caller in self._queue:
                self._queue.remove(caller)
            if not caller.leads:
                return
            caller.leads = False
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].woken.release()
            else:
                self._led = False
                self._idle.notify_all()
