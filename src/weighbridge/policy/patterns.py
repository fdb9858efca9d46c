"""Regular expressions of value patterns (P3): RE2, which takes linear time whatever is written and whatever is read."""

from __future__ import annotations

from typing import Any, Final

import re2

LENGTH_MAX: Final = 2_000  # characters; a list of words longer than this belongs into several patterns
_MEMORY_MAX: Final = (
    8 << 20
)  # bytes for program and automaton: RE2's own default, written down because results hang on it

# Every position an expression without width can hold at: ends of text and line, and both sides of a word boundary.
_EMPTY_PROBES: Final = ("", "a", "-", "aa", "--", "a-", "-a", "a\na", "a\n-", "-\na", "-\n-", "a\n\na")


def compile_pattern(regex: str) -> Any:
    """Return the compiled RE2 expression; text is matched as UTF-8, case matters unless it says ``(?i)``.

    Raises:
        ValueError: no RE2 expression, too long, too large, or one that matches the empty text; the message says which.
    """
    if len(regex) > LENGTH_MAX:
        message = f"has {len(regex)} characters; the limit is {LENGTH_MAX}"
        raise ValueError(message)
    options = re2.Options()
    options.max_mem, options.log_errors = _MEMORY_MAX, False
    try:
        compiled = re2.compile(regex, options)
    except re2.error as error:
        message = f"is no RE2 expression: {_explanation(error)}"
        raise ValueError(message) from None
    for probe in _EMPTY_PROBES:
        if any(match.start() == match.end() for match in compiled.finditer(probe)):
            message = "matches the empty text, so it would find something in every value"
            raise ValueError(message)
    return compiled


def _explanation(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    text = text.removesuffix(": ").strip()
    if "perl operator" in text or "escape sequence" in text:
        return f"{text} (RE2 has no lookaround and no back-references)"
    return text
