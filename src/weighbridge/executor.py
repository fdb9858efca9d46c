"""The only way to execute: prepare, record, call once, report (Z4, G10, G11).

The same machinery answers a host that only asks (:meth:`Executor.gate`): there the decision is ours and the execution is
not, and the record says so. Identity is looked up before judging, decided again inside the store's transaction, and every
answer is read from the record. Nothing is retried here.
"""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from weighbridge import budget_service, canonical, read_back, telling
from weighbridge.admission import ASKED, EXECUTED, Admission, Admitted, Asked, Surroundings, tenant_of
from weighbridge.domain.amounts import from_text, shown
from weighbridge.domain.context import OperationFacts, Proposal, Role, ValidationContext
from weighbridge.domain.decision import AlreadyExecuted, Blocked, GateDecision, OperationDecision
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import SpendingRequest, Tokens
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import (
    ContextError,
    IdempotencyConflict,
    NotFound,
    Refusal,
    StoreError,
    UsageError,
    WeighbridgeError,
)
from weighbridge.gateway import Engine
from weighbridge.ledger import commit
from weighbridge.ledger.answer import gate_decisions, operation_decision
from weighbridge.ledger.record import OPERATION_COMPLETED, USAGE_REPORTED, events
from weighbridge.ledger.submission import Committed, PlanMove, Submission, Usage
from weighbridge.read_back import Ending, ReadBack
from weighbridge.recorder import Recorder

if TYPE_CHECKING:
    from weighbridge.storage.reading import LedgerReader

_log = logging.getLogger("weighbridge.executor")
_Value = TypeVar("_Value")

Consumed = Callable[[_Value], Mapping[str, Any] | Tokens]
"""Says what an operation really consumed, from the value it returned."""


class Reading(msgspec.Struct, frozen=True):
    """What a read-back is called with besides the function's value, untouched by the call, and which fields it must find."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    asked: Mapping[str, Any]


class Call(msgspec.Struct, frozen=True):
    """What is done with the value of a call, and with its end. With what it is called says the permit (G11).

    ``settled`` hands on what the function returned, or raises what ends the attempt. ``reading`` is for what is read back.
    ``ended`` says what the end of the call does to a plan, where it is a step of one.
    """

    settled: Callable[[Any], Any]
    reading: Reading | None = None
    ended: Callable[[Ending], PlanMove | None] = lambda _ending: None


class _Held(NamedTuple):
    """A registered function, and what is called after it. Only :class:`Executor` calls any of them (Z4)."""

    function: Callable[..., Any]
    consumed: Consumed[Any] | None
    read_back: ReadBack | None


class Given(NamedTuple):
    """With which arguments a function is called: private copies of those that are weighed."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}


class _Permit(NamedTuple):
    """The leave to make one call with these arguments, for exactly this decision and for as long as somebody holds it."""

    decision: weakref.ref[OperationDecision]
    given: Given


class Executor:
    """Weighs requests on one store and calls what was allowed. Safe to use from many threads.

    ``store`` is what people call the store; None where nobody said.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        reader: LedgerReader,
        engine_of: Callable[[str], Engine],
        registered: Mapping[str, OperationFacts],
        principal: Principal,
        surroundings: Surroundings,
        store: str | None = None,
    ) -> None:
        self._store = store
        self._overlooked: set[tuple[str, str]] = set()
        self._functions: dict[str, _Held] = {}
        self._permits: dict[int, _Permit] = {}
        self._recorder = recorder
        self._reader = reader
        self._engine_of = engine_of
        self._principal = principal
        self._surroundings = surroundings
        self._admission = Admission(
            engine_of=lambda tenant_id: self._read(tenant_id, lambda: engine_of(tenant_id)),
            registered=registered,
            principal=principal,
            surroundings=surroundings,
            supplied_time_allowed=reader.purpose() != "enforcement",
        )

    def gate(self, document: Any) -> GateDecision:
        """Judge one request, record it, and answer (enforcement: asked only).

        Raises:
            ContextError, CanonicalError, TenantMismatch, SuppliedTimeRefused: the request is no request; nothing recorded.
            IdempotencyConflict: its id answers another request.
            Refusal: no verdict could be recorded; the operation must not happen.
        """
        admitted = self._admission.admit(document)
        committed = self._known_run(admitted) or self._recorder.record(self._admission.submission(admitted))
        return _gate(committed)

    def reserve(self, document: Any) -> OperationDecision:
        """Weigh what a host does itself: its budget, beside a choke point or alone, in one record (asked only).

        Raises:
            As :meth:`gate`; `IdempotencyConflict` also where the ids are bound to others (G10).
        """
        asked = self._admission.asked(document)
        return _operation(
            asked,
            self._known_operation(asked) or self._recorder.record(self._admission.operation_submission(asked, ASKED)),
        )

    def answer_many(self, documents: Sequence[Any]) -> list[GateDecision | OperationDecision | WeighbridgeError]:
        """Judge many requests in order and record them in as few transactions as the store sees fit.

        A request with a ``budget`` is answered as :meth:`reserve` does, another as :meth:`gate` does. What is wrong with one of
        them is returned in its place; the rest is done.
        """
        answers: list[GateDecision | OperationDecision | WeighbridgeError | None] = []
        waiting: list[tuple[int, Submission, Callable[[Committed], GateDecision | OperationDecision]]] = []
        for place, document in enumerate(documents):
            try:
                known, submission, answer = self._question(document)
                if known is None:
                    waiting.append((place, submission(), answer))
                answers.append(None if known is None else answer(known))
            except WeighbridgeError as error:
                answers.append(error)
        committed = self._recorder.record_many([submission for _, submission, _ in waiting])
        for (place, _, answer), outcome in zip(waiting, committed, strict=True):
            try:
                answers[place] = answer(outcome) if isinstance(outcome, Committed) else outcome
            except WeighbridgeError as error:
                answers[place] = error
        return [answer for answer in answers if answer is not None]

    def ask(
        self,
        operation: OperationFacts,
        operation_id: str | None,
        contexts: Sequence[ValidationContext],
        about: SpendingRequest,
        proposal: Proposal | None = None,
        *,
        given: Given = Given(),  # noqa: B008 - immutable
        move: PlanMove | None = None,
    ) -> OperationDecision:
        """Weigh one operation: every choke point that applies, then its budget, once, in one record (executed).

        ``about`` says on whose behalf, and what is to be reserved: the executor's own word, and so a fact (Z5). ``proposal`` is
        what is called with what, where no choke point applies that would say so; ``given`` the same as arguments: a decision that
        permits it is good for one :meth:`execute`, with exactly these. ``move`` draws the step attempt of a plan in the same
        record (H4), which says as what the operation is registered now (G11).

        Raises:
            As :meth:`gate`; `IdempotencyConflict` also where a run id is bound to another operation (G10); `PlanRefused` where
            the attempt cannot be drawn.
        """
        asked = self._admission.operation(operation, operation_id, contexts, about, proposal, drawn=move is not None)
        known = self._known_operation(asked)
        if known is not None:
            return _operation(asked, known)
        submission = self._admission.operation_submission(asked, EXECUTED)
        if move is not None:
            submission = msgspec.structs.replace(submission, plan=msgspec.structs.replace(move, facts=operation))
        decision = _operation(asked, self._recorder.record(submission))
        if decision.state == "PENDING" and not decision.replayed:
            self._permit(decision, given)
        return decision

    def weigh_plan(
        self, context: ValidationContext, move: PlanMove, contents: tuple[tuple[str, bytes], ...] = ()
    ) -> GateDecision:
        """Judge a plan before its approval, and record the verdict and what follows from it together (executed).

        Said twice, it is the recorded approval that answers. After a BLOCK the plan is as it was.

        Raises:
            As :meth:`gate`; `PlanRefused` where the plan cannot be approved now, and nothing was recorded.
        """
        submission = self._admission.submission(self._admission.admit(context), EXECUTED)
        ready = msgspec.structs.replace(submission, plan=move, contents=(*submission.contents, *contents))
        return _gate(self._recorder.record(ready))

    def report_usage(
        self, operation_id: str, stated: Mapping[str, Any] | Tokens, tenant_id: str | None
    ) -> OperationDecision:
        """Record what an operation really consumed, once, and settle what is given back (B7).

        Raises:
            UsageError: the principal may not state what was consumed (`UNTRUSTED_INPUT`, Z5).
            NotFound: no such operation was allowed, or nothing was reserved for it.
            IdempotencyConflict: another consumption was reported before.
            Refusal: it could not be recorded; report it again.
        """
        if self._principal.role is not Role.HOST:
            raise UsageError("UNTRUSTED_INPUT: what was consumed counts only from a host or the executor")
        tenant = tenant_of(self._principal, tenant_id)
        if not isinstance(operation_id, str):
            raise ContextError("operation_id", f"is a `{type(operation_id).__name__}`; an id is text")
        known = self._read(tenant, lambda: self._reader.identity(tenant, "op", operation_id))
        stored = None if known is None else self._read(tenant, lambda: self._reader.record(tenant, known.seq))
        if known is None or stored is None:
            raise NotFound(f"operation `{operation_id}` is not on record; only an allowed operation consumes something")
        decision = operation_decision(stored.body, stored.hash, operation_id, known.state or "PENDING", replayed=True)
        usage = self._usage(decision, stated)
        event: dict[str, Any] = {"type": "USAGE_REPORTED"}
        submission = msgspec.structs.replace(self._report_frame(decision), events=(event,), usage=usage)
        _warn_of_overrun(decision, self._recorder.record(submission))
        return decision

    def hold(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        consumed: Consumed[Any] | None = None,
        read_back: ReadBack | None = None,
    ) -> None:
        """Take the function of an operation. Nobody is ever handed it again: it is called here, or not at all (G11, Z4)."""
        self._functions[name] = _Held(function, consumed, read_back)

    def execute(self, decision: OperationDecision, call: Call) -> Any:
        """Call the function of what was allowed, once, report how it ended, and return the function's own value.

        Raises:
            Blocked: the verdict is BLOCK; nothing was called.
            AlreadyExecuted: the decision was already on record, or was executed: nothing is called twice (G10).
            WriteNotStored, ReadBackFailed: it was called, and what it wrote is not confirmed; that is on record.
        """
        held, given = self._permitted(decision)
        try:
            value = call.settled(held.function(*given.args, **given.kwargs))
        except BaseException as error:
            self._report(decision, call, read_back.raised(error))
            raise
        usage, ending = None, read_back.DONE if held.read_back is None else read_back.UNREAD
        try:
            usage = self._consumed(decision, held.consumed, value)
            if held.read_back is not None and call.reading is not None:
                try:
                    stored = held.read_back(value, *call.reading.args, **call.reading.kwargs)
                    ending = read_back.compared(call.reading.asked, call.settled(stored))
                except Exception as error:  # noqa: BLE001 - whatever it is, the write may have happened, and that is told
                    ending = read_back.unread(error)
        finally:  # G10: it has happened, also where its accounting or its read-back ends the program
            self._report(decision, call, ending, usage)
        self._require_confirmed(decision, ending, value)
        return value

    async def execute_async(
        self, decision: OperationDecision, call: Call, in_thread: Callable[..., Awaitable[Any]]
    ) -> Any:
        """Do as :meth:`execute` does for a coroutine function; reports are written off the event loop."""
        held, given = self._permitted(decision)
        try:
            value = call.settled(await held.function(*given.args, **given.kwargs))
        except BaseException as error:
            await in_thread(self._report, decision, call, read_back.raised(error))
            raise
        usage, ending = None, read_back.DONE if held.read_back is None else read_back.UNREAD
        try:
            usage = self._consumed(decision, held.consumed, value)
            if held.read_back is not None and call.reading is not None:
                try:
                    stored = await held.read_back(value, *call.reading.args, **call.reading.kwargs)
                    ending = read_back.compared(call.reading.asked, call.settled(stored))
                except Exception as error:  # noqa: BLE001 - as above
                    ending = read_back.unread(error)
        finally:
            await in_thread(self._report, decision, call, ending, usage)
        self._require_confirmed(decision, ending, value)
        return value

    def blocked(self, decision: OperationDecision, hint: str = "") -> Blocked:
        """Return the exception that says what was blocked, what decided, and where to read on; ``hint`` comes before that."""
        return telling.blocked(decision, self._store, hint)

    def _permit(self, decision: OperationDecision, given: Given) -> None:
        """Let a decision that was just taken be executed once. What nobody holds any more, nobody can execute."""
        key, permits = id(decision), self._permits

        def forget(_: object) -> None:
            permits.pop(key, None)

        permits[key] = _Permit(weakref.ref(decision, forget), given)

    def _permitted(self, decision: OperationDecision) -> tuple[_Held, Given]:
        """Return the function of a decision that permits to call it, and its arguments; with that the permit is used up."""
        if decision.verdict is Verdict.BLOCK:
            raise self.blocked(decision)
        permit = self._permits.pop(id(decision), None)
        if permit is None:
            raise AlreadyExecuted(decision)
        return self._functions[decision.operation], permit.given

    def _require_confirmed(self, decision: OperationDecision, ending: Ending, value: object) -> None:
        """Tell the caller, after the record, what its read-back does not confirm."""
        if ending.outcome == read_back.FAILED:
            raise telling.unconfirmed(decision, ending, value, self._store) from ending.cause

    def _question(
        self, document: Any
    ) -> tuple[Committed | None, Callable[[], Submission], Callable[[Committed], GateDecision | OperationDecision]]:
        """Return the recorded answer of a request if there is one, what to record else, and how to read it back."""
        if isinstance(document, Mapping) and "budget" in document:
            asked = self._admission.asked(document)
            return (
                self._known_operation(asked),
                functools.partial(self._admission.operation_submission, asked, ASKED),
                functools.partial(_operation, asked),
            )
        admitted = self._admission.admit(document)
        return self._known_run(admitted), functools.partial(self._admission.submission, admitted), _gate

    def _known_operation(self, asked: Asked) -> Committed | None:
        if not asked.id_supplied:
            return None  # an id minted a moment ago answers nothing yet
        return self._known(asked.tenant_id, asked.names)

    def _known_run(self, admitted: Admitted) -> Committed | None:
        if not admitted.id_supplied:
            return None  # an id minted a moment ago answers nothing yet
        return self._known(admitted.tenant_id, (("run", admitted.run_id, admitted.identified.request_hash),))

    def _known(self, tenant_id: str, names: tuple[tuple[str, str, str], ...]) -> Committed | None:
        """Return the recorded answer to all these ids together, before anything is judged again (G3, G10)."""
        kind, identity, request_hash = names[0]
        known = self._read(tenant_id, lambda: self._reader.identity(tenant_id, kind, identity))
        if known is None:
            return None
        if known.request_hash != request_hash:
            raise IdempotencyConflict(kind, identity, known.seq, known.state)
        stored = self._read(tenant_id, lambda: self._reader.record(tenant_id, known.seq))
        if stored is None:
            lost = Refusal("COMMIT_UNKNOWN", f"record {known.seq} of `{identity}` cannot be read; verify the ledger")
            raise self._recorder.refuse(tenant_id, lost)
        return commit.answer(commit.Replay(known.seq, frozenset(names), known.state), stored.hash, stored.body)

    def _read(self, tenant_id: str, read: Callable[[], _Value]) -> _Value:
        """Return what the store says; where it cannot be read, no verdict can be recorded either (G2)."""
        try:
            return read()
        except StoreError as error:
            raise self._recorder.refuse(tenant_id, error) from error

    def _consumed(self, decision: OperationDecision, consumed: Consumed[_Value] | None, value: _Value) -> Usage | None:
        """Return what a call consumed. It has happened: a report that cannot be read is logged, never raised."""
        if consumed is None:
            return None
        try:
            return self._usage(decision, consumed(value))
        except Exception as error:  # noqa: BLE001 - the caller's function must not be made to fail by its own accounting
            # Our own words are safe to log; what a foreign exception says may be what the function returned.
            why = str(error) if isinstance(error, ContextError) else type(error).__name__
            message = "what operation `%s` (`%s`) consumed is unknown: %s"
            _log.error(message, decision.operation, decision.operation_id, why)
            return None

    def _usage(self, decision: OperationDecision, stated: Mapping[str, Any] | Tokens) -> Usage:
        amounts = budget_service.consumed(stated, decision.budget)
        self._say_overlooked(decision, amounts)
        return Usage(decision.operation_id, amounts, budget_service.usage_hash(amounts))

    def _say_overlooked(self, decision: OperationDecision, consumed: Mapping[str, int]) -> None:
        """Say once of an operation that it consumes what is never reserved: no cap could have stopped that (B5)."""
        reserved = decision.budget.amounts if decision.budget is not None else {}
        for unit in consumed.keys() - reserved.keys():
            if (decision.operation, unit) not in self._overlooked:
                self._overlooked.add((decision.operation, unit))
                message = "operation `%s` consumes `%s`, of which it reserved nothing; let `reserves` state it"
                _log.warning(message, decision.operation, unit)

    def _report(self, decision: OperationDecision, call: Call, ending: Ending, usage: Usage | None = None) -> None:
        """Record how a call ended. What happened has happened: a failure to record it is counted, never raised."""
        event: dict[str, Any] = {"type": OPERATION_COMPLETED, "operation": decision.operation, **ending.event()}
        try:
            contents = self._differing(decision, ending)
            if contents:
                event["content"] = {"read_back": contents[0][0]}
            submission = msgspec.structs.replace(
                self._report_frame(decision),
                events=(event,) if usage is None else (event, {"type": USAGE_REPORTED}),
                completes=(decision.operation_id, ending.outcome),
                usage=usage,
                contents=contents,
                plan=call.ended(ending),
            )
            _warn_of_overrun(decision, self._recorder.record(submission))
        except WeighbridgeError as refused:
            # No traceback: it would tell what the function's own exception says.
            message = "operation `%s` ended %s, which could not be recorded: %s"
            _log.error(message, decision.operation_id, ending.reason or ending.outcome, refused)

    def _differing(self, decision: OperationDecision, ending: Ending) -> tuple[tuple[str, bytes], ...]:
        """Return what was asked and what is stored instead, as content (L6): it may be anybody's address."""
        if ending.values is None:
            return ()
        # Content of its own, so that erasing it takes no other operation's values away.
        stated = canonical.encode({"operation_id": decision.operation_id, **ending.values})
        return ((canonical.keyed_hash(self._engine_of(decision.record.tenant_id).key, stated), stated),)

    def _report_frame(self, decision: OperationDecision) -> Submission:
        """Return the submission of a report on an operation, without what it reports."""
        instant = self._surroundings.clock_ms()
        return Submission(
            tenant_id=decision.record.tenant_id,
            common={
                **decision.about,  # L4: the plan's story tells how its operations ended
                "actor": {"id": self._principal.id, "role": self._principal.role.value},
                "operation_id": decision.operation_id,
                "evaluation_time": format_instant(instant),
                "time_source": "clock",
                "policy_version": decision.policy_version,
                "engine_version": decision.engine_version,
                "enforcement": decision.enforcement,
            },
            evaluation_time_ms=instant,
            time_source="clock",
            max_clock_skew_ms=0,
        )


def _operation(asked: Asked, committed: Committed) -> OperationDecision:
    state = committed.state or "PENDING"
    return operation_decision(committed.body, committed.hash, asked.operation_id, state, replayed=committed.replayed)


def _warn_of_overrun(decision: OperationDecision, committed: Committed) -> None:
    """B7: what was consumed beyond the reservation is on record; whoever reads logs is told (of a unit never reserved, once)."""
    reserved = {} if decision.budget is None else decision.budget.amounts
    told = b'"overrun"' in committed.body and not committed.replayed
    for event in events(committed.body) if told else ():
        over = from_text(event.fields.get("overrun", {})) if event.type == USAGE_REPORTED else {}
        units = ", ".join(shown(more, unit) for unit, more in sorted(over.items()) if unit in reserved)
        if units:
            message = "operation `%s` (`%s`) consumed more than it reserved: %s over"
            _log.warning(message, decision.operation, decision.operation_id, units)


def _gate(committed: Committed) -> GateDecision:
    """Return the decision of a record that answers one run and nothing else."""
    return gate_decisions(committed.body, committed.hash, replayed=committed.replayed)[0]
