"""One story per plan, step, account, run or operation: what happened, in order, and why it was blocked (L4). Pure.

The records come from the store's `find`; this puts their events in order, keeps those that belong to what was asked about and
answers "why was this blocked?" from them alone: the gateway's own findings and the validators' BLOCK results, with details, and
the caps of a budget that said BLOCK, with what was used, what was asked for and when the period ends. It is plain data; turning
it into sentences is left to `explain`, `budgets.sentences` and the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from weighbridge import canonical
from weighbridge.budgets.forecast import span
from weighbridge.domain.amounts import as_text, from_text
from weighbridge.domain.caps import Period
from weighbridge.domain.decision import BudgetDecision
from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.errors import NotFound
from weighbridge.ledger import record
from weighbridge.ledger.answer import budget_decision
from weighbridge.ledger.archive import Archived, is_stub, read_stub
from weighbridge.ledger.submission import Head, Identity

_TOLD_ELSEWHERE = frozenset(
    {"tenant_id", "evaluation_time", "details", "findings", "content", "reason", "result", "actor"}
)


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event in the story. ``at`` is its evaluation time; ``fields`` are the rest of what it says.

    ``justification`` is of a budget whose request stated a reason: ``{"text": …}``, null where that was erased (B13, L6).
    ``read_back`` is of a call whose target stores something else than was asked: ``{"values": {"asked", "stored"}}``, null where
    those were erased. ``words`` are what a person gave as the reason of an act: ``{"text": …}``, null where that was erased.
    """

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
    justification: dict[str, str | None] | None = None
    read_back: dict[str, Any] | None = None
    words: dict[str, str | None] | None = None


class Pending(msgspec.Struct, frozen=True):
    """A call of ours that was allowed and whose end is not on record: nobody knows whether it happened (G10).

    ``reserved`` is what stays reserved for it, as decimal text by unit; ``settles`` are the caps that a report of use settles.
    """

    operation_id: str
    operation: str
    seq: int
    at: str
    reserved: dict[str, str]
    settles: tuple[str, ...]


class BudgetBlock(msgspec.Struct, frozen=True):
    """What a budget said BLOCK to. Amounts are decimal text by unit, as on record; ``caps`` are those that said BLOCK.

    ``ends_at`` holds the instants at which the day and the month that it was counted under end, and the caps have room again.
    """

    reason: str
    operation: str
    cost_class: str | None
    amounts: dict[str, str]
    assumed: tuple[str, ...]
    period: dict[str, str]
    ends_at: dict[str, str]
    caps: tuple[dict[str, Any], ...]


class Block(msgspec.Struct, frozen=True):
    """Why one run, or the budget of one operation, was blocked.

    Of a run: the gateway's findings first, then the validators' results, each ``{reason, details}``. Of a budget: what no cap
    caused in ``findings``, the rest in ``budget``; it has neither a run nor a choke point.
    """

    seq: int
    at: str
    validation_run_id: str | None
    choke_point: str | None
    operation_id: str | None
    findings: tuple[dict[str, Any], ...]
    results: tuple[dict[str, Any], ...]
    budget: BudgetBlock | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes: the gateway's own first; of a budget, the one that decided."""
        decided = () if self.budget is None else (self.budget.reason,)
        caps = () if self.budget is None else self.budget.caps
        return tuple(dict.fromkeys((*decided, *(said["reason"] for said in (*self.findings, *self.results, *caps)))))


class Story(msgspec.Struct, frozen=True):
    """What the ledger knows of one id.

    ``kinds`` are what the id names (``run, operation, plan, step, account``). ``verdict`` is the strictest of the runs and
    budgets asked about, None where nothing was judged; ``state`` that of the operation, where the id names one. ``runs`` and
    ``budgets`` count verdicts. ``blocks`` are in order: the first is the answer to "why was this blocked?". A run's verdict and
    blocks are its own; what the budget of its operation said stands in ``entries``. ``pending`` are calls without an outcome.
    ``archived`` are the archives that hold records of this story, which is then told of the others alone.
    """

    tenant_id: str
    asked: str
    kinds: tuple[str, ...]
    verdict: str | None
    state: str | None
    runs: dict[str, int]
    budgets: dict[str, int]
    blocks: tuple[Block, ...]
    entries: tuple[Entry, ...]
    pending: tuple[Pending, ...] = ()
    archived: tuple[Archived, ...] = ()

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

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends: its time zones stand there."""

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to: of an ``op``, how it ended."""

    def content(self, tenant_id: str, content_hash: str) -> bytes | None:
        """Return a content body; None where it was erased."""


def tell(records: Records, tenant_id: str, asked: str, *, within: str | None = None) -> Story:
    """Return the story of a plan, step, account, run or operation id (L4).

    ``within`` is the plan that a step is of: the id of a step is unique there alone.

    Raises:
        NotFound: no record of this tenant knows the id, or none of that plan.
        LedgerCorrupt: a body is not a record.
    """
    found = set(records.find(tenant_id, asked))
    if within is not None:
        found &= set(records.find(tenant_id, within))
    for operation_id in _operations(asked, _bodies(records, tenant_id, found)):
        found.update(records.find(tenant_id, operation_id))
    if not found:
        where = "" if within is None else f" of plan `{within}`"
        raise NotFound(
            f"no record{where} of tenant `{tenant_id}` knows `{asked}`; `weighbridge ledger tail` shows what is there"
        )
    return story_of(records, tenant_id, asked, _bodies(records, tenant_id, found))


def story_of(records: Records, tenant_id: str, asked: str, bodies: Iterable[bytes]) -> Story:
    """Return the story of ``asked`` from the bodies of the records that belong to it, in order.

    Raises:
        LedgerCorrupt: a body is not a record.
    """
    kinds: dict[str, None] = {}
    events: list[record.Event] = []
    archived: dict[Archived, None] = {}
    for body in bodies:
        if is_stub(body):
            archived[read_stub(body)] = None
            continue
        told = list(record.events(body))
        kinds.update(dict.fromkeys(_kinds(asked, told, record.decode(body).subjects)))
        events += _belonging(asked, told)
    decided = [event for event in events if event.type in _DECISIONS]
    own = [event for event in decided if _names(asked, event)] or decided
    verdicts = {
        judged: [Verdict(event.fields["result"]) for event in own if (event.type in record.BUDGET_DECISIONS) is judged]
        for judged in (False, True)
    }
    both = [*verdicts[False], *verdicts[True]]
    asked_of = {(event.seq, event.index) for event in own}
    whose = [event for event in events if event.type != record.BUDGET_BLOCK or (event.seq, event.index) in asked_of]
    zones = records.head(tenant_id).zones  # from them follows when a period ends
    return Story(
        tenant_id=tenant_id,
        asked=asked,
        kinds=tuple(kinds),
        verdict=str(strictest(both)) if both else None,
        state=_state(asked, events),
        runs=_counted(verdicts[False]),
        budgets=_counted(verdicts[True]),
        blocks=tuple(_blocks(whose, zones)),
        entries=tuple(_entry(records, tenant_id, event) for event in events),
        pending=tuple(one for one in _pending(events) if _unknown(records, tenant_id, one)),
        archived=tuple(archived),
    )


_DECISIONS = frozenset({record.VALIDATOR_RUN_SUMMARY, *record.BUDGET_DECISIONS})


def _counted(verdicts: Sequence[Verdict]) -> dict[str, int]:
    return {str(verdict): verdicts.count(verdict) for verdict in Verdict if verdict in verdicts}


def budget_of(entry: Entry) -> BudgetDecision:
    """Return the decision that a `BUDGET_RESERVE`, `BUDGET_WARN` or `BUDGET_BLOCK` in a story states."""
    reason = entry.reasons[0] if entry.reasons else ""
    return budget_decision({**entry.fields, "result": entry.verdict, "reason": reason, "findings": entry.findings})


def _operations(asked: str, bodies: Iterable[bytes]) -> tuple[str, ...]:
    """Return the operations whose later records belong to the story too: those that a run asked about is part of."""
    operations = [
        event.fields["operation_id"]
        for body in bodies
        if not is_stub(body)
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
    """Return whether a decision is the one asked about. A budget is its operation's, also where a run stands beside it alone."""
    if event.type in record.BUDGET_DECISIONS:
        return bool(event.fields.get("operation_id") == asked)
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
        if event.type in _DECISIONS and "operation_request_hash" in event.fields:
            blocked = state == "BLOCKED" or event.fields["result"] == Verdict.BLOCK
            state = "BLOCKED" if blocked else "PENDING"
        elif event.type == record.OPERATION_COMPLETED:
            state = event.fields["state"]
    return state


def _pending(events: Sequence[record.Event]) -> Iterator[Pending]:
    """Yield the calls of ours that were allowed, and of which no record of the story says how they ended."""
    ours = (event for event in events if event.type in _DECISIONS and event.fields.get("enforcement") == "executed")
    operations: dict[str, list[record.Event]] = {}
    for event in ours:
        if "operation_id" in event.fields:
            operations.setdefault(event.fields["operation_id"], []).append(event)
    ended = {event.fields["operation_id"] for event in events if event.type == record.OPERATION_COMPLETED}
    used = {event.fields["operation_id"] for event in events if event.type == record.USAGE_REPORTED}
    released = {
        event.fields["operation_id"]: from_text(event.fields["released"])
        for event in events
        if event.type == record.BUDGET_SETTLE
    }
    for operation_id, decided in operations.items():
        blocked = any(event.fields["result"] == Verdict.BLOCK for event in decided)
        if operation_id in ended or blocked:
            continue
        last = decided[-1].fields  # the budget's, where it was asked
        back = released.get(operation_id, {})
        left = {unit: amount - back.get(unit, 0) for unit, amount in from_text(last.get("amounts", {})).items()}
        yield Pending(
            operation_id=operation_id,
            operation=str(last.get("operation", "")),
            seq=decided[-1].seq,
            at=last["evaluation_time"],
            reserved=as_text({unit: amount for unit, amount in left.items() if amount}),
            # The first report counts (B7): after it, no other settles anything.
            settles=() if operation_id in used else _settling(last),
        )


def _settling(said: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(cap["cap"] for cap in said.get("caps", ()) if cap.get("settles"))


def _unknown(records: Records, tenant_id: str, pending: Pending) -> bool:
    known = records.identity(tenant_id, "op", pending.operation_id)
    return known is None or known.state == "PENDING"


def _stated(records: Records, tenant_id: str, event: record.Event) -> dict[str, str | None] | None:
    content = event.fields.get("content")
    if event.type not in record.BUDGET_DECISIONS or not isinstance(content, dict) or "justification" not in content:
        return None
    body = records.content(tenant_id, content["justification"])
    return {"text": None if body is None else str(canonical.decode(body)["justification"])}


def _read_back(records: Records, tenant_id: str, event: record.Event) -> dict[str, Any] | None:
    content = event.fields.get("content")
    if event.type != record.OPERATION_COMPLETED or not isinstance(content, dict) or "read_back" not in content:
        return None
    body = records.content(tenant_id, content["read_back"])
    if body is None:
        return {"values": None}
    stated = canonical.decode(body)
    return {"values": {"asked": stated["asked"], "stored": stated["stored"]}}


def _words(records: Records, tenant_id: str, event: record.Event) -> dict[str, str | None] | None:
    content = event.fields.get("content")
    if not isinstance(content, dict) or "reason" not in content:
        return None
    body = records.content(tenant_id, content["reason"])
    return {"text": None if body is None else str(canonical.decode(body)["reason"])}


def _blocks(events: Sequence[record.Event], zones: str | None) -> Iterator[Block]:
    """Yield every blocked run in order, with the results that stand before its summary, and every blocked budget."""
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
        elif event.type == record.BUDGET_BLOCK:
            yield _budget_block(event, zones)


def _budget_block(event: record.Event, zones: str | None) -> Block:
    said = event.fields
    return Block(
        seq=event.seq,
        at=said["evaluation_time"],
        validation_run_id=None,
        choke_point=None,
        operation_id=said.get("operation_id"),
        findings=tuple(said["findings"]),
        results=(),
        budget=BudgetBlock(
            reason=said["reason"],
            operation=said["operation"],
            cost_class=said.get("cost_class"),
            amounts=said["amounts"],
            assumed=tuple(said.get("assumed", ())),
            period=said["period"],
            ends_at=_ends_at(said["evaluation_time"], zones),
            caps=tuple(cap for cap in said["caps"] if cap["verdict"] == Verdict.BLOCK),
        ),
    )


def _ends_at(at: str, zones: str | None) -> dict[str, str]:
    """Return when the day and the month of an instant end; nothing where no policy with budgets says in which zone."""
    at_ms = parse_instant(at)
    if zones is None or at_ms is None:
        return {}
    return {period.value: format_instant(span(zones, at_ms, period).end_ms) for period in (Period.DAY, Period.MONTH)}


def _entry(records: Records, tenant_id: str, event: record.Event) -> Entry:
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
        justification=_stated(records, tenant_id, event),
        read_back=_read_back(records, tenant_id, event),
        words=_words(records, tenant_id, event),
    )
