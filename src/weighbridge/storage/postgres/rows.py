"""Reading a PostgreSQL store: what differs from other stores that speak SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from weighbridge.storage.rows import TABLES, SqlRows

QueryFor = Callable[[Iterable[str], str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs a statement with ``?`` for its values, in a transaction that was opened for these tenants (L5)."""

_TENANTS = "SELECT named.tenant FROM unnest(?::text[]) AS named (tenant) WHERE " + " OR ".join(  # noqa: S608 - our table names
    # A head that nothing was written under yet is no record.
    f"EXISTS (SELECT FROM {table} AS held WHERE held.tenant = named.tenant{' AND seq > 0' * (table == 'ledger_head')})"
    for table in TABLES
)


class PostgresRows(SqlRows):
    """The `LedgerReader` questions that are plain queries."""

    def __init__(self, query_for: QueryFor) -> None:
        super().__init__(lambda sql, values: query_for(values[:1], sql, values))
        self._query_for = query_for

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, or rows that should follow from records, sorted."""
        names = [name for (name,) in self._query_for((), "SELECT tenant FROM tenant", ())]
        return tuple(sorted(name for (name,) in self._query_for(names, _TENANTS, (names,))))
