"""How the budget commands look on a terminal: bars, amounts without their unit, and whom a cap counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from weighbridge.cli import output

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from weighbridge.budgets.standing import Standing
    from weighbridge.cli.budget.sources import Budgets
    from weighbridge.domain.caps import Cap

BAR_MIN = 8
ROWS_PER_CAP_MAX = 5  # the fullest ones; --all prints every one
UNLIMITED = "unlimited"


class Layout(NamedTuple):
    """How a table is laid out: with a column for everything or not, and how long bars are.

    ``line`` is how long a line may be that says whom a cap counts, before it is broken; 0: it never is.
    """

    wide: bool
    bar: int
    line: int = 0


# From the widest to the narrowest, of which the first one that fits is taken: bars shrink first.
LAYOUTS = (
    Layout(wide=True, bar=20),
    Layout(wide=True, bar=12),
    Layout(wide=True, bar=BAR_MIN),
    Layout(wide=True, bar=BAR_MIN, line=24),
    Layout(wide=False, bar=12),
    Layout(wide=False, bar=BAR_MIN),
    Layout(wide=False, bar=BAR_MIN, line=24),
    Layout(wide=False, bar=0, line=24),
)


def bar(screen: Console, part: int, whole: int | None, style: str, width: int) -> Text:
    """Return a bar: full only where ``part`` has reached ``whole``, empty only where there is nothing."""
    from rich.text import Text

    full, empty = ("█", "░") if screen.encoding.startswith("utf") else ("#", ".")
    if whole is None:
        return Text(empty * width, style="dim")
    cells = width if part >= whole else min(width - 1, -(-part * width // whole))
    return Text(full * cells, style=style or "green") + Text(empty * (width - cells), style="dim")


def percent(value: int | None, used: int) -> str:
    """Return a share for people; of what is used a little, not 0."""
    if value is None:
        return ""
    return "<1 %" if not value and used else f"{value:,} %"


def number(amount: int | None, unit: str) -> str:
    """Return an amount without its unit, which stands in a column of its own; without a limit, the word."""
    from weighbridge.domain.amounts import shown

    return UNLIMITED if amount is None else shown(amount, unit).rsplit(" ", 1)[0]


def estimate(amount: int, unit: str, known: int) -> str:
    """Return an amount that is a guess as `number` does, money with as many digits as what it was drawn from.

    More digits would be a lie, and fewer could say that less will be used than is.
    """
    from weighbridge.domain.amounts import PICO, currency_of

    digits = len(number(known, unit).partition(".")[2])
    smallest = PICO // 10**digits if currency_of(unit) else 1
    return number(amount // smallest * smallest, unit)


def whom(scope: Mapping[str, str | None], *, counted: bool = True) -> list[str]:
    """Return whom a counter counts: ``account a-1``, ``no account``; ``each account`` where it has none yet."""
    return [
        output.safe(f"{field} {value}" if value is not None else f"{'no' if counted else 'each'} {field}")
        for field, value in scope.items()
    ]


def joined(parts: Iterable[str], layout: Layout, indent: str = "") -> str:
    """Return parts as a list, on several lines where one would be too long. A part is never broken: it holds an id."""
    lines = [""]
    for part in parts:
        if not lines[-1]:
            lines[-1] = part
        elif layout.line and len(lines[-1]) + len(part) > layout.line:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] += f", {part}"
    return "\n".join(indent + line for line in lines)


def cap_name(cap: Cap) -> str:
    """Return a cap's id, and the cost classes it counts where it does not count them all."""
    from weighbridge.budgets.sentences import classes_text

    classes = classes_text(cap.cost_classes)
    return output.safe(f"{cap.id} ({classes})" if classes else cap.id)


def add_number_columns(table: Table, *names: str) -> None:
    """Add columns of amounts, which stand below each other and in one piece."""
    for name in names:
        table.add_column(name, justify="right", no_wrap=True, overflow="fold")


def add_text_columns(table: Table, *names: str) -> None:
    """Add columns of names and ids, which stay in one piece."""
    for name in names:
        table.add_column(name, no_wrap=True, overflow="fold")


def headline(found: Budgets) -> str:
    """Return which tenant, when, where a day begins, and under what policy."""
    from weighbridge.budgets.forecast import span
    from weighbridge.domain.caps import Period
    from weighbridge.domain.instant import format_instant

    day, month = found.keys
    ends = output.instant(format_instant(span(found.zones, found.at_ms, Period.DAY).end_ms))[:16]
    purpose = found.ledger.reader.purpose()
    kind = "" if purpose == "enforcement" else f", a store for {purpose}"
    whose = "the policy given" if found.given else f"policy {found.policy_version[:12]}"
    return output.safe(
        f"tenant {found.ledger.tenant_id}, {day} and {month} in {found.zone} (the day ends {ends} UTC), {whose}{kind}"
    )


def cap_line(cap: Cap) -> dict[str, Any]:
    """Return what a JSON line says of a cap."""
    from weighbridge.ledger.record import UNLIMITED as WRITTEN

    said: dict[str, Any] = {
        "cap": cap.id,
        "unit": cap.unit,
        "hard_cap": WRITTEN if cap.hard_cap is None else str(cap.hard_cap),
    }
    return said if cap.soft_cap is None else said | {"soft_cap": str(cap.soft_cap)}


def note_silence(found: Budgets, rows: Iterable[Standing]) -> None:
    """Say when the last use was, where the period that is looked at has none at all."""
    if any(one.usage for one in rows):
        return
    from weighbridge.ledger.reserving import parse_cell

    days = [parse_cell(name).day for name, _ in found.ledger.reader.consumption(found.ledger.tenant_id)]
    if days:
        output.note(f"nothing was reserved under these caps in this period; the last use on record is of {max(days)}")
    else:
        output.note("nothing was ever reserved")
