"""An operation id is charged once, whatever happens in between (B6, G3, G10)."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import shared_place
from tests.samples import NOW_MS, Clock, blocked_context, cap, context, policy, weighbridge
from weighbridge.domain.decision import AlreadyExecuted, Blocked, OperationDecision
from weighbridge.errors import IdempotencyConflict, Refusal
from weighbridge.ledger.record import events
from weighbridge.scopes import scope

REPOSITORY = Path(__file__).parents[2]
CALLERS = 16
DAY = "operations 2026-11-22 any"
DAY_MS = 86_400_000
HERE = {
    "tenant": "acme",
    "snapshot": context()["snapshot"]["fields"],
    "data_sources": context()["data_sources"],
    "evidence": context()["evidence"],
    "references": context()["proposal"]["evidence"],
}


def rules(hard_cap="2/day", **stated):
    return policy(budgets={"caps": [cap("day", hard_cap, **stated)]})


def call(operation_id, **changes):
    budget = {"operation": "crm.note"} | changes.pop("budget", {})
    return {"tenant_id": "acme", "account_id": "a-1", "operation_id": operation_id, "budget": budget} | changes


def beside(operation_id, **changes):
    return context(operation_id=operation_id, budget={}, **changes)


def used(wb, counter=DAY):
    return wb.reader.counter("acme", counter).reserved


ASKED = pytest.mark.parametrize("asked", [call, beside], ids=["alone", "beside a choke point"])


@ASKED
def test_again(place, asked):
    """B6: the same request again returns the first answer, and charges nothing."""
    with weighbridge(place, policy=rules()) as wb:
        first, again = (wb.reserve(asked("op-1")) for _ in range(2))
        assert used(wb) == 1
        assert wb.reader.head("acme").seq == 1
        assert wb.verify().ok
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.record, again.budget, again.verdict) == (first.record, first.budget, first.verdict)


@ASKED
def test_in_one_batch(place, asked):
    """B6: the second of two finds the first, before it is committed."""
    with weighbridge(place, policy=rules()) as wb:
        answers = wb.answer_many([asked("op-1"), asked("op-2"), asked("op-1"), asked("op-3"), asked("op-3")])
        assert used(wb) == 2
        assert wb.reader.head("acme").seq == 3
        assert wb.verify().ok
    assert [answer.replayed for answer in answers] == [False, False, True, False, True]
    assert [answer.verdict for answer in answers] == ["ALLOW", "ALLOW", "ALLOW", "BLOCK", "BLOCK"]


def _together(work, count=CALLERS):
    started = threading.Barrier(count)

    def begin(number):
        started.wait(30)
        work(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@shared_place
@ASKED
def test_concurrently(place, asked):
    """B5, B6: sixteen callers, eight ids, a cap of five: five are charged, once each, and everybody hears the same."""
    answers: list[OperationDecision] = []
    with weighbridge(place, policy=rules("5/day")) as wb:
        _together(lambda number: answers.append(wb.reserve(asked(f"op-{number // 2}"))))
        assert used(wb) == 5
        assert wb.reader.head("acme").seq == 8
        assert wb.verify().ok
    assert len(answers) == CALLERS
    told = {
        answer.operation_id: {one.record.seq for one in answers if one.operation_id == answer.operation_id}
        for answer in answers
    }
    assert all(len(seqs) == 1 for seqs in told.values())
    assert sum(not answer.replayed for answer in answers) == 8
    assert sum(answer.verdict == "ALLOW" for answer in answers) == 10


@shared_place
def test_concurrently_with_two_bodies(place):
    """G3: the first request wins, the other is a conflict for whoever brings it; one charge."""
    outcomes: list[str] = []

    def work(number):
        try:
            outcomes.append(str(wb.reserve(call("op-1", account_id=f"a-{number % 2}")).about["account_id"]))
        except IdempotencyConflict:
            outcomes.append("conflict")

    with weighbridge(place, policy=rules("99/day")) as wb:
        _together(work)
        assert used(wb) == 1
    assert outcomes.count("conflict") == CALLERS // 2
    assert len(set(outcomes)) == 2


@shared_place
def test_executed_concurrently(place):
    """G10: of many callers with one id, one calls."""
    calls: list[int] = []
    told: list[str] = []
    with weighbridge(place, policy=rules("99/day")) as wb:
        note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: calls.append(1))

        def work(_):
            with scope(**HERE):
                try:
                    note.with_id("op-1")()
                except AlreadyExecuted as already:
                    told.append(already.decision.state)

        _together(work)
        assert used(wb) == 1
        assert wb.verify().ok
    assert calls == [1]
    assert len(told) == CALLERS - 1
    assert set(told) <= {"PENDING", "COMPLETED"}


CRASHES = """
import os, signal, sys
from tests.samples import context, weighbridge
from tests.scenarios.test_idempotency import HERE, beside, call, rules
from weighbridge.ledger.record import events
from weighbridge.scopes import scope
wb = weighbridge(sys.argv[1], policy=rules("9/day"))
note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: os.kill(os.getpid(), signal.SIGKILL))
assert wb.reserve(call("asked")).verdict == wb.reserve(beside("beside")).verdict == "ALLOW"
with scope(**HERE):
    note.with_id("executed")()
"""


@shared_place
def test_after_a_crash(place):
    """B5, B6, G10: killed with an operation in flight: what was answered is charged once, and nothing runs twice."""
    died = subprocess.run([sys.executable, "-c", CRASHES, str(place)], cwd=REPOSITORY, check=False)
    assert died.returncode == -signal.SIGKILL
    calls: list[int] = []
    with weighbridge(place, policy=rules("9/day")) as wb:
        assert wb.verify().ok
        assert used(wb) == 3
        assert wb.reserve(call("asked")).replayed
        assert wb.reserve(beside("beside")).replayed
        note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: calls.append(1))
        with scope(**HERE), pytest.raises(AlreadyExecuted, match="OUTCOME_UNKNOWN"):
            note.with_id("executed")()
        assert used(wb) == 3
        with scope(**HERE):
            note.with_id("another")()
        assert used(wb) == 4
        assert wb.verify().ok
    assert calls == [1]


def test_after_a_commit_that_nobody_heard_of(place):
    """G2, B6: the answer was lost, the reservation was not; asked again, it is found."""
    with weighbridge(place, policy=rules()) as wb:
        writer = wb._recorder._writer

        class Lost:
            def commit(self, submission):
                writer.commit(submission)
                raise Refusal("COMMIT_UNKNOWN", "the connection broke")

        wb._recorder._writer = Lost()
        for asked in (call, beside):
            with pytest.raises(Refusal, match="COMMIT_UNKNOWN"):
                wb.reserve(asked(f"op-{asked.__name__}"))
        wb._recorder._writer = writer
        assert [wb.reserve(asked(f"op-{asked.__name__}")).replayed for asked in (call, beside)] == [True, True]
        assert used(wb) == 2


@shared_place
@ASKED
def test_after_the_day_is_over(place, asked):
    """B6, B9: the answer and its period are those of the first day; the next day is charged for nothing."""
    clock = Clock()
    with weighbridge(place, policy=rules("1/day"), clock=clock) as wb:
        first, full = wb.reserve(asked("op-1")), wb.reserve(asked("op-2"))
    clock.now_ms = NOW_MS + DAY_MS
    with weighbridge(place, policy=rules("1/day"), clock=clock) as wb:
        again, still_full = wb.reserve(asked("op-1")), wb.reserve(asked("op-2"))
        assert used(wb, "operations 2026-11-23 any") == 0
        assert (again.budget, again.evaluation_time) == (first.budget, first.evaluation_time)
        assert (still_full.budget, still_full.reasons) == (full.budget, ("HARD_CAP_EXCEEDED",))
        fresh = context(
            data_sources=[{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-23T00:00:00Z"}]
        )
        assert wb.reserve(fresh | {"operation_id": "op-3", "budget": {}}).verdict == "ALLOW"
        assert used(wb, "operations 2026-11-23 any") == 1
        assert wb.verify().ok


BODIES: list[dict[str, Any]] = [
    {"account_id": "a-2"},
    {"account_id": None},
    {"plan_id": "p-1"},
    {"budget": {"operation": "crm.update"}},
    {"budget": {"amounts": {"operations": 2}}},
    {"budget": {"amounts": {"tokens": 0}}},
    {"budget": {"tokens": {"input": 0, "output": 0}}},
    {"budget": {"cost_class": "MEDIUM"}},
    {"budget": {"justification": "because"}},
]


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("changed", BODIES, ids=str)
def test_with_another_body(place, changed, blocked):
    """B6, G3: IDEMPOTENCY_CONFLICT, never a new verdict, and nothing is charged; also after a BLOCK."""
    with weighbridge(place, policy=rules("0/day" if blocked else "9/day")) as wb:
        first = wb.reserve(call("op-1"))
        before = used(wb)
        with pytest.raises(IdempotencyConflict) as caught:
            wb.reserve(call("op-1", **changed))
        (answer,) = wb.answer_many([call("op-1", **changed)])
        assert isinstance(answer, IdempotencyConflict)
        assert (caught.value.code, caught.value.kind, caught.value.seq) == ("IDEMPOTENCY_CONFLICT", "op", 1)
        assert wb.reader.head("acme").seq == 1
        assert used(wb) == before
        assert wb.reserve(call("op-1")).budget == first.budget


def test_words_that_mean_the_same_are_the_same_body(place):
    """G3: neither order nor spelling, nor a clock, nor who is told to pay attention."""
    with weighbridge(place, policy=rules("9/day")) as wb:
        first = call("op-1", budget={"amounts": {"tokens": 5, "USD": "0.25"}})
        other = {
            "budget": {"amounts": {"pico_USD": "250000000000", "tokens": "5"}, "operation": "crm.note"},
            "operation_id": "op-1",
            "account_id": "a-1",
            "tenant_id": "acme",
        }
        wb.reserve(first)
        assert wb.reserve(other).replayed


@ASKED
def test_after_a_block_it_is_still_a_block(place, asked):
    """B6, G3: also when there is room by then, because the answer was given."""
    with weighbridge(place, policy=rules("1/day", scope={"account": "each"})) as wb:
        wb.reserve(call("op-1"))
        full = wb.reserve(asked("op-2"))
        assert (full.verdict, full.state) == ("BLOCK", "BLOCKED")
        assert wb.reserve(asked("op-2")).budget == full.budget
        assert wb.reserve(call("op-3", account_id="a-2")).verdict == "ALLOW"


@shared_place
@ASKED
def test_after_the_policy_has_changed(place, asked):
    """B6, G3: the first record fixes the policy, in both directions."""
    with weighbridge(place, policy=rules("1/day")) as wb:
        first, full = wb.reserve(asked("op-1")), wb.reserve(asked("op-2"))
    for changed in (rules("0/day"), rules("99/day"), policy(budgets=None)):
        with weighbridge(place, policy=changed) as wb:
            again, still_full = wb.reserve(asked("op-1")), wb.reserve(asked("op-2"))
            assert wb.reader.head("acme").seq == 2
            assert used(wb) == 1
        assert (again.verdict, again.policy_version, again.budget) == ("ALLOW", first.policy_version, first.budget)
        assert (still_full.verdict, still_full.budget) == ("BLOCK", full.budget)


@shared_place
def test_executed_after_a_block_and_a_change_of_policy(place):
    """B6, G10: the executor does not call what was blocked under this id, whatever the caps are now."""
    calls: list[int] = []
    for hard_cap in ("0/day", "9/day"):
        with weighbridge(place, policy=rules(hard_cap)) as wb:
            note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: calls.append(1))
            with scope(**HERE), pytest.raises(Blocked, match="NEVER_FITS"):
                note.with_id("op-1")()
    assert calls == []


def test_ids_in_other_pairings(place):
    """G10: run id and operation id are bound together; either with another, or alone, is a conflict and costs nothing."""
    with weighbridge(place, policy=rules("99/day")) as wb:
        wb.reserve(beside("op-1", validation_run_id="run-1"))
        wb.reserve(call("op-2"))
        wb.gate(context(validation_run_id="run-3"))
        note = wb.operation("crm.note", cost="CHEAP", action="note")(lambda: None)
        with scope(**HERE):
            note.with_id("op-4")()
        ended = wb.reader.head("acme").seq
        taken = "op-4:BEFORE_STEP_EXECUTION"
        pairings = [
            beside("op-1", validation_run_id="run-2"),
            beside("op-1"),
            beside("op-9", validation_run_id="run-1"),
            beside("op-2", validation_run_id="run-2"),
            beside("op-9", validation_run_id="run-3"),
            beside("op-9", validation_run_id=taken),
            beside(None, validation_run_id="run-1"),
            beside(None, validation_run_id="run-3"),
            call("op-1"),
            call("op-4"),
        ]
        for one in pairings:
            with pytest.raises(IdempotencyConflict):
                wb.reserve(one)
        for run_id in ("run-1", taken):
            with pytest.raises(IdempotencyConflict):
                wb.gate(context(validation_run_id=run_id))
        for operation_id in ("op-1", "op-2"):
            with scope(**HERE), pytest.raises(IdempotencyConflict):
                note.with_id(operation_id)()
        assert {type(answer) for answer in wb.answer_many(pairings)} == {IdempotencyConflict}
        assert wb.reader.head("acme").seq == ended
        assert used(wb) == 3
        assert wb.reserve(beside("op-1", validation_run_id="run-1")).replayed


@shared_place
def test_either_id_alone_is_enough_to_ask_again(place):
    """G3, G10: the other is derived from it, also when callers race."""
    answers: list[OperationDecision] = []
    with weighbridge(place, policy=rules("99/day")) as wb:
        _together(lambda _: answers.append(wb.reserve(beside("op-1"))))
        _together(lambda _: answers.append(wb.reserve(beside(None, validation_run_id="run-1"))))
        assert wb.reader.head("acme").seq == 2
        assert used(wb) == 2
    assert len(answers) == 2 * CALLERS


def test_a_gate_that_blocked_is_the_answer_for_its_operation(place):
    """G10, B11: the id is consumed; a new id for the same thing is a retry (G8), and costs nothing either."""
    with weighbridge(place, policy=rules("9/day")) as wb:
        first = wb.reserve(blocked_context(operation_id="op-1", budget={}))
        assert wb.reserve(blocked_context(operation_id="op-1", budget={})).record == first.record
        retried = wb.reserve(blocked_context(operation_id="op-2", budget={}))
        assert retried.reasons[0] == "RETRY_NOT_AUTHORISED"
        assert used(wb) == 0


def test_tenants_share_no_ids(place):
    """L5: identity is (tenant, kind, id)."""
    with weighbridge(place, policy=rules("1/day")) as wb:
        assert [wb.reserve(call("op-1", tenant_id=name)).replayed for name in ("acme", "other")] == [False, False]
        assert {name: counter.reserved for name, counter in wb.reader.counters("other")} == {DAY: 1}


@shared_place
def test_inside_a_step_other_arguments_are_another_request(place):
    """G3, G10, L2: an operation that passes no choke point is bound to its arguments too, and they are on record."""
    with weighbridge(place) as wb:

        @wb.operation("inner", cost="CHEAP")
        def inner(amount):
            return amount

        @wb.operation("outer", cost="CHEAP")
        def outer():
            first, again = inner.with_id("x")(1), inner.with_id("x")
            with pytest.raises(IdempotencyConflict):
                again(2)
            with pytest.raises(AlreadyExecuted):
                again(1)
            return first

        with scope(**HERE):
            assert outer() == 1
        known = wb.reader.identity("acme", "op", "x")
        (event,) = [said for said in events(wb.reader.record("acme", known.seq).body) if said.type == "BUDGET_RESERVE"]
        assert event.fields["proposal_hash"]
        content = wb.reader.content("acme", event.fields["content"]["proposal"])
        assert content == b'{"arguments":{"amount":1},"operation":"inner"}'
        assert wb.verify("acme").ok
