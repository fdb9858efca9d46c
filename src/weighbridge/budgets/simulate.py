"""What recorded operations would have met under other caps. Pure; the same kernel as when they were decided, and no writing.

`Simulation` is given what is on record in commit order: decisions (`Asked`) and reports of use (`Reported`). It begins as the
activation of the other policy would have (B14): what lies before it counts as it was recorded. From then on every operation is
weighed anew, those that were blocked included, with the amounts, the class, the account, plan and tool and the evaluation
time that are on record. So amounts are as prices and class maxima gave them then, and what was blocked for another reason than
its caps (an unknown operation, a clock that stepped back) stays blocked.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Mapping

import msgspec

from weighbridge.budgets.caps import Applicable, applicable
from weighbridge.budgets.decide import Counter, Weighed, weigh
from weighbridge.budgets.periods import period_keys, period_of
from weighbridge.domain.amounts import Amounts, CostClass
from weighbridge.domain.caps import Cap, counter_name
from weighbridge.domain.decision import BudgetDecision, CapUsage, Finding
from weighbridge.domain.verdict import Verdict


class Asked(msgspec.Struct, frozen=True):
    """One decision on record, with what it was taken from."""

    seq: int
    operation_id: str
    operation: str
    cost_class: CostClass | None
    account: str | None
    plan: str | None
    amounts: Amounts
    at_ms: int
    verdict: Verdict
    reason: str
    justified: bool = False
    findings: tuple[Finding, ...] = ()
    assumed: tuple[str, ...] = ()


class Reported(msgspec.Struct, frozen=True):
    """What an operation really consumed, and what was given back of it under the caps of then."""

    seq: int
    at_ms: int
    operation_id: str
    consumed: Amounts
    released: Amounts


class Answer(msgspec.Struct, frozen=True):
    """What one operation would have met, beside what it met."""

    asked: Asked
    decision: BudgetDecision

    @property
    def changed(self) -> bool:
        """Return whether the verdict is another one."""
        return self.decision.verdict is not self.asked.verdict


class CapOutcome:
    """What became of the operations that fell under one cap. ``verdicts`` are the cap's own, whatever the others said."""

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.verdicts: Count[Verdict] = Count()
        self.counters: set[str] = set()
        self.first_blocked: Answer | None = None


class _Held(msgspec.Struct, frozen=True):
    """What was reserved for an operation that may settle, and under which counters: as recorded, or as a cap opted in."""

    applicable: Applicable
    counters: tuple[str, ...]
    amounts: Amounts
    as_recorded: bool


class Simulation:
    """Recorded operations under other caps. ``zones`` is the text form of the zone that the other policy counts in.

    ``from_ms`` and ``to_ms`` limit what is weighed, by evaluation time: from the first instant to before the second. Feed it
    with `ask` and `report` in commit order; the rest are results.
    """

    def __init__(
        self, caps: tuple[Cap, ...], zones: str, *, from_ms: int | None = None, to_ms: int | None = None
    ) -> None:
        self._caps, self._zones = caps, zones
        self._from_ms, self._to_ms = from_ms, to_ms
        self._held: dict[str, _Held] = {}
        self.counters: dict[str, Counter] = {}
        self.by_cap: dict[str, CapOutcome] = {cap.id: CapOutcome(cap) for cap in caps}
        self.outcomes: Count[tuple[Verdict, str]] = Count()
        self.recorded: Count[tuple[Verdict, str]] = Count()
        self.changes: Count[tuple[Verdict, str, Verdict, str]] = Count()
        self.spent: Count[str] = Count()
        self.spent_then: Count[str] = Count()
        self.first_blocked: Answer | None = None
        self.before: int = 0
        """How many operations lie before the period and count as they were recorded."""

    def ask(self, asked: Asked) -> Answer | None:
        """Weigh an operation; None for one outside the period, which counts as recorded if it lies before."""
        if self._to_ms is not None and asked.at_ms >= self._to_ms:
            return None
        keys = period_keys(self._zones, asked.at_ms)
        values = {"account": asked.account, "plan": asked.plan, "tool": asked.operation}
        found = () if asked.cost_class is None else applicable(self._caps, asked.cost_class, values)
        names = tuple(counter_name(cap.unit, period_of(keys, cap.period), tail) for cap, tail in found)
        if self._from_ms is not None and asked.at_ms < self._from_ms:
            self.before += 1
            if asked.verdict is not Verdict.BLOCK:
                self._reserve(asked, found, names, as_recorded=True)
            return None
        used = [(cap, self.counters.get(name, Counter())) for (cap, _), name in zip(found, names, strict=True)]
        reasons = [finding.reason for finding in asked.findings]
        weighed = weigh(used, asked.amounts, justified=asked.justified, findings=reasons)
        if weighed.verdict is not Verdict.BLOCK:
            self._reserve(asked, found, names, as_recorded=False)
        answer = Answer(asked, _decision(asked, weighed, names, keys))
        self._count(answer)
        return answer

    def report(self, reported: Reported) -> None:
        """Give back what turned out not to be used, where a cap opts in (B7); before the period, what was given back then."""
        held = self._held.pop(reported.operation_id, None)
        if held is None:
            return
        if held.as_recorded:
            released: Mapping[str, int] = reported.released
        else:
            used = reported.consumed
            released = {unit: had - used[unit] for unit, had in held.amounts.items() if used.get(unit, had) < had}
        for name, unit in _once(held.applicable, held.counters).items():
            before = self.counters.get(name)
            if before is not None and released.get(unit):
                self.counters[name] = Counter(before.reserved, before.settled + released[unit])

    def _reserve(self, asked: Asked, found: Applicable, names: tuple[str, ...], *, as_recorded: bool) -> None:
        for name, unit in _once(found, names).items():
            amount = asked.amounts.get(unit)
            if amount:
                before = self.counters.get(name, Counter())
                self.counters[name] = Counter(before.reserved + amount, before.settled)
        if as_recorded or any(cap.settles for cap, _ in found):
            self._held[asked.operation_id] = _Held(found, names, asked.amounts, as_recorded)

    def _count(self, answer: Answer) -> None:
        asked, decision = answer.asked, answer.decision
        self.outcomes[decision.verdict, decision.reason] += 1
        self.recorded[asked.verdict, asked.reason] += 1
        if answer.changed:
            self.changes[asked.verdict, asked.reason, decision.verdict, decision.reason] += 1
        if decision.verdict is not Verdict.BLOCK:
            self.spent.update(asked.amounts)
        elif self.first_blocked is None:
            self.first_blocked = answer
        if asked.verdict is not Verdict.BLOCK:
            self.spent_then.update(asked.amounts)
        for said in decision.caps:
            outcome = self.by_cap[said.cap]
            outcome.verdicts[said.verdict] += 1
            outcome.counters.add(said.counter)
            if said.verdict is Verdict.BLOCK and outcome.first_blocked is None:
                outcome.first_blocked = answer


def _once(found: Applicable, names: tuple[str, ...]) -> dict[str, str]:
    """Return every counter once, and its unit: two caps over the same things share one, which moves once."""
    return {name: cap.unit for (cap, _), name in zip(found, names, strict=True)}


def _decision(asked: Asked, weighed: Weighed, names: tuple[str, ...], keys: tuple[str, str]) -> BudgetDecision:
    return BudgetDecision(
        verdict=weighed.verdict,
        reason=weighed.reason,
        operation=asked.operation,
        cost_class=None if asked.cost_class is None else asked.cost_class.value,
        amounts=dict(asked.amounts),
        period={"DAY": keys[0], "MONTH": keys[1]},
        caps=tuple(
            CapUsage(
                cap=one.cap.id,
                counter=name,
                unit=one.cap.unit,
                hard_cap=one.cap.hard_cap,
                usage_before=one.before,
                verdict=one.verdict,
                reason=one.reason,
                soft_cap=one.cap.soft_cap,
                usage_after=one.after,
            )
            for one, name in zip(weighed.caps, names, strict=True)
        ),
        findings=asked.findings,
        assumed=asked.assumed,
    )
