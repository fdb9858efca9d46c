"""What became of a plan is captured by itself, after the fact, and changes nothing of it."""

import logging

import pytest

from tests.planned import TENANT, World, approved, opened, proposed
from weighbridge.domain.context import Actor, Role
from weighbridge.domain.outcome import Won
from weighbridge.domain.principal import Principal
from weighbridge.errors import ContextError, StoreError
from weighbridge.ledger.record import events
from weighbridge.outcomes.reader import OutcomeReader
from weighbridge.outcomes.sweep import sweep

IMPORTER = Principal(id="crm-import", role=Role.HOST, tenant_id=TENANT)
WON = {
    "kind": "WON",
    "account_id": "a-1",
    "opportunity_id": "opp-1",
    "source": "crm",
    "closed_at": "2026-11-22T10:00:00Z",
}


@pytest.fixture
def wb():
    with opened(world=World()) as made:
        yield made


def kinds(wb):
    return [row.kind for row in OutcomeReader(wb._reader).outcomes(TENANT)]


def test_every_end_has_its_outcome(wb):
    """O1, O2: after its transition, and pointing to the event that it reports."""
    approved(wb)
    wb.run_plan("p-1", TENANT)
    rows = [*OutcomeReader(wb._reader).outcomes(TENANT)]
    assert sorted(row.kind for row in rows)[:2] == ["APPROVED", "COMPLETED"]
    assert {row.kind for row in rows} == {"APPROVED", "COMPLETED", "STEP_SUCCEEDED"}
    told = {(event.seq, event.index): event for record in wb.reader.records(TENANT) for event in events(record.body)}
    types = set()
    for row in rows:
        assert row.event_seq is not None
        assert row.event_index is not None
        said = told[row.event_seq, row.event_index]
        assert row.event_seq < row.seq
        types.add(said.type)
        assert said.fields["plan_id"] == row.plan_id == "p-1"
    assert types == {"PLAN_APPROVED", "PLAN_COMPLETED", "STEP_COMPLETED"}
    assert wb.verify().ok


def test_a_capture_that_fails_changes_nothing_and_is_caught_up_with(wb, monkeypatch, caplog):
    """O2, M3: the plan goes on as it would have; the sweep finds what is missing, once."""
    record_many = wb._recorder.record_many
    monkeypatch.setattr(wb._outcomes, "_record_many", lambda _: (_ for _ in ()).throw(StoreError("no space")))
    with caplog.at_level(logging.ERROR):
        approved(wb)
        assert wb.run_plan("p-1", TENANT).plan.status == "COMPLETED"
    assert "an observer failed" in caplog.text
    assert kinds(wb) == []
    monkeypatch.setattr(wb._outcomes, "_record_many", record_many)
    for expected in (2 + len(wb.plan("p-1", TENANT).steps), 0):
        done = sweep(wb._reader, wb._outcomes, TENANT, by=Actor(id="sweep", role=Role.HOST))
        assert (done.captured, done.errors) == (expected, ())
    assert wb.verify().ok


def test_what_came_of_an_opportunity_is_told_once(wb):
    """O3, O4: by an object or a typed outcome; a duplicate answers with the first id, and an orphan is refused."""
    first = wb.capture_outcome(WON, by=IMPORTER)
    again = wb.capture_outcome(Won(**{name: value for name, value in WON.items() if name != "kind"}), by=IMPORTER)
    assert (again.outcome_id, again.duplicate, first.duplicate) == (first.outcome_id, True, False)
    for missing in ("account_id", "opportunity_id"):
        with pytest.raises(ContextError, match=missing):
            wb.capture_outcome({name: value for name, value in WON.items() if name != missing}, by=IMPORTER)
    assert kinds(wb) == ["WON"]


def test_a_plan_that_is_only_proposed_has_none(wb):
    """O2: nothing happened yet."""
    proposed(wb)
    assert kinds(wb) == []
