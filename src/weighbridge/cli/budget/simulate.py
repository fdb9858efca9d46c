"""`weighbridge budget simulate POLICY`: what the recorded operations of a past period would have met under other caps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.budget import tables
from weighbridge.cli.budget.sources import Ledger, instant, ledger, load
from weighbridge.cli.stores import ArchiveOption, JsonOption, StoreOption, TenantOption
from weighbridge.errors import NotFound, UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.budgets.simulate import Answer, CapOutcome, Simulation

CHANGES_SHOWN_MAX = 10
WHY_WIDTH = 32  # a sentence in a narrower column is no sentence


def simulate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="The policy whose caps to try, YAML or JSON.")],
    *,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Weigh from here on, as in 2026-11-01; what lies before counts as recorded.",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME", help="Weigh up to here, as in 2026-12-01, not included.", show_default=False
        ),
    ] = None,
    changes: Annotated[
        bool, typer.Option("--changes", help="Every operation that would have met another verdict, one a line.")
    ] = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Weigh what is on record anew, under the caps of another policy. Nothing is written.

    Every operation that ever asked for its budget is weighed, also those that were blocked, in the order of the ledger, with
    the amounts, the class and the time that are on record; prices and class maxima of the policy play no part.
    """
    lines = output.wants_json(as_json)
    with ledger(store, tenant, archive) as opened:
        tried = _tried(opened, policy, from_, to, keep=None if changes else CHANGES_SHOWN_MAX)
    if changes and lines:
        output.write_json(_change_line(one) for one in tried.changed)
    elif lines:
        output.write_json([_document(tried)])
    else:
        _show(output.console(), tried, alone=changes)


class _Tried(NamedTuple):
    """A finished simulation, what was asked for, and the operations that would have met another verdict."""

    tenant_id: str
    policy_version: str
    zone: str
    span: tuple[int | None, int | None]
    weighed: int
    simulation: Simulation
    changed: list[Answer]


def _tried(opened: Ledger, policy: str, from_: str | None, to: str | None, *, keep: int | None) -> _Tried:
    from weighbridge.budgets.periods import with_zone
    from weighbridge.budgets.simulate import Simulation

    caps_of, version = load(policy, opened.tenant_id)
    zones = with_zone(None, caps_of.time_zone, 0)
    first = None if from_ is None else instant(from_, zones)
    last = None if to is None else instant(to, zones)
    if first is not None and last is not None and first >= last:
        raise UsageError(f"`{from_}` is not before `{to}`; --to is where weighing ends, and is not included")
    simulation = Simulation(caps_of.caps, zones, from_ms=first, to_ms=last)
    times: list[int] = []
    changed: list[Answer] = []
    for answer in _weighed(opened, simulation, times):
        if answer.changed and (keep is None or len(changed) < keep):
            changed.append(answer)
    weighed = simulation.outcomes.total()
    if not weighed:
        raise NotFound(_nothing(opened.tenant_id, times))
    return _Tried(opened.tenant_id, version, caps_of.time_zone, (first, last), weighed, simulation, changed)


def _weighed(opened: Ledger, simulation: Simulation, times: list[int]) -> Iterator[Answer]:
    """Feed the ledger to a simulation, and yield what was weighed; ``times`` get the first and last instant on record."""
    from weighbridge.budgets.simulate import Asked
    from weighbridge.ledger.spending_history import history

    with output.progress(opened.reader.head(opened.tenant_id).seq, "records") as advance:
        for stored in opened.reader.records(opened.tenant_id):
            for one in history(stored.body):
                if not isinstance(one, Asked):
                    simulation.report(one)
                    continue
                times[:] = [min(one.at_ms, *times[:1]), max(one.at_ms, *times[1:])] if times else [one.at_ms, one.at_ms]
                answer = simulation.ask(one)
                if answer is not None:
                    yield answer
            advance(stored.seq, stored.seq)


def _nothing(tenant_id: str, times: list[int]) -> str:
    from weighbridge.domain.instant import format_instant

    if not times:
        return f"no operation of tenant `{tenant_id}` ever asked for its budget; there is nothing to weigh"
    first, last = (format_instant(at) for at in times)
    return f"no operation of tenant `{tenant_id}` asked for its budget in this time; the ledger has them from {first} to {last}"


# --- For programs -----------------------------------------------------------------------------------------------------


def _document(tried: _Tried) -> dict[str, Any]:
    from weighbridge.domain.instant import format_instant

    simulation = tried.simulation
    first, last = (None if at is None else format_instant(at) for at in tried.span)
    return {
        "tenant_id": tried.tenant_id,
        "policy_version": tried.policy_version,
        "from": first,
        "to": last,
        "operations": tried.weighed,
        "before": simulation.before,
        "outcomes": _counted(simulation.outcomes),
        "recorded": _counted(simulation.recorded),
        "changed": simulation.changes.total(),
        "not_made": _not_made(simulation),
        "changes": [
            {
                "recorded": {"verdict": then.value, "reason": why_then},
                "simulated": {"verdict": now.value, "reason": why_now},
                "count": count,
            }
            for (then, why_then, now, why_now), count in sorted(simulation.changes.items())
        ],
        "reserved": {
            unit: {"recorded": str(simulation.spent_then[unit]), "simulated": str(simulation.spent[unit])}
            for unit in sorted({*simulation.spent, *simulation.spent_then})
        },
        "caps": [_cap_line(simulation, outcome) for outcome in simulation.by_cap.values()],
        "first_blocked": None if simulation.first_blocked is None else _change_line(simulation.first_blocked),
    }


def _counted(counts: Counter[Any]) -> list[dict[str, Any]]:
    return [
        {"verdict": verdict.value, "reason": reason, "count": count}
        for (verdict, reason), count in sorted(counts.items())
    ]


def _cap_line(simulation: Simulation, outcome: CapOutcome) -> dict[str, Any]:
    fullest = _fullest(simulation, outcome)
    return tables.cap_line(outcome.cap) | {
        "verdicts": {verdict.value: count for verdict, count in sorted(outcome.verdicts.items())},
        "counters": len(outcome.counters),
        "fullest": None if fullest is None else {"counter": fullest[0], "usage": str(fullest[1])},
        "first_blocked": None if outcome.first_blocked is None else _change_line(outcome.first_blocked),
    }


def _change_line(answer: Answer) -> dict[str, Any]:
    from weighbridge.budgets.sentences import explain
    from weighbridge.domain.instant import format_instant

    asked, decision = answer.asked, answer.decision
    return {
        "operation_id": asked.operation_id,
        "seq": asked.seq,
        "evaluation_time": format_instant(asked.at_ms),
        "operation": asked.operation,
        "recorded": {"verdict": asked.verdict.value, "reason": asked.reason},
        "simulated": {"verdict": decision.verdict.value, "reason": decision.reason},
        "because": explain(decision),
    }


def _fullest(simulation: Simulation, outcome: CapOutcome) -> tuple[str, int] | None:
    """Return the counter of a cap that was used most, and its usage at the end."""
    from weighbridge.budgets.decide import Counter as Held

    used = ((name, simulation.counters.get(name, Held()).usage(outcome.cap)) for name in sorted(outcome.counters))
    return max(used, key=lambda item: item[1], default=None)


# --- For people -------------------------------------------------------------------------------------------------------


def _show(screen: Console, tried: _Tried, *, alone: bool) -> None:
    simulation = tried.simulation
    if alone:
        screen.print(_changes(screen, tried.changed))
        return
    count = f"{tried.weighed:,} operation{'' if tried.weighed == 1 else 's'}"
    before = f"; {simulation.before:,} before count as recorded" if simulation.before else ""
    screen.print(
        output.safe(
            f"tenant {tried.tenant_id}: {count} weighed under the caps of policy {tried.policy_version[:12]}{before}"
        )
    )
    screen.print(_outcomes(simulation))
    layouts = [layout for layout in tables.LAYOUTS if layout.bar == tables.BAR_MIN]
    screen.print(output.best(screen.width, [partial(_caps, simulation, layout) for layout in layouts]))
    screen.print("Reserved, before anything was given back:")
    screen.print(_reserved(simulation))
    if _not_made(simulation):
        screen.print(_say_not_made(_not_made(simulation)), soft_wrap=True)
    if simulation.first_blocked is not None:
        _say_first(screen, simulation.first_blocked)
    changed = simulation.changes.total()
    if not changed:
        screen.print("Every verdict is the one on record.", style="green")
        return
    screen.print(f"{changed:,} of {tried.weighed:,} would have met another verdict:", style="bold")
    screen.print(_changes(screen, tried.changed))
    if changed > len(tried.changed):
        screen.print(f"and {changed - len(tried.changed):,} more: --changes", style="dim")


def _outcomes(simulation: Simulation) -> Table:
    made = output.table("Verdict", "Reason")
    tables.add_number_columns(made, "Recorded", "Simulated", "Difference")
    for verdict, reason in sorted({*simulation.outcomes, *simulation.recorded}):
        then, now = simulation.recorded[verdict, reason], simulation.outcomes[verdict, reason]
        off = f"{now - then:+,}" if now != then else ""
        made.add_row(verdict.value, output.safe(reason), f"{then:,}", f"{now:,}", off, style=_style(verdict.value))
    return made


def _caps(simulation: Simulation, layout: tables.Layout) -> Table:
    made = output.table()
    tables.add_text_columns(made, "Cap" if layout.wide else "Cap, and its fullest at the end")
    tables.add_number_columns(made, "Fell under" if layout.wide else "Under", "Warned", "Blocked")
    if layout.wide:
        tables.add_text_columns(made, "Fullest at the end")
    order = sorted(
        simulation.by_cap.values(), key=lambda one: (-one.verdicts[_BLOCK], -one.verdicts[_WARN], one.cap.id)
    )
    for one in order:
        fullest = _fullest(simulation, one)
        said = ["nothing fell under it"] if fullest is None else _standing(one, *fullest)
        name, about = tables.cap_name(one.cap), tables.joined(said, layout, "" if layout.wide else "  ")
        counts = (f"{one.verdicts.total():,}", f"{one.verdicts[_WARN]:,}", f"{one.verdicts[_BLOCK]:,}")
        style = _style("BLOCK" if one.verdicts[_BLOCK] else "WARN" if one.verdicts[_WARN] else "")
        made.add_row(*((name, *counts, about) if layout.wide else (f"{name}\n{about}", *counts)), style=style)
    return made


def _standing(outcome: CapOutcome, counter: str, usage: int) -> list[str]:
    """Return how far a counter is used, whom it counts and when."""
    from weighbridge.budgets.sentences import of_text
    from weighbridge.domain.caps import parse_counter

    name = parse_counter(counter)
    return [of_text(usage, outcome.cap.hard_cap, outcome.cap.unit), *tables.whom(dict(name.scope)), name.period]


def _reserved(simulation: Simulation) -> Table:
    from weighbridge.budgets.sentences import unit_name

    made = output.table("Unit")
    tables.add_number_columns(made, "Recorded", "Simulated", "Difference")
    for unit in sorted({*simulation.spent, *simulation.spent_then}):
        then, now = simulation.spent_then[unit], simulation.spent[unit]
        off = "" if then == now else f"{'+' if now > then else '-'}{tables.number(abs(now - then), unit)}"
        made.add_row(unit_name(unit), tables.number(then, unit), tables.number(now, unit), off)
    return made


def _not_made(simulation: Simulation) -> int:
    """Return how many operations were blocked then and would not be: they were not made, so nobody knows what they use."""
    return sum(count for (then, _, now, _), count in simulation.changes.items() if then == _BLOCK != now)


def _say_not_made(count: int) -> str:
    if count == 1:
        return "1 operation was not made then; it counts at what it reserves."
    return f"{count:,} operations were not made then; they count at what they reserve."


def _say_first(screen: Console, first: Answer) -> None:
    line = _change_line(first)
    at = output.instant(line["evaluation_time"])
    screen.print(output.safe(f"The first one blocked is {line['operation_id']} (record {line['seq']}, {at} UTC):"))
    for sentence in line["because"]:
        screen.print(output.safe(f"  {sentence}"))


def _changes(screen: Console, changed: list[Answer]) -> Table:
    return output.best(screen.width, [partial(_changes_table, changed, apart=apart) for apart in (True, False)])


def _changes_table(changed: list[Answer], *, apart: bool) -> Table:
    """Return what changed, the operation in a column of its own, or below the reasons."""
    made = output.table("Record")
    tables.add_text_columns(made, *(["Operation"] if apart else []), "Recorded", "Simulated")
    made.add_column("Why", overflow="fold", min_width=WHY_WIDTH)
    for answer in changed:
        line = _change_line(answer)
        now, operation = line["simulated"]["verdict"], output.safe(line["operation_id"])
        why = [*map(output.safe, line["because"])] or [f"{line['recorded']['reason']} no more"]
        cells = (operation, line["recorded"]["verdict"], now) if apart else (line["recorded"]["verdict"], now)
        said = "\n".join(why if apart else [*why, operation])
        made.add_row(str(line["seq"]), *cells, said, style=_style(now))
    return made


_BLOCK: Any = "BLOCK"  # verdicts are text
_WARN: Any = "WARN"


def _style(verdict: str) -> str:
    return "" if verdict in {"", "ALLOW"} else output.STYLES[verdict]
