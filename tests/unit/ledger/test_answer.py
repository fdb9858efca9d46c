"""From a record back to the decision on an operation and its budget."""

from __future__ import annotations

from tests.samples import blocked_context, cap, context, policy, weighbridge
from weighbridge.domain.decision import CapUsage, Finding
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.answer import gate_decisions, inputs_of, operation_decision


def _read(wb, seq, operation_id, state="PENDING"):
    stored = wb.reader.record("acme", seq)
    return operation_decision(stored.body, stored.hash, operation_id, state, replayed=False)


CAPS = {
    "caps": [
        cap("a", "10/day", soft_cap="2"),
        cap("b", "unlimited operations/month"),
        cap("c", "1k tokens/day", settlement=True),
    ],
    "cost_classes": {"CHEAP": {"maximum": {"tokens": "500 tokens"}}},
}
ASKED = {"tenant_id": "acme", "account_id": "a-1", "plan_id": "p-1"}


def test_the_answer_is_the_record():
    """G3, B10: what the caller gets is what was recorded, cap by cap."""
    with weighbridge(policy=policy(budgets=CAPS)) as wb:
        given = wb.reserve(
            {**ASKED, "operation_id": "op-1", "budget": {"operation": "crm.note", "amounts": {"operations": 3}}}
        )
        assert _read(wb, 1, "op-1") == given
    budget = given.budget
    assert (given.verdict, given.reasons, given.gates) == (Verdict.WARN, ("SOFT_CAP_EXCEEDED",), ())
    assert given.about == {"account_id": "a-1", "plan_id": "p-1"}
    assert (given.operation, given.enforcement, given.state) == ("crm.note", "asked", "PENDING")
    assert (budget.cost_class, budget.amounts, budget.assumed) == (
        "CHEAP",
        {"operations": 3, "tokens": 500},
        ("tokens",),
    )
    assert budget.period == {"DAY": "2026-11-22", "MONTH": "2026-11"}
    assert budget.caps == (
        CapUsage(
            "a",
            "operations 2026-11-22 any",
            "operations",
            10,
            0,
            Verdict.WARN,
            "SOFT_CAP_EXCEEDED",
            soft_cap=2,
            usage_after=3,
        ),
        CapUsage("b", "operations 2026-11 any", "operations", None, 0, Verdict.ALLOW, "WITHIN_CAPS", usage_after=3),
        CapUsage("c", "tokens 2026-11-22 any", "tokens", 1000, 0, Verdict.ALLOW, "WITHIN_CAPS", usage_after=500),
    )


def test_amounts_beyond_what_json_numbers_hold_come_back_exactly():
    """B2: exact in code and store."""
    huge = 10**27 - 1
    with weighbridge(policy=policy(budgets={"caps": [cap("money", "unlimited USD/month")]})) as wb:
        made = {**ASKED, "budget": {"operation": "crm.note", "amounts": {"pico_USD": huge}}}
        budget = wb.reserve(made).budget
    assert (budget.amounts["pico_USD"], budget.caps[0].usage_after) == (huge, huge)


def test_a_block_of_a_gate_leaves_no_budget():
    """B11: validators are asked first; an action that is not safe costs nothing."""
    with weighbridge() as wb:
        given = wb.reserve(blocked_context(operation_id="op-1", budget={}))
        assert _read(wb, 1, "op-1", "BLOCKED") == given
    assert (given.budget, given.verdict) == (None, Verdict.BLOCK)
    assert given.operation == "crm.update"


def test_findings_of_the_budget_come_back():
    """B10, Z5: BLOCKs that no cap caused."""
    with weighbridge() as wb:
        budget = wb.reserve({**ASKED, "budget": {"operation": "mystery"}}).budget
    assert budget.findings == (Finding("UNKNOWN_OPERATION", {"operation": "mystery"}),)
    assert (budget.cost_class, budget.caps) == (None, ())


def test_gates_and_inputs_are_read_from_the_same_record():
    """G8, G10."""
    with weighbridge() as wb:
        given = wb.reserve(context(operation_id="op-1", validation_run_id="run-1", budget={}))
        stored = wb.reader.record("acme", 1)
        assert gate_decisions(stored.body, stored.hash, replayed=False) == given.gates
        assert len(inputs_of(stored.body, "run-1")) == 64
    assert given.gates[0].record == given.record
