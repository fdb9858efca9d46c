"""H4, G10, G11: one action at a time, each recorded with what follows from it; nothing is called twice."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from tests.planned import (
    ADA,
    AGENT,
    EXPIRES_MS,
    MARIA,
    OLE,
    PLAN_TYPE,
    TENANT,
    World,
    approved,
    opened,
    plan_policy,
    proposed,
    told,
    types,
)
from tests.samples import Clock
from weighbridge import scopes
from weighbridge.budgets.sentences import explain_finding
from weighbridge.domain.context import Role
from weighbridge.domain.decision import Blocked
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import PlanRefused, Refusal, UsageError
from weighbridge.ledger.record import events
from weighbridge.plans.asking import operation_id, step_scope
from weighbridge.plans.next_action import RunStep
from weighbridge.testing.submissions import decision, draft

ONE = ({"step_id": "a", "operation": "x.brief"},)
TWO = (*ONE, {"step_id": "b", "operation": "x.meet", "depends_on": ["a"]})


@pytest.fixture
def world():
    return World()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def wb(world, clock):
    with opened(world=world, clock=clock) as made:
        yield made


def run(wb, plan_id="p-1"):
    return wb.run_plan(plan_id, TENANT)


def advance(wb, plan_id="p-1"):
    return wb.advance_plan(plan_id, TENANT)


def state(wb, plan_id="p-1"):
    return wb.plan(plan_id, TENANT)


class TestOneAction:
    def test_each_call_does_exactly_one(self, wb, world):
        """H4: activate, a step, the next one, complete; then there is nothing to do, and nothing is done."""
        approved(wb, steps=TWO)
        done = [advance(wb) for _ in range(5)]
        assert [one.action for one in done] == ["ACTIVATE", "RUN_STEP", "RUN_STEP", "END", "WAIT"]
        assert [one.recorded for one in done] == [True, True, True, True, False]
        assert done[-1].waits_for == "ENDED"
        assert world.calls == ["x.brief", "x.meet"]
        assert types(wb)[-6:] == [
            "PLAN_ACTIVATED", "STEP_STARTED", "STEP_COMPLETED", "STEP_STARTED", "STEP_COMPLETED", "PLAN_COMPLETED",
        ]  # fmt: skip

    def test_run_goes_on_until_it_waits(self, wb, world):
        approved(wb)
        done = run(wb)
        assert (done.waits_for, done.plan.status) == ("ENDED", PlanStatus.COMPLETED)
        assert world.calls == ["x.brief", "x.meet", "x.update"]
        assert wb.verify(TENANT).ok

    def test_run_stops_between_two_actions_when_told_so(self, wb, world):
        approved(wb)
        asked = iter([True, True, False])
        wb.orchestrator.run(TENANT, "p-1", going_on=lambda: next(asked))
        assert world.calls == ["x.brief", "x.meet"]

    def test_a_draft_waits_and_nothing_of_it_happens(self, wb, world):
        """H2: nothing runs before approval."""
        proposed(wb)
        assert run(wb).waits_for == "NOT_APPROVED"
        assert world.calls == []

    def test_a_step_is_called_with_what_was_approved_and_nothing_more(self, wb):
        """G11: by name, without the function's own defaults: those nobody approved."""
        seen = []

        @wb.operation("y.brief", action="brief", cost="CHEAP")
        def brief(renewal_id, how="short"):
            seen.append((renewal_id, how))

        approved(wb, steps=({"step_id": "a", "operation": "y.brief"},))
        done = run(wb)
        assert done.plan.status is PlanStatus.COMPLETED
        assert seen == [("r-1", "short")]
        (started,) = [event for event in told(wb) if event.type == "STEP_STARTED"]
        assert started.fields["operation_id"] == operation_id("p-1", "a", 1)

    def test_every_kind_of_parameter_can_be_a_steps(self, wb):
        seen = []

        @wb.operation("y.brief", action="brief", cost="CHEAP")
        def brief(renewal_id, /, *rest, how, **more):
            seen.append((renewal_id, rest, how, more))

        step = {"step_id": "a", "operation": "y.brief"}
        arguments = {"renewal_id": "r-1", "rest": [1, 2], "how": "short", "x": {"y": [None]}}
        approved(wb, steps=({**step, "arguments": arguments},))
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert seen == [("r-1", (1, 2), "short", {"x": {"y": [None]}})]

    def test_an_asynchronous_operation_is_run_to_its_end(self, wb):
        seen = []

        @wb.operation("y.brief", action="brief", cost="CHEAP")
        async def brief(renewal_id):
            await asyncio.sleep(0)
            seen.append(renewal_id)

        approved(wb, steps=({"step_id": "a", "operation": "y.brief"},))
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert seen == ["r-1"]

    def test_not_in_a_thread_with_a_running_loop(self, wb):
        """What would hold up the loop is refused before anything is drawn, and says what to do."""

        @wb.operation("y.brief", action="brief", cost="CHEAP")
        async def brief(renewal_id):
            """Do nothing."""

        approved(wb, steps=({"step_id": "a", "operation": "y.brief"},))

        async def inside():
            return run(wb)

        done = asyncio.run(inside())
        assert (done.plan.pause_reason, done.plan.steps[0].attempts) == ("STEP_NOT_CALLABLE", 0)

    def test_nothing_of_a_scope_outside_reaches_a_step(self, wb, world):
        """G11: what was approved says on whose behalf; not who happens to carry it out."""
        approved(wb, steps=ONE)
        outside = scopes.scope(tenant=TENANT, actor="somebody", account="a-9", justification="because")
        with outside:
            assert run(wb).plan.status is PlanStatus.COMPLETED
        (started,) = [event for event in told(wb) if event.type == "STEP_STARTED"]
        assert (started.fields["account_id"], started.fields["actor"]["id"]) == ("a-1", "agent-1")
        assert outside.decisions == []

    def test_an_operation_carries_out_no_plans(self, wb, world):
        """What is inside a step attempt does not pass the step's choke point: no plan may be run there."""
        approved(wb, steps=ONE)
        approved(wb, "p-2", steps=ONE, account_id="a-2")
        world.does["x.brief"] = [lambda _: run(wb, "p-2")]
        done = run(wb)
        assert (done.plan.steps[0].status, done.plan.steps[0].attempts) == (StepStatus.COMPLETED, 2)
        assert state(wb, "p-2").status is PlanStatus.APPROVED

    def test_only_a_host_carries_out_plans(self):
        """Z5: the snapshot of a plan would count for nothing, and every step be blocked."""
        with opened(principal=Principal(id="bot", role=Role.AGENT)) as wb, pytest.raises(UsageError, match="by a host"):
            wb.advance_plan("p-1", TENANT)


class TestFailures:
    def test_a_step_is_tried_again_up_to_its_limit_and_then_pauses(self, wb, world):
        """H4: max_retries 1 are two attempts; then the plan waits for a person, and the step says why."""
        world.does["x.brief"] = [KeyError("secret"), KeyError("secret")]
        approved(wb, steps=ONE)
        done = run(wb)
        assert (done.waits_for, done.plan.pause_reason, done.plan.pause_step) == ("PAUSED", "RETRIES_EXHAUSTED", "a")
        assert world.counts == {"x.brief": 2}
        failed = [event.fields for event in told(wb) if event.type == "STEP_FAILED"]
        assert [one["reason"] for one in failed] == ["OPERATION_FAILED"] * 2
        assert [one["details"] for one in failed] == [{"error": "KeyError"}] * 2
        assert not any(b"secret" in stored.body for stored in wb.reader.records(TENANT))  # L6

    def test_a_resume_grants_one_attempt(self, wb, world):
        """H4: one, and no more."""
        world.does["x.brief"] = [KeyError()] * 4
        approved(wb, steps=ONE)
        run(wb)
        wb.resume_plan("p-1", by=OLE, reason="the server is back", tenant_id=TENANT)
        assert run(wb).plan.pause_reason == "RETRIES_EXHAUSTED"
        assert world.counts == {"x.brief": 3}
        wb.resume_plan("p-1", by=OLE, reason="now it is", tenant_id=TENANT)
        world.does.clear()
        assert run(wb).plan.status is PlanStatus.COMPLETED

    def test_what_it_raised_is_told_to_whoever_asked(self, wb, world):
        raised = KeyError("x")
        world.does["x.brief"] = [raised]
        approved(wb, steps=ONE)
        advance(wb)
        done = advance(wb)
        assert done.error is raised
        assert done.decision is not None

    def test_a_block_is_not_retried_and_its_decision_is_on_the_step(self, world):
        """G8, H4: the step is BLOCKED by the decision of its operation, whose id it keeps; the plan follows its policy."""
        with opened(world=world, policy=_one_brief(plan_type={"max_retries": 3})) as wb:
            approved(wb, steps=ONE)
            approved(wb, "p-2", steps=ONE, account_id="a-2")
            assert run(wb).plan.status is PlanStatus.COMPLETED
            done = run(wb, "p-2")
            step = done.plan.steps[0]
            assert (done.plan.status, done.plan.pause_reason) == (PlanStatus.PAUSED, "STEP_BLOCKED")
            assert (step.status, step.attempts, step.operation_id) == (
                StepStatus.BLOCKED,
                1,
                operation_id("p-2", "a", 1),
            )
            assert world.counts == {"x.brief": 1}
            assert any("HARD_CAP_EXCEEDED" in entry.reasons for entry in wb.why(step.operation_id, TENANT).entries)

    def test_a_block_can_abort_the_plan(self, world):
        """H4: on_block of its type."""
        with opened(world=world, policy=_one_brief(plan_type={"on_block": "abort"})) as wb:
            approved(wb, steps=ONE)
            approved(wb, "p-2", steps=ONE, account_id="a-2")
            run(wb)
            assert run(wb, "p-2").plan.status is PlanStatus.ABORTED
            assert told(wb, "p-2")[-1].fields["reason"] == "STEP_BLOCKED"

    def test_a_block_inside_a_step_ends_the_attempt_for_good(self, world):
        """G8: whoever catches it; the step says which operation was blocked, and is not tried again."""
        with opened(world=world, policy=plan_policy(compliance={"prohibited_targets": ["elsewhere"]})) as wb:
            other = wb.writeback("y.forbidden", target="elsewhere", action="forbidden")(lambda: None)

            def calls_another(_):
                with contextlib.suppress(Blocked):  # what a careless connector does
                    other()

            world.does["x.brief"] = [calls_another]
            approved(wb, steps=ONE)
            done = run(wb)
            assert (done.plan.status, done.plan.pause_reason) == (PlanStatus.PAUSED, "STEP_BLOCKED")
            last = [event.fields for event in told(wb) if event.type == "STEP_BLOCKED"][-1]
            inside = wb.why(last["details"]["blocked_by"], TENANT)
            assert any("TARGET_NOT_ALLOWED" in entry.reasons for entry in inside.entries)
            assert world.counts == {"x.brief": 1}

    def test_a_block_inside_that_is_hidden_behind_another_exception_ends_it_as_well(self, world):
        """G8: the step is BLOCKED, and not FAILED and tried again, whatever its function raises instead."""
        with opened(world=world, policy=plan_policy(compliance={"prohibited_targets": ["elsewhere"]})) as wb:
            other = wb.writeback("y.forbidden", target="elsewhere", action="update")(lambda: None)

            def replaces(_):
                try:
                    other()
                except Blocked:
                    raise RuntimeError("try again") from None

            world.does["x.brief"] = [replaces]
            approved(wb, steps=ONE)
            done = run(wb)
            step = done.plan.step("a")
            assert (step.status, step.reason, step.attempts) == (StepStatus.BLOCKED, "BLOCKED", 1)
            assert done.plan.pause_reason == "STEP_BLOCKED"

    @pytest.mark.parametrize(
        ("action", "status"),
        [("update", PlanStatus.COMPLETED), ("wire_money", PlanStatus.PAUSED)],
    )
    def test_a_write_inside_a_step_is_one_that_its_plan_type_knows(self, wb, world, action, status):
        """H3: what a plan may write says its type, however deep inside a step it is called."""
        wires: list[int] = []
        wire = wb.writeback("y.wire", target="bank", action=action)(wires.append)
        world.does["x.brief"] = [lambda _: wire(10)]
        approved(wb, steps=ONE)
        done = run(wb)
        assert done.plan.status is status
        assert wires == ([10] if status is PlanStatus.COMPLETED else [])
        if wires == []:
            last = [event.fields for event in told(wb) if event.type == "STEP_BLOCKED"][-1]
            inside = wb.why(last["details"]["blocked_by"], TENANT)
            assert any("NOT_AS_APPROVED" in entry.reasons for entry in inside.entries)

    def test_what_a_running_step_calls_is_part_of_it_while_its_plan_is_paused(self, wb, world):
        """H4: a pause starts nothing new and tears nothing apart; what is not of the attempt is blocked."""
        inner = wb.writeback("y.write", target="crm", action="update")(lambda: "written")
        read = wb.operation("y.read", cost="CHEAP")(lambda: "read")
        values: list[str] = []

        def paused_meanwhile(_):
            wb.pause_plan("p-1", by=OLE, reason="a moment", tenant_id=TENANT)
            values.extend([inner(), read()])
            with scopes.scope(step="b"), pytest.raises(Blocked) as blocked:
                read()
            values.extend(blocked.value.decision.reasons)

        world.does["x.brief"] = [paused_meanwhile]
        approved(wb, steps=TWO)
        run(wb)
        assert values == ["written", "read", "NOT_AS_APPROVED"]
        assert wb.verify(TENANT).ok

    def test_a_plan_that_was_aborted_meanwhile_does_nothing_more(self, wb, world):
        """H1: also inside the step that is running; its end is late."""
        read = wb.operation("y.read", cost="CHEAP")(lambda: "read")
        reasons: list[str] = []

        def aborted_meanwhile(_):
            wb.abort_plan("p-1", by=OLE, reason="stop", tenant_id=TENANT)
            with pytest.raises(Blocked) as blocked:
                read()
            reasons.extend(blocked.value.decision.reasons)

        world.does["x.brief"] = [aborted_meanwhile]
        approved(wb, steps=TWO)
        assert run(wb).plan.status is PlanStatus.ABORTED
        assert reasons == ["NOT_AS_APPROVED"]

    def test_a_write_that_is_not_stored_waits_for_a_person(self, wb):
        """What was asked is not what is stored: FAILED with names and no values, and never tried again by itself."""
        stored = {"renewal_id": "r-9"}
        wb.writeback("y.update", action="update", target="crm", read_back=lambda _v, renewal_id: stored)(
            lambda renewal_id: None
        )
        approved(wb, steps=({"step_id": "a", "operation": "y.update"},))
        done = run(wb)
        assert (done.plan.pause_reason, done.plan.steps[0].attempts) == ("WRITE_NOT_STORED", 1)
        (failed,) = [event.fields for event in told(wb) if event.type == "STEP_FAILED"]
        assert (failed["reason"], failed["details"]) == ("WRITE_NOT_STORED", {"differs": ["renewal_id"]})

    def test_an_interrupt_is_not_a_failure_to_be_tried_again(self, wb, world):
        """G10: nobody knows where it was interrupted."""
        world.does["x.brief"] = [KeyboardInterrupt()]
        approved(wb, steps=ONE)
        with pytest.raises(KeyboardInterrupt):
            run(wb)
        assert run(wb).plan.pause_reason == "OUTCOME_UNKNOWN"
        assert world.counts == {"x.brief": 1}


def _one_brief(**changes):
    caps = [{"id": "briefs", "hard_cap": "1/month"}]
    return plan_policy(budgets={"caps": caps}, **changes)


class Dies(BaseException):
    """A process ends in the middle of what it does: nothing of ours catches this."""


class TestCrashes:
    """G10: an attempt whose worker died is never run again by itself, whenever that was."""

    def _dying(self, wb, monkeypatch, at):
        """Make the process die at a point: between the draw and the call, or between the call and its report."""
        executor = wb._executor

        def dies(*_args, **_kwargs):
            raise Dies

        monkeypatch.setattr(executor, {"before the call": "_permitted", "after the call": "_report"}[at], dies)

    @pytest.mark.parametrize(("at", "calls"), [("before the call", 0), ("after the call", 1)])
    def test_a_drawn_attempt_without_an_end_is_unknown(self, wb, world, monkeypatch, at, calls):
        """Before and after the call look the same to whoever comes next: a person decides."""
        approved(wb, steps=TWO)
        advance(wb)
        with monkeypatch.context() as patch:
            self._dying(wb, patch, at)
            with pytest.raises(Dies):
                advance(wb)
        assert state(wb).steps[0].status is StepStatus.RUNNING
        done = [advance(wb) for _ in range(3)]
        assert [one.action for one in done] == ["SETTLE_UNKNOWN", "PAUSE", "WAIT"]
        assert done[-1].plan.pause_reason == "OUTCOME_UNKNOWN"
        assert world.counts["x.brief"] == calls
        wb.resume_plan("p-1", by=OLE, reason="it is not there; again", tenant_id=TENANT)
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert world.counts["x.brief"] == calls + 1
        assert wb.verify(TENANT).ok

    def test_an_end_that_is_told_after_all_counts(self, wb, world):
        """G10: a worker that was only asleep reports later; nobody runs it again."""
        inside, go_on = threading.Event(), threading.Event()

        def waits(_):
            inside.set()
            go_on.wait(10)

        world.does["x.brief"] = [waits]
        approved(wb, steps=TWO)
        advance(wb)
        sleeper = threading.Thread(target=advance, args=(wb,))
        sleeper.start()
        assert inside.wait(10)
        wb.orchestrator._in_hand.clear()  # as in another process
        assert advance(wb).action == "SETTLE_UNKNOWN"
        go_on.set()
        sleeper.join(10)
        assert state(wb).steps[0].status is StepStatus.COMPLETED
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert world.counts["x.brief"] == 1

    def test_what_another_worker_may_hold_is_left_alone(self, wb, world, monkeypatch):
        approved(wb, steps=ONE)
        advance(wb)
        with monkeypatch.context() as patch:
            self._dying(wb, patch, "after the call")
            with pytest.raises(Dies):
                advance(wb)
        assert wb.orchestrator.advance(TENANT, "p-1", alive=True).waits_for == "STEP_RUNNING"

    def test_another_thread_of_this_process_is_seen(self, wb, world):
        """The attempt is in this process' hands: nobody settles it."""
        found = []
        world.does["x.brief"] = [lambda _: threads_look()]

        def threads_look():
            looking = threading.Thread(target=lambda: found.append(advance(wb)))
            looking.start()
            looking.join(10)

        approved(wb, steps=ONE)
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert [one.waits_for for one in found] == ["STEP_RUNNING"]

    def test_an_end_that_cannot_be_recorded_leaves_the_outcome_unknown(self, world, monkeypatch):
        """G2: the store is gone when the operation returns."""
        with opened(world=world) as wb:
            approved(wb, steps=ONE)
            advance(wb)
            record = wb._recorder.record

            def fails_to_end(submission):
                if submission.completes is not None:
                    raise Refusal("LEDGER_WRITE_FAILED", "the disk is full")
                return record(submission)

            with monkeypatch.context() as patch:
                patch.setattr(wb._recorder, "record", fails_to_end)
                done = advance(wb)
            assert done.plan.steps[0].status is StepStatus.RUNNING
            assert run(wb).plan.pause_reason == "OUTCOME_UNKNOWN"
        assert world.counts == {"x.brief": 1}


class TestRaces:
    def test_who_is_late_does_nothing_and_reads_again(self, wb, world, monkeypatch):
        """H1: decided on a revision that is gone: no error, nothing recorded, the next call goes on."""
        approved(wb, steps=ONE)
        against = wb._book.against_activation

        def beaten(tenant_id, row):
            found = against(tenant_id, row)
            wb.abort_plan("p-1", by=OLE, reason="never mind", tenant_id=TENANT)
            return found

        monkeypatch.setattr(wb._book, "against_activation", beaten)
        done = advance(wb)
        assert (done.action, done.recorded, done.plan.status) == ("ACTIVATE", False, PlanStatus.ABORTED)

    def test_a_refusal_that_is_no_race_is_raised(self, wb, monkeypatch):
        """Reading again would change nothing, and go on for ever."""
        approved(wb, steps=ONE)
        monkeypatch.setattr(wb._recorder, "record", _refuses("PLAN_INVALID"))
        with pytest.raises(PlanRefused, match="PLAN_INVALID"):
            advance(wb)

    def test_many_at_once_run_every_attempt_once(self, wb, world):
        """H4: started at most once, however many workers there are."""
        for number in range(4):
            approved(wb, f"p-{number}", account_id=f"a-{number}")

        def work():
            for number in range(4):
                run(wb, f"p-{number}")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for number in range(4):
            run(wb, f"p-{number}")
        assert {row.status for row in wb.plans(tenant_id=TENANT)} == {PlanStatus.COMPLETED}
        assert world.counts == dict.fromkeys(("x.brief", "x.meet", "x.update"), 4)

    def test_an_attempt_that_another_one_ran_meanwhile_is_not_ours(self, wb, world):
        """G10: its decision is answered from the record, nothing is called, and nothing said to have been done."""
        approved(wb, steps=ONE)
        advance(wb)
        document = wb._book.document

        def meanwhile(tenant_id, row):
            wb._book.document = document
            assert advance(wb).recorded
            return document(tenant_id, row)

        wb._book.document = meanwhile
        late = advance(wb)
        assert (late.action, late.recorded, late.decision) == ("RUN_STEP", False, None)
        assert late.plan.steps[0].status is StepStatus.COMPLETED
        assert world.calls == ["x.brief"]

    def test_who_is_refused_leaves_the_attempt_in_the_hands_of_the_other(self, wb, world):
        """Two tried, one drew it: as long as that one is at it, nobody settles it."""
        approved(wb, steps=ONE)
        advance(wb)
        orchestrator = wb.orchestrator
        with orchestrator._hands_on(TENANT, "p-1", RunStep("a", 1)):  # the one that will be refused
            drawing = orchestrator._hands_on(TENANT, "p-1", RunStep("a", 1))
            drawing.__enter__()
        world.does["x.brief"] = [Dies()]
        wb._executor._report, report = lambda *_: None, wb._executor._report
        with pytest.raises(Dies):
            advance(wb)
        wb._executor._report = report
        assert advance(wb).waits_for == "STEP_RUNNING"
        drawing.__exit__(None, None, None)
        assert advance(wb).action == "SETTLE_UNKNOWN"
        assert not orchestrator._in_hand

    def test_an_attempt_whose_id_is_taken_pauses_the_plan(self, wb, world):
        """G10: another request answered to the id; nothing is called, nothing loops, and a person sees why."""
        approved(wb, steps=ONE)
        advance(wb)
        named = operation_id("p-1", "a", 1)
        wb._recorder.record(decision(draft("another"), operation=named, plan_id="another", policy="p"))
        done = advance(wb)
        assert (done.action, done.plan.pause_reason) == ("PAUSE", "ATTEMPT_TAKEN")
        wb.skip_step("p-1", "a", by=OLE, reason="its id is gone", tenant_id=TENANT)
        wb.resume_plan("p-1", by=OLE, reason="without it", tenant_id=TENANT)
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert world.calls == []

    def test_a_result_after_the_end_moves_nothing(self, wb, world):
        """H4: aborted meanwhile; what happened is on record as late."""
        world.does["x.brief"] = [lambda _: wb.abort_plan("p-1", by=OLE, reason="stop", tenant_id=TENANT)]
        approved(wb, steps=ONE)
        assert run(wb).plan.status is PlanStatus.ABORTED
        assert told(wb)[-1].fields["late"] is True
        assert told(wb)[-1].type == "STEP_COMPLETED"


def _refuses(code):
    def record(_submission):
        raise PlanRefused(code, "no", "p-1")

    return record


class TestItsEnd:
    def test_nothing_starts_at_expiry(self, wb, world, clock):
        """H4: not at the instant itself."""
        approved(wb, steps=ONE)
        advance(wb)
        clock.now_ms = EXPIRES_MS
        done = run(wb)
        assert (done.plan.status, told(wb)[-1].fields["reason"]) == (PlanStatus.EXPIRED, "expired")
        assert world.calls == []

    def test_a_clock_that_stepped_back_starts_nothing_either(self, wb, world, clock):
        """H4: the ledger has seen a later instant."""
        approved(wb, steps=ONE)
        approved(wb, "p-2", steps=ONE, account_id="a-2", expires_at="2026-12-10T10:00:00Z")
        before = clock.now_ms
        clock.now_ms = EXPIRES_MS
        wb.advance_plan("p-2", TENANT)
        clock.now_ms = before
        assert run(wb).plan.status is PlanStatus.EXPIRED
        assert world.calls == []

    def test_time_that_passes_meanwhile_is_no_error(self, wb, world, clock):
        """It expired between the look and the record: the next look says so."""
        approved(wb, steps=ONE)
        advance(wb)
        document = wb._book.document

        def later(tenant_id, row):
            clock.now_ms = EXPIRES_MS
            return document(tenant_id, row)

        wb._book.document = later
        done = advance(wb)
        assert (done.action, done.recorded) == ("RUN_STEP", False)
        assert run(wb).plan.status is PlanStatus.EXPIRED
        assert world.calls == []

    def test_a_second_active_plan_is_rejected_once_on_record(self, wb, world):
        """H3: with the one that is ACTIVE; then only a person asks again."""
        approved(wb)
        approved(wb, "p-2")
        advance(wb)
        assert run(wb, "p-2").waits_for == "ACTIVATION_REFUSED"
        refused = told(wb, "p-2")[-1]
        assert refused.type == "PLAN_ACTIVATION_REFUSED"
        assert refused.fields["reasons"] == [{"reason": "CONFLICT_ACTIVE_PLAN", "details": {"active_plan_id": "p-1"}}]
        run(wb)
        assert types(wb, "p-2").count("PLAN_ACTIVATION_REFUSED") == 1
        wb.activate_plan("p-2", by=OLE, tenant_id=TENANT)
        assert run(wb, "p-2").plan.status is PlanStatus.COMPLETED

    def test_a_human_touch_waits_for_a_person(self, wb, world):
        """H3: a resume is that touch."""
        approved(wb, steps=({"step_id": "a", "operation": "x.brief", "human_touch": True},))
        assert run(wb).plan.pause_reason == "HUMAN_TOUCH_REQUIRED"
        wb.resume_plan("p-1", by=OLE, reason="I have called them", tenant_id=TENANT)
        assert run(wb).plan.status is PlanStatus.COMPLETED


GOAL = {"objective": [{"snapshot": "renewal.status", "equals": ["renewed"]}]}


def seen(status, source_type="crm_renewal"):
    return {"snapshot": {"renewal": {"value": {"status": status}, "source_type": source_type, "source_id": "r-1"}}}


class TestObjective:
    """H4, Z5, C1: a goal that is reached ends the plan, by what a registered connector says."""

    @pytest.fixture
    def wb(self, world, clock):
        with opened(world=world, clock=clock, policy=plan_policy(plan_type=GOAL)) as made:
            yield made

    def test_it_ends_as_soon_as_it_is_reached(self, wb, world):
        asked = []

        @wb.observe
        def look(tenant_id, account_id):
            asked.append((tenant_id, account_id))
            return seen("renewed" if world.calls else "open")

        approved(wb)
        done = run(wb)
        assert (done.plan.status, world.calls) == (PlanStatus.COMPLETED, ["x.brief"])
        assert set(asked) == {(TENANT, "a-1")}
        ended = told(wb)[-1].fields
        assert ended["reason"] == "objective_met"
        content = wb.reader.content(TENANT, ended["content"]["observed"])
        assert content is not None
        assert b"renewed" in content
        assert wb.verify(TENANT).ok

    @pytest.mark.parametrize(
        "returns",
        [
            None,
            seen("open"),
            seen("renewed", "mail"),
            {},
            {"snapshot": 1},
            {"snapshot": {"renewal": {}}},
            KeyError("x"),
            7,
        ],
        ids=str,
    )
    def test_nothing_else_ends_it(self, wb, world, returns):
        """A connector that raises, knows nothing, or is not believed: the plan goes on, and each step is weighed."""

        @wb.observe
        def look(_tenant_id, _account_id):
            if isinstance(returns, Exception):
                raise returns
            return returns

        approved(wb)
        assert run(wb).plan.status is PlanStatus.COMPLETED
        assert world.calls == ["x.brief", "x.meet", "x.update"]
        assert told(wb)[-1].fields["reason"] == "all_steps_done"

    def test_there_is_one_connector_that_can_be_called(self, wb):
        with pytest.raises(UsageError, match="function of tenant"):
            wb.observe("crm")
        wb.observe(lambda _t, _a: None)
        with pytest.raises(UsageError, match="already"):
            wb.observe(lambda _t, _a: None)

    def test_nobody_looks_where_no_goal_is(self, world):
        with opened(world=world) as wb:
            wb.observe(lambda _t, _a: pytest.fail("nobody asked"))
            approved(wb)
            assert run(wb).plan.status is PlanStatus.COMPLETED


class TestWork:
    """What an engine looks at: what can go on by itself, and what expired."""

    def test_it_lists_what_something_is_to_be_done_about(self, wb, world, clock, monkeypatch):
        approved(wb, "active", account_id="a-1")
        wb.advance_plan("active", TENANT)
        approved(wb, "approved", account_id="a-2")
        approved(wb, "refused", account_id="a-1")
        wb.advance_plan("refused", TENANT)
        proposed(wb, "draft")
        approved(wb, "paused", account_id="a-3")
        wb.advance_plan("paused", TENANT)
        wb.pause_plan("paused", by=OLE, reason="wait", tenant_id=TENANT)
        approved(wb, "ended", account_id="a-4")
        wb.abort_plan("ended", by=ADA, reason="no", tenant_id=TENANT)
        assert list(wb.orchestrator.work()) == [(TENANT, "active"), (TENANT, "approved")]
        clock.now_ms = EXPIRES_MS
        names = ["active", "approved", "draft", "paused", "refused"]
        assert list(wb.orchestrator.work()) == [(TENANT, name) for name in names]
        for name in names:
            wb.run_plan(name, TENANT)
        assert list(wb.orchestrator.work()) == []
        assert {row.status for row in wb.plans(tenant_id=TENANT) if row.plan_id != "ended"} == {PlanStatus.EXPIRED}

    def test_what_was_left_running_in_a_paused_plan_is_settled(self, wb, world):
        """Whoever resumes it sees what became of the attempt."""

        def paused(_):
            wb.pause_plan("p-1", by=OLE, reason="wait", tenant_id=TENANT)
            raise Dies

        world.does["x.brief"] = [paused]
        approved(wb, steps=ONE)
        report, wb._executor._report = wb._executor._report, lambda *_: None
        with pytest.raises(Dies):
            run(wb)
        wb._executor._report = report
        assert list(wb.orchestrator.work()) == [(TENANT, "p-1")]
        assert advance(wb).action == "SETTLE_UNKNOWN"
        assert list(wb.orchestrator.work()) == []

    def test_a_credential_of_one_tenant_sees_its_own(self, wb, world):
        """L5."""
        approved(wb)
        other = Principal(id="local", tenant_id="other")
        assert list(wb.orchestrator.work()) == [(TENANT, "p-1")]
        wb.orchestrator._principal = other
        assert list(wb.orchestrator.work()) == []


def test_records_say_who_carried_it_out(wb):
    """L2, L4: the worker's own acts are its own; the steps are the proposer's."""
    approved(wb, steps=ONE)
    run(wb)
    by = {event.type: event.fields["actor"]["id"] for event in told(wb)}
    assert by["PLAN_ACTIVATED"] == by["PLAN_COMPLETED"] == "local"
    assert by["STEP_STARTED"] == "agent-1"
    assert by["PLAN_APPROVED"] == MARIA.id
    assert by["PLAN_SUBMITTED"] == AGENT.id
    found = [event for stored in wb.reader.records(TENANT) for event in events(stored.body)]
    assert all(event.fields["plan_id"] == "p-1" for event in found)


# --- What changed since the approval ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"cost": "EXPENSIVE"},
        {"action": "meet"},
        {"target": "bank"},
        {"target": "crm", "action": "brief"},
    ],
)
def test_an_operation_that_is_something_else_by_now_does_not_run(tmp_path, change):
    """G11: what was approved is also what the operation is: its class, kind, action type and target."""
    store = str(tmp_path / "ledger.db")
    with opened(store, world=World()) as wb:
        approved(wb, steps=ONE)
    calls: list[str] = []

    def brief(renewal_id):
        calls.append(renewal_id)

    with opened(store) as wb:
        facts = {"action": "brief", "cost": "CHEAP"} | change
        (wb.writeback if "target" in facts else wb.operation)("x.brief", **facts)(brief)
        done = run(wb)
        assert (done.plan.status, calls) == (PlanStatus.PAUSED, [])
        if done.plan.pause_reason == "STEP_BLOCKED":
            findings = [event.fields["findings"] for event in summaries(wb)][-1]
            (found,) = [one for one in findings if one["reason"] == "NOT_AS_APPROVED"]
            assert found["details"]["differs"] == ["operation"]
        assert wb.verify(TENANT).ok


def summaries(wb):
    found = [event for stored in wb.reader.records(TENANT) for event in events(stored.body)]
    return [event for event in found if event.type == "VALIDATOR_RUN_SUMMARY"]


def narrowed(**actions):
    """Return the policy with other terms for some actions; None: without that action."""
    terms = PLAN_TYPE["actions"] | actions
    return plan_policy(plan_type={"actions": {name: one for name, one in terms.items() if one is not None}})


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (None, "ACTION_NOT_ALLOWED"),
        ({"risk": "LOW", "disabled": True}, "ACTION_NOT_ALLOWED"),
        ({"risk": "LOW", "operations": ["x.update"]}, "OPERATION_NOT_ALLOWED"),
        ({"risk": "HIGH"}, "RISK_ELEVATED"),
    ],
)
def test_a_policy_that_was_narrowed_stops_a_plan_that_runs(tmp_path, terms, reason):
    """H3: its next step is asked of the policy as it is now; a resume asks everything, and a policy put right lets it go on."""
    store, world = str(tmp_path / "ledger.db"), World()
    with opened(store, world=world) as wb:
        approved(wb, steps=TWO)
        advance(wb)
        advance(wb)
    with opened(store, world=world, policy=narrowed(meet=terms)) as wb:
        done = run(wb)
        assert (done.plan.status, done.plan.pause_reason, done.plan.pause_step) == (PlanStatus.PAUSED, reason, "b")
        assert wb.resume_plan("p-1", by=OLE, reason="on", tenant_id=TENANT).status is PlanStatus.PAUSED
        assert types(wb)[-1] == "PLAN_ACTIVATION_REFUSED"
    with opened(store, world=world) as wb:
        wb.resume_plan("p-1", by=OLE, reason="allowed again", tenant_id=TENANT)
        assert run(wb).plan.status is PlanStatus.COMPLETED
    assert world.counts == {"x.brief": 1, "x.meet": 1}


# --- Blocks that are not about the proposal ---------------------------------------------------------------------------


def test_a_call_in_the_name_of_a_step_does_not_poison_the_step(wb, world):
    """G8, H4: it is blocked because it was not drawn; the step itself is no retry of it."""
    approved(wb, steps=ONE)
    advance(wb)
    document = wb.plan_document("p-1", TENANT)
    with scopes.scope(**step_scope(document, document.steps[0], 1)), pytest.raises(Blocked) as blocked:
        wb._operations.named("x.brief")(**document.steps[0].arguments)
    assert blocked.value.decision.reasons == ("NOT_AS_APPROVED",)
    assert run(wb).plan.status is PlanStatus.COMPLETED
    assert wb.verify(TENANT).ok


def test_a_clock_that_is_right_again_needs_no_leave(wb, world, clock):
    """G8, B9: what was blocked for its time alone is asked again at another time."""
    approved(wb, steps=TWO)
    advance(wb)
    advance(wb)
    clock.now_ms -= 5 * 3_600_000
    assert run(wb).plan.pause_reason == "STEP_BLOCKED"
    clock.now_ms += 5 * 3_600_000
    wb.resume_plan("p-1", by=OLE, reason="the clock is right", tenant_id=TENANT)
    assert run(wb).plan.status is PlanStatus.COMPLETED
    assert wb.verify(TENANT).ok


@pytest.mark.parametrize("stopped", [None, "abort_plan"])
def test_nothing_is_asked_in_the_name_of_a_plan_that_is_not_under_way(wb, world, stopped):
    """G11: neither a draft nor what has ended lets anything through, and none of them has a budget."""
    proposed(wb, steps=ONE)
    if stopped:
        getattr(wb, stopped)("p-1", by=OLE, reason="no", tenant_id=TENANT)
    about = {"tenant_id": TENANT, "account_id": "a-1", "plan_id": "p-1"}
    reserved = wb.reserve(about | {"budget": {"operation": "x.meet"}})
    assert (reserved.verdict, reserved.reasons) == (Verdict.BLOCK, ("NOT_AS_APPROVED",))
    assert reserved.budget.findings[0].details == {"differs": ["status"]}
    assert "its plan is not under way" in explain_budget(reserved)
    proposal = {"operation": "x.meet", "arguments": {}}
    judged = wb.gate(about | {"choke_point": "BEFORE_EXTERNAL_WRITEBACK", "actor": ACTOR, "proposal": proposal})
    (found,) = [one for one in judged.findings if one.reason == "NOT_AS_APPROVED"]
    assert found.details == {"differs": ["status"]}
    assert wb.verify(TENANT).ok


ACTOR = {"id": "agent-1", "role": "agent"}


def explain_budget(decided):
    return " ".join(explain_finding(found) for found in decided.budget.findings)


def test_nothing_is_skipped_after_expiry(wb, world, clock):
    """H4: else skipping what is left would make an expired plan a completed one."""
    approved(wb, steps=ONE)
    advance(wb)
    clock.now_ms = EXPIRES_MS
    with pytest.raises(PlanRefused) as refused:
        wb.skip_step("p-1", "a", by=OLE, reason="late", tenant_id=TENANT)
    assert refused.value.code == "PLAN_EXPIRED"
    assert run(wb).plan.status is PlanStatus.EXPIRED
