"""The acceptance run: every record set found in a folder, judged, as a table and as ``acceptance.json``.

``python -m tests.acceptance --data DIR [--out acceptance.json]``. The exit code says whether the run took place, not
whether everything was right (that is what the table is for): 0 when every set that was found ran, 1 when one of them
raised (the others run all the same), 2 when the folder holds no records.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.acceptance import (
    agentdojo,
    budget_traces,
    conf_jcs_rfc8785,
    conf_merkle_rfc6962,
    pii_presidio,
    stweb_suitecrm,
    tau_airline,
    tau_retail,
)
from tests.acceptance.framework import RecordSet, Row, merge

RECORD_SETS: tuple[RecordSet, ...] = (
    tau_airline,
    tau_retail,
    agentdojo,
    stweb_suitecrm,
    pii_presidio,
    conf_jcs_rfc8785,
    conf_merkle_rfc6962,
    budget_traces,
)
"""Every set there is, in the order of the table."""

_CASES_SHOWN = 6
_COLUMNS = ("right", "wrong", "not_expressible", "undetermined")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the acceptance sets and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds the records, at any depth")
    parser.add_argument("--out", type=Path, default=Path("acceptance.json"), help="where to write the rows")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"`{options.data}` is no folder; say where the records are: --data DIR", file=sys.stderr)
        return 2
    rows, found, failed = _run_all(options.data)
    if not found:
        known = ", ".join(record_set.NAME for record_set in RECORD_SETS)
        print(f"no records at or below `{options.data}`; known sets: {known}", file=sys.stderr)
        return 2
    options.out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    print(f"\n{len(rows)} rows in {options.out}")
    return 1 if failed else 0


def _run_all(root: Path) -> tuple[list[Row], int, int]:
    rows: list[Row] = []
    found = failed = 0
    for record_set in RECORD_SETS:
        folders = record_set.discover(root)
        if not folders:
            print(f"{record_set.NAME}: no records at or below {root}, skipped", file=sys.stderr)
        for folder in folders:
            found += 1
            started = time.perf_counter()
            print(f"{record_set.NAME}: {folder} …", end=" ", file=sys.stderr, flush=True)
            try:
                rows += record_set.run(folder)
            except Exception:  # noqa: BLE001 - one set that cannot be read must not hide the others
                failed += 1
                traceback.print_exc()
            else:
                print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr)
    return merge(rows), found, failed


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a text table, and below it some of the cases that were judged wrong (the file has all)."""
    header = ("set", "rule", "expected", *_COLUMNS)
    lines = [tuple(str(getattr(row, name)) for name in header) for row in rows]
    widths = [max(len(line[i]) for line in (header, *lines)) for i in range(len(header))]
    texts = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (header, *lines)
    ]
    wrong = [f"wrong: {row.set}, {row.rule} ({row.expected}): {_some(row.wrong_cases)}" for row in rows if row.wrong]
    return "\n".join([texts[0], "-" * len(texts[0]), *texts[1:], *(["", *wrong] if wrong else [])])


def _some(cases: Sequence[str]) -> str:
    more = len(cases) - _CASES_SHOWN
    return ", ".join(cases[:_CASES_SHOWN]) + (f" and {more} more" if more > 0 else "")


if __name__ == "__main__":
    sys.exit(main())
