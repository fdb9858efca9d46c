import pytest

from weighbridge.domain.context import parse_context
from weighbridge.errors import ContextError

STEP = {"choke_point": "BEFORE_STEP_EXECUTION"}
PLAN = {"choke_point": "BEFORE_PLAN_APPROVAL"}


def test_all_but_the_choke_point_may_be_absent():
    """G5: absence becomes a recorded BLOCK and not a lost line, so parsing lets it pass."""
    context = parse_context(STEP)
    assert context.proposals == ()
    assert context.actor.id == "unknown"
    assert (context.snapshot, context.evidence, context.data_sources) == (None, None, None)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({}, ""),
        ([], ""),
        ("text", ""),
        (None, ""),
        ({"choke_point": "BEFORE_LUNCH"}, "choke_point"),
        ({**STEP, "colour": "red"}, ""),
        ({**STEP, "proposal": {"operation": 7}}, "proposal.operation"),
        ({**STEP, "proposal": {"arguments": {}}}, "proposal"),
        ({**STEP, "proposal": {"operation": "x", "arguments": []}}, "proposal.arguments"),
        ({**STEP, "snapshot": {"fields": {"a": {"value": 1}}}}, "snapshot.fields[...]"),
        ({**STEP, "evidence": [{"trust": "observed"}]}, "evidence[0]"),
        ({**STEP, "evidence": [{"reference": {}, "trust": "much"}]}, "evidence[0].trust"),
        ({**STEP, "tenant_id": ""}, "tenant_id"),
        ({**STEP, "validation_run_id": "x" * 201}, "validation_run_id"),
        ({**STEP, "evaluation_time": "2026-11-22T10:00:00"}, "evaluation_time"),
        ({**STEP, "evaluation_time": 1}, "evaluation_time"),
    ],
)
def test_what_is_no_context_is_refused_with_its_place(document, path):
    """A clear error: where, and what to write."""
    with pytest.raises(ContextError) as caught:
        parse_context(document)
    assert caught.value.path == path
    assert str(caught.value)


@pytest.mark.parametrize(
    "document",
    [
        {**STEP, "proposal": {"operation": "x", "facts": {"name": "x", "action_type": "y"}}},
        {**PLAN, "plan": {"plan_id": "p", "steps": [{"operation": "x", "facts": None}]}},
    ],
)
def test_facts_cannot_be_stated(document):
    """Z5: class, action type and target come from the registered operation, by name."""
    with pytest.raises(ContextError, match="cannot be stated"):
        parse_context(document)


def test_what_is_proposed_depends_on_the_choke_point():
    """The words of the contract: a plan's steps at its approval, one proposal everywhere else."""
    parts = {
        "proposal": {"operation": "a"},
        "plan": {"plan_id": "p", "steps": [{"operation": "b"}, {"operation": "c"}]},
    }
    assert [act.operation for act in parse_context({**PLAN, **parts}).proposals] == ["b", "c"]
    assert [act.operation for act in parse_context({**STEP, **parts}).proposals] == ["a"]


def test_a_timestamp_that_names_no_instant_is_judged_and_not_rejected():
    """G5: TIMESTAMP_MISSING is a verdict."""
    source = {"source_id": "a", "source_type": "b", "last_updated": ["?"]}
    sources = parse_context({**STEP, "data_sources": [source]}).data_sources or []
    assert [one.last_updated for one in sources] == [["?"]]


def test_the_evaluation_time_is_set_before_judging():
    """The words of the contract: taken once, at the entry."""
    assert parse_context({**STEP, "evaluation_time": "1970-01-01T00:00:01Z"}).evaluation_time_ms == 1000
    with pytest.raises(ContextError, match="evaluation_time"):
        _ = parse_context(STEP).evaluation_time_ms
