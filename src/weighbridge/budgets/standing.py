"""How far every cap is used, at one moment: caps and counters to standings, the most used first. Pure.

A cap over "each" account has one standing for each account that anything fell under; a cap that nothing fell under has one with
no usage, so that no cap is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from weighbridge.budgets.decide import Counter
from weighbridge.budgets.periods import period_of
from weighbridge.domain.caps import Cap, counter_name, parse_counter
from weighbridge.domain.verdict import Verdict

_SHARES = 10**9  # fine enough to tell any two bars apart


class Standing(msgspec.Struct, frozen=True):
    """One cap and one of its counters; ``counter`` None where a cap over "each" has none yet. ``period`` is its key.

    ``kept`` is what was given back and counts all the same, because the cap does not settle (B7).
    """

    cap: Cap
    counter: str | None
    period: str
    usage: int
    kept: int = 0

    @property
    def scope(self) -> dict[str, str | None]:
        """Return whom it counts, as ``{"account": "a-1"}``; None is ``(none)``, or "each" where there is no counter yet."""
        return dict(self.cap.scope if self.counter is None else parse_counter(self.counter).scope)

    @property
    def left(self) -> int | None:
        """Return what may still be reserved; None where it is unlimited."""
        return None if self.cap.hard_cap is None else max(0, self.cap.hard_cap - self.usage)

    @property
    def percent(self) -> int | None:
        """Return the share of the hard cap that is used, rounded down: 100 only when it is full. None: it is unlimited."""
        if self.cap.hard_cap is None:
            return None
        return self.usage * 100 // self.cap.hard_cap if self.cap.hard_cap else 100

    @property
    def verdict(self) -> Verdict:
        """Return what the least that can be asked for would meet, with a reason where one is demanded."""
        hard, soft = self.cap.hard_cap, self.cap.soft_cap
        if hard is not None and self.usage >= hard:
            return Verdict.BLOCK
        return Verdict.WARN if soft is not None and self.usage >= soft else Verdict.ALLOW

    @property
    def share(self) -> int:
        """Return how far it is used, to order by; one without a limit comes after all that have one."""
        hard = self.cap.hard_cap
        if hard is None:
            return -1
        return self.usage * _SHARES // hard if hard else _SHARES


def standings(
    caps: Iterable[Cap], counters: Mapping[str, Counter], keys: tuple[str, str]
) -> list[tuple[Cap, list[Standing]]]:
    """Return every cap with its standings in the periods of these keys, the fullest first in both; by id where equal."""
    wanted = {(cap.unit, period_of(keys, cap.period), cap.classes) for cap in caps}
    rows: dict[tuple[str, str, str], list[str]] = {parts: [] for parts in wanted}
    for name in counters:
        unit, period, classes, *_ = name.split(" ", 3)
        if (unit, period, classes) in rows:
            rows[unit, period, classes].append(name)
    found = []
    for cap in caps:
        period = period_of(keys, cap.period)
        names = [name for name in rows[cap.unit, period, cap.classes] if _counts(cap, name)]
        own = [_standing(cap, name, period, counters[name]) for name in names]
        found.append(
            (cap, sorted(own or [_unused(cap, period)], key=lambda one: (-one.share, -one.usage, one.counter)))
        )
    return sorted(found, key=lambda item: (-item[1][0].share, item[0].id))


def _counts(cap: Cap, counter: str) -> bool:
    """Return whether a counter of the cap's unit, period and classes is the cap's."""
    scope = parse_counter(counter).scope
    if [field for field, _ in scope] != [field for field, _ in cap.scope]:
        return False
    return all(wanted is None or wanted == value for (_, wanted), (_, value) in zip(cap.scope, scope, strict=True))


def _standing(cap: Cap, name: str, period: str, counter: Counter) -> Standing:
    return Standing(cap, name, period, counter.usage(cap), 0 if cap.settles else counter.settled)


def _unused(cap: Cap, period: str) -> Standing:
    fixed = all(value is not None for _, value in cap.scope)
    counter = counter_name(cap.unit, period, cap.counter_tail(dict(cap.scope))) if fixed else None
    return Standing(cap, counter, period, 0)
