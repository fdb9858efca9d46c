"""One action of a plan at a time: read where it stands, ask what comes next, do exactly that (H4).

What comes next is `plans.next_action`, a function of the plan, its type and the time; verdicts are no input to it (H5). Whatever
is done is recorded with what follows from it, in one transaction, on the revision or attempt it was decided on. So two that
advance the same plan cannot both win: whoever is late is refused by the store, reads again, and has done nothing (H1).

An attempt is drawn in the record of its decision, and then called. A process that dies between the two cannot be told from one
that died during the call, or after it and before its end was on record: nobody knows whether it happened. Such an attempt is
OUTCOME_UNKNOWN, is never run again by itself, and the plan is paused for a person, whose resume allows another one (G10). What it
reserved stays reserved. If its end is told after all, that counts.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from weighbridge import canonical, scopes
from weighbridge.admission import tenant_of
from weighbridge.domain.context import Role
from weighbridge.domain.decision import AlreadyExecuted, Blocked, OperationDecision
from weighbridge.domain.plan import (
    OPERATION_FAILED,
    OUTCOME_UNKNOWN,
    PauseReason,
    PlanState,
    PlanStatus,
    StepStatus,
    Verb,
)
from weighbridge.domain.principal import Principal
from weighbridge.errors import IdempotencyConflict, LedgerCorrupt, NotFound, PlanRefused, UsageError, WeighbridgeError
from weighbridge.ledger.plan_moves import BLOCKED
from weighbridge.ledger.submission import PlanMove
from weighbridge.operations import StepMoves
from weighbridge.orchestrator.alone import Alone
from weighbridge.orchestrator.interface import Advanced, Observation, Observe, Runs, observation
from weighbridge.plan_book import PlanBook, request_hash
from weighbridge.plans.asking import operation_id, step_scope
from weighbridge.plans.lifecycle import ENDED
from weighbridge.plans.next_action import (
    Abort,
    Action,
    Activate,
    End,
    Pause,
    RunStep,
    SettleUnknown,
    Wait,
    next_action,
)
from weighbridge.plans.state_evaluator import OBJECTIVE_MET, evaluate
from weighbridge.policy.effective import PlanType
from weighbridge.read_back import COMPLETED, Ending
from weighbridge.recorder import Recorder

_log = logging.getLogger("weighbridge.orchestrator")

_BY_TIME: Final = frozenset({"PLAN_EXPIRED", "NOT_EXPIRED"})
"""Refusals of what was decided a moment ago: the instant was another one."""

_ENDS: Final = {PlanStatus.COMPLETED: Verb.COMPLETE, PlanStatus.EXPIRED: Verb.EXPIRE}

_NAMES: Final[Mapping[type[Action], str]] = {
    Activate: "ACTIVATE",
    RunStep: "RUN_STEP",
    SettleUnknown: "SETTLE_UNKNOWN",
    Pause: "PAUSE",
    Abort: "ABORT",
    End: "END",
    Wait: "WAIT",
}

_Attempt = tuple[str, str, str, int]  # tenant, plan, step, number


class Orchestrator:
    """Carries out the plans of one store, for one principal. Safe to use from many threads.

    ``alone`` keeps other processes from carrying out the same plans, for whoever asks it to.
    """

    def __init__(
        self, *, recorder: Recorder, book: PlanBook, operations: Runs, principal: Principal, alone: Alone
    ) -> None:
        self._recorder = recorder
        self._book = book
        self._operations = operations
        self._principal = principal
        self._observe: Observe | None = None
        self._lock = threading.Lock()
        self._in_hand: Counter[_Attempt] = Counter()
        self.alone: Alone = alone

    @property
    def only(self) -> str | None:
        """Return the tenant whose plans these are; None: of all tenants."""
        return self._principal.tenant_id

    def observe(self, connector: Observe) -> None:
        """Take the connector that says how an account stands, for the objectives of plan types (Z5).

        Raises:
            UsageError: there is one already, or it cannot be called.
        """
        if not callable(connector):
            raise UsageError("`observe` takes a function of tenant and account")
        if self._observe is not None:
            raise UsageError("there is a connector that observes accounts already; let it call the other one")
        self._observe = connector

    def advance(self, tenant_id: str, plan_id: str, *, alive: bool = False) -> Advanced:
        """Do exactly one action of a plan, or nothing where somebody else was faster or there is nothing to do.

        ``alive`` says that an attempt that is running, and not in the hands of this process, may be in those of another one;
        otherwise it is settled as unknown.

        Raises:
            NotFound: there is no such plan.
            UsageError: this is called inside an operation, or by a principal that is no host.
            Refusal, StoreError: it could not be recorded; the same again later.
            LedgerCorrupt: the plan's content is not what its hash says.
        """
        self._require_here()
        tenant_id = tenant_of(self._principal, tenant_id)
        state = self._book.state(tenant_id, plan_id)
        plan_type = self._book.plan_type(tenant_id, state.plan_type)
        observed = self._observed(tenant_id, state, plan_type)
        action = self._next(tenant_id, state, plan_type, observed, alive=alive)
        if isinstance(action, Wait):
            return Advanced(state, _NAMES[Wait], recorded=False, waits_for=action.reason)
        if isinstance(action, RunStep):
            return self._run_step(tenant_id, state, action, 1 + (plan_type.max_retries if plan_type is not None else 0))
        return self._settle(tenant_id, state, action, observed)

    def run(
        self, tenant_id: str, plan_id: str, *, alive: bool = False, going_on: Callable[[], bool] = lambda: True
    ) -> Advanced:
        """Advance a plan until it waits for something, or ``going_on`` says to stop between two actions.

        Raises:
            As :meth:`advance`.
        """
        done = self.advance(tenant_id, plan_id, alive=alive)
        while done.waits_for is None and going_on():
            done = self.advance(tenant_id, plan_id, alive=alive)
        return done

    def work(self) -> Iterator[tuple[str, str]]:
        """Yield the plans that something may have to be done about, as tenant and plan id, in order of both."""
        own = self._principal.tenant_id
        for tenant_id in self._book.tenants():
            if own not in {None, tenant_id}:
                continue
            now_ms = self._book.now_ms(tenant_id)
            alive = [status for status in PlanStatus if status not in ENDED]
            for state in self._book.states(tenant_id, alive):
                if _is_work(state, now_ms):
                    yield tenant_id, state.plan_id

    # --- What comes next ----------------------------------------------------------------------------------------------

    def _require_here(self) -> None:
        if scopes.running() is not None:
            raise UsageError("an operation carries out no plans; let what called it do that")
        if self._principal.role is not Role.HOST:
            raise UsageError(
                f"UNTRUSTED_INPUT: plans are carried out by a host, not by a principal with role `{self._principal.role}`"
            )

    def _next(
        self,
        tenant_id: str,
        state: PlanState,
        plan_type: PlanType | None,
        observed: Observation | None,
        *,
        alive: bool,
    ) -> Action:
        fields = None if observed is None else observed.snapshot.fields
        ended = evaluate(state, plan_type, self._book.now_ms(tenant_id), fields, self._book.trust_of(tenant_id))
        return next_action(
            state,
            plan_type,
            ended,
            alive=alive or self._holds(tenant_id, state),
            registered=self._book.registered,
        )

    def _observed(self, tenant_id: str, state: PlanState, plan_type: PlanType | None) -> Observation | None:
        """Return how the account stands, where a goal can be reached by it.

        A goal ends a plan early and permits nothing, so that one that cannot be looked at stops nothing: each step is weighed.
        """
        has_goal = plan_type is not None and bool(plan_type.objective)
        if self._observe is None or not has_goal or state.status is not PlanStatus.ACTIVE or state.running is not None:
            return None
        try:
            with scopes.apart():
                return observation(self._observe(tenant_id, state.account_id))
        except Exception as error:  # noqa: BLE001 - whatever a connector raises, nobody has looked
            message = "the goal of plan `%s` cannot be looked at: the connector raised %s"
            _log.warning(message, state.plan_id, _said(error))
            return None

    def _holds(self, tenant_id: str, state: PlanState) -> bool:
        running = state.running
        if running is None:
            return False
        with self._lock:
            return self._in_hand[tenant_id, state.plan_id, running.step_id, running.attempts] > 0

    # --- What is recorded ---------------------------------------------------------------------------------------------

    def _settle(
        self, tenant_id: str, state: PlanState, action: Action, observed: Observation | None = None
    ) -> Advanced:
        """Record an action that calls nothing; who is late has done nothing (H1)."""
        move = self._move(tenant_id, state, action)
        contents: tuple[tuple[str, bytes], ...] = ()
        if observed is not None and isinstance(action, End) and action.reason == OBJECTIVE_MET:
            seen = canonical.encode(msgspec.to_builtins(observed))
            seen_hash = canonical.keyed_hash(self._book.key(tenant_id), seen)
            move = msgspec.structs.replace(move, content={"observed": seen_hash})
            contents = ((seen_hash, seen),)
        made = self._book.submission(tenant_id, state.account_id, move, self._principal)
        try:
            committed = self._recorder.record(msgspec.structs.replace(made, contents=contents))
        except PlanRefused as refused:
            return self._late(tenant_id, state, action, refused)
        return Advanced(self._book.state(tenant_id, state.plan_id), _NAMES[type(action)], not committed.replayed)

    def _move(self, tenant_id: str, state: PlanState, action: Action) -> PlanMove:
        said: dict[str, Any] = {}
        match action:
            case Activate():
                refusals = tuple(found.document() for found in self._book.against_activation(tenant_id, state))
                verb, said = Verb.ACTIVATE, {"plan_hash": state.plan_hash, "refusals": refusals}
            case Pause(reason, step_id):
                verb, said = Verb.PAUSE, {"reason": str(reason), "step_id": step_id}
            case Abort(reason, step_id):
                verb, said = Verb.ABORT, {"reason": str(reason), "step_id": step_id}
            case End(status, reason):
                verb, said = _ENDS[status], {"reason": reason}
            case SettleUnknown():
                return _end(state.plan_id, action, _CameTo(StepStatus.FAILED, OUTCOME_UNKNOWN))
            case _:
                raise UsageError(f"`{_NAMES[type(action)]}` is nothing that is recorded by itself")
        named = {name: said[name] for name in ("reason", "step_id") if name in said}
        hashed = request_hash(verb, state.plan_id, by=self._principal.id, revision=state.revision, **named)
        return PlanMove(state.plan_id, verb, hashed, revision=state.revision, **said)

    def _late(self, tenant_id: str, before: PlanState, action: Action, refused: PlanRefused) -> Advanced:
        """Return the plan as it is now, where somebody was faster.

        Raises:
            PlanRefused: nobody was: it was refused for another reason, which reading again would not change.
        """
        now = self._book.state(tenant_id, before.plan_id)
        if now.revision == before.revision and refused.code not in _BY_TIME:
            raise refused
        return Advanced(now, _NAMES[type(action)], recorded=False)

    # --- What is called -----------------------------------------------------------------------------------------------

    def _run_step(self, tenant_id: str, state: PlanState, action: RunStep, attempts_max: int) -> Advanced:
        """Draw an attempt and call its operation, in the scope of exactly what was approved (G11)."""
        try:
            plan = self._book.document(tenant_id, state)
        except NotFound:
            return self._settle(tenant_id, state, Pause(PauseReason.DOCUMENT_ERASED, action.step_id))
        step = plan.step(action.step_id)
        if step is None:  # the row has it, and both have one hash
            raise LedgerCorrupt(f"step `{action.step_id}` of plan `{plan.plan_id}` is not in its document")
        start = PlanMove(
            plan.plan_id,
            Verb.START_STEP,
            request_hash(Verb.START_STEP, plan.plan_id, step_id=action.step_id, attempt=action.attempt),
            plan_hash=state.plan_hash,
            step_id=action.step_id,
            attempt=action.attempt,
            attempts_max=attempts_max,
        )

        def ended(ending: Ending, blocked: OperationDecision | None) -> PlanMove:
            return _end(plan.plan_id, action, _came_to(ending, blocked))

        error: Exception | None = None
        here = self._hands_on(tenant_id, plan.plan_id, action)
        with here, scopes.apart(), scopes.scope(**step_scope(plan, step, action.attempt)) as scope:
            named = operation_id(plan.plan_id, action.step_id, action.attempt)
            try:
                self._operations.run_step(step.operation, step.arguments, named, StepMoves(start, ended))
            except Exception as raised:  # noqa: BLE001 - of the function: it is on record; of ours: looked at below
                error = raised
        own = scope.decisions[0] if scope.decisions else None  # its own is taken before anything inside is called
        if own is None or own.replayed:
            return self._not_drawn(tenant_id, state, action, error)
        if error is not None and not isinstance(error, Blocked):
            message = "step `%s` of plan `%s`, attempt %s, raised %s"
            _log.warning(message, action.step_id, plan.plan_id, action.attempt, type(error).__name__)
        now = self._book.state(tenant_id, plan.plan_id)
        return Advanced(now, _NAMES[RunStep], recorded=True, decision=own, error=error)

    def _not_drawn(self, tenant_id: str, before: PlanState, action: RunStep, error: Exception | None) -> Advanced:
        """Return what comes of an attempt that was not drawn here: nothing was called.

        Somebody was faster, or it cannot be drawn at all, for which the plan is paused: a person sees why.
        """
        if isinstance(error, PlanRefused):
            return self._late(tenant_id, before, action, error)
        is_known = error is None or isinstance(error, (AlreadyExecuted, Blocked, IdempotencyConflict))
        if not is_known and isinstance(error, WeighbridgeError) and not isinstance(error, UsageError):
            raise error  # the store, or its ledger: nothing that is of this plan
        now = self._book.state(tenant_id, before.plan_id)
        if now.revision != before.revision:
            return Advanced(now, _NAMES[RunStep], recorded=False)
        reason = PauseReason.ATTEMPT_TAKEN if is_known else PauseReason.STEP_NOT_CALLABLE
        message = "step `%s` of plan `%s` cannot be called (%s), and its plan is paused: %s"
        _log.error(message, action.step_id, before.plan_id, reason, _said(error))
        paused = self._settle(tenant_id, before, Pause(reason, action.step_id))
        return msgspec.structs.replace(paused, error=error)

    @contextmanager
    def _hands_on(self, tenant_id: str, plan_id: str, action: RunStep) -> Iterator[None]:
        """Have an attempt in hand: whoever sees it running in this process knows that somebody is at it."""
        attempt = (tenant_id, plan_id, action.step_id, action.attempt)
        with self._lock:
            self._in_hand[attempt] += 1  # two may try, and the one that is refused leaves while the other is at it
        try:
            yield
        finally:
            with self._lock:
                self._in_hand[attempt] -= 1
                self._in_hand += Counter()  # of those that nobody has in hand, none is kept


def _is_work(state: PlanState, now_ms: int) -> bool:
    if now_ms >= state.expires_ms or state.status is PlanStatus.ACTIVE:
        return True
    if state.status is PlanStatus.PAUSED:
        return state.running is not None  # left behind: a person who resumes sees what became of it
    return state.status is PlanStatus.APPROVED and not state.refused  # H3: only a person asks again


class _CameTo(NamedTuple):
    """What an attempt came to: its status, the reason code, and codes and ids about it (L6)."""

    outcome: StepStatus
    reason: str | None = None
    details: Mapping[str, Any] = {}


def _came_to(ending: Ending, blocked: OperationDecision | None) -> _CameTo:
    """Return what an attempt came to by how its call ended. ``blocked`` is the decision of a BLOCK inside."""
    cause = ending.cause
    if blocked is None and isinstance(cause, Blocked):
        blocked = cause.decision
    if blocked is not None:  # G8: also where the function caught it and went on
        return _CameTo(StepStatus.BLOCKED, BLOCKED, {"blocked_by": blocked.operation_id})
    if ending.outcome == COMPLETED:
        return _CameTo(StepStatus.COMPLETED)
    details: dict[str, Any] = {} if ending.error is None else {"error": ending.error}
    if ending.differs:
        details["differs"] = list(ending.differs)
    if cause is not None and not isinstance(cause, Exception):  # G10: it was interrupted, nobody knows where
        return _CameTo(StepStatus.FAILED, OUTCOME_UNKNOWN, details)
    return _CameTo(StepStatus.FAILED, ending.reason or OPERATION_FAILED, details)


def _end(plan_id: str, attempt: RunStep | SettleUnknown, came_to: _CameTo) -> PlanMove:
    said = {"outcome": came_to.outcome.value, "reason": came_to.reason}
    return PlanMove(
        plan_id,
        Verb.END_STEP,
        request_hash(Verb.END_STEP, plan_id, step_id=attempt.step_id, attempt=attempt.attempt, **said),
        step_id=attempt.step_id,
        attempt=attempt.attempt,
        outcome=came_to.outcome,
        reason=came_to.reason,
        details=dict(came_to.details),
    )


def _said(error: Exception | None) -> str:
    """Return what is safe to log: our own words, and of a foreign exception its type (its text may be anybody's address)."""
    return str(error) if isinstance(error, UsageError) else type(error).__name__
