"""The write side of a store: one call, one record, durable before it returns.

Importable by the recorder, the stores and ``testing`` only; an import contract proves it. There is no method that changes
or removes a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from weighbridge.errors import WeighbridgeError
from weighbridge.ledger.submission import Committed, Submission


class LedgerWriter(Protocol):
    """Appends records. Safe to call from many threads; a store may commit several submissions in one transaction."""

    def commit(self, submission: Submission) -> Committed:
        """Append one record and return it once it is durable, or return the one already recorded under its ids.

        Raises:
            IdempotencyConflict: an id is bound to another request, or to another pairing of ids (G3, G10).
            NotFound: it completes an operation, or authorises a retry, that is not on record.
            Refusal: ``LEDGER_WRITE_FAILED`` (certainly not recorded), ``COMMIT_UNKNOWN`` (perhaps recorded; ask again under
                the same id) or ``OVERLOADED`` (the queue is full).
        """

    def commit_many(self, submissions: Sequence[Submission]) -> list[Committed | WeighbridgeError]:
        """Append many records in order, in as few transactions as the store sees fit, and return each one's answer.

        An error belongs to its own submission and is returned in its place, not raised.
        """

    def erase_content(self, tenant_id: str, hashes: tuple[str, ...], submission: Submission) -> Committed:
        """Remove content bodies and append the `CONTENT_ERASED` record in one transaction (L6)."""
