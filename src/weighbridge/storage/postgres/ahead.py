"""What a batch needs, read before it is decided, in one round trip; and what turns out to be missing, in another one.

The batch is decided over what was read. Where the kernel asks for a row that was not, what that pass decides means nothing: what
it asked for is read, all of it at once, and the batch is decided again. So nothing here must know what the kernel needs; it
only guesses well. Everything is read under the locks of the heads, which nobody else can pass: what was read stays true until
COMMIT.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from psycopg.rows import TupleRow

from weighbridge.budgets.decide import Counter
from weighbridge.budgets.periods import period_keys, period_of, with_zone
from weighbridge.domain.caps import counter_name
from weighbridge.domain.plan import PlanState
from weighbridge.errors import StoreError
from weighbridge.ledger import chain
from weighbridge.ledger.reserving import Cell, cell_name
from weighbridge.ledger.submission import (
    BlockedProposal,
    Consumption,
    Head,
    Identity,
    RetryAuthorisation,
    Submission,
)
from weighbridge.storage.batching import Items, Kept
from weighbridge.storage.postgres.connection import OPEN, Connection, opened_for, require_durable
from weighbridge.storage.reading import StoredRecord
from weighbridge.storage.rows import PLAN_COLUMNS, consumption_of, counter_of, plan_of

Key = tuple[Any, ...]
Zones = dict[str, str | None]
"""The zones of tenants that have records, as far as we know: whose head is there, and in which period they count."""

_NAME = b"INSERT INTO tenant (tenant) SELECT * FROM unnest(%b::text[]) ON CONFLICT DO NOTHING"
_HEAD = (
    b"INSERT INTO ledger_head (tenant, seq, hash) "
    b"SELECT tenant, 0, hash FROM unnest(%b::text[], %b::bytea[]) AS given (tenant, hash) ON CONFLICT DO NOTHING"
)
_LOCK = (
    b"SELECT tenant, seq, hash, last_time_ms, policy_version, zones FROM ledger_head WHERE tenant = ANY(%b::text[]) "
    b"ORDER BY tenant FOR UPDATE"
)

_TEXT = {"proposers": "proposers::text", "steps": "steps::text"}
_READ: Mapping[str, bytes] = {
    # With the record that it points to: a known id is answered from there.
    "identity": b"SELECT tenant, kind, id, request_hash, seq, state, leaf_hash, hash, body "
    b"FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (tenant, kind, id) "
    b"JOIN identity USING (tenant, kind, id) LEFT JOIN ledger USING (tenant, seq)",
    "record": b"SELECT tenant, seq, leaf_hash, hash, body "
    b"FROM unnest(%b::text[], %b::bigint[]) AS wanted (tenant, seq) JOIN ledger USING (tenant, seq)",
    "blocked": b"SELECT tenant, choke_point, proposal_hash, validation_run_id, inputs_hash, policy_version, seq "
    b"FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (tenant, choke_point, proposal_hash) "
    b"JOIN blocked_proposal USING (tenant, choke_point, proposal_hash)",
    "authorisation": b"SELECT tenant, choke_point, proposal_hash, inputs_hash, expires_ms, given_by, seq, used_seq "
    b"FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (tenant, choke_point, proposal_hash) "
    b"JOIN retry_authorisation USING (tenant, choke_point, proposal_hash)",
    "content": b"SELECT tenant, hash, true FROM unnest(%b::text[], %b::text[]) AS wanted (tenant, hash) "
    b"JOIN content USING (tenant, hash)",
    "plan": (
        f"SELECT tenant, {', '.join(_TEXT.get(name, name) for name in PLAN_COLUMNS)} "  # noqa: S608 - our own names
        "FROM unnest(%b::text[], %b::text[]) AS wanted (tenant, plan_id) JOIN plan USING (tenant, plan_id)"
    ).encode(),
    "active": b"SELECT tenant, account_id, plan_type, plan_id "
    b"FROM unnest(%b::text[], %b::text[], %b::text[]) AS wanted (tenant, account_id, plan_type) "
    b"JOIN plan USING (tenant, account_id, plan_type) WHERE status = 'ACTIVE'",
    "outcome": b"SELECT tenant, idempotency_key, outcome_id, seq "
    b"FROM unnest(%b::text[], %b::text[]) AS wanted (tenant, idempotency_key) JOIN outcome USING (tenant, idempotency_key)",
    "cells": b"SELECT tenant, array_agg(cell ORDER BY cell), array_agg(reserved::text ORDER BY cell), "
    b"array_agg(settled::text ORDER BY cell) "
    b"FROM unnest(%b::text[]) AS wanted (tenant) JOIN consumption USING (tenant) GROUP BY tenant",
}
_BUDGET_KINDS = ("counter", "cell", "families", "planned")
_READ_BUDGET = (
    b"SELECT 'counter', tenant, name, reserved::text, settled::text "
    b"FROM unnest(%b::text[], %b::text[]) AS wanted (tenant, name) JOIN counter USING (tenant, name) "
    b"UNION ALL SELECT 'cell', tenant, cell, reserved::text, settled::text "
    b"FROM unnest(%b::text[], %b::text[]) AS wanted (tenant, cell) JOIN consumption USING (tenant, cell) "
    b"UNION ALL SELECT 'families', tenant, family, NULL, NULL "
    b"FROM unnest(%b::text[]) AS wanted (tenant) JOIN counter_family USING (tenant) "
    b"UNION ALL SELECT 'planned', tenant, NULL, NULL, NULL "
    b"FROM unnest(%b::text[]) AS wanted (tenant) WHERE EXISTS (SELECT FROM plan WHERE plan.tenant = wanted.tenant)"
)
"""In one statement, because what a statement costs besides its rows is most of it."""


class Ahead:
    """The rows a batch is decided over (`batching.Stored`). Inside a pipeline, in a transaction that this opens."""

    def __init__(self, connection: Connection, items: Items, seen: Zones, kept: Mapping[str, Kept]) -> None:
        self._connection = connection
        self._rows: dict[str, dict[Key, Any]] = {kind: {} for kind in (*_READ, *_BUDGET_KINDS, "head")}
        self._missing: dict[str, set[Key]] = {kind: set() for kind in (*_READ, *_BUDGET_KINDS)}
        submissions = [item.work[0] for item in items]
        tenants = sorted({submission.tenant_id for submission in submissions})
        self._open(tenants, [tenant for tenant in tenants if tenant not in seen])
        for submission in submissions:
            self._want(_guessed(submission))
            self._want(_guessed_budget(submission, seen, kept.get(submission.tenant_id)))
            self._want(_guessed_plan(submission, kept.get(submission.tenant_id)))
        self.complete()
        self._require_heads(tenants, seen)
        # Others wrote since: what was kept is of no use, and what counts is read now that we hold the lock.
        trusted = {tenant: kept[tenant].head for tenant in tenants if tenant in kept and kept[tenant].alone}
        overtaken = {tenant for tenant, head in trusted.items() if head != self.head(tenant)}
        for submission in submissions:
            if submission.tenant_id in overtaken:
                self._want(_guessed_budget(submission, seen, None))
                self._want(_guessed_plan(submission, None))
        if not self.is_complete:
            self.complete()

    @property
    def is_complete(self) -> bool:
        """Return whether everything that was asked for had been read."""
        return not any(self._missing.values())

    def complete(self) -> None:
        """Read everything that was asked for and had not been read, in one round trip."""
        asked = {kind: sorted(keys) for kind, keys in self._missing.items() if keys}
        for kind, keys in asked.items():
            self._rows[kind].update(dict.fromkeys(keys))
            self._missing[kind] = set()
        cursors = [
            (kind, self._connection.execute(_READ[kind], _columns(keys, 0), binary=True))
            for kind, keys in asked.items()
            if kind in _READ
        ]
        counters, cells, families, planned = (asked.get(kind, []) for kind in _BUDGET_KINDS)
        if counters or cells or families or planned:
            values = (*_columns(counters, 2), *_columns(cells, 2), *_columns(families, 1), *_columns(planned, 1))
            cursors.append(("", self._connection.execute(_READ_BUDGET, values, binary=True)))
        for kind, cursor in cursors:
            for row in cursor.fetchall():
                self._keep(kind or row[0], row if kind else row[1:])

    def _want(self, guessed: Iterator[tuple[str, Key]]) -> None:
        for kind, key in guessed:
            self._missing[kind].add(key)

    def _open(self, tenants: list[str], unknown: list[str]) -> None:
        execute = self._connection.execute
        execute(b"BEGIN ISOLATION LEVEL READ COMMITTED")  # what a statement sees follows the lock it came after
        self._opened = execute(OPEN, (opened_for(tenants),))
        if unknown:
            execute(_NAME, (unknown,))
            execute(_HEAD, (unknown, [chain.genesis(tenant) for tenant in unknown]))
        self._heads = execute(_LOCK, (tenants,), binary=True)

    def _require_heads(self, tenants: list[str], seen: Zones) -> None:
        require_durable(*self._opened.fetchall()[0][-2:])
        for tenant, *values in self._heads.fetchall():
            head = self._rows["head"][tenant,] = Head(*values)
            if head.seq:
                seen[tenant] = head.zones
        if len(self._rows["head"]) < len(tenants):
            seen.clear()  # restored from before these tenants came
            raise StoreError("the head of a tenant is gone; ask again")

    def _keep(self, kind: str, row: TupleRow) -> None:
        if kind == "identity":
            tenant, of, name, request_hash, seq, state, *record = row
            self._rows[kind][tenant, of, name] = Identity(request_hash, seq, state)
            self._rows["record"][tenant, seq] = None if record[0] is None else StoredRecord(seq, *record)
        elif kind == "record":
            tenant, *record = row
            self._rows[kind][tenant, record[0]] = StoredRecord(*record)
        elif kind == "cells":
            tenant, *columns = row
            self._rows[kind][tenant,] = [(cell, consumption_of(*texts)) for cell, *texts in zip(*columns, strict=True)]
        elif kind == "plan":
            self._rows[kind][row[:2]] = plan_of(row[1:])
        elif kind == "families":
            self._rows[kind][row[:1]] = [*(self._rows[kind][row[:1]] or ()), row[1]]
        else:
            keys, make = _KEPT[kind]
            self._rows[kind][row[:keys]] = make(*row[keys:])

    def _row(self, kind: str, *key: Any) -> Any:
        rows = self._rows[kind]
        if key not in rows:
            self._missing[kind].add(key)
            return None
        return rows[key]

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends."""
        head: Head = self._rows["head"][tenant_id,]
        return head

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        """Return one record."""
        found: StoredRecord | None = self._row("record", tenant_id, seq)
        return found

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""
        found: Identity | None = self._row("identity", tenant_id, kind, identity)
        return found

    def blocked(self, tenant_id: str, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of a proposal."""
        found: BlockedProposal | None = self._row("blocked", tenant_id, choke_point, proposal_hash)
        return found

    def authorisation(self, tenant_id: str, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for a proposal."""
        found: RetryAuthorisation | None = self._row("authorisation", tenant_id, choke_point, proposal_hash)
        return found

    def has_content(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored."""
        return self._row("content", tenant_id, content_hash) is not None

    def counter(self, tenant_id: str, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""
        found: Counter | None = self._row("counter", tenant_id, name)
        return found or Counter()

    def counters_of(self, tenant_id: str, names: Sequence[str]) -> dict[str, Counter]:
        """Return budget counters; those that nothing fell under are zero."""
        return {name: self.counter(tenant_id, name) for name in names}

    def cell(self, tenant_id: str, name: str) -> Consumption | None:
        """Return one cell of what was consumed."""
        found: Consumption | None = self._row("cell", tenant_id, name)
        return found

    def consumption(self, tenant_id: str) -> Iterator[tuple[str, Consumption]]:
        """Yield every cell of what was consumed."""
        found: list[tuple[str, Consumption]] | None = self._row("cells", tenant_id)
        yield from found or ()

    def families(self, tenant_id: str) -> tuple[str, ...]:
        """Return what the counters count."""
        found: list[str] | None = self._row("families", tenant_id)
        return tuple(sorted(found or ()))

    def has_plans(self, tenant_id: str) -> bool:
        """Return whether the tenant has any plan."""
        return self._row("planned", tenant_id) is not None

    def plan(self, tenant_id: str, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""
        found: PlanState | None = self._row("plan", tenant_id, plan_id)
        return found

    def active_plan(self, tenant_id: str, account_id: str, plan_type: str) -> str | None:
        """Return the id of the plan of this account and type that is ACTIVE."""
        found: str | None = self._row("active", tenant_id, account_id, plan_type)
        return found

    def outcome(self, tenant_id: str, idempotency_key: str) -> tuple[str, int] | None:
        """Return the id and the record of an outcome that was said before."""
        found: tuple[str, int] | None = self._row("outcome", tenant_id, idempotency_key)
        return found


def _guessed_plan(submission: Submission, kept: Kept | None) -> Iterator[tuple[str, Key]]:
    """Yield the rows of plans that the kernel will ask for; none where it is kept that the tenant has no plans."""
    tenant, plan_id = submission.tenant_id, submission.common.get("plan_id")
    if not isinstance(plan_id, str) or not (submission.runs or submission.reservation or submission.plan):
        return
    planned = kept.planned if kept is not None and kept.alone else None
    if planned is None:
        yield "planned", (tenant,)
    if planned or submission.plan is not None:
        yield "plan", (tenant, plan_id)


def _guessed(submission: Submission) -> Iterator[tuple[str, Key]]:
    """Yield what the kernel will most probably ask for, besides the budget."""
    tenant = submission.tenant_id
    if submission.operation is not None:
        yield "identity", (tenant, "op", submission.operation[0])
    for run in submission.runs:
        yield "identity", (tenant, "run", run.validation_run_id)
        yield "blocked", (tenant, run.choke_point, run.proposal_hash)
    if submission.outcome is not None:
        yield "outcome", (tenant, submission.outcome.idempotency_key)
        if submission.outcome.event is not None:
            yield "record", (tenant, submission.outcome.event[0])
    if submission.completes is not None:
        yield from (("identity", (tenant, kind, submission.completes[0])) for kind in ("op", "end"))
    if submission.usage is not None:
        yield from (("identity", (tenant, kind, submission.usage.operation_id)) for kind in ("op", "use"))
    if submission.authorises is not None:
        yield from ((kind, (tenant, *submission.authorises[:2])) for kind in ("blocked", "authorisation"))


def _guessed_budget(submission: Submission, seen: Zones, kept: Kept | None) -> Iterator[tuple[str, Key]]:
    """Yield the rows of the budget that the kernel will ask for; not those that are kept and probably still true."""
    kept = kept if kept is not None and kept.alone else None
    wanted, terms, tenant = submission.reservation, submission.terms, submission.tenant_id
    if kept is None:
        yield "families", (tenant,)
    if wanted is None:
        return
    zones = seen.get(tenant)
    if terms is not None:
        zones = with_zone(zones, terms.time_zone, submission.evaluation_time_ms)
    keys = period_keys(zones, submission.evaluation_time_ms)
    for cap, tail in wanted.applicable:
        name = counter_name(cap.unit, period_of(keys, cap.period), tail)
        if kept is None or name not in kept.counters:
            yield "counter", (tenant, name)
    cell = cell_name(Cell(*keys, wanted.account_id, wanted.plan_id, wanted.operation, str(wanted.cost_class)))
    if kept is None or cell not in kept.consumed:
        yield "cell", (tenant, cell)


def _columns(keys: Sequence[Key], width: int) -> tuple[list[Any], ...]:
    """Return the keys column by column; where there are none, ``width`` empty ones."""
    return tuple(map(list, zip(*keys, strict=True))) if keys else ([],) * width


_KEPT: Mapping[str, tuple[int, Any]] = {
    "blocked": (3, BlockedProposal),
    "authorisation": (3, RetryAuthorisation),
    "content": (2, bool),
    "counter": (2, counter_of),
    "cell": (2, consumption_of),
    "planned": (1, lambda *_: True),
    "active": (3, str),
    "outcome": (2, lambda outcome_id, seq: (outcome_id, seq)),
}
