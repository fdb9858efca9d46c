"""Prices: which ones a request is worked out at, and what that comes to."""

from __future__ import annotations

import pytest

from weighbridge.budgets.pricing import money, unit_prices
from weighbridge.domain.spending import Tokens
from weighbridge.policy.effective import ModelPrice, Prices

TABLE = Prices("pico_USD", {"enrich": 50, "llm": 1}, {"m-1": ModelPrice(3, 7)})
CALLS = Prices("pico_USD", {"enrich": 50}, {})
MODEL = {"model": "m-1", "input": "3", "output": "7"}


@pytest.mark.parametrize(
    ("operation", "tokens", "known", "table", "found"),
    [
        ("enrich", None, False, TABLE, {"operation": "50"}),
        ("enrich", None, True, TABLE, None),  # tokens of nobody knows which model
        ("enrich", None, True, CALLS, {"operation": "50"}),  # a table without models: a call costs what it costs
        ("other", None, False, TABLE, None),
        ("other", Tokens(1, 1, "m-1"), True, TABLE, MODEL),
        ("llm", Tokens(1, 1, "m-1"), True, TABLE, {"operation": "1", **MODEL}),
        ("llm", Tokens(1, 1, "m-2"), True, TABLE, None),
        ("llm", Tokens(1, 1), True, TABLE, None),
        ("llm", Tokens(0, 0), False, TABLE, {"operation": "1"}),
        ("enrich", Tokens(1, 1, "m-2"), True, CALLS, None),
    ],
)
def test_the_prices_of_a_request(operation, tokens, known, table, found):
    """B12: a price for the call never makes tokens of an unknown model known."""
    expected = None if found is None else {"unit": "pico_USD", **found}
    assert unit_prices(operation, tokens, table, tokens_known=known) == expected


def test_money_is_exact():
    """B2: whole pico-units: operations times their price, and tokens in and out times theirs."""
    priced = {"unit": "pico_USD", "operation": "50", **MODEL}
    assert money(priced, 8, Tokens(1000, 10, "m-1")) == 8 * 50 + 1000 * 3 + 10 * 7
    assert money(priced, 2, None) == 100
    assert money({"unit": "pico_USD", **MODEL}, 5, Tokens(10**15, 0)) == 3 * 10**15
