from __future__ import annotations

from tests.unit.cli.plan.desk import BIRCH, CONNECTOR, WHY
from weighbridge import wiring
from weighbridge.examples.renewals import STEPS


def test_it_runs_to_the_end_and_answers_step_by_step(desk):
    """H4."""
    ran = desk.plan("run", desk.approved(), *CONNECTOR)
    assert ran.code == 0
    assert [line.get("step_id") for line in ran.lines] == ["brief", "meet", "update", None]
    assert {line["status"] for line in ran.lines} == {"COMPLETED"}
    assert desk.crm.row("renewals", "r-1001")["discount_percent"] == 10


def test_a_block_ends_it_with_its_own_exit_code(desk):
    """G8, B4."""
    plan_id = desk.approved(BIRCH, steps=STEPS[1])
    ran = desk.plan("run", plan_id, *CONNECTOR, "--text")
    assert ran.code == 11
    said = ran.out.splitlines()
    assert said[0] == "brief: WARN, COMPLETED"
    assert "board-brief: BLOCK" in said
    assert said[-1] == f"plan {plan_id} is PAUSED (step `board-brief` was blocked)"


def test_warnings_change_no_exit_code(desk):
    """G7."""
    assert desk.plan("run", desk.approved(BIRCH), *CONNECTOR).code == 0


def test_without_its_connector_the_plan_is_paused_and_goes_on_with_it(desk):
    """Bad input: an operation that is not registered on this worker; nothing is half done."""
    plan_id = desk.approved()
    ran = desk.plan("run", plan_id, "--text")
    assert ran.out == f"plan {plan_id} is PAUSED (step `brief` needs an operation that this worker does not have)\n"
    steps = desk.plan("show", plan_id).lines[0]["plan"]["steps"]
    assert [step.get("attempts", 0) for step in steps] == [0, 0, 0]
    desk.plan("resume", plan_id, *WHY)
    assert desk.plan("run", plan_id, *CONNECTOR).lines[-1]["status"] == "COMPLETED"


def test_what_is_not_approved_is_not_run(desk):
    """H2."""
    plan_id = desk.propose()
    ran = desk.plan("run", plan_id, *CONNECTOR)
    assert (ran.code, ran.lines[-1]["waits_for"], ran.lines[-1]["seq"]) == (0, "NOT_APPROVED", 2)


def test_beside_a_worker_it_is_refused(desk):
    """One at a time carries out the plans of a store."""
    plan_id = desk.approved()
    with wiring.open(desk.policy, desk.store) as wb, wb.orchestrator.alone.held():
        ran = desk.plan("run", plan_id, *CONNECTOR)
    assert (ran.code, "carrying out the plans of this store" in ran.err) == (1, True)
