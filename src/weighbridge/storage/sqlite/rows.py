"""Reading a SQLite store: what differs from other stores that speak SQL."""

from __future__ import annotations

from weighbridge.storage.rows import TABLES, SqlRows

_TENANTS = " UNION ".join(
    # A loose index scan: one seek for each tenant, however many rows it has.
    f"SELECT tenant FROM (WITH RECURSIVE each(tenant) AS (SELECT min(tenant) FROM {table} UNION ALL "  # noqa: S608 - our table names
    f"SELECT (SELECT min(tenant) FROM {table} WHERE tenant > each.tenant) FROM each WHERE each.tenant IS NOT NULL) "
    "SELECT tenant FROM each WHERE tenant IS NOT NULL)"
    for table in TABLES
)


class SqliteRows(SqlRows):
    """The `LedgerReader` questions that are plain queries."""

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, or rows that should follow from records, sorted."""
        return tuple(sorted(tenant for (tenant,) in self._query(_TENANTS, ())))
