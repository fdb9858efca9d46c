"""JSON text from outside, read strictly: what two readers could understand differently is refused, never repaired.

Refused are keys that stand twice in one object (readers disagree which one counts), NaN and infinities, numbers no double can
hold, bytes that are not UTF-8, and nesting beyond `NESTING_MAX`, which is one number here and would otherwise be another on
every interpreter. What is left to `canonical`: lone surrogates and integers beyond 2**53 - 1.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from weighbridge.errors import ContextError

NESTING_MAX = 200
"""Above the depth of 64 at which validators answer `TOO_COMPLEX` (P2), below every interpreter's own limit."""

_KEY_SHOWN_MAX = 40  # enough to find it, too little to flood a terminal
_OUTSIDE_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[^][{}"]+', re.DOTALL)


def parse_strict(data: bytes) -> Any:
    """Return the value of one JSON text.

    Raises:
        ContextError: the text is not one JSON value, or one that readers could understand differently. The message says
            what is wrong, and where in the text, and repeats nothing of it but a key.
    """
    if _depth_exceeds(data):
        raise ContextError("", f"is nested more than {NESTING_MAX} levels deep; flatten it")
    try:
        return _decoder.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ContextError("", f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from None
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise ContextError("", f"is not JSON: {message} at character {error.pos + 1}") from None
    except RecursionError:
        raise ContextError("", f"is nested more than {NESTING_MAX} levels deep; flatten it") from None
    except ValueError:  # an integer of thousands of digits, which the interpreter refuses to convert
        raise ContextError("", "holds an integer beyond 2**53 - 1; send it as text") from None


def _depth_exceeds(data: bytes) -> bool:
    """Return whether brackets outside strings nest too deep. Most texts hold too few brackets to need the count."""
    if data.count(b"[") + data.count(b"{") <= NESTING_MAX:
        return False
    depth = 0
    for bracket in _OUTSIDE_STRINGS.sub(b"", data):
        depth += 1 if bracket in b"[{" else -1
        if depth > NESTING_MAX:
            return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of ``pairs``, each key of which stands once."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ContextError("", f"holds the key `{twice[:_KEY_SHOWN_MAX]}` twice in one object; keep one")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ContextError("", "holds a number too large for a double; send it as text")
    return number


def _no_number(text: str) -> float:
    raise ContextError("", f"holds `{text}`, which is no JSON number; leave the field out or send null")


_decoder = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_number)
