"""The policy gate: is a plan allowed in principle (H3)? Every reason against it at once. Pure.

`examine` looks at the document alone, `can_approve` at who would approve it and when, `can_activate` at everything. Whether its
steps may happen right now is for the validators, and at each step; the two never stand in for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from weighbridge.domain.context import OperationFacts, Role
from weighbridge.domain.instant import format_instant
from weighbridge.domain.plan import APPROVERS, ELEVATED, Plan, PlanState, PlanStatus, Risk, Step, StepState, riskiest
from weighbridge.domain.principal import Principal, is_among
from weighbridge.policy.effective import PlanAction, PlanType

CONFLICT_ACTIVE_PLAN: Final = "CONFLICT_ACTIVE_PLAN"
PRECONDITIONS_UNMET: Final = "PRECONDITIONS_UNMET"
RISK_ELEVATED: Final = "RISK_ELEVATED"
INVALID_PLAN_TYPE: Final = "INVALID_PLAN_TYPE"
STEP_ORDER_VIOLATION: Final = "STEP_ORDER_VIOLATION"
HUMAN_TOUCH_REQUIRED: Final = "HUMAN_TOUCH_REQUIRED"

FactsOf = Callable[[str], OperationFacts | None]
"""What is known of an operation, by its name (Z5)."""


class Reason(msgspec.Struct, frozen=True):
    """One reason against a plan: its code, and what it is about."""

    reason: str
    details: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        """Return it as a record holds it."""
        return {"reason": self.reason, "details": self.details}


class Gate(msgspec.Struct, frozen=True):
    """What the gate says: every reason against the plan, and how risky it is."""

    reasons: tuple[Reason, ...]
    risk: Risk

    @property
    def can_activate(self) -> bool:
        """Return whether nothing is against it."""
        return not self.reasons


def examine(plan: Plan, plan_type: PlanType | None, facts_of: FactsOf) -> Gate:
    """Return what is wrong with the document itself, whoever approves it and whenever: its type, actions, order and risk."""
    if plan_type is None:
        return Gate((Reason(INVALID_PLAN_TYPE, {"plan_type": plan.plan_type}),), riskiest(_stated_risks(plan)))
    reasons = [reason for step in plan.steps for reason in _step_reasons(step, plan_type, facts_of)]
    reasons += _dependencies(plan)
    if not reasons:  # an order is of action types that are known, along dependencies that exist
        reasons += _order(plan, plan_type, facts_of)
    return Gate(tuple(reasons), risk_of(plan, plan_type, facts_of))


def can_approve(
    plan: Plan, state: PlanState, plan_type: PlanType | None, facts_of: FactsOf, *, now_ms: int, approver: Principal
) -> Gate:
    """Return what is against this person's approval of the plan now."""
    found = examine(plan, plan_type, facts_of)
    reasons = [*found.reasons, *_times(state, plan_type, now_ms)]
    if not state.submitted:
        reasons.append(_unmet("NOT_SUBMITTED"))
    role = approver.role.value if approver.person else None
    reasons += _authority(state, plan_type, riskiest((found.risk, state.risk)), approver.id, role)
    return Gate(tuple(reasons), found.risk)


def can_activate(
    plan: Plan,
    state: PlanState,
    plan_type: PlanType | None,
    facts_of: FactsOf,
    *,
    now_ms: int,
    active_plan_id: str | None,
) -> Gate:
    """Return what is against the plan becoming ACTIVE now, at first or again.

    ``active_plan_id`` is the plan of the same account and type that is ACTIVE, if any.
    """
    found = examine(plan, plan_type, facts_of)
    reasons = [*found.reasons, *_times(state, None if state.status is PlanStatus.PAUSED else plan_type, now_ms)]
    if state.approved_hash is None:
        reasons.append(_unmet("NOT_APPROVED"))
    elif state.approved_hash != state.plan_hash:
        reasons.append(_unmet("NOT_AS_APPROVED"))
    else:
        risk = riskiest((found.risk, state.risk))
        reasons += _authority(state, plan_type, risk, state.approver_id, state.approver_role)
    if active_plan_id not in {None, state.plan_id}:
        reasons.append(conflict(str(active_plan_id)))
    return Gate(tuple(reasons), found.risk)


def still_authorised(state: PlanState, plan_type: PlanType) -> bool:
    """Return whether who approved a plan could approve one as risky as the policy says it is by now (H3)."""
    found = (plan_type.actions.get(step.action_type) for step in state.steps)
    risk = riskiest((state.risk, *(action.risk for action in found if action is not None)))
    if risk.rank < plan_type.elevated_risk.rank:
        return True
    return not [*_authority(state, plan_type, risk, state.approver_id, state.approver_role)]


def conflict(active_plan_id: str) -> Reason:
    """Return the reason that another plan of this account and type is ACTIVE (H3)."""
    return Reason(CONFLICT_ACTIVE_PLAN, {"active_plan_id": active_plan_id})


def draft_steps(
    plan: Plan, plan_type: PlanType | None, facts_of: FactsOf, proposal_hashes: Mapping[str, str]
) -> tuple[StepState, ...]:
    """Return the steps of a drafted plan as its row holds them: class and action type by name, risk and human touch by policy."""
    return tuple(
        _drafted(step, plan_type, facts_of(step.operation), proposal_hashes[step.step_id]) for step in plan.steps
    )


def risk_of(plan: Plan, plan_type: PlanType | None, facts_of: FactsOf) -> Risk:
    """Return how risky a plan is: as its riskiest step (H3)."""
    return riskiest(_risk(step, _action(step, plan_type, facts_of(step.operation))) for step in plan.steps)


# --- Each step --------------------------------------------------------------------------------------------------------


def _drafted(step: Step, plan_type: PlanType | None, facts: OperationFacts | None, proposal_hash: str) -> StepState:
    action = _action(step, plan_type, facts)
    return StepState(
        step_id=step.step_id,
        operation=step.operation,
        action_type=_action_type(step, facts),
        proposal_hash=proposal_hash,
        risk=_risk(step, action),
        cost_class=None if facts is None else facts.cost_class.value,
        kind=None if facts is None else facts.kind.value,
        target=None if facts is None else facts.target,
        human_touch=bool(step.human_touch) or (action is not None and action.human_touch),
        depends_on=tuple(step.depends_on),
        accepts_skipped=tuple(step.accepts_skipped),
    )


def _action_type(step: Step, facts: OperationFacts | None) -> str:
    return facts.action_type if facts is not None else step.action_type or step.operation


def _action(step: Step, plan_type: PlanType | None, facts: OperationFacts | None) -> PlanAction | None:
    return None if plan_type is None else plan_type.actions.get(_action_type(step, facts))


def _risk(step: Step, action: PlanAction | None) -> Risk:
    """Return a step's risk. What is stated can only raise it, and of what nobody knows it is HIGH (G5)."""
    known = Risk.HIGH if action is None else action.risk
    return known if step.risk is None else riskiest((known, step.risk))


def _stated_risks(plan: Plan) -> Iterator[Risk]:
    return (_risk(step, None) for step in plan.steps)


def _step_reasons(step: Step, plan_type: PlanType, facts_of: FactsOf) -> Iterator[Reason]:
    facts, of_step = facts_of(step.operation), {"step_id": step.step_id}
    if facts is None:
        yield _unmet("OPERATION_UNKNOWN", operation=step.operation, **of_step)
        return
    if step.action_type not in {None, facts.action_type}:
        said = {"action_type": facts.action_type, "stated": step.action_type, "operation": step.operation}
        yield _unmet("ACTION_TYPE_DIFFERS", **said, **of_step)
    action = plan_type.actions.get(facts.action_type)
    if action is None:
        yield _unmet("ACTION_NOT_ALLOWED", action_type=facts.action_type, plan_type=plan_type.name, **of_step)
        return
    if action.operations is not None and step.operation not in action.operations:
        yield _unmet("OPERATION_NOT_ALLOWED", operation=step.operation, action_type=facts.action_type, **of_step)
    if action.human_touch and step.human_touch is False:
        yield Reason(HUMAN_TOUCH_REQUIRED, {"action_type": facts.action_type, **of_step})


# --- Order ------------------------------------------------------------------------------------------------------------


def _dependencies(plan: Plan) -> Iterator[Reason]:
    """Yield dependencies on steps that do not exist, and the circles there are."""
    known = {step.step_id for step in plan.steps}
    for step in plan.steps:
        for needed in step.depends_on:
            if needed not in known:
                yield Reason(STEP_ORDER_VIOLATION, {"step_id": step.step_id, "unknown_dependency": needed})
    circle = _in_circles(plan.steps)
    if circle:
        yield Reason(STEP_ORDER_VIOLATION, {"circle": circle})


def _in_circles(steps: Iterable[Step]) -> list[str]:
    """Return the steps that can never be ready because they wait for themselves, directly or not, or for such steps."""
    waiting = {step.step_id: set(step.depends_on) for step in steps}
    known = set(waiting)
    while ready := [step_id for step_id, needed in waiting.items() if not needed & waiting.keys() & known]:
        for step_id in ready:
            del waiting[step_id]
    return list(waiting)


def _order(plan: Plan, plan_type: PlanType, facts_of: FactsOf) -> Iterator[Reason]:
    """Yield every step that could run before one that comes before it (an order holds along dependencies, and only there)."""
    before = _ancestors(plan)
    types = {step.step_id: _action_type(step, facts_of(step.operation)) for step in plan.steps}
    for first, second in plan_type.order:
        for later in (step_id for step_id, kind in types.items() if kind == second):
            for earlier in (step_id for step_id, kind in types.items() if kind == first):
                if earlier not in before[later]:
                    details = {"step_id": later, "depends_on": earlier, "before": first, "after": second}
                    yield Reason(STEP_ORDER_VIOLATION, details)


def _ancestors(plan: Plan) -> dict[str, set[str]]:
    """Return what every step depends on, directly or not. There are no circles."""
    direct = {step.step_id: step.depends_on for step in plan.steps}
    found: dict[str, set[str]] = {}
    waiting = list(direct)
    while waiting:
        step_id = waiting.pop()
        missing = [needed for needed in direct[step_id] if needed not in found]
        if missing:
            waiting += [step_id, *missing]
        else:
            found[step_id] = set(direct[step_id]).union(*(found[needed] for needed in direct[step_id]))
    return found


# --- When and who -----------------------------------------------------------------------------------------------------


def _unmet(precondition: str, **details: Any) -> Reason:
    return Reason(PRECONDITIONS_UNMET, {"precondition": precondition, **details})


def _times(state: PlanState, plan_type: PlanType | None, now_ms: int) -> Iterator[Reason]:
    expires_at = format_instant(state.expires_ms)
    if now_ms >= state.expires_ms:
        yield _unmet("EXPIRED", expires_at=expires_at)
    elif plan_type is not None and state.expires_ms - now_ms > plan_type.lifetime_ms:
        yield _unmet("LIFETIME_TOO_LONG", expires_at=expires_at, lifetime_ms=plan_type.lifetime_ms)


def _authority(
    state: PlanState, plan_type: PlanType | None, risk: Risk, approver_id: str | None, role: str | None
) -> Iterator[Reason]:
    """Yield why an approval by this person does not do. ``role`` None: not a person at all."""
    if role is None or Role(role) not in APPROVERS:
        yield _unmet("APPROVER_NO_PERSON" if role is None else "APPROVER_ROLE", approver=approver_id)
        return
    threshold = Risk.HIGH if plan_type is None else plan_type.elevated_risk
    if risk.rank < threshold.rank:
        return
    if Role(role) not in ELEVATED:
        yield Reason(RISK_ELEVATED, {"risk": risk.value, "approver": approver_id, "needs": "elevated authority"})
    if is_among(approver_id, state.proposers):
        yield Reason(
            RISK_ELEVATED, {"risk": risk.value, "approver": approver_id, "needs": "a person who did not propose it"}
        )
