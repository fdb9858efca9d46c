"""H3: every reason of the policy gate, all of them at once, and who may approve."""

import msgspec
import pytest

from weighbridge.domain.context import Role
from weighbridge.domain.plan import PlanState, PlanStatus, Risk
from weighbridge.domain.principal import Principal
from weighbridge.plans.document import seal_plan
from weighbridge.plans.policy_gate import can_activate, can_approve, draft_steps, examine, risk_of
from weighbridge.policy.effective import PlanAction
from weighbridge.testing.plans import EXPIRES_MS, KEY, PLAN_TYPE, facts_of, plan_of
from weighbridge.testing.submissions import NOW_MS


def kind(risk=Risk.LOW, **changes):
    """Return the plan type with another risk of `update`, and other terms."""
    action = changes.pop("action", PlanAction(risk))
    return msgspec.structs.replace(PLAN_TYPE, actions={**PLAN_TYPE.actions, "update": action}, **changes)


def step(step_id, operation, *depends_on, **changes):
    return {"step_id": step_id, "operation": operation, "depends_on": list(depends_on), **changes}


def found(*steps, plan_type=PLAN_TYPE, **changes):
    """Return what is wrong with a document, as codes with their details."""
    gate = examine(plan_of(steps=steps, **changes), plan_type, facts_of)
    return [(reason.reason, reason.details) for reason in gate.reasons]


def person(name="maria", role=Role.APPROVER, *, is_person=True):
    return Principal(id=name, role=role, person=is_person)


def row(plan, plan_type=PLAN_TYPE, **changes):
    """Return an approved plan."""
    sealed = seal_plan(plan, KEY)
    fields = {
        "status": PlanStatus.APPROVED,
        "submitted": True,
        "approved_hash": sealed.plan_hash,
        "approver_id": "maria",
        "approver_role": "approver",
        "proposers": ("agent-1",),
        **changes,
    }
    return PlanState(
        plan_id=plan.plan_id,
        account_id=plan.account_id,
        plan_type=plan.plan_type,
        revision=1,
        seq=1,
        created_seq=1,
        plan_hash=sealed.plan_hash,
        snapshot_id=sealed.snapshot_id,
        expires_ms=plan.expires_ms,
        risk=risk_of(plan, plan_type, facts_of),
        request_hash="x",
        steps=draft_steps(plan, plan_type, facts_of, sealed.proposal_hashes),
        **fields,
    )


def activation(plan_type=PLAN_TYPE, *, now_ms=NOW_MS, active=None, **changes):
    plan = plan_of()
    state = row(plan, plan_type, **changes)
    gate = can_activate(plan, state, plan_type, facts_of, now_ms=now_ms, active_plan_id=active)
    return [(reason.reason, reason.details) for reason in gate.reasons]


def approval(by, plan_type=PLAN_TYPE, *, now_ms=NOW_MS, **changes):
    plan = plan_of()
    state = row(plan, plan_type, **{"status": PlanStatus.DRAFT, "approved_hash": None, **changes})
    gate = can_approve(plan, state, plan_type, facts_of, now_ms=now_ms, approver=by)
    return [
        (reason.reason, reason.details.get("precondition") or reason.details.get("needs")) for reason in gate.reasons
    ]


def test_a_plan_that_is_right_can_be_activated():
    """H3: no reason, no refusal."""
    gate = examine(plan_of(), PLAN_TYPE, facts_of)
    assert (gate.reasons, gate.risk, gate.can_activate) == ((), Risk.LOW, True)
    assert activation() == []
    assert approval(person()) == []


def test_an_unknown_type():
    """H3: INVALID_PLAN_TYPE, and nothing is concluded about the rest; of what nobody knows the risk is HIGH."""
    assert found(plan_type=None) == [("INVALID_PLAN_TYPE", {"plan_type": "RENEWAL_DEFENSE"})]
    assert examine(plan_of(), None, facts_of).risk is Risk.HIGH


@pytest.mark.parametrize(
    ("operation", "stated", "precondition"),
    [("x.nothing", None, "OPERATION_UNKNOWN"), ("x.brief", "meet", "ACTION_TYPE_DIFFERS")],
)
def test_steps_are_of_registered_operations(operation, stated, precondition):
    """Z5: what an operation is, its name says; an unknown action type is a clear reason."""
    ((code, details),) = found(step("a", operation, action_type=stated))
    assert (code, details["precondition"], details["step_id"]) == ("PRECONDITIONS_UNMET", precondition, "a")


def test_only_the_types_own_actions_and_operations():
    """H3: allowed action types, with which operations."""
    narrow = msgspec.structs.replace(
        PLAN_TYPE, actions={"brief": PlanAction(Risk.LOW, operations=frozenset({"y.brief"}))}
    )
    reasons = found(step("a", "x.meet"), step("b", "x.brief"), step("c", "y.brief"), plan_type=narrow)
    assert [(details["precondition"], details["step_id"]) for _, details in reasons] == [
        ("ACTION_NOT_ALLOWED", "a"),
        ("OPERATION_NOT_ALLOWED", "b"),
    ]


def test_dependencies_exist_and_have_no_circle():
    """H3: valid acyclic dependencies; the steps in the circle, and behind it, are named."""
    steps = (step("a", "x.brief", "b"), step("b", "x.meet", "a"), step("c", "x.update", "b"), step("d", "x.brief"))
    assert found(*steps) == [("STEP_ORDER_VIOLATION", {"circle": ["a", "b", "c"]})]
    assert found(step("a", "x.brief", "a")) == [("STEP_ORDER_VIOLATION", {"circle": ["a"]})]
    assert found(step("a", "x.brief", "z")) == [("STEP_ORDER_VIOLATION", {"step_id": "a", "unknown_dependency": "z"})]


ORDERED = msgspec.structs.replace(PLAN_TYPE, order=(("brief", "update"),))


def test_an_order_holds_along_dependencies():
    """H3: directly or not; standing first in the list is no order."""
    through = (step("a", "x.brief"), step("b", "x.meet", "a"), step("c", "x.update", "b"))
    assert found(*through, plan_type=ORDERED) == []
    beside = (step("a", "x.brief"), step("c", "x.update"))
    details = {"step_id": "c", "depends_on": "a", "before": "brief", "after": "update"}
    assert found(*beside, plan_type=ORDERED) == [("STEP_ORDER_VIOLATION", details)]
    assert found(step("c", "x.update"), plan_type=ORDERED) == []


def test_every_step_of_the_first_comes_before_every_step_of_the_second():
    """H3: two briefs are both before the update."""
    steps = (step("a", "x.brief"), step("b", "x.brief"), step("c", "x.update", "a"))
    ((_, details),) = found(*steps, plan_type=ORDERED)
    assert details["depends_on"] == "b"


def test_a_step_cannot_wave_a_human_touch_away():
    """H3: HUMAN_TOUCH_REQUIRED where the plan says that nobody is needed and the policy says otherwise."""
    touching = kind(action=PlanAction(Risk.LOW, human_touch=True))
    ((code, details),) = found(step("a", "x.update", human_touch=False), plan_type=touching)
    assert (code, details) == ("HUMAN_TOUCH_REQUIRED", {"action_type": "update", "step_id": "a"})
    assert found(step("a", "x.update"), plan_type=touching) == []


@pytest.mark.parametrize(
    ("policy", "stated", "risk"), [("LOW", "HIGH", "HIGH"), ("HIGH", "LOW", "HIGH"), ("MEDIUM", None, "MEDIUM")]
)
def test_a_stated_risk_can_only_raise(policy, stated, risk):
    """H3, Z5: risk is the policy's; a plan is as risky as its riskiest step."""
    plan = plan_of(steps=(step("a", "x.brief"), step("b", "x.update", risk=stated)))
    assert risk_of(plan, kind(Risk(policy)), facts_of) is Risk(risk)


def test_what_the_row_holds_of_each_step():
    """Z5: class and action type by name, risk and human touch by policy."""
    touching = kind(action=PlanAction(Risk.HIGH, human_touch=True))
    plan = plan_of()
    steps = draft_steps(plan, touching, facts_of, seal_plan(plan, KEY).proposal_hashes)
    assert [(one.action_type, one.cost_class, one.risk, one.human_touch) for one in steps] == [
        ("brief", "MEDIUM", Risk.LOW, False),
        ("meet", "MEDIUM", Risk.LOW, False),
        ("update", "MEDIUM", Risk.HIGH, True),
    ]


@pytest.mark.parametrize(
    ("by", "reasons"),
    [
        (person(), []),
        (person(role=Role.ADMIN), []),
        (person(is_person=False), [("PRECONDITIONS_UNMET", "APPROVER_NO_PERSON")]),
        (person(role=Role.OPERATOR), [("PRECONDITIONS_UNMET", "APPROVER_ROLE")]),
        (person(role=Role.HOST), [("PRECONDITIONS_UNMET", "APPROVER_ROLE")]),
        (person("agent-1"), []),  # nothing is risky here
    ],
)
def test_who_may_approve(by, reasons):
    """Z1: a person whose role it is."""
    assert approval(by) == reasons


@pytest.mark.parametrize(
    ("by", "needs"),
    [
        (person(), ["elevated authority"]),
        (person(role=Role.ADMIN), []),
        (person("agent-1", Role.ADMIN), ["a person who did not propose it"]),
        (person("agent-1"), ["elevated authority", "a person who did not propose it"]),
    ],
)
def test_high_risk_needs_elevated_authority_and_another_person(by, needs):
    """H3: RISK_ELEVATED, for both reasons at once."""
    assert approval(by, kind(Risk.HIGH)) == [("RISK_ELEVATED", need) for need in needs]


def test_a_lower_threshold_elevates_less():
    """H3: the policy says from which risk on."""
    medium = kind(Risk.MEDIUM)
    assert approval(person(), medium) == []
    assert approval(person(), msgspec.structs.replace(medium, elevated_risk=Risk.MEDIUM)) == [
        ("RISK_ELEVATED", "elevated authority")
    ]


def test_approval_needs_submission_and_time():
    """H3: not submitted, past its expiry, or living too long."""
    assert approval(person(), submitted=False) == [("PRECONDITIONS_UNMET", "NOT_SUBMITTED")]
    assert approval(person(), now_ms=EXPIRES_MS) == [("PRECONDITIONS_UNMET", "EXPIRED")]
    assert approval(person(), kind(lifetime_ms=1)) == [("PRECONDITIONS_UNMET", "LIFETIME_TOO_LONG")]
    exactly = kind(lifetime_ms=EXPIRES_MS - NOW_MS)
    assert approval(person(), exactly) == []
    assert approval(person(), exactly, now_ms=EXPIRES_MS - 1) == []


def test_activation_asks_again_who_approved():
    """H3: a policy that became stricter since the approval refuses the activation."""
    assert activation(kind(Risk.HIGH)) == [
        ("RISK_ELEVATED", {"risk": "HIGH", "approver": "maria", "needs": "elevated authority"})
    ]


@pytest.mark.parametrize(
    ("changes", "precondition"),
    [({"approved_hash": None}, "NOT_APPROVED"), ({"approved_hash": "other"}, "NOT_AS_APPROVED")],
)
def test_activation_needs_this_approval(changes, precondition):
    """H3, G11: of this document, and of no other."""
    assert activation(**changes) == [("PRECONDITIONS_UNMET", {"precondition": precondition})]


def test_one_active_plan():
    """H3: CONFLICT_ACTIVE_PLAN names the other one; a plan is no conflict with itself."""
    assert activation(active="p-9") == [("CONFLICT_ACTIVE_PLAN", {"active_plan_id": "p-9"})]
    assert activation(active="p-1") == []


def test_a_resume_is_not_held_against_its_lifetime():
    """H3: a paused plan lives as long as was approved, also where the policy allows less by now; its expiry still holds."""
    assert activation(kind(lifetime_ms=1), status=PlanStatus.PAUSED) == []
    assert [code for code, _ in activation(status=PlanStatus.PAUSED, now_ms=EXPIRES_MS)] == ["PRECONDITIONS_UNMET"]


def test_all_reasons_at_once():
    """H3: can_activate with every reason, not the first."""
    strict = kind(Risk.HIGH, action=PlanAction(Risk.HIGH, operations=frozenset({"y.update"})))
    assert [code for code, _ in activation(strict, now_ms=EXPIRES_MS, active="p-9")] == [
        "PRECONDITIONS_UNMET",
        "PRECONDITIONS_UNMET",
        "RISK_ELEVATED",
        "CONFLICT_ACTIVE_PLAN",
    ]
