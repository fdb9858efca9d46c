"""SuiteCRM's machine-readable policies as declared rules: P1, P3, R5 and C1; the proposals are ours."""

import pytest

from tests.acceptance import stweb_suitecrm
from tests.acceptance.framework import Row, rows_or_skip

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.rule, row.expected): row for row in rows_or_skip(stweb_suitecrm)}


@pytest.mark.parametrize("expected", ["ALLOW", "BLOCK"])
@pytest.mark.parametrize(
    "kind", ["is_sensitive_data", "is_url_match", "element_action_match", "is_input_hallucination"]
)
def test_a_declared_rule_tells_what_conforms_from_what_violates(rows, kind, expected):
    """P1, P3, R5: the rule blocks every violating proposal and no conforming one."""
    row = rows[kind, expected]
    assert row.right
    assert not row.wrong, row.wrong_cases


@pytest.mark.parametrize("expected", ["ALLOW", "BLOCK"])
def test_a_form_field_that_must_have_a_value_is_declared(rows, expected):
    """P1, C1: `required_known` and `one_of` on the one field a policy reads."""
    row = rows["is_program_html", expected]
    assert row.right
    assert not row.wrong, row.wrong_cases


@pytest.mark.parametrize("kind", ["is_ask_the_user", "is_action_count", "is_sequence_match", "popup_error"])
def test_what_no_declared_rule_can_say_is_counted_apart(rows, kind):
    """An approval, a budget, an order between actions and a duty after the fact are never counted as a pass."""
    row = rows[kind, "BLOCK"]
    assert row.not_expressible
    assert (row.right, row.wrong) == (0, 0)
    assert (kind, "ALLOW") not in rows
