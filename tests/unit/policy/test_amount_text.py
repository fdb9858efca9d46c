"""Amounts as people write them: exact, or refused with what to write."""

from __future__ import annotations

from fractions import Fraction

import pytest

from weighbridge.domain.amounts import AMOUNT_MAX
from weighbridge.domain.caps import Period
from weighbridge.policy import amount_text
from weighbridge.policy.amount_text import AmountError, Price, Stated

DOLLAR = 10**12


def read(value):
    return amount_text.read_amount(value, "an amount")


def refused(call, *arguments, **named):
    with pytest.raises(AmountError) as caught:
        call(*arguments, **named)
    return caught.value


@pytest.mark.parametrize(
    ("text", "number", "unit", "per"),
    [
        ("50", 50, None, None),
        (50, 50, None, None),
        (2.5, Fraction(5, 2), None, None),
        (2.0, 2, None, None),
        ("50/day", 50, None, "day"),
        ("2k", 2000, None, None),
        ("1.5M tokens", 1_500_000, "tokens", None),
        ("3G operations/plan", 3 * 10**9, "operations", "plan"),
        ("1 token", 1, "tokens", None),
        ("1 operation/day", 1, "operations", "day"),
        ("$25/month", 25, "pico_USD", "month"),
        ("€0.05", Fraction(1, 20), "pico_EUR", None),
        ("£2k", 2000, "pico_GBP", None),
        ("25 JPY/day", 25, "pico_JPY", "day"),
        ("unlimited tokens/month", None, "tokens", "month"),
        ("unlimited", None, None, None),
        ("unlimited USD", None, "pico_USD", None),
    ],
)
def test_what_amounts_say(text, number, unit, per):
    """B2: a number, a unit, a period, each exactly as written."""
    assert read(text) == Stated(None if number is None else Fraction(number), unit, per)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("-5", "`-5` is negative"),
        (-5, "`-5` is negative"),
        ("1,000", "`1,000` groups its digits"),
        ("$1_000", "`$1_000` groups its digits"),
        ("5K", "k is a thousand"),
        ("5m tokens", "k is a thousand"),
        ("5 M tokens", "k is a thousand"),
        ("¥25", "`¥` is not one currency's own sign"),
        ("$25 USD", "has a sign and a unit"),
        ("25 usd", "`usd` is no unit"),
        ("25 tokns", "`tokns` is no unit"),
        ("USD 25", "is no amount"),
        ("05", "is no amount"),
        (".5", "is no amount"),
        ("5.", "is no amount"),
        ("1e3", "is no amount"),
        ("٣", "is no amount"),
        ("", "is no amount"),
        ("50 / day", "is no amount"),
        (" 50", "is no amount"),
        (True, "is no amount"),
        (None, "is no amount"),
        ([5], "is no amount"),
        (float("nan"), "is no amount"),
        (float("inf"), "is no amount"),
        (10**50, "is no amount"),
        ("9" * 101, "has 101 characters"),
    ],
)
def test_what_is_no_amount_is_refused(value, message):
    assert message in refused(read, value).message


@pytest.mark.parametrize(
    ("value", "message", "write"),
    [
        ("20 k", "`20 k` has a space before `k`", "20k"),
        ("20 K/day", "`20 K/day` has a space before `K`", "20k/day"),
        ("20K", "`20K` has `K` for `k`", "20k"),
        ("$5m", "`$5m` has `m` for `M`", "$5M"),
        ("5g tokens", "`5g tokens` has `g` for `G`", "5G tokens"),
        ("5 usd", "`usd` is no unit", "USD in capitals for the currency, else operations or tokens"),
    ],
)
def test_a_slip_is_named_and_put_right(value, message, write):
    error = refused(read, value)
    assert error.message.startswith(message)
    assert error.write == write


def test_a_capital_k_in_a_price_is_named_and_put_right():
    error = refused(amount_text.read_token_price, "$2.50/1K tokens")
    assert (error.message, error.write) == ("`$2.50/1K tokens` has `K` for `k`, a thousand", "$2.50/1k tokens")
    assert amount_text.read_token_price(error.write).pico == 2_500_000_000
    assert refused(amount_text.read_unit, "usd").write.startswith("USD in capitals")


def test_money_becomes_pico_units_exactly():
    """B2: prices per token are fractions of a millionth, and none is rounded."""
    assert amount_text.whole("", Fraction("0.000000000001"), "pico_USD") == 1
    assert amount_text.whole("", Fraction(25), "pico_USD") == 25 * DOLLAR
    assert amount_text.whole("", Fraction(25), "pico_USD", pico=True) == 25
    tiny = refused(amount_text.whole, "$0.0000000000001", Fraction("0.0000000000001"), "pico_USD")
    assert tiny.message == "`$0.0000000000001` is no whole number of millionths of a millionth of a USD"
    assert refused(amount_text.whole, 0.5, Fraction(1, 2), "tokens").message == "`0.5` is no whole number of tokens"


def test_the_largest_amount():
    """B2: what cannot fit is refused."""
    assert amount_text.whole("", Fraction(AMOUNT_MAX), "tokens") == AMOUNT_MAX
    assert "larger than any amount" in refused(amount_text.whole, "", Fraction(AMOUNT_MAX + 1), "tokens").message
    assert "larger than any amount" in refused(amount_text.whole, "", Fraction(10**15), "pico_USD").message


def test_units_and_periods():
    assert [amount_text.read_unit(unit) for unit in ("operations", "tokens", "USD", "pico_EUR")] == [
        "operations",
        "tokens",
        "pico_USD",
        "pico_EUR",
    ]
    assert refused(amount_text.read_unit, "token").write == "tokens"
    assert "currency" in refused(amount_text.read_unit, "usd").write
    assert "is no unit" in refused(amount_text.read_unit, 5).message
    assert amount_text.read_period("plan") is Period.PLAN
    assert refused(amount_text.read_period, "dya").write == "day"
    assert "`month`" in refused(amount_text.read_period, "year").write


def test_an_amount_where_the_unit_is_known():
    assert amount_text.in_unit("2k tokens", "tokens", "") == 2000
    assert amount_text.in_unit("$2", "pico_USD", "") == 2 * DOLLAR
    assert amount_text.in_unit("5", "pico_USD", "") == 5
    assert "without its currency" in refused(amount_text.in_unit, "5", "pico_USD", "", alone=False).message
    assert "counted in EUR, not in USD" in refused(amount_text.in_unit, "€5", "pico_USD", "").message
    assert "has a period" in refused(amount_text.in_unit, "5/day", "tokens", "").message
    assert "`unlimited` is no amount" in refused(amount_text.in_unit, "unlimited", "tokens", "").message


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("$0.05", Price(50_000_000_000, "pico_USD")),
        ("0.05 EUR", Price(50_000_000_000, "pico_EUR")),
        ("50000000000", Price(50_000_000_000, None)),
        ("0", Price(0, None)),
    ],
)
def test_prices_of_operations(value, price):
    """B2: digits in quotes are pico-units, as in an effective policy."""
    assert amount_text.read_price(value) == price


@pytest.mark.parametrize("value", [5, 0.05, "5 tokens", "unlimited USD", "$5/1M tokens", "5k", "9" * 101, "9" * 28])
def test_what_is_no_price_of_an_operation(value):
    refused(amount_text.read_price, value)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("$2.50/1M tokens", Price(2_500_000, "pico_USD")),
        ("$0.0000025/token", Price(2_500_000, "pico_USD")),
        ("10 EUR/1k tokens", Price(DOLLAR // 100, "pico_EUR")),
        ("$3/3 tokens", Price(DOLLAR, "pico_USD")),
        (2_500_000, Price(2_500_000, None)),
        ("2500000", Price(2_500_000, None)),
        ("5", Price(5, None)),
        (0, Price(0, None)),
    ],
)
def test_prices_of_tokens(value, price):
    assert amount_text.read_token_price(value) == price


@pytest.mark.parametrize(
    "value", ["$5", "$5/token s", "$5/0 tokens", "$1/3 tokens", "5/token", "unlimited/token", -5, 2.5, True]
)
def test_what_is_no_price_of_tokens(value):
    refused(amount_text.read_token_price, value)


def test_dollars_for_a_million_tokens_are_not_taken_for_pico_units():
    """B12: a price that is a million times too low would let everything through."""
    error = refused(amount_text.read_token_price, 15)
    assert "15 millionths" in error.message
    assert "$15/1M tokens" in error.write


def test_what_is_advised_can_be_written():
    assert amount_text.written(200_000, "tokens") == "200000 tokens"
    assert amount_text.written(1, "operations") == "1 operation"
    assert amount_text.written(1_234 * DOLLAR + DOLLAR // 2, "pico_USD") == "1234.50 USD"
