"""Reading outcomes, for people and their pages. Nothing that decides or executes may import this (O1); a contract proves it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from weighbridge.domain.outcome import OutcomeRow
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.storage.reading import LedgerReader


class OutcomeReader:
    """Reads the outcomes of one store."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader

    def outcomes(
        self,
        tenant_id: str,
        *,
        kinds: Collection[str] = (),
        plan_id: str | None = None,
        account_id: str | None = None,
    ) -> Iterator[OutcomeRow]:
        """Yield outcomes of a tenant in the order of their ids, which is that of their capture: all, or those that are meant."""
        for row in outcome_rows(self._reader, tenant_id):
            if (
                (not kinds or row.kind in kinds)
                and plan_id in {None, row.plan_id}
                and account_id in {None, row.account_id}
            ):
                yield row

    def note(self, tenant_id: str, row: OutcomeRow) -> str | None:
        """Return what people wrote about an outcome; None where they did not, or it was erased (L6)."""
        content_hash = row.body.get("content", {}).get("note")
        body = None if content_hash is None else self._reader.content(tenant_id, content_hash)
        return None if body is None else str(msgspec.json.decode(body)["note"])
