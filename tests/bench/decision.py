"""A whole recorded decision beside its floor: hash and append of the same bytes to the same store, same durability.

The floor does what cannot be left out. It takes the finished bytes of the records that were just made, and of the contents
that were new in them; hashes each record into the chain and each content under a key; and appends them to a store of the
same schema (its triggers included) through the store's own way of opening a connection, in one transaction a record:
ledger, contents, head. Everything else a decision does is over the floor: parse, identify, judge four validators, encode,
look ids and earlier blocks up, bind the run's id, file it under account, plan and step, and read the answer back.
"""

from __future__ import annotations

import hashlib
import hmac
import statistics
from pathlib import Path

from tests.bench import workload
from tests.bench.flush import FIXED, Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, typical_call
from weighbridge import canonical
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger import chain
from weighbridge.ledger.record import content_hashes
from weighbridge.runtime import Weighbridge
from weighbridge.storage.sqlite.file import open_writer
from weighbridge.wiring import open as open_weighbridge

GROUP = "decision"
TARGET = 1.5
TENANT = "acme"

Appended = tuple[int, bytes, list[bytes]]
"""A record's number and body, and the contents that were new in it."""


class Floor:
    """Appends finished bytes and nothing more."""

    def __init__(self, path: Path) -> None:
        open_weighbridge(workload.POLICY, path).close()  # the file, with its schema
        self._connection = open_writer(str(path))
        self._previous, self._key = chain.genesis(TENANT), b"k" * 32

    def append(self, appended: Appended) -> None:
        """Hash and append one record and its new contents, durably."""
        seq, body, contents = appended
        leaf = hashlib.sha256(b"\x00" + body).digest()
        self._previous = hashlib.sha256(self._previous + seq.to_bytes(8, "big") + leaf).digest()
        rows = [(TENANT, hmac.digest(self._key, content, "sha256").hex(), content) for content in contents]
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        execute(
            "INSERT INTO ledger (tenant, seq, leaf_hash, hash, body) VALUES (?, ?, ?, ?, ?)",
            (TENANT, seq, leaf, self._previous, body),
        )
        self._connection.executemany("INSERT INTO content (tenant, hash, body) VALUES (?, ?, ?)", rows)
        execute(
            "INSERT INTO ledger_head (tenant, seq, hash) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            (TENANT, seq, self._previous),
        )
        execute("COMMIT")

    def close(self) -> None:
        """Close the store."""
        self._connection.close()


class Decisions:
    """Asks for decisions no one asked for before, and hands out what was appended for them."""

    def __init__(self, wb: Weighbridge) -> None:
        self._wb, self._asked, self._read, self._known = wb, 0, 0, set[str]()

    def block(self, count: int) -> float:
        """Return the seconds that one of ``count`` decisions typically takes."""
        requests = [workload.request(self._asked + n) for n in range(count)]
        self._asked += count
        took = typical_call(self._wb.gate, requests)
        last = self._wb.gate(requests[-1])
        assert last.verdict is Verdict.ALLOW, last.reasons
        return took

    def appended(self) -> list[Appended]:
        """Return what was appended since the last time."""
        found: list[Appended] = []
        reader = self._wb.reader
        for record in reader.records(TENANT, self._read + 1):
            new = [h for h in content_hashes(canonical.decode(record.body)["events"]) if h not in self._known]
            self._known.update(new)
            bodies = [reader.content(TENANT, content_hash) for content_hash in new]
            found.append((record.seq, record.body, [body for body in bodies if body is not None]))
            self._read = record.seq
        return found


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparison at one place."""
    with open_weighbridge(workload.POLICY, place.folder / "decisions.db") as wb:
        decisions = Decisions(wb)
        floor = Floor(place.folder / "floor.db")
        sizes: list[int] = []
        settle()

        took: dict[str, list[float]] = {"decision": [], "floor": []}
        for _ in range(
            scale.rounds + 1
        ):  # the floor takes the bytes of the decisions just made, so it is always second
            took["decision"].append(decisions.block(scale.decisions))
            appended = decisions.appended()
            sizes.extend(len(body) + sum(map(len, contents)) for _, body, contents in appended)
            took["floor"].append(typical_call(floor.append, appended))
        floor.close()
    ours, theirs = took["decision"][1:], took["floor"][1:]
    flush = statistics.median(flush_seconds(place.folder, scale.decisions))
    note = f"{place.name}: {statistics.median(sizes):,.0f} bytes a decision; a flush alone takes {flush * 1e3:.2f} ms"
    return [
        Row(
            GROUP,
            f"recorded decision, {place.name}",
            statistics.median(ours) * 1e6,
            "us",
            "hash and append of its bytes",
            statistics.median(theirs) * 1e6,
            ratio(ours, theirs),
            TARGET if place.name == FIXED else None,
            note=note,
        )
    ]
