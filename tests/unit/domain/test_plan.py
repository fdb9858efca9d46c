"""Plans as they are written, and as rows: what is refused, and with which words."""

from typing import Any

import msgspec
import pytest

from weighbridge.domain.plan import (
    STEPS_MAX,
    PlanState,
    PlanStatus,
    Risk,
    StepState,
    StepStatus,
    decode_steps,
    encode_steps,
    is_ready,
    parse_plan,
    riskiest,
)
from weighbridge.errors import ContextError
from weighbridge.testing.plans import EXPIRES_MS, plan_document, plan_of


def refusal(**changes):
    """Return where and why a document is no plan."""
    with pytest.raises(ContextError) as refused:
        parse_plan(plan_document(**changes))
    return refused.value.path, str(refused.value)


def step(step_id="a", **changes):
    return {"step_id": step_id, "operation": "x.brief", **changes}


def test_a_plan_is_read_whole():
    plan = plan_of()
    assert [one.step_id for one in plan.steps] == ["brief", "meet", "update"]
    assert plan.expires_ms == EXPIRES_MS
    meet = plan.step("meet")
    assert meet is not None
    assert meet.depends_on == ["brief"]
    assert plan.step("nowhere") is None


@pytest.mark.parametrize("snapshot", [None, {}])
def test_a_plan_without_its_snapshot_is_none(snapshot):
    """Bad input: a missing snapshot is a clear error that shows the shape."""
    path, said = refusal(snapshot=snapshot)
    assert path == "snapshot"
    assert "brings the trusted state it was made from" in said


@pytest.mark.parametrize("steps", [[], None, "brief"])
def test_a_plan_has_steps(steps):
    document = plan_document() | {"steps": steps}
    with pytest.raises(ContextError, match="at least one step"):
        parse_plan(document)


def test_a_plan_has_not_too_many_steps():
    steps = [step(f"s{number}") for number in range(STEPS_MAX + 1)]
    path, said = refusal(steps=steps)
    assert (path, "make several plans" in said) == ("steps", True)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": "2026-12-02T10:00:00"}, "expires_at"),
        ({"plan_id": ""}, "plan_id"),
        ({"account_id": "a" * 201}, "account_id"),
        ({"goal": "x"}, ""),
        ({"steps": [step(), step()]}, "steps[1].step_id"),
        ({"steps": [step(), step("b", accepts_skipped=["a"])]}, "steps[1].accepts_skipped"),
        ({"steps": [step(risk="HUGE")]}, "steps[0].risk"),
        ({"steps": [step(arguments=[])]}, "steps[0].arguments"),
        ({"steps": [step(operation="")]}, "steps[0].operation"),
    ],
)
def test_what_is_no_plan_says_where(changes, path):
    """Bad input: the error names the place."""
    assert refusal(**changes)[0] == path


@pytest.mark.parametrize("key", ["cost_class", "target", "facts", "status", "attempts"])
def test_what_follows_from_elsewhere_cannot_be_stated(key):
    """Z5: class and target come from the operation's name, progress from the ledger."""
    path, said = refusal(steps=[step(**{key: "x"})])
    assert path == f"steps[0].{key}"
    assert "cannot be stated" in said


def test_risks_are_ordered_by_what_they_mean():
    """H3: a plan is as risky as its riskiest step; as text MEDIUM would come last."""
    assert riskiest([Risk.LOW, Risk.HIGH, Risk.MEDIUM]) is Risk.HIGH
    assert riskiest([Risk.LOW, Risk.MEDIUM]) is Risk.MEDIUM
    assert riskiest([]) is Risk.LOW


def test_steps_survive_a_stores_column():
    """L3: what is read is what was written, defaults included."""
    steps = (
        StepState("a", "x", "x", "h", Risk.LOW),
        StepState(
            "b",
            "y",
            "y",
            "i",
            Risk.HIGH,
            "MEDIUM",
            "writeback",
            "crm",
            True,
            ("a",),
            ("a",),
            StepStatus.FAILED,
            2,
            3,
            True,
            "R",
            "op",
            7,
        ),
    )
    assert decode_steps(encode_steps(steps)) == steps
    with pytest.raises(msgspec.MsgspecError):
        decode_steps("{}")


@pytest.mark.parametrize(
    ("status", "accepted", "ready"),
    [
        (StepStatus.COMPLETED, False, True),
        (StepStatus.SKIPPED, False, False),
        (StepStatus.SKIPPED, True, True),
        (StepStatus.FAILED, True, False),
        (StepStatus.RUNNING, True, False),
        (StepStatus.PENDING, True, False),
    ],
)
def test_a_step_is_ready_when_what_it_needs_is_done(status, accepted, ready):
    """H4: SKIPPED satisfies a dependent only where declared."""
    first = StepState("a", "x", "x", "h", Risk.LOW, status=status)
    then = StepState("b", "x", "x", "h", Risk.LOW, depends_on=("a",), accepts_skipped=("a",) if accepted else ())
    assert is_ready(state(first, then), then) is ready


def test_a_dependency_that_is_not_there_is_never_done():
    """G5: absence is refusal."""
    lost = StepState("b", "x", "x", "h", Risk.LOW, depends_on=("a",))
    assert not is_ready(state(lost), lost)


def state(*steps):
    fields: dict[str, Any] = dict.fromkeys(
        ("plan_id", "account_id", "plan_type", "plan_hash", "snapshot_id", "request_hash"), "x"
    )
    return PlanState(
        **fields,
        status=PlanStatus.ACTIVE,
        revision=1,
        seq=1,
        created_seq=1,
        expires_ms=1,
        risk=Risk.LOW,
        proposers=(),
        steps=steps,
    )


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"evidence": [{"reference": {}}] * 1_001}, "evidence"),
        (
            {"data_sources": [{"source_type": "s", "source_id": "1", "last_updated": "2026-11-20T10:00:00Z"}] * 1_001},
            "data_sources",
        ),
        ({"steps": ({"step_id": "a", "operation": "x.brief", "evidence": [{}] * 1_001},)}, "steps[0].evidence"),
        ({"steps": ({"step_id": "a", "operation": "x.b", "depends_on": ["b", "b"]},)}, "steps[0].depends_on"),
        (
            {"steps": ({"step_id": "a", "operation": "x", "depends_on": ["b"], "accepts_skipped": ["b", "b"]},)},
            "steps[0].accepts_skipped",
        ),
        ({"proposer": {"id": "ada\u200b"}}, "proposer.id"),
        ({"proposer": {"id": ""}}, "proposer.id"),
    ],
)
def test_what_has_no_bound_is_refused(changes, place):
    """A plan is as large as somebody can read, and says everything once."""
    with pytest.raises(ContextError) as error:
        parse_plan(plan_document(**changes))
    assert str(error.value).startswith(f"`{place}`")
