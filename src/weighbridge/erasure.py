"""Which content to erase: by subject or by age, and what is kept and why (L6). Reads a ledger and changes nothing.

A body of content is stored once, however many records point to it. So what belongs to one person may be needed by a decision
about another, and is kept then: erasing it would take from others what their decisions were made from. Kept as well, always:
what says how it was judged and not about whom (the effective policy, the declared operations, the engine), because without it
no decision under that policy could be judged again. Everything kept is listed with its reason, for a person to look at and, if
it must go all the same, to name by its hash.

An event belongs to a subject if that is its only account, plan, step, run or operation; what people wrote about one of its runs
belongs to it too. A step's id is unique in its plan alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger import record
from weighbridge.storage.reading import LedgerReader

KINDS = ("account", "plan", "step", "run", "operation")
SHARED = frozenset({"policy", "operations", "engine"})
"""Content that says how it was judged, not about whom."""

_FIELDS = {
    "account": "account_id",
    "plan": "plan_id",
    "step": "step_id",
    "run": "validation_run_id",
    "operation": "operation_id",
}
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HASHES = re.compile(rb"[0-9a-f]{64}")


class Choice(msgspec.Struct, frozen=True):
    """One content: what records call it, its size in bytes, the first record that points to it, and why it is kept if it is."""

    content_hash: str
    names: tuple[str, ...]
    size: int
    seq: int
    kept_because: str | None = None


class Selection(msgspec.Struct, frozen=True):
    """What was selected. ``gone`` were erased before; ``records`` are how many records were looked at."""

    choices: tuple[Choice, ...]
    gone: tuple[str, ...]
    records: int

    @property
    def erased(self) -> tuple[Choice, ...]:
        """Return what is to be erased."""
        return tuple(choice for choice in self.choices if choice.kept_because is None)

    @property
    def kept(self) -> tuple[Choice, ...]:
        """Return what is kept, each with its reason."""
        return tuple(choice for choice in self.choices if choice.kept_because is not None)


def by_hash(reader: LedgerReader, tenant_id: str, hashes: Iterable[str]) -> Selection:
    """Select content that a person names; nothing of it is kept, whatever points to it.

    Raises:
        UsageError: one of them is no hash.
        NotFound: one of them was never stored.
    """
    wanted = tuple(dict.fromkeys(hashes))
    for content_hash in wanted:
        if not _HASH.fullmatch(content_hash):
            raise UsageError(
                f"`{content_hash}` is no content hash: that is 64 hex digits, as `why ID --json` shows them"
            )
    found = _Contents()
    for stored in reader.records(tenant_id):
        found.add_named(stored.body, frozenset(wanted))
    unknown = [content_hash for content_hash in wanted if content_hash not in found.first]
    if unknown:
        raise NotFound(f"no content `{unknown[0]}` of tenant `{tenant_id}`; nothing was erased")
    return found.selection(reader, tenant_id, wanted, None, reader.head(tenant_id).seq)


def by_subject(
    reader: LedgerReader, tenant_id: str, identity: str, *, kind: str | None = None, plan_id: str | None = None
) -> Selection:
    """Select what the records of a subject point to and no other subject's record needs.

    ``plan_id`` says of which plan a step is.

    Raises:
        NotFound: no record is about it.
        UsageError: the id is one of several kinds, or a step's in several plans; the message says what to add.
    """
    own = _Own(reader, tenant_id, identity, kind, plan_id)
    found = _Contents()
    for event in own.events:
        found.add_event(event)
    kept: dict[str, str] = {}
    records = 0
    for stored in reader.records(tenant_id):
        records += 1
        mentioned = {text.decode() for text in _HASHES.findall(stored.body)} & set(found.first) - set(kept)
        if not mentioned:
            continue
        for event in record.events(stored.body):
            if event.type == record.CONTENT_ERASED or own.has(event):
                continue
            for content_hash in mentioned.intersection(_texts(event.fields)):
                kept.setdefault(content_hash, f"record {event.seq} needs it, which is {_whose(event, own.kind)}")
    return found.selection(reader, tenant_id, tuple(found.first), kept, records)


def by_age(reader: LedgerReader, tenant_id: str, before_ms: int) -> Selection:
    """Select what only records judged before an instant point to.

    Raises:
        NotFound: the tenant has no records.
    """
    found, kept, records = _Contents(), dict[str, str](), 0
    for stored in reader.records(tenant_id):
        records += 1
        at_ms = parse_instant(record.decode(stored.body).common.get("evaluation_time"))
        if at_ms is not None and at_ms < before_ms:
            for event in record.events(stored.body):
                found.add_event(event)
        else:
            reason = f"record {stored.seq} needs it, which is not before {format_instant(before_ms)}"
            for text in _HASHES.findall(stored.body):
                kept.setdefault(text.decode(), reason)
    if not records:
        raise NotFound(f"tenant `{tenant_id}` has no records")
    return found.selection(reader, tenant_id, tuple(found.first), kept, records)


class _Contents:
    """What events call content, and which record did first."""

    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.names: dict[str, set[str]] = {}

    def add_event(self, event: record.Event) -> None:
        for content_hash in record.content_hashes([event.fields]):
            self.first.setdefault(content_hash, event.seq)
        for name, content_hash in _named(event):
            self.names.setdefault(content_hash, set()).add(name)

    def add_named(self, body: bytes, wanted: frozenset[str]) -> None:
        mentioned = {text.decode() for text in _HASHES.findall(body)} & wanted
        for event in record.events(body) if mentioned else ():
            self.add_event(event)
            for content_hash in mentioned:
                self.first.setdefault(content_hash, event.seq)

    def selection(
        self, reader: LedgerReader, tenant_id: str, wanted: tuple[str, ...], kept: dict[str, str] | None, records: int
    ) -> Selection:
        """Return what to do with ``wanted``. ``kept`` are reasons to keep some of it; None: a person named it, and it goes."""
        choices, gone = [], []
        for content_hash in sorted(wanted, key=lambda each: (self.first[each], each)):
            body = reader.content(tenant_id, content_hash)
            if body is None:
                gone.append(content_hash)
                continue
            names = self.names.get(content_hash, set())
            shared = [] if kept is None else sorted(names & SHARED)
            reason = (kept or {}).get(content_hash)
            if shared:
                reason = f"it says how was judged ({', '.join(shared)}), not about whom"
            choices.append(
                Choice(content_hash, tuple(sorted(names)) or ("content",), len(body), self.first[content_hash], reason)
            )
        return Selection(tuple(choices), tuple(gone), records)


class _Own:
    """The events of one subject."""

    def __init__(
        self, reader: LedgerReader, tenant_id: str, identity: str, kind: str | None, plan_id: str | None
    ) -> None:
        self._identity, self._plan_id = identity, plan_id
        seqs = set(reader.find(tenant_id, identity))
        told = list(_events(reader, tenant_id, seqs))
        self.kind = self._kind(told, kind)
        self._require_one_plan(told)
        direct = [event for event in told if self._direct(event)]
        if not direct:
            raise NotFound(f"no record of tenant `{tenant_id}` is about `{identity}`")
        self._runs = {event.fields["validation_run_id"] for event in direct if "validation_run_id" in event.fields}
        self._operations = {event.fields["operation_id"] for event in direct if "operation_id" in event.fields}
        if self.kind == "run":
            self._operations = set()  # an operation may have other runs
        for name in {*self._runs, *self._operations}:
            seqs.update(reader.find(tenant_id, name))
        self.events = [event for event in _events(reader, tenant_id, seqs) if self.has(event)]

    def has(self, event: record.Event) -> bool:
        """Return whether an event belongs to the subject."""
        if self._direct(event):
            return True
        if event.fields.get(_FIELDS[self.kind]) is not None:
            return False  # it says itself whose it is: another's
        said = event.fields
        run = said.get("validation_run_id") or said.get("retry_of")
        return run in self._runs or ("validation_run_id" not in said and said.get("operation_id") in self._operations)

    def _direct(self, event: record.Event) -> bool:
        if event.fields.get(_FIELDS[self.kind]) != self._identity:
            return False
        return self.kind != "step" or self._plan_id is None or event.fields.get("plan_id") == self._plan_id

    def _kind(self, told: list[record.Event], kind: str | None) -> str:
        fits = [each for each in KINDS if any(event.fields.get(_FIELDS[each]) == self._identity for event in told)]
        if kind is not None:
            if kind not in KINDS:
                raise UsageError(f"`{kind}` is no kind of subject; there are {', '.join(KINDS)}")
            return kind
        if len(fits) > 1:
            raise UsageError(f"`{self._identity}` is the id of {' and '.join(fits)}; say which with --kind")
        if not fits:
            raise NotFound(f"no record is about `{self._identity}` alone")
        return fits[0]

    def _require_one_plan(self, told: list[record.Event]) -> None:
        if self.kind != "step" or self._plan_id is not None:
            return
        plans = sorted({str(event.fields.get("plan_id")) for event in told if self._direct(event)})
        if len(plans) > 1:
            raise UsageError(
                f"step `{self._identity}` is in several plans, `{plans[0]}` and `{plans[1]}` among them; say which with --plan"
            )


def _events(reader: LedgerReader, tenant_id: str, seqs: Iterable[int]) -> Iterator[record.Event]:
    for seq in sorted(seqs):
        stored = reader.record(tenant_id, seq)
        if stored is not None:
            yield from record.events(stored.body)


def _named(event: record.Event) -> Iterator[tuple[str, str]]:
    content = event.fields.get("content")
    if isinstance(content, dict):
        yield from ((str(name), value) for name, value in content.items() if isinstance(value, str))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, at any depth."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _whose(event: record.Event, kind: str) -> str:
    said = event.fields
    for each in (kind, *KINDS):
        if isinstance(said.get(_FIELDS[each]), str):
            return f"of {each} `{said[_FIELDS[each]]}`"
    return "of nobody in particular"
