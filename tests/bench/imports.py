"""A cold `import weighbridge` beside importing what its hot path needs, each in fresh interpreters.

`HOT_PATH` is what judging and recording one decision cannot do without, whoever writes the code. The interpreter's own start
is left out of both sides, because it would hide the difference; byte code is compiled before, as an installation leaves it.
What `import weighbridge` loads besides counts against us, and the table names it; a web framework or a driver among it is an
error.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.flush import Place
from tests.bench.measure import Row, Scale, ratio, take_turns

GROUP = "import"
TARGET = 1.3

HOT_PATH = (
    # third parties: records and their encoding, the reference encoder, patterns, checksums
    "msgspec",
    "rfc8785",
    "re2",
    "stdnum",
    # the standard library: hashes, exact numbers, instants, ids, names, locks, the caller's scope, frozen records, types
    "hashlib",
    "hmac",
    "decimal",
    "datetime",
    "uuid",
    "re",
    "json",
    "unicodedata",
    "threading",
    "contextvars",
    "inspect",
    "logging",
    "dataclasses",
    "enum",
    "functools",
    "typing",
)
FORBIDDEN = (
    *("fastapi", "starlette", "flask", "django", "aiohttp", "uvicorn", "httpx", "requests", "jinja2"),
    *("apsw", "sqlite3", "psycopg", "psycopg2", "sqlalchemy", "asyncpg", "redis", "boto3"),
    *("pydantic", "yaml", "typer", "rich", "asyncio"),  # for reading policies and for people, not for deciding
)

OURS = "weighbridge.runtime, weighbridge.domain.decision"  # what the public names load when they are used

_TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
_LOADED = "import sys, json; before = set(sys.modules); import {}; print(json.dumps(sorted(set(sys.modules) - before)))"


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparison."""
    python = _Python(place.folder)
    loaded = set(json.loads(python.run(_LOADED.format(OURS))))
    wrong = sorted(loaded & set(FORBIDDEN))
    assert not wrong, f"`import weighbridge` loads {', '.join(wrong)}"
    # What it does not load (yet) is no excuse: the floor is made of what both load.
    needed = [name for name in HOT_PATH if name in loaded]
    floor = set(json.loads(python.run(_LOADED.format(", ".join(needed)))))
    besides = {name.partition(".")[0] for name in loaded - floor} - {"weighbridge"}
    took = take_turns(
        {
            "ours": lambda _number: float(python.run(_TIMED.format(OURS))),
            "floor": lambda _number: float(python.run(_TIMED.format(", ".join(needed)))),
        },
        scale.processes,
    )
    ours = sum(name.partition(".")[0] == "weighbridge" for name in loaded)
    note = f"{ours} modules of our own; besides the hot path's: {', '.join(sorted(besides)) or 'nothing'}"
    return [
        Row(
            GROUP,
            "import weighbridge, cold",
            statistics.median(took["ours"]) * 1e3,
            "ms",
            f"its {len(needed)} hot-path libraries",
            statistics.median(took["floor"]) * 1e3,
            ratio(took["ours"], took["floor"]),
            TARGET,
            note=note,
        )
    ]


class _Python:
    """Fresh interpreters that keep their byte code in one folder."""

    def __init__(self, folder: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = kept | {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}

    def run(self, program: str) -> str:
        """Return what a program prints."""
        done = subprocess.run(
            [sys.executable, "-c", program], env=self._environment, capture_output=True, text=True, check=True
        )
        return done.stdout
