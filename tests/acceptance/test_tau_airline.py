"""The airline's episodes, replayed: C1 to C4 and R1 to R3 on records nobody here made."""

import pytest

from tests.acceptance import tau_airline
from tests.acceptance.framework import Row, rows_or_skip

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.rule, row.expected): row for row in rows_or_skip(tau_airline)}


@pytest.mark.parametrize("rule", ["clean writes", "corrected gold writes"])
def test_no_correct_write_is_blocked(rows, rule):
    """C1: only what a rule names is compared, so a write that breaks none passes."""
    row = rows[rule, "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_a_write_whose_records_were_read_is_grounded(rows):
    """R2: a reference resolves if it is in the evidence set."""
    row = rows["grounding: everything was read", "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_a_write_that_lacks_one_record_is_blocked_naming_it(rows):
    """R3: `UNKNOWN_EVIDENCE`, and the details name the failing reference and no other."""
    row = rows["grounding: one locator left out", "BLOCK"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_every_broken_write_is_blocked_by_the_rule_it_breaks(rows):
    """C1, C4: declared rules block what the rule book forbids; arithmetic on allowances is not claimed."""
    broken = rows["writes that break a rule", "BLOCK"]
    assert broken.right
    assert [row for row in rows.values() if row.expected == "BLOCK" and row.wrong] == []
