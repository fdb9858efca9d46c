"""One story per plan, step, account, run or operation: what happened, in order, and why it was blocked (L4). Pure.

The records come from the store's `find`; this puts their events in order, keeps those that belong to what was asked about and
answers "why was this blocked?" from them alone: the gateway's own findings and the validators' BLOCK results, with details.
It is plain data; turning it into sentences is left to `explain` and the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.errors import NotFound
from weighbridge.ledger import record

_TOLD_ELSEWHERE = frozenset(
    {"tenant_id", "evaluation_time", "details", "findings", "content", "reason", "result", "actor"}
)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the story. ``at`` is its evaluation time; ``fields`` are the rest of what it says."""

    seq: int
    index: int
    at: str
    type: str
    actor: dict[str, Any]
    verdict: str | None = None
    reasons: tuple[str, ...] = ()
    details: dict[str, Any] = {}
    findings: tuple[dict[str, Any], ...] = ()
    fields: dict[str, Any] = {}


class Block(msgspec.Struct, frozen=True):
    """Why one run was blocked: the gateway's findings first, then the validators' results, each ``{reason, details}``."""

    seq: int
    at: str
    validation_run_id: str
    choke_point: str
    operation_id: str | None
    findings: tuple[dict[str, Any], ...]
    results: tuple[dict[str, Any], ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes, the gateway's own first."""
        return tuple(dict.fromkeys(said["reason"] for said in (*self.findings, *self.results)))


class Story(msgspec.Struct, frozen=True):
    """What the ledger knows of one id.

    ``kinds`` are what the id names (``run, operation, plan, step, account``). ``verdict`` is the strictest of the runs asked
    about, None where none was judged; ``state`` that of the operation, where the id names one. ``runs`` counts verdicts.
    ``blocks`` are in order: the first is the answer to "why was this blocked?".
    """

    tenant_id: str
    asked: str
    kinds: tuple[str, ...]
    verdict: str | None
    state: str | None
    runs: dict[str, int]
    blocks: tuple[Block, ...]
    entries: tuple[Entry, ...]

    @property
    def why_blocked(self) -> Block | None:
        """Return the first block; None where nothing was blocked."""
        return self.blocks[0] if self.blocks else None

    def document(self) -> dict[str, Any]:
        """Return the story as plain JSON data."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Stored(Protocol):
    """A record as it lies in the store."""

    @property
    def body(self) -> bytes:
        """The bytes that were hashed."""


class Records(Protocol):
    """What telling a story needs of a store's reading side."""

    def find(self, tenant_id: str, identity: str) -> Iterable[int]:
        """Return the numbers of the records that an id leads to."""

    def record(self, tenant_id: str, seq: int) -> Stored | None:
        """Return one record."""


def tell(records: Records, tenant_id: str, asked: str) -> Story:
    """Return the story of a plan, step, account, run or operation id (L4).

    Raises:
        NotFound: no record of this tenant knows the id.
        LedgerCorrupt: a body is not a record.
    """
    found = set(records.find(tenant_id, asked))
    for operation_id in _operations(asked, _bodies(records, tenant_id, found)):
        found.update(records.find(tenant_id, operation_id))
    if not found:
        raise NotFound(
            f"no record of tenant `{tenant_id}` knows `{asked}`; `weighbridge ledger tail` shows what is there"
        )
    return story_of(tenant_id, asked, _bodies(records, tenant_id, found))


def story_of(tenant_id: str, asked: str, bodies: Iterable[bytes]) -> Story:
    """Return the story of ``asked`` from the bodies of the records that belong to it, in order.

    Raises:
        LedgerCorrupt: a body is not a record.
    """
    kinds: dict[str, None] = {}
    events: list[record.Event] = []
    for body in bodies:
        told = list(record.events(body))
        kinds.update(dict.fromkeys(_kinds(asked, told, record.decode(body).subjects)))
        events += _belonging(asked, told)
    summaries = [event for event in events if event.type == record.VALIDATOR_RUN_SUMMARY]
    own = [event for event in summaries if _names(asked, event)] or summaries
    verdicts = [Verdict(event.fields["result"]) for event in own]
    return Story(
        tenant_id=tenant_id,
        asked=asked,
        kinds=tuple(kinds),
        verdict=str(strictest(verdicts)) if verdicts else None,
        state=_state(asked, events),
        runs={str(verdict): verdicts.count(verdict) for verdict in Verdict if verdict in verdicts},
        blocks=tuple(_blocks(events)),
        entries=tuple(_entry(event) for event in events),
    )


def _operations(asked: str, bodies: Iterable[bytes]) -> tuple[str, ...]:
    """Return the operations whose later records belong to the story too: those that a run asked about is part of."""
    operations = [
        event.fields["operation_id"]
        for body in bodies
        for event in record.events(body)
        if event.fields.get("validation_run_id") == asked and isinstance(event.fields.get("operation_id"), str)
    ]
    return tuple(dict.fromkeys(operations))


def _bodies(records: Records, tenant_id: str, seqs: Iterable[int]) -> Iterator[bytes]:
    for seq in sorted(seqs):
        stored = records.record(tenant_id, seq)
        if stored is not None:
            yield stored.body


def _kinds(asked: str, told: Sequence[record.Event], subjects: Sequence[tuple[str, str]]) -> list[str]:
    kinds = [kind for kind, name in subjects if name == asked]
    for event in told:
        said = event.fields
        kinds += ["run"] if said.get("validation_run_id") == asked else []
        kinds += ["operation"] if said.get("operation_id") == asked else []
        kinds += [kind for kind, field in record.SUBJECT_FIELDS if said.get(field) == asked]
    return kinds


def _names(asked: str, event: record.Event) -> bool:
    return asked in {event.fields.get("validation_run_id"), event.fields.get("operation_id")}


def _belonging(asked: str, told: list[record.Event]) -> list[record.Event]:
    """Return the events that belong to the story: of a record with several runs, only the run asked about and its retries."""
    runs = {event.fields.get("validation_run_id") for event in told} - {None}
    mine = {asked} | {event.fields["validation_run_id"] for event in told if _retries(asked, event)}
    if not runs & mine:
        return told
    return [event for event in told if event.fields.get("validation_run_id", asked) in mine]


def _retries(asked: str, event: record.Event) -> bool:
    return event.type == record.VALIDATOR_RUN_SUMMARY and event.fields.get("retry_of") == asked


def _state(asked: str, events: Sequence[record.Event]) -> str | None:
    state = None
    for event in events:
        if event.fields.get("operation_id") != asked:
            continue
        if event.type == record.VALIDATOR_RUN_SUMMARY and "operation_request_hash" in event.fields:
            blocked = state == "BLOCKED" or event.fields["result"] == Verdict.BLOCK
            state = "BLOCKED" if blocked else "PENDING"
        elif event.type == record.OPERATION_COMPLETED:
            state = event.fields["state"]
    return state


def _blocks(events: Sequence[record.Event]) -> Iterator[Block]:
    """Yield every blocked run in order, with the results that stand before its summary."""
    results: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        said = event.fields
        if event.type == record.VALIDATOR_RUN and said["result"] == Verdict.BLOCK:
            result = {key: said[key] for key in ("validator", "result", "reason", "details")}
            results.setdefault(said["validation_run_id"], []).append(result)
        elif event.type == record.VALIDATOR_RUN_SUMMARY and said["result"] == Verdict.BLOCK:
            yield Block(
                seq=event.seq,
                at=said["evaluation_time"],
                validation_run_id=said["validation_run_id"],
                choke_point=said["choke_point"],
                operation_id=said.get("operation_id"),
                findings=tuple(said["findings"]),
                results=tuple(results.pop(said["validation_run_id"], ())),
            )


def _entry(event: record.Event) -> Entry:
    said = event.fields
    findings = tuple(said.get("findings", ()))
    reasons = (said["reason"],) if isinstance(said.get("reason"), str) else tuple(found["reason"] for found in findings)
    return Entry(
        seq=event.seq,
        index=event.index,
        at=said.get("evaluation_time", ""),
        type=event.type,
        actor=said.get("actor", {}),
        verdict=said.get("result"),
        reasons=reasons,
        details=said.get("details", {}),
        findings=findings,
        fields={key: value for key, value in said.items() if key not in _TOLD_ELSEWHERE},
    )
