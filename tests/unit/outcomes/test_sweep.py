"""What a crash lost is derived from the records, also where some of them were archived (O2)."""

import os

import pytest

from weighbridge.errors import Refusal
from weighbridge.outcomes import sweep as sweeping
from weighbridge.outcomes.capture import Capture, Setting
from weighbridge.outcomes.sweep import missing_outcomes, sweep
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.store_contract_outcomes import BY, capture, ended, outcomes
from weighbridge.testing.submissions import NOW_MS, TENANT


@pytest.fixture
def store():
    made = MemoryStore(entropy=os.urandom)
    ended(made)
    return made


@pytest.mark.parametrize("killed_after", range(6))
def test_whatever_was_captured_before_the_crash_the_sweep_adds_the_rest(store, killed_after):
    """O2, O4: nothing twice, nothing missing."""
    missing = [*missing_outcomes(store, TENANT)]
    captures = capture(store)
    captures.capture_many(TENANT, missing[:killed_after], by=BY)
    assert sweep(store, captures, TENANT, by=BY).captured == 5 - killed_after
    assert [row.event_seq for row in sorted(outcomes(store), key=lambda row: row.event_seq or 0)] == [3, 6, 8, 10, 11]
    assert [*missing_outcomes(store, TENANT)] == []


def test_what_cannot_be_recorded_is_told_and_left_for_the_next_sweep(store, monkeypatch):
    """G2, O2."""
    monkeypatch.setattr(sweeping, "TOGETHER", 2)
    full = Capture(
        lambda submissions: [Refusal("OVERLOADED", "later")] * len(submissions),
        lambda tenant: Setting(b"k" * 32),
        clock_ms=lambda: NOW_MS,
        new_id=lambda: "x",
    )
    swept = sweep(store, full, TENANT, by=BY)
    assert (swept.captured, len(swept.errors)) == (0, 5)
    assert sweep(store, capture(store), TENANT, by=BY).captured == 5


def test_archived_records_are_passed_over(store):
    """O2: what is not at hand says nothing; its outcomes were captured before, or are from the archive."""
    records = store._tenants[TENANT].records
    records[2] = records[2]._replace(body=b'{"archived":{"seq":9}}')
    assert len([*missing_outcomes(store, TENANT)]) == 4
