"""Outcomes from their events: what every row `outcome` must be, computed from nothing but the records (L3). Pure.

Other code than the kernel's (`ledger.capturing`): an outcome must report an event that stands before it and says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from weighbridge.domain.instant import parse_instant
from weighbridge.domain.outcome import OutcomeRow
from weighbridge.ledger import record
from weighbridge.ledger.chain import Fault

_REPORTS: Final = {
    "APPROVED": {record.PLAN_APPROVED},
    "REJECTED": {record.PLAN_REJECTED},
    "EDITED": {record.PLAN_UPDATED},
    "STEP_SUCCEEDED": {record.STEP_COMPLETED},
    "STEP_FAILED": {record.STEP_FAILED, record.STEP_BLOCKED},
    "COMPLETED": {record.PLAN_COMPLETED},
    "ABORTED": {record.PLAN_ABORTED},
    "EXPIRED": {record.PLAN_EXPIRED},
}
_REPORTED: Final = frozenset().union(*_REPORTS.values())


class OutcomeFold:
    """The outcomes of one tenant after the events added so far."""

    def __init__(self) -> None:
        self.outcomes: dict[str, OutcomeRow] = {}
        self._keys: dict[str, int] = {}
        self._told: dict[tuple[int, int], tuple[str, str, str]] = {}

    def add(self, events: Iterable[record.Event], archived_to: int = 0) -> list[str]:
        """Take the events of a record in, and return what in them does not follow; what reports an archived record may."""
        wrong: list[str] = []
        for event in events:
            if event.type in _REPORTED:
                said = event.fields
                self._told[event.seq, event.index] = (event.type, said["plan_id"], said["actor"]["id"])
            elif event.type == record.OUTCOME_CAPTURED:
                wrong += self._capture(event, archived_to)
        return wrong

    def _capture(self, event: record.Event, archived_to: int) -> Iterator[str]:
        row = _row(event)
        if row.outcome_id in self.outcomes or row.idempotency_key in self._keys:
            yield f"outcome `{row.outcome_id}` is captured again"
        if row.kind in _REPORTS and (row.event_seq or 0) > archived_to:
            yield from self._breaks(row)
        self.outcomes[row.outcome_id] = row
        self._keys[row.idempotency_key] = row.seq

    def _breaks(self, row: OutcomeRow) -> Iterator[str]:
        place = f"event {row.event_seq}.{row.event_index}"
        type_, plan_id, actor_id = self._told.get((row.event_seq or 0, row.event_index or 0), ("", "", ""))
        if type_ not in _REPORTS[row.kind] or plan_id != row.plan_id:
            yield f"outcome `{row.outcome_id}` reports {place}, which is not {row.kind} of plan `{row.plan_id}`"
        elif row.actor_id not in {None, actor_id}:
            yield f"outcome `{row.outcome_id}` is by `{row.actor_id}`, {place} is not"


def compare_outcomes(expected: dict[str, OutcomeRow], found: Iterable[OutcomeRow]) -> Iterator[Fault]:
    """Yield where stored outcomes differ from what the records give (L3). Uses ``expected`` up."""
    for row in found:
        wanted = expected.pop(row.outcome_id, None)
        if wanted is None:
            yield Fault(None, "outcome row", f"outcome `{row.outcome_id}` is stored, but no record gives it")
        elif wanted != row:
            message = f"outcome `{row.outcome_id}` is not what record {wanted.seq} gives"
            yield Fault(wanted.seq, "outcome row", message)
    for row in expected.values():
        yield Fault(row.seq, "outcome row", f"outcome `{row.outcome_id}` of record {row.seq} is missing")


def _row(event: record.Event) -> OutcomeRow:
    said = event.fields
    reported = said.get("event", {})
    at_ms = parse_instant(said["at"])
    if at_ms is None:
        raise ValueError(said["at"])
    return OutcomeRow(
        outcome_id=said["outcome_id"],
        idempotency_key=said["idempotency_key"],
        seq=event.seq,
        kind=said["kind"],
        plan_id=said.get("plan_id"),
        account_id=said.get("account_id"),
        opportunity_id=said.get("opportunity_id"),
        actor_id=said.get("actor_id"),
        event_seq=reported.get("seq"),
        event_index=reported.get("index"),
        at_ms=at_ms,
        body={**said.get("details", {}), **({"content": said["content"]} if "content" in said else {})},
    )
