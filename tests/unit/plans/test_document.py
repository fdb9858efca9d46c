"""L6, G11: a plan as content, with the hashes that the gateway computes when it judges; and what an edit changed."""

import msgspec
import pytest

from weighbridge.canonical import keyed_hash, private_copy
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import Proposal, ValidationContext, parse_context
from weighbridge.errors import LedgerCorrupt, NotFound
from weighbridge.gateway import identify
from weighbridge.plans.asking import approval_context, operation_id, step_scope
from weighbridge.plans.document import changed_fields, open_plan, seal_plan
from weighbridge.testing.plans import KEY, plan_document, plan_of


def judged(context):
    """Return what the gateway knows a request by, as it arrives from a host."""
    return identify(parse_context(private_copy(msgspec.to_builtins(context)).value), KEY)


def stored(sealed):
    return dict(sealed.contents.values())


def test_what_is_stored_is_the_plan():
    """L6: the document comes back from its content, whole."""
    plan = plan_of(constraints={"quiet_days": ["2026-12-24"]})
    sealed = seal_plan(plan, KEY)
    assert open_plan(stored(sealed).get, sealed.plan_hash, KEY) == plan
    assert all(keyed_hash(KEY, body) == content_hash for content_hash, body in sealed.contents.values())


def test_hashes_are_those_of_the_gateway():
    """G11: snapshot, data sources, evidence and every step, hashed here as where they are judged."""
    for plan in (plan_of(), plan_of(data_sources=[], constraints={"x": 1.0})):
        sealed = seal_plan(plan, KEY)
        approval = judged(approval_context(plan, "r-1"))
        for name in ("snapshot", "evidence"):
            assert approval.hashes[name] == sealed.contents[name][0]
            assert approval.parts[name] == sealed.contents[name][1]
        assert (
            approval.hashes.get("data_sources", sealed.contents["data_sources"][0])
            == sealed.contents["data_sources"][0]
        )
        for step in plan.steps:
            proposal = Proposal(step.operation, step.arguments, step.evidence)
            context = ValidationContext(
                choke_point=ChokePoint.BEFORE_STEP_EXECUTION, proposal=proposal, snapshot=plan.snapshot
            )
            assert judged(context).proposal_hash == sealed.proposal_hashes[step.step_id]
            assert judged(context).hashes["snapshot"] == sealed.snapshot_id


@pytest.mark.parametrize(
    "change",
    [
        {"objective": "another"},
        {"expires_at": "2026-12-03T10:00:00Z"},
        {"snapshot": {"fields": {"renewal": {"value": 1, "source_type": "crm_renewal"}}}},
        {"data_sources": []},
        {"evidence": []},
        {"constraints": {"a": 1}},
        {"steps": plan_document()["steps"][:2]},
    ],
)
def test_the_plan_hash_covers_everything(change):
    """G11: no part of a plan can be exchanged under its hash."""
    assert seal_plan(plan_of(**change), KEY).plan_hash != seal_plan(plan_of(), KEY).plan_hash


def test_another_tenants_key_gives_other_hashes():
    """L6: hashes are keyed, so that nobody can guess content from them."""
    assert seal_plan(plan_of(), b"other" * 8).plan_hash != seal_plan(plan_of(), KEY).plan_hash


@pytest.mark.parametrize("name", ["plan", "snapshot", "data_sources", "evidence"])
def test_erased_content_is_said_to_be_erased(name):
    """L6: what was erased is not made up."""
    sealed = seal_plan(plan_of(), KEY)
    left = {key: body for key, body in stored(sealed).items() if key != sealed.contents[name][0]}
    with pytest.raises(NotFound, match=rf"its {name}\) was erased"):
        open_plan(left.get, sealed.plan_hash, KEY)


def test_changed_content_is_no_plan():
    """G11: what does not match its hash is not what was approved."""
    sealed = seal_plan(plan_of(), KEY)
    contents = stored(sealed) | {sealed.snapshot_id: b"{}"}
    with pytest.raises(LedgerCorrupt, match="does not match its hash"):
        open_plan(contents.get, sealed.plan_hash, KEY)


def test_an_edit_names_what_it_changed_and_no_values():
    """H2: the names of changed fields; steps by their ids."""
    before = plan_document()
    steps = [*before["steps"]]
    steps[0] = steps[0] | {"arguments": {"renewal_id": "secret"}, "human_touch": True}
    steps[2] = {"step_id": "new", "operation": "x.meet"}
    after = plan_of(objective="another", steps=tuple(steps))
    assert changed_fields(plan_of(), after) == (
        "objective",
        "steps.brief.arguments",
        "steps.brief.human_touch",
        "steps.new",
        "steps.update",
    )
    assert changed_fields(plan_of(), plan_of()) == ()
    assert changed_fields(plan_of(), plan_of(steps=tuple(before["steps"][::-1]))) == ("steps",)


def test_true_is_not_one_in_an_edit():
    """Values are compared as JSON does: true is not 1, and 1 is 1.0."""
    plans = [plan_of(constraints={"x": value}) for value in (1, True, 1.0)]
    assert changed_fields(plans[0], plans[1]) == ("constraints",)
    assert changed_fields(plans[0], plans[2]) == ()


def test_attempts_have_ids_of_their_own():
    """G10: derived from plan, step and attempt, and ambiguous in none of them."""
    ids = {
        operation_id(*parts) for parts in [("a", "b", 1), ("a", "b", 2), ("a/b", "", 1), ("a", "b1", 1), ("ab", "", 1)]
    }
    assert len(ids) == 5
    assert operation_id("a", "b", 1) == operation_id("a", "b", 1)
    assert len(operation_id("a" * 200, "b" * 200, 1)) < 60


def test_a_step_is_called_in_the_plans_own_scope():
    """G11: with exactly the snapshot and evidence that were approved."""
    plan = plan_of()
    scope = step_scope(plan, plan.steps[0], 2)
    assert (scope["plan"], scope["step"], scope["attempt"], scope["account"]) == ("p-1", "brief", 2, "a-1")
    assert scope["snapshot"] == msgspec.to_builtins(plan.snapshot.fields)
    assert scope["references"] == plan.steps[0].evidence
