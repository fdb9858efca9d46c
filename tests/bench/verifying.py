"""How fast a ledger is verified, in events a second, beside hashing the same bytes.

A store is checked as `weighbridge ledger verify` does it: its records are read and linked, and every row beside them is computed
anew and compared. An export is checked as a stranger does it. The floor is SHA-256 over the same bodies and contents, or over the
same file, in memory.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable, Sequence

from tests.bench import workload
from tests.bench.flush import Place
from tests.bench.measure import Row, Scale, ratio, settle, take_turns
from weighbridge.ledger import record
from weighbridge.storage.audit import export_ledger, verify_tenant
from weighbridge.verify import verify_export
from weighbridge.wiring import open as open_weighbridge

GROUP = "verify"
_TOGETHER = 500


def run(place: Place, scale: Scale) -> list[Row]:
    """Return how many events a second are verified, in a store and in an export."""
    with open_weighbridge(workload.POLICY, place.folder / "verified.db") as wb:
        count = max(1, scale.events_many // 200)
        for first in range(0, count, _TOGETHER):
            wb.answer_many([workload.request(number) for number in range(first, min(first + _TOGETHER, count))])
        reader = wb.reader
        (tenant,) = reader.tenants()
        bodies = [stored.body for stored in reader.records(tenant)]
        contents = [body for _, body in reader.contents(tenant) if body is not None]
        export = list(export_ledger(reader, tenant))
        events = sum(len(record.decode(body).events) for body in bodies)
        settle()

        def store(_round: int) -> float:
            return _seconds(lambda: verify_tenant(reader, tenant).ok)

        def exported(_round: int) -> float:
            return _seconds(lambda: verify_export(export).ok)

        took = take_turns(
            {
                "store": store,
                "export": exported,
                "bodies": lambda _round: _hashing([*bodies, *contents]),
                "lines": lambda _round: _hashing(export),
            },
            max(3, scale.rounds // 3),
        )

    def row(name: str, floor: str, what: str, beside: str) -> Row:
        fast, floor_fast = (events / statistics.median(took[each]) for each in (name, floor))
        return Row(
            GROUP, f"{what} of {events:,} events", fast, "a second", beside, floor_fast, ratio(took[floor], took[name]),
            better="high",
        )  # fmt: skip

    return [
        row("store", "bodies", "verify a store", "hashing its records and contents"),
        row("export", "lines", "verify an export", "hashing its bytes"),
    ]


def _hashing(parts: Sequence[bytes]) -> float:
    def hashed() -> bool:
        for part in parts:
            hashlib.sha256(part).digest()
        return True

    return _seconds(hashed)


def _seconds(do: Callable[[], bool]) -> float:
    start = time.perf_counter()
    assert do()
    return time.perf_counter() - start
