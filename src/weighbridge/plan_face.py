"""What a library user does with plans: the part of `Weighbridge` that is about them.

Every act names who does it, and what people say is kept as content. Nothing of a plan happens but through
:meth:`PlanFace.advance_plan`, :meth:`PlanFace.run_plan` and the engines, step by step, and each step is weighed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from weighbridge.acts import on_behalf
from weighbridge.admission import tenant_of
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.principal import Principal
from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.domain.plan import Plan, PlanState
    from weighbridge.orchestrator.advancing import Orchestrator
    from weighbridge.orchestrator.interface import Advanced, Observe
    from weighbridge.plan_acts import PlanActs, PlanApproval
    from weighbridge.plan_book import PlanBook


class PlanParts(NamedTuple):
    """What stands behind plans."""

    book: PlanBook
    acts: PlanActs
    orchestrator: Orchestrator


class PlanFace:
    """Plans of one store, for one credential.

    A credential of a host or an admin vouches for whoever it names as ``by``; any other acts as itself alone (Z1), else
    `UsageError`. ``tenant_id`` is needed only where neither that nor the person names the tenant.

    ``make`` is called once, when the first plan is asked for: who has none loads nothing of them.
    """

    def __init__(self, principal: Principal, make: Callable[[], PlanParts]) -> None:
        self._credential = principal
        self._make = make
        self._made: PlanParts | None = None
        self._making = threading.Lock()

    @property
    def _parts(self) -> PlanParts:
        if self._made is None:
            with self._making:
                self._made = self._made or self._make()
        return self._made

    @property
    def _book(self) -> PlanBook:
        return self._parts.book

    @property
    def _plan_acts(self) -> PlanActs:
        return self._parts.acts

    @property
    def _orchestrator(self) -> Orchestrator:
        return self._parts.orchestrator

    # --- The document -------------------------------------------------------------------------------------------------

    def propose_plan(
        self,
        document: Any,
        *,
        by: Principal | None = None,
        grounds: Mapping[str, Any] | None = None,
        tenant_id: str | None = None,
    ) -> PlanState:
        """Record a plan as DRAFT: nothing of it happens before a person approved it (H2). The same again is the same plan.

        ``document`` is a JSON object (a dict) as `weighbridge.domain.plan` describes it. Its ``tenant_id`` and ``proposer`` can
        be left out; ``by`` is who brings it, where that is not this credential.

        What an agent brings holds no ``snapshot``, ``data_sources`` or ``evidence``: those are facts, and the host states them
        as ``grounds``, an object of those three. The evidence of steps only points at them (Z5).

        Raises:
            ContextError, CanonicalError: it is no plan; the message says what to write.
            TenantMismatch: it is of another tenant.
            PlanRefused: ``PLAN_INVALID`` with every reason in ``reasons``, ``PLAN_EXISTS`` (another one has this id), or
                ``PLAN_EXPIRED``. Nothing was recorded.
            UsageError: a plan brings facts, and this credential, or the agent ``by``, may state none (Z5).
        """
        stated = document.get("tenant_id") if isinstance(document, Mapping) else getattr(document, "tenant_id", None)
        if by is None:
            return self._plan_acts.propose(tenant_of(self._credential, tenant_id or stated), document, None, grounds)
        tenant, by = self._who(tenant_id or stated, by)
        return self._plan_acts.propose(tenant, document, by, grounds)

    def edit_plan(
        self,
        plan_id: str,
        changes: Mapping[str, Any],
        *,
        by: Principal,
        revision: int | None = None,
        grounds: Mapping[str, Any] | None = None,
        tenant_id: str | None = None,
    ) -> PlanState:
        """Replace whole fields of a draft's document; of an approved plan, too, whose approval that voids (H1, H2).

        ``revision`` is the one that was read; without it, the one there is now. ``grounds`` as for :meth:`propose_plan`.

        Raises:
            ContextError, CanonicalError: what comes out is no plan.
            PlanRefused: ``PLAN_TRANSITION`` (it is running, or has ended), ``PLAN_INVALID``, ``PLAN_CHANGED``, ``PLAN_EXPIRED``.
            UsageError: nothing would change, or what identifies the plan; an agent states facts (Z5); a program edits with a
                role of persons.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.edit(tenant, plan_id, changes, by, revision, grounds=grounds)

    def submit_plan(self, plan_id: str, *, by: Principal, tenant_id: str | None = None) -> PlanState:
        """Say that a draft is ready for approval.

        Raises:
            PlanRefused: it is no draft.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.submit(tenant, plan_id, by)

    # --- Who decides about it -----------------------------------------------------------------------------------------

    def approve_plan(
        self,
        plan_id: str,
        *,
        by: Principal,
        revision: int,
        reason: str = "",
        tenant_id: str | None = None,
    ) -> PlanApproval:
        """Have a plan judged at BEFORE_PLAN_APPROVAL, and approve it unless that says BLOCK: one record (H1, H3).

        ``revision`` is that of the plan that was read, as :meth:`plan` and `weighbridge plan show` say it: nobody approves what
        somebody edited meanwhile. A WARN asks for nothing more (G7). After a BLOCK nothing has changed; ``decision`` of the
        answer says every reason.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; no revision is named.
            PlanRefused: ``APPROVAL_REFUSED`` with every reason of the policy gate, as that nobody approves a risky plan of
                their own; ``PLAN_CHANGED`` where it is not at ``revision`` any more.
            Refusal: it could not be recorded.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.approve(tenant, plan_id, by, reason, revision)

    def reject_plan(self, plan_id: str, *, by: Principal, reason: str, tenant_id: str | None = None) -> PlanState:
        """Record that a person does not approve a draft; it stays one (H1).

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it is no draft.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.reject(tenant, plan_id, by, reason)

    # --- Its life -----------------------------------------------------------------------------------------------------

    def activate_plan(self, plan_id: str, *, by: Principal, tenant_id: str | None = None) -> PlanState:
        """Ask again for an approved plan to become ACTIVE; whoever carries out plans asks once by itself (H3).

        Where the policy gate is against it, the plan stays APPROVED, and the record says why.

        Raises:
            UsageError: ``by`` is no person, or has no role for it.
            PlanRefused: it is not APPROVED.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.activate(tenant, plan_id, by)

    def pause_plan(self, plan_id: str, *, by: Principal, reason: str, tenant_id: str | None = None) -> PlanState:
        """Pause an active plan: what is running ends, and nothing starts.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it is not ACTIVE.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.pause(tenant, plan_id, by, reason)

    def resume_plan(self, plan_id: str, *, by: Principal, reason: str, tenant_id: str | None = None) -> PlanState:
        """Let a paused plan go on; the step that it was paused for gets one attempt more, or its human touch (H4).

        Where the policy gate is against it, the plan stays PAUSED, and the record says why.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it is not PAUSED.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.resume(tenant, plan_id, by, reason)

    def abort_plan(self, plan_id: str, *, by: Principal, reason: str, tenant_id: str | None = None) -> PlanState:
        """End a plan for good.

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: it has ended.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.abort(tenant, plan_id, by, reason)

    def skip_step(
        self, plan_id: str, step_id: str, *, by: Principal, reason: str, tenant_id: str | None = None
    ) -> PlanState:
        """Leave a step out: it counts as done, and satisfies those dependents that accept it (H4).

        Raises:
            UsageError: ``by`` is no person, or has no role for it; the reason is empty.
            PlanRefused: there is no such step, it is done or running, or the plan is neither ACTIVE nor PAUSED.
        """
        tenant, by = self._who(tenant_id, by)
        return self._plan_acts.skip(tenant, plan_id, step_id, by, reason)

    # --- What there is ------------------------------------------------------------------------------------------------

    def plan(self, plan_id: str, tenant_id: str | None = None) -> PlanState:
        """Return a plan as it stands.

        Raises:
            NotFound: there is none.
            TenantMismatch: the credential is for another tenant.
        """
        return self._book.state(tenant_of(self._credential, tenant_id), plan_id)

    def plan_document(self, plan_id: str, tenant_id: str | None = None) -> Plan:
        """Return the document of a plan: what was drafted, and what was approved.

        Raises:
            NotFound: there is none, or some of it was erased.
            TenantMismatch: the credential is for another tenant.
        """
        own = tenant_of(self._credential, tenant_id)
        return self._book.document(own, self._book.state(own, plan_id))

    def plans(self, *, status: Sequence[str] | str = (), tenant_id: str | None = None) -> Iterator[PlanState]:
        """Yield plans, sorted by id: those of a status, or of several, or all.

        Raises:
            UsageError: there is no such status.
            TenantMismatch: the credential is for another tenant.
        """
        wanted = (status,) if isinstance(status, str) else tuple(status)
        unknown = [one for one in wanted if one not in set(PlanStatus)]
        if unknown:
            raise UsageError(f"there is no status `{unknown[0]}`; write one of {', '.join(PlanStatus)}")
        return self._book.states(tenant_of(self._credential, tenant_id), tuple(str(one) for one in wanted))

    # --- Carrying it out ----------------------------------------------------------------------------------------------

    def advance_plan(self, plan_id: str, tenant_id: str | None = None) -> Advanced:
        """Do the next action of a plan, exactly one, here and now.

        Raises:
            NotFound: there is no such plan.
            LockHeld: a worker carries out the plans of this store.
            UsageError: this is called inside an operation.
            Refusal, StoreError: it could not be recorded.
        """
        with self._orchestrator.alone.held():
            return self._orchestrator.advance(self._worked(tenant_id), plan_id)

    def run_plan(self, plan_id: str, tenant_id: str | None = None) -> Advanced:
        """Carry out a plan until it waits: for a person, or because it has ended. The last action says for what.

        Raises:
            As :meth:`advance_plan`.
        """
        with self._orchestrator.alone.held():
            return self._orchestrator.run(self._worked(tenant_id), plan_id)

    def observe(self, function: Observe) -> Observe:
        """Register the connector that says how an account stands now, by which the objectives of plan types are met (Z5).

        ``function`` is called with tenant and account, before the actions of plans whose type has an objective. It returns
        ``{"snapshot": {field: {"value", "source_type", "source_id"?}}, "data_sources": [...]}``, or None where it does not know.
        One that raises is logged and ends no plan. Also a decorator.

        Raises:
            UsageError: there is one already.
        """
        self._orchestrator.observe(function)
        return function

    @property
    def orchestrator(self) -> Orchestrator:
        """Return what carries out plans, for an engine to drive (`weighbridge.wiring.local_engine`)."""
        return self._orchestrator

    def _who(self, tenant_id: str | None, by: Principal) -> tuple[str, Principal]:
        """Return the tenant that an act is for (the credential's, the stated one, or the person's), and who does it.

        Raises:
            UsageError: this credential does not vouch for them (Z1).
            TenantMismatch: the credential is for another tenant.
        """
        actor = on_behalf(self._credential, by)
        return tenant_of(self._credential, tenant_id or actor.tenant_id), actor

    def _worked(self, tenant_id: str | None) -> str:
        """Return the tenant whose plans are carried out.

        Raises:
            UsageError: the credential is an auditor's, who changes nothing (Z1).
            TenantMismatch: it is for another tenant.
        """
        on_behalf(self._credential, self._credential)
        return tenant_of(self._credential, tenant_id)
