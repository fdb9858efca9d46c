"""Sentences: every reason a budget can have, with the arithmetic in it."""

from __future__ import annotations

from typing import Any

import pytest

from weighbridge.budgets import decide
from weighbridge.budgets.sentences import (
    amounts_text,
    classes_text,
    counter_text,
    deciding,
    explain,
    explain_cap,
    explain_finding,
    of_text,
    period_text,
    summary,
)
from weighbridge.domain.amounts import PICO, CostClass
from weighbridge.domain.decision import BudgetDecision, CapUsage, Finding
from weighbridge.domain.verdict import Verdict

PERIOD = {"DAY": "2026-11-22", "MONTH": "2026-11"}
BLOCK, WARN, ALLOW = Verdict.BLOCK, Verdict.WARN, Verdict.ALLOW


def usage(reason, verdict=BLOCK, name="day", **changes):
    given: dict[str, Any] = {
        "counter": "operations 2026-11-22 any",
        "unit": "operations",
        "hard_cap": 50,
        "usage_before": 50,
        "usage_after": 51,
    } | changes
    return CapUsage(cap=name, verdict=verdict, reason=reason, **given)


def decision(verdict, reason, *caps, findings=(), amounts=None, **changes):
    return BudgetDecision(
        verdict=verdict,
        reason=reason,
        operation="mail.send",
        cost_class="MEDIUM",
        amounts=amounts or {"operations": 1},
        period=PERIOD,
        caps=caps,
        findings=findings,
        **changes,
    )


MONEY = {
    "counter": 'pico_USD 2026-11 any account="a-1" tool=(none)',
    "unit": "pico_USD",
    "hard_cap": 25 * PICO,
    "usage_before": 24 * PICO,
    "usage_after": 26 * PICO,
}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            usage("HARD_CAP_EXCEEDED"),
            "cap `day` is used up: 50 of 50 operations on 2026-11-22, no room for 1 operation more",
        ),
        (
            usage("HARD_CAP_EXCEEDED", **MONEY),
            "cap `day` for account `a-1`, no tool has no room for 2.00 USD: 24.00 of 25.00 USD used in 2026-11, 1.00 USD left",
        ),
        (
            usage("NEVER_FITS", counter='operations PLAN EXPENSIVE plan="p"', usage_before=0, usage_after=80),
            "80 operations can never fit under cap `day` for plan `p`, which allows 50 operations in a plan's life",
        ),
        (
            usage("SOFT_CAP_EXCEEDED", WARN, usage_before=40, usage_after=41, soft_cap=40),
            "cap `day` is at 41 of 50 operations on 2026-11-22, above its soft cap of 40 operations",
        ),
        (
            usage("SOFT_CAP_EXCEEDED", WARN, hard_cap=None, usage_before=40, usage_after=41, soft_cap=40),
            "cap `day` is at 41 operations on 2026-11-22, above its soft cap of 40 operations",
        ),
        (usage("WITHIN_CAPS", ALLOW, usage_before=3, usage_after=4), "cap `day`: 4 of 50 operations on 2026-11-22"),
        (
            usage("JUSTIFIED", WARN, usage_before=3, usage_after=4),
            "cap `day` demands a reason, and one is on record; 4 of 50 operations on 2026-11-22",
        ),
        (
            usage("JUSTIFICATION_MISSING"),
            "cap `day` demands a reason, and none was stated; state it as `justification`",
        ),
        (
            usage("COST_UNKNOWN", unit="tokens", usage_after=None),
            (
                "cap `day` counts tokens, and nobody knows how much this takes; "
                "state it, or let the policy name a maximum for its cost class"
            ),
        ),
        (
            usage("CURRENCY_MISMATCH", unit="pico_USD", usage_after=None),
            "cap `day` counts USD, and the amount is in another currency; nothing is converted",
        ),
        (
            usage("AMOUNT_OUT_OF_RANGE", usage_after=None),
            "with it, the counter of cap `day` would be beyond what any counter holds",
        ),
        (usage("OF_A_LATER_VERSION"), "cap `day` answered BLOCK OF_A_LATER_VERSION"),
    ],
)
def test_every_reason_of_a_cap_has_its_sentence_with_the_numbers_in_it(said, sentence):
    """B10: what a cap said can be read, with usage and limits."""
    assert explain_cap(said) == sentence


def test_no_reason_that_a_cap_can_have_is_left_without_a_sentence():
    """B10."""
    assert [reason for reason in decide._PRECEDENCE if "answered" in explain_cap(usage(reason))] == []


@pytest.mark.parametrize(
    ("reason", "details", "sentence"),
    [
        ("UNKNOWN_OPERATION", {"operation": "x.y"}, "nobody registered an operation `x.y`"),
        (
            "UNTRUSTED_INPUT",
            {"inputs": ["budget.amounts", "budget.tokens"], "role": "agent"},
            "a principal with role `agent` may not state `budget.amounts` and `budget.tokens`; only a host may",
        ),
        ("AMOUNT_OUT_OF_RANGE", {"units": ["pico_USD"]}, "the amount of USD is beyond what any counter holds"),
        (
            "CLOCK_STEPPED_BACK",
            {"behind_ms": 61_500, "max_clock_skew_ms": 5000},
            "the evaluation time is 61.5 s behind the last record; the limit is 5 s",
        ),
        ("UNKNOWN_OPERATION", {}, "refused with reason UNKNOWN_OPERATION"),
        ("OF_A_LATER_VERSION", {}, "refused with reason OF_A_LATER_VERSION"),
    ],
)
def test_what_no_cap_caused_has_its_sentence_fresh_and_from_a_record(reason, details, sentence):
    """B10."""
    assert explain_finding(Finding(reason, details)) == sentence
    assert explain_finding({"reason": reason, "details": details}) == sentence


def test_a_decision_says_what_decided_and_no_more():
    """B4: under a BLOCK no soft cap was passed; findings come first."""
    soft = usage("SOFT_CAP_EXCEEDED", WARN, "soft", soft_cap=1)
    hard = usage("HARD_CAP_EXCEEDED", BLOCK, "hard")
    within = usage("WITHIN_CAPS", ALLOW, "within")
    found = Finding("UNKNOWN_OPERATION", {"operation": "x"})
    blocked = decision(BLOCK, "UNKNOWN_OPERATION", soft, hard, within, findings=(found,))
    assert deciding(blocked) == (hard,)
    assert explain(blocked) == [explain_finding(found), explain_cap(hard)]
    assert explain(decision(WARN, "SOFT_CAP_EXCEEDED", soft, within)) == [explain_cap(soft)]
    assert explain(decision(ALLOW, "WITHIN_CAPS", within)) == []


def test_no_cap_no_go_has_its_sentence():
    """B8."""
    (sentence,) = explain(decision(BLOCK, "NO_APPLICABLE_CONFIG"))
    assert sentence == (
        "no cap of the policy applies to `mail.send` (MEDIUM), and no cap means no go; write one, or `budgets: unlimited`"
    )
    (other,) = explain(decision(BLOCK, "AMOUNT_OUT_OF_RANGE"))
    assert other == "refused with reason AMOUNT_OUT_OF_RANGE"


def test_a_summary_says_what_was_asked_for_and_which_cap_is_tightest():
    free = usage("WITHIN_CAPS", ALLOW, "free", hard_cap=None, usage_before=900, usage_after=901)
    day = usage("WITHIN_CAPS", ALLOW, "day", usage_before=12, usage_after=13)
    asked = {"pico_USD": PICO // 20, "operations": 1, "tokens": 2000}
    allowed = decision(ALLOW, "WITHIN_CAPS", free, day, amounts=asked, assumed=("tokens",))
    assert summary(allowed) == (
        "1 operation, 2,000 tokens (class maximum), 0.05 USD; cap `day`: 13 of 50 operations on 2026-11-22 (tightest of 2 caps)"
    )
    assert summary(decision(BLOCK, "HARD_CAP_EXCEEDED", usage("HARD_CAP_EXCEEDED"))) == "1 operation"


def test_words():
    assert amounts_text({}) == "nothing"
    assert of_text(PICO, None, "pico_EUR") == "1.00 EUR"
    assert counter_text("operations 2026-11 any") == ""
    assert period_text("PLAN") == "in the plan's life"
    assert classes_text({CostClass.MEDIUM, CostClass.CHEAP}) == "CHEAP or MEDIUM"
    assert classes_text(None) == ""


@pytest.mark.parametrize(
    ("unpriced", "why"),
    [
        ({"cause": "MODEL_UNKNOWN", "model": "m2"}, "model `m2` has no price in the policy"),
        (
            {"cause": "MODEL_UNKNOWN", "model": "m2", "closest": "m1"},
            "model `m2` has no price in the policy (closest: `m1`)",
        ),
        ({"cause": "NO_MODEL"}, "no model was named to look up the price of its tokens"),
        ({"cause": "NO_PRICE"}, "the policy has no price for `mail.send`, and no tokens of a model were stated"),
        ({"cause": "NO_PRICES"}, "the policy has no `prices`"),
        ({"cause": "OF_A_LATER_VERSION"}, "nobody knows how much this takes"),
        (None, "nobody knows how much this takes"),
    ],
)
def test_why_a_cost_is_not_known_is_said(unpriced, why):
    """B12: what to mend, from what the decision carries."""
    cap = usage("COST_UNKNOWN", **MONEY | {"usage_after": None})
    (said,) = explain(decision(BLOCK, "COST_UNKNOWN", cap, unpriced=unpriced))
    assert said == (f"cap `day` counts USD, and {why}; state it, or let the policy name a maximum for its cost class")


def test_tokens_have_no_price_to_be_missing():
    cap = usage("COST_UNKNOWN", unit="tokens", usage_after=None)
    (said,) = explain(decision(BLOCK, "COST_UNKNOWN", cap, unpriced={"cause": "NO_PRICES"}))
    assert "nobody knows how much this takes" in said


def test_the_currency_that_was_stated_is_named():
    """B2: nothing is converted."""
    cap = usage("CURRENCY_MISMATCH", unit="pico_USD", usage_after=None)
    (said,) = explain(decision(BLOCK, "CURRENCY_MISMATCH", cap, amounts={"operations": 1, "pico_EUR": 5}))
    assert said == "cap `day` counts USD, and the amount is in EUR; nothing is converted"


def test_the_closest_operation_is_named():
    """Z5: nobody knows it, and what was meant is easily found."""
    found = Finding("UNKNOWN_OPERATION", {"operation": "mail.sent", "closest": "mail.send"})
    assert explain_finding(found) == "nobody registered an operation `mail.sent` (closest: `mail.send`)"
