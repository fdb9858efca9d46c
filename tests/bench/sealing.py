"""What sealing 1,000 tenants costs, beside hashing the same bytes and one flush.

Every round a few records are added for every tenant, and then one seal is made: of everything that is new, read by the seal
itself; or, as a sealer that goes on has it, with what is new read while it waited. The floor is what nobody can do without:
SHA-256 over the bodies that are new and over a line for each tenant, and one append with a flush.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.flush import Place, flush_seconds
from tests.bench.measure import QUICK, Row, Scale, ratio, settle
from weighbridge import keys
from weighbridge.ledger.ed25519 import is_signature
from weighbridge.sealer import Sealer
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.submissions import decision, draft
from weighbridge.wiring import system_surroundings
from weighbridge.witnesses.directory import DirectoryWitness

GROUP = "seal"
TARGET_MS = 10.0
TENANTS = 1_000
NEW = 2  # records of every tenant between two seals
_TOGETHER = 500


def run(place: Place, scale: Scale) -> list[Row]:
    """Return what a seal takes beside its floor and beside its target."""
    tenants = TENANTS if scale.rounds >= QUICK.rounds else 20
    store = SqliteStore(place.folder / "sealed.db", entropy=os.urandom)
    keys.create(place.folder / "keys", "bench.example/log", os.urandom)
    (place.folder / "witness").mkdir()
    made = Sealer(
        store,
        [DirectoryWitness(place.folder / "witness")],
        signers=keys.signers(place.folder / "keys"),
        keys=keys.public_keys(place.folder / "keys"),
        check=is_signature,
        clock_ms=system_surroundings().clock_ms,
    )
    made.resume(begin=True)
    _add(store, tenants, -1)
    made.seal()
    settle()
    took: dict[str, list[float]] = {"at once": [], "read meanwhile": [], "floor": []}
    for number in range(scale.rounds):
        bodies = _add(store, tenants, 2 * number)
        took["at once"].append(_seconds(made.seal))
        took["floor"].append(_floor(place.folder, bodies, tenants))
        _add(store, tenants, 2 * number + 1)
        made.pending()
        took["read meanwhile"].append(_seconds(made.seal))
    store.close()
    rows = []
    for name in ("at once", "read meanwhile"):
        what, ms = f"sealing {tenants:,} tenants, {NEW} new records each, {name}, {place.name}", _ms(took[name])
        rows.append(
            Row(
                GROUP,
                what,
                ms,
                "ms",
                "hashing its bytes, a flush",
                _ms(took["floor"]),
                ratio(took[name], took["floor"]),
            )
        )
        rows.append(Row(GROUP, what, ms, "ms", "what it may take", TARGET_MS, ms / TARGET_MS, 1.0))
    return rows


def _add(store: SqliteStore, tenants: int, number: int) -> list[bytes]:
    """Add records for every tenant, and return their bodies."""
    bodies = []
    for first in range(0, tenants, _TOGETHER):
        answers = store.commit_many(
            [
                decision(draft(f"run-{number}-{each}"), tenant=f"tenant-{tenant:04}")
                for tenant in range(first, min(first + _TOGETHER, tenants))
                for each in range(NEW)
            ]
        )
        bodies += [answer.body for answer in answers]  # type: ignore[union-attr]
    return bodies


def _floor(folder: Path, bodies: list[bytes], tenants: int) -> float:
    line = b"x" * 110
    start = time.perf_counter()
    for body in bodies:
        hashlib.sha256(body).digest()
    for _ in range(tenants):
        hashlib.sha256(line).digest()
    return time.perf_counter() - start + flush_seconds(folder, 1)[0]


def _seconds(do: Callable[[], Any]) -> float:
    start = time.perf_counter()
    assert do() is not None
    return time.perf_counter() - start


def _ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1e3
