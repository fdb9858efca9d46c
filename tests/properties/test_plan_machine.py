"""Plans under concurrent actors, over everything that is real: several workers on one store, people, crashes, and time.

Two workers, each of which knows only what itself has in hand, carry out the same plans; people approve, steer and skip; while an
operation is being called anybody may do anything, because it is from inside the call that they do it; and an attempt may die
before its end is told. The model knows what is called when, and the records.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.planned import ADA, AGENT, EXPIRES_MS, MARIA, OLE, TENANT, World, beside, plan_policy
from tests.samples import Clock
from weighbridge import scopes
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.errors import UsageError
from weighbridge.ledger.record import events
from weighbridge.plans.lifecycle import ENDED, permits
from weighbridge.storage.audit import verify_store
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.plans import plan_document

CHAIN: tuple[dict[str, Any], ...] = (
    {"step_id": "a", "operation": "x.brief"},
    {"step_id": "b", "operation": "x.meet", "depends_on": ["a"], "accepts_skipped": ["a"]},
    {"step_id": "c", "operation": "x.update", "depends_on": ["b"]},
)
FORK: tuple[dict[str, Any], ...] = (
    {"step_id": "a", "operation": "x.brief", "human_touch": True},
    {"step_id": "b", "operation": "x.meet"},
    {"step_id": "c", "operation": "x.update", "depends_on": ["a", "b"], "accepts_skipped": ["b"]},
)
PLANS = {"p-1": CHAIN, "p-2": FORK, "q-1": FORK}
ACCOUNTS = {"p-1": "a-1", "p-2": "a-1", "q-1": "a-2"}
ENDS = {"PLAN_COMPLETED", "PLAN_ABORTED", "PLAN_EXPIRED"}
POLICY = plan_policy()

plans = st.sampled_from([*PLANS])
workers = st.integers(0, 1)


class Dies(BaseException):
    """A worker ends in the middle of a call: nobody tells how it ended."""


class Machine(RuleBasedStateMachine):
    """Anybody does anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(entropy=lambda n: b"\7" * n)
        self.clock, self.world = Clock(), World()
        self.workers = [beside(self.store, world=self.world, clock=self.clock, given=POLICY) for _ in range(2)]
        self.called: Counter[tuple[str, str, int]] = Counter()
        self.inside: list[Any] = []  # what happens during the next calls
        self.world.does = dict.fromkeys(("x.brief", "x.meet", "x.update"), self.call)
        for plan_id, steps in PLANS.items():
            self.workers[0].propose_plan(plan_document(plan_id, steps, account_id=ACCOUNTS[plan_id]))

    def call(self, _renewal_id: str) -> None:
        """Be called as an attempt: of an approved, active plan, after what it depends on, for the first time."""
        stated = scopes.current().stated
        attempt = (stated["plan_id"], stated["step_id"], stated["attempt"])
        self.called[attempt] += 1
        row = self.store.plan(TENANT, attempt[0])
        assert row is not None
        step = row.step(attempt[1])
        assert step is not None
        assert (row.status, step.status, step.attempts) == (PlanStatus.ACTIVE, StepStatus.RUNNING, attempt[2])
        for needed in step.depends_on:  # H4
            other = row.step(needed)
            assert other is not None
            accepted = other.status is StepStatus.SKIPPED and needed in step.accepts_skipped
            assert other.status is StepStatus.COMPLETED or accepted
        assert self.clock.now_ms < row.expires_ms
        if self.inside:
            # In a context of its own, as in another thread or process.
            contextvars.Context().run(self.inside.pop())

    @rule(
        worker=workers,
        plan=plans,
        during=st.lists(st.sampled_from(["other", "fail", "die", "abort", "pause", "time"]), max_size=2),
    )
    def advance(self, worker: int, plan: str, during: list[str]) -> None:
        self.inside = [self.doing(worker, plan, what) for what in during]
        with contextlib.suppress(Dies):
            self.workers[worker].orchestrator.advance(TENANT, plan)
        self.inside = []

    def doing(self, worker: int, plan: str, what: str) -> Any:
        """Return what somebody else does while an operation is being called."""

        def do() -> None:
            match what:
                case "other":  # another worker takes what is running for left behind, and goes on
                    self.workers[1 - worker].orchestrator.run(TENANT, plan)
                case "abort" | "pause":
                    self.act(plan, what)
                case "time":
                    self.clock.now_ms += 3_600_000
                case "fail":
                    raise KeyError("x")
                case _:
                    self.silence(worker)
                    raise Dies

        return do

    def silence(self, worker: int) -> None:
        """Have a worker report nothing more of the call it is in: it is dead."""
        executor: Any = self.workers[worker]._executor

        def gone(*_: Any) -> None:
            del executor._report

        executor._report = gone

    @rule(
        plan=plans,
        what=st.sampled_from(
            ["submit", "approve", "approve", "reject", "activate", "pause", "resume", "resume", "edit"]
        ),
    )
    def person(self, plan: str, what: str) -> None:
        self.act(plan, what)

    @rule(plan=plans, step=st.sampled_from("abc"))
    def skip(self, plan: str, step: str) -> None:
        with contextlib.suppress(UsageError):
            self.workers[0].skip_step(plan, step, by=OLE, reason="by hand", tenant_id=TENANT)

    @rule(plan=plans, sure=st.sampled_from([False] * 5 + [True]))
    def abort(self, plan: str, sure: bool) -> None:
        if sure:
            self.act(plan, "abort")

    @rule(late=st.sampled_from([False] * 9 + [True]))
    def wait(self, late: bool) -> None:
        self.clock.now_ms = max(self.clock.now_ms, EXPIRES_MS) if late else self.clock.now_ms + 60_000

    def act(self, plan: str, what: str) -> None:
        wb = self.workers[1]
        acts: dict[str, Any] = {
            "submit": lambda: wb.submit_plan(plan, by=AGENT, tenant_id=TENANT),
            "approve": lambda: (
                wb.submit_plan(plan, by=AGENT, tenant_id=TENANT),
                wb.approve_plan(plan, by=MARIA, revision=wb.plan(plan, TENANT).revision, tenant_id=TENANT),
            ),
            "reject": lambda: wb.reject_plan(plan, by=MARIA, reason="no", tenant_id=TENANT),
            "activate": lambda: wb.activate_plan(plan, by=OLE, tenant_id=TENANT),
            "pause": lambda: wb.pause_plan(plan, by=OLE, reason="wait", tenant_id=TENANT),
            "resume": lambda: wb.resume_plan(plan, by=OLE, reason="go on", tenant_id=TENANT),
            "abort": lambda: wb.abort_plan(plan, by=ADA, reason="stop", tenant_id=TENANT),
            "edit": lambda: wb.edit_plan(plan, {"objective": f"{self.clock.now_ms}"}, by=ADA, tenant_id=TENANT),
        }
        before = self.store.head(TENANT).seq
        try:
            acts[what]()
        except UsageError:
            assert what == "approve" or self.store.head(TENANT).seq == before  # refused: nothing half done

    @invariant()
    def no_attempt_is_called_twice(self) -> None:
        """G10, H4: however many workers there are, and whoever died."""
        assert max(self.called.values(), default=0) <= 1

    @invariant()
    def one_is_active(self) -> None:
        """H3: one plan of an account and type; and of a plan, one step."""
        rows = list(self.store.plans(TENANT))
        active = Counter(row.account_id for row in rows if row.status is PlanStatus.ACTIVE)
        assert max(active.values(), default=0) <= 1
        assert all(sum(step.status is StepStatus.RUNNING for step in row.steps) <= 1 for row in rows)

    def teardown(self) -> None:
        """H1, H4, L3: every transition legal, every end one, no attempt drawn twice, and the ledger verifies."""
        status: dict[str, PlanStatus] = {}
        drawn: Counter[tuple[str, str, int]] = Counter()
        ends: Counter[str] = Counter()
        for stored in self.store.records(TENANT):
            for event in events(stored.body):
                if not event.type.startswith(("PLAN_", "STEP_")):
                    continue
                said, plan = event.fields, event.fields["plan_id"]
                after = PlanStatus(said["status"])
                before = status.get(plan)
                if event.type == "PLAN_CREATED":
                    assert before is None
                else:
                    assert said["from"] == before
                    assert before is not None
                    assert before is after or permits(before, after)
                    assert before not in ENDED or said.get("late")
                status[plan] = after
                ends[plan] += event.type in ENDS
                if event.type == "STEP_STARTED":
                    drawn[plan, said["step_id"], said["attempt"]] += 1
        rows = {row.plan_id: row for row in self.store.plans(TENANT)}
        assert max(drawn.values(), default=0) <= 1
        assert all(self.called[attempt] <= drawn[attempt] for attempt in self.called)
        assert all(ends[plan] == (rows[plan].status in ENDED) for plan in rows)
        checked = verify_store(self.store)
        assert checked.ok, str(checked)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)


def test_every_plan_comes_to_one_end() -> None:
    """H4: left to the workers and to people who always say yes, every plan ends, once."""
    machine = Machine()
    for plan in PLANS:
        machine.act(plan, "approve")
    for turn in range(60):
        for plan in PLANS:
            machine.workers[turn % 2].orchestrator.run(TENANT, plan)
            machine.act(plan, "resume")
            machine.act(plan, "activate")
    assert {row.status for row in machine.store.plans(TENANT)} == {PlanStatus.COMPLETED}
    assert len(machine.called) == 9
    machine.teardown()
