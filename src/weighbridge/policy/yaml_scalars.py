"""What a scalar of a policy's text means, and which ones mean different things to different readers.

Plain scalars are read by the rules of JSON: `null`, `true`, `false`, decimal numbers that are kept exactly, and text. Everything
that YAML 1.1 and 1.2 read differently, or that only looks like text, is a complaint with the advice to quote it or to write it
out; the value is then `LEFT_OUT`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

LEFT_OUT: Final = object()
"""Stands for a value that could not be read and has been complained about."""

_INTEGER_MAX: Final = (1 << 53) - 1  # what RFC 8785 can write

Complaint = tuple[str, str] | None
"""What is wrong and what to write instead, or None."""

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?", re.ASCII)
_YAML_FLOAT_BOTH = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][+-][0-9]+)?", re.ASCII)
_BOOLEAN_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false"})
_TRUE_WORDS = frozenset({"y", "yes", "on", "true"})
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9].*)?", re.ASCII)
_OTHER_NUMBER = re.compile(
    r"[-+]?(?:0[0-7_]+|0o[0-7]+|0x[0-9a-fA-F_]+|0b[01_]+|[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?"
    r"|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?)",
    re.ASCII,
)

_OTHER_FORMS: Final = (
    (_SEXAGESIMAL, "is a number to base 60 in YAML 1.1"),
    (_TIMESTAMP, "is a date to some YAML readers and text to others"),
    (_OTHER_NUMBER, "is read as different numbers, or as text, by different readers"),
)
_OTHER_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (".inf", "+.inf", "-.inf", ".nan", "nan", "inf", "-inf", "infinity", "-infinity"),
        "`{}` is no number that a policy can hold",
    ),
    **dict.fromkeys(("=", "<<"), "`{}` has a meaning of its own in YAML 1.1"),
    "null": "`{}` is null to some YAML readers and text to others",
}


def read_text(text: str) -> tuple[Any, Complaint]:
    """Return the text of a quoted or block scalar, or a complaint about what may not stand in it."""
    if "\0" in text:
        return LEFT_OUT, ("text holds a NUL character", "text without it")
    try:
        # JSON escapes what lies beyond the basic plane as two surrogates, which YAML reads as two characters.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le"), None
    except UnicodeDecodeError:
        return LEFT_OUT, ("text holds half of a surrogate pair", "the character itself")


_WORDS: Final = {"null": None, "~": None, "true": True, "false": False}


def read_plain(text: str, *, is_json: bool) -> tuple[Any, Complaint]:
    """Return the value of a plain scalar, or a complaint. In JSON an exponent needs no point."""
    if not text:
        return LEFT_OUT, ("nothing is written here", 'a value: text, a number, [], {}, "" or null')
    if text in _WORDS:
        return _WORDS[text], None
    if _JSON_NUMBER.fullmatch(text) and (is_json or not _exponent_differs(text)):
        return _number(text)
    complaint = _surprise(text)
    return (LEFT_OUT, complaint) if complaint is not None else read_text(text)


def _exponent_differs(text: str) -> bool:
    """Return whether YAML 1.1 takes this number for text: it wants a point and a sign around an exponent."""
    return "e" in text.lower() and not _YAML_FLOAT_BOTH.fullmatch(text)


def _number(text: str) -> tuple[Any, Complaint]:
    if not set(text) & set(".eE"):
        whole = int(text) if len(text) <= len(str(_INTEGER_MAX)) + 1 else _INTEGER_MAX + 1
        if abs(whole) > _INTEGER_MAX:
            return LEFT_OUT, (f"`{text}` is beyond 2**53 - 1, more than a JSON number keeps", f'"{text}"')
        return whole, None
    value = float(text)
    if not math.isfinite(value):
        return LEFT_OUT, (f"`{text}` is larger than any number kept", "a smaller number")
    if Decimal(repr(value)) != Decimal(text):
        return LEFT_OUT, (f"`{text}` has more digits than a number keeps (it would become {value!r})", f"{value!r}")
    if abs(value) > _INTEGER_MAX:
        return LEFT_OUT, (f"`{text}` is beyond 2**53 - 1", "a smaller number")
    return value, None


def _surprise(text: str) -> Complaint:
    """Return what is wrong with a plain scalar that some YAML reader takes for something else than text."""
    quoted, folded = f'"{text}"', text.lower()
    if folded in _BOOLEAN_WORDS:
        meaning = "true" if folded in _TRUE_WORDS else "false"
        return f"`{text}` is {meaning} to some YAML readers and text to others", f"{quoted} for text, or {meaning}"
    if folded in _OTHER_WORDS:
        return _OTHER_WORDS[folded].format(text), f"{quoted} for text"
    for form, meaning in _OTHER_FORMS:
        if form.fullmatch(text):
            return f"`{text}` {meaning}", f"{_decimal(text)}{quoted} for text"
    return None


def _decimal(text: str) -> str:
    plain = text.replace("_", "").lstrip("+")
    try:
        number = Decimal(plain)
    except ArithmeticError:
        return ""
    whole = number == number.to_integral_value()
    return f"{int(number) if whole and abs(number) <= _INTEGER_MAX else number} for a number, or "
