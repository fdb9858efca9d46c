"""The local engine: one worker process for a store, one thread in it, and nothing to install.

It holds the store's lock, looks at the plans that something may have to be done about, in the order of their ids, and gives each
one action in turn, until a whole round has nothing left to do; then it waits for a moment, or until it is woken. It keeps
nothing between two rounds: whatever crashed when, the rows say where every plan stands. What goes wrong with one plan is logged,
once for as long as it stays the same, and stops no other; neither does an operation that ends its thread, with `SystemExit`, a
cancellation or an exception of its own: its attempt is on record as unknown, and the worker goes on.

A frozen process keeps a lock file's lock, and loses a database's after a while; it asks before each action. An attempt that it
was in the middle of then is settled as unknown by the next worker, and counts if its end is told after all.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from weighbridge.errors import UsageError, WeighbridgeError
from weighbridge.orchestrator.advancing import Orchestrator
from weighbridge.storage.locking import LockLost, StillHeld

_log = logging.getLogger("weighbridge.worker")

POLL_S = 1.0
"""How long a worker waits where there is nothing to do: as late it sees what another process did, and what expired."""

POLL_S_MAX = 60.0


class LocalEngine:
    """A `PlanEngine` in this process. Start it once; or let it have the main thread with :meth:`serve`."""

    def __init__(self, orchestrator: Orchestrator, *, poll_s: float = POLL_S) -> None:
        if not 0 < poll_s <= POLL_S_MAX:
            raise UsageError(f"a worker looks again after more than 0 and at most {POLL_S_MAX:g} s, not {poll_s!r}")
        self._orchestrator = orchestrator
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._wrong: dict[tuple[str, str], str] = {}

    def start(self) -> None:
        """Begin, in a thread (`PlanEngine`)."""
        if self._thread is not None:
            raise UsageError("this worker was started already; make another one")
        still_held = self._orchestrator.alone.take()
        self._thread = threading.Thread(
            target=self._work_and_leave, args=(still_held,), name="weighbridge-plans", daemon=True
        )
        self._thread.start()

    def wake(self, tenant_id: str, plan_id: str) -> None:  # noqa: ARG002 - a round looks at all there is to do
        """Look again now (`PlanEngine`)."""
        self._woken.set()

    def stop(self, *, drain: bool = True) -> None:
        """End (`PlanEngine`). Without ``drain``, an attempt that is running goes on for as long as the process lives."""
        self._stopping = True
        self._woken.set()
        if drain and self._thread is not None:
            self._thread.join()

    def serve(self) -> None:
        """Work in this thread, the main one, until SIGTERM or SIGINT; then end what is running, start nothing, and return.

        Raises:
            LockHeld: another worker drives the plans of this store.
            LockLost: this one does not any more; start it again.
        """
        with self._orchestrator.alone.held() as still_held, self._draining_on_signals():
            self._work(still_held)

    def _work_and_leave(self, still_held: StillHeld) -> None:
        try:
            self._work(still_held)
        except LockLost as lost:
            _log.error("this worker stops: %s", lost)
        except BaseException as error:  # noqa: BLE001 - a thread that ends by SystemExit says nothing by itself
            _log.critical("this worker stops, and carries out nothing more: %s", type(error).__name__)
        finally:
            self._orchestrator.alone.give_back()

    def _work(self, still_held: StillHeld) -> None:
        while not self._stopping:
            self._woken.clear()  # before looking: whoever wakes us meanwhile is looked at in the next round
            if not self._round(still_held):
                self._woken.wait(self._poll_s)

    def _round(self, still_held: StillHeld) -> bool:
        """Give every plan one action, and return whether any had one: then there may be more.

        Raises:
            LockLost: another process may be at the same plans.
        """
        progress = False
        try:
            waiting = list(self._orchestrator.work())
        except Exception as error:  # noqa: BLE001 - the store, as a whole
            self._tell(("", ""), error)
            return False
        self._forget({*waiting})
        for plan in waiting:
            if self._stopping:
                return False
            still_held()
            progress = self._advanced(*plan) or progress
        return progress

    def _advanced(self, tenant_id: str, plan_id: str) -> bool:
        """Give one plan one action. Whatever is wrong with it is not wrong with the others."""
        try:
            done = self._orchestrator.advance(tenant_id, plan_id)
        except BaseException as error:  # a plan that cannot go on stops no other, whatever its step raised
            # A person's, in the main thread: a signal reaches no other one. After our own, nothing more is started anyway.
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            self._tell((tenant_id, plan_id), error)
            return False
        self._wrong.pop((tenant_id, plan_id), None)
        return done.recorded

    def _tell(self, plan: tuple[str, str], error: BaseException) -> None:
        # What a foreign exception says may be anybody's address; ours says what to do.
        said = str(error) if isinstance(error, WeighbridgeError) else type(error).__name__
        if self._wrong.get(plan) != said:
            self._wrong[plan] = said
            _log.error("plan `%s` of tenant `%s` cannot go on for now: %s", plan[1], plan[0], said)

    def _forget(self, waiting: set[tuple[str, str]]) -> None:
        self._wrong = {plan: said for plan, said in self._wrong.items() if plan in waiting}

    @contextmanager
    def _draining_on_signals(self) -> Iterator[None]:
        """Stop at the first signal; the second one is what it would be without us."""
        before: dict[int, Any] = {}

        def drain(number: int, _frame: FrameType | None) -> None:
            # Nothing but this: whatever holds a lock in this thread is interrupted in the middle of it.
            self._stopping = True
            signal.signal(number, before[number])

        for caught in (signal.SIGTERM, signal.SIGINT):
            before[caught] = signal.signal(caught, drain)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
