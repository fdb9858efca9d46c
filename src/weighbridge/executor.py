"""The only way to execute: prepare, record, call once, report (Z4, G10, G11).

The same machinery answers a host that only asks (:meth:`Executor.gate`): there the decision is ours and the execution is
not, and the record says so. Identity is looked up before judging, decided again inside the store's transaction, and every
answer is read from the record. Nothing is retried here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from weighbridge import canonical
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import CostClass, OperationFacts, OperationKind, Role, ValidationContext, parse_context
from weighbridge.domain.decision import AlreadyExecuted, Blocked, Finding, GateDecision, OperationDecision
from weighbridge.domain.identifiers import RANDOM_BYTES, mint
from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import (
    ContextError,
    IdempotencyConflict,
    Refusal,
    StoreError,
    SuppliedTimeRefused,
    TenantMismatch,
    UsageError,
    WeighbridgeError,
)
from weighbridge.gateway import Engine, Identified, identify, prepare, target_of, with_facts, without_stated_facts
from weighbridge.ledger.answer import gate_decisions, operation_decision
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.recorder import Recorder

if TYPE_CHECKING:
    from weighbridge.storage.reading import LedgerReader

_log = logging.getLogger("weighbridge.executor")
_Value = TypeVar("_Value")

EXECUTED = "executed"
ASKED = "asked"
DEFAULT_TENANT = "default"
LEVELS_MAX = (
    200  # of a request; below what every supported interpreter can walk, above what compliance calls TOO_COMPLEX
)
OPERATION_ID_LENGTH_MAX = 160  # the run ids derived from it stay within the length of an id


class Surroundings(msgspec.Struct, frozen=True):
    """What comes from outside: the clock (milliseconds since the epoch) and the source of random bytes."""

    clock_ms: Callable[[], int]
    entropy: Callable[[int], bytes]

    def new_id(self) -> str:
        """Return a new UUIDv7."""
        return mint(self.clock_ms(), self.entropy(RANDOM_BYTES))


class Admitted(msgspec.Struct, frozen=True):
    """A request that is complete: private copy, tenant, instant, id and facts settled."""

    context: ValidationContext
    tenant_id: str
    time_source: str
    engine: Engine
    identified: Identified
    findings: tuple[Finding, ...]
    id_supplied: bool

    @property
    def run_id(self) -> str:
        """Return the id of the run, supplied or minted."""
        return self.context.validation_run_id or ""


class Executor:
    """Weighs requests on one store and calls what was allowed. Safe to use from many threads."""

    def __init__(
        self,
        *,
        recorder: Recorder,
        reader: LedgerReader,
        engine_of: Callable[[str], Engine],
        registered: Mapping[str, OperationFacts],
        principal: Principal,
        surroundings: Surroundings,
    ) -> None:
        self._recorder = recorder
        self._reader = reader
        self._engine_of = engine_of
        self._registered = registered
        self._principal = principal
        self._surroundings = surroundings
        self._supplied_time_allowed = reader.purpose() != "enforcement"

    def gate(self, document: Any) -> GateDecision:
        """Judge one request, record it, and answer (enforcement: asked only).

        Raises:
            ContextError, CanonicalError, TenantMismatch, SuppliedTimeRefused: the request is no request; nothing recorded.
            IdempotencyConflict: its id answers another request.
            Refusal: no verdict could be recorded; the operation must not happen.
        """
        admitted = self.admit(document)
        committed = self._known_run(admitted) or self._recorder.record(self.submission(admitted))
        return _only(committed, admitted.run_id)

    def gate_many(self, documents: Sequence[Any]) -> list[GateDecision | WeighbridgeError]:
        """Judge many requests in order and record them in as few transactions as the store sees fit.

        What is wrong with one of them is returned in its place; the rest is done.
        """
        answers: list[GateDecision | WeighbridgeError | None] = []
        waiting: list[tuple[int, Submission]] = []
        for place, document in enumerate(documents):
            try:
                admitted = self.admit(document)
                known = self._known_run(admitted)
                answers.append(_only(known, admitted.run_id) if known else None)
                if known is None:
                    waiting.append((place, self.submission(admitted)))
            except WeighbridgeError as error:
                answers.append(error)
        committed = self._recorder.record_many([submission for _, submission in waiting])
        for (place, submission), answer in zip(waiting, committed, strict=True):
            try:
                run_id = submission.runs[0].validation_run_id
                answers[place] = _only(answer, run_id) if isinstance(answer, Committed) else answer
            except WeighbridgeError as error:
                answers[place] = error
        return [answer for answer in answers if answer is not None]

    def ask(
        self, operation: OperationFacts, operation_id: str | None, contexts: Sequence[ValidationContext]
    ) -> OperationDecision:
        """Weigh one operation at every choke point that applies, in one record, and answer (enforcement: executed).

        Raises:
            As :meth:`gate`; `IdempotencyConflict` also where a run id is bound to another operation (G10).
        """
        if operation_id is not None and not 0 < len(operation_id) <= OPERATION_ID_LENGTH_MAX:
            raise ContextError(
                "operation_id", f"has {len(operation_id)} characters; use 1 to {OPERATION_ID_LENGTH_MAX}"
            )
        identity = operation_id or self._surroundings.new_id()
        now = format_instant(self._surroundings.clock_ms())
        admitted = [
            self.admit(
                msgspec.structs.replace(
                    context, operation_id=identity, validation_run_id=f"{identity}:{context.choke_point.value}"
                ),
                now,
            )
            for context in contexts
        ]
        request = [operation.name, *(one.identified.request_hash for one in admitted)]
        request_hash = canonical.sha256_hex(canonical.encode(request))
        known = self._known(admitted[0], "op", identity, request_hash) if operation_id is not None else None
        committed = known or self._recorder.record(self._operation_submission(admitted, identity, request_hash))
        state = committed.state or "PENDING"
        return operation_decision(committed.body, committed.hash, identity, state, replayed=committed.replayed)

    def execute(self, decision: OperationDecision, call: Callable[[], _Value]) -> _Value:
        """Call what was allowed, once, report how it ended, and return the function's own value.

        Raises:
            Blocked: the verdict is BLOCK; nothing was called.
            AlreadyExecuted: the decision was already on record; nothing is called twice (G10).
        """
        _permit(decision)
        try:
            value = call()
        except BaseException as error:
            self._report(decision, "FAILED", type(error).__name__)
            raise
        self._report(decision, "COMPLETED", None)
        return value

    async def execute_async(
        self,
        decision: OperationDecision,
        call: Callable[[], Awaitable[_Value]],
        in_thread: Callable[..., Awaitable[Any]],
    ) -> _Value:
        """Do as :meth:`execute` does for a coroutine function; reports are written off the event loop."""
        _permit(decision)
        try:
            value = await call()
        except BaseException as error:
            await in_thread(self._report, decision, "FAILED", type(error).__name__)
            raise
        await in_thread(self._report, decision, "COMPLETED", None)
        return value

    def admit(self, document: Any, now: str | None = None) -> Admitted:
        """Return a complete request: a private copy with tenant, instant, id and facts settled, identified.

        ``now`` is the instant of the operation the request belongs to; without it the clock is read, once.
        """
        plain = msgspec.to_builtins(document) if isinstance(document, ValidationContext) else document
        copy = canonical.private_copy(plain)
        canonical.require_shallow(copy, LEVELS_MAX)
        context = parse_context(copy.value)
        tenant_id = tenant_of(self._principal, context.tenant_id)
        engine = self._read(tenant_id, lambda: self._engine_of(tenant_id))
        stated = context
        context, findings = without_stated_facts(stated, self._principal)
        instant, time_source = self._instant(context, now)
        run_id = context.validation_run_id
        context = msgspec.structs.replace(
            context,
            tenant_id=tenant_id,
            evaluation_time=instant,
            validation_run_id=run_id or self._surroundings.new_id(),
        )
        declared = engine.policy.operations
        context = with_facts(context, lambda name: _facts_of(name, self._registered, declared))
        context = msgspec.structs.replace(context, target_id=target_of(context))
        identified = identify(context, engine.key, simple=copy.simple)
        if self._principal.role is not Role.HOST:
            # G3: what was stated and does not count is part of the request all the same.
            asked = identify(
                msgspec.structs.replace(
                    context, snapshot=stated.snapshot, data_sources=stated.data_sources, evidence=stated.evidence
                ),
                engine.key,
            )
            identified = msgspec.structs.replace(identified, request_hash=asked.request_hash)
        return Admitted(
            context=context,
            tenant_id=tenant_id,
            time_source=time_source,
            engine=engine,
            identified=identified,
            findings=findings,
            id_supplied=run_id is not None,
        )

    def submission(self, admitted: Admitted) -> Submission:
        """Judge an admitted request that is only asked, and return what to record."""
        run = prepare(admitted.context, admitted.engine, admitted.identified, admitted.findings)
        return msgspec.structs.replace(self._frame(admitted, ASKED), runs=(run.draft,), contents=run.contents)

    def _operation_submission(self, admitted: Sequence[Admitted], operation_id: str, request_hash: str) -> Submission:
        runs = [prepare(one.context, one.engine, one.identified, one.findings) for one in admitted]
        contents = dict(content for run in runs for content in run.contents)
        return msgspec.structs.replace(
            self._frame(admitted[0], EXECUTED),
            runs=tuple(run.draft for run in runs),
            operation=(operation_id, request_hash),
            contents=tuple(contents.items()),
        )

    def _frame(self, admitted: Admitted, enforcement: str) -> Submission:
        """Return a submission that says who, where, when and under what, and nothing yet of what was found."""
        context, policy = admitted.context, admitted.engine.policy
        instant = context.evaluation_time_ms
        stated = {
            "account_id": context.account_id,
            "plan_id": context.plan_id,
            "step_id": context.step_id,
            "attempt": context.attempt,
            "operation_id": context.operation_id,
        }
        common: dict[str, Any] = {name: value for name, value in stated.items() if value is not None} | {
            "actor": {"id": context.actor.id, "role": context.actor.role.value},
            "evaluation_time": context.evaluation_time,
            "time_source": admitted.time_source,
            "policy_version": policy.policy_version,
            "engine_version": admitted.engine.version,
            "enforcement": enforcement,
        }
        if self._principal.id != context.actor.id:
            common["principal"] = {"id": self._principal.id, "role": self._principal.role.value}
        subjects = (("account", context.account_id), ("plan", context.plan_id), ("step", context.step_id))
        return Submission(
            tenant_id=admitted.tenant_id,
            common=common,
            evaluation_time_ms=instant,
            time_source=admitted.time_source,
            max_clock_skew_ms=policy.max_clock_skew_ms,
            policy_version=policy.policy_version,
            subjects=tuple((kind, identity) for kind, identity in subjects if identity is not None),
        )

    def _instant(self, context: ValidationContext, now: str | None) -> tuple[str, str]:
        if context.evaluation_time is None:
            return now or format_instant(self._surroundings.clock_ms()), "clock"
        if not self._supplied_time_allowed:
            message = (
                "this store enforces: the evaluation time is the clock's. Leave `evaluation_time` out, "
                "or judge on a store made for evaluation (`weighbridge evaluate`)"
            )
            raise SuppliedTimeRefused(message)
        return format_instant(parse_instant(context.evaluation_time) or 0), "supplied"

    def _known_run(self, admitted: Admitted) -> Committed | None:
        if not admitted.id_supplied:
            return None  # an id minted a moment ago answers nothing yet
        return self._known(admitted, "run", admitted.run_id, admitted.identified.request_hash)

    def _known(self, admitted: Admitted, kind: str, identity: str, request_hash: str) -> Committed | None:
        """Return the recorded answer under a supplied id, before anything is judged again (G3)."""
        known = self._read(admitted.tenant_id, lambda: self._reader.identity(admitted.tenant_id, kind, identity))
        if known is None:
            return None
        if known.request_hash != request_hash:
            raise IdempotencyConflict(kind, identity, known.seq, known.state)
        stored = self._read(admitted.tenant_id, lambda: self._reader.record(admitted.tenant_id, known.seq))
        if stored is None:
            lost = Refusal("COMMIT_UNKNOWN", f"record {known.seq} of `{identity}` cannot be read; verify the ledger")
            raise self._recorder.refuse(admitted.tenant_id, lost)
        return Committed(known.seq, stored.hash, stored.body, replayed=True, state=known.state)

    def _read(self, tenant_id: str, read: Callable[[], _Value]) -> _Value:
        """Return what the store says; where it cannot be read, no verdict can be recorded either (G2)."""
        try:
            return read()
        except StoreError as error:
            raise self._recorder.refuse(tenant_id, error) from error

    def _report(self, decision: OperationDecision, outcome: str, error: str | None) -> None:
        """Record how a call ended. What happened has happened: a failure to record it is counted, never raised."""
        gate = decision.gates[0]
        instant = self._surroundings.clock_ms()
        event: dict[str, Any] = {"type": "OPERATION_COMPLETED", "operation": decision.operation, "outcome": outcome}
        if error is not None:
            event["error"] = error
        submission = Submission(
            tenant_id=decision.record.tenant_id,
            common={
                **decision.about,  # L4: the plan's story tells how its operations ended
                "actor": {"id": self._principal.id, "role": self._principal.role.value},
                "operation_id": decision.operation_id,
                "evaluation_time": format_instant(instant),
                "time_source": "clock",
                "policy_version": gate.policy_version,
                "engine_version": gate.engine_version,
                "enforcement": EXECUTED,
            },
            evaluation_time_ms=instant,
            time_source="clock",
            max_clock_skew_ms=0,
            events=(event,),
            completes=(decision.operation_id, outcome),
        )
        try:
            self._recorder.record(submission)
        except WeighbridgeError as refused:
            # No traceback: it would tell what the function's own exception says.
            message = "operation `%s` ended %s, which could not be recorded: %s"
            _log.error(message, decision.operation_id, outcome, refused)


def tenant_of(principal: Principal, stated: str | None) -> str:
    """Return the tenant of a request: the credential's; a request may repeat it, not choose another (L5).

    Raises:
        TenantMismatch: it names another.
    """
    bound = principal.tenant_id
    if bound is not None and stated not in {None, bound}:
        raise TenantMismatch(
            f"the request names tenant `{stated}`, the credential is for `{bound}`; leave the tenant out"
        )
    return bound or stated or DEFAULT_TENANT


def _facts_of(
    name: str, registered: Mapping[str, OperationFacts], declared: Mapping[str, OperationFacts]
) -> OperationFacts | None:
    """Return what is known of an operation; where code and this tenant's policy differ, there is no telling (Z5).

    Raises:
        UsageError: they do.
    """
    ours, theirs = registered.get(name), declared.get(name)
    if ours is not None and theirs is not None and ours != theirs:
        raise UsageError(
            f"operation `{name}` is registered with another kind, class, action type or target than the tenant's policy "
            "declares; make them agree, or leave it out of the policy"
        )
    return ours or theirs


def choke_points_of(facts: OperationFacts, *, inside_step: bool) -> tuple[ChokePoint, ...]:
    """Return the choke points an operation passes, in the table's order.

    An operation outside a plan step is a step attempt; inside one it does not pass the step's choke point again.
    """
    applies = (
        (ChokePoint.BEFORE_STEP_EXECUTION, not inside_step),
        (ChokePoint.BEFORE_EXTERNAL_WRITEBACK, facts.kind is OperationKind.WRITEBACK),
        (ChokePoint.BEFORE_EXPENSIVE_READ, facts.cost_class is CostClass.EXPENSIVE),
    )
    return tuple(choke_point for choke_point, passes in applies if passes)


def _permit(decision: OperationDecision) -> None:
    if decision.verdict is Verdict.BLOCK:
        raise Blocked(decision)
    if decision.replayed:
        raise AlreadyExecuted(decision)


def _only(committed: Committed, run_id: str) -> GateDecision:
    """Return the one decision of a record that was asked for alone.

    Raises:
        IdempotencyConflict: the run belongs to an operation; asked for alone it is another pairing of ids (G10).
    """
    decisions = gate_decisions(committed.body, committed.hash, replayed=committed.replayed)
    if len(decisions) != 1 or decisions[0].enforcement == EXECUTED:
        raise IdempotencyConflict("run", run_id, committed.seq)
    return decisions[0]
