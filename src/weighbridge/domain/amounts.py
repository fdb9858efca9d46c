"""What an operation costs: its class, and amounts in units, as whole numbers.

Three kinds of unit: ``operations``, ``tokens``, and money, in millionths of a millionth of a currency: ``pico_USD`` is 10**-12
US dollars, because a price per token is a fraction of a millionth. Every amount is an `int`, never a float (B2). Where an
amount stands in a record or a policy it is decimal text, because JSON numbers end at 2**53. Nothing converts currencies.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from weighbridge.errors import ContextError


class CostClass(enum.StrEnum):
    """What an operation costs, roughly (B1). ``EXPENSIVE`` ones pass a choke point of their own."""

    CHEAP = "CHEAP"
    MEDIUM = "MEDIUM"
    EXPENSIVE = "EXPENSIVE"


Cost = Literal["CHEAP", "MEDIUM", "EXPENSIVE"]
"""A cost class as a decorator states it."""

OPERATIONS = "operations"
TOKENS = "tokens"
MONEY_PREFIX = "pico_"
PICO = 10**12
"""Pico-units in one unit of a currency."""

AMOUNT_MAX = 10**27 - 1
"""The largest amount, cap or usage: a quadrillion of a currency. Beyond it: `AMOUNT_OUT_OF_RANGE`."""

Amounts = Mapping[str, int]
"""Amounts by unit."""

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)  # ISO 4217
DIGITS_MAX = 40  # of a stated number; far beyond AMOUNT_MAX, and short enough to convert at once


def money(currency: str) -> str:
    """Return the unit in which money of a currency (ISO 4217, as in ``USD``) is counted."""
    return MONEY_PREFIX + currency


def currency_of(unit: str) -> str | None:
    """Return the currency that a unit of money counts; None for another unit."""
    return unit[len(MONEY_PREFIX) :] if unit.startswith(MONEY_PREFIX) else None


def is_currency(text: str) -> bool:
    """Return whether ``text`` has the form of a currency code."""
    return _CURRENCY.fullmatch(text) is not None


def is_unit(text: str) -> bool:
    """Return whether ``text`` names a unit."""
    currency = currency_of(text)
    return text in {OPERATIONS, TOKENS} if currency is None else is_currency(currency)


def parse_stated(stated: Any, path: str) -> dict[str, int]:
    """Return the amounts that a request states, in whole units: ``{"operations": 1, "tokens": 4818, "USD": "0.0096"}``.

    Whole numbers, or decimal text; money as ``USD`` in units of the currency, or as ``pico_USD`` in pico-units. They may lie
    beyond `AMOUNT_MAX`, which is judged (`AMOUNT_OUT_OF_RANGE`), not refused.

    Raises:
        ContextError: an unknown unit; an amount that is negative, no number, or no whole number of its smallest unit; no
            operations at all; one unit twice.
    """
    if not isinstance(stated, Mapping):
        raise ContextError(path, 'is no mapping of units to amounts; write {"tokens": 4818}')
    amounts: dict[str, int] = {}
    for name, value in stated.items():
        place = f"{path}.{name}"
        if isinstance(name, str) and is_currency(name):
            unit, scale = money(name), PICO
        elif isinstance(name, str) and is_unit(name):
            unit, scale = name, 1
        else:
            raise ContextError(place, "is no unit; write operations, tokens, or a currency such as USD")
        if unit in amounts:
            raise ContextError(place, f"states `{unit}` a second time")
        amounts[unit] = _whole(value, scale, place)
    if amounts.get(OPERATIONS) == 0:
        raise ContextError(f"{path}.{OPERATIONS}", "is 0, and a request is for at least one; leave it out for 1")
    return amounts


def with_all_digits(value: Any, place: str) -> Any:
    """Return a stated number as decimal text, and what is no exact number as it stands: it is judged with the rest.

    Raises:
        ContextError: it is a float, or has more digits than anything that is counted.
    """
    if isinstance(value, float):
        raise ContextError(place, f'`{value}` is not exact; write a whole number, or decimal text as in "0.25"')
    # To write out a number of any length, or to convert 1E+999999999, takes hours.
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 10**DIGITS_MAX:
            raise _too_long(place)
        return int.__repr__(value)
    if isinstance(value, Decimal):
        if value.is_finite() and abs(value.adjusted()) >= DIGITS_MAX:
            raise _too_long(place)
        return f"{value:f}"
    return value


def _too_long(place: str) -> ContextError:
    return ContextError(place, f"has more than {DIGITS_MAX} digits, and no amount has; write it shorter")


def _whole(value: Any, scale: int, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        shown_as = str(value)[:DIGITS_MAX]
        raise ContextError(place, f'`{shown_as}` is not exact; write a whole number, or decimal text as in "0.25"')
    value = with_all_digits(value, place)
    if not isinstance(value, str) or re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII) is None:
        raise ContextError(place, f'`{str(value)[:DIGITS_MAX]}` is no number; write digits, as in "4818" or "0.25"')
    if len(value) > DIGITS_MAX:
        raise _too_long(place)
    try:
        numerator, denominator = Decimal(value).as_integer_ratio()
    except (InvalidOperation, OverflowError, ValueError):
        raise ContextError(place, f"`{value}` is no number") from None
    amount, rest = divmod(numerator * scale, denominator)
    if rest:
        raise ContextError(place, f"`{value}` is no whole number of the smallest unit; round it up yourself")
    if amount < 0:
        raise ContextError(place, f"`{value}` is negative; what was not used is settled, never reserved")
    return amount


def as_text(amounts: Amounts) -> dict[str, str]:
    """Return amounts as they stand in records: whole numbers as decimal text."""
    return {unit: str(amount) for unit, amount in amounts.items()}


def from_text(amounts: Mapping[str, str]) -> dict[str, int]:
    """Return amounts as they stand in records, as numbers.

    Raises:
        ValueError: one is no canonical decimal text.
    """
    return {unit: parse_amount(text) for unit, text in amounts.items()}


def parse_amount(text: str) -> int:
    """Return the whole number that canonical decimal text (no sign, no leading zero) states.

    Raises:
        ValueError: it is none.
    """
    amount = int(text)
    if str(amount) != text or amount < 0:
        message = f"`{text}` is no amount in canonical form"
        raise ValueError(message)
    return amount


def shown(amount: int, unit: str) -> str:
    """Return an amount for people: ``1,234 tokens``, ``12 operations``, ``0.0327 USD``."""
    currency = currency_of(unit)
    if currency is None:
        return f"{amount:,} {unit[:-1] if amount == 1 else unit}"
    whole, fraction = divmod(amount, PICO)
    decimals = f"{fraction:012d}".rstrip("0").ljust(2, "0")
    return f"{whole:,}.{decimals} {currency}"
