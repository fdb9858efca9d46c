"""Words for whole decisions: every part can be explained, and nothing else is."""

from __future__ import annotations

import pytest

import weighbridge
from tests.samples import blocked_context, cap, context, policy, warned_context
from tests.samples import weighbridge as opened
from weighbridge.domain.decision import CapUsage, Finding
from weighbridge.errors import UsageError
from weighbridge.telling import blocked, sentences


@pytest.fixture(scope="module")
def decisions():
    caps = [cap("day", "1/day"), cap("money", "$1/month", cost_classes=["CHEAP"])]
    prices = {"currency": "USD", "models": {"m1": {"input": "$1/1M tokens", "output": "$1/1M tokens"}}}
    with opened(policy=policy(budgets={"caps": caps, "prices": prices})) as wb:
        ask = {"tenant_id": "acme", "budget": {"operation": "enrich"}}
        note = {"operation": "crm.note", "tokens": {"input": 1, "output": 1, "model": "m2"}}
        return {
            "allowed gate": wb.gate(context()),
            "blocked gate": wb.gate(blocked_context()),
            "allowed": wb.reserve(ask),
            "full": wb.reserve(ask),
            "warned and full": wb.reserve(warned_context(budget={})),
            "unpriced": wb.reserve({**ask, "tenant_id": "other", "budget": note}),
            "unknown": wb.reserve({**ask, "budget": {"operation": "crm.noted"}}),
            "gate and budget": wb.reserve(blocked_context(budget={}, tenant_id="other")),
        }


FULL = "cap `day` is used up: 1 of 1 operation on 2026-11-22, no room for 1 operation more"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("allowed gate", "allowed at BEFORE_EXTERNAL_WRITEBACK"),
        ("allowed", "`enrich` is allowed: 1 operation; cap `day`: 1 of 1 operation on 2026-11-22"),
        ("full", FULL),
        ("unknown", "nobody registered an operation `crm.noted` (closest: `crm.note`)"),
        (
            "unpriced",
            (
                "cap `money` counts USD, and model `m2` has no price in the policy (closest: `m1`); "
                "state it, or let the policy name a maximum for its cost class"
            ),
        ),
    ],
)
def test_a_decision_is_told_in_words(decisions, name, said):
    """B10, B12: with the arithmetic, the cause, and the closest name."""
    assert weighbridge.explain(decisions[name]).startswith(said)


def test_gates_come_before_the_budget_and_everything_is_said(decisions):
    """G10: the order of the record."""
    both = decisions["warned and full"]
    first, last = sentences(both)
    assert "10 days old" in first
    assert last == FULL
    assert weighbridge.explain(both) == f"{first}; {last}"
    assert weighbridge.explain(decisions["gate and budget"]) == weighbridge.explain(decisions["blocked gate"])


def test_every_part_of_a_decision_is_told(decisions):
    for decision in decisions.values():
        gates = getattr(decision, "gates", (decision,))
        parts = [part for gate in gates for part in (gate, *gate.results, *gate.findings)]
        budget = getattr(decision, "budget", None)
        parts += [] if budget is None else [budget, *budget.caps, *budget.findings]
        assert all(isinstance(weighbridge.explain(part), str) and weighbridge.explain(part) for part in parts)


def test_a_finding_of_the_budget_is_told_too():
    assert weighbridge.explain(Finding("AMOUNT_OUT_OF_RANGE", {"units": ["tokens"]})).startswith("the amount of tokens")
    assert weighbridge.explain({"reason": "AMOUNT_OUT_OF_RANGE", "details": {"units": ["tokens"]}}).startswith(
        "the amount"
    )
    assert weighbridge.explain({"reason": "NEW", "details": {}}) == "refused with reason NEW"


@pytest.mark.parametrize("wrong", [None, "BLOCK", 7, [], object()])
def test_what_is_no_part_of_a_decision_is_refused(wrong):
    with pytest.raises(UsageError, match="explains nothing"):
        weighbridge.explain(wrong)


def test_a_blocked_budget_is_told_and_where_to_read_on(decisions):
    decision = decisions["full"]
    assert str(blocked(decision)).endswith(
        f"({FULL}); see `weighbridge why {decision.operation_id} --tenant acme --store ...`"
    )
    assert "--store 'a b.db'" in str(blocked(decision, "a b.db"))
    assert "nothing can be looked up later" in str(blocked(decision, ":memory:"))
    assert "; no scope; see" in str(blocked(decision, None, "no scope; "))


def test_what_validators_found_stays_out_of_the_exception(decisions):
    """C3: an exception ends up in logs, and sentences of validators hold values of the request."""
    decision = decisions["gate and budget"]
    assert "closed" in weighbridge.explain(decision)
    assert "closed" not in str(blocked(decision))


def test_a_cap_alone_is_told():
    usage = CapUsage(
        "c", "operations 2026-11-22 any", "operations", 1, 1, weighbridge.Verdict.BLOCK, "HARD_CAP_EXCEEDED"
    )
    assert weighbridge.explain(usage).startswith("cap `c` is used up")
