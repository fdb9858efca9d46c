"""Budget events added up: counters and cells from the records alone, and whether every decision follows from them. Pure.

The kernel (``ledger.reserving``) says in each event what it saw and what it decided. A `Tally` adds the same up by code of its
own, and says where an event claims what it does not have: another usage, a verdict its caps do not give, a hard cap that was
passed, a period that the time is not in, a settlement of what was used (B4, B5, B7, B9, B10, L3). Whatever is wrong with a
claim, what the event says was reserved or given back is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.budgets.decide import Counter
from weighbridge.budgets.periods import PLAN_KEY, ZoneFrom, Zones, period_keys, read_zones, write_zones
from weighbridge.domain.amounts import AMOUNT_MAX, from_text, parse_amount
from weighbridge.domain.caps import NONE, CounterName, Period, parse_counter, quoted
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.ledger import record
from weighbridge.ledger.submission import Consumption

_VERDICTS = {
    record.BUDGET_RESERVE: Verdict.ALLOW,
    record.BUDGET_WARN: Verdict.WARN,
    record.BUDGET_BLOCK: Verdict.BLOCK,
}
_UNKNOWN = frozenset({"COST_UNKNOWN", "CURRENCY_MISMATCH", "AMOUNT_OUT_OF_RANGE"})
_TIME_MS_MAX = 253_402_300_799_999


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """Where something was consumed; its JSON is the name of the cell."""

    day: str
    month: str
    account: str | None
    plan: str | None
    tool: str
    cost_class: str


# Made here: a type's first use must not be made by two threads at the same time.
_places = msgspec.json.Decoder(_Place)


class _Spent(msgspec.Struct, frozen=True):
    """What an operation reserved, until it is told what of it was used. ``settling`` are the counters of caps that opted in."""

    place: _Place
    amounts: tuple[tuple[str, int], ...]
    settling: tuple[str, ...]


class Tally:
    """The budget rows of one tenant after the events added so far.

    ``moved`` says which record touched a counter or cell last, ``activated_seq`` which one said what counts.
    """

    def __init__(self) -> None:
        self.zones: str | None = None
        self.families: tuple[str, ...] = ()
        self.counters: dict[str, Counter] = {}
        self.cells: dict[str, Consumption] = {}
        self.moved: dict[str, int] = {}
        self.activated_seq: int = 0
        self._last_ms = 0
        self._counted: tuple[tuple[str, CounterName], ...] = ()
        self._names: dict[_Place, dict[str, str]] = {}
        self._spent: dict[str, _Spent] = {}
        self._same: dict[_Spent, _Spent] = {}

    def add(self, events: Iterable[record.Event]) -> list[str]:
        """Take in the events of the next record, and return what they claim that does not follow."""
        events = list(events)
        wrong: list[str] = []
        decisions = [event for event in events if event.type in record.BUDGET_DECISIONS]
        blocked = any(
            event.type == record.VALIDATOR_RUN_SUMMARY and event.fields["result"] == Verdict.BLOCK for event in events
        )
        if len(decisions) + blocked > 1:
            wrong.append("a budget is asked once, and only where no run is a BLOCK")  # B10, B11
        settled = {event.fields["operation_id"]: event for event in events if event.type == record.BUDGET_SETTLE}
        for event in events:
            if event.type == record.POLICY_ACTIVATED and "budget" in event.fields:
                wrong += self.activated(event)
            elif event.type in record.BUDGET_DECISIONS:
                wrong += self.decided(event)
            elif event.type == record.USAGE_REPORTED:
                wrong += self.used(event, settled.pop(event.fields["operation_id"], None))
        if settled:
            wrong.append("something is given back of which no use is reported")
        if events:
            self.seen(events[0].fields)
        return wrong

    def seen(self, common: Mapping[str, Any]) -> None:
        """Take in when a record was made, as the next activation of a zone needs it of every record (B9)."""
        if common["time_source"] == "clock":
            self._last_ms = max(self._last_ms, _instant(common))

    def activated(self, event: record.Event) -> Iterator[str]:
        """Take in what an activation says of budgets (B9, B14)."""
        said = event.fields["budget"]
        zones = canonical.encode(said["zones"]).decode()
        instant_ms = _instant(event.fields)
        if event.fields["time_source"] == "clock":  # B9: a clock that stepped back moves no period that is under way
            instant_ms = max(self._last_ms, instant_ms)
        yield from self._zone_claims(zones, instant_ms)
        added = set(said["families"]) - set(self.families)
        self.zones, self.families = zones, tuple(said["families"])
        self._counted = tuple((family, parse_counter(family)) for family in self.families)
        self._names.clear()
        self.activated_seq = event.seq
        if self.families != tuple(sorted(set(self.families))):
            yield "its families are not sorted, each once"
        for name, counter in self._computed(added):
            if self.counters.get(name) != counter:
                self.counters[name], self.moved[name] = counter, event.seq

    def decided(self, event: record.Event) -> Iterator[str]:
        """Take in a decision (B4), which is in its record alone or beside runs that let it through."""
        said = event.fields
        amounts = from_text(said["amounts"])
        keys = (said["period"]["DAY"], said["period"]["MONTH"])
        if keys != period_keys(self.zones, _instant(said)):
            yield f"its period is {keys[0]}, which its time is not in"
        place = _Place(
            *keys, said.get("account_id"), said.get("plan_id"), said["operation"], said.get("cost_class", "")
        )
        own = self._counters(place)
        for cap in said["caps"]:
            if cap["counter"] not in own or own[cap["counter"]] != cap["unit"]:
                yield f"cap `{cap['cap']}` is checked against `{cap['counter']}`, which does not count it"
            yield from self._cap_claims(cap, amounts, said)
        if not said["findings"] and {cap["counter"] for cap in said["caps"]} != set(own):
            yield "it did not ask every counter that it falls under"
        yield from _verdict_claims(event)
        if event.type == record.BUDGET_BLOCK:
            return
        self._add(event.seq, place, amounts, {})
        settling = tuple(cap["counter"] for cap in said["caps"] if cap.get("settles"))
        spent = _Spent(place, tuple(amounts.items()), settling)
        self._spent[said["operation_id"]] = self._same.setdefault(spent, spent)

    def used(self, event: record.Event, settlement: record.Event | None) -> Iterator[str]:
        """Take in a report of use, and the settlement that stands beside it where a cap opted in (B7)."""
        spent = self._spent.pop(event.fields["operation_id"])
        reserved, consumed = dict(spent.amounts), from_text(event.fields["consumed"])
        if from_text(event.fields["reserved"]) != reserved:
            yield "it reports the use of something else than was reserved"
        over = {unit: amount - reserved.get(unit, 0) for unit, amount in consumed.items()}
        if from_text(event.fields.get("overrun", {})) != {unit: more for unit, more in over.items() if more > 0}:
            yield "its overrun is not what was used beyond what was reserved"
        released = {} if settlement is None else from_text(settlement.fields["released"])
        opted_in = {name.split(" ", 1)[0] for name in spent.settling}
        due = {unit: -more for unit, more in over.items() if more < 0 and unit in opted_in}
        if released != due:
            yield "what it gives back is not what was reserved and not used"
        if settlement is not None:
            yield from self._settled(settlement, spent, released)

    def _settled(self, event: record.Event, spent: _Spent, released: Mapping[str, int]) -> Iterator[str]:
        period, claimed = event.fields["period"], {one["counter"]: one for one in event.fields["counters"]}
        if (period["DAY"], period["MONTH"]) != (spent.place.day, spent.place.month):
            yield "it settles in another period than was reserved in"
        before = {name: self._usage(name, settles=True) for name in claimed}
        self._add(event.seq, spent.place, {}, released)
        own = self._counters(spent.place)
        if set(claimed) != {name for name in spent.settling if own.get(name) in released}:
            yield "it settles other counters than those whose caps opted in"
        for name, one in claimed.items():
            after = self._usage(name, settles=True)
            if (one["usage_before"], one["usage_after"]) != (str(before[name]), str(after)):
                yield f"counter `{name}` went from {before[name]} to {after}, not as it says"

    def _zone_claims(self, zones: str, instant_ms: int) -> Iterator[str]:
        """B9: a zone comes into force where a period of the one before ends, and never before the event."""
        if self.zones is None:
            return
        if period_keys(zones, instant_ms) != period_keys(self.zones, instant_ms):
            yield "its zones change the period that is under way"
        before, now = read_zones(self.zones), read_zones(zones)
        for one in now:
            if one not in before and not _begins(before, one, instant_ms):
                yield f"zone `{one.zone}` comes into force in the middle of a period"
        if _lost(before, now, instant_ms):
            yield "its zones leave out one that is in force"

    def _cap_claims(self, cap: Mapping[str, Any], amounts: Mapping[str, int], said: Mapping[str, Any]) -> Iterator[str]:
        name, amount = cap["cap"], amounts.get(cap["unit"])
        before = self._usage(cap["counter"], settles=bool(cap.get("settles")))
        if cap["usage_before"] != str(before):
            yield f"cap `{name}` says that {cap['usage_before']} was used, and it was {before}"
        if (after := cap.get("usage_after")) is not None and (amount is None or after != str(before + amount)):
            yield f"cap `{name}` says {after} afterwards, which is not {before} and the amount"
        given = (cap["verdict"], cap["reason"])
        if given not in _possible(cap, before, amount, justified="justification" in said.get("content", {})):
            yield f"cap `{name}` says {given[0]} {given[1]}, which does not follow from what it saw"
        hard = cap["hard_cap"]
        if said["result"] != Verdict.BLOCK and hard != record.UNLIMITED and before + (amount or 0) > parse_amount(hard):
            yield f"cap `{name}` was passed: {before + (amount or 0)} of {hard}"  # B4, B5

    def _usage(self, counter: str, *, settles: bool) -> int:
        found = self.counters.get(counter, Counter())
        return found.reserved - found.settled if settles else found.reserved

    def _add(self, seq: int, place: _Place, reserved: Mapping[str, int], settled: Mapping[str, int]) -> None:
        cell = msgspec.json.encode(place).decode()
        found = self.cells.get(cell, Consumption({}, {}))
        self.cells[cell] = Consumption(_plus(found.reserved, reserved), _plus(found.settled, settled))
        self.moved[cell] = seq
        for name, unit in self._counters(place).items():
            more, back = reserved.get(unit, 0), settled.get(unit, 0)
            if more or back:
                counter = self.counters.get(name, Counter())
                self.counters[name] = Counter(counter.reserved + more, counter.settled + back)
                self.moved[name] = seq

    def _computed(self, families: Iterable[str]) -> Iterator[tuple[str, Counter]]:
        """Yield the counters of families as the cells give them."""
        counted = [(family, name) for family, name in self._counted if family in families]
        if not counted:
            return
        sums: dict[str, tuple[int, int]] = {}
        for cell, consumption in self.cells.items():
            place = _places.decode(cell)
            for counter, unit in _named(place, counted).items():
                reserved, settled = sums.get(counter, (0, 0))
                sums[counter] = (
                    reserved + consumption.reserved.get(unit, 0),
                    settled + consumption.settled.get(unit, 0),
                )
        yield from ((name, Counter(*both)) for name, both in sums.items() if any(both))

    def _counters(self, place: _Place) -> dict[str, str]:
        """Return the counters that something at this place falls under, and their units."""
        found = self._names.get(place)
        if found is None:
            found = self._names[place] = _named(place, self._counted)
        return found


def _named(place: _Place, families: Iterable[tuple[str, CounterName]]) -> dict[str, str]:
    found: dict[str, str] = {}
    values = {"account": place.account, "plan": place.plan, "tool": place.tool}
    keys = {Period.DAY: place.day, Period.MONTH: place.month, Period.PLAN: PLAN_KEY}
    for family, counted in families:
        of_class = counted.cost_classes is None or place.cost_class in counted.cost_classes
        if of_class and all(wanted in {None, values[field]} for field, wanted in counted.scope):
            # What is written behind unit, period and classes: the fields, with their values in place of "each".
            written = " ".join(
                [
                    family.split(" ")[2],
                    *(f"{field}={_shown(values[field])}" for field, _ in counted.scope),
                ]
            )
            found[f"{counted.unit} {keys[Period(counted.period)]} {written}"] = counted.unit
    return found


def _shown(value: str | None) -> str:
    return NONE if value is None else quoted(value)


def _possible(
    cap: Mapping[str, Any], before: int, amount: int | None, *, justified: bool
) -> frozenset[tuple[str, str]]:
    """Return what a cap can say (B4, B12, B13). Whether it demands a justification does not stand in the event."""
    if amount is None:
        return frozenset(("BLOCK", reason) for reason in _UNKNOWN)
    after = before + amount
    if after > AMOUNT_MAX:
        return frozenset({("BLOCK", "AMOUNT_OUT_OF_RANGE")})
    hard = None if cap["hard_cap"] == record.UNLIMITED else parse_amount(cap["hard_cap"])
    if hard is not None and after > hard:
        return frozenset({("BLOCK", "NEVER_FITS" if amount > hard else "HARD_CAP_EXCEEDED")})
    if "soft_cap" in cap and after > parse_amount(cap["soft_cap"]):
        passed = ("WARN", "SOFT_CAP_EXCEEDED")
        return frozenset({passed}) if justified else frozenset({passed, ("BLOCK", "JUSTIFICATION_MISSING")})
    demanded = ("WARN", "JUSTIFIED") if justified else ("BLOCK", "JUSTIFICATION_MISSING")
    return frozenset({("ALLOW", "WITHIN_CAPS"), demanded})


def _verdict_claims(event: record.Event) -> Iterator[str]:
    """B4: findings block; then no cap, no go; then the strictest of the caps, with a reason that one of those gives."""
    said = event.fields
    result, reason = said["result"], said["reason"]
    if result != _VERDICTS[event.type]:
        yield f"it is a {event.type} that says {result}"
    if said["findings"]:
        wanted, reasons = Verdict.BLOCK, {said["findings"][0]["reason"]}
    elif not said["caps"]:
        wanted, reasons = Verdict.BLOCK, {"NO_APPLICABLE_CONFIG"}
    else:
        wanted = strictest([Verdict(cap["verdict"]) for cap in said["caps"]])
        reasons = {cap["reason"] for cap in said["caps"] if cap["verdict"] == wanted}
    if result != wanted or reason not in reasons:
        yield f"it says {result} {reason}, which its caps and findings do not"


def _begins(before: Zones, one: ZoneFrom, instant_ms: int) -> bool:
    """Return whether a zone counts from where a day, and from where a month, begins in the one that is in force."""
    return all(
        begins > _TIME_MS_MAX or period_keys(known, begins - 1)[which] != period_keys(known, begins)[which]
        for which, begins, known in (
            (0, one.day_from_ms, write_zones(tuple(old for old in before if old.day_from_ms <= instant_ms))),
            (1, one.month_from_ms, write_zones(tuple(old for old in before if old.month_from_ms <= instant_ms))),
        )
    )


def _lost(before: Zones, now: Zones, instant_ms: int) -> bool:
    """Return whether a zone that has begun is gone."""
    return any(one.day_from_ms <= instant_ms and one.month_from_ms <= instant_ms and one not in now for one in before)


def _instant(said: Mapping[str, Any]) -> int:
    instant_ms = parse_instant(said["evaluation_time"])
    if instant_ms is None:
        message = f"`{said['evaluation_time']}` is no instant"
        raise ValueError(message)
    return instant_ms


def _plus(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    found = dict(one)
    for unit, amount in other.items():
        found[unit] = found.get(unit, 0) + amount
    return found
