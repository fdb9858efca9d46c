from __future__ import annotations

import pytest

from weighbridge.domain.plan import PauseReason
from weighbridge.ledger import record
from weighbridge.plans import policy_gate
from weighbridge.plans.sentences import explain, told, waits_for

GATE = [
    ("CONFLICT_ACTIVE_PLAN", {"active_plan_id": "p-1"}, "plan `p-1` of this account and type is active; one at a time"),
    ("INVALID_PLAN_TYPE", {"plan_type": "X"}, "the policy has no plan type `X`"),
    ("STEP_ORDER_VIOLATION", {"circle": ["a", "b"]}, "steps wait for each other: `a`, `b`"),
    ("PRECONDITIONS_UNMET", {"precondition": "NOT_SUBMITTED"}, "it is not submitted; submit it first"),
    ("PRECONDITIONS_UNMET", {"precondition": "NEW_ONE"}, "PRECONDITIONS_UNMET (precondition `NEW_ONE`)"),
    ("OF_TOMORROW", {"step_id": "a"}, "OF_TOMORROW (step_id `a`)"),
]


@pytest.mark.parametrize(("reason", "details", "sentence"), GATE)
def test_each_reason_of_the_gate_is_a_sentence(reason, details, sentence):
    """H3: derived from code and details; one that is not known here is told by its code."""
    assert explain({"reason": reason, "details": details}) == sentence


def test_no_code_of_the_gate_is_without_words():
    """H3."""
    codes = {value for name, value in vars(policy_gate).items() if name.isupper() and isinstance(value, str)}
    assert {code for code in codes if explain({"reason": code, "details": {}}) == code} <= {
        policy_gate.PRECONDITIONS_UNMET, policy_gate.STEP_ORDER_VIOLATION,
    }  # fmt: skip


@pytest.mark.parametrize("reason", PauseReason)
def test_every_reason_to_pause_says_what_it_is_about(reason):
    """H4."""
    assert waits_for(reason, "a") != reason
    if "the step" in waits_for(reason):
        assert "step `a`" in waits_for(reason, "a")


@pytest.mark.parametrize("type_", sorted(name for name in vars(record) if name.startswith(("PLAN_", "STEP_"))))
def test_every_event_of_a_plan_is_told(type_):
    """L4."""
    assert told(type_, {"step_id": "a", "details": {}}, None) != type_


@pytest.mark.parametrize(
    ("type_", "said", "reason", "sentence"),
    [
        ("PLAN_CREATED", {"steps": [1]}, None, "drafted: 1 step"),
        (
            "PLAN_UPDATED",
            {"changed": ["objective"], "voids_approval": 3},
            None,
            "edited: objective, which voids the approval",
        ),
        ("PLAN_RESUMED", {"grants": {"step": "a", "attempt": 2}}, None, "resumed: step `a` gets attempt 2"),
        ("PLAN_RESUMED", {"touches": "a"}, None, "resumed: a person has seen step `a`"),
        ("PLAN_ABORTED", {"step": "a"}, "STEP_BLOCKED", "aborted: step `a` was blocked"),
        ("PLAN_ABORTED", {}, "BY_PERSON", "aborted"),
        ("PLAN_COMPLETED", {}, "objective_met", "completed: its objective is met"),
        ("PLAN_EXPIRED", {}, "expired", "expired"),
        ("STEP_STARTED", {"step_id": "a", "attempt": 2}, None, "step `a`, attempt 2, started"),
        (
            "STEP_FAILED",
            {"step_id": "a", "details": {"differs": ["status"]}},
            "WRITE_NOT_STORED",
            "step `a` failed: something else is stored in `status`",
        ),
        (
            "STEP_COMPLETED",
            {"step_id": "a", "late": True},
            None,
            "step `a` completed (the plan had moved on, and nothing changes)",
        ),
        (
            "PLAN_ACTIVATION_REFUSED",
            {"wanted": "RESUME", "reasons": [{"reason": "INVALID_PLAN_TYPE", "details": {"plan_type": "X"}}]},
            None,
            "not resumed: the policy has no plan type `X`",
        ),
    ],
)
def test_what_events_say(type_, said, reason, sentence):
    assert told(type_, said, reason) == sentence
