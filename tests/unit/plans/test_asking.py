"""What is asked about a plan reaches the gateway as one request with every step in it."""

from weighbridge.plans.asking import approval_context
from weighbridge.testing.plans import plan_of


def test_every_step_is_judged_at_approval():
    """R1: at plan approval every step is a proposal with its own evidence."""
    plan = plan_of()
    context = approval_context(plan, "r-1")
    assert [act.step_id for act in context.proposals] == ["brief", "meet", "update"]
    assert [act.evidence for act in context.proposals] == [step.evidence for step in plan.steps]
    assert (context.plan_id, context.actor.id, context.validation_run_id) == ("p-1", "agent-1", "r-1")
