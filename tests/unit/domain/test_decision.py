from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.decision import (
    AlreadyExecuted,
    Blocked,
    BudgetDecision,
    CapUsage,
    Finding,
    GateDecision,
    OperationDecision,
    RecordRef,
    ValidatorResult,
)
from weighbridge.domain.verdict import Verdict

RECORD = RecordRef("acme", 7, "ab")


def gate(verdict, *results, findings=()):
    return GateDecision(
        verdict,
        ChokePoint.BEFORE_STEP_EXECUTION,
        "run-1",
        results,
        tuple(Finding(reason) for reason in findings),
        "policy",
        "engine",
        "2026-11-22T10:00:00.000Z",
        "executed",
        RECORD,
        "proposal",
    )


def operation(*gates, state="BLOCKED", budget=None):
    return OperationDecision(
        "op-1", "crm.update", gates, budget, RECORD, state, "policy", "engine", "2026-11-22T10:00:00.000Z", "executed"
    )


def budget(verdict, reason, *caps, findings=()):
    used = tuple(CapUsage("c", "n", "operations", 1, 0, *one) for one in caps)
    return BudgetDecision(verdict, reason, "crm.update", "CHEAP", {}, {}, used, tuple(Finding(one) for one in findings))


def test_reasons_leave_out_what_allows_and_name_the_gateways_own_first():
    """Every reason once, in the order of the record."""
    decision = gate(
        Verdict.BLOCK,
        ValidatorResult("freshness", Verdict.WARN, "DATA_AGING"),
        ValidatorResult("grounding", Verdict.ALLOW, "GROUNDED"),
        ValidatorResult("contradiction", Verdict.BLOCK, "INPUT_MISSING"),
        ValidatorResult("compliance", Verdict.BLOCK, "INPUT_MISSING"),
        findings=["NOT_AS_APPROVED"],
    )
    assert decision.reasons == ("NOT_AS_APPROVED", "DATA_AGING", "INPUT_MISSING")


def test_an_operation_is_as_strict_as_its_strictest_gate():
    """G10: the verdict is the strictest of all."""
    warned = gate(Verdict.WARN, ValidatorResult("freshness", Verdict.WARN, "DATA_AGING"))
    blocked = gate(Verdict.BLOCK, ValidatorResult("freshness", Verdict.WARN, "DATA_AGING"), findings=["X"])
    assert operation(warned, blocked).verdict is Verdict.BLOCK
    assert operation(gate(Verdict.ALLOW), warned).verdict is Verdict.WARN
    assert operation(warned, blocked).reasons == ("DATA_AGING", "X")


def test_a_blocked_operation_says_why_and_where_to_read_on():
    decision = operation(gate(Verdict.BLOCK, findings=["NOT_AS_APPROVED"]))
    error = Blocked(decision)
    assert error.decision is decision
    assert str(error) == (
        "`crm.update` was blocked: NOT_AS_APPROVED; see `weighbridge why op-1 --tenant acme --store ...`"
    )
    assert str(Blocked(decision, "the plan is another", "ask them")) == (
        "`crm.update` was blocked: NOT_AS_APPROVED (the plan is another); ask them"
    )


def test_an_operation_is_not_run_twice_and_says_what_is_known():
    """G10: no completion on record is OUTCOME_UNKNOWN."""
    assert "is OUTCOME_UNKNOWN" in str(AlreadyExecuted(operation(gate(Verdict.ALLOW), state="PENDING")))
    assert "is COMPLETED" in str(AlreadyExecuted(operation(gate(Verdict.ALLOW), state="COMPLETED")))


def test_a_budget_is_one_of_the_strictest():
    """G10, B4: the verdict is the strictest of all gates and the budget; the gates' reasons come first."""
    warned = gate(Verdict.WARN, ValidatorResult("freshness", Verdict.WARN, "DATA_AGING"))
    full = budget(Verdict.BLOCK, "HARD_CAP_EXCEEDED", (Verdict.BLOCK, "HARD_CAP_EXCEEDED"))
    assert operation(warned, budget=full).verdict is Verdict.BLOCK
    assert operation(warned, budget=full).reasons == ("DATA_AGING", "HARD_CAP_EXCEEDED")
    assert operation(budget=budget(Verdict.ALLOW, "WITHIN_CAPS")).verdict is Verdict.ALLOW


def test_the_reasons_of_a_budget_are_the_one_that_decided_and_then_the_others():
    """B10: every reason once; what allows is none."""
    caps = [(Verdict.ALLOW, "WITHIN_CAPS"), (Verdict.WARN, "SOFT_CAP_EXCEEDED"), (Verdict.BLOCK, "NEVER_FITS")]
    assert budget(Verdict.BLOCK, "NEVER_FITS", *caps).reasons == ("NEVER_FITS", "SOFT_CAP_EXCEEDED")
    assert budget(Verdict.BLOCK, "X", *caps, findings=["X", "Y"]).reasons == (
        "X",
        "Y",
        "SOFT_CAP_EXCEEDED",
        "NEVER_FITS",
    )
    assert budget(Verdict.ALLOW, "WITHIN_CAPS", caps[0]).reasons == ()
