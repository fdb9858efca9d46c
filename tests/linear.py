"""Holds a history of answers against the ledgers they were given from: is everything as if asked one after the other?

A history is what clients wrote down: when each question was asked, when it was answered, and what the answer was. It is checked
against the records alone, by replaying the pure kernel from nothing in the order of the ledger; rows that a store keeps beside
its records are not looked at. Times are of one clock. `check` says everything that is wrong, by kind:

* ``LOST``: an answer that the ledger does not hold, as it was given
* ``GHOST``: a record of a question that was certainly refused, or of nobody's
* ``DOUBLE``: two records of one question
* ``MISMATCH``: a record, or an answer that made none, that the kernel does not give there
* ``ORDER``: a record that stands before one that was answered before it was asked for
* ``STALE``: an answer from before something that had been answered, or from what had not been asked for yet
* ``OVERSPENT``: more was reserved than a cap allows, by adding up what was asked for
* ``UNEXPECTED``: an answer that nobody should get
"""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import msgspec

from weighbridge.errors import WeighbridgeError
from weighbridge.ledger import record
from weighbridge.ledger.commit import Replay, answer, decide
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage.memory import MemoryStore
from weighbridge.storage.reading import StoredRecord

REFUSED = frozenset({"LEDGER_WRITE_FAILED", "OVERLOADED"})
"""Certainly not recorded."""

UNKNOWN = "COMMIT_UNKNOWN"
WRONG = frozenset({"NotFound", "IdempotencyConflict"})
"""What a question is told that must not become a record."""

Kinds = Counter[str]


@dataclass(frozen=True)
class Ask:
    """What is asked: that something is recorded, or, without a submission, where the ledger ends."""

    name: str
    tenant: str
    submission: Submission | None = None
    erases: tuple[str, ...] = ()

    def attempt(self, number: int) -> Submission:
        """Return what is handed in: the record will name question and attempt, so that it can be told whose it is."""
        assert self.submission is not None
        common = self.submission.common | {"step_id": attempt_name(self.name, number)}
        return msgspec.structs.replace(self.submission, common=common)


def attempt_name(name: str, number: int) -> str:
    return f"{name}#{number}"


@dataclass
class Asked:
    """One attempt. ``said`` is ``["done", seq, hash, replayed, state]``, ``["head", seq, hash]``, ``["refused", code]``,
    ``["wrong", type, text]``, or None where nobody heard an answer."""

    client: str
    ask: Ask
    number: int
    asked_ns: int
    answered_ns: int | None = None
    said: list[Any] | None = None

    @property
    def name(self) -> str:
        return attempt_name(self.ask.name, self.number)

    @property
    def kind(self) -> str:
        """Return what became of it, as a word to count."""
        if self.said is None:
            return "not answered"
        what = self.said[0]
        if what == "done":
            return "replayed" if self.said[3] else "recorded"
        return str(self.said[1]) if what in {"refused", "wrong"} else str(what)

    @property
    def recorded(self) -> bool:
        """Return whether it was told that it made a record."""
        return self.kind == "recorded"

    @property
    def reads(self) -> bool:
        """Return whether it was told something that follows from the records, and made none."""
        return self.kind in {"replayed", "head", *WRONG}

    @property
    def until_ns(self) -> float:
        return float("inf") if self.answered_ns is None else self.answered_ns

    def in_flight(self, at_ns: int) -> bool:
        return self.asked_ns <= at_ns < self.until_ns


@dataclass
class Report:
    """What was checked, and what was found: ``problems`` by kind, ``counts`` of everything that was held against something."""

    counts: Kinds = field(default_factory=Counter)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    replayed: dict[str, MemoryStore] = field(default_factory=dict)
    """For each tenant a store that the kernel alone has filled, where it could."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{count:8,} {what}" for what, count in sorted(self.counts.items())]
        for kind, found in self.problems.items():
            lines += [f"{kind}: {len(found)}", *(f"    {one}" for one in found[:5])]
        return "\n".join(lines)


Ledgers = Mapping[str, Sequence[StoredRecord]]


def check(history: Sequence[Asked], ledgers: Ledgers, entropy: Callable[[int], bytes] = b"\7".__mul__) -> Report:
    """Return what is wrong with a history, given the records of every tenant afterwards."""
    report = Report()
    report.counts.update(f"attempts {one.kind}" for one in history)
    named = {one.name: one for one in history}
    for one in history:
        if one.answered_ns is not None and one.kind not in {
            "recorded", "replayed", "head", UNKNOWN, "UNREADABLE", *REFUSED, *WRONG,
        }:  # fmt: skip
            report.problems["UNEXPECTED"].append(f"{one.name} was told {one.said}")
    for tenant in sorted({one.ask.tenant for one in history} | set(ledgers)):
        own = [one for one in history if one.ask.tenant == tenant]
        _Tenant(tenant, own, ledgers.get(tenant, ()), named, report).check(entropy)
    return report


class _Tenant:
    """One tenant's part of the check."""

    def __init__(
        self, tenant: str, asked: list[Asked], records: Sequence[StoredRecord], named: dict[str, Asked], report: Report
    ) -> None:
        self._tenant, self._asked, self._records, self._report = tenant, asked, records, report
        self._of = {one.seq: named.get(_step(one.body)) for one in records}  # whose records they are
        self._hashes = {one.seq: one.hash.hex() for one in records}

    def check(self, entropy: Callable[[int], bytes]) -> None:
        self._report.counts["records"] += len(self._records)
        self._whose()
        self._lost()
        self._order()
        self._spent()
        self._replay(entropy)

    def _found(self, kind: str, message: str) -> None:
        self._report.problems[kind].append(f"{self._tenant}: {message}")

    def _whose(self) -> None:
        """G2: what was refused is not there; what is there was asked for, once."""
        seen: dict[str, int] = {}
        for seq, one in self._of.items():
            if one is None or one.ask.tenant != self._tenant:
                self._found("GHOST", f"record {seq} is of nobody's question")
                continue
            if one.name in seen:
                self._found("DOUBLE", f"{one.name} is in records {seen[one.name]} and {seq}")
            seen[one.name] = seq
            if one.said is None or one.kind == UNKNOWN:
                self._report.counts[f"records of attempts that were {one.kind}"] += 1
            elif not one.recorded:
                self._found("GHOST", f"record {seq} is of {one.name}, which was told {one.said}")

    def _lost(self) -> None:
        """G2: what was answered is there, as it was answered."""
        for one in self._asked:
            if one.recorded and one.said is not None:
                there = self._of.get(one.said[1])
                if there is not one or self._hashes.get(one.said[1]) != one.said[2]:
                    self._found("LOST", f"{one.name} was told {one.said}, which is not there")

    def _order(self) -> None:
        """L2: who asked after another one was answered stands after it."""
        earliest: tuple[float, str] = (float("inf"), "")
        for seq in sorted(self._of, reverse=True):
            one = self._of[seq]
            if one is None:
                continue
            if earliest[0] < one.asked_ns:
                self._found("ORDER", f"{one.name} was asked after {earliest[1]} was answered, and is before it: {seq}")
            if one.recorded:
                earliest = min(earliest, (one.until_ns, one.name))

    def _spent(self) -> None:
        """B5: what was asked for and let through, added up, is never more than a cap then in force allows."""
        spent: Counter[tuple[Any, ...]] = Counter()
        reserved: dict[str, tuple[dict[str, int], list[tuple[Any, ...]]]] = {}
        for stored in self._records:
            one = self._of[stored.seq]
            if one is None or one.ask.submission is None:
                continue
            submission, wanted = one.ask.submission, one.ask.submission.reservation
            types = {event["type"] for event in record.decode(stored.body).events}
            if wanted is not None and types & {record.BUDGET_RESERVE, record.BUDGET_WARN}:
                assert submission.operation is not None
                keys = {(cap.unit, cap.period, tail): cap for cap, tail in wanted.applicable}
                reserved[submission.operation[0]] = (wanted.amounts, [key for key, cap in keys.items() if cap.settles])
                for key, cap in keys.items():
                    spent[key] += wanted.amounts[cap.unit]
                    self._report.counts["reservations held against a cap"] += cap.hard_cap is not None
                    if cap.hard_cap is not None and spent[key] > cap.hard_cap:
                        self._found("OVERSPENT", f"record {stored.seq} takes `{cap.id}` to {spent[key]}")
            used = submission.usage
            if used is not None and record.USAGE_REPORTED in types and used.operation_id in reserved:
                amounts, settles = reserved.pop(used.operation_id)
                for key in settles:
                    spent[key] -= max(0, amounts[key[0]] - used.consumed.get(key[0], amounts[key[0]]))

    # --- replay ---

    def _replay(self, entropy: Callable[[int], bytes]) -> None:
        """G3, G4: the kernel alone gives every record, and every answer that made none at a place that time allows."""
        store, reads = MemoryStore(entropy=entropy), self._reads()
        reads.take(store, 0)
        for stored in self._records:
            wrong = self._differs(store, stored)
            if wrong:
                self._found("MISMATCH", wrong)
                return
            self._report.counts["records equal to the kernel's"] += 1
            reads.take(store, stored.seq)
        reads.end()
        self._report.replayed[self._tenant] = store

    def _differs(self, store: MemoryStore, stored: StoredRecord) -> str | None:
        one = self._of[stored.seq]
        if one is None or one.ask.submission is None:
            return f"nobody asked for record {stored.seq}"
        submission = one.ask.attempt(one.number)
        try:
            erases = one.ask.erases
            given = store.erase_content(self._tenant, erases, submission) if erases else store.commit(submission)
        except WeighbridgeError as error:
            return f"record {stored.seq} is of {one.name}, to which the kernel says {type(error).__name__}: {error}"
        if (given.seq, given.hash, given.body) != (stored.seq, stored.hash, stored.body):
            return f"record {stored.seq} is of {one.name}, of which the kernel makes another one"
        if one.recorded and one.said is not None and one.said[4] != given.state:
            return f"{one.name} was told {one.said[4]}, the kernel says {given.state}"
        return None

    def _reads(self) -> _Reads:
        """Return the answers that made no record, and between which records time allows each."""
        own = [(one, seq) for seq, one in self._of.items() if one is not None]
        answered = sorted((one.until_ns, seq) for one, seq in own if one.recorded)
        asked = sorted((one.asked_ns, seq) for one, seq in own)
        highest = [0, *accumulate((seq for _, seq in answered), max)]
        lowest = [*accumulate((seq for _, seq in reversed(asked)), min, initial=len(self._records) + 1)][::-1]
        spans = []
        for one in sorted((one for one in self._asked if one.reads), key=lambda one: one.asked_ns):
            first = highest[
                bisect.bisect_left(answered, (one.asked_ns, 0))
            ]  # of those that were answered before it was asked
            spans.append((one, first, lowest[bisect.bisect_right(asked, (one.until_ns, 0))] - 1))
        return _Reads(self._tenant, spans, self._report)


class _Reads:
    """Answers that made no record: each must be what the kernel says at one place, and no place before that of an earlier one."""

    def __init__(self, tenant: str, spans: list[tuple[Asked, int, int]], report: Report) -> None:
        self._tenant, self._report = tenant, report
        self._later = deque(spans)  # by when they were asked, and so by the first place of each
        self._waiting: list[tuple[Asked, int, int]] = []

    def take(self, store: MemoryStore, place: int) -> None:
        """Place all answers that the ledger up to ``place`` gives."""
        while self._later and self._later[0][1] <= place:
            self._waiting.append(self._later.popleft())
        while self._waiting:
            open_ns = min(one.until_ns for one, *_ in self._waiting)
            left = [entry for entry in self._waiting if not self._settled(store, place, *entry, open_ns=open_ns)]
            if len(left) == len(self._waiting):
                break
            self._waiting = left

    def _settled(self, store: MemoryStore, place: int, one: Asked, first: int, last: int, *, open_ns: float) -> bool:
        if open_ns < one.asked_ns:  # one that was answered before this was asked has no place yet
            return False
        if _gives(store, one):
            self._report.counts[f"answers {one.kind} equal to the kernel's"] += 1
            return True
        if place >= last:
            self._wrong(one, first, last)
            return True
        return False

    def end(self) -> None:
        for one, first, last in (*self._waiting, *self._later):
            self._wrong(one, first, last)

    def _wrong(self, one: Asked, first: int, last: int) -> None:
        message = f"{self._tenant}: {one.name} was told {one.said}, which no place from {first} to {last} gives"
        self._report.problems["STALE"].append(message)


def _gives(store: MemoryStore, one: Asked) -> bool:
    said = one.said
    assert said is not None
    if one.kind == "head":
        head = store.head(one.ask.tenant)
        return [head.seq, head.hash.hex()] == said[1:]
    view = store._tenant(one.ask.tenant)
    try:
        found = decide(one.ask.attempt(one.number), view, purpose="enforcement", erases=one.ask.erases)
        if not isinstance(found, Replay):
            return False
        stored = view.records[found.seq - 1]
        given: Committed = answer(found, stored.hash, stored.body)
    except WeighbridgeError as error:
        return said == ["wrong", type(error).__name__, str(error)]
    return said == ["done", given.seq, given.hash.hex(), True, given.state]


def _step(body: bytes) -> str:
    return str(record.decode(body).common.get("step_id"))
