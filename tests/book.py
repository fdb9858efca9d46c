"""A naive book of budgets that stores are held against: a list of what was reserved, and sums over all of it, every time.

It shares no code with the kernel or the fold: no counters that are moved, no cells, no families of caps, no transactions. What a
history is made of are `Step`s; each becomes one submission, and carries its name as ``step_id`` into the record, so that whoever
reads a ledger knows which step a record came from, also after a crash.
"""

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from weighbridge.canonical import keyed_hash
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Cap, Period
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger import record
from weighbridge.ledger.submission import Submission
from weighbridge.testing.submissions import NOW_MS, SKEW_MS, cap, completion, decision, draft, ended, reservation, usage

TENANTS = ("acme", "globex")
_QUARTER_MS = 900_000  # every offset in use is a multiple of 15 minutes


def _scope(**values: str | None) -> tuple[tuple[str, str | None], ...]:
    return tuple(values.items())


POLICIES: tuple[tuple[str, tuple[Cap, ...]], ...] = (
    (
        "UTC",
        (
            cap("account-tokens", 5000, unit="tokens", period=Period.MONTH, scope=_scope(account=None), settles=True),
            cap("account-kept", 6000, unit="tokens", period=Period.MONTH, scope=_scope(account=None), soft=2500),
            cap("day", 16, soft=8),
        ),
    ),
    (
        "UTC",
        (
            cap("day", 12),
            cap("expensive", 5, classes=[CostClass.EXPENSIVE]),
            cap("one", 1800, unit="tokens", scope=_scope(account="a-1"), settles=True, soft=600),
            cap("plan", 30, period=Period.PLAN, scope=_scope(plan=None)),
        ),
    ),
    (
        "Europe/Berlin",
        (
            cap("other-id", 16, soft=8),
            cap(
                "tool-tokens",
                9000,
                unit="tokens",
                period=Period.MONTH,
                scope=_scope(account=None, tool="llm"),
                justification=True,
            ),
        ),
    ),
    (
        "America/New_York",
        (
            cap("month", None, period=Period.MONTH, soft=12),
            cap("most", 9, classes=[CostClass.CHEAP, CostClass.EXPENSIVE], scope=_scope(tool=None)),
            cap("tokens", 2500, unit="tokens", scope=_scope(account=None), settles=True),
        ),
    ),
)
"""Policies that take turns: families that stay, leave, come back and share counters, in three zones."""


@dataclass(frozen=True)
class Step:
    """One thing that somebody asks of a store. ``policy`` is an index of POLICIES, or None for a policy without budgets."""

    name: str
    tenant: str = TENANTS[0]
    at_ms: int = NOW_MS
    supplied: bool = False

    def made(self, key: bytes) -> Submission:
        raise NotImplementedError

    def submission(self, key: bytes) -> Submission:
        """Return what to hand to a store; ``key`` is the tenant's."""
        made = self.made(key)
        return msgspec.structs.replace(made, common=made.common | {"step_id": self.name})

    def given(self) -> dict[str, Any]:
        return {"tenant": self.tenant, "at_ms": self.at_ms}


@dataclass(frozen=True)
class Ask(Step):
    """A request for the operation of the same name, with a run beside it where ``gate`` says what that found."""

    policy: int = 0
    amounts: tuple[tuple[str, int], ...] = (("operations", 1),)
    account: str | None = "a-1"
    plan: str | None = None
    tool: str = "llm"
    cost_class: CostClass = CostClass.CHEAP
    justification: str | None = None
    gate: Verdict | None = None

    def made(self, key: bytes) -> Submission:
        zone, caps = POLICIES[self.policy]
        why = None if self.justification is None else keyed_hash(key, self.justification.encode())
        return reservation(
            self.name,
            caps,
            *(() if self.gate is None else (draft(f"run-{self.name}", verdict=self.gate),)),
            amounts=dict(self.amounts),
            account=self.account,
            plan=self.plan,
            tool=self.tool,
            cost_class=self.cost_class,
            zone=zone,
            justification=why,
            contents=() if why is None or self.justification is None else [(why, self.justification.encode())],
            time_source="supplied" if self.supplied else "clock",
            **self.given(),
        )


@dataclass(frozen=True)
class Tell(Step):
    """A report on an operation: that it ended in ``state``, what it used, or both."""

    operation: str = ""
    state: str | None = None
    used: tuple[tuple[str, int], ...] | None = None

    def made(self, key: bytes) -> Submission:
        if self.used is None:
            return completion(self.operation, self.state or "COMPLETED", **self.given())
        if self.state is None:
            return usage(self.operation, dict(self.used), **self.given())
        return ended(self.operation, dict(self.used), self.state, **self.given())


@dataclass(frozen=True)
class Look(Step):
    """A run that stands alone, with content, under a policy without budgets: every family of caps leaves."""

    body: bytes = b"seen"

    def made(self, key: bytes) -> Submission:
        content_hash = keyed_hash(key, self.body)
        run = draft(f"run-{self.name}", content=content_hash)
        return decision(run, contents=[(content_hash, self.body)], **self.given())


# --- Calendars ---------------------------------------------------------------------------------------------------------


def local(instant_ms: int, zone: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(instant_ms // 1000, dt.UTC).astimezone(ZoneInfo(zone))


def day_of(instant_ms: int, zone: str) -> str:
    return local(instant_ms, zone).strftime("%Y-%m-%d")


def month_of(instant_ms: int, zone: str) -> str:
    return local(instant_ms, zone).strftime("%Y-%m")


class Zones:
    """The zone that counts, for days or for months: another one begins with the next period, found by walking there."""

    def __init__(self, key_of: Any) -> None:
        self.key_of, self.entries = key_of, list[tuple[int, str]]()

    def activate(self, instant_ms: int, zone: str) -> None:
        """Take a policy's zone in, which is activated at an instant."""
        if not self.entries:
            self.entries.append((0, zone))
        elif self.entries[-1][1] != zone:
            self.entries.append((self._next(instant_ms), zone))

    def zone_at(self, instant_ms: int) -> str:
        begun = [zone for begins, zone in self.entries if begins <= instant_ms]
        return begun[-1] if begun else "UTC"

    def key(self, instant_ms: int) -> str:
        return str(self.key_of(instant_ms, self.zone_at(instant_ms)))

    def _next(self, instant_ms: int) -> int:
        zone = self.zone_at(instant_ms)
        key, later = self.key_of(instant_ms, zone), instant_ms - instant_ms % _QUARTER_MS
        for stride in (96 * _QUARTER_MS, 4 * _QUARTER_MS, _QUARTER_MS):
            while self.key_of(later + stride, zone) == key:
                later += stride
        return later + _QUARTER_MS


# --- Histories that can be made again from a name ------------------------------------------------------------------------


def step_of(prefix: str, number: int) -> Step:
    """Return step ``number`` of the writer ``prefix``: always the same one, whoever asks."""
    chance = random.Random(f"{prefix}-{number}")
    common: dict[str, Any] = {
        "name": f"{prefix}-{number}",
        "tenant": TENANTS[number % 2],
        "at_ms": NOW_MS + number * 1_800_000 + chance.randrange(-SKEW_MS, SKEW_MS),
    }
    kind = chance.random()
    if kind < 0.06:
        return Look(**common, body=b"%d" % chance.randrange(3))
    if kind < 0.35 and number > 1:
        state = chance.choice((None, "COMPLETED", "FAILED"))
        tokens = (("tokens", chance.randrange(300)),)
        used = chance.choice((tokens, tokens, tokens, (("operations", 0),), None if state else ()))
        operation = f"{prefix}-{max(number % 2, number - 2 * chance.randrange(1, 4))}"
        return Tell(**common, operation=operation, state=state, used=used)
    return Ask(
        **common,
        supplied=chance.random() < 0.5,
        policy=chance.choice(
            (number // 8 % len(POLICIES), number // 8 % len(POLICIES), chance.randrange(len(POLICIES)))
        ),
        amounts=(("operations", chance.choice((1, 1, 2))), ("tokens", chance.randrange(400))),
        account=chance.choice((None, "a-1", "a-2")),
        plan=chance.choice((None, "p-1")),
        tool=chance.choice(("llm", "crm")),
        cost_class=chance.choice(tuple(CostClass)),
        justification=chance.choice((None, "quarter end")),
        gate=chance.choice((None, None, Verdict.ALLOW, Verdict.WARN, Verdict.BLOCK)),
    )


# --- The book ----------------------------------------------------------------------------------------------------------


@dataclass
class Entry:
    """What was reserved, when, on whose behalf, and what of it was given back."""

    day: str
    month: str
    account: str | None
    plan: str | None
    tool: str
    cost_class: str
    amounts: dict[str, int]
    settles: frozenset[str] = frozenset()
    settled: dict[str, int] = field(default_factory=dict)

    def about(self, name: str) -> str | None:
        return {"account": self.account, "plan": self.plan, "tool": self.tool}[name]

    def period(self, kind: Period) -> str:
        return {Period.DAY: self.day, Period.MONTH: self.month, Period.PLAN: "PLAN"}[kind]

    def falls_under(self, one: Cap) -> bool:
        classes = {str(item) for item in one.cost_classes or CostClass}
        return self.cost_class in classes and all(value in (None, self.about(name)) for name, value in one.scope)

    def together(self, one: Cap, other: Entry) -> bool:
        """Return whether both count together under a cap that each falls under."""
        same = all(self.about(name) == other.about(name) for name, _ in one.scope)
        return same and self.period(one.period) == other.period(one.period)

    def counter(self, one: Cap) -> str:
        values = [(name, self.about(name)) for name, _ in one.scope]
        return " ".join(
            [one.unit, self.period(one.period), _classes(one)]
            + [f"{name}={'(none)' if value is None else json.dumps(value)}" for name, value in values]
        )


class Book:
    """One tenant's budgets, from the steps that its ledger has taken in, in its order."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.states: dict[str, str] = {}
        self.rows: dict[str, tuple[int, int]] = {}
        self.caps: tuple[Cap, ...] = ()
        self._days, self._months = Zones(day_of), Zones(month_of)
        self._policy: str | None = None
        self._last_ms: int | None = None
        self._told: set[str] = set()

    def take(self, step: Step, submission: Submission) -> list[tuple[str, str, str]] | None:
        """Take a step in, and return what its budget says: cap, usage before and verdict of each; None where it is not asked."""
        said = None
        if submission.policy_version is not None and submission.policy_version != self._policy:
            self._policy = submission.policy_version
            self._activate(step)
        if isinstance(step, Ask):
            said = self._ask(step)
        elif isinstance(step, Tell):
            self._tell(step)
        if not step.supplied:
            self._last_ms = max(self._last_ms or 0, step.at_ms)
        return said

    def families(self) -> tuple[str, ...]:
        """Return what counts now, as text."""
        return tuple(sorted({_family(one) for one in self.caps}))

    def cells(self) -> dict[str, tuple[dict[str, int], dict[str, int]]]:
        """Return what was reserved and given back for each day, month, account, plan, tool and class."""
        found: dict[str, tuple[dict[str, int], dict[str, int]]] = {}
        for one in self.entries.values():
            place = [one.day, one.month, one.account, one.plan, one.tool, one.cost_class]
            reserved, settled = found.setdefault(json.dumps(place, separators=(",", ":")), ({}, {}))
            _add(reserved, one.amounts)
            _add(settled, one.settled)
        return found

    def _activate(self, step: Step) -> None:
        before = set(self.families())
        self.caps = ()
        if isinstance(step, Ask):
            zone, self.caps = POLICIES[step.policy]
            begins_ms = step.at_ms if step.supplied else max(step.at_ms, self._last_ms or 0)
            self._days.activate(begins_ms, zone)
            self._months.activate(begins_ms, zone)
        for one in self.caps:
            if _family(one) not in before:
                self._start(one)

    def _start(self, one: Cap) -> None:
        """Add up everything that falls under a cap. The counters of caps that have left stand still."""
        sums: dict[str, tuple[int, int]] = {}
        for entry in self.entries.values():
            if entry.falls_under(one) and entry.amounts.get(one.unit):
                reserved, settled = sums.get(entry.counter(one), (0, 0))
                more = (entry.amounts[one.unit], entry.settled.get(one.unit, 0))
                sums[entry.counter(one)] = (reserved + more[0], settled + more[1])
        self.rows |= sums

    def _count(self, entry: Entry) -> None:
        """Add up everything that counts together with an entry."""
        for one in self.caps:
            if entry.falls_under(one) and entry.amounts.get(one.unit):
                alike = self._alike(one, entry)
                reserved = sum(other.amounts.get(one.unit, 0) for other in alike)
                self.rows[entry.counter(one)] = (reserved, sum(other.settled.get(one.unit, 0) for other in alike))

    def _alike(self, one: Cap, entry: Entry) -> list[Entry]:
        return [other for other in self.entries.values() if other.falls_under(one) and other.together(one, entry)]

    def _ask(self, step: Ask) -> list[tuple[str, str, str]] | None:
        stepped_back = not step.supplied and self._last_ms is not None and step.at_ms < self._last_ms - SKEW_MS
        self.states[step.name] = "BLOCKED"
        if step.gate is Verdict.BLOCK or (step.gate is not None and stepped_back):
            return None
        entry = Entry(
            *(self._days.key(step.at_ms), self._months.key(step.at_ms), step.account, step.plan, step.tool),
            *(step.cost_class.value, dict(step.amounts)),
        )
        own = [one for one in self.caps if entry.falls_under(one)]
        said = [self._judge(one, entry, step) for one in own]
        if own and not stepped_back and all(verdict != "BLOCK" for _, _, verdict in said):
            entry.settles = frozenset(one.unit for one in own if one.settles)
            self.states[step.name], self.entries[step.name] = "PENDING", entry
            self._count(entry)
        return said

    def _judge(self, one: Cap, entry: Entry, step: Ask) -> tuple[str, str, str]:
        alike = self._alike(one, entry)
        before = sum(other.amounts.get(one.unit, 0) for other in alike)
        before -= sum(other.settled.get(one.unit, 0) for other in alike) if one.settles else 0
        amount = entry.amounts.get(one.unit)
        unjustified = one.requires_justification and step.justification is None
        if amount is None or unjustified or (one.hard_cap is not None and before + amount > one.hard_cap):
            return one.id, str(before), "BLOCK"
        warned = one.requires_justification or (one.soft_cap is not None and before + amount > one.soft_cap)
        return one.id, str(before), "WARN" if warned else "ALLOW"

    def _tell(self, step: Tell) -> None:
        if step.state is not None:
            self.states[step.operation] = step.state
        if step.used is None or step.operation in self._told:
            return
        self._told.add(step.operation)
        entry, used = self.entries[step.operation], dict(step.used)
        entry.settled = {
            unit: n - used[unit] for unit, n in entry.amounts.items() if unit in entry.settles and used.get(unit, n) < n
        }
        self._count(entry)


def check(reader: Any, tenant: str, steps: dict[str, Step]) -> Book:
    """Hold one tenant of a store against a book of the steps that its records name, and return the book.

    Every decision says what the book says, in the ledger's order; then every row is what the book adds up to.
    """
    book, key = Book(), reader.tenant_key(tenant)
    for stored in reader.records(tenant):
        decoded = record.decode(stored.body)
        step = steps.get(decoded.common.get("step_id", ""))
        if step is None:
            continue  # not of the history: an erasure
        said = book.take(step, step.submission(key))
        asked = [event for event in decoded.events if event["type"] in record.BUDGET_DECISIONS]
        found = [[(one["cap"], one["usage_before"], one["verdict"]) for one in event["caps"]] for event in asked]
        assert found == ([] if said is None else [said]), f"record {stored.seq}"
        for event in asked:
            for one in event["caps"]:  # B5: whatever happened, no reservation takes a counter past a hard cap
                within = one["hard_cap"] == "unlimited" or int(one.get("usage_after", 0)) <= int(one["hard_cap"])
                assert within or event["result"] == "BLOCK", f"record {stored.seq} overspends {one}"
    assert dict(_counters(reader, tenant)) == book.rows
    assert {cell: (one.reserved, one.settled) for cell, one in reader.consumption(tenant)} == book.cells()
    assert reader.families(tenant) == book.families()
    assert {name: known.state for kind, name, known in reader.identities(tenant) if kind == "op"} == book.states
    return book


def _counters(reader: Any, tenant: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, one in reader.counters(tenant):
        yield name, (one.reserved, one.settled)


def _classes(one: Cap) -> str:
    return "any" if one.cost_classes is None else "+".join(str(item) for item in CostClass if item in one.cost_classes)


def _family(one: Cap) -> str:
    fields = [f"{name}={'each' if value is None else json.dumps(value)}" for name, value in one.scope]
    return " ".join([one.unit, one.period.value, _classes(one), *fields])


def _add(total: dict[str, int], more: dict[str, int]) -> None:
    for unit, amount in more.items():
        total[unit] = total.get(unit, 0) + amount
