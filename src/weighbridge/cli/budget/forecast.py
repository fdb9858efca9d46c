"""`weighbridge budget forecast`: a straight line from this period's use to the instant at which a cap is hit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.budget import tables
from weighbridge.cli.budget.sources import AllOption, Budgets, CapOption, PolicyOption, budgets, counters
from weighbridge.cli.stores import ArchiveOption, JsonOption, StoreOption, TenantOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console
    from rich.table import Table

    from weighbridge.budgets.decide import Counter
    from weighbridge.budgets.forecast import Forecast, Span
    from weighbridge.budgets.standing import Standing
    from weighbridge.domain.caps import Cap

WORDS = {
    "REACHED": "reached",
    "HIT": "",
    "NOT_IN_PERIOD": "not in this period",
    "UNLIMITED": "never: unlimited",
    "NO_TIME_PASSED": "too early to say",
    "NO_FORECAST": "none: a plan's life",
}


def forecast(
    *,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME",
            help="Forecast from this instant, and from what had been recorded by then. A day or a month is its end, or now.",
            show_default=False,
        ),
    ] = None,
    cap: CapOption = None,
    everything: AllOption = False,
    policy: PolicyOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Say when each cap is hit, hard and soft, if use goes on as it has since its period began; the soonest first.

    With u used after e of a period's time, u * t / e is used after t: a straight line, in time that really passes. For a
    plan's life there is no forecast, because nobody knows its end.
    """
    with budgets(store, tenant, policy, at, cap, ends=True, archives=archive) as found:
        used = counters(found) if at is None else _as_of(found)
        ordered = _outlooks(found, used)
        if output.wants_json(as_json):
            output.write_json(_line(one, found.at_ms) for _, own in ordered for one in own)
        else:
            _show(output.console(), found, ordered, everything=everything)
            tables.note_silence(found, [row.standing for _, own in ordered for row in own])


class _Row(NamedTuple):
    """A counter of a cap, its period (None for a plan's life), and where the line leads; ``soft`` where it has a soft cap."""

    standing: Standing
    span: Span | None
    forecast: Forecast
    soft: Forecast | None = None

    @property
    def order(self) -> tuple[int, int, int, str]:
        """Return what to sort by: what is reached, then what is hit soonest, then what comes closest."""
        outlook = self.forecast.outlook.value
        hard, end = self.standing.cap.hard_cap, self.forecast.end or 0
        closeness = (end or self.standing.usage) * 10**9 // hard if hard else 0
        return tuple(WORDS).index(outlook), self.forecast.hit_ms or 0, -closeness, self.standing.counter or ""


def _outlooks(found: Budgets, used: Mapping[str, Counter]) -> list[tuple[Cap, list[_Row]]]:
    from weighbridge.budgets.standing import standings

    made = []
    for cap, own in standings(found.caps, used, found.keys):
        made.append((cap, sorted((_row(found, one) for one in own), key=lambda row: row.order)))
    return sorted(made, key=lambda item: (item[1][0].order[:3], item[0].id))


def _row(found: Budgets, standing: Standing) -> _Row:
    from weighbridge.budgets.forecast import NO_FORECAST, span
    from weighbridge.budgets.forecast import forecast as draw
    from weighbridge.domain.caps import Period

    if standing.cap.period is Period.PLAN:
        return _Row(standing, None, NO_FORECAST)
    within = span(found.zones, found.at_ms, standing.cap.period)
    hard, soft = (
        draw(standing.usage, limit, within, found.at_ms) for limit in (standing.cap.hard_cap, standing.cap.soft_cap)
    )
    return _Row(standing, within, hard, None if standing.cap.soft_cap is None else soft)


def _as_of(found: Budgets) -> Mapping[str, Counter]:
    """Return the counters as they were at an instant: what had been reserved, and given back, by then."""
    from weighbridge.budgets.simulate import Asked, Simulation
    from weighbridge.ledger.spending_history import history

    past = Simulation(found.caps, found.zones, from_ms=found.at_ms + 1)  # up to then, everything counts as recorded
    reader, tenant_id, *_ = found.ledger
    with output.progress(reader.head(tenant_id).seq, "records") as advance:
        for stored in reader.records(tenant_id):
            for one in history(stored.body):
                if one.at_ms > found.at_ms:
                    continue
                if isinstance(one, Asked):
                    past.ask(one)
                else:
                    past.report(one)
            advance(stored.seq, stored.seq)
    return past.counters


def _line(row: _Row, at_ms: int) -> dict[str, Any]:
    from weighbridge.budgets.forecast import elapsed_permille
    from weighbridge.domain.instant import format_instant

    one, within, line = row.standing, row.span, row.forecast
    said = tables.cap_line(one.cap) | {
        "counter": one.counter,
        "period": one.period,
        "usage": str(one.usage),
        "outlook": line.outlook.value,
    }
    if within is not None:
        said |= {
            "from": format_instant(within.start_ms),
            "to": format_instant(within.end_ms),
            "at": format_instant(at_ms),
            "elapsed_permille": elapsed_permille(within, at_ms),
        }
    if line.hit_ms is not None:
        said["hit_at"] = format_instant(line.hit_ms)
    if line.end is not None:
        said["usage_at_end"] = str(line.end)
    if row.soft is not None:
        said["soft_outlook"] = row.soft.outlook.value
        if row.soft.hit_ms is not None:
            said["soft_hit_at"] = format_instant(row.soft.hit_ms)
    return said


def _show(screen: Console, found: Budgets, ordered: list[tuple[Cap, list[_Row]]], *, everything: bool) -> None:
    screen.print(tables.headline(found), style="dim")
    shown = [(own if everything else _worth_showing(own), len(own)) for _, own in ordered]
    screen.print(output.best(screen.width, [partial(_table, shown, found.at_ms, layout) for layout in _LAYOUTS]))


# Forecasts have no bars: of the layouts that differ in them alone, one will do.
_LAYOUTS = [layout for layout in tables.LAYOUTS if layout.bar <= tables.BAR_MIN]


def _table(shown: list[tuple[list[_Row], int]], at_ms: int, layout: tables.Layout) -> Table:
    made = output.table()
    wide = layout.wide
    tables.add_text_columns(made, "Cap", *(("Whom",) if wide else ()))
    made.add_column("Hit (UTC)", no_wrap=wide, overflow="fold")
    if layout.bar:
        tables.add_number_columns(made, "Elapsed", "Used", *(("At its end", "Hard") if wide else ("At its end",)))
    else:
        tables.add_number_columns(made, "Used")
    if wide:
        tables.add_text_columns(made, "Unit")
    for rows, count in shown:
        for row in rows:
            cells = _cells(row, at_ms, layout, first=row is rows[0])
            made.add_row(*cells, style=_STYLES.get(row.forecast.outlook.value, ""))
        if count > len(rows):
            rest = f"{count - len(rows):,} more: --all"
            made.add_row(*(("", rest) if wide else (f"  {rest}",)), style="dim")
    return made


def _worth_showing(own: list[_Row]) -> list[_Row]:
    """Return the rows of a cap that is hit, the first ones; of one that is not, the row that comes closest."""
    hit = [row for row in own if row.forecast.outlook.value in {"REACHED", "HIT"}]
    return hit[: tables.ROWS_PER_CAP_MAX] or own[:1]


_STYLES = {"REACHED": output.STYLES["BLOCK"], "HIT": output.STYLES["WARN"], "NO_FORECAST": "dim", "UNLIMITED": "dim"}


def _cells(row: _Row, at_ms: int, layout: tables.Layout, *, first: bool) -> tuple[str, ...]:
    from weighbridge.budgets.forecast import elapsed_permille
    from weighbridge.budgets.sentences import unit_name

    one, within, line = row.standing, row.span, row.forecast
    cap, unit = one.cap, unit_name(one.cap.unit)
    name = tables.cap_name(cap) if first else ""
    whom = [*tables.whom(one.scope, counted=one.counter is not None), one.period]
    when = "\n".join([_when(line), *([] if row.soft is None else [f"soft: {_when(row.soft)}"])])
    gone = "" if within is None else _tenths(elapsed_permille(within, at_ms))
    used, hard = tables.number(one.usage, cap.unit), tables.number(cap.hard_cap, cap.unit)
    end = "" if line.end is None else tables.estimate(line.end, cap.unit, one.usage)
    if layout.wide:
        return name, tables.joined(whom, layout), when, gone, used, end, hard, unit
    about = "\n".join([*([name] if name else []), tables.joined(whom, layout, "  ")])
    if layout.bar:
        return about, when, gone, f"{used}\nof {hard}", f"{end}\n{unit}"
    later = ["at its end:", end] if end else []
    return about, when, "\n".join([*([f"after {gone}"] if gone else []), f"{used} {unit}", f"of {hard}", *later])


def _when(line: Forecast) -> str:
    from weighbridge.domain.instant import format_instant

    return WORDS[line.outlook.value] if line.hit_ms is None else output.instant(format_instant(line.hit_ms))


def _tenths(permille: int) -> str:
    return f"{permille // 10}.{permille % 10} %"
