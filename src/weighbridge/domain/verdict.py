"""ALLOW, WARN and BLOCK, and the one way to combine them."""

from __future__ import annotations

import enum
from collections.abc import Iterable


class Verdict(enum.StrEnum):
    """What a validator, a gate or a budget answers. Ordered by ``severity``: ALLOW < WARN < BLOCK."""

    ALLOW = "ALLOW"
    WARN = "WARN"
    BLOCK = "BLOCK"

    @property
    def severity(self) -> int:
        """Return 0 for ALLOW, 1 for WARN, 2 for BLOCK."""
        return _SEVERITY[self]


_SEVERITY = {Verdict.ALLOW: 0, Verdict.WARN: 1, Verdict.BLOCK: 2}


def strictest(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the strictest verdict; ALLOW of none at all, so callers refuse emptiness themselves (G5)."""
    return max(verdicts, key=_SEVERITY.__getitem__, default=Verdict.ALLOW)
