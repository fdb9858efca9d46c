"""`weighbridge budget show`: usage against every cap, and by whom."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.budget import tables
from weighbridge.cli.budget.sources import (
    AllOption,
    AtOption,
    Budgets,
    CapOption,
    Ledger,
    PolicyOption,
    budgets,
    counters,
    instant,
    ledger,
    now_ms,
    readable_zones,
)
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption
from weighbridge.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.budgets.standing import Standing
    from weighbridge.domain.caps import Cap
    from weighbridge.ledger.reserving import Cell

SPENDERS_MAX = 10  # of each unit; --all prints every one
SPANS = ("day", "month", "ever")
SPENT_MEANS = "reserved, less what was given back"
KEPT = "*"
KEPT_MEANS = "does not settle: what was given back counts all the same"


class By(enum.StrEnum):
    """Whose consumption to add up."""

    ACCOUNT = "account"
    PLAN = "plan"
    TOOL = "tool"
    CLASS = "class"


ByOption = Annotated[
    By | None, typer.Option("--by", help="Who spent it, instead of how far caps are used.", show_default=False)
]


def show(
    *,
    at: AtOption = None,
    cap: CapOption = None,
    by: ByOption = None,
    everything: AllOption = False,
    policy: PolicyOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Show how far every cap is used, the fullest first; with --by, who spent it.

    A cap over "each" account has a row for each account. The verdict is what the least that can be asked for would meet.
    """
    lines = output.wants_json(as_json)
    if by is not None:
        with _asked(by, cap, policy, (store, tenant, at)) as question:
            _say_spenders(question, lines=lines, everything=everything)
        return
    from weighbridge.budgets.standing import standings

    with budgets(store, tenant, policy, at, cap) as found:
        standing = standings(found.caps, counters(found), found.keys)
        if lines:
            output.write_json(_line(one) for _, own in standing for one in own)
        else:
            _show(output.console(), found, standing, everything=everything)
            tables.note_silence(found, [one for _, own in standing for one in own])


def _line(one: Standing) -> dict[str, Any]:
    counted = one.counter is not None
    scope = {field: "each" if value is None and not counted else value for field, value in one.scope.items()}
    classes = None if one.cap.cost_classes is None else sorted(one.cap.cost_classes)
    return tables.cap_line(one.cap) | {
        "counter": one.counter,
        "scope": scope,
        "cost_classes": classes,
        "period": one.period,
        "usage": str(one.usage),
        "left": None if one.left is None else str(one.left),
        "percent": one.percent,
        "settles": one.cap.settles,
        "verdict": one.verdict.value,
    }


def _show(screen: Console, found: Budgets, standing: list[tuple[Cap, list[Standing]]], *, everything: bool) -> None:
    screen.print(tables.headline(found), style="dim")
    shown = [(own if everything else own[: tables.ROWS_PER_CAP_MAX], len(own)) for _, own in standing]
    screen.print(output.best(screen.width, [partial(_table, screen, shown, layout) for layout in tables.LAYOUTS]))
    if any(one.kept for rows, _ in shown for one in rows):
        screen.print(f"{KEPT} {KEPT_MEANS}", style="dim", soft_wrap=True)


def _table(screen: Console, shown: list[tuple[list[Standing], int]], layout: tables.Layout) -> Table:
    made = output.table()
    tables.add_text_columns(made, "Cap", *(("Whom", "Period") if layout.wide else ()), *(["Use"] if layout.bar else []))
    amounts = ("Soft", "Hard", "Left") if layout.wide else ("Left",) if layout.bar else ()
    tables.add_number_columns(made, "%", "Used", *amounts)
    if layout.wide:
        tables.add_text_columns(made, "Unit")
    row = _wide_row if layout.wide else _narrow_row
    for rows, count in shown:
        for one in rows:
            made.add_row(*row(screen, one, layout, first=one is rows[0]))
        if count > len(rows):
            rest = f"{count - len(rows):,} more: --all"
            made.add_row(*(("", rest) if layout.wide else (f"  {rest}",)), style="dim")
    return made


def _wide_row(screen: Console, one: Standing, layout: tables.Layout, *, first: bool) -> tuple[Any, ...]:
    cap, style = one.cap, output.STYLES[one.verdict.value]
    return (
        _name(one) if first else "",
        tables.joined(tables.whom(one.scope, counted=one.counter is not None), layout),
        one.period,
        tables.bar(screen, one.usage, cap.hard_cap, style, layout.bar),
        _text(tables.percent(one.percent, one.usage), style),
        _used(one),
        "" if cap.soft_cap is None else tables.number(cap.soft_cap, cap.unit),
        tables.number(cap.hard_cap, cap.unit),
        "" if one.left is None else tables.number(one.left, cap.unit),
        _unit(cap.unit),
    )


def _narrow_row(screen: Console, one: Standing, layout: tables.Layout, *, first: bool) -> tuple[Any, ...]:
    from rich.text import Text

    cap, style = one.cap, output.STYLES[one.verdict.value]
    parts = [*tables.whom(one.scope, counted=one.counter is not None), one.period]
    about = tables.joined(parts, layout, "  ")
    name = Text("\n").join([*([_name(one)] if first else []), Text(about, style="dim")])
    percent = _text(tables.percent(one.percent, one.usage), style)
    used, hard, unit = _used(one), f"of {tables.number(cap.hard_cap, cap.unit)}", _unit(cap.unit)
    left = "" if one.left is None else tables.number(one.left, cap.unit)
    if not layout.bar:
        return name, percent, "\n".join([f"{used} {unit}", hard, *([f"{left} left"] if left else [])])
    bar = tables.bar(screen, one.usage, cap.hard_cap, style, layout.bar)
    return name, bar, percent, f"{used}\n{hard}", f"{left}\n{unit}"


def _used(one: Standing) -> str:
    """Return what is used; marked where that is more than the operations came to (B7)."""
    return f"{KEPT if one.kept else ''}{tables.number(one.usage, one.cap.unit)}"


def _name(one: Standing) -> Any:
    return _text(tables.cap_name(one.cap), output.STYLES[one.verdict.value] if one.verdict.value != "ALLOW" else "")


def _text(text: str, style: str) -> Any:
    from rich.text import Text

    return Text(output.safe(text), style=style)


def _unit(unit: str) -> str:
    from weighbridge.budgets.sentences import unit_name

    return unit_name(unit)


# --- Who spent it (M4) ------------------------------------------------------------------------------------------------


class _Question(NamedTuple):
    """Whose consumption to add up, at which day and month, under one cap or under any."""

    ledger: Ledger
    by: By
    keys: tuple[str, str]
    cap: Cap | None

    @property
    def order(self) -> tuple[str, ...]:
        """Return what to order by: the period that the cap counts, or the month, and then the others."""
        from weighbridge.domain.caps import Period

        first = {Period.DAY: "day", Period.PLAN: "ever"}.get(self.cap.period, "month") if self.cap else "month"
        return (first, *(when for when in ("month", "day", "ever") if when != first))

    def heading(self, when: str) -> str:
        """Return what people call a span of time."""
        return {"day": self.keys[0], "month": self.keys[1], "ever": "Ever"}[when]


class _Spent:
    """What somebody reserved in one unit, and what of it was given back: today, this month, ever."""

    def __init__(self) -> None:
        self.reserved = dict.fromkeys(SPANS, 0)
        self.settled = dict.fromkeys(SPANS, 0)

    def used(self, when: str) -> int:
        """Return what stays spent."""
        return self.reserved[when] - self.settled[when]


class _Spender(NamedTuple):
    """Who, in what unit."""

    unit: str
    who: str | None


_Spending = list[tuple[_Spender, _Spent]]


@contextmanager
def _asked(
    by: By, cap: str | None, policy: str | None, where: tuple[str | None, str | None, str | None]
) -> Iterator[_Question]:
    """Open what is asked for; what was consumed needs no policy, what fell under a cap does."""
    from weighbridge.budgets.periods import period_keys

    store, tenant, at = where
    if cap is not None:
        with budgets(store, tenant, policy, at, cap) as found:
            yield _Question(found.ledger, by, found.keys, found.caps[0])
        return
    with ledger(store, tenant) as opened:
        zones = readable_zones(opened)
        at_ms = now_ms(opened) if at is None else instant(at, zones)
        yield _Question(opened, by, period_keys(zones, at_ms), None)


def _say_spenders(question: _Question, *, lines: bool, everything: bool) -> None:
    found = _spending(question)
    if not found:
        under = "" if question.cap is None else f" under cap `{question.cap.id}`"
        raise NotFound(
            f"tenant `{question.ledger.tenant_id}` never reserved anything{under}; there is nothing to add up"
        )
    if lines:
        output.write_json(_spender_line(question, *item) for item in found)
    else:
        _show_spenders(output.console(), question, found, everything=everything)


def _spending(question: _Question) -> _Spending:
    from weighbridge.ledger.reserving import parse_cell

    found: dict[_Spender, _Spent] = defaultdict(_Spent)
    cap = question.cap
    for name, consumption in question.ledger.reader.consumption(question.ledger.tenant_id):
        cell = parse_cell(name)
        if cap is not None and cell.counter(cap.family) is None:
            continue
        for unit in consumption.reserved if cap is None else {cap.unit} & consumption.reserved.keys():
            row = found[_Spender(unit, _who(cell, question.by))]
            for when in _when(cell, question.keys):
                row.reserved[when] += consumption.reserved[unit]
                row.settled[when] += consumption.settled.get(unit, 0)
    return sorted(
        found.items(), key=lambda item: (item[0].unit, *(-item[1].used(w) for w in question.order), item[0].who or "")
    )


def _who(cell: Cell, by: By) -> str | None:
    who: str | None = cell.cost_class if by is By.CLASS else getattr(cell, by.value)
    return who


def _when(cell: Cell, keys: tuple[str, str]) -> Iterator[str]:
    yield "ever"
    if cell.day == keys[0]:
        yield "day"
    if cell.month == keys[1]:
        yield "month"


def _spender_line(question: _Question, spender: _Spender, spent: _Spent) -> dict[str, Any]:
    def sums(when: str) -> dict[str, str]:
        return {"reserved": str(spent.reserved[when]), "settled": str(spent.settled[when])}

    day, month = question.keys
    return {
        "by": question.by.value,
        question.by.value: spender.who,
        "unit": spender.unit,
        "day": {"period": day, **sums("day")},
        "month": {"period": month, **sums("month")},
        "ever": sums("ever"),
    }


def _show_spenders(screen: Console, question: _Question, found: _Spending, *, everything: bool) -> None:
    under = "" if question.cap is None else f" under cap {question.cap.id}"
    title = f"tenant {question.ledger.tenant_id}: what was spent{under}, by {question.by.value} ({SPENT_MEANS})"
    screen.print(output.safe(title), style="dim")
    by_unit = [
        [(spender, spent) for spender, spent in found if spender.unit == unit]
        for unit in dict.fromkeys(spender.unit for spender, _ in found)
    ]
    layouts = (_Columns(bar=20), _Columns(bar=12), _Columns(bar=8), _Columns(bar=0), _Columns(bar=0, stacked=True))
    makers = [partial(_spenders, screen, question, by_unit, layout, everything=everything) for layout in layouts]
    screen.print(output.best(screen.width, makers))


class _Columns(NamedTuple):
    """How spenders are laid out: how long bars are, and whether all amounts stand below each other in one column."""

    bar: int
    stacked: bool = False


def _spenders(
    screen: Console, question: _Question, by_unit: list[_Spending], layout: _Columns, *, everything: bool
) -> Table:
    by, share = question.by.value, f"Share of {question.heading(question.order[0]).lower()}"
    made = output.table()
    tables.add_text_columns(made, by.capitalize(), *([share] if layout.bar else []))
    if layout.stacked:
        tables.add_number_columns(made, "Spent")
    else:
        tables.add_number_columns(made, "%" if layout.bar else share, *(question.heading(when) for when in SPANS))
        tables.add_text_columns(made, "Unit")
    for own in by_unit:
        shown = own if everything else own[:SPENDERS_MAX]
        total = sum(spent.used(question.order[0]) for _, spent in own)
        for item in shown:
            made.add_row(*_spender_row(screen, question, item, total, layout))
        if len(own) > len(shown):
            made.add_row(f"{len(own) - len(shown):,} more: --all", style="dim")
        made.add_section()
    return made


def _spender_row(
    screen: Console, question: _Question, item: tuple[_Spender, _Spent], total: int, layout: _Columns
) -> tuple[Any, ...]:
    (unit, who), spent = item
    first = question.order[0]
    part = spent.used(first)
    name = _text(who if who is not None else f"no {question.by.value}", "")
    percent = tables.percent(part * 100 // total if total else 0, part)
    amounts = [tables.number(spent.used(when), unit) for when in SPANS]
    if layout.stacked:
        spans = [f"{question.heading(when)}: {amount}" for when, amount in zip(SPANS, amounts, strict=True)]
        return name, "\n".join([f"{percent} of {question.heading(first).lower()}", *spans, _unit(unit)])
    bars = [tables.bar(screen, part, total or 1, "cyan", layout.bar)] if layout.bar else []
    return name, *bars, percent, *amounts, _unit(unit)
