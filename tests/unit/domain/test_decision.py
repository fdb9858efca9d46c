from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.decision import (
    AlreadyExecuted,
    Blocked,
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


def operation(*gates, state="BLOCKED"):
    return OperationDecision("op-1", "crm.update", gates, RECORD, state)


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
    assert str(error) == "`crm.update` was blocked: NOT_AS_APPROVED; see `weighbridge why op-1 --store ...`"


def test_an_operation_is_not_run_twice_and_says_what_is_known():
    """G10: no completion on record is OUTCOME_UNKNOWN."""
    assert "is OUTCOME_UNKNOWN" in str(AlreadyExecuted(operation(gate(Verdict.ALLOW), state="PENDING")))
    assert "is COMPLETED" in str(AlreadyExecuted(operation(gate(Verdict.ALLOW), state="COMPLETED")))
