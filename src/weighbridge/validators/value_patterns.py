"""Value patterns: does a text hold what an expression finds or a checksum confirms (P3)?

Exact, listed, versioned; no scoring. A pattern is an RE2 expression, a checksum, or both: then each place the expression
finds is a candidate, and one that checks is enough. A checksum alone takes the whole value as its one candidate.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Final

import re2

from weighbridge import canonical
from weighbridge.policy.effective import ValuePattern
from weighbridge.validators.checksums import checksum

# White space, hyphens and dashes, full stops: what people put between the groups of a number. A fixed table (G4).
_SEPARATORS: Final = "[\t\n\v\f\r \x85\xa0\u2000-\u200a\u2028\u2029\u202f\u205f\u3000.\\-\u2010-\u2015]+"


def text_of(value: Any) -> str | None:
    """Return the text a pattern searches: a text itself, a number's canonical form, nothing of true, false and null."""
    if isinstance(value, str):
        # A text that came out of JSON in a text may hold half a surrogate pair, which no encoding knows.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool):
        return None
    return canonical.encode(value).decode()


def matches(pattern: ValuePattern, text: str) -> bool:
    """Return whether ``text`` holds what the pattern looks for.

    With ``strip_separators`` a candidate is checked without what people write between groups of digits. An expression that
    no checksum follows has no candidates to strip; it looks at the text as it stands and at the text without separators.
    """
    if "nfkc" in pattern.normalise:
        text = _compatible(text)
    strips = "strip_separators" in pattern.normalise
    if pattern.checksum is None:
        return _finds(pattern, text) or (strips and _finds(pattern, _without_separators(text)))
    checks = checksum(pattern.checksum)
    return any(checks(_without_separators(one) if strips else one) for one in _candidates(pattern, text))


def _finds(pattern: ValuePattern, text: str) -> bool:
    return next(_candidates(pattern, text), None) is not None


class Sieve:
    """One search over all texts of a request at once, which says that none of several patterns finds anything in any.

    Nearly every request is clean, and searching is cheaper than asking text by text. The texts stand in lines: an edge of a
    text is an edge of a line, for ``^`` and ``$`` (in multi-line mode) and for word boundaries alike, so a pattern that finds
    something in a text finds it in its line. Patterns that may speak of the whole text otherwise are not `siftable`.
    """

    __slots__ = ("_expressions",)

    def __init__(self, patterns: Iterable[ValuePattern]) -> None:
        by_form: dict[bool, list[str]] = {}
        for pattern in patterns:
            by_form.setdefault("nfkc" in pattern.normalise, []).append(f"(?m:{pattern.regex})")
        self._expressions = [(form, _alternatives(parts)) for form, parts in by_form.items()]

    def lets_pass(self, texts: list[str]) -> bool:
        """Return whether a pattern may find something; False is certain."""
        joined = "\n".join(texts)
        for compatible, expression in self._expressions:
            data = (_compatible(joined) if compatible else joined).encode()
            if expression is None or expression.search(data) is not None:
                return True
        return False


def is_siftable(pattern: ValuePattern) -> bool:
    """Return whether a `Sieve` can speak for the pattern."""
    if pattern.regex is None or (pattern.checksum is None and "strip_separators" in pattern.normalise):
        return False
    return re.search(_WHOLE_TEXT, pattern.regex) is None


# Begin and end of the whole text, a group that may switch multi-line mode off, and text taken literally.
_WHOLE_TEXT: Final = r"\\[AzZQC]|\(\?[A-Za-z]*-"


def _alternatives(expressions: list[str]) -> Any:
    """Return one expression for several, or None where together they are too large."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile("|".join(expressions).encode(), options)
    except re2.error:
        return None


def _candidates(pattern: ValuePattern, text: str) -> Iterator[str]:
    if pattern.regex is None:
        yield text
    else:
        for match in pattern.compiled.finditer(text):
            yield match.group()


def _without_separators(text: str) -> str:
    return re.sub(_SEPARATORS, "", text)


def _compatible(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", text)
