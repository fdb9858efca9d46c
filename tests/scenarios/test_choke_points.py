"""The four choke points, each blocking once, in the order of the contract's table: what is asked, and what a BLOCK does."""

from __future__ import annotations

import pytest
import yaml

from tests import samples
from weighbridge.domain.context import Role
from weighbridge.domain.instant import DAY_MS
from weighbridge.domain.plan import PlanStatus, StepStatus
from weighbridge.domain.principal import Principal
from weighbridge.examples import renewals
from weighbridge.examples.crm import Crm, connect

MARIA = Principal(id="maria", role=Role.APPROVER, tenant_id="acme", person=True)
ALDGATE, BIRCH, CEDAR = "a-1001", "a-1002", "a-1003"
TABLE = (
    "BEFORE_PLAN_APPROVAL",
    "BEFORE_STEP_EXECUTION",
    "BEFORE_EXTERNAL_WRITEBACK",
    "BEFORE_EXPENSIVE_READ",
)


class World:
    """A customer system, a Weighbridge on it, and steps that call something inside."""

    def __init__(self, on_block="pause"):
        rules = yaml.safe_load(renewals.policy_text())
        plan_type = rules["plan_types"]["RENEWAL_DEFENSE"]
        plan_type["on_block"] = on_block
        plan_type["actions"] |= {"tidy_up": {"risk": "LOW"}, "ask_around": {"risk": "LOW"}}
        rules["compliance"]["allowed_actions"] += ["tidy_up", "ask_around", "read_everything"]
        self.clock = samples.Clock()
        self.wb = samples.weighbridge(clock=self.clock, policy=rules)
        self.crm = Crm(now_ms=self.clock)
        self.crm.seed()
        operations = connect(self.wb, self.crm)
        self.reads: list[str] = []

        @self.wb.operation("agent.tidy_up", action="tidy_up", cost="CHEAP")
        def tidy_up(renewal_id, discount_percent):
            operations.update_renewal(renewal_id, discount_percent=discount_percent)

        @self.wb.operation("llm.read_everything", action="read_everything", cost="EXPENSIVE", reads=True)
        def read_everything(internal_margin):
            self.reads.append(internal_margin)

        @self.wb.operation("agent.ask_around", action="ask_around", cost="CHEAP")
        def ask_around(topic):
            read_everything(internal_margin=topic)

    def propose(self, account_id, *steps):
        plan = renewals.draft(self.crm, account_id, now_ms=self.clock.now_ms)
        if steps:
            references = plan["steps"][0]["evidence"]
            plan |= {"plan_id": f"{steps[0]['step_id']}-{account_id}"}
            plan["steps"] = [{"evidence": references, **step} for step in steps]
        plan_id = self.wb.propose_plan(plan, tenant_id="acme").plan_id
        self.wb.submit_plan(plan_id, by=MARIA)
        return plan_id

    def approved(self, account_id, *steps):
        plan_id = self.propose(account_id, *steps)
        assert self.wb.approve_plan(plan_id, by=MARIA, revision=2).approved
        return plan_id

    def blocks(self):
        """Return the choke points at which something was blocked, in the order of the ledger."""
        found = []
        for account_id in (CEDAR, ALDGATE, BIRCH):
            entries = self.wb.why(account_id, "acme").entries
            summaries = [one for one in entries if one.type == "VALIDATOR_RUN_SUMMARY" and one.verdict == "BLOCK"]
            found += [(one.seq, one.index, one.fields["choke_point"]) for one in summaries]
        return [choke_point for *_, choke_point in sorted(found)]


@pytest.fixture
def world():
    made = World()
    yield made
    made.wb.close()
    made.crm.close()


TIDY = {"step_id": "tidy", "operation": "agent.tidy_up", "arguments": {"renewal_id": "r-1002", "discount_percent": 25}}
ASK = {"step_id": "ask", "operation": "agent.ask_around", "arguments": {"topic": "41 %"}}


def before_plan_approval(world):
    """BEFORE_PLAN_APPROVAL, a plan: approval refused, no state change, every reason answered."""
    plan_id = world.propose(CEDAR)
    before = world.wb.plan(plan_id, "acme")
    answer = world.wb.approve_plan(plan_id, by=MARIA, revision=2)
    assert (answer.approved, answer.decision.reasons) == (False, ("CONTRADICTION",))
    assert world.wb.plan(plan_id, "acme") == before
    assert world.wb.run_plan(plan_id, "acme").waits_for == "NOT_APPROVED"


def before_step_execution(world):
    """BEFORE_STEP_EXECUTION, a step attempt: the step does not run; the plan type's `on_block` applies."""
    plan_id = world.approved(ALDGATE, TIDY | {"arguments": {"renewal_id": "r-1001", "discount_percent": 10}})
    world.clock.now_ms += 15 * DAY_MS  # the plan rests, and its data gets too old to act on
    plan = world.wb.run_plan(plan_id, "acme").plan
    assert plan.step("tidy").status is StepStatus.BLOCKED
    assert world.crm.row("renewals", "r-1001")["discount_percent"] == 0
    return plan


def before_external_writeback(world):
    """BEFORE_EXTERNAL_WRITEBACK, a writeback: the connector is not called; what called it ends as blocked."""
    world.crm.change("renewals", "r-1002", next_step="call")  # fresh again
    for table, row in (("accounts", BIRCH), ("opportunities", "o-1002"), ("tickets", "t-1002")):
        world.crm.change(table, row)
    plan = world.wb.run_plan(world.approved(BIRCH, TIDY), "acme").plan
    assert plan.step("tidy").status is StepStatus.BLOCKED
    assert world.crm.row("renewals", "r-1002")["discount_percent"] == 0
    world.wb.abort_plan(plan.plan_id, by=MARIA, reason="it wants too much")


def before_expensive_read(world):
    """BEFORE_EXPENSIVE_READ, an operation tagged EXPENSIVE: it is not performed."""
    done = world.wb.run_plan(world.approved(BIRCH, ASK), "acme").plan
    assert done.step("ask").status is StepStatus.BLOCKED
    assert world.reads == []


def test_each_choke_point_blocks_once(world):
    """G8, H3, H4: one after the other on one ledger, and at no other place than the table says.

    | choke point | what BLOCK does |
    |---|---|
    | BEFORE_PLAN_APPROVAL | approval refused, no state change |
    | BEFORE_STEP_EXECUTION | the step does not run |
    | BEFORE_EXTERNAL_WRITEBACK | the connector is not called |
    | BEFORE_EXPENSIVE_READ | the operation is not performed |
    """
    for row in (before_plan_approval, before_step_execution, before_external_writeback, before_expensive_read):
        row(world)
    assert world.blocks() == list(TABLE)
    assert world.wb.verify("acme").ok


@pytest.mark.parametrize(("on_block", "status"), [("pause", PlanStatus.PAUSED), ("abort", PlanStatus.ABORTED)])
def test_a_blocked_step_pauses_or_aborts_its_plan_as_its_type_says(on_block, status):
    """H4: the plan type's `on_block`."""
    world = World(on_block)
    assert before_step_execution(world).status is status
    world.wb.close()
    world.crm.close()
