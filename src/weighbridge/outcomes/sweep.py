"""The sweep: outcomes that are missing, derived from the ledger.

An outcome is written after what it reports, so a crash in between loses it; whoever looks at the records again finds which ones
should be there (O2). Run it at any time and as often as wanted: each is written once (O4).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from weighbridge.domain.context import Actor
from weighbridge.domain.outcome import Lost, PlanOutcome, Won, kind_of, plan_key
from weighbridge.errors import WeighbridgeError
from weighbridge.ledger import archive
from weighbridge.outcomes.capture import Capture, outcomes_of
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.storage.reading import LedgerReader

TOGETHER = 256  # outcomes that share a commit
_TELLING = (b'"type":"PLAN_', b'"type":"STEP_')


class Swept(msgspec.Struct, frozen=True):
    """What a sweep did: how many outcomes were missing and are there now, and the errors of those that are not."""

    captured: int
    errors: tuple[WeighbridgeError, ...]


def sweep(reader: LedgerReader, capture: Capture, tenant_id: str, *, by: Actor) -> Swept:
    """Write every outcome of a tenant that its records imply and that is not there. Archived records are passed over."""
    missing = missing_outcomes(reader, tenant_id)
    captured, errors = 0, list[WeighbridgeError]()
    while some := list(islice(missing, TOGETHER)):
        for answer in capture.capture_many(tenant_id, some, by=by):
            if isinstance(answer, WeighbridgeError):
                errors.append(answer)
            else:
                captured += not answer.duplicate
    return Swept(captured, tuple(errors))


def missing_outcomes(reader: LedgerReader, tenant_id: str) -> Iterator[PlanOutcome]:
    """Yield every outcome that the records imply and that is not there, in their order."""
    last = reader.head(tenant_id).seq
    present = {row.idempotency_key for row in outcome_rows(reader, tenant_id)}
    for stored in reader.records(tenant_id, 1, last):
        if archive.is_stub(stored.body) or not any(part in stored.body for part in _TELLING):
            continue
        for outcome in outcomes_of(stored.body):
            if isinstance(outcome, Won | Lost) or plan_key(kind_of(outcome), outcome.event) in present:
                continue
            yield outcome
