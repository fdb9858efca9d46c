"""What is asked, made complete: a private copy with tenant, instant, ids, facts and amounts settled, and what to record of it.

Three askers come here: a host with a request for a choke point, a host with a request for the budget (alone or beside a choke
point), and the executor itself with an operation it is about to call. Nothing is recorded here, and nothing called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from weighbridge import budget_service, canonical
from weighbridge.budget_service import OnBehalfOf, PreparedReservation, Untrusted
from weighbridge.domain.amounts import CostClass, with_all_digits
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import (
    Actor,
    OperationFacts,
    OperationKind,
    Proposal,
    Role,
    ValidationContext,
    parse_context,
)
from weighbridge.domain.decision import Finding
from weighbridge.domain.identifiers import ID_LENGTH_MAX, RANDOM_BYTES, mint
from weighbridge.domain.instant import INSTANT_MS_MAX, format_instant, parse_instant
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import (
    OPERATION_ID_LENGTH_MAX,
    Spending,
    SpendingRequest,
    parse_spending,
    parse_spending_request,
)
from weighbridge.errors import ContextError, SuppliedTimeRefused, TenantMismatch, UsageError
from weighbridge.gateway import Engine, Identified, identify, prepare, target_of, with_facts, without_stated_facts
from weighbridge.ledger.submission import RunDraft, Submission
from weighbridge.plans.asking import ATTEMPT_PREFIX
from weighbridge.policy.effective import PlanType

EXECUTED = "executed"
ASKED = "asked"
CLOCK = "clock"
SUPPLIED = "supplied"
DEFAULT_TENANT = "default"
LEVELS_MAX = 200
"""Levels of a request: below what every supported interpreter can walk, above what compliance calls `TOO_COMPLEX`."""


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


class About(Protocol):
    """What a request of either kind says of who, where and when."""

    @property
    def actor(self) -> Actor:
        """Who proposes."""

    @property
    def account_id(self) -> str | None:
        """The account it is for."""

    @property
    def plan_id(self) -> str | None:
        """The plan it belongs to."""

    @property
    def step_id(self) -> str | None:
        """The step of the plan."""

    @property
    def attempt(self) -> int | None:
        """The attempt at the step."""

    @property
    def operation_id(self) -> str | None:
        """The operation."""

    @property
    def evaluation_time(self) -> str | None:
        """The one instant of judgement."""


class Asked(msgspec.Struct, frozen=True):
    """An operation that is complete: what is asked of its choke points and of its budget, bound together (G10)."""

    operation_id: str
    tenant_id: str
    request_hash: str
    runs: tuple[Admitted, ...]
    reserved: PreparedReservation
    about: SpendingRequest
    engine: Engine
    time_source: str
    id_supplied: bool

    @property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """Return what its record binds together: kind, id and request hash, the operation first."""
        runs = (("run", run.run_id, run.identified.request_hash) for run in self.runs)
        return (("op", self.operation_id, self.request_hash), *runs)


class Admission:
    """Completes requests for one principal. ``engine_of`` gives what judges a tenant."""

    def __init__(
        self,
        *,
        engine_of: Callable[[str], Engine],
        registered: Mapping[str, OperationFacts],
        principal: Principal,
        surroundings: Surroundings,
        supplied_time_allowed: bool,
    ) -> None:
        self._engine_of = engine_of
        self._registered = registered
        self._principal = principal
        self._surroundings = surroundings
        self._supplied_time_allowed = supplied_time_allowed

    def admit(self, document: Any, now: str | None = None) -> Admitted:
        """Return a complete request: a private copy with tenant, instant, id and facts settled, identified.

        ``now`` is the instant of the operation the request belongs to; without it the clock is read, once.
        """
        plain = msgspec.to_builtins(document) if isinstance(document, ValidationContext) else document
        copy = canonical.private_copy(plain)
        canonical.require_shallow(copy, LEVELS_MAX)
        admitted = self._admitted(copy.value, now, simple=copy.simple)
        if now is None:  # else it belongs to an operation, whose id was looked at
            _require_own("validation_run_id", admitted.run_id)
        return admitted

    def _admitted(self, plain: Any, now: str | None, *, simple: bool) -> Admitted:
        """Return a complete request of a private copy; ``simple`` as `canonical.PrivateCopy` says."""
        context = parse_context(plain)
        tenant_id = tenant_of(self._principal, context.tenant_id)
        engine = self._engine_of(tenant_id)
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
        context = with_facts(context, lambda name: facts_by_name(name, self._registered, declared))
        context = msgspec.structs.replace(context, target_id=target_of(context))
        identified = identify(context, engine.key, simple=simple)
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

    def operation(
        self,
        operation: OperationFacts,
        operation_id: str | None,
        contexts: Sequence[ValidationContext],
        about: SpendingRequest,
        proposal: Proposal | None = None,
        *,
        drawn: bool = False,
    ) -> Asked:
        """Return an operation that is about to be called, complete: its choke points and its budget, at one instant.

        ``proposal`` is weighed by its choke points; where none applies, it is bound to the operation's id all the same (G10).
        ``drawn`` says that it is the attempt of a plan's step, whose ids nobody else may use (H4).

        Raises:
            ContextError, CanonicalError, TenantMismatch: it is no request; nothing may be called.
        """
        identity = self.operation_id(operation_id, drawn=drawn)
        now = format_instant(self._surroundings.clock_ms())
        about = msgspec.structs.replace(about, operation_id=identity, evaluation_time=now)
        admitted = [
            self.admit(
                msgspec.structs.replace(
                    context, operation_id=identity, validation_run_id=f"{identity}:{context.choke_point.value}"
                ),
                now,
            )
            for context in contexts
        ]
        tenant_id = tenant_of(self._principal, about.tenant_id)
        engine = admitted[0].engine if admitted else self._engine_of(tenant_id)
        facts = facts_by_name(operation.name, self._registered, engine.policy.operations) or operation
        asked = Asked(
            operation_id=identity,
            tenant_id=tenant_id,
            request_hash="",
            runs=tuple(admitted),
            reserved=_proposing(self._prepared(about, facts, engine), None if admitted else proposal, engine),
            about=about,
            engine=engine,
            time_source=CLOCK,
            id_supplied=operation_id is not None,
        )
        return _bound(asked)

    def submission(self, admitted: Admitted, enforcement: str = ASKED) -> Submission:
        """Judge an admitted request, one that is only asked unless it says otherwise, and return what to record."""
        run = prepare(admitted.context, admitted.engine, admitted.identified, admitted.findings)
        draft = _for_a_plan(run.draft, admitted)
        frame = self._frame(admitted.context, admitted.tenant_id, admitted.engine, admitted.time_source, enforcement)
        return msgspec.structs.replace(frame, runs=(draft,), contents=run.contents)

    def asked(self, document: Any) -> Asked:
        """Return a request that a host only asks, complete: its budget, and its choke point where it names one.

        Raises:
            ContextError, CanonicalError, TenantMismatch, SuppliedTimeRefused: it is no request.
        """
        if not isinstance(document, Mapping) or "budget" not in document:
            raise ContextError("budget", 'is missing; write {"operation": "…", "amounts": {…}} under it')
        # Amounts are exact at any size; the canonical form of a request ends at 2**53.
        copy = canonical.private_copy({**document, "budget": with_exact_amounts(document["budget"])})
        canonical.require_shallow(copy, LEVELS_MAX)
        if "choke_point" in copy.value:
            return self._asked_beside(copy.value, simple=copy.simple)
        return self._asked_alone(copy.value)

    def _asked_beside(self, stated: dict[str, Any], *, simple: bool) -> Asked:
        """Return a request for a choke point and the budget. Either id that it states is enough to ask again (G3, G10)."""
        spending = parse_spending(stated.pop("budget"))
        named = stated.get("operation_id")
        named = stated.get("validation_run_id") if named is None else named
        identity = stated["operation_id"] = self.operation_id(named)
        if stated.get("validation_run_id") is None:  # bound to the operation's, as where we execute
            stated["validation_run_id"] = f"{identity}:{stated['choke_point']}"
        _require_own("validation_run_id", stated["validation_run_id"])
        admitted = self._admitted(stated, None, simple=simple)
        context = admitted.context
        proposed = None if context.proposal is None else context.proposal.operation
        operation = spending.operation or proposed
        if operation is None:
            raise ContextError("budget.operation", "is missing, and there is no proposal; name what is to be paid for")
        if proposed not in {None, operation}:
            raise ContextError("budget.operation", f"is `{operation}`, and the proposal is `{proposed}`")
        about = SpendingRequest(
            budget=msgspec.structs.replace(spending, operation=operation),
            tenant_id=admitted.tenant_id,
            operation_id=identity,
            actor=context.actor,
            account_id=context.account_id,
            plan_id=context.plan_id,
            step_id=context.step_id,
            attempt=context.attempt,
            evaluation_time=context.evaluation_time,
        )
        return self._complete(about, admitted.engine, admitted.time_source, (admitted,), supplied=named is not None)

    def _asked_alone(self, stated: dict[str, Any]) -> Asked:
        request = parse_spending_request(stated)
        tenant_id = tenant_of(self._principal, request.tenant_id)
        engine = self._engine_of(tenant_id)
        instant, time_source = self._instant(request, None)
        about = msgspec.structs.replace(
            request,
            tenant_id=tenant_id,
            operation_id=self.operation_id(request.operation_id),
            evaluation_time=instant,
        )
        return self._complete(about, engine, time_source, (), supplied=request.operation_id is not None)

    def _complete(
        self, about: SpendingRequest, engine: Engine, time_source: str, runs: tuple[Admitted, ...], *, supplied: bool
    ) -> Asked:
        facts = facts_by_name(about.budget.operation or "", self._registered, engine.policy.operations)
        untrusted = self._untrusted(about.budget, time_source)
        return _bound(
            Asked(
                operation_id=about.operation_id or "",
                tenant_id=about.tenant_id or "",
                request_hash="",
                runs=runs,
                reserved=self._prepared(about, facts, engine, untrusted),
                about=about,
                engine=engine,
                time_source=time_source,
                id_supplied=supplied,
            )
        )

    def _prepared(
        self, about: SpendingRequest, facts: OperationFacts | None, engine: Engine, untrusted: Untrusted | None = None
    ) -> PreparedReservation:
        behalf = OnBehalfOf(about.account_id, about.plan_id, about.step_id, about.attempt)
        policy = engine.policy.budgets
        known = () if facts is not None else sorted({*self._registered, *engine.policy.operations})
        return budget_service.prepare(
            about.budget,
            facts,
            behalf,
            policy,
            operation_id=about.operation_id or "",
            key=engine.key,
            untrusted=untrusted,
            known=known,
        )

    def _untrusted(self, spending: Spending, time_source: str) -> Untrusted | None:
        """Return what a request states that only a host may (Z5); None where it states nothing of the kind."""
        role = self._principal.role
        stated = {
            "budget.amounts": bool(spending.amounts),
            "budget.cost_class": spending.cost_class is not None,
            "budget.tokens": spending.tokens is not None,
            "evaluation_time": time_source == SUPPLIED,
        }
        inputs = tuple(name for name, there in stated.items() if there)
        return Untrusted(inputs, role.value) if inputs and role is not Role.HOST else None

    def operation_submission(self, asked: Asked, enforcement: str) -> Submission:
        """Judge an operation at its choke points, and return what to record of it together with its reservation."""
        runs = [prepare(one.context, one.engine, one.identified, one.findings) for one in asked.runs]
        contents = dict(content for run in runs for content in run.contents) | dict(asked.reserved.contents)
        reservation = asked.reserved.reservation
        if not runs:  # L4: which caps were in force is on record; a run beside it would point to the policy itself
            policy_hash, policy = next((hashed, data) for name, hashed, data in asked.engine.kept if name == "policy")
            reservation = msgspec.structs.replace(reservation, policy=policy_hash)
            contents[policy_hash] = policy
        return msgspec.structs.replace(
            self._frame(asked.about, asked.tenant_id, asked.engine, asked.time_source, enforcement),
            runs=tuple(_for_a_plan(run.draft, one) for run, one in zip(runs, asked.runs, strict=True)),
            operation=(asked.operation_id, asked.request_hash),
            reservation=reservation,
            contents=tuple(contents.items()),
        )

    def operation_id(self, stated: Any, *, drawn: bool = False) -> str:
        """Return the id of an operation, stated or minted.

        Raises:
            ContextError: it is no id, or one of those that only the attempt ``drawn`` from a plan has.
        """
        if stated is None:
            return self._surroundings.new_id()
        if not isinstance(stated, str):
            raise ContextError("operation_id", f"is a `{type(stated).__name__}`; an id is text")
        if not 0 < len(stated) <= OPERATION_ID_LENGTH_MAX:
            raise ContextError("operation_id", f"has {len(stated)} characters; use 1 to {OPERATION_ID_LENGTH_MAX}")
        if not drawn:
            _require_own("operation_id", stated)
        return stated

    def _frame(self, context: About, tenant_id: str, engine: Engine, time_source: str, enforcement: str) -> Submission:
        """Return a submission that says who, where, when and under what, and nothing yet of what was found."""
        policy = engine.policy
        instant = parse_instant(context.evaluation_time) or 0
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
            "time_source": time_source,
            "policy_version": policy.policy_version,
            "engine_version": engine.version,
            "enforcement": enforcement,
        }
        if self._principal.id != context.actor.id:
            common["principal"] = {"id": self._principal.id, "role": self._principal.role.value}
        subjects = (("account", context.account_id), ("plan", context.plan_id), ("step", context.step_id))
        return Submission(
            tenant_id=tenant_id,
            common=common,
            evaluation_time_ms=instant,
            time_source=time_source,
            max_clock_skew_ms=policy.max_clock_skew_ms,
            policy_version=policy.policy_version,
            terms=budget_service.terms_of(policy.budgets),
            subjects=tuple((kind, identity) for kind, identity in subjects if identity is not None),
        )

    def _instant(self, context: About, now: str | None) -> tuple[str, str]:
        if context.evaluation_time is None:
            return now or format_instant(self._surroundings.clock_ms()), CLOCK
        if not self._supplied_time_allowed:
            message = (
                "this store enforces: the evaluation time is the clock's. Leave `evaluation_time` out, "
                "or judge on a store made for evaluation (`weighbridge evaluate`)"
            )
            raise SuppliedTimeRefused(message)
        stated = parse_instant(context.evaluation_time) or 0
        if not 0 <= stated <= INSTANT_MS_MAX:
            raise ContextError("evaluation_time", f"`{context.evaluation_time}` lies outside 1970 to 9999")
        return format_instant(stated), SUPPLIED


def tenant_of(principal: Principal, stated: str | None) -> str:
    """Return the tenant of a request: the credential's; a request may repeat it, not choose another (L5).

    Raises:
        ContextError: what it names is no id.
        TenantMismatch: it names another.
    """
    if stated is not None and not isinstance(stated, str):
        raise ContextError("tenant_id", f"is a `{type(stated).__name__}`; an id is text")
    if stated is not None and not 0 < len(stated) <= ID_LENGTH_MAX:
        raise ContextError("tenant_id", f"has {len(stated)} characters; use 1 to {ID_LENGTH_MAX}")
    bound = principal.tenant_id
    if bound is not None and stated not in {None, bound}:
        raise TenantMismatch(
            f"the request names tenant `{stated}`, the credential is for `{bound}`; leave the tenant out"
        )
    return bound or stated or DEFAULT_TENANT


def facts_by_name(
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


def _require_own(name: str, stated: Any) -> None:
    """Refuse an id that would take that of a plan's attempt away (H4, G10)."""
    if isinstance(stated, str) and stated.startswith(ATTEMPT_PREFIX):
        raise ContextError(name, f"begins with `{ATTEMPT_PREFIX}`, as only the attempts of plans do; use another id")


def _for_a_plan(run: RunDraft, admitted: Admitted) -> RunDraft:
    """Return a run that says in which plan types what it proposes may be written, where it is a writeback of a plan (H3)."""
    context = admitted.context
    if context.plan_id is None or context.choke_point is not ChokePoint.BEFORE_EXTERNAL_WRITEBACK:
        return run
    types = admitted.engine.policy.plan_types
    allowed = (name for name, one in types.items() if all(_may_write(one, act) for act in context.proposals))
    return msgspec.structs.replace(run, allowed_in=frozenset(allowed))


def _may_write(plan_type: PlanType, act: Proposal) -> bool:
    action = None if act.facts is None else plan_type.actions.get(act.facts.action_type)
    return action is not None and (action.operations is None or act.operation in action.operations)


def with_exact_amounts(budget: Any) -> Any:
    """Return a stated budget whose whole numbers are decimal text, so that none is too large for canonical JSON.

    Raises:
        ContextError: an amount is a float, which the canonical form would take for the number it happens to print as, or has
            more digits than anything that is counted.
    """
    amounts = budget.get("amounts") if isinstance(budget, Mapping) else None
    if not isinstance(amounts, Mapping):
        return budget
    exact = {unit: with_all_digits(amount, f"budget.amounts.{unit}") for unit, amount in amounts.items()}
    return {**budget, "amounts": exact}


def _proposing(reserved: PreparedReservation, proposal: Proposal | None, engine: Engine) -> PreparedReservation:
    """Return a reservation that says what is called with what: by hash, and as content (G10, L6)."""
    if proposal is None:
        return reserved
    copy = canonical.private_copy(msgspec.to_builtins(proposal))
    canonical.require_shallow(copy, LEVELS_MAX)
    plain = copy.value
    act = canonical.encode([{"arguments": plain.get("arguments", {}), "operation": plain["operation"]}])
    body = canonical.encode(plain)
    content_hash = canonical.keyed_hash(engine.key, body)
    reservation = msgspec.structs.replace(
        reserved.reservation, proposal=content_hash, proposal_hash=canonical.keyed_hash(engine.key, act)
    )
    return PreparedReservation(reservation, (*reserved.contents, (content_hash, body)))


def _bound(asked: Asked) -> Asked:
    """Return a request whose operation id is bound to everything that is asked under it (G3, G10)."""
    runs = (one.identified.request_hash for one in asked.runs)
    reservation = asked.reserved.reservation
    # Its name was encoded with the reservation's own request, and hashes are simple.
    proposal = () if reservation.proposal_hash is None else (reservation.proposal_hash,)
    request = canonical.encode_simple([reservation.operation, *runs, reservation.request_hash, *proposal])
    return msgspec.structs.replace(asked, request_hash=canonical.sha256_hex(request))
