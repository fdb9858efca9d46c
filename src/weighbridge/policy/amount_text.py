"""Amounts as people write them in a policy: ``50/day``, ``2M tokens/plan``, ``$25``, ``$2.50/1M tokens``. Exact, or refused.

Everything is calculated with whole numbers (B2): ``k``, ``M`` and ``G`` are powers of ten, money becomes pico-units, and a number
that is no whole number of its smallest unit is a mistake, never rounded. A sign that stands for several currencies is none.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple

from weighbridge.domain.amounts import (
    AMOUNT_MAX,
    OPERATIONS,
    PICO,
    TOKENS,
    currency_of,
    is_currency,
    is_unit,
    money,
    shown,
)
from weighbridge.domain.caps import Period
from weighbridge.policy.mistakes import closest, listed

UNLIMITED: Final = "unlimited"

_SIGNS: Final = {"$": "USD", "€": "EUR", "£": "GBP"}
_SCALES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_UNIT_WORDS: Final = {"operation": OPERATIONS, OPERATIONS: OPERATIONS, "token": TOKENS, TOKENS: TOKENS}
_PERIOD_WORDS: Final = {"day": Period.DAY, "month": Period.MONTH, "plan": Period.PLAN}
_LENGTH_MAX: Final = 100  # characters of an amount: far beyond AMOUNT_MAX, and short enough to convert at once
_INTEGER_MAX: Final = 10**40  # of a bare number, likewise
_MISTAKEN_MAX: Final = 100  # a bare price per token below this is dollars for a million tokens that lost their sign

_AMOUNT = re.compile(
    r"(?P<sign>[^\w\s.,+/-]?)(?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(?P<scale>[kMG]?)(?: (?P<unit>[A-Za-z]+))?"
    r"(?:/(?P<per>\S.*))?",
    re.ASCII,
)
_SLIP = re.compile(r"(?P<number>\W?[0-9]+(?:\.[0-9]+)?)(?P<space> ?)(?P<scale>[kKMmGg])\b", re.ASCII)
_UNLIMITED = re.compile(rf"{UNLIMITED}(?: (?P<unit>[A-Za-z]+))?(?:/(?P<per>\S.*))?", re.ASCII)
_TOKENS = re.compile(r"(?:(?P<number>[1-9][0-9]*)(?P<scale>[kMG]?) )?tokens?", re.ASCII)
_DIGITS = re.compile(r"0|[1-9][0-9]*", re.ASCII)

CAP_FORMS: Final = (
    "a number, its unit and a period, as in 50/day, $25/month, 2M tokens/plan, unlimited operations/month"
)
SOFT_FORMS: Final = "a number and its unit, as in 40, $20, 1.5M tokens"
MAXIMUM_FORMS: Final = "a number, as in 2000, 2k tokens, $2"
PRICE_FORMS: Final = "money, as in $0.05 or 0.05 USD"
MODEL_PRICE_FORMS: Final = "money for tokens, as in $2.50/1M tokens or $0.0000025/token"
UNIT_FORMS: Final = "operations, tokens, or a currency by its code, as in USD"


class AmountError(ValueError):
    """What is wrong with an amount, and what to write."""

    def __init__(self, message: str, write: str) -> None:
        super().__init__(message)
        self.message = message
        self.write = write


class Stated(NamedTuple):
    """What an amount says. ``number`` None is unlimited; ``unit`` and ``per`` None: it does not say."""

    number: Fraction | None
    unit: str | None
    per: str | None


# --- Any amount -------------------------------------------------------------------------------------------------------


def read_amount(value: Any, forms: str) -> Stated:
    """Return what an amount says, in its own unit: money in units of the currency. ``forms`` is the advice where it says nothing.

    Raises:
        AmountError: it is no amount.
    """
    text = _text(value, forms)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        unlimited = _UNLIMITED.fullmatch(text)
        if unlimited is None:
            raise _unreadable(text, forms)
        return Stated(None, _unit_of("", unlimited["unit"], text), unlimited["per"])
    number = Fraction(match["number"]) * _SCALES[match["scale"]]
    return Stated(number, _unit_of(match["sign"], match["unit"], text), match["per"])


def _text(value: Any, forms: str) -> str:
    """Return the text of an amount. A number of the document names its text exactly (see the reader's check)."""
    if isinstance(value, float) and abs(value) < _INTEGER_MAX:
        value = format(Decimal(repr(value)), "f")
        value = value.removesuffix(".0")
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INTEGER_MAX:
        value = str(value)
    if not isinstance(value, str):
        raise AmountError("is no amount", forms)
    if len(value) > _LENGTH_MAX:
        raise AmountError(f"has {len(value)} characters; the limit is {_LENGTH_MAX}", forms)
    return value


def _unreadable(text: str, forms: str) -> AmountError:
    if text.startswith("-"):
        return AmountError(f"`{text}` is negative", forms)
    if re.match(r"\W?[0-9][0-9,_]*[,_][0-9]", text):
        return AmountError(f"`{text}` groups its digits", f"digits alone, or with k, M, G: {forms}")
    slip = _SLIP.match(text)
    if slip is not None:
        scale = (
            slip["scale"].upper() if slip["scale"] in "gG" else slip["scale"].lower() if slip["scale"] in "kK" else "M"
        )
        wrong = f"has a space before `{slip['scale']}`" if slip["space"] else f"has `{slip['scale']}` for `{scale}`"
        meaning = "k is a thousand, M a million, G a thousand million"
        return AmountError(f"`{text}` {wrong}: {meaning}", f"{slip['number']}{scale}{text[slip.end() :]}")
    if re.match(r"\W?[0-9.]+ ?[BT]\b", text):
        return AmountError(f"`{text}` is no amount: k is a thousand, M a million, G a thousand million", forms)
    return AmountError(f"`{text}` is no amount", forms)


def _unit_of(sign: str, word: str | None, text: str) -> str | None:
    if sign:
        if sign not in _SIGNS:
            raise AmountError(f"`{sign}` is not one currency's own sign", "the code after the number, as in 25 JPY")
        if word is not None:
            raise AmountError(f"`{text}` has a sign and a unit", f"{_SIGNS[sign]} as the sign or as the code, once")
        return money(_SIGNS[sign])
    if word is None or word in _UNIT_WORDS:
        return None if word is None else _UNIT_WORDS[word]
    if word in set("kKMmGg"):
        raise _unreadable(text, UNIT_FORMS)
    if is_currency(word):
        return money(word)
    raise AmountError(f"`{word}` is no unit", closest(word, _UNIT_WORDS) or _in_capitals(word) or UNIT_FORMS)


def _in_capitals(word: Any) -> str:
    """Return the advice for a word that is a currency's code but for its capitals, or an empty text."""
    code = word.upper() if isinstance(word, str) else ""
    return f"{code} in capitals for the currency, else operations or tokens" if is_currency(code) else ""


def whole(value: Any, number: Fraction, unit: str, *, pico: bool = False) -> int:
    """Return a number of a unit in its smallest units; ``pico``: a number of money is in pico-units already.

    ``value`` is what was written, for the message.

    Raises:
        AmountError: it is no whole number of them, or larger than any amount.
    """
    currency = currency_of(unit)
    amount = number * PICO if currency is not None and not pico else number
    if amount.denominator != 1:
        smallest = unit if currency is None else f"millionths of a millionth of a {currency}"
        raise AmountError(f"`{value}` is no whole number of {smallest}", "a number that is one; nothing is rounded")
    if amount > AMOUNT_MAX:
        raise AmountError("is larger than any amount can be (10**27 - 1 of the smallest unit)", "a smaller number")
    return int(amount)


# --- Units and periods ------------------------------------------------------------------------------------------------


def read_unit(value: Any) -> str:
    """Return the unit that a key or a value names: ``USD`` and ``pico_USD`` are both money.

    Raises:
        AmountError: it names none.
    """
    if isinstance(value, str):
        if is_currency(value):
            return money(value)
        if is_unit(value):
            return value
    guess = closest(value, (OPERATIONS, TOKENS)) if isinstance(value, str) else ""
    raise AmountError(f"`{value}` is no unit", guess or _in_capitals(value) or UNIT_FORMS)


def counts_alone(written: Any) -> bool:
    """Return whether a number without a unit may stand beside a unit that is ``written`` so: money says its currency."""
    return not (isinstance(written, str) and is_currency(written))


def read_period(per: str) -> Period:
    """Return the period that follows the slash of a cap.

    Raises:
        AmountError: it is none.
    """
    period = _PERIOD_WORDS.get(per)
    if period is None:
        raise AmountError(f"`{per}` is no period", closest(per, _PERIOD_WORDS) or f"one of {listed(_PERIOD_WORDS)}")
    return period


def in_unit(value: Any, unit: str, forms: str, *, alone: bool = True) -> int:
    """Return an amount that stands where the unit is known, in smallest units.

    A number without a unit counts where ``alone``; in pico-units, if the unit is money.

    Raises:
        AmountError: it is no amount of this unit.
    """
    stated = read_amount(value, forms)
    if stated.per is not None:
        raise AmountError(f"`{value}` has a period, and none belongs here", forms)
    if stated.number is None:
        raise AmountError("`unlimited` is no amount", f"{forms}, or leave the key out")
    if stated.unit is None and not alone:
        raise no_currency(value, unit)
    if stated.unit not in {None, unit}:
        raise AmountError(
            f"`{value}` is counted in {named(stated.unit)}, not in {named(unit)}", f"an amount in {named(unit)}"
        )
    return whole(value, stated.number, unit, pico=stated.unit is None)


def no_currency(value: Any, unit: str) -> AmountError:
    """Return the error for money that is written as a bare number."""
    number, slash, per = str(value).partition("/")
    return AmountError(f"`{value}` is money without its currency", f"{number} {currency_of(unit)}{slash}{per}")


def named(unit: str | None) -> str:
    """Return a unit for messages: its word, or the currency's code."""
    return "" if unit is None else currency_of(unit) or unit


def written(amount: int, unit: str) -> str:
    """Return smallest units as they can be written in a policy: ``2000 tokens``, ``0.05 USD``."""
    return shown(amount, unit).replace(",", "")


# --- Prices -----------------------------------------------------------------------------------------------------------


class Price(NamedTuple):
    """A price in pico-units; ``unit`` None where it does not say the currency."""

    pico: int
    unit: str | None


def read_price(value: Any) -> Price:
    """Return the price of one operation; digits in text are pico-units, as in an effective policy.

    Raises:
        AmountError: it is none.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return Price(whole(value, _digits(value), OPERATIONS), None)
    stated = read_amount(value, PRICE_FORMS)
    return _price(value, stated, Fraction(1), PRICE_FORMS) if stated.per is None else _refuse_price(value, PRICE_FORMS)


def read_token_price(value: Any) -> Price:
    """Return the price of one token; digits alone are pico-units, as in a price table that was imported.

    Raises:
        AmountError: it is none.
    """
    if type(value) is int and 0 < value < _MISTAKEN_MAX:
        raise AmountError(
            f"`{value}` would be {value} millionths of the currency for 1M tokens", f"money, as in ${value}/1M tokens"
        )
    if (isinstance(value, str) and _DIGITS.fullmatch(value)) or (type(value) is int and value >= 0):
        return Price(whole(value, _digits(_text(value, MODEL_PRICE_FORMS)), OPERATIONS), None)
    stated = read_amount(value, MODEL_PRICE_FORMS)
    count = _TOKENS.fullmatch(stated.per or "")
    if count is None:
        slip = _SLIP.match(stated.per or "")
        if slip is not None and slip["scale"] == "K":
            meant = f"{str(value).partition('/')[0]}/{slip['number']}k tokens"
            raise AmountError(f"`{value}` has `K` for `k`, a thousand", meant)
        return _refuse_price(value, MODEL_PRICE_FORMS)
    tokens = Fraction(count["number"] or 1) * _SCALES[count["scale"] or ""]
    return _price(value, stated, tokens, MODEL_PRICE_FORMS)


def _digits(text: str) -> Fraction:
    if len(text) > _LENGTH_MAX:
        raise AmountError(f"has {len(text)} digits", "a smaller number")
    return Fraction(int(text))


def _price(value: Any, stated: Stated, parts: Fraction, forms: str) -> Price:
    if stated.number is None or currency_of(stated.unit or "") is None or stated.unit is None:
        return _refuse_price(value, forms)
    return Price(whole(value, stated.number / parts, stated.unit), stated.unit)


def _refuse_price(value: Any, forms: str) -> Price:
    raise AmountError(f"`{value}` is no price here", forms)
