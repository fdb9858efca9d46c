"""The shop's order changes, judged: C1 to C4 on records nobody here made."""

import pytest

from tests.acceptance import tau_retail
from tests.acceptance.framework import Row, rows_or_skip

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.rule, row.expected): row for row in rows_or_skip(tau_retail)}


@pytest.mark.parametrize("expected", ["ALLOW", "BLOCK"])
def test_status_rules_alone_decide_every_status_case(rows, expected):
    """C1: `requires_state` blocks every write that the order's status forbids, and none that the shop accepts."""
    row = rows["status rules alone", expected]
    assert row.right
    assert not row.wrong, row.wrong_cases


@pytest.mark.parametrize("rule", ["allowed by the tool", "gold writes"])
def test_no_correct_write_is_blocked(rows, rule):
    """C1: only what a rule names is compared, so a write that breaks none passes."""
    row = rows[rule, "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_every_refused_write_is_blocked_by_the_rule_it_breaks(rows):
    """C1: every kind of refusal of the shop's own tool has a declared rule that finds it."""
    refused = [row for row in rows.values() if row.expected == "BLOCK"]
    assert sum(row.right for row in refused)
    assert [row for row in refused if row.wrong] == []
