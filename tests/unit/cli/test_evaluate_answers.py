from __future__ import annotations

from tests import samples
from weighbridge.cli.evaluate_answers import decision_line, error_text, identity_of, sentences
from weighbridge.errors import IdempotencyConflict, UsageError

BLOCKED = samples.blocked_context(evaluation_time=samples.NOW)
CAPS = {"caps": [{"id": "day", "hard_cap": "1/day"}]}


def test_a_decision_line_names_what_it_retries():
    with samples.weighbridge(purpose="evaluation") as wb:
        first = wb.gate(BLOCKED | {"validation_run_id": "one"})
        second = wb.gate(BLOCKED | {"validation_run_id": "two"})
    assert "retry_of" not in decision_line(first)
    assert decision_line(second)["retry_of"] == "one"
    assert decision_line(second)["findings"] == ["RETRY_NOT_AUTHORISED"]


def test_an_operation_that_retries_names_the_run_before():
    """G8: beside a budget as without one."""
    with samples.weighbridge(purpose="evaluation") as wb:
        wb.gate(BLOCKED | {"validation_run_id": "one"})
        again = wb.reserve(BLOCKED | {"validation_run_id": "two", "operation_id": "op-2", "budget": {}})
    line = decision_line(again)
    assert (identity_of(again), line["id"], line["validation_run_id"]) == ("op-2", "op-2", "two")
    assert (line["retry_of"], line["findings"]) == ("one", ["RETRY_NOT_AUTHORISED"])


def test_sentences_come_in_the_order_of_the_questions_and_once_each():
    """B11: validators first, the caps after them."""
    asked = {"tenant_id": "acme", "budget": {"operation": "crm.update"}, "evaluation_time": samples.NOW}
    with samples.weighbridge(policy=samples.policy(budgets=CAPS), purpose="evaluation") as wb:
        first, second = wb.reserve(asked), wb.reserve(samples.warned_context() | {"budget": {}})
    assert sentences(first) == []
    assert sentences(second) == [
        "crm data `crm:r-1` is 10 days old; it should be at most 7 days old, and the limit is 14 days",
        "cap `day` is used up: 1 of 1 operation on 2026-11-22, no room for 1 operation more",
    ]


def test_a_block_that_no_cap_caused_has_its_sentence():
    """B9: a clock that stepped back."""
    clock = samples.Clock()
    asked = {"tenant_id": "acme", "budget": {"operation": "crm.note"}}
    with samples.weighbridge(clock=clock) as wb:
        wb.reserve(asked)
        clock.now_ms -= 60_000
        blocked = wb.reserve(asked)
    assert blocked.reasons == ("CLOCK_STEPPED_BACK",)
    (said,) = sentences(blocked)
    assert "behind the last record" in said


def test_a_conflict_says_the_same_whatever_became_of_the_operation():
    """G3: nothing runs here, in the first run or the second."""
    said = {error_text(IdempotencyConflict("op", "op-1", 3, state)) for state in (None, "PENDING", "BLOCKED")}
    assert said == {"operation id `op-1` already answers another request (record 3); use a new id for a new request"}
    assert error_text(UsageError("no")) == "no"
