from __future__ import annotations

import pytest

from tests import samples
from weighbridge.cli import output
from weighbridge.cli.evaluate_summary import Summary
from weighbridge.errors import ContextError, Refusal

CAPS = {"caps": [{"id": "day", "hard_cap": "2/day", "soft_cap": 1}, {"id": "tokens", "hard_cap": "2 tokens/day"}]}
ASKED = {
    "tenant_id": "acme",
    "evaluation_time": samples.NOW,
    "budget": {"operation": "crm.note", "amounts": {"tokens": 1}},
}


@pytest.fixture
def decisions():
    with samples.weighbridge(policy=samples.policy(budgets=CAPS), purpose="evaluation") as wb:
        return [wb.reserve(ASKED) for _ in range(3)]


def counted(*answers):
    tally = Summary()
    for answer in answers:
        tally.count(answer, None)
    return tally


def test_a_reason_counts_once_however_many_caps_had_it(decisions):
    """B4, B10: two caps are full; it is one decision."""
    assert [cap.reason for cap in decisions[2].budget.caps] == ["HARD_CAP_EXCEEDED"] * 2
    assert counted(*decisions).results == {
        ("budget", "ALLOW", "WITHIN_CAPS"): 1,
        ("budget", "WARN", "SOFT_CAP_EXCEEDED"): 1,
        ("budget", "BLOCK", "HARD_CAP_EXCEEDED"): 1,
    }


def test_a_warned_reservation_ends_a_run_as_an_allowed_one_does(decisions):
    """G7: BLOCK before bad lines before everything else, and a WARN is nothing."""
    allowed, warned, blocked = decisions
    bad, refused = ContextError("", "no"), Refusal("LEDGER_WRITE_FAILED", "no")
    assert counted(allowed).exit_code == counted(warned).exit_code == output.OK
    assert counted(warned, bad).exit_code == output.BAD_LINES
    assert counted(warned, bad, blocked).exit_code == output.BLOCKED
    assert counted(blocked, refused).exit_code == output.FAILED


def test_lines_that_ask_for_a_budget_are_requests(decisions, capsys):
    """B10: a run alone is judged from a context."""
    counted(*decisions).summarise(":memory:")
    told = capsys.readouterr().err
    assert "Requests" in told
    assert "3 requests: 1 allowed, 1 warned, 1 blocked" in told
    with samples.weighbridge(purpose="evaluation") as wb:
        counted(wb.gate(samples.context())).summarise(":memory:")
    told = capsys.readouterr().err
    assert "Contexts" in told
    assert "1 context: 1 allowed" in told
