"""Reading the outcomes of a store. Apart from `LedgerReader`, because nothing that decides or executes may look at them (O1).

Importable by what compares and copies whole stores, by the analysis of outcomes and by ``testing`` only; an import contract
proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from weighbridge.domain.outcome import OutcomeRow
from weighbridge.storage.reading import LedgerReader


class OutcomeRows(LedgerReader, Protocol):
    """What every store of ours reads besides."""

    def outcomes(self, tenant_id: str) -> Iterator[OutcomeRow]:
        """Yield every outcome, sorted by its id."""


def outcome_rows(reader: LedgerReader, tenant_id: str) -> Iterator[OutcomeRow]:
    """Yield every outcome of a tenant, sorted by its id."""
    return cast("OutcomeRows", reader).outcomes(tenant_id)
