"""The engine for many workers on PostgreSQL, through DBOS Transact in a schema of its own. The only importer of ``dbos``.

What DBOS does for us: a durable queue with one partition for each account, from which workers take *segments*. A segment is a
look at one plan: it carries out what there is to do, and ends; so a plan that waits, for a person or for anything, holds no
thread and no row that somebody has to recover. An approval or a resume is another revision of the plan, and so another segment,
which the sweep asks for when it sees the plan (as soon as somebody wakes it, and every ``look_s`` otherwise).

What DBOS is not asked for: what was done. A segment has no DBOS steps, because a recorded step would be a second truth beside the
ledger, and is replayed where the ledger is asked. So a segment may run twice, late, or not at all. It returns a word and raises
nothing: an exception that left it would be pickled or end it for good, and is logged instead; the next sweep asks again.

Who is alive says a lease of our own (`orchestrator.workers`). A worker holds a plan while it is at it. One whose lease ran out is
removed for good; its segments are resumed (`DBOS.resume_workflows`) and its plans are free. Whoever takes such a plan finds an
attempt that is running and in nobody's hands: it is settled as unknown, and a person decides (G10). A worker that was only
asleep holds nothing any more, draws no attempt after its next look, and ends with `EX_TEMPFAIL`. Were it late by a moment, the
store draws every attempt once. What it still tells of an attempt that it had drawn before counts, if nobody drew another one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from dbos import DBOS, DBOSPortableJSONSerializer
from dbos import error as dbos_error

from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import PlanState
from weighbridge.errors import NotFound, StoreError, UsageError, WeighbridgeError
from weighbridge.orchestrator.advancing import Orchestrator
from weighbridge.orchestrator.engines.serving import until_signalled
from weighbridge.orchestrator.workers import Workers
from weighbridge.storage.locking import AdvisoryLock, LockHeld, LockLost, StillHeld

if TYPE_CHECKING:
    from dbos import DBOSConfig, EnqueueOptions, WorkflowStatus

_log = logging.getLogger("weighbridge.worker")

APPLICATION: Final = "weighbridge"
VERSION: Final = "plan-segments-1"
"""Pinned: DBOS would take a hash of the source, and strand what was queued before an upgrade."""

SEGMENT: Final = "weighbridge.plan_segment"
ACTIONS_MAX: Final = 50
"""Of one segment; then the other plans of the account have their turn."""

LEASE_S_MIN, LEASE_S_MAX = 1.0, 600.0
AT_ONCE_MAX: Final = 64
EX_TEMPFAIL: Final = 75
"""How a worker ends that was found dead and was not: start it again."""

_PENDING, _DELAYED = "PENDING", "DELAYED"
_UNFINISHED = [_PENDING, "ENQUEUED", _DELAYED]
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_AGAIN_S_MAX = 60.0
_ROWS_S_MAX = 2.0
_DRAIN_S_MAX = 86_400
_REMOVED_AT_ONCE = 1_000
_SHARE_OF_TIME = 10  # a sweep that takes long is done less often

Plan = tuple[str, str]  # tenant, plan


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a worker is, in seconds.

    ``lease``: after how long without a sign of life it counts as dead. ``look``: how often somebody looks for plans to carry out.
    ``poll``: how often it asks for the next segment. ``keep``: how long segments that ended are kept, to be looked at.
    """

    lease: float = 30.0
    look: float = 2.0
    poll: float = 0.5
    keep: float = 3_600.0

    def __post_init__(self) -> None:
        if not LEASE_S_MIN <= self.lease <= LEASE_S_MAX:
            raise UsageError(f"a lease is {LEASE_S_MIN:g} to {LEASE_S_MAX:g} s, not {self.lease!r}")
        if not (0 < self.look <= self.lease and 0 < self.poll <= self.lease and self.keep >= 0):
            raise UsageError(
                f"`look` and `poll` are above 0 and at most the lease ({self.lease:g} s), `keep` is not below 0"
            )


class Locks(msgspec.Struct, frozen=True):
    """``together`` keeps a local worker out, and is shared with other workers of this kind; ``sweeping`` is one worker's."""

    together: AdvisoryLock
    sweeping: AdvisoryLock


def migrate(url: str, schema: str, role: str) -> None:
    """Make or upgrade the tables of DBOS in a schema, as whoever ``url`` connects as, for ``role`` to work with.

    Raises:
        StoreError: it cannot be done.
    """
    _quieten()
    try:
        DBOS.migrate(url, schema=schema, application_role=role)
    except Exception as error:
        raise StoreError(f"the schema of DBOS Transact cannot be made ({_first_line(error)})") from error


class DbosEngine:
    """A `PlanEngine` that shares the plans of a store with any number of other processes. One for a process; start it once.

    ``url`` leads to the store, as SQLAlchemy reads it, and ``schema`` is that of DBOS there. ``name`` is this worker's, and
    nobody else's ever. ``plan_of`` reads a plan. ``at_once`` is how many plans it carries out at the same time. ``only`` is
    the tenant that it is for; None: all. ``gone`` is called where it was found dead and was not: nothing of this process may
    go on.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        workers: Workers,
        locks: Locks,
        *,
        url: str,
        schema: str,
        name: str,
        plan_of: Callable[[str, str], PlanState | None],
        clock_s: Callable[[], float],
        clock_ms: Callable[[], int],
        pace: Pace,
        at_once: int = 8,
        only: str | None = None,
        gone: Callable[[], None] = lambda: os._exit(EX_TEMPFAIL),
    ) -> None:
        if not 1 <= at_once <= AT_ONCE_MAX:
            raise UsageError(f"a worker carries out 1 to {AT_ONCE_MAX} plans at once, not {at_once!r}")
        self.name: str = name
        self._orchestrator, self._workers, self._locks = orchestrator, workers, locks
        self._url, self._schema = url, schema
        self._plan_of, self._clock_s, self._clock_ms = plan_of, clock_s, clock_ms
        self._pace, self._at_once, self._gone = pace, at_once, gone
        # A worker for one tenant must not be handed the plans of another.
        self._queue = "plans" if only is None else f"plans/{_part(only)}"
        self._started = self._launched = False
        self._stopping, self._ended, self._poke = threading.Event(), threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._in_hand: set[Plan] = set()
        self._rows: set[str] = set()
        self._woken: set[Plan] = set()
        self._unreturned: set[Plan] = set()
        self._suspects: frozenset[str] = frozenset()
        self._wrong: dict[Plan, str] = {}
        self._swept_at = -pace.keep
        self._lost: LockLost | LockHeld | None = None
        self._held, self._leading = ExitStack(), ExitStack()
        self._still_together: StillHeld = lambda: None
        self._still_leading: StillHeld | None = None
        self._threads: list[threading.Thread] = []

    # --- PlanEngine ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, in threads (`PlanEngine`).

        Raises:
            LockHeld: a local worker drives the plans of this store; one kind at a time.
            UsageError: DBOS runs in this process already.
            StoreError: its schema is not there, or the store is away.
        """
        if self._started:
            raise UsageError("this worker was started already; make another one")
        _claim(self)
        self._started = True
        try:
            self._still_together = self._held.enter_context(self._locks.together.held())
            self._workers.register(self.name, self._pace.lease)  # before DBOS: who has no life is dead to the others
            self._spawn(self._beat, "weighbridge-heartbeat")
            self._launch()
            self._spawn(self._look_until_stopped, "weighbridge-sweep")
        except BaseException:
            self._stopping.set()
            self._leave(drain=False)
            raise

    def wake(self, tenant_id: str, plan_id: str) -> None:
        """Look at a plan now (`PlanEngine`)."""
        with self._changed:
            self._woken.add((tenant_id, plan_id))
        self._poke.set()

    def stop(self, *, drain: bool = True) -> None:
        """End (`PlanEngine`). What is left to do is free for the others at once."""
        self._stopping.set()
        self._poke.set()
        if not self._started or self._ended.is_set():
            return
        self._leave(drain=drain)

    def serve(self) -> None:
        """Start, unless that was done, and work until SIGTERM or SIGINT; then end what is running, and return.

        It waits in this thread, which is the main one.

        Raises:
            LockHeld, LockLost: a local worker drives the plans of this store by now.
            UsageError, StoreError: as :meth:`start`.
        """
        with until_signalled() as signalled:
            if not self._started:
                self.start()
            while not signalled() and not self._stopping.wait(0.1):
                pass
            self.stop()
        if self._lost is not None:
            raise self._lost

    # --- Its life -----------------------------------------------------------------------------------------------------

    def _spawn(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _launch(self) -> None:
        _quieten()
        DBOS(config=_config(self._url, self._schema, self.name))
        if DBOS.executor_id != self.name:
            raise UsageError(
                "this process uses DBOS Transact already, and it can be had once for each; run the worker in a process of its own"
            )

        def segment(tenant_id: str, plan_id: str) -> str:  # DBOS writes attributes on it, which a method does not take
            return self._segment(tenant_id, plan_id)

        self._launched = True
        DBOS.workflow(name=SEGMENT, max_recovery_attempts=None)(segment)
        try:
            DBOS.launch()
            DBOS.register_queue(
                self._queue,
                partition_concurrency=1,
                worker_concurrency=self._at_once,
                polling_interval_sec=self._pace.poll,
                on_conflict="always_update",
            )
        except dbos_error.DBOSInitializationError as error:  # its schema is not there, or older than it is
            raise StoreError(
                f"DBOS Transact cannot be started ({_first_line(error)}); the owner of the store makes or upgrades its schema: "
                "`weighbridge db upgrade --engine dbos`"
            ) from error
        except Exception as error:
            raise StoreError(f"DBOS Transact cannot be started ({_first_line(error)})") from error

    def _leave(self, *, drain: bool) -> None:
        """End everything in this process, and the life of this worker: then its segments are resumed by the others."""
        for thread in self._threads[1:]:
            thread.join(self._pace.lease)  # DBOS waits for its server for as long as that takes
        if self._launched:
            with contextlib.suppress(Exception):
                self._await_rows()
            patience_s = _DRAIN_S_MAX if drain and self._in_hand else 0
            with contextlib.suppress(Exception):  # it takes no more segments from here on, and then waits
                DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=patience_s)
            if drain:
                with self._changed:
                    self._changed.wait_for(lambda: not self._in_hand)
        self._ended.set()
        for thread in self._threads[:1]:
            thread.join()
        with contextlib.suppress(StoreError):  # or its lease runs out
            self._workers.retire(self.name)
        self._held.close()
        self._workers.close()
        _release(self)

    def _await_rows(self) -> None:
        """Give segments that just returned a moment to be written down as ended; those that are not are resumed elsewhere."""
        until = self._clock_s() + _ROWS_S_MAX
        while not self._in_hand and self._clock_s() < until:
            if not _rows(status=_PENDING, queue_name=self._queue, executor_id=self.name, limit=1):
                return
            self._ended.wait(0.05)

    def _beat(self) -> None:
        """Say that we live, and look who does not; nothing else that could take long."""
        lease = self._pace.lease
        beaten_at = steady_since = self._clock_s()
        while not self._ended.wait(lease / 3):
            try:
                if not self._workers.renew(self.name, lease):
                    _log.critical("worker `%s` was taken for dead, and ends: its plans are in other hands", self.name)
                    self._gone()
                    return
                now = self._clock_s()
                beaten_at, steady_since = now, steady_since if now - beaten_at < 2 * lease / 3 else now
                if now - steady_since >= lease:
                    # Who could not beat does not blame others for not beating: the server may have been away.
                    self._remove_dead()
            except Exception as error:  # noqa: BLE001 - the next beat comes, or the lease ends
                _log.warning("worker `%s` cannot say that it lives: %s", self.name, _said(error))

    def _remove_dead(self) -> None:
        dead = self._workers.remove_expired()
        if dead:
            _log.warning("no sign of life from %s; their plans are taken over", ", ".join(f"`{name}`" for name in dead))
            self._poke.set()

    # --- Looking for what there is to do ------------------------------------------------------------------------------

    def _look_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._poke.clear()
            began = self._clock_s()
            try:
                self._look()
            except (LockLost, LockHeld) as lost:
                _log.error("this worker stops: %s", lost)
                self._lost = lost
                self._stopping.set()
            except Exception as error:  # noqa: BLE001 - the store is away, or DBOS; the next look comes
                self._tell(("", ""), error)
            else:
                self._wrong.pop(("", ""), None)
            self._poke.wait(max(self._pace.look, _SHARE_OF_TIME * (self._clock_s() - began)))
        self._leading.close()  # somebody else sweeps while we drain

    def _look(self) -> None:
        self._stay_together()
        with self._changed:
            woken, self._woken = self._woken, set()
            returned = self._unreturned - self._in_hand
        for plan in returned:
            self._give_back(plan)
        self._resume_own()
        if self._leads():
            self._sweep()
        elif woken:
            prefixes = [_prefix(*plan) for plan in woken]
            self._ask_for(woken, _rows(status=_UNFINISHED, queue_name=self._queue, workflow_id_prefix=prefixes))

    def _stay_together(self) -> None:
        """Take the shared lock again where the server lost it.

        Raises:
            LockHeld: a local worker was faster.
        """
        try:
            self._still_together()
        except LockLost:
            self._still_together = self._held.enter_context(self._locks.together.held())

    def _leads(self) -> bool:
        """Return whether it is this worker that sweeps. Two that do would do no harm."""
        with contextlib.suppress(LockLost):
            if self._still_leading is not None:
                self._still_leading()
                return True
        self._still_leading = None
        self._leading.close()
        with contextlib.suppress(LockHeld):
            self._still_leading = self._leading.enter_context(self._locks.sweeping.held())
        return self._still_leading is not None

    def _resume_own(self) -> None:
        """Ask again for segments that DBOS counts as running here and that no thread runs, at two looks in a row."""
        with self._changed:
            known = frozenset(self._rows)
        pending = _rows(status=_PENDING, queue_name=self._queue, executor_id=self.name)
        own = frozenset(row.workflow_id for row in pending) - known
        self._resume(own & self._suspects)
        self._suspects = own - self._suspects

    def _sweep(self) -> None:
        """Free what the dead left behind, ask for what nobody asked for, and remove what ended long ago."""
        rows = _rows(status=_UNFINISHED, queue_name=self._queue)
        living = self._workers.living()  # after the rows: who took one of them was registered before
        self._resume(row.workflow_id for row in rows if row.status == _PENDING and row.executor_id not in living)
        self._ask_for(self._orchestrator.work(), rows)
        if self._clock_s() - self._swept_at >= min(self._pace.keep, 60.0):
            self._swept_at = self._clock_s()
            self._forget()

    def _resume(self, rows: Iterable[str]) -> None:
        found = sorted(rows)
        if found:  # without its name they would leave the queue and its partitions
            DBOS.resume_workflows(found, queue_name=self._queue)

    def _ask_for(self, plans: Iterable[Plan], rows: Iterable[WorkflowStatus]) -> None:
        """Enqueue a segment for every plan that has none. One that waits for its time counts for its own revision only."""
        waiting: defaultdict[str, set[str | None]] = defaultdict(set)
        for row in rows:
            prefix, revision, _ = row.workflow_id.rsplit("/", 2)
            waiting[f"{prefix}/"].add(revision if row.status == _DELAYED else None)
        for tenant_id, plan_id in plans:
            found = waiting.get(_prefix(tenant_id, plan_id), set())
            state = None if None in found else self._plan_of(tenant_id, plan_id)
            if state is not None and str(state.revision) not in found:
                self._enqueue(tenant_id, state)

    def _enqueue(self, tenant_id: str, state: PlanState) -> None:
        """Ask for a segment. What was tried at this revision and came to nothing is tried again ever later."""
        stem = f"{_prefix(tenant_id, state.plan_id)}{state.revision}/"
        tries = sum(row.workflow_id.startswith(stem) for row in _rows(workflow_id_prefix=stem))
        options: EnqueueOptions = {
            "workflow_name": SEGMENT,
            "queue_name": self._queue,
            "workflow_id": f"{stem}{tries}",  # said twice, it is there already
            "queue_partition_key": f"{_part(tenant_id)}/{_part(state.account_id)}",
            "app_version": VERSION,
            "application_name": APPLICATION,
        }
        if tries > 1:
            options["delay_seconds"] = min(2.0 ** min(tries - 2, 10), _AGAIN_S_MAX)
        DBOS.enqueue_workflow_with_options(options, tenant_id, state.plan_id)

    def _forget(self) -> None:
        """Remove segments that ended: nothing else would."""
        until = format_instant(self._clock_ms() - round(self._pace.keep * 1_000))
        ended = _rows(status=_FINISHED, queue_name=self._queue, completed_before=until, limit=_REMOVED_AT_ONCE)
        if ended:
            DBOS.delete_workflows([row.workflow_id for row in ended])

    # --- Carrying out -------------------------------------------------------------------------------------------------

    def _segment(self, tenant_id: str, plan_id: str) -> str:
        """Carry out what there is to do about a plan, and return a word about it. Raises nothing (see above)."""
        plan, row = (tenant_id, plan_id), DBOS.workflow_id or ""
        with self._changed:
            if self._stopping.is_set():
                return "LEAVING"
            if plan in self._in_hand:  # DBOS resumes whatever it is told to, also what is running
                return "IN_HAND"
            self._in_hand.add(plan)
            self._rows.add(row)
        try:
            return self._carry_out(plan)
        except Exception as error:  # noqa: BLE001 - the next sweep asks again
            self._tell(plan, error)
            return type(error).__name__
        finally:
            with self._changed:
                self._in_hand.discard(plan)
                self._rows.discard(row)
                self._changed.notify_all()

    def _carry_out(self, plan: Plan) -> str:
        with self._holding(plan) as ours:
            if not ours:
                return "HELD"
            number = itertools.count(1)

            def going_on() -> bool:
                left = next(number) < ACTIONS_MAX and not self._stopping.is_set()
                return left and self._workers.holds(self.name, *plan)

            # Nobody else that lives has it in hand: an attempt that is running was left behind (G10).
            done = self._orchestrator.run(*plan, alive=False, going_on=going_on)
            self._wrong.pop(plan, None)
            return done.waits_for or "GOING_ON"

    @contextmanager
    def _holding(self, plan: Plan) -> Iterator[bool]:
        """Have a plan in hand, over all processes, and give whether we do."""
        ours = self._workers.take(self.name, *plan)
        try:
            yield ours
        finally:
            if ours:
                self._give_back(plan)

    def _give_back(self, plan: Plan) -> None:
        try:
            self._workers.give_back(self.name, *plan)
        except StoreError:
            with self._changed:
                self._unreturned.add(plan)  # or nobody else could have it for as long as we live
        else:
            with self._changed:
                self._unreturned.discard(plan)

    def _tell(self, plan: Plan, error: Exception) -> None:
        """Log what is wrong with a plan, or with everything, once for as long as it stays the same."""
        said = _said(error)
        if self._wrong.get(plan) == said:
            return
        self._wrong[plan] = said
        if plan == ("", ""):
            _log.error("worker `%s` cannot look for plans for now: %s", self.name, said)
        elif not isinstance(error, NotFound):
            _log.error("plan `%s` of tenant `%s` cannot go on for now: %s", plan[1], plan[0], said)


_guard = threading.Lock()
_engine: DbosEngine | None = None


def _claim(engine: DbosEngine) -> None:
    """Let one engine at a time run in this process, because DBOS is one for a process.

    Raises:
        UsageError: there is one.
    """
    global _engine  # noqa: PLW0603 - it stands for a global of DBOS
    with _guard:
        if _engine is not None:
            raise UsageError("a `dbos` worker runs in this process already; start another process for another worker")
        _engine = engine


def _release(engine: DbosEngine) -> None:
    global _engine  # noqa: PLW0603 - as above
    with _guard:
        if _engine is engine:
            _engine = None


def _config(url: str, schema: str, name: str) -> DBOSConfig:
    """Own schema, nobody to report to, few connections."""
    return {
        "name": APPLICATION,
        "system_database_url": url,
        "dbos_system_schema": schema,
        "application_version": VERSION,
        "executor_id": name,
        "serializer": DBOSPortableJSONSerializer(),  # not pickle: who can write the table must not run code here
        "run_migrations": False,  # the owner's act
        "use_listen_notify": False,
        "enable_otlp": False,
        "conductor_key": None,
        "log_level": "WARNING",
        "sys_db_pool_size": 5,
        "sys_db_idle_transaction_timeout_sec": 10.0,
        "scheduler_polling_interval_sec": 3_600.0,
        # No max_executor_threads: runs that DBOS parks hold a thread each, and would starve their successors.
    }


class _Briefly(logging.Filter):
    """Lets a message of DBOS pass as one line, and once until the same place says something else: it does so at every poll."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        said = record.getMessage().partition("\n")[0]
        place = (record.pathname, record.lineno)
        if self._last.get(place) == said:
            return False
        self._last[place] = said
        record.msg, record.args, record.exc_info, record.exc_text = said, (), None, None
        return True


def _quieten() -> None:
    """Let the host say where the log of DBOS goes: without a handler it writes to standard error by itself."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.addFilter(_Briefly())


def _rows(**which: Any) -> Collection[WorkflowStatus]:
    return DBOS.list_workflows(load_input=False, load_output=False, **which)


def _part(name: str) -> str:
    return quote(name, safe="")


def _prefix(tenant_id: str, plan_id: str) -> str:
    return f"plan/{_part(tenant_id)}/{_part(plan_id)}/"


def _said(error: Exception) -> str:
    """Return what is safe to log: our own words, and of a foreign exception its type (its text may be anybody's address)."""
    return str(error) if isinstance(error, WeighbridgeError) else type(error).__name__


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
