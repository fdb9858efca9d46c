"""Weighbridge: the finished thing a library user holds.

Made by `weighbridge.open`. It judges (:meth:`Weighbridge.gate`), governs functions (:meth:`operation`, :meth:`writeback`),
explains (:meth:`why`), checks (:meth:`verify`) and judges again (:meth:`replay`), on one store, under one policy document.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, Self, TypeVar, cast

from weighbridge.acts import Acts
from weighbridge.admission import Surroundings, tenant_of
from weighbridge.domain.amounts import Cost
from weighbridge.domain.context import Actor, OperationFacts, OperationKind, Role
from weighbridge.domain.decision import GateDecision, OperationDecision
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens
from weighbridge.errors import UsageError, WeighbridgeError
from weighbridge.executor import Consumed, Executor
from weighbridge.gateway import Engine, ValidatorGateway
from weighbridge.operations import Governed, Hooks, Operations, Reserves, facts_of
from weighbridge.plan_face import PlanFace, PlanParts
from weighbridge.read_back import Asked, ReadBack
from weighbridge.recorder import Recorder

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from weighbridge.ledger.story import Story
    from weighbridge.ledger.submission import Committed, Head, Submission
    from weighbridge.outcomes.capture import Capture, Captured
    from weighbridge.policy.effective import EffectivePolicy
    from weighbridge.replay import RunReplay
    from weighbridge.storage.audit import StoreAudit
    from weighbridge.storage.locking import AdvisoryLock
    from weighbridge.storage.reading import LedgerReader, Span, StoredRecord

_log = logging.getLogger("weighbridge.runtime")

_P = ParamSpec("_P")
_Value = TypeVar("_Value")


class _Register(Protocol):
    """What a decorator factory returns: it keeps the signature of what it is put on."""

    def __call__(self, function: Callable[_P, _Value]) -> Governed[_P, _Value]:
        """Register ``function``."""


ASYNC_CALLERS_MAX = 64  # waiting callers share a commit, so threads here cost memory and no flushes


class _OwnReader:
    """The read side of a store and nothing else of it, for whoever holds this credential (L5)."""

    _FREE = frozenset({"purpose"})
    _OF_A_TENANT = frozenset(
        {"authorisations", "blocked_proposals", "content", "contents", "find", "head", "identities", "identity"}
        | {
            "record",
            "records",
            "subjects",
            "tenant_key",
            "counter",
            "counters",
            "consumption",
            "families",
            "plan",
            "plans",
            "outcomes",  # of no use to whoever decides: `LedgerReader` has no such question (O1); whoever verifies compares them
        }
    )

    def __init__(self, reader: LedgerReader, principal: Principal) -> None:
        self._reader, self._principal = reader, principal

    def __getattr__(self, name: str) -> Any:
        if name in self._FREE:
            return getattr(self._reader, name)
        if name not in self._OF_A_TENANT:
            raise AttributeError(name)
        ask = getattr(self._reader, name)

        def asked(tenant_id: str, *args: Any, **kwargs: Any) -> Any:
            return ask(tenant_of(self._principal, tenant_id), *args, **kwargs)

        return asked

    def tenants(self) -> tuple[str, ...]:
        own = self._principal.tenant_id
        return tuple(tenant for tenant in self._reader.tenants() if own in {None, tenant})

    def heads(self) -> dict[str, Head]:
        own = self._principal.tenant_id
        return {tenant: head for tenant, head in self._reader.heads().items() if own in {None, tenant}}

    def records_of(self, spans: Mapping[str, Span]) -> Iterator[tuple[str, Sequence[StoredRecord]]]:
        return self._reader.records_of({tenant_of(self._principal, tenant): span for tenant, span in spans.items()})

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        with self._reader.snapshot() as moment:
            yield cast("LedgerReader", _OwnReader(moment, self._principal))


class PolicyOf(Protocol):
    """Where effective policies come from: a policy document."""

    def effective(self, tenant_id: str | None) -> EffectivePolicy:
        """Return the effective policy of a tenant."""


class Weighbridge(PlanFace):
    """Governs what agents do: judges, records, proves. Safe to use from many threads; close it, or use ``with``."""

    def __init__(
        self,
        *,
        policy: PolicyOf,
        recorder: Recorder,
        reader: LedgerReader,
        close: Callable[[], None],
        gateway: ValidatorGateway,
        principal: Principal,
        surroundings: Surroundings,
        store: str | None = None,
        scope_required: bool = False,
        worker_lock: AdvisoryLock | None = None,
    ) -> None:
        self._policy = policy
        self._recorder = recorder
        self._reader = reader
        self._close = close
        self._gateway = gateway
        self._principal = principal
        self._surroundings = surroundings
        self._engines: dict[str, Engine] = {}
        self._threads: ThreadPoolExecutor | None = None
        facts: dict[str, OperationFacts] = {}
        self._executor = Executor(
            recorder=recorder,
            reader=reader,
            engine_of=self._engine,
            registered=facts,
            principal=principal,
            surroundings=surroundings,
            store=store,
        )
        self._acts = Acts(recorder, reader, self._engine, surroundings)
        self._operations = Operations(
            self._executor,
            facts,
            self._in_thread,
            tenant_named=principal.tenant_id is not None,
            scope_required=scope_required,
        )
        self._facts = facts
        self._worker_lock = worker_lock
        super().__init__(principal, self._plan_parts)
        self._declared = gateway.engine(policy.effective(None), b"").policy.operations
        recorder.observe(self._capture_what_follows)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Release the store and the threads of asynchronous callers. Decisions already answered stay on record."""
        if self._threads is not None:
            self._threads.shutdown(wait=True)
        self._close()

    @property
    def reader(self) -> LedgerReader:
        """Return the read side of the store, of no other tenant than the credential's."""
        return cast("LedgerReader", _OwnReader(self._reader, self._principal))

    def gate(self, context: Any) -> GateDecision:
        """Judge one request at its choke point and answer once the decision is on record.

        ``context`` is a JSON object (a dict) as `weighbridge.domain.context` describes it, or a `ValidationContext`.

        Raises:
            ContextError, CanonicalError, TenantMismatch, SuppliedTimeRefused: it is no request; nothing was recorded.
            IdempotencyConflict: its run id answers another request.
            Refusal: no verdict could be recorded; what was asked for must not happen.
        """
        return self._executor.gate(context)

    async def gate_async(self, context: Any) -> GateDecision:
        """Do as :meth:`gate` does, without holding up the event loop. A caller that is cancelled asks again by id."""
        return await self._in_thread(self._executor.gate, context)

    def reserve(self, request: Any) -> OperationDecision:
        """Weigh what a host does itself: its budget, alone or beside a choke point, in one record (asked only).

        ``request`` is a JSON object as `weighbridge.domain.spending` describes it: what to reserve stands under ``budget``. An
        ``operation_id`` is charged once; the same request again is answered as before, BLOCK included (B6).

        Raises:
            As :meth:`gate`; `IdempotencyConflict` also where the operation id answers another request.
        """
        return self._executor.reserve(request)

    async def reserve_async(self, request: Any) -> OperationDecision:
        """Do as :meth:`reserve` does, without holding up the event loop. A caller that is cancelled asks again by id."""
        return await self._in_thread(self._executor.reserve, request)

    def report_usage(
        self, operation_id: str, consumed: Mapping[str, Any] | Tokens, *, tenant_id: str | None = None
    ) -> OperationDecision:
        """Record what an operation really consumed, and settle caps that opted in (B7). Functions say it by ``consumed=``.

        ``consumed`` are amounts by unit, as in ``{"tokens": 912, "USD": "0.0018"}``, or `Tokens`. The first report counts; the
        same again changes nothing.

        Raises:
            ContextError: an amount that is none.
            UsageError: this credential may not state what was consumed (Z5).
            NotFound: no such operation was allowed.
            IdempotencyConflict: something else was reported before.
            Refusal: it could not be recorded; report it again.
        """
        return self._executor.report_usage(operation_id, consumed, tenant_id)

    def answer_many(self, requests: Sequence[Any]) -> list[GateDecision | OperationDecision | WeighbridgeError]:
        """Judge many requests in order, in as few transactions as possible; an error stands in its request's place.

        A request with a ``budget`` is answered as :meth:`reserve` does, another as :meth:`gate` does.
        """
        return self._executor.answer_many(requests)

    def operation(
        self,
        name: str | None = None,
        *,
        cost: Cost,
        action: str | None = None,
        reads: bool = False,
        declares_proposal: bool = False,
        reserves: Reserves | None = None,
        consumed: Consumed[Any] | None = None,
    ) -> _Register:
        """Register a function as an operation; its calls are weighed before they happen.

        ``name`` defaults to the function's. ``cost`` is CHEAP, MEDIUM or EXPENSIVE (B1) and always stated: nothing is cheap
        by default. ``action`` is the action type that policies name, by default the operation's name; ``reads`` says that
        the operation changes nothing; ``declares_proposal`` that an EXPENSIVE one is grounded like a proposal (R1).

        Every call reserves one operation. ``reserves`` is called with the call's arguments and returns what else it reserves:
        ``Tokens(input=…, output=the most that may come out, model=…)``, or amounts by unit. ``consumed`` is called with the
        function's value and returns what was really consumed, in the same shapes (B5, B7).
        """
        kind = OperationKind.READ if reads else OperationKind.ACTION

        def register(function: Callable[_P, _Value]) -> Governed[_P, _Value]:
            given = facts_of(
                name or function.__name__,
                kind=kind,
                cost=cost,
                action=action,
                target=None,
                declares_proposal=declares_proposal,
            )
            return self._register(given, function, Hooks(reserves, consumed))

        return register

    def writeback(
        self,
        name: str | None = None,
        *,
        target: str,
        action: str | None = None,
        cost: Cost = "MEDIUM",
        reserves: Reserves | None = None,
        consumed: Consumed[Any] | None = None,
        read_back: ReadBack | None = None,
        asked: Asked | None = None,
    ) -> _Register:
        """Register a function that changes something outside: ``target`` is the system it writes to.

        ``reserves`` and ``consumed`` as for :meth:`operation`.

        ``read_back`` is called after the function, with its value and then the call's arguments, and returns what is stored now,
        as a mapping of fields to values. Every argument must be stored under its own name, equal in type and value. Where the
        fields are others, ``asked`` is called with the arguments and says which. A difference raises `WriteNotStored`, and a
        read-back that raises, `ReadBackFailed`: both after the call is on record as FAILED. Nothing is called again, and nothing
        refunded.
        """

        def register(function: Callable[_P, _Value]) -> Governed[_P, _Value]:
            given = facts_of(
                name or function.__name__,
                kind=OperationKind.WRITEBACK,
                cost=cost,
                action=action,
                target=target,
                declares_proposal=False,
            )
            return self._register(given, function, Hooks(reserves, consumed, read_back, asked))

        return register

    def authorise_retry(self, validation_run_id: str, *, by: Principal, reason: str, expires_at: str) -> int:
        """Permit one new judgement of a blocked proposal with unchanged inputs, and return the record's number (G8).

        It changes no verdict: the proposal is judged again, once, until ``expires_at`` (RFC 3339).

        Raises:
            UsageError: ``by`` is no operator, approver or admin in person, or proposed it or its plan; this credential does not
                vouch for them (Z1); the reason is empty; the run was not blocked.
            NotFound: no such run.
        """
        tenant_id, by = self._who(None, by)
        return self._acts.authorise_retry(tenant_id, validation_run_id, by, reason, expires_at)

    def erase_content(
        self, content_hashes: Sequence[str], *, by: Principal, reason: str, tenant_id: str | None = None
    ) -> int:
        """Remove content bodies for good, and return the number of the `CONTENT_ERASED` record (L6).

        The hashes stand in the records of what was decided from them (`weighbridge why ID --json`). Afterwards the ledger
        still verifies, replay says what is gone, and nothing puts it back.

        Raises:
            UsageError: ``by`` is no person, or this credential does not vouch for them (Z1); the reason or the list is empty.
            NotFound: one of the hashes is unknown; nothing was erased.
            Refusal: it could not be recorded, and nothing was erased.
        """
        tenant, by = self._who(tenant_id, by)
        return self._acts.erase_content(tenant, tuple(content_hashes), by, reason)

    def capture_outcome(self, outcome: Any, *, by: Principal, tenant_id: str | None = None) -> Captured:
        """Record what became of an opportunity, or of a plan; the latter is captured by itself (O1 to O4).

        ``outcome`` is a JSON object or one of `weighbridge.domain.outcome`. The same again answers with the first id. Nothing
        that decides reads it.

        Raises:
            ContextError: it lacks what it is joined by, or holds what it cannot.
            NotFound: the event that it reports is not on record.
            UsageError: this credential does not vouch for ``by`` (Z1).
            Refusal: it could not be recorded; say it again.
        """
        from weighbridge.domain.outcome import parse_outcome  # noqa: PLC0415 - not on the hot path

        tenant, by = self._who(tenant_id, by)
        stated = parse_outcome(outcome) if isinstance(outcome, Mapping) else outcome
        return self._outcomes.capture(tenant, stated, by=Actor(id=by.id, role=by.role))

    @functools.cached_property
    def _outcomes(self) -> Capture:
        from weighbridge.outcomes.capture import Capture, Setting  # noqa: PLC0415 - only where there are plans

        def setting_of(tenant_id: str) -> Setting:
            engine = self._engine(tenant_id)
            return Setting(engine.key, engine.version, engine.policy.policy_version)

        around = self._surroundings
        return Capture(self._recorder.record_many, setting_of, clock_ms=around.clock_ms, new_id=around.new_id)

    def _capture_what_follows(self, submission: Submission, committed: Committed) -> None:
        """Capture the outcomes of what was just recorded (O2). One that gets lost, in a crash say, the sweep finds."""
        if submission.plan is None:
            return
        actor = submission.common["actor"]
        by = Actor(id=actor["id"], role=Role(actor["role"]))
        for answer in self._outcomes.capture_events(submission.tenant_id, committed.body, by=by):
            if isinstance(answer, WeighbridgeError):
                _log.warning("an outcome was not captured (%s); `weighbridge outcomes sweep` captures it", answer)

    def why(self, identity: str, tenant_id: str | None = None) -> Story:
        """Return the whole story of a plan, step, account, run or operation id (L4).

        Raises:
            NotFound: no record under that id.
            TenantMismatch: the credential is for another tenant.
        """
        from weighbridge.ledger.story import tell  # noqa: PLC0415 - reading back is not on the hot path

        return tell(self._reader, self._tenant(tenant_id), identity)

    def verify(self, tenant_id: str | None = None, *, progress: Callable[[int], None] | None = None) -> StoreAudit:
        """Check chain, heads, identities and content against the fold of the ledger (L3).

        Without a tenant, every one that the credential reaches. ``progress`` is told how many records more were checked.

        Raises:
            TenantMismatch: the credential is for another tenant.
        """
        from weighbridge.storage.audit import verify_store  # noqa: PLC0415 - reading back is not on the hot path

        everything = tenant_id is None and self._principal.tenant_id is None
        return verify_store(self._reader, None if everything else self._tenant(tenant_id), progress=progress)

    def replay(self, identity: str | None = None, tenant_id: str | None = None) -> Iterator[RunReplay]:
        """Judge a recorded run or operation again, or every run there is, and compare the bytes (G4).

        Raises:
            NotFound: no run under that id.
            TenantMismatch: the credential is for another tenant.
        """
        from weighbridge.replay import replay  # noqa: PLC0415 - reading back is not on the hot path

        return replay(self._reader, self._gateway, self._tenant(tenant_id), identity)

    def _plan_parts(self) -> PlanParts:
        from weighbridge.orchestrator.advancing import Orchestrator  # noqa: PLC0415 - only where there are plans
        from weighbridge.orchestrator.alone import Alone  # noqa: PLC0415
        from weighbridge.plan_acts import PlanActs  # noqa: PLC0415
        from weighbridge.plan_book import PlanBook  # noqa: PLC0415

        recorder, principal, around = self._recorder, self._principal, self._surroundings
        book = PlanBook(self._reader, self._engine, self._facts, around)
        orchestrator = Orchestrator(
            recorder=recorder,
            book=book,
            operations=self._operations,
            principal=principal,
            alone=Alone(self._worker_lock),
        )
        return PlanParts(book, PlanActs(recorder, book, self._executor, principal, around), orchestrator)

    def _register(
        self,
        facts: OperationFacts,
        function: Callable[_P, _Value],
        hooks: Hooks,
    ) -> Governed[_P, _Value]:
        declared = self._declared.get(facts.name)
        if declared is not None and declared != facts:
            message = (
                f"operation `{facts.name}` is declared in the policy with another kind, class, action type or target; "
                "one place says what it is: make them agree, or leave it out of the policy"
            )
            raise UsageError(message)
        return self._operations.register(facts, function, hooks)

    def _tenant(self, tenant_id: str | None) -> str:
        """L5: whoever came with a credential for one tenant reads no other."""
        return tenant_of(self._principal, tenant_id)

    def _engine(self, tenant_id: str) -> Engine:
        engine = self._engines.get(tenant_id)
        if engine is None:
            key = self._reader.tenant_key(tenant_id)
            engine = self._engines[tenant_id] = self._gateway.engine(self._policy.effective(tenant_id), key)
        return engine

    async def _in_thread(self, function: Callable[..., _Value], /, *args: Any) -> _Value:
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor as Pool  # noqa: PLC0415 - asynchronous callers only

            self._threads = Pool(ASYNC_CALLERS_MAX, thread_name_prefix="weighbridge")
        import asyncio  # noqa: PLC0415 - only callers that run a loop need it, and they have it

        return await asyncio.get_running_loop().run_in_executor(self._threads, functools.partial(function, *args))
