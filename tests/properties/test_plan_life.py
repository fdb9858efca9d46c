"""Plans under any history: concurrent actors on stale knowledge, WARNs or none, always the same rules (H1, H2, H4, H5, L3)."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from weighbridge.domain.plan import PlanStatus, StepStatus, Verb, is_ready
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, PlanRefused
from weighbridge.ledger.fold import Fold
from weighbridge.ledger.plan_fold import compare_plans
from weighbridge.ledger.record import events
from weighbridge.plans.lifecycle import ENDED, permits
from weighbridge.plans.next_action import (
    Abort,
    Activate,
    End,
    Pause,
    RunStep,
    SettleUnknown,
    next_action,
)
from weighbridge.plans.state_evaluator import evaluate
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.plans import ATTEMPTS_MAX, EXPIRES_MS, PLAN_TYPE, Mover, plan_of
from weighbridge.testing.submissions import NOW_MS, TENANT

NAMES = ("a", "b", "c", "d")
STALE_MAX = 4


@st.composite
def plans(draw):
    """Return a plan of up to four steps with any dependencies on earlier ones."""
    steps = []
    for index, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        needed = sorted(draw(st.sets(st.sampled_from(NAMES[:index])))) if index else []
        accepted = sorted(draw(st.sets(st.sampled_from(needed)))) if needed else []
        touch = draw(st.sampled_from([None, None, True]))
        steps.append(
            {"step_id": name, "operation": "x.brief", "depends_on": needed, "accepts_skipped": accepted}
            | ({"human_touch": True} if touch else {})
        )
    return plan_of(steps=tuple(steps))


def new_store():
    numbers = itertools.count(1)
    return MemoryStore(entropy=lambda n: next(numbers).to_bytes(2, "big") * (n // 2))


# --- Concurrent actors ------------------------------------------------------------------------------------------------


class Plans(RuleBasedStateMachine):
    """Everybody does anything, on what they read at some time; the model knows only the records."""

    def __init__(self):
        super().__init__()
        self.store = new_store()
        self.now_ms = NOW_MS
        self.movers = [
            Mover(plan_of(f"p-{number}", steps=steps), key=self.store.tenant_key(TENANT))
            for number, steps in enumerate([CHAIN, DIAMOND])
        ]
        self.movers.append(Mover(plan_of("q", steps=BESIDE, account_id="a-2"), key=self.movers[0].key))
        for mover in self.movers:
            self.store.commit(mover.create())
            self.store.commit(mover.act(Verb.SUBMIT, self.row(mover)))
            self.store.commit(mover.approve(self.row(mover)))
        for mover in (self.movers[0], self.movers[-1]):
            self.store.commit(mover.act(Verb.ACTIVATE, self.row(mover)))
        self.read = {mover.plan.plan_id: [self.row(mover)] for mover in self.movers}
        self.drawn = {}  # in the order of their draws
        self.said = itertools.count()

    def row(self, mover):
        return self.store.plan(TENANT, mover.plan.plan_id)

    def attempt(self, mover, submission):
        """Try a move; whatever comes of it, nothing illegal did."""
        before = {one.plan.plan_id: self.row(one) for one in self.movers}
        try:
            committed = self.store.commit(submission)
        except (PlanRefused, IdempotencyConflict):
            assert before == {one.plan.plan_id: self.row(one) for one in self.movers}
            return
        if committed.replayed:
            return
        assert submission.plan.revision in {None, before[mover.plan.plan_id].revision}  # H1: a lost race is lost
        self.judge(before[mover.plan.plan_id], self.row(mover), committed)
        self.read[mover.plan.plan_id] = [*self.read[mover.plan.plan_id], self.row(mover)][-STALE_MAX:]

    def judge(self, before, after, committed):
        assert before.status is after.status or permits(before.status, after.status)  # H1
        assert before.status not in ENDED or before == after
        for event in events(committed.body):
            if event.type not in {"STEP_STARTED", "STEP_BLOCKED"} or "operation_request_hash" not in event.fields:
                continue
            step = before.step(event.fields["step_id"])
            key = (after.plan_id, step.step_id, event.fields["attempt"])
            assert key not in self.drawn  # H4: at most once
            self.drawn[key] = committed.seq
            assert before.status is PlanStatus.ACTIVE
            assert before.running is None
            assert is_ready(before, step)
            assert not step.done
            assert event.fields["attempt"] == step.attempts + 1
            assert event.fields["attempt"] <= max(ATTEMPTS_MAX, step.granted)
            assert self.now_ms < before.expires_ms

    def stale(self, data, mover):
        """Return what somebody read of a plan: mostly as it is, sometimes as it was."""
        known = self.read[mover.plan.plan_id]
        return data.draw(st.sampled_from([known[-1]] * 4 + known))

    @rule(data=st.data(), verb=st.sampled_from([Verb.SUBMIT, Verb.REJECT, Verb.ACTIVATE, Verb.RESUME, Verb.ABORT]))
    def act(self, data, verb):
        mover = data.draw(st.sampled_from(self.movers))
        if verb is Verb.ABORT and not data.draw(st.sampled_from([False] * 9 + [True])):
            return  # else most plans end before anything happened
        row = self.stale(data, mover)
        self.attempt(mover, mover.act(verb, row, at_ms=self.now_ms, said=str(next(self.said))))

    @rule(data=st.data(), verdict=st.sampled_from(Verdict))
    def approve(self, data, verdict):
        mover = data.draw(st.sampled_from(self.movers))
        row, run = self.stale(data, mover), f"approval {next(self.said)}"
        self.attempt(mover, mover.approve(row, verdict=verdict, run=run, at_ms=self.now_ms))

    @rule(data=st.data())
    def pause(self, data):
        mover = data.draw(st.sampled_from(self.movers))
        row = self.stale(data, mover)
        step = data.draw(st.sampled_from([None, *(step.step_id for step in row.steps)]))
        self.attempt(mover, mover.act(Verb.PAUSE, row, step_id=step, at_ms=self.now_ms))

    @rule(data=st.data(), verdict=st.sampled_from([*[Verdict.ALLOW] * 4, Verdict.WARN, Verdict.BLOCK]))
    def start(self, data, verdict):
        mover = data.draw(st.sampled_from(self.movers))
        row = self.stale(data, mover)
        step = data.draw(st.sampled_from([*(one for one in row.steps if not one.done), *row.steps]))
        self.attempt(mover, mover.start(step.step_id, step.attempts + 1, verdict=verdict, at_ms=self.now_ms))

    @precondition(lambda self: self.drawn)
    @rule(data=st.data(), outcome=st.sampled_from([StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.BLOCKED]))
    def end(self, data, outcome):
        plan_id, step_id, attempt = data.draw(st.sampled_from([*self.drawn][-1:] * 2 + [*self.drawn]))
        mover = next(one for one in self.movers if one.plan.plan_id == plan_id)
        completes = mover.end(step_id, attempt).completes
        assert completes is not None
        operation = completes[0]
        if self.store.identity(TENANT, "op", operation).state == "BLOCKED":
            return
        self.attempt(mover, mover.end(step_id, attempt, outcome, at_ms=self.now_ms))

    @rule(data=st.data())
    def settle(self, data):
        mover = data.draw(st.sampled_from(self.movers))
        running = self.stale(data, mover).running
        if running is not None:
            self.attempt(mover, mover.unknown(running.step_id, running.attempts, at_ms=self.now_ms))

    @rule(data=st.data())
    def skip(self, data):
        mover = data.draw(st.sampled_from(self.movers))
        row = self.stale(data, mover)
        step = data.draw(st.sampled_from(row.steps))
        self.attempt(mover, mover.act(Verb.SKIP_STEP, row, step_id=step.step_id, at_ms=self.now_ms))

    @rule(data=st.data())
    def complete(self, data):
        mover = data.draw(st.sampled_from(self.movers))
        row = self.stale(data, mover)
        self.attempt(mover, mover.act(Verb.COMPLETE, row, reason="all_steps_done", at_ms=self.now_ms))

    @rule(how_long=st.sampled_from(["an hour"] * 9 + ["too long"]))
    def wait(self, how_long):
        self.now_ms += 3_600_000 if how_long == "an hour" else max(0, EXPIRES_MS - self.now_ms)

    @rule(data=st.data())
    def expire(self, data):
        mover = data.draw(st.sampled_from(self.movers))
        self.attempt(mover, mover.act(Verb.EXPIRE, self.stale(data, mover), at_ms=self.now_ms))

    @invariant()
    def one_is_active(self):
        """H3: of the two plans of one account and type, at most one is ACTIVE; of every plan, at most one step runs."""
        rows = [self.row(mover) for mover in self.movers]
        assert sum(row.status is PlanStatus.ACTIVE for row in rows[:2]) <= 1
        assert all(sum(step.status is StepStatus.RUNNING for step in row.steps) <= 1 for row in rows)

    def teardown(self):
        """L3: folding the records gives every row."""
        fold = Fold(TENANT)
        for stored in self.store.records(TENANT):
            assert fold.add(*stored) is None
        assert list(compare_plans(fold.plans.plans, self.store.plans(TENANT))) == []


CHAIN = tuple(
    {"step_id": name, "operation": "x.brief", "depends_on": [before] if before else []}
    for before, name in zip((None, "a", "b"), NAMES[:3], strict=True)
)
DIAMOND = (
    {"step_id": "a", "operation": "x.brief"},
    {"step_id": "b", "operation": "x.meet", "depends_on": ["a"], "accepts_skipped": ["a"]},
    {"step_id": "c", "operation": "x.meet", "depends_on": ["a"], "human_touch": True},
    {"step_id": "d", "operation": "x.update", "depends_on": ["b", "c"]},
)

BESIDE = tuple({"step_id": name, "operation": "x.brief"} for name in NAMES[:2])

TestPlans = Plans.TestCase
TestPlans.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- H5: governance wraps ---------------------------------------------------------------------------------------------

OUTCOMES = st.sampled_from([StepStatus.COMPLETED] * 4 + [StepStatus.FAILED] * 2 + [StepStatus.RUNNING])


def carried_out(plan, outcomes, verdicts):
    """Carry a plan out as the next action says, and return what its events say of it, ids and hashes apart.

    ``outcomes`` are of attempts in turn, RUNNING for one whose end nobody tells; ``verdicts`` those of every gate.
    """
    mover, outcomes, verdicts = Mover(plan), itertools.cycle(outcomes), itertools.cycle(verdicts)
    store = new_store()
    mover.key = store.tenant_key(TENANT)

    def row():
        return store.plan(TENANT, plan.plan_id)

    store.commit(mover.create())
    store.commit(mover.act(Verb.SUBMIT, row()))
    store.commit(mover.approve(row(), verdict=next(verdicts)))
    for turn in range(60):
        state = row()
        match next_action(state, PLAN_TYPE, evaluate(state, PLAN_TYPE, NOW_MS), alive=False):
            case Activate():
                store.commit(mover.act(Verb.ACTIVATE, state))
            case RunStep(step_id, attempt):
                store.commit(mover.start(step_id, attempt, verdict=next(verdicts)))
                outcome = next(outcomes)
                if outcome is not StepStatus.RUNNING:
                    store.commit(mover.end(step_id, attempt, outcome))
            case SettleUnknown(step_id, attempt):
                store.commit(mover.unknown(step_id, attempt))
            case Pause(reason, step_id):
                store.commit(mover.act(Verb.PAUSE, state, reason=str(reason), step_id=step_id))
                store.commit(mover.act(Verb.RESUME, row(), said=str(turn)))
            case Abort(reason, step_id):
                store.commit(mover.act(Verb.ABORT, state, reason=str(reason), step_id=step_id))
            case End(_, reason):
                store.commit(mover.act(Verb.COMPLETE, state, reason=reason))
            case _:
                break
    told = [event for stored in store.records(TENANT) for event in events(stored.body)]
    kept = ("from", "status", "revision", "step_id", "attempt", "reason", "step", "grants", "touches")
    life = [
        (event.type, {name: event.fields[name] for name in kept if name in event.fields})
        for event in told
        if event.type.startswith(("PLAN_", "STEP_"))
    ]
    return life, row()


@settings(max_examples=60, deadline=None)
@given(
    plans(),
    st.lists(OUTCOMES, min_size=1, max_size=8),
    st.lists(st.sampled_from([Verdict.ALLOW, Verdict.WARN]), min_size=1),
)
def test_a_warning_changes_no_transition(plan, outcomes, verdicts):
    """H5, G7: with WARNs wherever they fall, every plan takes exactly the transitions it takes without."""
    warned, with_warnings = carried_out(plan, outcomes, verdicts)
    allowed, without = carried_out(plan, outcomes, [Verdict.ALLOW])
    assert warned == allowed
    assert with_warnings.status is without.status
    assert [(step.status, step.attempts) for step in with_warnings.steps] == [
        (step.status, step.attempts) for step in without.steps
    ]


@settings(max_examples=60, deadline=None)
@given(plans())
def test_a_plan_whose_steps_succeed_completes(plan):
    """H4: every step once, after what it depends on, and then COMPLETED."""
    life, row = carried_out(plan, [StepStatus.COMPLETED], [Verdict.ALLOW])
    assert row.status is PlanStatus.COMPLETED
    started = [said["step_id"] for type_, said in life if type_ == "STEP_STARTED"]
    assert sorted(started) == sorted(step.step_id for step in row.steps)
    for step in row.steps:
        assert all(started.index(needed) < started.index(step.step_id) for needed in step.depends_on)
