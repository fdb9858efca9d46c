"""`weighbridge budget reconcile`: every stored counter against the sum of the ledger (L3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.budget import tables
from weighbridge.cli.budget.sources import Ledger, ledger
from weighbridge.cli.stores import ArchiveOption, JsonOption, StoreOption, TenantOption

if TYPE_CHECKING:
    from rich.console import Console

    from weighbridge.ledger.chain import Fault
    from weighbridge.ledger.fold import Fold

FAULTS_SHOWN_MAX = 5
DIFFERENCES_SHOWN_MAX = 50
IN_RECORDS = frozenset({"chain", "record", "budget"})  # the parts of a fault in what is hashed
COUNTER, CONSUMPTION, FAMILY = "counter", "consumption", "counter family"


def reconcile(
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Add up the ledger and say which counter differs from it, and by how much.

    Exit code 0 when every counter is what the ledger adds up to, 4 when one is not, or when the ledger itself does not verify, 2
    when records are archived and not handed in: without them nothing adds up.
    """
    with ledger(store, tenant, archive) as opened:
        report = _compare(opened)
    if output.wants_json(as_json):
        output.write_json([report.document()])
    else:
        _show(output.console(), report)
    raise typer.Exit(output.OK if report.ok else output.NOT_PROVED)


class Difference(NamedTuple):
    """One sum that the store has and the ledger does not give: ``(reserved, settled)`` of each, in one unit."""

    part: str
    name: str
    unit: str
    stored: tuple[int, int]
    added_up: tuple[int, int]

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data, amounts as decimal text."""
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "stored": {"reserved": str(self.stored[0]), "settled": str(self.stored[1])},
            "ledger": {"reserved": str(self.added_up[0]), "settled": str(self.added_up[1])},
            "difference": {
                "reserved": str(self.stored[0] - self.added_up[0]),
                "settled": str(self.stored[1] - self.added_up[1]),
            },
        }


class Reconciled(NamedTuple):
    """What adding up the ledger of one tenant found."""

    tenant_id: str
    records: int
    counters: int
    cells: int
    differences: tuple[Difference, ...]
    families: tuple[str, ...]
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Return whether everything adds up, in a ledger that verifies as far as it was read."""
        return not (self.differences or self.families or self.faults)

    def document(self) -> dict[str, Any]:
        """Return it as plain JSON data."""
        return {
            "tenant_id": self.tenant_id,
            "ok": self.ok,
            "records": self.records,
            "counters": self.counters,
            "cells": self.cells,
            "differences": [one.document() for one in self.differences],
            "families": list(self.families),
            "faults": [fault._asdict() for fault in self.faults],
        }


def _compare(opened: Ledger) -> Reconciled:
    from weighbridge.ledger.archive import require_kept
    from weighbridge.ledger.fold import Fold, compare_head

    reader, tenant_id = opened.reader, opened.tenant_id
    state, faults = Fold(tenant_id), []
    with output.progress(reader.head(tenant_id).seq, "records") as advance:
        for stored in reader.records(tenant_id):
            require_kept(stored.body)
            fault = state.add(*stored)
            if fault is not None:
                faults.append(fault)
            advance(stored.seq, stored.seq)
    counters = dict(reader.counters(tenant_id))
    cells = dict(reader.consumption(tenant_id))
    differences = [*_counters(state, counters), *_cells(state, cells)]
    families = tuple(sorted(set(state.budget.families) ^ set(reader.families(tenant_id))))
    counted = (len(counters), len(cells))
    faults += compare_head(state.head, reader.head(tenant_id))
    faults += _rows(state, counters, cells, {one.name for one in differences})
    return Reconciled(tenant_id, state.head.seq, *counted, tuple(differences), families, tuple(faults))


def _rows(state: Fold, counters: dict[str, Any], cells: dict[str, Any], told: set[str]) -> Iterator[Fault]:
    """Yield what `ledger verify` finds of rows whose sums agree: one that no record gives, if only of nothing (L3)."""
    from weighbridge.ledger.fold import compare_budget

    for rows in (counters, cells, state.budget.counters, state.budget.cells):
        for name in told & rows.keys():
            del rows[name]
    return compare_budget(state.budget, counters.items(), cells.items(), state.budget.families)


def _counters(state: Fold, stored: Mapping[str, Any]) -> Iterator[Difference]:
    added_up = state.budget.counters
    for name in sorted({*stored, *added_up}):
        there, due = stored.get(name), added_up.get(name)
        both = [(0, 0) if row is None else (row.reserved, row.settled) for row in (there, due)]
        if both[0] != both[1]:
            yield Difference(COUNTER, name, name.split(" ", 1)[0], both[0], both[1])


def _cells(state: Fold, stored: Mapping[str, Any]) -> Iterator[Difference]:
    added_up = state.budget.cells
    for name in sorted({*stored, *added_up}):
        there, due = stored.get(name), added_up.get(name)
        units = {unit for row in (there, due) if row is not None for unit in (*row.reserved, *row.settled)}
        for unit in sorted(units):
            both = [
                (0, 0) if row is None else (row.reserved.get(unit, 0), row.settled.get(unit, 0)) for row in (there, due)
            ]
            if both[0] != both[1]:
                yield Difference(CONSUMPTION, name, unit, both[0], both[1])


def _show(screen: Console, report: Reconciled) -> None:
    tenant = output.safe(report.tenant_id)
    if report.ok:
        screen.print(
            f"tenant {tenant}: {_counted(report.counters, 'counter')} and {_counted(report.cells, 'sum')} of consumption are "
            f"what {_counted(report.records, 'record')} add{'s' if report.records == 1 else ''} up to",
            style="green",
        )
        return
    count = len(report.differences)
    if not count and not report.families:
        screen.print(f"tenant {tenant}: the sums agree, and something else does not", style="bold red")
    else:
        _say_how_many(screen, report)
    if report.differences:
        screen.print(_table(report.differences[:DIFFERENCES_SHOWN_MAX]))
    if count > DIFFERENCES_SHOWN_MAX:
        screen.print(f"and {count - DIFFERENCES_SHOWN_MAX:,} more; --json prints them", style="dim")
    for family in report.families:
        screen.print(output.safe(f"what is counted differs: {family}"), soft_wrap=True)
    for fault in report.faults[:FAULTS_SHOWN_MAX]:
        where = "the ledger itself" if fault.part in IN_RECORDS else "beside the ledger"
        screen.print(output.safe(f"{where}: {fault.message}"), soft_wrap=True)
    if report.faults:
        screen.print("`weighbridge ledger verify` says all that does not verify", style="dim")


def _say_how_many(screen: Console, report: Reconciled) -> None:
    tenant, count = output.safe(report.tenant_id), len(report.differences)
    screen.print(
        f"tenant {tenant}: {count:,} of {_counted(report.counters + report.cells, 'sum')} "
        f"{'differs' if count == 1 else 'differ'} from what {_counted(report.records, 'record')} "
        f"add{'s' if report.records == 1 else ''} up to",
        style="bold red",
    )


def _table(differences: tuple[Difference, ...]) -> Any:
    made = output.table("What")
    tables.add_number_columns(made, "Stored", "Ledger", "Off by")
    made.add_column("Unit", no_wrap=True)
    from weighbridge.budgets.sentences import unit_name

    for one in differences:
        for which, (there, due) in enumerate(zip(one.stored, one.added_up, strict=True)):
            if there != due:
                kind = "" if which == 0 else "given back: "
                off = f"{'+' if there > due else '-'}{tables.number(abs(there - due), one.unit)}"
                cells = (tables.number(there, one.unit), tables.number(due, one.unit), off, unit_name(one.unit))
                made.add_row(output.safe(f"{kind}{one.name}"), *cells)
    return made


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
