"""Notes on a sound policy: what its author may not expect."""

from __future__ import annotations

from tests.samples import cap, policy
from weighbridge.policy.budget_notes import budget_notes
from weighbridge.policy.loader import document_from_mapping

PRICES = {"currency": "USD", "operations": {"enrich": "$0.05"}}


def notes(**budgets):
    return budget_notes(document_from_mapping(policy(budgets=budgets or None)).effective(None))


def test_without_a_section_every_operation_is_blocked():
    """B8: no cap, no go; it is said where a policy is checked."""
    (said,) = notes()
    assert "no `budgets` section" in said
    assert "BLOCK NO_APPLICABLE_CONFIG" in said
    assert "`budgets: unlimited`" in said


def test_a_cap_in_a_currency_that_nothing_has():
    """B2: nothing converts currencies, so what is priced is blocked under it."""
    caps = [cap("all", "9/day"), cap("euros", "25 EUR/month"), cap("dollars", "$25/month"), cap("more", "5 EUR/day")]
    (said,) = notes(caps=caps, prices=PRICES)
    assert said.startswith("the prices are in USD, and `euros`, `more` in EUR")
    assert "CURRENCY_MISMATCH" in said


def test_nothing_is_said_of_what_works():
    assert notes(caps=[cap("euros", "25 EUR/month")]) == ()  # amounts are stated
    assert notes(caps=[cap("day", "9/day")], prices=PRICES) == ()
    maxima = {"CHEAP": {"maximum": {"EUR": "1 EUR"}}}
    assert notes(caps=[cap("euros", "25 EUR/month")], prices=PRICES, cost_classes=maxima) == ()
