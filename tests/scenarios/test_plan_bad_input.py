"""Plans that cannot be: each is a clear error or a paused plan with its reason, and nothing is half done."""

from __future__ import annotations

import pytest

from tests.unit.cli.plan.desk import BIRCH, CONNECTOR, Desk
from weighbridge.examples.renewals import STEPS


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("WEIGHBRIDGE_TENANT", "WEIGHBRIDGE_POLICY", "WEIGHBRIDGE_STORE"):
        monkeypatch.delenv(name, raising=False)
    made = Desk(tmp_path)
    yield made
    made.close()


def cycle(plan):
    plan["steps"][0]["depends_on"] = ["update"]


def unknown_dependency(plan):
    plan["steps"][0]["depends_on"] = ["nix"]


def wrong_order(plan):
    plan["steps"][1]["depends_on"] = []


def unknown_action_type(plan):
    plan["steps"][0]["action_type"] = "prepare_a_coup"


def action_of_no_such_plan(plan):
    plan["steps"][0]["operation"] = "crm.read_account_health"
    plan["steps"][0]["arguments"] = {"account_id": "a-1001"}


def unknown_operation(plan):
    plan["steps"][0]["operation"] = "llm.prepare_renewal_brieff"


def unknown_plan_type(plan):
    plan["plan_type"] = "WORLD_DOMINATION"


def missing_snapshot(plan):
    del plan["snapshot"]


def past_expiry(plan):
    plan["expires_at"] = "2024-01-01T00:00:00Z"


def no_instant(plan):
    plan["expires_at"] = "tomorrow"


def no_steps(plan):
    plan["steps"] = []


def same_step_twice(plan):
    plan["steps"][1]["step_id"] = "brief"


def stated_class(plan):
    plan["steps"][0]["cost_class"] = "CHEAP"


def misspelt(plan):
    plan["steps"][0]["depends_om"] = ["brief"]


BAD = [
    (cycle, "STEP_ORDER_VIOLATION: steps wait for each other: `brief`, `meet`, `update`"),
    (unknown_dependency, "step `brief` depends on `nix`, which is no step of this plan"),
    (wrong_order, "`prepare_renewal_brief` comes before `request_renewal_meeting`: let step `meet` depend on `brief`"),
    (
        unknown_action_type,
        "step `brief` says action type `prepare_a_coup`, and operation `llm.prepare_renewal_brief` is",
    ),
    (action_of_no_such_plan, "action type `read_account_health` is none of a `RENEWAL_DEFENSE` plan"),
    (unknown_operation, "nobody registered an operation `llm.prepare_renewal_brieff`"),
    (unknown_plan_type, "INVALID_PLAN_TYPE: the policy has no plan type `WORLD_DOMINATION`"),
    (missing_snapshot, "`snapshot`: is missing; a plan brings the trusted state it was made from"),
    (past_expiry, "PLAN_EXPIRED"),
    (no_instant, "`expires_at`: names no instant; write RFC 3339"),
    (no_steps, "`steps`: is empty; a plan has at least one step"),
    (same_step_twice, "`brief` is taken; every step has an id of its own"),
    (stated_class, "cannot be stated; it comes from the operation's name"),
    (misspelt, "`depends_om`"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD, ids=lambda one: getattr(one, "__name__", ""))
def test_what_is_no_plan_is_refused_and_leaves_nothing(desk, spoil, says):
    """H2, H3, G5, Z5: exit code 2, one error that says what to do, and no record."""
    plan = desk.draft()
    spoil(plan)
    ran = desk.plan("new", desk.write(plan))
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert desk.plan("list").lines == []


@pytest.mark.parametrize("spoil", [cycle, unknown_operation, missing_snapshot, past_expiry, no_steps])
def test_an_edit_that_makes_it_so_changes_nothing(desk, spoil):
    """H2: the draft stays as it was."""
    plan_id, plan = desk.propose(), desk.draft()
    spoil(plan)
    changes = {name: plan.get(name) for name in ("steps", "expires_at", "snapshot")}
    before = desk.plan("show", plan_id).lines
    ran = desk.plan("edit", plan_id, desk.write(changes), "--by", "ann")
    assert ran.code == 2
    assert desk.plan("show", plan_id).lines == before


def test_a_plan_of_another_tenant(desk):
    """L5: neither proposed for this tenant nor quietly for the other."""
    ran = desk.plan("new", desk.write(desk.draft() | {"tenant_id": "globex"}), "--tenant", "acme")
    assert (ran.code, "`globex`" in ran.err) == (2, True)
    assert desk.plan("list", "--tenant", "globex").lines == []


def test_an_edit_of_a_running_plan(desk):
    """H2: an ACTIVE or PAUSED plan is never edited, and one that has ended neither."""
    plan_id = desk.approved(BIRCH, steps=STEPS[1])
    changes = desk.write({"objective": "another one"})
    desk.plan("activate", plan_id, "--by", "maria")
    active = desk.plan("edit", plan_id, changes, "--by", "ann")
    desk.plan("run", plan_id, *CONNECTOR)
    paused = desk.plan("edit", plan_id, changes, "--by", "ann")
    desk.plan("abort", plan_id, "--by", "maria", "--reason", "enough")
    ended = desk.plan("edit", plan_id, changes, "--by", "ann")
    assert [ran.code for ran in (active, paused, ended)] == [2, 2, 2]
    for ran, status in ((active, "ACTIVE"), (paused, "PAUSED"), (ended, "ABORTED")):
        assert f"PLAN_TRANSITION: plan `{plan_id}` is {status}" in ran.err
    assert "PLAN_UPDATED" not in desk.events(plan_id)


def test_what_identifies_a_plan_stays(desk):
    """H2: another account is another plan."""
    plan_id = desk.propose()
    ran = desk.plan("edit", plan_id, desk.write({"account_id": "a-1"}), "--by", "ann")
    assert (ran.code, "`account_id` of plan" in ran.err) == (2, True)


def test_a_step_whose_operation_is_not_registered_on_this_worker(desk):
    """H4: the plan is paused with its reason, no attempt was drawn, and with the connector it goes on."""
    plan_id = desk.approved()
    desk.plan("run", plan_id)
    state = desk.plan("show", plan_id).lines[0]["plan"]
    assert (state["status"], state["pause_reason"], state["pause_step"]) == (
        "PAUSED",
        "OPERATION_NOT_REGISTERED",
        "brief",
    )
    assert all("attempts" not in step for step in state["steps"])
    desk.plan("resume", plan_id, "--by", "maria", "--reason", "it is there now")
    assert desk.plan("run", plan_id, *CONNECTOR).lines[-1]["status"] == "COMPLETED"


def test_a_plan_that_is_not_there(desk):
    desk.propose()
    for command in ("submit", "approve", "run", "show"):
        who = ["--by", "ann"] if command in {"submit", "approve"} else []
        revision = ["--revision", "1"] if command == "approve" else []
        ran = desk.plan(command, "nix", *who, *revision)
        assert (ran.code, "no plan `nix`" in ran.err) == (2, True)
