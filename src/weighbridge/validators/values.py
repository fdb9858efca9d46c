"""How values are compared: typed, exact, and never by guessing (C1, C2, R5).

JSON has one kind of number: 1 equals 1.0. Nothing else crosses a type: true is not 1, and the text "1" is not the number 1.
Arithmetic is exact on the decimal text of a number, so that 0.3 is three tenths and no more.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.decision import Sealed
from weighbridge.domain.instant import parse_instant

SHOWN_TEXT_MAX = 200
"""Characters of a text that details show; a longer one is people's free text and is kept by content hash (L6)."""

_TRUE: Final = ("boolean", True)
_FALSE: Final = ("boolean", False)
_DATE_LENGTH: Final = len("2026-11-22")
_DECIMAL = r"(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?"

Exact = tuple[int, int]
"""A number as ``(n, e)``, meaning n * 10**e."""

Fraction = tuple[int, int]
"""A number as ``(top, bottom)``; a tuple, because the standard class costs more to import than all of this file."""


def typed_key(value: Any) -> Any:
    """Return a hashable stand-in: two JSON values are the same exactly when their keys are equal."""
    kind = type(value)
    if kind is str or kind is int or kind is float or value is None:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    if isinstance(value, str):
        return str(value)
    return ("json", canonical.encode(value))


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal in type and value."""
    return bool(typed_key(one) == typed_key(other))


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a JSON number; true and false are not."""
    kind = type(value)
    return kind is int or kind is float


def exact(number: Any) -> Exact:
    """Return the exact decimal value of a number (or of its decimal text).

    Raises:
        ValueError: it is no decimal number.
    """
    if isinstance(number, int):
        return number, 0
    match = re.fullmatch(_DECIMAL, repr(number) if isinstance(number, float) else str(number), re.ASCII)
    if match is None:
        message = f"`{number}` is no decimal number"
        raise ValueError(message)
    sign, whole, fraction, exponent = match.groups()
    digits = int(f"{sign}{whole}{fraction or ''}")
    return digits, int(exponent or 0) - len(fraction or "")


def within(number: Any, base: Any, limit: Fraction, *, percent: bool) -> bool:
    """Return whether ``|number - base|`` is at most ``limit``, or at most ``limit`` percent of ``|base|``; exactly."""
    top, bottom = limit
    if percent:
        bottom *= 100
    if type(number) is not int or type(base) is not int:
        (number, n_exponent), (base, b_exponent) = exact(number), exact(base)
        shared = min(n_exponent, b_exponent)
        number, base = number * 10 ** (n_exponent - shared), base * 10 ** (b_exponent - shared)
        if not percent:  # a percentage is of what was scaled alike
            top, bottom = (top, bottom * 10**shared) if shared > 0 else (top * 10**-shared, bottom)
    return bool(abs(number - base) * bottom <= (top * abs(base) if percent else top))


def fraction(number: Any) -> Fraction:
    """Return an exact decimal number as a fraction of whole numbers."""
    digits, exponent = exact(number)
    return (digits * 10**exponent, 1) if exponent > 0 else (digits, 10**-exponent)


def instant_of(value: Any) -> int | None:
    """Return the instant of an RFC 3339 text, or of a date (its midnight in UTC); None where it names neither."""
    if isinstance(value, str) and len(value) == _DATE_LENGTH:
        return _midnight(value)
    return parse_instant(value)


@functools.lru_cache(maxsize=4096)  # as instants: one state is asked about many times
def _midnight(date: str) -> int | None:
    return parse_instant(f"{date}T00:00:00Z")


def shown(value: Any, *, personal: bool) -> Any:
    """Return ``value`` as details may hold it: `Sealed` where it is personal, people's free text, or not a single value.

    A list or an object is sealed because details cannot know which of its fields are personal (C3, L6).
    """
    if personal or isinstance(value, (dict, list, tuple)) or (isinstance(value, str) and len(value) > SHOWN_TEXT_MAX):
        return Sealed(value)
    return value
