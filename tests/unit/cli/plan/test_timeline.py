from __future__ import annotations

from tests import samples
from weighbridge.cli.plan.timeline import moments
from weighbridge.domain.context import Role
from weighbridge.domain.decision import Blocked
from weighbridge.domain.principal import Principal
from weighbridge.testing.plans import plan_document

MARIA = Principal(id="maria", role=Role.APPROVER, person=True)
TYPES = {
    "RENEWAL_DEFENSE": {
        "actions": {name: {"risk": "LOW"} for name in ("brief", "meet", "update", "note")},
        "max_retries": 0,
        "lifetime": "30d",
    }
}


def carried_out(*, closed=False, fails=False):
    """Carry out a plan of one step, inside of which a writeback is called."""
    policy = samples.policy(sources={"crm_renewal": {"trust": "system_of_record"}}, operations={}, plan_types=TYPES)
    policy["freshness"] = {"source_types": {"crm_renewal": {"soft_ttl": "7d", "hard_ttl": "14d"}}}
    policy["contradiction"]["rules"][0]["action_types"] = ["note"]
    with samples.weighbridge(policy=policy) as wb:

        @wb.writeback("x.note", target="crm", action="note", cost="CHEAP")
        def note(renewal_id):
            return renewal_id

        @wb.operation("x.brief", action="brief", cost="CHEAP")
        def brief(renewal_id):
            if fails:
                raise TimeoutError
            return note(renewal_id)

        status = "closed" if closed else "open"
        source = {"source_type": "crm_renewal", "source_id": "r-1"}
        plan = plan_document(
            steps=({"step_id": "brief", "operation": "x.brief"},),
            snapshot={"fields": {"renewal": {"value": {"status": status}, **source}}},
            tenant_id="acme",
        )
        wb.propose_plan(plan)
        wb.submit_plan("p-1", by=MARIA, tenant_id="acme")
        wb.approve_plan("p-1", by=MARIA, revision=wb.plan("p-1", "acme").revision, tenant_id="acme")
        done = wb.run_plan("p-1", "acme")
        return moments(wb.why("p-1", "acme")), done


def test_one_moment_for_each_record():
    """L4: also for what a step called inside."""
    told, _ = carried_out()
    assert len({one.seq for one in told}) == len(told) == 9
    assert [one.type for one in told][4:7] == ["STEP_STARTED", "OPERATION", "OPERATION_COMPLETED"]
    assert told[5].what == "inside step `brief`: x.note"


def test_a_step_that_is_blocked_by_what_it_called_inside():
    """G8: the step ends as blocked, and its moment names what was; that one says why."""
    told, done = carried_out(closed=True)
    (inside,) = [one for one in told if one.type == "OPERATION"]
    (blocked,) = [one for one in told if one.type == "STEP_BLOCKED"]
    assert (inside.verdict, done.plan.pause_reason) == ("BLOCK", "STEP_BLOCKED")
    assert "`renewal.status` is `closed`" in inside.because[0]
    assert inside.why in blocked.what
    assert isinstance(done.error, Blocked | None)


def test_what_a_failed_step_says():
    """L6: the type of the error, and not its words."""
    told, done = carried_out(fails=True)
    assert [one.what for one in told if one.type == "STEP_FAILED"] == [
        "step `brief` failed: its operation raised TimeoutError"
    ]
    assert told[-1].what == "paused: step `brief` used up its attempts"
    assert done.plan.status == "PAUSED"
