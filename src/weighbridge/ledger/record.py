"""Records and their events: the bytes that are hashed, and what readers see in them.

A body is canonical JSON (RFC 8785)::

    {"v": 1, "tenant_id": "acme", "seq": 7,
     "common":  {"actor": {...}, "evaluation_time": "...", "policy_version": "...", ...},
     "events":  [{"type": "VALIDATOR_RUN", ...}, {"type": "VALIDATOR_RUN_SUMMARY", ...}],
     "subjects": [["step", "s-2"], ...],          only ids by which it is found and that `common` does not say
     "purpose": "enforcement"}                    only in record 1

What stands in ``common`` stands on every event when it is read, under what the event says itself. Events are numbered
``(seq, index)``; the index is the place in the list, from 0. Promise: ``events(encode(...))`` gives back what was put in, and
bytes that are no record are refused (:class:`LedgerCorrupt`), never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.errors import LedgerCorrupt
from weighbridge.ledger import archive

VERSION = 1

POLICY_ACTIVATED = "POLICY_ACTIVATED"
REFUSALS = "REFUSALS"
VALIDATOR_RUN = "VALIDATOR_RUN"
VALIDATOR_RUN_SUMMARY = "VALIDATOR_RUN_SUMMARY"
OPERATION_COMPLETED = "OPERATION_COMPLETED"
RETRY_AUTHORISED = "RETRY_AUTHORISED"
CONTENT_ERASED = "CONTENT_ERASED"
KEY_CHANGED = "KEY_CHANGED"
LEDGER_ARCHIVED = archive.LEDGER_ARCHIVED
BUDGET_RESERVE = "BUDGET_RESERVE"
BUDGET_WARN = "BUDGET_WARN"
BUDGET_BLOCK = "BUDGET_BLOCK"
BUDGET_SETTLE = "BUDGET_SETTLE"
USAGE_REPORTED = "USAGE_REPORTED"

PLAN_CREATED = "PLAN_CREATED"
PLAN_UPDATED = "PLAN_UPDATED"
PLAN_SUBMITTED = "PLAN_SUBMITTED"
PLAN_APPROVED = "PLAN_APPROVED"
PLAN_REJECTED = "PLAN_REJECTED"
PLAN_ACTIVATION_REFUSED = "PLAN_ACTIVATION_REFUSED"
PLAN_ACTIVATED = "PLAN_ACTIVATED"
PLAN_PAUSED = "PLAN_PAUSED"
PLAN_RESUMED = "PLAN_RESUMED"
PLAN_ABORTED = "PLAN_ABORTED"
PLAN_COMPLETED = "PLAN_COMPLETED"
PLAN_EXPIRED = "PLAN_EXPIRED"
STEP_STARTED = "STEP_STARTED"
STEP_COMPLETED = "STEP_COMPLETED"
STEP_SKIPPED = "STEP_SKIPPED"
STEP_BLOCKED = "STEP_BLOCKED"
STEP_FAILED = "STEP_FAILED"

OUTCOME_CAPTURED = "OUTCOME_CAPTURED"

UNLIMITED = "unlimited"
"""What stands for a hard cap that is none (B8)."""

BUDGET_DECISIONS = frozenset({BUDGET_RESERVE, BUDGET_WARN, BUDGET_BLOCK})
"""The events of which a reservation has exactly one (B10)."""

NOT_AS_APPROVED = "NOT_AS_APPROVED"
CLOCK_STEPPED_BACK = "CLOCK_STEPPED_BACK"

PASSING = frozenset({NOT_AS_APPROVED, CLOCK_STEPPED_BACK})
"""Findings about how and when something was asked, and not about what: a BLOCK for these needs no leave to be retried (G8)."""

BINDING = frozenset({VALIDATOR_RUN_SUMMARY, OPERATION_COMPLETED, USAGE_REPORTED, *BUDGET_DECISIONS})
"""Events of records that bind ids of their own: they are found by those."""

SUBJECT_FIELDS = (("account", "account_id"), ("plan", "plan_id"), ("step", "step_id"))
"""The subjects that `common` says itself: kind and field."""

_TOLD_OF = (("run", "validation_run_id"), ("operation", "operation_id"))


class Event(msgspec.Struct, frozen=True):
    """One fact. ``fields`` hold what the event says and what its record has in common, ``tenant_id`` included."""

    seq: int
    index: int
    type: str
    fields: dict[str, Any]


class Record(msgspec.Struct, frozen=True):
    """A decoded body."""

    v: int
    tenant_id: str
    seq: int
    common: dict[str, Any]
    events: list[dict[str, Any]]
    subjects: list[tuple[str, str]] = []
    purpose: str | None = None


_decoder = msgspec.json.Decoder(Record)
_ONLY_TEXT = {str}


def encode(
    tenant_id: str,
    seq: int,
    common: dict[str, Any],
    events: Sequence[dict[str, Any]],
    *,
    subjects: Sequence[tuple[str, str]] = (),
    purpose: str | None = None,
    ours: bool = False,
) -> bytes:
    """Return the body of a record.

    ``ours`` says that the events are made of texts alone, under names of our own; what is certain to be canonical is encoded
    without a look at the result, which is most of the cost.

    Raises:
        CanonicalError: a value has no canonical form.
    """
    body: dict[str, Any] = {"v": VERSION, "tenant_id": tenant_id, "seq": seq, "common": common, "events": list(events)}
    if subjects:
        body["subjects"] = [list(subject) for subject in subjects]
    if purpose is not None:
        body["purpose"] = purpose
    if ours and not subjects and _is_simple(common):
        try:
            return canonical.encode_simple(body)
        except UnicodeEncodeError:  # a lone surrogate; what follows says where
            pass
    return canonical.encode(body)


def _is_simple(common: dict[str, Any]) -> bool:
    """Return whether ``common`` holds texts and objects of texts alone, which every encoder writes alike."""
    names: list[Any] = [*common]
    values: list[Any] = []
    for value in common.values():
        if type(value) is dict:
            names += value
            values += value.values()
        else:
            values.append(value)
    if {*map(type, names), *map(type, values)} != _ONLY_TEXT:
        return False
    return "".join(names).isascii()  # the order of other names is not the encoder's


def decode(body: bytes) -> Record:
    """Return the record that ``body`` states.

    Raises:
        LedgerCorrupt: the bytes are no record, or one of a version this code does not know.
        RecordArchived: they say that it was moved to an archive.
    """
    archive.require_kept(body)
    try:
        record = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise LedgerCorrupt(f"a body is not a record: {error}") from None
    if record.v != VERSION:
        raise LedgerCorrupt(f"record {record.seq} has format {record.v}; this version reads format {VERSION}")
    if not all(isinstance(event.get("type"), str) for event in record.events):
        raise LedgerCorrupt(f"record {record.seq} holds an event without a type")
    return record


def events(record: Record | bytes) -> Iterator[Event]:
    """Yield the events of a record, or of its body, each complete with what the record has in common."""
    if isinstance(record, bytes):
        record = decode(record)
    shared = {"tenant_id": record.tenant_id, **record.common}
    for index, event in enumerate(record.events):
        fields = {**shared, **event}
        yield Event(record.seq, index, fields.pop("type"), fields)


def common_subjects(common: dict[str, Any], *, binds: bool) -> list[tuple[str, str]]:
    """Return the subjects that ``common`` says itself: its account, plan and step.

    A record that ``binds`` no ids of its own (it holds no runs and ends no operation) is also found by the run and the operation
    that it tells of.
    """
    fields = SUBJECT_FIELDS if binds else (*SUBJECT_FIELDS, *_TOLD_OF)
    return [(kind, common[field]) for kind, field in fields if isinstance(common.get(field), str)]


def content_hashes(events_: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the content hashes that events are known to point to: a summary's ``content``, and every ``content_hash``."""
    for event in events_:
        content = event.get("content")
        if isinstance(content, dict):
            yield from (value for value in content.values() if isinstance(value, str))
        yield from _sealed(event)


def _sealed(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            found = value.get("content_hash")
            if isinstance(found, str):
                yield found
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
