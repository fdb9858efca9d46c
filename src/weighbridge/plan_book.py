"""What is known of a plan besides its row: its document, its type, its operations, and what the policy gate says now.

Both who acts on plans read them here: people (`plan_acts`) and the orchestrator. Nothing is recorded and nothing is called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from weighbridge import canonical
from weighbridge.admission import CLOCK, EXECUTED, Surroundings, facts_by_name
from weighbridge.domain.context import Actor, OperationFacts
from weighbridge.domain.evidence import Trust
from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import STEP_VERBS, PauseReason, Plan, PlanState, Verb
from weighbridge.domain.principal import Principal
from weighbridge.errors import NotFound
from weighbridge.gateway import Engine
from weighbridge.ledger.submission import PlanMove, Submission
from weighbridge.plans import policy_gate
from weighbridge.plans.asking import operation_id
from weighbridge.plans.document import open_plan
from weighbridge.plans.policy_gate import FactsOf, Reason
from weighbridge.policy.effective import PlanType

if TYPE_CHECKING:
    from weighbridge.storage.reading import LedgerReader


class PlanBook:
    """Reads plans from one store. ``registered`` are the operations that have a function here."""

    def __init__(
        self,
        reader: LedgerReader,
        engine_of: Callable[[str], Engine],
        registered: Mapping[str, OperationFacts],
        surroundings: Surroundings,
    ) -> None:
        self._reader = reader
        self._engine_of = engine_of
        self._registered = registered
        self._surroundings = surroundings

    @property
    def registered(self) -> Collection[str]:
        """Return the names of the operations that have a function here."""
        return self._registered.keys()

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that the store knows, sorted."""
        return self._reader.tenants()

    def state(self, tenant_id: str, plan_id: str) -> PlanState:
        """Return a plan as the ledger has it now.

        Raises:
            NotFound: there is none.
        """
        found = self._reader.plan(tenant_id, plan_id) if _is_text(plan_id) else None
        if found is None:
            shown = plan_id if _is_text(plan_id) else ascii(plan_id)
            raise NotFound(f"tenant `{tenant_id}` has no plan `{shown}`; `weighbridge plan list` shows those there are")
        return found

    def states(self, tenant_id: str, statuses: Collection[str] = ()) -> Iterator[PlanState]:
        """Yield the plans of a tenant, sorted by id: those of these statuses, or all."""
        return self._reader.plans(tenant_id, statuses)

    def document(self, tenant_id: str, state: PlanState) -> Plan:
        """Return the document of a plan, exactly as it was approved or drafted.

        Raises:
            NotFound: some of it was erased.
            LedgerCorrupt: it is not what its hash says.
        """
        key = self._engine_of(tenant_id).key
        return open_plan(lambda hashed: self._reader.content(tenant_id, hashed), state.plan_hash, key)

    def is_erased(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content was stored once and was erased: nothing puts it back (L6)."""
        is_there = self._reader.content(tenant_id, content_hash) is not None
        return not is_there and self._reader.has_content(tenant_id, content_hash)

    def plan_type(self, tenant_id: str, name: str) -> PlanType | None:
        """Return a plan type of the tenant's policy; None where there is none of that name."""
        return self._engine_of(tenant_id).policy.plan_types.get(name)

    def facts_of(self, tenant_id: str) -> FactsOf:
        """Return what says what is known of an operation: from its function, or from the policy (Z5)."""
        declared = self._engine_of(tenant_id).policy.operations
        return lambda name: facts_by_name(name, self._registered, declared)

    def trust_of(self, tenant_id: str) -> Callable[[str | None], Trust]:
        """Return what says how far a source is trusted (R4)."""
        return self._engine_of(tenant_id).policy.trust_of

    def key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key."""
        return self._engine_of(tenant_id).key

    def now_ms(self, tenant_id: str) -> int:
        """Return the instant that counts for an expiry, as in the kernel: a clock behind the ledger starts nothing late (H4)."""
        last = self._reader.head(tenant_id).last_time_ms
        now_ms = self._surroundings.clock_ms()
        return now_ms if last is None else max(last, now_ms)

    def against_activation(self, tenant_id: str, state: PlanState) -> tuple[Reason, ...]:
        """Return what is against a plan becoming ACTIVE now (H3). Which other one is ACTIVE is seen when it is recorded."""
        try:
            plan = self.document(tenant_id, state)
        except NotFound:
            return (Reason(policy_gate.PRECONDITIONS_UNMET, {"precondition": PauseReason.DOCUMENT_ERASED.value}),)
        plan_type, facts_of = self.plan_type(tenant_id, state.plan_type), self.facts_of(tenant_id)
        now_ms = self.now_ms(tenant_id)
        return policy_gate.can_activate(plan, state, plan_type, facts_of, now_ms=now_ms, active_plan_id=None).reasons

    def submission(
        self,
        tenant_id: str,
        account_id: str,
        move: PlanMove,
        actor: Principal | Actor,
        principal: Principal | None = None,
    ) -> Submission:
        """Return the record of a move that stands alone: who, on whose behalf, when."""
        engine, now_ms = self._engine_of(tenant_id), self._surroundings.clock_ms()
        common: dict[str, Any] = {
            "account_id": account_id,
            "actor": {"id": actor.id, "role": actor.role.value},
            "enforcement": EXECUTED,
            "engine_version": engine.version,
            "evaluation_time": format_instant(now_ms),
            "plan_id": move.plan_id,
            "policy_version": engine.policy.policy_version,
            "time_source": CLOCK,
        }
        if principal is not None and principal.id != actor.id:
            common["principal"] = {"id": principal.id, "role": principal.role.value}
        if move.verb in STEP_VERBS:
            common["step_id"] = move.step_id
        if move.verb is Verb.END_STEP and move.step_id is not None and move.attempt is not None:
            common |= {
                "attempt": move.attempt,
                "operation_id": operation_id(move.plan_id, move.step_id, move.attempt),
            }
        return Submission(
            tenant_id=tenant_id,
            common=common,
            evaluation_time_ms=now_ms,
            time_source=CLOCK,
            max_clock_skew_ms=engine.policy.max_clock_skew_ms,
            plan=move,
        )


def _is_text(plan_id: object) -> bool:
    """Return whether a store can look for it, and a terminal print it: no lone surrogate."""
    return isinstance(plan_id, str) and not any("\ud800" <= character <= "\udfff" for character in plan_id)


def request_hash(verb: Verb, plan_id: str, **said: Any) -> str:
    """Return what a move is known by: all that was asked, and no time, so that said twice it is said once."""
    return canonical.sha256_hex(canonical.encode({"plan_id": plan_id, "verb": verb.value, **said}))
