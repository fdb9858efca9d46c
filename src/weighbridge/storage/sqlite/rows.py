"""Reading a SQLite store: what differs from other stores that speak SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weighbridge.ledger.submission import Head
from weighbridge.storage.rows import TABLES, SqlRows

_TENANTS = " UNION ".join(
    # A loose index scan: one seek for each tenant, however many rows it has.
    f"SELECT tenant FROM (WITH RECURSIVE each(tenant) AS (SELECT min(tenant) FROM {table} UNION ALL "  # noqa: S608 - our table names
    f"SELECT (SELECT min(tenant) FROM {table} WHERE tenant > each.tenant) FROM each WHERE each.tenant IS NOT NULL) "
    "SELECT tenant FROM each WHERE tenant IS NOT NULL)"
    for table in TABLES
)
_NO_SPAN = ("", 1, 0)
_SPANS = (
    f"WITH given(tenant, first, last) AS (VALUES {', '.join(['(?, ?, ?)'] * SqlRows.spans_max)}) "  # noqa: S608 - only placeholders
    "SELECT ledger.tenant, seq, leaf_hash, hash, body FROM given "
    "CROSS JOIN ledger ON ledger.tenant = given.tenant AND seq BETWEEN first AND last"
)


class SqliteRows(SqlRows):
    """The `LedgerReader` questions that are plain queries."""

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, or rows that should follow from records, sorted."""
        return tuple(sorted(tenant for (tenant,) in self._query(_TENANTS, ())))

    def heads(self) -> dict[str, Head]:
        """Return where the ledger of every tenant that has a head ends."""
        sql = "SELECT tenant, seq, hash, last_time_ms, policy_version, zones FROM ledger_head"
        return {tenant: Head(*values) for tenant, *values in self._query(sql, ())}

    def _spans(self, spans: Sequence[tuple[str, int, int]]) -> list[tuple[Any, ...]]:
        # One statement, whatever their number: it is compiled once.
        given = [*spans, *[_NO_SPAN] * (self.spans_max - len(spans))]
        return self._query(_SPANS, [value for span in given for value in span])
