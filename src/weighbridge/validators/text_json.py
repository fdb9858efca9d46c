"""JSON inside text, read so that nothing can hide in it: a string that parses as an object or array is walked too (P2).

Whoever reads such a string later may be lenient, so this reader is: of two equal names both count, control characters and
NaN are let through, a byte order mark is skipped. It is exact about what decides a verdict: nesting is counted here, because
a parser's own limit differs between interpreters (G4).
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from weighbridge.errors import UsageError

STARTS: Final = frozenset("{[ \t\n\r\ufeff")
"""What a text that holds JSON begins with; all others need no second look."""

_SPACE: Final = " \t\n\r\ufeff"
# Strings whole, and whatever is no bracket; a quote that nothing closes goes alone, and what follows it counts.
_NO_BRACKETS: Final = r'"[^"\\]*(?:\\.[^"\\]*)*"|[^]\[{}"]+|"'
# A sign and 16 digits; longer integers are no JSON numbers here (RFC 8785) and stay text.
_INTEGER_LENGTH_MAX: Final = 17


class NestedTooDeep(UsageError):
    """Text that begins and ends like JSON nests deeper than anybody may walk."""


class Pairs(list[tuple[str, Any]]):
    """An object inside a text, with every pair that was written: of two equal names neither may hide the other."""


def parse(text: str, *, nesting_max: int) -> Any:
    """Return the object (`Pairs`) or array that ``text`` is, or None where it is neither.

    Raises:
        NestedTooDeep: its brackets nest deeper than ``nesting_max``, whether or not the rest is JSON.
    """
    text = text.strip(_SPACE)
    if len(text) < 2 or text[0] + text[-1] not in {"{}", "[]"}:  # noqa: PLR2004 - an opening and a closing bracket
        return None
    if text.count("[") + text.count("{") > nesting_max and _nesting(text) > nesting_max:
        raise NestedTooDeep
    try:
        return _decoder.decode(text)
    except ValueError:
        return None


def _nesting(text: str) -> int:
    deepest = depth = 0
    for bracket in re.sub(_NO_BRACKETS, "", text, flags=re.DOTALL):
        if bracket in "[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _integer(text: str) -> int | str:
    return int(text) if len(text) <= _INTEGER_LENGTH_MAX else text


_decoder = json.JSONDecoder(object_pairs_hook=Pairs, parse_int=_integer, parse_constant=str, strict=False)
