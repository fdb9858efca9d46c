"""A ledger into another store: every row as it is, compared record by record, and verified before anybody can see it.

The target is filled in one transaction of its own: whoever interrupts a copy, or kills it, leaves a target as it was before.
What may be there already is nothing, or the beginning of the same ledger; then the rest is added to it. Reads one moment of the
source, and looks in the end whether it was written meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any, Protocol

import msgspec

from weighbridge import canonical
from weighbridge.domain.amounts import Amounts, as_text
from weighbridge.domain.plan import PlanStatus
from weighbridge.errors import LedgerCorrupt, NotFound, StoreError, UsageError
from weighbridge.storage.audit import verify_tenant
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.storage.reading import LedgerReader
from weighbridge.storage.rows import outcome_row, plan_row

ROWS_TOGETHER = 1_000
RECORDS_TOGETHER = 256  # about a megabyte of bodies

Row = tuple[Any, ...]


class Target(LedgerReader, Protocol):
    """The transaction that fills a store. Whatever is written is there when it ends in order, and only then."""

    def lock(self, tenant_id: str) -> None:
        """Keep others from writing for a tenant."""

    def write(self, table: str, rows: Sequence[Row]) -> None:
        """Write rows, the tenant first, by the names that `Batch.changes` gives; ``tenant_key`` and ``tenant`` besides."""


class Copied(msgspec.Struct, frozen=True):
    """A tenant that was copied: how many records it has, how many were added now, and the last one's number and hash (hex)."""

    tenant_id: str
    records: int
    added: int
    head: tuple[int, str]


def copy_ledgers(
    source: LedgerReader,
    target: Target,
    tenant_id: str | None = None,
    *,
    progress: Callable[[int], None] = lambda _records: None,
) -> list[Copied]:
    """Copy one tenant, or every one, into the open transaction of ``target``; end that in order only if this returns.

    Raises:
        NotFound: the source has no such tenant, or none at all.
        UsageError: the target was made for another purpose, or holds something else under a tenant's name.
        LedgerCorrupt: the source does not verify, or what was written is not what was read.
        StoreError: the source was written meanwhile.
    """
    if source.purpose() != target.purpose():
        raise UsageError(
            f"the source was made for {source.purpose()}, the target for {target.purpose()}; "
            f"make a target for {source.purpose()}"
        )
    with source.snapshot() as moment:
        present = moment.tenants()
        tenants = present if tenant_id is None else (tenant_id,)
        if not set(tenants) <= set(present) or not tenants:
            raise NotFound(f"the source knows no tenant `{tenant_id}`" if tenant_id else "the source holds no records")
        copied = [_copy(moment, target, tenant, progress) for tenant in tenants]
    for one in copied:
        now = source.head(one.tenant_id)
        if (now.seq, now.hash.hex()) != one.head:
            raise StoreError(
                f"the source was written meanwhile (tenant `{one.tenant_id}`, record {one.head[0] + 1}); nothing was copied: "
                "stop whoever writes to it, and start again"
            )
    return copied


def _copy(source: LedgerReader, target: Target, tenant: str, progress: Callable[[int], None]) -> Copied:
    target.write("tenant", [(tenant,)])
    key = source.tenant_key(tenant)
    target.write("tenant_key", [(tenant, key)])
    target.lock(tenant)
    after = _require_beginning(source, target, tenant)
    if target.tenant_key(tenant) != key:
        raise UsageError(f"tenant `{tenant}` has another content key in the target; copy into one that nobody used yet")
    _write(source, target, tenant, after, progress)
    _require_same(source, target, tenant)
    checked = verify_tenant(target, tenant)
    if checked.first_bad is not None:
        raise LedgerCorrupt(f"nothing was copied, because the source does not verify: {checked}")
    return Copied(tenant, checked.records, checked.records - after, checked.head)


def _require_beginning(source: LedgerReader, target: Target, tenant: str) -> int:
    """Return how many records the target has, which must be those that the source begins with."""
    head, own = target.head(tenant), source.head(tenant)
    if head.seq == 0:
        return 0
    if head.seq > own.seq:
        raise UsageError(
            f"the target has {head.seq} records of tenant `{tenant}`, the source {own.seq}: the target is ahead, or in use "
            "already. Nothing was copied; look which of the two is the ledger"
        )
    stored = source.record(tenant, head.seq)
    if stored is None or stored.hash != head.hash:
        raise UsageError(
            f"the target holds another ledger of tenant `{tenant}` (its record {head.seq} is not the source's); nothing was "
            "copied: name a target without this tenant"
        )
    return head.seq


def _write(source: LedgerReader, target: Target, tenant: str, after: int, progress: Callable[[int], None]) -> None:
    for rows in _together(_records(source, tenant, after), RECORDS_TOGETHER):
        target.write("ledger", rows)
        progress(len(rows))
    for table, found in _rows(source, target, tenant, after):
        for rows in _together(found, RECORDS_TOGETHER if table == "content" else ROWS_TOGETHER):
            target.write(table, rows)
    head = source.head(tenant)
    if head.seq > after:
        target.write("ledger_head", [(tenant, *msgspec.structs.astuple(head))])


def _records(source: LedgerReader, tenant: str, after: int) -> Iterator[Row]:
    return ((tenant, *stored) for stored in source.records(tenant, after + 1))


def _rows(source: LedgerReader, target: Target, tenant: str, after: int) -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield what follows from the records, a table at a time. What may be there already is written again; it may have changed."""
    yield "identity", ((tenant, kind, name, *_plain(known)) for kind, name, known in source.identities(tenant))
    yield "blocked_proposal", ((tenant, *key, *_plain(block)) for *key, block in source.blocked_proposals(tenant))
    yield "retry_authorisation", ((tenant, *key, *_plain(given)) for *key, given in source.authorisations(tenant))
    yield "subject", ((tenant, *subject) for subject in source.subjects(tenant) if subject[2] > after)
    yield "content", ((tenant, *content) for content in source.contents(tenant))
    # L6: a row that is there stays as it is; what was erased since is erased there, too.
    yield "erased", ((tenant, content_hash) for content_hash, body in source.contents(tenant) if body is None)
    yield "counter", ((tenant, name, str(sums.reserved), str(sums.settled)) for name, sums in source.counters(tenant))
    yield (
        "consumption",
        ((tenant, cell, _text(sums.reserved), _text(sums.settled)) for cell, sums in source.consumption(tenant)),
    )
    # H3: whatever was ACTIVE leaves first. A plan only moves forward: what did not move since is there as it is.
    for active in (False, True):
        plans = (row for row in source.plans(tenant) if row.seq > after and (row.status is PlanStatus.ACTIVE) is active)
        yield "plan", ((tenant, *plan_row(row)) for row in plans)
    yield "outcome", ((tenant, *outcome_row(row)) for row in outcome_rows(source, tenant) if row.seq > after)
    families, there = source.families(tenant), target.families(tenant)
    yield "family_left", ((tenant, family) for family in there if family not in families)
    yield "counter_family", ((tenant, family) for family in families if family not in there)


def _require_same(source: LedgerReader, target: LedgerReader, tenant: str) -> None:
    """Require that both hold the same, byte for byte.

    Raises:
        LedgerCorrupt: they do not; the message names the first row that differs.
    """
    for what, one, other in (
        ("record", source.records(tenant), target.records(tenant)),
        ("id", source.identities(tenant), target.identities(tenant)),
        ("blocked proposal", source.blocked_proposals(tenant), target.blocked_proposals(tenant)),
        ("retry authorisation", source.authorisations(tenant), target.authorisations(tenant)),
        ("subject", source.subjects(tenant), target.subjects(tenant)),
        ("content", source.contents(tenant), target.contents(tenant)),
        ("counter", source.counters(tenant), target.counters(tenant)),
        ("consumption", source.consumption(tenant), target.consumption(tenant)),
        ("plan", source.plans(tenant), target.plans(tenant)),
        ("outcome", outcome_rows(source, tenant), outcome_rows(target, tenant)),
        ("counter family", iter(source.families(tenant)), iter(target.families(tenant))),
        ("head", iter([source.head(tenant)]), iter([target.head(tenant)])),
    ):
        pairs: Iterable[tuple[Any, Any]] = zip_longest(one, other)
        for number, (read, written) in enumerate(pairs, 1):
            if read != written:
                raise LedgerCorrupt(
                    f"tenant `{tenant}`: {what} {number} is not in the target as it is in the source; nothing was copied"
                )


def _together(rows: Iterator[Row], many: int) -> Iterator[list[Row]]:
    while some := list(islice(rows, many)):
        yield some


def _plain(row: msgspec.Struct) -> tuple[Any, ...]:
    """Return the columns of a row, as the migrations have them."""
    return msgspec.structs.astuple(row)


def _text(amounts: Amounts) -> str:
    return canonical.encode(as_text(amounts)).decode()
