"""Operations: tagged once, weighed with exactly what runs, and otherwise untouched."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import enum
import functools
import gc
import inspect
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest

from tests.samples import CONTEXT, policy, weighbridge
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.decision import AlreadyExecuted, Blocked
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, IdempotencyConflict, Refusal, UsageError
from weighbridge.operations import in_scope, scope

HERE = {
    "tenant": "acme",
    "account": "a-1",
    "actor": "renewal-agent",
    "snapshot": CONTEXT["snapshot"]["fields"],
    "data_sources": CONTEXT["data_sources"],
    "evidence": CONTEXT["evidence"],
    "references": CONTEXT["proposal"]["evidence"],
}
CLOSED = {"renewal": {"value": {"status": "closed"}, "source_type": "crm", "source_id": "r-1"}}
AGING = [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-12T10:00:00Z"}]


@pytest.fixture
def wb():
    with weighbridge(policy=policy(operations={})) as made:
        yield made


@pytest.fixture
def update(wb):
    calls = []

    @wb.writeback("crm.update", target="crm", action="update")
    def update_renewal(renewal_id, amount=1, *, tags=()):
        """Say what it does."""
        calls.append((renewal_id, amount, tags))
        return calls

    update_renewal.calls = calls
    return update_renewal


def _types(wb):
    from weighbridge.ledger.record import events

    return [event.type for record in wb.reader.records("acme") for event in events(record.body)]


def test_allowed_runs_once_and_returns_its_own_value(wb, update):
    """G7, G10: the function's own value, the very object; one record before, one after."""
    with scope(**HERE) as here:
        assert update("r-1", tags=("x",)) is update.calls
    assert update.calls == [("r-1", 1, ("x",))]
    assert [decision.verdict for decision in here.decisions] == [Verdict.ALLOW]
    assert _types(wb)[-1] == "OPERATION_COMPLETED"
    assert wb.reader.head("acme").seq == 2


def test_blocked_does_not_happen(wb, update):
    """G8: the operation does not happen; the exception carries the decision."""
    with scope(**HERE | {"snapshot": CLOSED}) as here, pytest.raises(Blocked) as caught:
        update("r-1")
    assert update.calls == []
    assert caught.value.decision is here.decisions[0]
    assert "CONTRADICTION" in "".join(caught.value.decision.reasons) or caught.value.decision.reasons
    assert caught.value.decision.state == "BLOCKED"
    assert "OPERATION_COMPLETED" not in _types(wb)


def test_warn_changes_nothing(wb, update):
    """G7: same arguments, value and exceptions as without; the decision is in the scope."""
    with scope(**HERE | {"data_sources": AGING}) as here:
        assert update("r-1") is update.calls
    assert [decision.verdict for decision in here.decisions] == [Verdict.WARN]
    assert here.decisions[0].reasons == ("DATA_AGING",)


def test_an_operation_outside_a_step_passes_the_step_and_the_writeback(wb, update):
    """Choke points: an operation outside a plan step is a step attempt, and passes the writeback's too; one record."""
    with scope(**HERE) as here:
        update("r-1")
    (decision,) = here.decisions
    assert [gate.choke_point for gate in decision.gates] == [
        ChokePoint.BEFORE_STEP_EXECUTION,
        ChokePoint.BEFORE_EXTERNAL_WRITEBACK,
    ]
    assert {gate.record for gate in decision.gates} == {decision.record}


def test_inside_a_step_the_step_is_not_passed_again(wb, update):
    """Choke points: inside a step, only the writeback and the expensive choke point."""
    inner = []

    @wb.operation("look", cost="EXPENSIVE")
    def look(subject):
        return subject

    @wb.operation("peek", cost="CHEAP")
    def peek():
        return "seen"

    @wb.operation("step", cost="CHEAP")
    def step():
        with scope(references=HERE["references"]) as nested:
            result = look("x"), peek(), len(update("r-1"))
        inner.extend(nested.decisions)
        return result

    with scope(**HERE) as here:
        assert step() == ("x", "seen", 1)
    assert [[gate.choke_point.value for gate in decision.gates] for decision in inner] == [
        ["BEFORE_EXPENSIVE_READ"],
        ["BEFORE_EXTERNAL_WRITEBACK"],
    ]
    assert [decision.operation for decision in here.decisions] == ["step", "look", "crm.update"]


def test_the_same_id_is_never_executed_twice(wb, update):
    """G3, G10: a replayed decision says so, and the executor does not call again."""
    with scope(**HERE):
        update.with_id("op-1")("r-1")
        with pytest.raises(AlreadyExecuted) as caught:
            update.with_id("op-1")("r-1")
    assert len(update.calls) == 1
    assert caught.value.decision.replayed
    assert caught.value.decision.state == "COMPLETED"


def test_the_same_id_for_another_request_is_a_conflict(wb, update):
    """G3: another hash under the same id is IDEMPOTENCY_CONFLICT, never a new verdict."""
    with scope(**HERE):
        update.with_id("op-1")("r-1")
        with pytest.raises(IdempotencyConflict, match=r"not run again.*COMPLETED") as caught:
            update.with_id("op-1")("r-2")
        with scope(data_sources=AGING), pytest.raises(IdempotencyConflict, match="or facts"):
            update.with_id("op-1")("r-1")
    assert caught.value.state == "COMPLETED"
    assert len(update.calls) == 1


def test_a_run_of_an_operation_asked_for_alone_is_a_conflict(wb, update):
    """G10: run ids and operation id are bound together; either in another pairing is a conflict."""
    with scope(**HERE):
        update.with_id("op-1")("r-1")
    alone = CONTEXT | {"validation_run_id": "op-1:BEFORE_EXTERNAL_WRITEBACK"}
    with pytest.raises(IdempotencyConflict):
        wb.gate(alone)
    wb.gate(CONTEXT | {"validation_run_id": "op-2:BEFORE_EXTERNAL_WRITEBACK"})
    with scope(**HERE), pytest.raises(IdempotencyConflict):
        update.with_id("op-2")("r-1")


def test_a_block_consumes_the_operation_id(wb, update):
    """G10: a gate BLOCK consumes the operation id; the same request again is the same BLOCK."""
    with scope(**HERE | {"snapshot": CLOSED}):
        for _ in range(2):
            with pytest.raises(Blocked) as caught:
                update.with_id("op-1")("r-1")
    assert caught.value.decision.replayed
    assert wb.reader.head("acme").seq == 1


def test_a_call_without_completion_is_outcome_unknown(wb, update):
    """G10: allowed and no completion on record is OUTCOME_UNKNOWN, and is never re-run by itself."""
    wb._executor._report = lambda *_: None  # the process dies between the call and its report
    with scope(**HERE):
        update.with_id("op-1")("r-1")
        with pytest.raises(AlreadyExecuted, match="OUTCOME_UNKNOWN"):
            update.with_id("op-1")("r-1")
    assert len(update.calls) == 1


def test_what_the_function_raises_is_what_the_caller_gets(wb):
    """G7: exceptions pass untouched; the failure is on record."""
    error = KeyError("mine")

    @wb.operation("fail", cost="CHEAP")
    def fail():
        raise error

    with scope(**HERE), pytest.raises(KeyError) as caught:
        fail.with_id("op-1")()
    assert caught.value is error
    assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"


def test_a_report_that_cannot_be_written_takes_nothing_back(wb, update):
    """G2: what has happened has happened; the value is returned, and the refusal is counted."""
    writer = wb._recorder._writer

    class Broken:
        def commit(self, submission):
            if submission.completes:
                raise Refusal("LEDGER_WRITE_FAILED", "disk full")
            return writer.commit(submission)

    wb._recorder._writer = Broken()
    with scope(**HERE):
        assert update("r-1") is update.calls
    assert wb._recorder.refusals("acme") == {"LEDGER_WRITE_FAILED": 1}


class TestWhatIsJudgedIsWhatRuns:
    """G11: the call is made with exactly the frozen arguments that were judged."""

    def test_a_caller_who_changes_the_arguments_meanwhile_changes_nothing(self, wb):
        """G11: private copies are judged and run."""
        payload: dict[str, list[Any]] = {"lines": [1, 2]}
        seen = []

        @wb.operation("send", cost="CHEAP")
        def send(body):
            seen.append(body)

        ask = wb._executor.ask

        def meddling(*args):
            decision = ask(*args)
            payload["lines"].append("smuggled")
            return decision

        wb._executor.ask = meddling
        with scope(**HERE):
            send(payload)
        assert seen == [{"lines": [1, 2]}]

    def test_the_function_keeps_its_types(self, wb):
        """G7: the function gets its own types back, not their JSON forms."""

        class Stage(enum.Enum):
            OPEN = "open"

        given = (1.0, (1, [2]), dt.date(2026, 1, 2), Decimal("1.10"), uuid.UUID(int=7), Stage.OPEN, None, True)
        got: list[Any] = []

        @wb.operation("typed", cost="CHEAP")
        def typed(*values):
            got.extend(values)

        with scope(**HERE):
            typed(*given)
        assert tuple(got) == given
        assert [type(value) for value in got] == [type(value) for value in given]

    @pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", float("nan"), 2**60, "\ud800", {1: 2}])
    def test_what_cannot_be_weighed_is_refused(self, wb, value):
        """Rule 7: a clear error, nothing recorded, nothing called."""
        called = []

        @wb.operation("odd", cost="CHEAP")
        def odd(value):
            called.append(value)

        with scope(**HERE), pytest.raises(UsageError):
            odd(value)
        assert called == []
        assert wb.reader.head("acme").seq == 0

    def test_a_registered_function_is_not_reachable_undecorated(self, wb):
        """G11, Z4: one way to execute; nothing public leads from the governed form to the function."""

        def secret():
            return "undecorated"

        governed = wb.operation("secret", cost="CHEAP")(secret)
        assert inspect.unwrap(governed) is governed
        assert not hasattr(governed, "__wrapped__")
        public = [getattr(governed, name) for name in dir(governed) if not name.startswith("_")]
        cells = [cell.cell_contents for cell in governed.__closure__ or ()]
        assert secret not in [*public, *cells, *vars(governed).values(), governed.__defaults__]
        assert secret not in gc.get_referents(governed)

    def test_the_governed_form_looks_like_the_function(self, update):
        assert update.__name__ == "update_renewal"
        assert update.__doc__ == "Say what it does."
        assert list(inspect.signature(update).parameters) == ["renewal_id", "amount", "tags"]


class TestRegistration:
    def test_a_name_is_taken_once(self, wb, update):
        with pytest.raises(UsageError, match="registered already"):
            wb.operation("crm.update", cost="CHEAP")(lambda: None)

    def test_a_generator_is_refused(self, wb):
        """G11: its work would happen after the decision."""

        def rows():
            yield 1

        with pytest.raises(UsageError, match="generator"):
            wb.operation("rows", cost="CHEAP")(rows)

    def test_a_method_is_refused(self, wb):
        """Rule 7: an object cannot be weighed, and that is said where it is decorated."""

        class Connector:
            def push(self, record):
                pass

        with pytest.raises(UsageError, match="method"):
            wb.operation("push", cost="CHEAP")(Connector.push)

    def test_a_cost_class_is_one_of_three(self, wb):
        """B1: cost classes are CHEAP, MEDIUM and EXPENSIVE."""
        with pytest.raises(UsageError, match="CHEAP, MEDIUM or EXPENSIVE"):
            wb.operation("x", cost="FREE")(lambda: None)

    def test_code_and_policy_agree_or_do_not_start(self):
        """Z5: one place says what an operation is."""
        with weighbridge() as made, pytest.raises(UsageError, match=r"crm\.update"):
            made.writeback("crm.update", target="elsewhere", action="update")(lambda: None)


class TestScope:
    def test_inner_scopes_add_to_outer_ones(self, wb, update):
        with scope(**HERE) as outer, scope(account="a-2", references=HERE["references"]) as inner:
            assert scope() is inner
            update("r-1")
        assert inner.decisions == outer.decisions
        assert len(outer.decisions) == 1
        assert list(wb.reader.find("acme", "a-2")) == [1, 2]  # the decision, and how it ended

    def test_evidence_can_be_added_on_the_way(self, wb, update):
        with scope(**HERE | {"evidence": []}) as here:
            with pytest.raises(Blocked):
                update("r-1")
            here.add_evidence({"source_type": "crm", "source_id": "r-1"}, content={"status": "open"})
            assert update("r-2") is update.calls

    def test_it_is_carried_into_threads(self, wb, update):
        """Scopes are context variables; `in_scope` carries one into a thread."""
        outcomes: list[Any] = []

        def work():
            try:
                outcomes.append(update("r-1") is update.calls)
            except Blocked:
                outcomes.append("blocked")

        with scope(**HERE) as here:
            for target in (in_scope(work), work):
                thread = threading.Thread(target=target)
                thread.start()
                thread.join()
        assert outcomes == [True, "blocked"]
        assert len(here.decisions) == 1

    def test_without_a_scope_absence_is_refusal(self, update):
        """G5: no snapshot, no evidence, no data sources: BLOCK."""
        with pytest.raises(Blocked) as caught:
            update("r-1")
        assert "INPUT_MISSING" in caught.value.decision.reasons

    @pytest.mark.parametrize("field", ["open", {"status": "open"}, {"value": "open"}])
    def test_a_snapshot_field_has_a_shape(self, field):
        with pytest.raises(ContextError, match=r"scope\.snapshot\.renewal.*value.*source_type"):
            scope(**HERE | {"snapshot": {"renewal": field}})

    def test_nonsense_is_a_clear_error(self, wb, update):
        with scope(**HERE | {"evidence": ["because"]}), pytest.raises(ContextError, match="evidence"):
            update("r-1")

    def test_whoever_forgot_the_scope_is_told(self, update):
        """Rule 7: the commonest mistake of a thread says so."""
        with pytest.raises(Blocked, match=r"no scope is in force here.*in_scope"):
            update("r-1")
        with scope(**HERE | {"snapshot": CLOSED}), pytest.raises(Blocked) as caught:
            update("r-1")
        assert "no scope" not in str(caught.value)


class TestAsync:
    def test_the_same_rules_hold(self, wb):
        """G1, G7, G8, G10: one implementation behind both faces."""
        calls = []

        @wb.writeback("crm.push", target="crm", action="update")
        async def push(renewal_id):
            await asyncio.sleep(0)
            calls.append(renewal_id)
            return calls

        async def main():
            assert inspect.iscoroutinefunction(push)
            with scope(**HERE) as here:
                assert await push("r-1") is calls
                with pytest.raises(Blocked), scope(snapshot=CLOSED):
                    await push("r-2")
                await push.with_id("op-1")("r-3")
                with pytest.raises(AlreadyExecuted):
                    await push.with_id("op-1")("r-3")
            return here

        here = asyncio.run(main())
        assert calls == ["r-1", "r-3"]
        assert [decision.verdict for decision in here.decisions] == ["ALLOW", "BLOCK", "ALLOW", "ALLOW"]

    def test_callers_run_side_by_side(self, wb):
        async def main():
            made = [CONTEXT | {"validation_run_id": f"run-{number % 10}"} for number in range(40)]
            return await asyncio.gather(*(wb.gate_async(one) for one in made))

        decisions = asyncio.run(main())
        assert sum(not decision.replayed for decision in decisions) == 10
        assert wb.reader.head("acme").seq == 10


class TestAttempt:
    """What a step attempt is, where it ends, and that a BLOCK ends it."""

    def test_what_outlives_a_step_is_outside_it(self, wb, update):
        """Choke points, G11: a callback, thread or task started in a step passes the step's choke point once that is over."""
        later = []

        @wb.operation("step", cost="CHEAP")
        def step():
            later.append(in_scope(update))

        with scope(**HERE) as here:
            step()
            later[0]("r-1")
        assert here.decisions[1].gates[0].choke_point is ChokePoint.BEFORE_STEP_EXECUTION

    def test_a_task_that_outlives_its_step_is_weighed(self, wb):
        """Choke points: a cheap read inside a step needs no decision; in a task that goes on after it, it does."""
        tasks = []

        @wb.operation("peek", cost="CHEAP")
        async def peek():
            return "seen"

        @wb.operation("step", cost="CHEAP")
        async def step():
            async def background():
                await asyncio.sleep(0.01)
                await peek()

            await peek()
            tasks.append(asyncio.create_task(background()))

        async def main():
            with scope(**HERE) as here:
                await step()
                await tasks[0]
                return [decision.operation for decision in here.decisions]

        assert asyncio.run(main()) == ["step", "peek"]

    def test_a_block_that_somebody_caught_ends_the_attempt(self, wb, update):
        """G8: nothing more happens in the attempt, its own value is not returned, and the record says that it failed."""
        reached = []

        @wb.operation("look", cost="EXPENSIVE")
        def look():
            reached.append("look")

        @wb.operation("peek", cost="CHEAP")
        def peek():
            reached.append("peek")

        @wb.operation("step", cost="CHEAP")
        def step():
            for inner in (lambda: update("r-1", tags=({"ssn": "1"},)), look, peek):
                with contextlib.suppress(Blocked):
                    inner()
            return "went on"

        with scope(**HERE) as here, pytest.raises(Blocked) as caught:
            step()
        assert (reached, update.calls) == ([], [])
        assert [decision.operation for decision in here.decisions] == ["step", "crm.update"]
        assert caught.value.decision is here.decisions[1]
        assert wb.reader.identity("acme", "op", here.decisions[0].operation_id).state == "FAILED"
        with scope(**HERE):
            look()  # another attempt
        assert reached == ["look"]

    def test_a_block_ends_an_asynchronous_attempt_too(self, wb, update):
        """G8: the same for coroutine functions."""

        @wb.operation("step", cost="CHEAP")
        async def step():
            with contextlib.suppress(Blocked):
                update("r-1", tags=({"ssn": "1"},))
            return "went on"

        with scope(**HERE), pytest.raises(Blocked):
            asyncio.run(step())

    def test_an_id_that_nothing_would_keep_is_refused(self, wb):
        """G10: inside a step a cheap read leaves no record, so that its id could not keep it from running twice."""
        calls = []

        @wb.operation("peek", cost="CHEAP")
        def peek():
            calls.append(1)

        @wb.operation("step", cost="CHEAP")
        def step():
            peek.with_id("op-1")()

        with scope(**HERE), pytest.raises(UsageError, match="without an id"):
            step()
        assert calls == []

    def test_no_id_is_no_id(self, update):
        """G10: an id that is None would be a new one for every call."""
        with pytest.raises(ContextError, match="operation_id"):
            update.with_id(None)


def _call(function):
    return function()


class TestWhatRuns:
    """G11: what is judged is what runs, and when."""

    def test_an_object_that_is_called_is_seen_through(self, wb):
        """G11: a generator or a coroutine hides behind neither ``__call__`` nor a partial."""

        class Lazy:
            def __call__(self):
                yield 1

        class Async:
            async def __call__(self):
                return "done"

        for number, lazy in enumerate((Lazy(), functools.partial(Lazy()))):
            with pytest.raises(UsageError, match="generator"):
                wb.operation(f"lazy-{number}", cost="CHEAP")(lazy)
        governed = wb.operation("async", cost="CHEAP")(Async())
        assert inspect.iscoroutinefunction(governed)
        with scope(**HERE):
            assert asyncio.run(governed()) == "done"

    @pytest.mark.parametrize("kind", ["coroutine", "generator", "async generator"])
    def test_work_still_to_be_done_is_no_value(self, wb, kind):
        """G11: a wrapper that hands back unstarted work gets no value out, and none of it runs."""
        ran = []

        async def coroutine():
            ran.append(1)

        def generator():
            ran.append(1)
            yield

        async def async_generator():
            ran.append(1)
            yield

        work = {"coroutine": coroutine, "generator": generator, "async generator": async_generator}[kind]
        governed = wb.operation("later", cost="CHEAP")(functools.partial(_call, work))
        with scope(**HERE) as here, pytest.raises(UsageError, match="after it was weighed"):
            governed()
        assert ran == []
        assert wb.reader.identity("acme", "op", here.decisions[0].operation_id).state == "FAILED"

    def test_a_leaf_that_says_something_else_is_refused(self, wb):
        """G11: a subclass of Decimal may be weighed as 1 and paid as a million."""

        class Two(Decimal):
            def __str__(self):
                return "1"

        calls: list[Any] = []
        pay = wb.operation("pay", cost="CHEAP")(calls.append)
        with scope(**HERE), pytest.raises(ContextError, match="cannot be weighed"):
            pay(Two("1000000"))
        assert calls == []

    def test_open_keywords_are_weighed_by_their_names(self):
        """C1, G11: a rule about ``amount`` finds it in ``**fields``."""
        rules = {"rules": [{"id": "limit", "rule": "at_most", "field": "amount", "value": 10}]}
        with weighbridge(policy=policy(operations={}, contradiction=rules)) as wb:

            @wb.writeback("crm.update", target="crm", action="update")
            def update_fields(name, /, **fields):
                return name, fields

            with scope(**HERE):
                assert update_fields("r-1", amount=10) == ("r-1", {"amount": 10})
                with pytest.raises(Blocked):
                    update_fields("r-1", amount=11)
                with pytest.raises(ContextError, match="twice"):
                    update_fields("r-1", name="r-2")


class TestScopeBounds:
    def test_another_tenant_inherits_nothing(self):
        """L5: snapshot and evidence of one tenant are not stated for another."""
        with scope(**HERE), scope(tenant="other") as inner:
            assert inner.stated == {"tenant_id": "other"}
        with scope(**HERE), scope(tenant="acme", account="a-2") as inner:
            assert inner.stated["snapshot"] == {"fields": HERE["snapshot"]}

    def test_one_scope_can_be_entered_by_many(self):
        """L5: who leaves it leaves it for itself alone."""
        shared = scope(**HERE)
        entered, left = threading.Event(), threading.Event()
        found = []

        def work():
            with shared:
                entered.set()
                left.wait(5)
                found.append(scope() is shared)
            found.append(scope() is shared)

        thread = threading.Thread(target=work)
        thread.start()
        entered.wait(5)
        with shared:
            pass
        assert scope() is not shared
        left.set()
        thread.join()
        assert found == [True, False]


def test_a_plans_story_tells_how_its_operations_ended(wb, update):
    """L4: from the plan, the decision and its completion."""
    with scope(**HERE, plan="p-1", step="s-1"):
        update("r-1")
    for asked in ("p-1", "s-1", "a-1"):
        assert [entry.type for entry in wb.why(asked, "acme").entries][-1] == "OPERATION_COMPLETED"


def test_the_only_run_of_an_operation_asked_for_alone_is_a_conflict(wb):
    """G10: also where the operation has one run, so that the record looks like an answer to a host that asks."""

    @wb.operation("peek", cost="CHEAP")
    def peek():
        return "seen"

    with scope(**HERE) as here:
        peek.with_id("op-1")()
    asked = {
        "choke_point": "BEFORE_STEP_EXECUTION",
        "validation_run_id": "op-1:BEFORE_STEP_EXECUTION",
        "tenant_id": "acme",
        "proposal": {"operation": "peek", "evidence": HERE["references"]},
        "snapshot": CONTEXT["snapshot"],
        "data_sources": HERE["data_sources"],
        "evidence": HERE["evidence"],
    }
    assert wb._executor.admit(asked).identified.proposal_hash == here.decisions[0].gates[0].proposal_hash
    with pytest.raises(IdempotencyConflict):
        wb.gate(asked)


def test_a_cancelled_call_is_a_failure_on_record(wb):
    """G10: whatever ends an asynchronous call, cancellation included, the record says that it ended."""

    @wb.operation("wait", cost="CHEAP")
    async def wait():
        await asyncio.sleep(60)

    async def main():
        with scope(**HERE):
            task = asyncio.create_task(wait.with_id("op-1")())
        while wb.reader.identity("acme", "op", "op-1") is None:  # noqa: ASYNC110 - the record is what is waited for
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"


def test_defaults_are_weighed(wb):
    """G11: what runs by default is judged like what is passed."""
    calls = []

    @wb.operation("pay", cost="CHEAP")
    def pay(to, options={"ssn": "1"}):  # noqa: B006
        calls.append((to, options))

    with scope(**HERE):
        with pytest.raises(Blocked):
            pay("kim")
        pay("kim", {})
    assert calls == [("kim", {})]
