"""What something costs in money, from a price table: exact, in pico-units (B2, B12).

A reservation says at which unit prices its money was worked out, and what was really consumed is worked out at the same ones,
whatever the table says by then. So settlement gives back what was not used, and never a change of price (B7).
"""

from __future__ import annotations

from collections.abc import Mapping

from weighbridge.domain.amounts import parse_amount
from weighbridge.domain.spending import Tokens
from weighbridge.policy.effective import Prices

UNIT, OPERATION, MODEL, INPUT, OUTPUT = "unit", "operation", "model", "input", "output"


def unit_prices(operation: str, tokens: Tokens | None, prices: Prices, *, tokens_known: bool) -> dict[str, str] | None:
    """Return the prices that a request is worked out at, as a record says them; None where its cost is not known.

    ``tokens_known`` says that the request takes tokens, of whatever model. A table that prices models leaves them unknown where
    none is named, or one that it does not have: a price for the call is then not the price of the call.
    """
    model = None if tokens is None or tokens.model is None else prices.models.get(tokens.model)
    named = tokens is not None and tokens.model is not None
    if model is None and (named or (tokens_known and prices.models)):
        return None
    found = {UNIT: prices.unit}
    if operation in prices.operations:
        found[OPERATION] = str(prices.operations[operation])
    if model is not None and tokens is not None and tokens.model is not None:
        found |= {MODEL: tokens.model, INPUT: str(model.input), OUTPUT: str(model.output)}
    return found if len(found) > 1 else None


def money(priced: Mapping[str, str], operations: int, tokens: Tokens | None) -> int:
    """Return what so many operations and these tokens cost, in the pico-units of ``priced``."""
    amount = operations * parse_amount(priced.get(OPERATION, "0"))
    if tokens is not None:
        amount += tokens.input * parse_amount(priced.get(INPUT, "0"))
        amount += tokens.output * parse_amount(priced.get(OUTPUT, "0"))
    return amount
