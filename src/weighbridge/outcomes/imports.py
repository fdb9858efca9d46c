"""Downstream wins and losses from the export of a CRM: CSV or JSON lines, row by row.

A row that is wrong is reported with its line and harms no other; a row that was imported before is told to be a duplicate, so
that the same export can be imported again (O4).
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from weighbridge.domain.context import Actor
from weighbridge.domain.json_text import parse_strict
from weighbridge.domain.outcome import Lost, Outcome, Won, parse_outcome
from weighbridge.errors import ContextError, UsageError, WeighbridgeError
from weighbridge.outcomes.capture import Capture

TOGETHER = 256  # rows that share a commit
EXACT_DIGITS_MAX = 15  # of a JSON number with a fraction, which readers keep in 53 bits
FIELDS: Final = ("kind", "account_id", "opportunity_id", "closed_at", "amount", "currency", "note", "plan_id")
"""What a row says. The first four are needed."""

_NEEDED: Final = FIELDS[:4]
_KINDS: Final = {"won": "WON", "closed won": "WON", "lost": "LOST", "closed lost": "LOST"}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DELIMITERS: Final = ",;\t"

Row = tuple[int, dict[str, Any] | WeighbridgeError]
"""The line of a row, from 1, and what it says or what is wrong with it."""


class BadRow(msgspec.Struct, frozen=True):
    """A row that was not imported: its line, from 1, and why."""

    line: int
    error: WeighbridgeError


class Imported(msgspec.Struct, frozen=True):
    """What an import did: new outcomes, rows that were there already, and rows that are wrong or could not be recorded."""

    captured: int
    duplicates: int
    bad: tuple[BadRow, ...]


def import_file(
    path: str | Path,
    capture: Capture,
    tenant_id: str,
    *,
    by: Actor,
    source: str = "crm",
    columns: Mapping[str, str] | None = None,
) -> Imported:
    """Record every win and loss in a file: JSON lines where its name ends in .jsonl or .json, else CSV with a header.

    ``source`` names where it comes from; together with the opportunity it makes an outcome one, so name it the same every time.
    ``columns`` are the file's own names of `FIELDS`.

    Raises:
        UsageError: the file cannot be read, or its header lacks a needed column; nothing was recorded.
    """
    place = Path(path)
    try:
        # Bytes that are no UTF-8 harm their own row.
        with place.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            is_json = place.suffix.lower() in {".jsonl", ".json", ".ndjson"}
            rows = json_rows(lines, columns or {}) if is_json else csv_rows(lines, columns or {})
            return import_rows(rows, capture, tenant_id, by=by, source=source)
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read ({error.strerror}); give a CSV file or JSON lines") from None


def import_rows(rows: Iterable[Row], capture: Capture, tenant_id: str, *, by: Actor, source: str) -> Imported:
    """Record every row that is an outcome, and tell of the others."""
    captured = duplicates = 0
    bad: list[BadRow] = []
    stream = iter(rows)
    while some := list(islice(stream, TOGETHER)):
        good: list[tuple[int, Outcome]] = []
        for line, row in some:
            try:
                good.append((line, _outcome(row, source)))
            except WeighbridgeError as error:
                bad.append(BadRow(line, error))
        answers = capture.capture_many(tenant_id, [outcome for _, outcome in good], by=by)
        for (line, _), answer in zip(good, answers, strict=True):
            if isinstance(answer, WeighbridgeError):
                bad.append(BadRow(line, answer))
            else:
                duplicates += answer.duplicate
                captured += not answer.duplicate
    return Imported(captured, duplicates, tuple(sorted(bad, key=lambda row: row.line)))


def json_rows(lines: Iterable[str], columns: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows of JSON lines; blank ones are passed over."""
    own = _own_names(columns)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = parse_strict(line.encode("utf-8", "surrogateescape"))
            if not isinstance(document, dict):
                raise ContextError("", "is no object; one row stands on one line")
            yield number, {own.get(str(name), str(name)): value for name, value in document.items()}
        except WeighbridgeError as error:
            yield number, error


def csv_rows(lines: Iterable[str], columns: Mapping[str, str]) -> Iterator[Row]:
    """Yield the rows of CSV with a header; comma, semicolon and tab separate, whichever the header has most of.

    Raises:
        UsageError: the header lacks a needed column.
    """
    stream = iter(lines)
    first = next(stream, "")
    delimiter = max(_DELIMITERS, key=first.count)
    header = [_known_name(name, columns) for name in next(csv.reader([first], delimiter=delimiter), [])]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        named = ", ".join(f"`{name}`" for name in missing)
        raise UsageError(
            f"the header has no column {named}; give the file's own names, as in --column account_id='Account ID'"
        )
    for line, values in _records(stream, delimiter):
        if isinstance(values, WeighbridgeError):
            yield line, values
        elif values:
            yield line, _row(header, values)


def _records(stream: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str] | WeighbridgeError]]:
    """Yield the records after the header, each with its line.

    Of one that is wrong, only the first line is: what an unterminated quote took in is read again.
    """
    waiting: deque[str] = deque()
    line = 2
    while True:
        taken: list[str] = []
        lines = _taking(waiting, stream, taken)
        try:
            values = next(csv.reader(lines, delimiter=delimiter, strict=True), None)
        except csv.Error as error:
            yield line, ContextError("", f"is no row of CSV ({error})")
            waiting.extendleft(reversed(taken[1:]))
            line += 1
            continue
        if values is None:
            return
        yield line, values
        line += len(taken)


def _taking(waiting: deque[str], stream: Iterator[str], taken: list[str]) -> Iterator[str]:
    while True:
        line = waiting.popleft() if waiting else next(stream, None)
        if line is None:
            return
        taken.append(line)
        yield line


def _row(header: list[str], values: list[str]) -> dict[str, Any] | WeighbridgeError:
    if len(values) != len(header):
        return ContextError("", f"has {len(values)} values, the header {len(header)}")
    named = dict(zip(header, values, strict=True))
    return {name: named[name] for name in FIELDS if named.get(name, "").strip()}


def _own_names(columns: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted({*columns}.difference(FIELDS))
    if unknown:
        raise UsageError(f"`{unknown[0]}` is nothing that a row says; name one of {', '.join(FIELDS)}")
    return {theirs: ours for ours, theirs in columns.items()}


def _known_name(name: str, columns: Mapping[str, str]) -> str:
    return _own_names(columns).get(name.strip(), name.strip())


def _outcome(row: dict[str, Any] | WeighbridgeError, source: str) -> Outcome:
    if isinstance(row, WeighbridgeError):
        raise row
    said = {name: value for name in FIELDS if (value := row.get(name)) is not None}
    for name, value in said.items():
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise ContextError(name, "is not UTF-8; export the file as UTF-8")
    stated = said.get("kind")
    kind = _KINDS.get(" ".join(str(stated).casefold().split()))
    if stated is not None and kind is None:
        raise ContextError("kind", f"`{str(stated)[:80]}` is neither won nor lost; only what is closed is an outcome")
    said |= {"source": source} | ({} if kind is None else {"kind": kind})
    for name in ("closed_at", "account_id", "opportunity_id", "currency"):
        if isinstance(said.get(name), str):
            said[name] = said[name].strip()
    if isinstance(said.get("closed_at"), str) and _DATE.fullmatch(said["closed_at"]):
        said["closed_at"] += "T00:00:00Z"
    if said.get("amount") is not None and not isinstance(said["amount"], bool):
        said["amount"] = _amount(said["amount"])
    outcome = parse_outcome(said)
    if not isinstance(outcome, Won | Lost):  # pragma: no cover - `kind` says so above
        raise ContextError("kind", "is not of an opportunity")
    return outcome


def _amount(value: Any) -> str:
    """Return a stated amount as text; what people write has spaces around it, and programs write numbers."""
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if isinstance(value, float) and sum(char.isdigit() for char in text) > EXACT_DIGITS_MAX:
        raise ContextError("amount", 'is not exact; write decimal text, as in "0.25"')
    return text
