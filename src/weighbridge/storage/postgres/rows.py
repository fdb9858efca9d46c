"""Reading a PostgreSQL store: what differs from other stores that speak SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from weighbridge.ledger.submission import Head
from weighbridge.storage.rows import TABLES, SqlRows


class QueryFor(Protocol):
    """Runs a statement with ``?`` for its values, in a transaction that was opened for these tenants (L5)."""

    def __call__(
        self, tenants: Iterable[str], sql: str, values: Sequence[Any], *, binary: bool = False
    ) -> list[tuple[Any, ...]]:
        """Return its rows; ``binary`` is how bytes travel at half the cost, and not for exact numbers."""


_TENANTS = "SELECT named.tenant FROM unnest(?::text[]) AS named (tenant) WHERE " + " OR ".join(  # noqa: S608 - our table names
    # A head that nothing was written under yet is no record.
    f"EXISTS (SELECT FROM {table} AS held WHERE held.tenant = named.tenant{' AND seq > 0' * (table == 'ledger_head')})"
    for table in TABLES
)
# All that the transaction was opened for. A head that nothing was written under yet is no ledger.
_HEADS = "SELECT tenant, seq, hash, last_time_ms, policy_version, zones FROM ledger_head WHERE seq > 0"
_SPANS = (
    "SELECT tenant, seq, leaf_hash, hash, body FROM unnest(?::text[], ?::bigint[], ?::bigint[]) AS given (tenant, first, last) "
    "JOIN ledger USING (tenant) WHERE seq BETWEEN first AND last"
)


class PostgresRows(SqlRows):
    """The `LedgerReader` questions that are plain queries."""

    spans_max = 1_024  # a statement is a round trip, and may open the transaction for other tenants
    span_records_max = 2_048

    def __init__(self, query_for: QueryFor) -> None:
        super().__init__(lambda sql, values: query_for(values[:1], sql, values))
        self._query_for = query_for

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, or rows that should follow from records, sorted."""
        names = self._names()
        return tuple(sorted(name for (name,) in self._query_for(names, _TENANTS, (names,))))

    def heads(self) -> dict[str, Head]:
        """Return where the ledger of every tenant that has records ends."""
        names = self._names()
        return {tenant: Head(*values) for tenant, *values in self._query_for(names, _HEADS, ())}

    def _names(self) -> list[str]:
        return [name for (name,) in self._query_for((), "SELECT tenant FROM tenant", ())]

    def _spans(self, spans: Sequence[tuple[str, int, int]]) -> list[tuple[Any, ...]]:
        columns = [list(column) for column in zip(*spans, strict=True)]
        return self._query_for(columns[0], _SPANS, columns, binary=True)
