"""What a reservation, a settlement or a new policy does to the counters of one tenant. Pure; a part of the kernel.

A counter holds everything that fell under it, and so equals the sum of the cells it covers: of what was consumed on one day
by one account, plan, tool and cost class. Cells are kept for every reservation, whatever caps there are, so that a cap that is
new in a running period starts at what the ledger says already fell under it (B14). Reserving, settling and the rows that
follow are decided here; the arithmetic of caps is ``budgets.decide``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.budgets.decide import AMOUNT_OUT_OF_RANGE, CapDecision, Counter, Weighed, weigh
from weighbridge.budgets.periods import period_keys, period_of, read_zones, with_zone
from weighbridge.domain.amounts import AMOUNT_MAX, as_text, from_text
from weighbridge.domain.caps import Period, counter_name, parse_counter, quoted
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import StoreError
from weighbridge.ledger import record
from weighbridge.ledger.submission import BudgetTerms, Consumption, Reservation, Usage, View

_TYPES = {
    Verdict.ALLOW: record.BUDGET_RESERVE,
    Verdict.WARN: record.BUDGET_WARN,
    Verdict.BLOCK: record.BUDGET_BLOCK,
}
_FAMILIES_KEPT_MAX = 4096
_CELLS_KEPT_MAX = 4096

_parsed = lru_cache(maxsize=_FAMILIES_KEPT_MAX)(parse_counter)


class Cell(msgspec.Struct, frozen=True, array_like=True):
    """The finest grain of consumption: what one reservation falls under."""

    day: str
    month: str
    account: str | None
    plan: str | None
    tool: str
    cost_class: str

    def counter(self, family: str) -> str | None:
        """Return the counter of a family that this cell falls under; None where it falls under none."""
        name = _parsed(family)
        if name.cost_classes is not None and self.cost_class not in name.cost_classes:
            return None
        tail = family.split(" ", 3)[2]
        for field, value in name.scope:
            own: str | None = getattr(self, field)
            if value is not None and own != value:
                return None
            tail += f" {field}={'(none)' if own is None else quoted(own)}"
        return counter_name(name.unit, period_of((self.day, self.month), Period(name.period)), tail)

    def counters(self, families: Iterable[str]) -> dict[str, str]:
        """Return the counters of these families that this cell falls under, each once, and their units."""
        named = {self.counter(family): family.split(" ", 1)[0] for family in families}
        return {counter: unit for counter, unit in named.items() if counter is not None}


# Made here: a type's first use must not be made by two threads at the same time.
_cells = msgspec.json.Decoder(Cell)


@lru_cache(maxsize=_CELLS_KEPT_MAX)
def cell_name(cell: Cell) -> str:
    """Return the text form of a cell: canonical JSON."""
    return canonical.encode(msgspec.to_builtins(cell)).decode()


def parse_cell(name: str) -> Cell:
    """Return the cell of a text form.

    Raises:
        StoreError: it is none; nobody but us writes them.
    """
    try:
        return _cells.decode(name)
    except ValueError:
        raise StoreError(f"`{name}` names no consumption; run `weighbridge ledger verify`") from None


class Rows:
    """The counters and cells that one submission changes, over what a view shows."""

    __slots__ = ("_view", "cells", "counters", "families")

    def __init__(self, view: View) -> None:
        self._view = view
        self.counters: dict[str, Counter] = {}
        self.cells: dict[str, Consumption] = {}
        self.families: tuple[str, ...] | None = None

    def counter(self, name: str) -> Counter:
        """Return a counter as it is after what was decided so far."""
        return self.counters.get(name) or self._view.counter(name)

    def counters_of(self, names: Sequence[str]) -> Sequence[Counter]:
        """Return several counters as they are after what was decided so far."""
        known = self._view.counters_of(names)
        if not self.counters:
            return known
        return [self.counters.get(name, before) for name, before in zip(names, known, strict=True)]

    def add(self, cell: str, reserved: Mapping[str, int], settled: Mapping[str, int]) -> None:
        """Add to a cell."""
        before = self.cells.get(cell) or self._view.consumption(cell) or Consumption({}, {})
        self.cells[cell] = Consumption(_sum(before.reserved, reserved), _sum(before.settled, settled))


def activate(
    terms: BudgetTerms | None, zones: str | None, instant_ms: int, rows: Rows, view: View
) -> tuple[dict[str, Any], str | None]:
    """Let a policy's caps count from now on, and return what its activation says of budgets and the zones from now on.

    A family of caps that was not counted until now is computed from every cell (B14); one that the policy no longer has stands
    still until it comes back.
    """
    known = view.families()
    wanted = terms.families if terms is not None else ()
    after = zones if terms is None else with_zone(zones, terms.time_zone, instant_ms)
    if wanted == known and after == zones:
        return {}, after
    added = [family for family in wanted if family not in known]
    if added:
        rows.counters.update(_computed(added, view.cells()))
    rows.families = wanted
    told = {"families": list(wanted), "zones": msgspec.to_builtins(read_zones(after))}
    return {"budget": told}, after


def _computed(families: Iterable[str], cells: Iterable[tuple[str, Consumption]]) -> dict[str, Counter]:
    found: dict[str, Counter] = {}
    for name, consumption in cells:
        for counter, unit in parse_cell(name).counters(families).items():
            if not consumption.reserved.get(unit):
                continue  # a counter that nothing fell under is no row
            before = found.get(counter, Counter())
            reserved = before.reserved + consumption.reserved[unit]
            found[counter] = Counter(reserved, before.settled + consumption.settled.get(unit, 0))
    return found


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """The event of a decision, and its verdict."""

    event: dict[str, Any]
    verdict: Verdict


def reserve(
    wanted: Reservation, zones: str | None, instant_ms: int, rows: Rows, findings: list[dict[str, Any]]
) -> Reserved:
    """Decide a reservation on the counters, move all of them or none (B4, B5), and return its event (B10).

    ``findings`` are BLOCKs that the kernel found, besides those that the reservation brings along.
    """
    keys = period_keys(zones, instant_ms)
    names, caps = [], []
    for cap, tail in wanted.applicable:
        names.append(counter_name(cap.unit, period_of(keys, cap.period), tail))
        caps.append(cap)
    counters = rows.counters_of(names)
    found = [*wanted.findings, *findings]
    beyond = sorted([unit for unit, amount in wanted.amounts.items() if amount > AMOUNT_MAX])
    if beyond and all(one["reason"] != AMOUNT_OUT_OF_RANGE for one in found):
        # B2: also of a unit that no cap counts now, because it is remembered for one that will (B14).
        found.append({"reason": AMOUNT_OUT_OF_RANGE, "details": {"units": beyond}})
    reasons = [one["reason"] for one in found] if found else ()
    used = zip(caps, counters, strict=True)
    decision = weigh(used, wanted.amounts, justified=wanted.justification is not None, findings=reasons)
    if decision.verdict is not Verdict.BLOCK:
        for name, cap, counter in zip(names, caps, counters, strict=True):
            amount = wanted.amounts[cap.unit]
            if amount:  # two caps over the same things share a counter, which moves once
                rows.counters[name] = Counter(counter.reserved + amount, counter.settled)
        cell = Cell(*keys, wanted.account_id, wanted.plan_id, wanted.operation, str(wanted.cost_class))
        rows.add(cell_name(cell), wanted.amounts, {})
    return Reserved(_event(wanted, keys, names, decision, found), decision.verdict)


def _event(
    wanted: Reservation, keys: tuple[str, str], names: list[str], decision: Weighed, findings: list[dict[str, Any]]
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "type": _TYPES[decision.verdict],
        "operation": wanted.operation,
        # An amount that fits nowhere is named in the findings, not written out.
        "amounts": {unit: str(amount) for unit, amount in wanted.amounts.items() if amount <= AMOUNT_MAX},
        "period": {"DAY": keys[0], "MONTH": keys[1]},
        "result": decision.verdict,
        "reason": decision.reason,
        "findings": findings,
        "caps": [_said(name, one) for name, one in zip(names, decision.caps, strict=True)],
        "request_hash": wanted.request_hash,
    }
    if wanted.cost_class is not None:
        event["cost_class"] = wanted.cost_class
    if wanted.assumed:
        event["assumed"] = list(wanted.assumed)
    if wanted.unpriced is not None:
        event["unpriced"] = wanted.unpriced
    if wanted.justification is not None or wanted.policy is not None or wanted.proposal is not None:
        content = {"justification": wanted.justification, "policy": wanted.policy, "proposal": wanted.proposal}
        event["content"] = {name: content_hash for name, content_hash in content.items() if content_hash is not None}
    if wanted.priced is not None:
        event["priced"] = wanted.priced
    if wanted.proposal_hash is not None:
        event["proposal_hash"] = wanted.proposal_hash
    return event


def _said(name: str, one: CapDecision) -> dict[str, Any]:
    cap = one.cap
    said: dict[str, Any] = {
        "cap": cap.id,
        "counter": name,
        "unit": cap.unit,
        "hard_cap": record.UNLIMITED if cap.hard_cap is None else str(cap.hard_cap),
        "usage_before": str(one.before),
        "verdict": one.verdict,
        "reason": one.reason,
    }
    if cap.soft_cap is not None:
        said["soft_cap"] = str(cap.soft_cap)
    if one.after is not None:
        said["usage_after"] = str(one.after)
    if cap.settles:
        said["settles"] = True
    return said


class Reported(msgspec.Struct, frozen=True):
    """What was reserved for an operation, as its record says; None where nothing was."""

    event: dict[str, Any]
    account_id: str | None
    plan_id: str | None


def reservation_of(body: bytes) -> Reported | None:
    """Return the reservation in the record of an operation; None where its record holds none."""
    for event in record.events(body):
        if event.type in {record.BUDGET_RESERVE, record.BUDGET_WARN}:
            return Reported(event.fields, event.fields.get("account_id"), event.fields.get("plan_id"))
    return None


def report(reported: Reported, usage: Usage, rows: Rows, families: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the events of a report of use: `USAGE_REPORTED`, and `BUDGET_SETTLE` where a cap opted in (B7).

    Settlement goes down only, in the units whose caps opted in, and to the periods that the reservation names. A counter moves
    if its family still counts; one that stands still is computed when it comes back.
    """
    said, consumed = reported.event, usage.consumed
    reserved = from_text(said["amounts"])
    used: dict[str, Any] = {
        "type": record.USAGE_REPORTED,
        "operation": said["operation"],
        "cost_class": said["cost_class"],
        "consumed": as_text(consumed),
        "reserved": said["amounts"],
        "request_hash": usage.request_hash,
    }
    overrun = {
        unit: amount - reserved.get(unit, 0) for unit, amount in consumed.items() if amount > reserved.get(unit, 0)
    }
    if overrun:
        used["overrun"] = as_text(overrun)
    settling = [one for one in said["caps"] if one.get("settles")]
    released = {
        unit: reserved[unit] - consumed[unit]
        for unit in sorted({one["unit"] for one in settling})
        if consumed.get(unit, reserved[unit]) < reserved[unit]
    }
    if not released:
        return [used]
    period = said["period"]
    cell = Cell(
        period["DAY"], period["MONTH"], reported.account_id, reported.plan_id, said["operation"], said["cost_class"]
    )
    rows.add(cell_name(cell), {}, released)
    opted_in = {one["counter"] for one in settling}
    moved = []
    for name, unit in cell.counters(families).items():
        if unit not in released:
            continue
        before = rows.counter(name)
        after = rows.counters[name] = Counter(before.reserved, before.settled + released[unit])
        if name in opted_in:
            seen = (before.reserved - before.settled, after.reserved - after.settled)
            moved.append({"counter": name, "usage_before": str(seen[0]), "usage_after": str(seen[1])})
    settled = {
        "type": record.BUDGET_SETTLE,
        "operation": said["operation"],
        "cost_class": said["cost_class"],
        "released": as_text(released),
        "period": period,
        "counters": moved,
    }
    return [used, settled]


def _sum(one: dict[str, int], other: Mapping[str, int]) -> dict[str, int]:
    if not other:
        return one
    if one.keys() == other.keys():
        return {unit: amount + other[unit] for unit, amount in one.items()}
    return {unit: one.get(unit, 0) + other.get(unit, 0) for unit in sorted({*one, *other})}
