"""The recorder: no verdict without a record, and a count of every time there was none."""

from __future__ import annotations

import logging

import pytest

from tests.samples import blocked_context, context, weighbridge
from weighbridge.errors import IdempotencyConflict, Refusal, StoreError, WeighbridgeError
from weighbridge.ledger.submission import Submission


class Failing:
    """Stands before a store and fails as told; ``after`` fails only once the record is written."""

    def __init__(self, store):
        self._store = store
        self.error = None
        self.after = False

    def commit(self, submission):
        if self.error is not None and not self.after:
            raise self.error
        committed = self._store.commit(submission)
        if self.error is not None:
            raise self.error
        return committed

    def commit_many(self, submissions):
        return [self._answer(submission) for submission in submissions]

    def _answer(self, submission):
        try:
            return self.commit(submission)
        except WeighbridgeError as error:
            return error


@pytest.fixture
def failing():
    with weighbridge() as wb:
        wb.failing = Failing(wb._recorder._writer)
        wb._recorder._writer = wb.failing
        yield wb


def _seqs(wb):
    return [record.seq for record in wb.reader.records("acme")]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreError("disk full"), "LEDGER_WRITE_FAILED"),
        (Refusal("OVERLOADED", "the queue is full"), "OVERLOADED"),
        (Refusal("COMMIT_UNKNOWN", "the connection broke"), "COMMIT_UNKNOWN"),
        (OSError("something nobody thought of"), "COMMIT_UNKNOWN"),
    ],
)
def test_without_a_record_there_is_a_refusal(failing, caplog, error, code):
    """G2: the caller gets a refusal, which consumes no identity, is logged, and may be asked again under the same id."""
    failing.failing.error = error
    with caplog.at_level(logging.ERROR), pytest.raises(Refusal) as caught:
        failing.gate(context(validation_run_id="run-1"))
    assert caught.value.code == code
    assert code in caplog.text
    assert _seqs(failing) == []
    failing.failing.error = None
    assert not failing.gate(context(validation_run_id="run-1")).replayed


def test_refusals_are_summed_into_the_next_record(failing):
    """G2: the tenant's next record tells how often no verdict could be recorded, once."""
    failing.failing.error = StoreError("disk full")
    for _ in range(3):
        with pytest.raises(Refusal):
            failing.gate(context())
    assert failing._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 3}
    failing.failing.error = None
    failing.gate(context())
    failing.gate(context())
    told = [event for event in _events(failing) if event["type"] == "REFUSALS"]
    assert [event["counts"] for event in told] == [{"LEDGER_WRITE_FAILED": 3}]
    assert failing._recorder.refusals("acme") == {}


def test_a_replayed_answer_tells_of_no_refusals(failing):
    """G2: a replay makes no record; what is to be told waits for one."""
    failing.gate(context(validation_run_id="run-1"))
    failing.failing.error = StoreError("disk full")
    with pytest.raises(Refusal):
        failing.gate(context())
    failing.failing.error = None
    assert failing.gate(context(validation_run_id="run-1")).replayed
    assert failing._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 1}


def test_an_unknown_commit_is_found_by_asking_again(failing):
    """G2: asked again under the same id, the recorded decision is the answer, and nothing is appended."""
    failing.failing.error, failing.failing.after = Refusal("COMMIT_UNKNOWN", "the connection broke"), True
    with pytest.raises(Refusal):
        failing.gate(context(validation_run_id="run-1"))
    failing.failing.error = None
    assert failing.gate(context(validation_run_id="run-1")).replayed
    assert _seqs(failing) == [1]


def test_a_conflict_is_no_refusal(failing):
    """G3: a conflict is the caller's mistake and is not counted."""
    failing.gate(context(validation_run_id="run-1"))
    with pytest.raises(IdempotencyConflict):
        failing.gate(context(validation_run_id="run-1", target_id="other"))
    assert failing._recorder.refusals("acme") == {}


def test_many_answer_each_for_itself(failing):
    """Rule 7: what is wrong with one is its own; the rest is done."""
    answers = failing.answer_many(
        [
            context(validation_run_id="a"),
            {"choke_point": "NOWHERE"},
            context(validation_run_id="a"),
            context(validation_run_id="a", target_id="x"),
        ]
    )
    assert answers[0].verdict == "ALLOW"
    assert "choke_point" in str(answers[1])
    assert answers[2].replayed
    assert isinstance(answers[3], IdempotencyConflict)
    assert _seqs(failing) == [1]


def _events(wb):
    from weighbridge.ledger.record import events

    return [
        {"type": event.type} | event.fields for record in wb.reader.records("acme") for event in events(record.body)
    ]


@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_forgets_no_refusal(failing, many):
    """G2: refusals are told of by the next record, also where an interrupt came between."""
    failing.failing.error = StoreError("disk full")
    with pytest.raises(Refusal):
        failing.gate(context())
    failing.failing.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        failing.answer_many([context()]) if many else failing.gate(context())
    assert failing._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 1}


def test_content_that_one_tenant_has_is_not_another_tenants(failing):
    """L5, L6: what is known to be stored is known of one tenant."""
    failing._recorder._known_content.add(("other", "h"))
    submission = Submission("acme", {}, 0, "clock", 0, contents=(("h", b"1"),))
    assert failing._recorder._completed(submission).contents == (("h", b"1"),)


def test_a_replay_in_the_store_keeps_what_is_to_be_told(failing):
    """G2: two callers race, one finds the other's record; the refusals wait for a record that tells of them."""
    submission = failing._executor._admission.submission(
        failing._executor._admission.admit(context(validation_run_id="run-1"))
    )
    failing._recorder.record(submission)
    failing.failing.error = StoreError("disk full")
    with pytest.raises(Refusal):
        failing.gate(context())
    failing.failing.error = None
    assert failing._recorder.record(submission).replayed
    assert failing._recorder.record_many([submission])[0].replayed
    assert failing._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 1}


def test_content_that_is_stored_is_not_handed_over_again(failing):
    """L6: stored once; what a recorder knows to be there costs nothing more."""
    submission = failing._executor._admission.submission(failing._executor._admission.admit(context()))
    assert failing._recorder._completed(submission).contents == submission.contents
    failing._recorder.record(submission)
    assert failing._recorder._completed(submission).contents == ()


def test_content_that_no_record_named_is_not_taken_for_stored(failing):
    """L6, B11: the reason for a reservation that a gate kept from being asked for was not written."""
    admission = failing._executor._admission

    def asked(made):
        return admission.operation_submission(admission.asked(made | {"budget": {"justification": "why"}}), "asked")

    def written(operation_id):
        again = asked(context(operation_id=operation_id))
        return again.reservation.justification in dict(failing._recorder._completed(again).contents)

    failing._recorder.record(asked(blocked_context(operation_id="op-1")))
    assert written("op-1")
    failing._recorder.record(asked(context(operation_id="op-2")))
    assert not written("op-2")
    assert failing.verify().ok


def test_observers_are_told_after_the_commit_and_change_nothing(caplog):
    """M3: of every new record, in order, once; what one raises is logged, and the next is told all the same."""
    told = []

    def broken(_submission, _committed):
        raise RuntimeError("the exporter is down")

    with weighbridge() as wb:

        def look(submission, committed):
            assert wb.reader.head(submission.tenant_id).seq >= committed.seq
            told.append(committed.seq)

        wb._recorder.observe(broken)
        wb._recorder.observe(look)
        with caplog.at_level(logging.ERROR):
            first = wb.gate(context(validation_run_id="run-1"))
        assert "an observer failed" in caplog.text
        assert wb.gate(context(validation_run_id="run-1")).replayed
        wb.answer_many([context(validation_run_id="run-2"), context(validation_run_id="run-3")])
    assert first.verdict == "ALLOW"
    assert told == [1, 2, 3]


def test_what_is_refused_again_and_again_is_logged_a_few_times_and_counted_always(failing, caplog, monkeypatch):
    """M3, G2: a server that is away refuses every request; the log says so, and how many more there were."""
    clock = [0.0]
    monkeypatch.setattr(failing._recorder, "_monotonic_s", lambda: clock[0])
    failing.failing.error = StoreError("gone")
    with caplog.at_level(logging.ERROR, logger="weighbridge.recorder"):
        for now_s, asked, logged in ((0.0, 40, 5), (9.9, 10, 0), (10.0, 1, 1), (30.0, 1, 1)):
            clock[0] = now_s
            caplog.clear()
            for _ in range(asked):
                with pytest.raises(Refusal):
                    failing.gate(context())
            assert len(caplog.records) == logged
            assert ("(and 45 more that were not logged)" in caplog.text) == (now_s == 10.0)
        failing.failing.error = Refusal("OVERLOADED", "the queue is full")
        with pytest.raises(Refusal):
            failing.gate(context())
        assert "OVERLOADED" in caplog.text
    assert failing._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 52, "OVERLOADED": 1}
