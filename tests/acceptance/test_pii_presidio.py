"""Labelled sentences and business ids: P3 on records nobody here made."""

import pytest

from tests.acceptance import pii_presidio
from tests.acceptance.framework import Row, rows_or_skip

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.rule, row.expected): row for row in rows_or_skip(pii_presidio)}


@pytest.mark.parametrize(
    ("entity", "share"),
    [("EMAIL_ADDRESS", 1), ("US_SSN", 1), ("IBAN_CODE", 1), ("CREDIT_CARD", 58 / 62), ("IP_ADDRESS", 13 / 14)],
)
def test_personal_data_of_a_fixed_form_is_found(rows, entity, share):
    """P3: an expression and a checksum find what has a published form."""
    row = rows[entity, "BLOCK"]
    assert row.right
    assert row.right >= share * (row.right + row.wrong), row.wrong_cases


@pytest.mark.parametrize("entity", ["EMAIL_ADDRESS", "US_SSN", "IBAN_CODE", "CREDIT_CARD", "IP_ADDRESS"])
def test_a_sentence_without_it_raises_no_alarm(rows, entity):
    """P3: exact, listed, no scoring."""
    row = rows[entity, "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_no_business_id_is_taken_for_personal_data(rows):
    """P3: apart from those that pass a checksum by chance, which the table names."""
    row = rows["business ids", "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def test_what_has_no_fixed_form_is_not_claimed(rows):
    """P3: names and places are counted apart, never as a pass."""
    claimed = [row for row in rows.values() if row.not_expressible and (row.right or row.wrong)]
    assert claimed == []
    assert any(row.not_expressible for row in rows.values())
