"""Outcomes as flat lines for analysis."""

import csv
import os

import msgspec

from weighbridge.outcomes.export import COLUMNS, csv_lines, flat
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, WON, capture, ended, outcomes
from weighbridge.testing.submissions import TENANT


def rows():
    store = MemoryStore(entropy=os.urandom)
    ended(store)
    captures = capture(store)
    sweep(store, captures, TENANT, by=BY)
    strange = msgspec.structs.replace(WON, opportunity_id='=1+1,"\n', note="personal")
    captures.capture(TENANT, strange, by=BY)
    return outcomes(store)


def test_every_outcome_is_one_flat_object_with_all_columns():
    """O1, O3: what joins it has columns of its own; what people wrote is not in it (L6)."""
    lines = [flat(row) for row in rows()]
    assert all(tuple(line) == COLUMNS for line in lines)
    assert (lines[1]["kind"], lines[1]["step_id"], lines[1]["attempt"], lines[1]["event_seq"]) == (
        *("STEP_FAILED", "brief"),
        *(1, 6),
    )
    assert (lines[-1]["amount"], lines[-1]["at"], lines[-1]["plan_id"]) == ("1200.50", "2026-11-20T00:00:00.000Z", None)
    assert len(lines[-1]["note_hash"]) == 64
    assert "personal" not in repr(lines)


def test_csv_is_read_back_by_any_reader_and_computed_by_none():
    """An id may hold whatever an agent put there."""
    lines = [*csv.DictReader("".join(csv_lines(rows())).splitlines(keepends=True))]
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == 6
    assert lines[-1]["opportunity_id"] == "'=1+1,\"\n"
    assert lines[1]["reason"] == "OPERATION_FAILED"
