"""Operations: tagged once, weighed with exactly what runs, and otherwise untouched."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import enum
import functools
import gc
import inspect
import itertools
import logging
import threading
import uuid
from decimal import Decimal
from typing import Any

import pytest

from tests.samples import CONTEXT, cap, capped, policy, weighbridge
from weighbridge import canonical
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import Role
from weighbridge.domain.decision import AlreadyExecuted, Blocked
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, IdempotencyConflict, Refusal, UsageError
from weighbridge.scopes import in_scope, scope

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
WAIVED = {"required_inputs": {"not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"]}]}}
AGING = [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-12T10:00:00Z"}]


@pytest.fixture
def wb():
    with weighbridge(policy=policy(operations={})) as made:
        yield made


@pytest.fixture
def update(wb):
    calls: list[Any] = []

    @wb.writeback("crm.update", target="crm", action="update")
    def update_renewal(renewal_id, amount=1, *, tags=()):
        """Say what it does."""
        calls.append((renewal_id, amount, tags))
        return calls

    update_renewal.calls = calls
    return update_renewal


def _budget(decision):
    assert decision.budget is not None
    return decision.budget


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
    """Choke points, B5: inside a step, only the writeback and the expensive choke point; each operation has a reservation."""
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
        [],
        ["BEFORE_EXTERNAL_WRITEBACK"],
    ]
    assert [decision.operation for decision in here.decisions] == ["step", "look", "peek", "crm.update"]
    assert [_budget(decision).caps[0].usage_after for decision in here.decisions] == [1, 2, 3, 4]
    assert len({decision.record.seq for decision in here.decisions}) == 4
    assert wb.verify("acme").ok


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
        seen: list[Any] = []

        @wb.operation("send", cost="CHEAP")
        def send(body):
            seen.append(body)

        ask = wb._executor.ask

        def meddling(*args, **options):
            decision = ask(*args, **options)
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


class TestAsync:
    def test_the_same_rules_hold(self, wb):
        """G1, G7, G8, G10: one implementation behind both faces."""
        calls: list[Any] = []

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
        """Choke points: a cheap read inside a step passes none; in a task that goes on after it, the step's."""
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
                return [(decision.operation, len(decision.gates)) for decision in here.decisions]

        assert asyncio.run(main()) == [("step", 1), ("peek", 0), ("peek", 1)]

    def test_a_block_that_somebody_caught_ends_the_attempt(self, wb, update):
        """G8: nothing more happens in the attempt, its own value is not returned, and the record says that it failed."""
        reached: list[Any] = []

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

    def test_an_operation_that_passes_no_choke_point_keeps_its_id(self, wb):
        """G10, Z4: inside a step a cheap read is recorded for its reservation, and its id keeps it from running twice."""
        calls: list[Any] = []

        @wb.operation("peek", cost="CHEAP")
        def peek():
            calls.append(1)

        @wb.operation("step", cost="CHEAP")
        def step():
            peek.with_id("op-1")()
            with pytest.raises(AlreadyExecuted, match="COMPLETED"):
                peek.with_id("op-1")()

        with scope(**HERE):
            step()
        assert calls == [1]
        assert wb.reader.identity("acme", "op", "op-1").state == "COMPLETED"

    def test_no_id_is_no_id(self, update):
        """G10: an id that is None would be a new one for every call."""
        with pytest.raises(ContextError, match="operation_id"):
            update.with_id(None)


def _call(function):
    return function()


class TestWhatRuns:
    """G11: what is judged is what runs, and when."""

    def test_an_object_that_is_called_is_seen_through(self, wb):
        """G11: neither a generator nor a coroutine hides behind ``__call__``."""

        class Lazy:
            def __call__(self):
                yield 1

        class Async:
            async def __call__(self):
                return "done"

        with pytest.raises(UsageError, match="generator"):
            wb.operation("lazy", cost="CHEAP")(Lazy())
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
        governed = wb.operation("later", cost="CHEAP")(lambda: _call(work))
        with scope(**HERE) as here, pytest.raises(UsageError, match="after it was weighed"):
            governed()
        assert ran == []
        assert wb.reader.identity("acme", "op", here.decisions[0].operation_id).state == "FAILED"

    @pytest.mark.parametrize(
        "lazy",
        [
            lambda work: map(work, [1]),
            lambda work: filter(work, [1]),
            lambda work: zip(map(work, [1]), [1], strict=True),
            lambda work: enumerate(map(work, [1])),
            lambda work: itertools.starmap(work, [(1,)]),
        ],
    )
    def test_an_iterator_that_calls_as_it_is_read_is_no_value(self, wb, lazy):
        """G11: what a `map` does, it does after the decision and its record."""
        ran: list[Any] = []
        governed = wb.operation("later", cost="CHEAP")(lambda: lazy(ran.append))
        with scope(**HERE), pytest.raises(UsageError, match="after it was weighed"):
            governed()
        assert ran == []

    def test_a_task_is_no_value_and_is_stopped(self, wb):
        """G11, G10: a function that starts a task and hands it back would end before its work does."""
        ran = []

        async def work():
            ran.append(1)

        @wb.operation("later", cost="CHEAP")
        def later():
            return asyncio.ensure_future(work())

        async def main():
            with scope(**HERE), pytest.raises(UsageError, match="after it was weighed"):
                later()
            await asyncio.sleep(0.01)

        asyncio.run(main())
        assert ran == []

    def test_what_is_read_as_it_comes_is_a_value(self, wb, tmp_path):
        """G7: an open file or a list's own iterator runs nothing of the function's."""
        (tmp_path / "rows.txt").write_text("a\n")
        read = wb.operation("read", cost="CHEAP", reads=True)(lambda: (tmp_path / "rows.txt").open("r"))
        rows = wb.operation("rows", cost="CHEAP", reads=True)(lambda: iter([1]))
        with scope(**HERE):
            with read() as file:
                assert list(file) == ["a\n"]
            assert list(rows()) == [1]

    def test_what_was_bound_beforehand_is_refused(self, wb):
        """G11: neither what a partial holds nor the object of a method is among the arguments that are weighed."""

        class Connector:
            def push(self, record):
                pass

        def send(to, *, text=""):
            pass

        for bound in (functools.partial(send, ["a@x"]), functools.partial(send, text="x"), functools.partial(send)):
            with pytest.raises(UsageError, match="partial"):
                wb.operation("send", cost="CHEAP")(bound)
        with pytest.raises(UsageError, match="method"):
            wb.operation("push", cost="CHEAP")(Connector().push)

    def test_a_key_that_is_not_quite_text_is_refused(self, wb):
        """G11: a subclass of text can be weighed under one name and read under another."""

        class Key(str):
            __slots__ = ()

            def __eq__(self, other):
                return other == "iban"

            def __hash__(self):
                return hash("iban")

        called: list[Any] = []
        send = wb.operation("send", cost="CHEAP")(called.append)
        for body in ({Key("note"): "x"}, {"deep": [{Key("note"): "x"}]}, {1: 2}, {None: 1}):
            with scope(**HERE), pytest.raises(ContextError, match="keys are text"):
                send(body)
        assert called == []

    @pytest.mark.parametrize(
        ("said", "bases"),
        [
            ({"value": property(lambda _: "good")}, (enum.Enum,)),
            ({"__eq__": lambda *_: True, "__hash__": lambda _: 1}, (enum.Enum,)),
            ({"__str__": lambda _: "good"}, (str, enum.Enum)),
            ({"__getattribute__": lambda one, name: object.__getattribute__(one, name or "x")}, (enum.Enum,)),
            ({"__getattr__": lambda *_: "good"}, (enum.Enum,)),
            ({"strip": lambda _: "good"}, (enum.StrEnum,)),
            ({"__init__": lambda self, _: self.__dict__.update(strip=str)}, (enum.StrEnum,)),
            ({"__index__": lambda _: 7}, (enum.IntEnum,)),
        ],
    )
    def test_an_enumeration_that_says_something_else_is_refused(self, wb, said, bases):
        """G11: judged as one value, read as another."""
        body = {"A": 5} if enum.IntEnum in bases else {"A": "evil"}
        names = type(bases[-1]).__prepare__("Lies", bases)
        for name, one in (said | body).items():
            names[name] = one
        lies = type(bases[-1])("Lies", bases, names)
        called: list[Any] = []
        send = wb.operation("send", cost="CHEAP")(called.append)
        with scope(**HERE), pytest.raises(ContextError, match="pass the value"):
            send(next(iter(lies.__members__.values())))
        assert called == []

    def test_a_member_that_is_other_text_than_its_value_is_refused(self, wb):
        """G11: a member that is text can be made of other text than it names as its value."""

        class Lies(str, enum.Enum):  # noqa: UP042 - the older form is the one that can do this
            def __new__(cls, value):
                made = str.__new__(cls, "evil")
                made._value_ = value
                return made

            A = "good"

        class Float(enum.Enum):
            A = 1.5

        class Meta(enum.EnumMeta):
            pass

        class Made(enum.Enum, metaclass=Meta):
            A = "a"

        send = wb.operation("send", cost="CHEAP")(lambda to: to)
        for member in (Lies.A, Float.A, Made.A):
            with scope(**HERE), pytest.raises(ContextError, match="pass the value"):
                send(member)

    def test_an_honest_enumeration_is_weighed_by_its_value(self, wb):
        """G7, G11: text, numbers, flags, mixed in or not, with methods of their own names."""

        class Mixed(str, enum.Enum):  # noqa: UP042 - as older code has it
            replace = "replace"  # type: ignore[assignment]  # a method of text, taken on purpose
            OTHER = "other"

            def label(self):
                return self.value.title()

        class Text(enum.StrEnum):
            A = "a"

        class Number(enum.IntEnum):
            A = 1

        class Flags(enum.Flag):
            A = 1
            B = 2

        given = (Mixed.replace, Mixed.OTHER, Text.A, Number.A, Flags.A | Flags.B)
        show = wb.operation("show", cost="CHEAP")(lambda *values: values)
        with scope(**HERE) as here:
            got = show(*given)
        assert all(one is other for one, other in zip(got, given, strict=True))
        (run, *_) = wb.replay(here.decisions[0].operation_id, "acme")
        assert run is not None

    def test_an_operation_under_an_id_leads_to_no_function(self, wb):
        """G11, Z4: what `with_id` returns holds no object of ours to ask for the function."""
        plain = wb.operation("secret", cost="CHEAP")(lambda: "undecorated").with_id("op-1")
        assert inspect.isfunction(plain)
        assert not hasattr(plain, "func")
        assert not hasattr(plain, "__self__")

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
    assert wb._executor._admission.admit(asked).identified.proposal_hash == here.decisions[0].gates[0].proposal_hash
    with pytest.raises(IdempotencyConflict):
        wb.gate(asked)


def test_a_caller_that_is_cancelled_while_it_asks_finds_the_decision_in_its_scope(wb):
    """B5, G10: it is on record with its reservation, nothing ran, and it is in the scope, so that its id is known."""
    called, asked, go = [], threading.Event(), threading.Event()
    ask = wb._executor.ask

    def slow(*args, **options):
        asked.set()
        assert go.wait(10)
        return ask(*args, **options)

    wb._executor.ask = slow

    @wb.operation("wait", cost="CHEAP")
    async def wait():
        called.append(1)

    async def main():
        with scope(**HERE) as here:
            task = asyncio.create_task(wait())
        await asyncio.to_thread(asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert here.decisions == []
        go.set()
        async with asyncio.timeout(10):
            while not here.decisions:  # noqa: ASYNC110 - the decision is what is waited for
                await asyncio.sleep(0.005)
        return here.decisions

    (decision,) = asyncio.run(main())
    assert decision.verdict is Verdict.ALLOW
    assert wb.reader.identity("acme", "op", decision.operation_id).state == "PENDING"
    assert called == []


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
    calls: list[Any] = []

    @wb.operation("pay", cost="CHEAP")
    def pay(to, options={"ssn": "1"}):  # noqa: B006
        calls.append((to, options))

    with scope(**HERE):
        with pytest.raises(Blocked):
            pay("kim")
        pay("kim", {})
    assert calls == [("kim", {})]


def _spends(*caps, **sections):
    return weighbridge(policy=capped(*caps, **sections))


def _counters(wb):
    return {name: (counter.reserved, counter.settled) for name, counter in wb.reader.counters("acme")}


def _decided(wb):
    """Return the budget events on record."""
    from weighbridge.ledger.record import events

    found = [event for record in wb.reader.records("acme") for event in events(record.body)]
    return [event for event in found if event.type in {"BUDGET_RESERVE", "BUDGET_WARN", "BUDGET_BLOCK"}]


DAY = "operations 2026-11-22 any"


class TestBudget:
    """Every executed operation is a reservation, made before it is called."""

    def test_it_is_asked_once_for_all_choke_points_in_one_record(self):
        """B5, B11, G10: every gate, then the budget, one record and one commit; then the call, and its report."""
        with _spends(cap("day", "9/day")) as wb:
            seen: list[Any] = []

            @wb.writeback("crm.push", target="crm", action="update", cost="EXPENSIVE")
            def push(renewal_id):
                seen.append((wb.reader.head("acme").seq, _counters(wb)))

            with scope(**HERE) as here:
                push("r-1")
            assert seen == [(1, {DAY: (1, 0)})]
            assert len(here.decisions[0].gates) == 3
            assert _types(wb).count("VALIDATOR_RUN_SUMMARY") == 3
            assert _types(wb)[-2:] == ["BUDGET_RESERVE", "OPERATION_COMPLETED"]
            assert _budget(here.decisions[0]).cost_class == "EXPENSIVE"
            assert wb.reader.head("acme").seq == 2
            assert wb.verify("acme").ok

    def test_a_full_budget_is_a_block_and_nothing_is_called(self):
        """B4, B6, G8: the id is consumed, and its answer is the same when there would be room again."""
        with _spends(cap("day", "1/day")) as wb:
            calls: list[Any] = []
            peek = wb.operation("peek", cost="CHEAP")(calls.append)
            with scope(**HERE):
                peek(1)
                for _ in range(2):
                    with pytest.raises(Blocked, match="HARD_CAP_EXCEEDED") as caught:
                        peek.with_id("op-1")(2)
            assert calls == [1]
            assert caught.value.decision.replayed
            assert caught.value.decision.state == "BLOCKED"
            assert _counters(wb) == {DAY: (1, 0)}
            wb._surroundings.clock_ms.now_ms += 86_400_000  # the next day, all is free
            with scope(**HERE), pytest.raises(Blocked, match="HARD_CAP_EXCEEDED"):
                peek.with_id("op-1")(2)
            assert wb.reader.head("acme").seq == 3

    def test_a_gate_that_blocks_costs_nothing(self):
        """B11, G10: no budget event, no counter; the id is consumed."""
        with _spends(cap("day", "9/day")) as wb:
            update = wb.writeback("crm.update", target="crm", action="update")(lambda renewal_id: None)
            with scope(**HERE | {"snapshot": CLOSED}) as here, pytest.raises(Blocked):
                update.with_id("op-1")("r-1")
            with scope(**HERE), pytest.raises(IdempotencyConflict):
                update.with_id("op-1")("r-1")
            assert (here.decisions[0].budget, _decided(wb), _counters(wb)) == (None, [], {})
            assert wb.verify("acme").ok

    def test_without_budgets_nothing_is_executed(self):
        """B8: no cap, no go; an operation is a reservation of one operation."""
        with weighbridge(policy=policy(operations={}, budgets=None)) as wb:
            calls: list[Any] = []
            peek = wb.operation("peek", cost="CHEAP")(calls.append)
            with scope(**HERE), pytest.raises(Blocked, match="NO_APPLICABLE_CONFIG"):
                peek(1)
            assert calls == []

    def test_tokens_in_and_the_most_that_may_come_out_are_reserved(self):
        """B2, B5, B7: before the call; what was used is reported after it, and settled where a cap opted in."""
        prices = {"currency": "USD", "models": {"m-1": {"input": "$1/1M tokens", "output": "$4/1M tokens"}}}
        caps = cap("tokens", "10k tokens/day"), cap("money", "$1/month", settlement=True)
        with _spends(*caps, prices=prices) as wb:

            @wb.operation(
                "summarise",
                cost="MEDIUM",
                reserves=lambda text, most: Tokens(input=len(text), output=most, model="m-1"),
                consumed=lambda answer: Tokens(input=4, output=len(answer), model="m-1"),
            )
            def summarise(text, most):
                return "ok"

            with scope(**HERE) as here:
                assert summarise("abcd", most=100) == "ok"
            assert _budget(here.decisions[0]).amounts == {"operations": 1, "tokens": 104, "pico_USD": 404_000_000}
            assert _counters(wb) == {
                "pico_USD 2026-11 any": (404_000_000, 392_000_000),
                "tokens 2026-11-22 any": (104, 0),  # whose cap did not opt in
            }
            assert (
                wb.reserve(
                    {"tenant_id": "acme", "budget": {"operation": "summarise", "amounts": {"tokens": 0, "USD": "0"}}}
                )
                .budget.caps[1]
                .usage_before
                == 104
            )
            assert _types(wb)[-4:-1] == ["OPERATION_COMPLETED", "USAGE_REPORTED", "BUDGET_SETTLE"]
            assert wb.reader.head("acme").seq == 3
            assert wb.verify("acme").ok

    def test_amounts_may_be_reserved_by_unit(self):
        """B2: exact, as decimal text or whole numbers."""
        with _spends(cap("money", "$1/month")) as wb:
            pay = wb.operation("pay", cost="CHEAP", reserves=lambda cents: {"USD": f"0.{cents:02d}"})(
                lambda cents: cents
            )
            with scope(**HERE):
                assert pay(60) == 60
                with pytest.raises(Blocked, match="HARD_CAP_EXCEEDED"):
                    pay(41)
                assert pay(40) == 40
            assert _counters(wb) == {"pico_USD 2026-11 any": (10**12, 0)}

    def test_what_a_call_costs_that_nobody_knows(self):
        """B12: the class maximum, or COST_UNKNOWN; never 0, never what is left."""
        tokens = cap("tokens", "1k tokens/day")
        with _spends(tokens, cost_classes={"CHEAP": {"maximum": {"tokens": "600 tokens"}}}) as wb:
            calls: list[Any] = []
            cheap = wb.operation("cheap", cost="CHEAP")(calls.append)
            dear = wb.operation("dear", cost="MEDIUM")(calls.append)
            with scope(**HERE):
                cheap(1)
                with pytest.raises(Blocked, match="HARD_CAP_EXCEEDED"):
                    cheap(2)
                with pytest.raises(Blocked, match="COST_UNKNOWN"):
                    dear(3)
            assert calls == [1]
            assert _decided(wb)[0].fields["assumed"] == ["tokens"]

    def test_a_failure_keeps_the_reservation(self):
        """B7: no refund."""
        with _spends(cap("day", "9/day", settlement=True), cap("tokens", "1k tokens/day", settlement=True)) as wb:

            @wb.operation("fail", cost="CHEAP", reserves=lambda: {"tokens": 100}, consumed=lambda value: {"tokens": 0})
            def fail():
                raise KeyError("mine")

            with scope(**HERE), pytest.raises(KeyError):
                fail.with_id("op-1")()
            assert wb.reader.identity("acme", "op", "op-1").state == "FAILED"
            assert _counters(wb) == {DAY: (1, 0), "tokens 2026-11-22 any": (100, 0)}
            wb.report_usage("op-1", {"tokens": 30}, tenant_id="acme")  # who knows better says so
            assert _counters(wb)["tokens 2026-11-22 any"] == (100, 70)

    def test_a_reason_comes_from_the_scope(self):
        """B13, L6: recorded as content, at least WARN; G7: and nothing else is different."""
        with _spends(cap("day", "9/day", justification=True)) as wb:
            peek = wb.operation("peek", cost="CHEAP")(lambda: "seen")
            with scope(**HERE), pytest.raises(Blocked, match="JUSTIFICATION_MISSING"):
                peek()
            with scope(**HERE, justification="quarter end") as here:
                assert peek() == "seen"
            assert here.decisions[0].reasons == ("JUSTIFIED",)
            content_hash = _decided(wb)[1].fields["content"]["justification"]
            stated = {"justification": "quarter end", "operation_id": here.decisions[0].operation_id}
            assert wb.reader.content("acme", content_hash) == canonical.encode(stated)
            assert not any(b"quarter" in record.body for record in wb.reader.records("acme"))
            with pytest.raises(Blocked, match="no scope is in force"):
                wb.operation("look", cost="CHEAP")(lambda: None)()

    @pytest.mark.parametrize("reason", ["", "  ", 7, "x" * 2001])
    def test_a_reason_says_something(self, reason):
        """B13: a blank reason is none."""
        with _spends(cap("day", "9/day", justification=True)) as wb:
            calls: list[Any] = []
            peek = wb.operation("peek", cost="CHEAP")(calls.append)
            with (
                pytest.raises(ContextError, match=r"(scope|budget)\.justification"),
                scope(**HERE, justification=reason),
            ):
                peek(1)
            assert (calls, wb.reader.head("acme").seq) == ([], 0)

    def test_what_the_executor_says_is_a_fact(self):
        """Z5: also where an agent calls: the estimate is the operation's, not the agent's."""
        waived = {"not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"]}]}
        rules = capped(cap("tokens", "1k tokens/day")) | {"required_inputs": waived}
        agent = Principal(id="bot", role=Role.AGENT, tenant_id="acme")
        with weighbridge(policy=rules, principal=agent) as wb:
            send = wb.operation(
                "send", cost="CHEAP", reserves=lambda: {"tokens": 40}, consumed=lambda _: {"tokens": 30}
            )(lambda: "sent")
            assert send() == "sent"
            assert _counters(wb) == {"tokens 2026-11-22 any": (40, 0)}
            assert _types(wb)[-1] == "USAGE_REPORTED"

    def test_a_full_budget_is_no_matter_of_scopes(self):
        """Rule 7: the hint about scopes is for those whom it helps."""
        waived = {"not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"]}]}
        with weighbridge(policy=capped(cap("day", "0/day")) | {"required_inputs": waived}) as wb:
            peek = wb.operation("peek", cost="CHEAP")(lambda: None)
            with pytest.raises(Blocked, match="NEVER_FITS") as caught:
                peek()
        assert "no scope" not in str(caught.value)

    def test_many_threads_pass_exactly_what_fits(self):
        """B5: of N single-unit calls under a cap of K exactly K are made."""
        with _spends(cap("day", "7/day")) as wb:
            calls: list[Any] = []
            peek = wb.operation("peek", cost="CHEAP")(calls.append)

            def work(number):
                with contextlib.suppress(Blocked):
                    peek(number)

            with scope(**HERE):
                threads = [threading.Thread(target=in_scope(work), args=(number,)) for number in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(calls) == 7
            assert _counters(wb) == {DAY: (7, 0)}

    def test_asynchronous_calls_too(self):
        """B5, B7, G8: one implementation behind both faces."""
        with _spends(cap("day", "2/day"), cap("tokens", "1k tokens/day", settlement=True)) as wb:
            calls: list[Any] = []

            @wb.operation("peek", cost="CHEAP", reserves=lambda n: {"tokens": n}, consumed=lambda n: {"tokens": n - 1})
            async def peek(n):
                calls.append(n)
                await asyncio.sleep(0)
                return n

            async def main():
                with scope(**HERE):
                    assert await peek(10) == 10
                    assert await peek(20) == 20
                    with pytest.raises(Blocked, match="HARD_CAP_EXCEEDED"):
                        await peek(30)

            asyncio.run(main())
            assert calls == [10, 20]
            assert _counters(wb) == {DAY: (2, 0), "tokens 2026-11-22 any": (30, 2)}
            assert wb.verify("acme").ok

    def test_a_block_of_the_budget_ends_the_attempt(self):
        """G8, Z4: operations in a step are reserved for themselves; when one has no room, nothing more happens."""
        with _spends(cap("day", "9/day"), cap("look", "1/day", scope={"tool": "look"})) as wb:
            reached: list[Any] = []
            look = wb.operation("look", cost="CHEAP")(reached.append)

            @wb.operation("step", cost="CHEAP")
            def step():
                look(1)
                with contextlib.suppress(Blocked):
                    look(2)
                look(3)

            with scope(**HERE) as here, pytest.raises(Blocked):
                step()
            assert reached == [1]
            assert [decision.verdict for decision in here.decisions] == ["ALLOW", "ALLOW", "BLOCK"]
            assert [len(decision.gates) for decision in here.decisions] == [1, 0, 0]
            assert _counters(wb)[DAY] == (2, 0)
            assert wb.verify("acme").ok

    def test_what_a_scope_holds_is_looked_at_where_no_gate_is_asked(self):
        """Rule 7: inside a step too."""
        with _spends(cap("day", "9/day", scope={"account": "each"})) as wb:
            peek = wb.operation("peek", cost="CHEAP")(lambda: None)

            @wb.operation("step", cost="CHEAP")
            def step():
                with scope(account=5):  # type: ignore[arg-type]
                    peek()

            with scope(**HERE), pytest.raises(ContextError, match="account_id"):
                step()


class TestEstimates:
    """G11: an estimate says what a call reserves, and changes nothing."""

    def test_an_estimate_that_changes_its_arguments_changes_nothing(self):
        """G11: neither what is judged nor what is called."""
        with _spends(cap("day", "9/day"), cap("tokens", "1k tokens/day")) as wb:
            seen: list[Any] = []

            def estimate(body, *, lines):
                body["ssn"] = "1"  # a restricted field, were it judged
                lines.append("smuggled")
                return {"tokens": len(lines)}

            @wb.operation("send", cost="CHEAP", reserves=estimate)
            def send(body, *, lines):
                seen.append((body, lines))

            mine: tuple[dict, list] = ({"a": 1}, [1, 2])
            with scope(**HERE) as here:
                send(mine[0], lines=mine[1])
            assert seen == [({"a": 1}, [1, 2])]
            assert mine == ({"a": 1}, [1, 2])
            assert _budget(here.decisions[0]).amounts["tokens"] == 3
            content = dict(wb.reader.contents("acme"))
            assert not any(b"smuggled" in body for body in content.values())

    def test_an_estimate_sees_what_is_judged(self):
        """G11: also where the caller's own change in the meantime; defaults included."""
        with _spends(cap("tokens", "1k tokens/day")) as wb:
            body: dict[str, list[Any]] = {"lines": [1]}
            seen: list[Any] = []

            def estimate(given, most=7):
                seen.append((given, most))
                return {"tokens": most}

            send = wb.operation("send", cost="CHEAP", reserves=estimate)(
                lambda given, most=7: seen.append((given, most))
            )
            unended = wb._operations._require_not_ended

            def meddling(*args):  # between binding and estimating
                body["lines"].append("smuggled")
                return unended(*args)

            wb._operations._require_not_ended = meddling
            with scope(**HERE):
                send(body)
            assert seen == [({"lines": [1]}, 7)] * 2

    def test_an_estimate_that_fails_is_the_callers_to_see(self):
        """G11: nothing is recorded, and nothing called."""
        with _spends(cap("tokens", "1k tokens/day")) as wb:
            calls: list[Any] = []
            error = KeyError("mine")

            def estimate(_):
                raise error

            send = wb.operation("send", cost="CHEAP", reserves=estimate)(calls.append)
            with scope(**HERE), pytest.raises(KeyError) as caught:
                send(1)
            assert caught.value is error
            assert caught.value.__notes__ == [
                "raised by `reserves` of operation `send`; nothing was weighed and nothing was called"
            ]
            assert (calls, wb.reader.head("acme").seq) == ([], 0)

    @pytest.mark.parametrize(
        "estimate",
        [
            *(None, 7, "7", [1], {1: 1}, {"stones": 1}, {"operations": 0}),
            *({"tokens": wrong} for wrong in (-1, 1.5, float("nan"), True, 10**5000)),
            *(Tokens(wrong, 0) for wrong in (-1, 1.5, 10**30)),  # type: ignore[arg-type]
        ],
    )
    def test_what_is_no_amount_is_no_estimate(self, estimate):
        """B2: a clear error; nothing recorded, nothing called."""
        with _spends(cap("tokens", "1k tokens/day")) as wb:
            calls: list[Any] = []
            send = wb.operation("send", cost="CHEAP", reserves=lambda _: estimate)(calls.append)
            with scope(**HERE), pytest.raises(UsageError):
                send(1)
            assert (calls, wb.reader.head("acme").seq) == ([], 0)

    def test_arguments_are_bound_again_for_an_estimate_only(self, monkeypatch):
        """Performance: whoever has no estimate pays for none."""
        from weighbridge import arguments, operations

        bound = []
        bind = arguments.bind

        def counted(*args, **options):
            bound.append(1)
            return bind(*args, **options)

        monkeypatch.setattr(operations, "bind", counted)
        with _spends(cap("day", "9/day")) as wb:
            plain = wb.operation("plain", cost="CHEAP")(lambda: None)
            estimated = wb.operation("estimated", cost="CHEAP", reserves=lambda: {"tokens": 1})(lambda: None)
            with scope(**HERE):
                plain()
                assert len(bound) == 1
                estimated()
                assert len(bound) == 3

    @pytest.mark.parametrize("hook", ["reserves", "consumed"])
    def test_a_hook_is_a_function(self, wb, hook):
        with pytest.raises(UsageError, match=hook):
            wb.operation("send", cost="CHEAP", **{hook: {"tokens": 1}})(lambda: None)

    @pytest.mark.parametrize(
        ("function", "estimate"),
        [
            (lambda text, most: 1, lambda text: {}),
            (lambda text: 1, lambda text, most: {}),
            (lambda text, *, most: 1, lambda text, limit: {}),
            (lambda *texts: 1, lambda texts: {}),
            (lambda **fields: 1, lambda fields=None: {}),
        ],
    )
    def test_an_estimate_takes_what_its_function_takes(self, wb, function, estimate):
        """A wrong signature is found where it is written, and registers nothing."""
        with pytest.raises(UsageError, match="`reserves` of operation `send`"):
            wb.operation("send", cost="CHEAP", reserves=estimate)(function)
        wb.operation("send", cost="CHEAP")(function)

    @pytest.mark.parametrize(
        ("function", "estimate"),
        [
            (lambda text, most: 1, lambda *_: {}),
            (lambda text, most=1: 1, lambda body, limit=2, more=3: {}),
            (lambda text, *, most: 1, lambda text, **_: {}),
            (lambda *texts, **fields: 1, lambda *_, **__: {}),
            (lambda fields: 1, dict),
        ],
    )
    def test_an_estimate_may_take_more(self, wb, function, estimate):
        wb.operation("send", cost="CHEAP", reserves=estimate)(function)


class TestConsumed:
    """B7: what a call consumed is told after it, and can change nothing about it."""

    @pytest.mark.parametrize("wrong", [{"tokens": -1}, {}, None, {"tokens": 10**27}, Tokens(-1, 0), "raises"])
    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_report_that_cannot_be_read_changes_nothing_for_the_caller(self, caplog, wrong, is_async):
        """G7, B7: the value is returned, the completion is on record, the reservation stays; it is logged."""
        with _spends(cap("tokens", "1k tokens/day", settlement=True)) as wb:

            def consumed(_):
                if wrong == "raises":
                    raise KeyError("a secret")
                return wrong

            register = wb.operation("send", cost="CHEAP", reserves=lambda: {"tokens": 100}, consumed=consumed)
            value = object()

            async def later():
                return value

            with caplog.at_level(logging.ERROR), scope(**HERE) as here:
                returned = asyncio.run(register(later)()) if is_async else register(lambda: value)()
            assert returned is value
            operation_id = here.decisions[0].operation_id
            assert wb.reader.identity("acme", "op", operation_id).state == "COMPLETED"
            assert _counters(wb) == {"tokens 2026-11-22 any": (100, 0)}
            assert operation_id in caplog.text
            assert "`send`" in caplog.text
            assert "secret" not in caplog.text
            wb.report_usage(operation_id, {"tokens": 1}, tenant_id="acme")
            assert wb.verify("acme").ok

    def test_what_was_consumed_is_worked_out_from_the_very_value(self):
        """G7: the function's own value, which the caller gets untouched."""
        with _spends(cap("tokens", "1k tokens/day")) as wb:
            value, seen = object(), []

            def consumed(given):
                seen.append(given)
                return {"tokens": 1}

            send = wb.operation("send", cost="CHEAP", reserves=lambda: {"tokens": 1}, consumed=consumed)(lambda: value)
            with scope(**HERE):
                assert send() is value
            assert len(seen) == 1
            assert seen[0] is value

    def test_an_overrun_is_told(self):
        """B7: above the reservation, counted as such, and no counter moves."""
        with _spends(cap("tokens", "1k tokens/day", settlement=True)) as wb:
            send = wb.operation(
                "send", cost="CHEAP", reserves=lambda: {"tokens": 10}, consumed=lambda _: {"tokens": 25}
            )(lambda: None)
            with scope(**HERE):
                send()
            assert _counters(wb) == {"tokens 2026-11-22 any": (10, 0)}
            assert _types(wb)[-2:] == ["OPERATION_COMPLETED", "USAGE_REPORTED"]


def _trace(rules):
    """Run a program under a policy, and return all that its caller and its functions can see."""
    seen: list[Any] = []
    with weighbridge(policy=rules) as wb:

        @wb.operation("inner", cost="CHEAP", reads=True, reserves=lambda n: {"tokens": n})
        def inner(n):
            seen.append(("inner", n))
            if n == 3:
                raise LookupError(n)
            return [n]

        @wb.operation("outer", cost="MEDIUM", reserves=lambda *numbers, key: {"tokens": 1})
        def outer(*numbers, key):
            seen.append(("outer", numbers, key))
            return [one for n in numbers for one in inner(n)]

        for numbers in ((1, 2), (3, 4), (5,)):
            with scope(**HERE, justification="x"):
                try:
                    seen.append(outer(*numbers, key={"a": [1]}))
                except Exception as error:  # noqa: BLE001
                    seen.append((type(error), error.args))
        verdicts = [event.fields["result"] for event in _decided(wb)]
    return seen, verdicts


def test_a_warning_of_the_budget_changes_nothing():
    """G7: the same operations, order, arguments, values and exceptions with soft caps and reasons as without."""
    plain = capped(cap("day", "99/day"), cap("tokens", "99k tokens/day"))
    soft = capped(
        cap("day", "99/day", soft_cap="0"), cap("tokens", "99k tokens/day", soft_cap="1 tokens", justification=True)
    )
    (without, allowed), (warned, verdicts) = _trace(plain), _trace(soft)
    assert warned == without
    assert set(allowed) == {"ALLOW"}
    assert set(verdicts) == {"WARN"}


class TestOutsideEveryScope:
    """L5: what nobody put into a scope counts for the default tenant, and that is said."""

    def test_it_is_said_once(self, caplog):
        with weighbridge(policy=capped(cap("day", "9/day")) | WAIVED) as wb:
            peek = wb.operation("peek", cost="CHEAP")(lambda: 1)
            with scope(tenant="acme"):
                peek()
            assert caplog.records == []
            peek()
            peek()
            (said,) = caplog.records
        assert (said.name, said.levelno) == ("weighbridge.operations", logging.WARNING)
        assert said.getMessage().startswith(
            "operation `peek` was called outside every scope, and counts for tenant `default`"
        )

    def test_a_credential_that_names_the_tenant_is_enough(self, caplog):
        ours = Principal(id="billing", tenant_id="acme")
        with weighbridge(policy=capped(cap("day", "9/day")) | WAIVED, principal=ours) as wb:
            wb.operation("peek", cost="CHEAP")(lambda: 1)()
        assert caplog.records == []

    @pytest.mark.parametrize("principal", [Principal(id="local"), Principal(id="billing", tenant_id="acme")])
    def test_a_scope_can_be_required(self, principal):
        """Nothing is recorded, and nothing called."""
        calls: list[Any] = []
        with weighbridge(policy=capped(cap("day", "9/day")) | WAIVED, principal=principal, scope_required=True) as wb:
            note = wb.operation("note", cost="CHEAP")(calls.append)

            async def later():
                calls.append("later")

            note_later = wb.operation("note_later", cost="CHEAP")(later)
            with pytest.raises(UsageError, match=r"`note` was called outside every scope.*in_scope"):
                note(1)
            with pytest.raises(UsageError, match="`note_later`"):
                asyncio.run(note_later())
            assert (calls, wb.reader.tenants()) == ([], ())
            with scope(tenant="acme"):
                note(2)
                threading_calls = in_scope(note)
            threading_calls(3)
        assert calls == [2, 3]


class TestBlockedSays:
    """The exception names what decided, and where to read on."""

    def test_the_cap_and_its_figures_the_tenant_and_the_store(self, tmp_path):
        """B10: the deciding sentence, with the arithmetic in it."""
        store = tmp_path / "our ledger.db"
        with weighbridge(store, policy=capped(cap("day", "1/day")) | WAIVED) as wb:
            peek = wb.operation("peek", cost="CHEAP")(lambda: 1)
            with scope(tenant="acme"):
                peek()
                with pytest.raises(Blocked) as caught:
                    peek()
        decision = caught.value.decision
        assert str(caught.value) == (
            "`peek` was blocked: HARD_CAP_EXCEEDED (cap `day` is used up: 1 of 1 operation on 2026-11-22, "
            "no room for 1 operation more); "
            f"see `weighbridge why {decision.operation_id} --tenant acme --store '{store}'`"
        )

    def test_a_store_in_memory_has_nothing_to_look_at_later(self, update):
        with scope(**HERE | {"snapshot": CLOSED}), pytest.raises(Blocked) as caught:
            update("r-1")
        assert str(caught.value) == (
            "`crm.update` was blocked: CONTRADICTION; the store is `:memory:`, so nothing can be looked up later: "
            "print `weighbridge.explain(blocked.decision)`"
        )
