"""Where a value stands in a text as a whole, by a fixed table of code points (R5).

A value stands in a text when some occurrence of it is bounded on both sides: by the start or end of the text, white space,
a quote or a bracket, or, after it, by closing punctuation that one of these follows. So ``bob@example.org`` stands in
``write to <bob@example.org>.`` and does not stand in ``bob@example.org.evil.example``. The table is part of the validator's
version: it never depends on the Unicode tables of an interpreter.
"""

from __future__ import annotations

from typing import Final

WHITE_SPACE: Final = frozenset(
    "\u0009\u000a\u000b\u000c\u000d\u0020\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
QUOTES: Final = frozenset(
    "\"'`\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\u300c\u300d\u300e\u300f\u301d\u301e\u301f"
    "\uff02\uff07\uff62\uff63"
)
BRACKETS: Final = frozenset(
    "()[]{}<>\u2329\u232a\u27e8\u27e9\u27ea\u27eb\u3008\u3009\u300a\u300b\u3010\u3011\u3014\u3015\u3016\u3017\u3018\u3019"
    "\u301a\u301b\uff08\uff09\uff1c\uff1e\uff3b\uff3d\uff5b\uff5d\uff5f\uff60"
)
CLOSING_PUNCTUATION: Final = frozenset(".,;:!?\u2026\u3001\u3002\uff01\uff0c\uff0e\uff1a\uff1b\uff1f\uff61\uff64")

_BOUNDS: Final = WHITE_SPACE | QUOTES | BRACKETS


def stands_in(value: str, text: str) -> bool:
    """Return whether ``value`` stands in ``text`` between boundaries. The empty text stands nowhere."""
    if not value:
        return False
    start = text.find(value)
    while start >= 0:
        if (start == 0 or text[start - 1] in _BOUNDS) and _ends(text, start + len(value)):
            return True
        start = text.find(value, start + 1)
    return False


def _ends(text: str, end: int) -> bool:
    size = len(text)
    while end < size and text[end] in CLOSING_PUNCTUATION:
        end += 1
    return end == size or text[end] in _BOUNDS
