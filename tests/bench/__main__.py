"""Run the benchmark: ``python -m tests.bench [--quick] [--group NAME ...] [--output bench.json]``.

Every group runs in a process of its own, at every place that says something about it (see `flush`). Prints one table with
the ratios and their targets, and writes the same to a file. Missed targets are shown, and are no failure of the run: whether
a machine at hand is good enough to judge them is for its reader to say.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from tests.bench.flush import DISK, FIXED, MEMORY, Place, places
from tests.bench.measure import FULL, QUICK, Row, table

# group, its module, and the places it is measured at; the first is the one to quote
GROUPS = {
    "evaluate": ("tests.bench.evaluate", (MEMORY,)),
    "decision": ("tests.bench.decision", (FIXED, MEMORY, DISK)),
    "callers": ("tests.bench.callers", (FIXED,)),
    "reserve": ("tests.bench.reserve", (FIXED,)),
    "tokencap": ("tests.bench.tokencap_peer", (DISK, FIXED)),
    "race": ("tests.bench.cap_race", (DISK,)),
    "growth": ("tests.bench.growth", (FIXED, MEMORY)),
    "seal": ("tests.bench.sealing", (FIXED, DISK)),
    "verify": ("tests.bench.verifying", (MEMORY,)),
    "plans": ("tests.bench.plans", (FIXED, MEMORY)),
    "import": ("tests.bench.imports", (DISK,)),
    "reserve-growth": ("tests.bench.reserve_growth", (FIXED,)),
    "postgres": ("tests.bench.postgres", (FIXED,)),
    "postgres-growth": ("tests.bench.postgres_growth", (FIXED,)),
}
LONG = frozenset({"reserve-growth", "postgres-growth"})
"""Groups that take minutes and gigabytes: measured where they are asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for and return the exit code."""
    asked = _parser().parse_args(arguments)
    if asked.inside is not None:
        return _inside(*asked.inside, quick=asked.quick)
    rows: list[Row] = []
    with places() as at:
        if at[FIXED].name != FIXED:
            print("no C compiler or no /dev/shm here: flushes are the disk's own, and ratios swing with it")
        for group in asked.group or [group for group in GROUPS if group not in LONG]:
            _, wanted = GROUPS[group]
            for place in {at[name].name: at[name] for name in wanted}.values():
                start = time.perf_counter()
                rows += _in_child(group, place, quick=asked.quick)
                print(f"{group}, {place.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(table(rows))
    result = {"machine": _machine(), "quick": asked.quick, "rows": [row.as_json() for row in rows]}
    Path(asked.output).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure Weighbridge, in ratios.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and a small ledger: a look, not a figure")
    parser.add_argument("--group", action="append", choices=list(GROUPS), help="only this group; may be repeated")
    parser.add_argument("--output", default="bench.json", help="where the rows go (default: bench.json)")
    parser.add_argument("--inside", nargs=3, help=argparse.SUPPRESS)  # group, place, folder: the process that measures
    return parser


def _in_child(group: str, place: Place, *, quick: bool) -> list[Row]:
    """Measure in a process of its own, with the place's environment, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"{group}-", dir=place.folder) as folder:
        command = [sys.executable, "-m", "tests.bench", "--inside", group, place.name, folder]
        done = subprocess.run(
            [*command, "--quick"] if quick else command,
            env=os.environ | place.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return [Row(**row) for row in json.loads(done.stdout)]


def _inside(group: str, place_name: str, folder: str, *, quick: bool) -> int:
    module = importlib.import_module(GROUPS[group][0])
    rows: list[Row] = module.run(Place(place_name, Path(folder), {}), QUICK if quick else FULL)
    made: list[dict[str, Any]] = [row.as_json() for row in rows]
    print(json.dumps([{name: value for name, value in row.items() if name != "met"} for row in made]))
    return 0


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
    }


if __name__ == "__main__":
    sys.exit(main())
