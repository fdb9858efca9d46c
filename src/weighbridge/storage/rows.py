"""Reading a store that speaks SQL: rows to records, heads and identities. Opens nothing; it is given a function that queries.

Long listings are read in pages by key, each page one short statement, so that a slow reader never holds the write-ahead log
back. Inside a snapshot the pages are of one moment; outside, each is of its own, which for append-only rows is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain as links
from itertools import islice
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.budgets.decide import Counter
from weighbridge.domain.amounts import from_text, parse_amount
from weighbridge.domain.outcome import OutcomeRow
from weighbridge.domain.plan import PlanState, PlanStatus, Risk, StepState, encode_steps
from weighbridge.errors import StoreError
from weighbridge.ledger import chain
from weighbridge.ledger.submission import BlockedProposal, Consumption, Head, Identity, RetryAuthorisation
from weighbridge.storage.reading import VERIFY_HINT, Span, StoredRecord

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs a statement with ``?`` for its values."""

_PAGE_RECORDS = 256  # about a megabyte of bodies
_PAGE_ROWS = 2048

TOGETHER = (
    8  # rows or keys of one statement where there are that many: what a statement costs besides them is half of it
)
_SEQ_MAX = 2**63 - 1
BUDGET_TABLES = ("counter", "consumption", "counter_family")
TABLES = (
    *("ledger", "ledger_head", "identity", "blocked_proposal", "retry_authorisation", "subject", "content"),
    *BUDGET_TABLES,
    "plan",
    "outcome",
)
"""Where a tenant has rows."""

_amounts = msgspec.json.Decoder(dict[str, str])
_names = msgspec.json.Decoder(tuple[str, ...])
_details = msgspec.json.Decoder(dict[str, Any])

PLAN_COLUMNS: tuple[str, ...] = PlanState.__struct_fields__
"""The columns of the table `plan`, besides the tenant."""
OUTCOME_COLUMNS: tuple[str, ...] = OutcomeRow.__struct_fields__
"""The columns of the table `outcome`, besides the tenant."""
_PLAN = f"SELECT {', '.join(PLAN_COLUMNS)} FROM plan WHERE tenant = ?"  # noqa: S608 - our own names


class SqlRows:
    """The `LedgerReader` questions that are plain queries. Every one names its tenant, as its first value (L5)."""

    spans_max = 64
    """How many spans of records go into one statement, and in `span_records_max` how many records."""
    span_records_max = _PAGE_RECORDS

    def __init__(self, query: Query) -> None:
        self._query = query

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends."""
        rows = self._query(
            "SELECT seq, hash, last_time_ms, policy_version, zones FROM ledger_head WHERE tenant = ?", (tenant_id,)
        )
        return Head(*rows[0]) if rows else Head(0, chain.genesis(tenant_id))

    def records(self, tenant_id: str, first_seq: int = 1, last_seq: int | None = None) -> Iterator[StoredRecord]:
        """Yield records in order, streaming."""
        last = _SEQ_MAX if last_seq is None else last_seq
        sql = (
            "SELECT seq, leaf_hash, hash, body FROM ledger "
            "WHERE tenant = ? AND seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
        )
        while first_seq <= last:
            page = self._query(sql, (tenant_id, first_seq, last, _PAGE_RECORDS))
            for row in page:
                yield StoredRecord(*row)
            if len(page) < _PAGE_RECORDS:
                return
            first_seq = page[-1][0] + 1

    def records_of(self, spans: Mapping[str, Span]) -> Iterator[tuple[str, list[StoredRecord]]]:
        """Yield the records of many tenants: short spans many to a statement, long ones page by page."""
        some: list[tuple[str, int, int]] = []
        room = self.span_records_max
        for tenant, (first, last) in spans.items():
            many = last - first + 1
            if many > self.span_records_max:
                records = self.records(tenant, first, last)
                while page := list(islice(records, _PAGE_RECORDS)):
                    yield tenant, page
            elif many > 0:
                if many > room or len(some) == self.spans_max:
                    yield from self._records_together(some)
                    some, room = [], self.span_records_max
                some.append((tenant, first, last))
                room -= many
        if some:
            yield from self._records_together(some)

    def _records_together(self, spans: Sequence[tuple[str, int, int]]) -> Iterable[tuple[str, list[StoredRecord]]]:
        """Return the records of a few spans, by tenant and number."""
        found: dict[str, list[StoredRecord]] = {}
        for tenant, *row in sorted(self._spans(spans)):
            found.setdefault(tenant, []).append(StoredRecord(*row))
        return found.items()

    def _spans(self, spans: Sequence[tuple[str, int, int]]) -> list[tuple[Any, ...]]:
        """Return the rows of a few spans (at most `spans_max`): tenant, and what a record is made of."""
        raise NotImplementedError

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        """Return one record."""
        sql = "SELECT seq, leaf_hash, hash, body FROM ledger WHERE tenant = ? AND seq = ?"
        rows = self._query(sql, (tenant_id, seq))
        return StoredRecord(*rows[0]) if rows else None

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""
        sql = "SELECT request_hash, seq, state FROM identity WHERE tenant = ? AND id = ? AND kind = ?"
        rows = self._query(sql, (tenant_id, identity, kind))
        return Identity(*rows[0]) if rows else None

    def heads_of(self, tenants: Sequence[str]) -> dict[str, Head]:
        """Return the heads of those of these tenants that have one."""
        sql = "SELECT tenant, seq, hash, last_time_ms, policy_version, zones FROM ledger_head WHERE tenant IN ({})"
        return {tenant: Head(*values) for tenant, *values in self._together(sql, "?", [(one,) for one in tenants])}

    def families_of(self, tenants: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return what the counters of these tenants count, sorted."""
        found: dict[str, list[str]] = {tenant: [] for tenant in tenants}
        sql = "SELECT tenant, family FROM counter_family WHERE tenant IN ({})"
        for tenant, family in self._together(sql, "?", [(one,) for one in tenants]):
            found[tenant].append(family)
        return {tenant: tuple(sorted(set(families))) for tenant, families in found.items()}

    def identities_of(self, ids: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], Identity]:
        """Return what those of these ids that are known are bound to, by tenant, kind and id."""
        sql = "SELECT tenant, kind, id, request_hash, seq, state FROM identity WHERE (tenant, kind, id) IN (VALUES {})"
        return {(row[0], row[1], row[2]): Identity(*row[3:]) for row in self._together(sql, "(?, ?, ?)", ids)}

    def _together(self, sql: str, one: str, keys: Sequence[tuple[str, ...]]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of many keys, `TOGETHER` keys to a statement; the last one makes up the number."""
        statement = sql.format(", ".join([one] * TOGETHER))
        for at in range(0, len(keys), TOGETHER):
            some = [*keys[at : at + TOGETHER]]
            some += some[-1:] * (TOGETHER - len(some))
            yield from self._query(statement, tuple(links.from_iterable(some)))

    def blocked(self, tenant_id: str, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of a proposal at a choke point."""
        sql = (
            "SELECT validation_run_id, inputs_hash, policy_version, seq FROM blocked_proposal "
            "WHERE tenant = ? AND choke_point = ? AND proposal_hash = ?"
        )
        rows = self._query(sql, (tenant_id, choke_point, proposal_hash))
        return BlockedProposal(*rows[0]) if rows else None

    def authorisation(self, tenant_id: str, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for a proposal at a choke point."""
        sql = (
            "SELECT inputs_hash, expires_ms, given_by, seq, used_seq FROM retry_authorisation "
            "WHERE tenant = ? AND choke_point = ? AND proposal_hash = ?"
        )
        rows = self._query(sql, (tenant_id, choke_point, proposal_hash))
        return RetryAuthorisation(*rows[0]) if rows else None

    def has_content(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored."""
        return bool(self._query("SELECT 1 FROM content WHERE tenant = ? AND hash = ?", (tenant_id, content_hash)))

    def content(self, tenant_id: str, content_hash: str) -> bytes | None:
        """Return a content body; None where it was erased or never stored."""
        rows = self._query("SELECT body FROM content WHERE tenant = ? AND hash = ?", (tenant_id, content_hash))
        return rows[0][0] if rows else None

    def counter(self, tenant_id: str, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""
        sql = "SELECT reserved, settled FROM counter WHERE tenant = ? AND name = ?"
        rows = self._query(sql, (tenant_id, name))
        return counter_of(*rows[0]) if rows else Counter()

    def counters_of(self, tenant_id: str, names: Sequence[str]) -> dict[str, Counter]:
        """Return those of these counters that something fell under."""
        sql = (
            f"SELECT name, reserved, settled FROM counter WHERE tenant = ? AND name IN ({', '.join('?' * len(names))})"  # noqa: S608 - only placeholders
        )
        return {name: counter_of(*sums) for name, *sums in self._query(sql, (tenant_id, *names))}

    def counters(self, tenant_id: str) -> Iterator[tuple[str, Counter]]:
        """Yield every counter, sorted."""
        for row in self._pages("counter", tenant_id, ("name",), ("reserved", "settled")):
            yield row[0], counter_of(*row[1:])

    def cell(self, tenant_id: str, name: str) -> Consumption | None:
        """Return one cell of what was consumed."""
        rows = self._query("SELECT reserved, settled FROM consumption WHERE tenant = ? AND cell = ?", (tenant_id, name))
        return consumption_of(*rows[0]) if rows else None

    def consumption(self, tenant_id: str) -> Iterator[tuple[str, Consumption]]:
        """Yield every cell of what was consumed, sorted."""
        for row in self._pages("consumption", tenant_id, ("cell",), ("reserved", "settled")):
            yield row[0], consumption_of(*row[1:])

    def families(self, tenant_id: str) -> tuple[str, ...]:
        """Return what the counters count, sorted."""
        # Sorted here: with ORDER BY this statement is compiled anew every time.
        rows = self._query("SELECT family FROM counter_family WHERE tenant = ?", (tenant_id,))
        return tuple(sorted([family for (family,) in rows]))

    def has_plans(self, tenant_id: str) -> bool:
        """Return whether the tenant has any plan."""
        return bool(self._query("SELECT 1 FROM plan WHERE tenant = ? LIMIT 1", (tenant_id,)))

    def with_plans(self, tenants: Sequence[str]) -> set[str]:
        """Return those of these tenants that have any plan."""
        sql = (
            "WITH given(tenant) AS (VALUES {}) SELECT tenant FROM given "
            "WHERE EXISTS (SELECT 1 FROM plan WHERE plan.tenant = given.tenant)"
        )
        return {tenant for (tenant,) in self._together(sql, "(?)", [(one,) for one in tenants])}

    def plan(self, tenant_id: str, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""
        rows = self._query(f"{_PLAN} AND plan_id = ?", (tenant_id, plan_id))
        return plan_of(rows[0]) if rows else None

    def active_plan(self, tenant_id: str, account_id: str, plan_type: str) -> str | None:
        """Return the id of the plan of this account and type that is ACTIVE."""
        sql = "SELECT plan_id FROM plan WHERE tenant = ? AND account_id = ? AND plan_type = ? AND status = 'ACTIVE'"
        rows = self._query(sql, (tenant_id, account_id, plan_type))
        return rows[0][0] if rows else None

    def plans(self, tenant_id: str, statuses: Collection[str] = ()) -> Iterator[PlanState]:
        """Yield plans, sorted by their id: those of these statuses, or all."""
        wanted = sorted(map(str, statuses))
        among = f" AND status IN ({', '.join('?' * len(wanted))})" if wanted else ""
        tail = f" ORDER BY plan_id LIMIT {_PAGE_RECORDS}"
        page = self._query(f"{_PLAN}{among}{tail}", (tenant_id, *wanted))
        while page:
            yield from map(plan_of, page)
            if len(page) < _PAGE_RECORDS:
                return
            page = self._query(f"{_PLAN}{among} AND plan_id > ?{tail}", (tenant_id, *wanted, page[-1][0]))

    def outcome(self, tenant_id: str, idempotency_key: str) -> tuple[str, int] | None:
        """Return the id and the record of an outcome that was said before (O4)."""
        sql = "SELECT outcome_id, seq FROM outcome WHERE tenant = ? AND idempotency_key = ?"
        rows = self._query(sql, (tenant_id, idempotency_key))
        return (rows[0][0], rows[0][1]) if rows else None

    def outcomes(self, tenant_id: str) -> Iterator[OutcomeRow]:
        """Yield every outcome, sorted by its id (`OutcomeRows`)."""
        for row in self._pages("outcome", tenant_id, OUTCOME_COLUMNS[:1], OUTCOME_COLUMNS[1:]):
            yield outcome_of(row)

    def find(self, tenant_id: str, identity: str) -> tuple[int, ...]:
        """Return the numbers of every record that an id leads to, ascending."""
        sql = (
            "SELECT seq FROM identity WHERE tenant = ? AND id = ? "
            "UNION SELECT seq FROM subject WHERE tenant = ? AND id = ? ORDER BY seq"
        )
        return tuple(seq for (seq,) in self._query(sql, (tenant_id, identity) * 2))

    def identities(self, tenant_id: str) -> Iterator[tuple[str, str, Identity]]:
        """Yield every known id, sorted."""
        for kind in ("end", "op", "run", "use"):
            for row in self._pages("identity", tenant_id, ("id",), ("request_hash", "seq", "state"), kind):
                yield kind, row[0], Identity(*row[1:])

    def blocked_proposals(self, tenant_id: str) -> Iterator[tuple[str, str, BlockedProposal]]:
        """Yield every blocked proposal, sorted."""
        values = ("validation_run_id", "inputs_hash", "policy_version", "seq")
        for row in self._pages("blocked_proposal", tenant_id, ("choke_point", "proposal_hash"), values):
            yield row[0], row[1], BlockedProposal(*row[2:])

    def authorisations(self, tenant_id: str) -> Iterator[tuple[str, str, RetryAuthorisation]]:
        """Yield every retry authorisation, sorted."""
        values = ("inputs_hash", "expires_ms", "given_by", "seq", "used_seq")
        for row in self._pages("retry_authorisation", tenant_id, ("choke_point", "proposal_hash"), values):
            yield row[0], row[1], RetryAuthorisation(*row[2:])

    def subjects(self, tenant_id: str) -> Iterator[tuple[str, str, int]]:
        """Yield every subject of every record, sorted by kind, id and number."""
        kinds = self._query("SELECT DISTINCT kind FROM subject WHERE tenant = ? ORDER BY kind", (tenant_id,))
        for (kind,) in kinds:
            for row in self._pages("subject", tenant_id, ("id", "seq"), (), kind):
                yield kind, row[0], row[1]

    def contents(self, tenant_id: str) -> Iterator[tuple[str, bytes | None]]:
        """Yield every content, sorted."""
        for row in self._pages("content", tenant_id, ("hash",), ("body",), page_rows=_PAGE_RECORDS):
            yield row[0], row[1]

    def _pages(
        self,
        table: str,
        tenant_id: str,
        keys: tuple[str, ...],
        values: tuple[str, ...],
        kind: str | None = None,
        *,
        page_rows: int = _PAGE_ROWS,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield rows in the order of ``keys``, a page at a time."""
        order = ", ".join(keys)
        where = "tenant = ?" if kind is None else "tenant = ? AND kind = ?"
        fixed = (tenant_id,) if kind is None else (tenant_id, kind)
        head = f"SELECT {', '.join(keys + values)} FROM {table} WHERE {where}"  # noqa: S608 - our own names
        tail = f" ORDER BY {order} LIMIT {page_rows}"
        page = self._query(head + tail, fixed)
        after = f"{head} AND ({order}) > ({', '.join('?' * len(keys))}){tail}"
        while page:
            yield from page
            if len(page) < page_rows:
                return
            page = self._query(after, (*fixed, *page[-1][: len(keys)]))


def counter_of(reserved: str, settled: str) -> Counter:
    """Return the counter of a row.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return Counter(parse_amount(reserved), parse_amount(settled))
    except (ValueError, TypeError) as error:
        raise StoreError(f"a counter cannot be read ({error}){VERIFY_HINT}") from None


def consumption_of(reserved: str, settled: str) -> Consumption:
    """Return what was consumed, of a row.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return Consumption(from_text(_amounts.decode(reserved)), from_text(_amounts.decode(settled)))
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreError(f"what was consumed cannot be read ({error}){VERIFY_HINT}") from None


def plan_row(plan: PlanState) -> tuple[Any, ...]:
    """Return the columns of a plan, besides the tenant."""
    row = msgspec.structs.asdict(plan)
    row |= {"proposers": canonical.encode(list(plan.proposers)).decode(), "steps": encode_steps(plan.steps)}
    return tuple((row | {"status": plan.status.value, "risk": plan.risk.value}).values())


def plan_of(row: Sequence[Any]) -> PlanState:
    """Return the plan of a row.

    Raises:
        StoreError: it cannot be read.
    """
    given = dict(zip(PLAN_COLUMNS, row, strict=True))
    try:
        given["status"], given["risk"] = PlanStatus(given["status"]), Risk(given["risk"])
        given["proposers"], steps = _names.decode(given["proposers"]), msgspec.json.decode(given["steps"])
        given["steps"] = msgspec.convert(steps, tuple[StepState, ...])
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"plan `{given['plan_id']}` cannot be read ({error}){VERIFY_HINT}"
        raise StoreError(message) from None
    # L3: nothing stands in a row that nobody reads.
    if msgspec.json.decode(msgspec.json.encode(given["steps"])) != steps:
        message = f"plan `{given['plan_id']}` holds something besides its steps{VERIFY_HINT}"
        raise StoreError(message)
    given["submitted"], given["refused"] = bool(given["submitted"]), bool(given["refused"])
    return PlanState(**given)


def outcome_row(outcome: OutcomeRow) -> tuple[Any, ...]:
    """Return the columns of an outcome, besides the tenant."""
    *columns, body = msgspec.structs.astuple(outcome)
    return (*columns, canonical.encode(body).decode())


def outcome_of(row: Sequence[Any]) -> OutcomeRow:
    """Return the outcome of a row.

    Raises:
        StoreError: it cannot be read.
    """
    given = dict(zip(OUTCOME_COLUMNS, row, strict=True))
    try:
        return OutcomeRow(**given | {"body": _details.decode(given["body"])})
    except (msgspec.MsgspecError, TypeError) as error:
        raise StoreError(f"outcome `{row[0]}` cannot be read ({error}){VERIFY_HINT}") from None
