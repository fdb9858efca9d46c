"""What a request asks of the budget: its shape, and what is refused about it."""

from __future__ import annotations

import pytest

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import Actor, Role
from weighbridge.domain.spending import (
    Spending,
    SpendingRequest,
    Tokens,
    checked_tokens,
    made_request,
    parse_spending,
    parse_spending_request,
)
from weighbridge.errors import ContextError

REQUEST = {
    "operation_id": "call-17",
    "tenant_id": "acme",
    "account_id": "a-1",
    "plan_id": "p-1",
    "evaluation_time": "2026-11-22T10:00:00Z",
    "actor": {"id": "bot"},
    "budget": {
        "operation": "llm.summarise",
        "cost_class": "EXPENSIVE",
        "amounts": {"operations": 1, "USD": "0.0096"},
        "tokens": {"input": 4808, "output": 10, "model": "m-1"},
        "justification": "quarter end",
    },
}


def test_a_request_is_read_as_it_stands():
    assert parse_spending_request(REQUEST) == SpendingRequest(
        Spending(
            "llm.summarise",
            CostClass.EXPENSIVE,
            {"operations": 1, "USD": "0.0096"},
            Tokens(4808, 10, "m-1"),
            "quarter end",
        ),
        "acme",
        "call-17",
        Actor("bot", Role.AGENT),
        "a-1",
        "p-1",
        evaluation_time="2026-11-22T10:00:00Z",
    )


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"budget": None}, "budget"),
        ({"budget": {}}, "budget.operation"),
        ({"budget": {"operation": ""}}, "budget.operation"),
        ({"budget": {"operation": "x" * 201}}, "budget.operation"),
        ({"budget": {"operation": "x", "cost": 1}}, "budget"),
        ({"budget": {"operation": "x", "cost_class": "FREE"}}, "budget.cost_class"),
        ({"budget": {"operation": "x", "amounts": [1]}}, "budget.amounts"),
        (
            {"budget": {"operation": "x", "amounts": {"tokens": 1}, "tokens": {"input": 1, "output": 1}}},
            "amounts.tokens",
        ),
        ({"budget": {"operation": "x", "tokens": {"input": -1, "output": 1}}}, "budget.tokens.input"),
        ({"budget": {"operation": "x", "tokens": {"input": 1.5, "output": 1}}}, "budget.tokens.input"),
        ({"budget": {"operation": "x", "tokens": {"input": 2**53, "output": 1}}}, "budget.tokens.input"),
        ({"budget": {"operation": "x", "tokens": {"input": True, "output": 1}}}, "budget.tokens.input"),
        ({"budget": {"operation": "x", "tokens": {"input": 1}}}, "budget.tokens"),
        ({"budget": {"operation": "x", "justification": " \n"}}, "budget.justification"),
        ({"budget": {"operation": "x", "justification": ""}}, "budget.justification"),
        ({"budget": {"operation": "x", "justification": "x" * 2001}}, "budget.justification"),
        ({"operation_id": "x" * 161}, "operation_id"),
        ({"operation_id": ""}, "operation_id"),
        ({"account_id": "x" * 201}, "account_id"),
        ({"account_id": 7}, "account_id"),
        ({"actor": {"id": ""}}, "actor.id"),
        ({"actor": {"id": "x", "role": "god"}}, "actor.role"),
        ({"evaluation_time": "yesterday"}, "evaluation_time"),
        ({"evaluation_time": "2026-11-22T10:00:00"}, "evaluation_time"),
        ({"proposal": {}}, ""),
    ],
)
def test_what_has_another_shape_is_refused_by_its_place(changed, path):
    """B13 among others: a blank reason is none."""
    with pytest.raises(ContextError) as caught:
        parse_spending_request(REQUEST | changed)
    assert path in caught.value.path


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_what_is_no_object_is_refused(document):
    with pytest.raises(ContextError):
        parse_spending_request(document)
    with pytest.raises(ContextError, match="budget"):
        parse_spending(document)


def test_beside_a_choke_point_the_operation_may_be_left_out():
    """There it is the proposal's."""
    assert parse_spending({"tokens": {"input": 1, "output": 0}}) == Spending(tokens=Tokens(1, 0))


def test_parts_made_in_code_are_looked_at_too():
    """B13, Z5: a scope can hold anything."""
    made = made_request({"actor": Actor("bot"), "account_id": "a-1", "budget": {"operation": "x"}})
    assert (made.actor.id, made.account_id, made.budget.operation) == ("bot", "a-1", "x")
    for wrong in ({"account_id": 5}, {"budget": {"operation": "x", "justification": "  "}}, {"plan_id": "x" * 201}):
        with pytest.raises(ContextError):
            made_request({"budget": {"operation": "x"}} | wrong)


def test_tokens_made_in_code_are_looked_at_too():
    assert checked_tokens(Tokens(1, 2, "m-1")) == Tokens(1, 2, "m-1")
    for wrong in (Tokens(-1, 0), Tokens(1.0, 0), Tokens(True, 0), Tokens("1", 0), Tokens(1, 0, 5)):  # type: ignore[arg-type]
        with pytest.raises(ContextError, match="tokens"):
            checked_tokens(wrong)
