"""Amounts: whole numbers of the smallest unit, or a clear refusal."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.domain.amounts import (
    AMOUNT_MAX,
    as_text,
    currency_of,
    from_text,
    is_unit,
    money,
    parse_amount,
    parse_stated,
    shown,
)
from weighbridge.errors import ContextError


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, {}),
        ({"operations": 1, "tokens": 4818}, {"operations": 1, "tokens": 4818}),
        ({"tokens": "4818"}, {"tokens": 4818}),
        ({"tokens": "4818.000"}, {"tokens": 4818}),
        ({"tokens": 0}, {"tokens": 0}),
        ({"USD": "0.0096"}, {"pico_USD": 9_600_000_000}),
        ({"USD": 2}, {"pico_USD": 2 * 10**12}),
        ({"USD": Decimal("0.000000000001")}, {"pico_USD": 1}),
        ({"pico_EUR": 7}, {"pico_EUR": 7}),
        ({"USD": 1, "EUR": 1}, {"pico_USD": 10**12, "pico_EUR": 10**12}),
        ({"tokens": AMOUNT_MAX + 1}, {"tokens": AMOUNT_MAX + 1}),  # judged later, not refused
    ],
)
def test_stated_amounts_are_exact(stated, expected):
    """B2: decimal text or whole numbers, to the last pico-unit."""
    assert parse_stated(stated, "amounts") == expected


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ([], "amounts"),
        ("1", "amounts"),
        (None, "amounts"),
        ({"dollars": 1}, "amounts.dollars"),
        ({"usd": 1}, "amounts.usd"),
        ({"pico_usd": 1}, "amounts.pico_usd"),
        ({"pico_": 1}, "amounts.pico_"),
        ({5: 1}, "amounts.5"),
        ({"operations": 0}, "amounts.operations"),
        ({"operations": -1}, "amounts.operations"),
        ({"tokens": -1}, "amounts.tokens"),
        ({"tokens": "-0.5"}, "amounts.tokens"),
        ({"tokens": 1.0}, "amounts.tokens"),
        ({"USD": 0.01}, "amounts.USD"),
        ({"tokens": True}, "amounts.tokens"),
        ({"tokens": None}, "amounts.tokens"),
        ({"tokens": "0.5"}, "amounts.tokens"),
        ({"tokens": "1e3"}, "amounts.tokens"),
        ({"tokens": " 1"}, "amounts.tokens"),
        ({"tokens": ""}, "amounts.tokens"),
        ({"tokens": "１"}, "amounts.tokens"),  # noqa: RUF001 - a digit, but not ours
        ({"tokens": "many"}, "amounts.tokens"),
        ({"tokens": "9" * 41}, "amounts.tokens"),
        ({"USD": "0.0000000000001"}, "amounts.USD"),
        ({"USD": 1, "pico_USD": 5}, "amounts.pico_USD"),
        ({"tokens": Decimal("NaN")}, "amounts.tokens"),
        ({"tokens": Decimal("Infinity")}, "amounts.tokens"),
        ({"tokens": Decimal("1E+999999")}, "amounts.tokens"),
        ({"USD": Decimal("1E-999999")}, "amounts.USD"),
    ],
)
def test_what_is_no_amount_is_refused_where_it_stands(stated, place):
    """B2: negative, zero operations, fractions of the smallest unit, floats, words, one unit twice."""
    with pytest.raises(ContextError) as caught:
        parse_stated(stated, "amounts")
    assert caught.value.path == place


@given(st.integers(0, AMOUNT_MAX))
def test_text_and_back(amount):
    """B2: decimal text in canonical form."""
    assert from_text(as_text({"tokens": amount})) == {"tokens": amount}
    assert parse_amount(str(amount)) == amount


@pytest.mark.parametrize("text", ["", "-1", "+1", "01", " 1", "1 ", "1.0", "1_000", "x", "\u0661"])
def test_text_that_is_not_canonical_is_refused(text):
    """B2: one number has one form."""
    with pytest.raises(ValueError, match=r"canonical|invalid"):
        parse_amount(text)


def test_units():
    assert (money("USD"), currency_of("pico_USD"), currency_of("tokens")) == ("pico_USD", "USD", None)
    assert [is_unit(text) for text in ("operations", "tokens", "pico_USD", "USD", "pico_US", "pico_usd", "")] == [
        True, True, True, False, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (1, "operations", "1 operation"),
        (0, "operations", "0 operations"),
        (4818, "tokens", "4,818 tokens"),
        (32_700_000_000, "pico_USD", "0.0327 USD"),
        (25 * 10**12, "pico_EUR", "25.00 EUR"),
        (1, "pico_USD", "0.000000000001 USD"),
        (1_234_567 * 10**12 + 5 * 10**11, "pico_USD", "1,234,567.50 USD"),
    ],
)
def test_amounts_for_people(amount, unit, expected):
    assert shown(amount, unit) == expected
