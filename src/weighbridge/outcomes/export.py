"""Outcomes for analysis: one flat line each, as JSON or as CSV, to be joined by plan, account, opportunity and event."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from weighbridge.domain.instant import format_instant
from weighbridge.domain.outcome import OutcomeRow

COLUMNS: Final = (
    *(
        "outcome_id",
        "kind",
        "at",
        "plan_id",
        "account_id",
        "opportunity_id",
        "actor_id",
        "step_id",
        "attempt",
        "reason",
    ),
    *("late", "source", "amount", "currency", "note_hash", "event_seq", "event_index", "seq"),
)
"""The columns of an export, in order. ``note_hash`` addresses what people wrote, which is content and is not exported."""

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def flat(row: OutcomeRow) -> dict[str, Any]:
    """Return an outcome as one flat object with all `COLUMNS`; what it does not say is None."""
    known = msgspec.structs.asdict(row) | row.body
    known |= {"at": format_instant(row.at_ms), "note_hash": row.body.get("content", {}).get("note")}
    return {name: known.get(name) for name in COLUMNS}


def csv_lines(rows: Iterable[OutcomeRow]) -> Iterator[str]:
    """Yield a header and a line (RFC 4180) for each outcome.

    A text that a spreadsheet would compute is preceded by an apostrophe: ids come from agents. JSON has it as it is.
    """
    yield _csv_line(COLUMNS)
    for row in rows:
        yield _csv_line(_cell(value) for value in flat(row).values())


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _csv_line(values: Iterable[Any]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
