"""The `budgets` section: every spelling of one cap is one cap, and mistakes stand where they are made."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import BASE, advice, caps, effective, mistakes, policy, problems_of
from weighbridge.policy.document import json_schema


def only_cap(**parts):
    (cap,) = effective(caps({"id": "a", **parts})).document["budgets"]["caps"]
    return cap


def with_caps(**parts):
    return policy(budgets={"caps": [{"id": "a", "hard_cap": "9/day"}, {"id": "usd", "hard_cap": "$9/day"}], **parts})


@pytest.mark.parametrize(
    "parts",
    [
        {"hard_cap": "50/day", "soft_cap": 40},
        {"hard_cap": "50 operations/day", "soft_cap": "40 operations"},
        {"hard_cap": 50, "period": "DAY", "soft_cap": "40"},
        {"hard_cap": "50", "period": "DAY", "unit": "operations", "soft_cap": 40},
        {"hard_cap": "0.05k/day", "period": "DAY", "unit": "operations", "soft_cap": "0.04k"},
    ],
)
def test_spellings_of_one_cap_are_one_cap(parts):
    """B2, G4: what means the same has the same version."""
    assert (
        effective(caps({"id": "a", **parts})).policy_version
        == effective(caps({"id": "a", "hard_cap": "50/day", "soft_cap": 40})).policy_version
    )


@pytest.mark.parametrize(
    "parts",
    [
        {"hard_cap": "$25/month"},
        {"hard_cap": "25 USD/month"},
        {"hard_cap": "$25", "unit": "USD", "period": "MONTH"},
        {"hard_cap": "$25/month", "unit": "pico_USD"},
        {"hard_cap": 25_000_000_000_000, "unit": "pico_USD", "period": "MONTH"},
        {"hard_cap": "25000000000000/month", "unit": "pico_USD"},
    ],
)
def test_spellings_of_money(parts):
    """B2: money is integer pico-units, as decimal text."""
    assert (only_cap(**parts)["hard_cap"], only_cap(**parts)["unit"]) == ("25000000000000", "pico_USD")


def test_unlimited_is_written_out():
    """B8: "no limit" can only be written down, as `unlimited`; usage is counted."""
    made = effective(policy(budgets="unlimited")).budgets
    (cap,) = made.caps
    assert (cap.id, cap.hard_cap, cap.unit, cap.period) == ("unlimited", None, "operations", "MONTH")
    assert made.families == ("operations MONTH any",)
    assert only_cap(hard_cap="unlimited tokens/month", soft_cap="5 tokens")["soft_cap"] == "5"


@pytest.mark.parametrize("section", [{}, {"time_zone": "UTC"}, {"caps": []}])
def test_a_section_without_caps_is_no_configuration(section):
    """G5, B8: nothing defaults to "no limit", and a section that says nothing is a mistake."""
    (mistake,) = mistakes(policy(budgets=section))
    assert "without a cap every operation is BLOCK NO_APPLICABLE_CONFIG" in mistake
    assert "`budgets: unlimited`" in advice(policy(budgets=section))[0]


def test_an_absent_section_stays_absent():
    """G5, B8: what is not configured compiles to nothing, never to a section without caps."""
    made = effective(policy(budgets=None))
    assert made.budgets is None
    assert "budgets" not in made.document


@pytest.mark.parametrize(
    ("parts", "place", "message"),
    [
        ({"hard_cap": 50}, "hard_cap", "`50` has no period"),
        ({"hard_cap": "50/day", "scope": {"account": "*"}}, "scope.account", "`*` is no pattern here"),
        ({"hard_cap": "50/year"}, "hard_cap", "`year` is no period"),
        ({"hard_cap": "-1/day"}, "hard_cap", "`-1/day` is negative"),
        ({"hard_cap": "0.5/day"}, "hard_cap", "`0.5/day` is no whole number of operations"),
        ({"hard_cap": "10000000G USD/day"}, "hard_cap", "is larger than any amount can be"),
        (
            {"hard_cap": "50/day", "soft_cap": 51},
            "soft_cap",
            "the soft cap 51 operations is above the hard cap 50 operations",
        ),
        ({"hard_cap": "50/day", "soft_cap": "5/day"}, "soft_cap", "`5/day` has a period"),
        ({"hard_cap": "50/day", "soft_cap": "unlimited"}, "soft_cap", "`unlimited` warns of nothing"),
        (
            {"hard_cap": "50/day", "soft_cap": "5 tokens"},
            "soft_cap",
            "is counted in tokens, the hard cap in operations",
        ),
        ({"hard_cap": "$50/day", "soft_cap": 5}, "soft_cap", "`5` is money without its currency"),
        ({"hard_cap": "50/day", "unit": "USD"}, "hard_cap", "`50/day` is money without its currency"),
        ({"hard_cap": "50 tokens/day", "unit": "USD"}, "unit", "the unit is `USD` here, and tokens in `hard_cap`"),
        ({"hard_cap": "50/day", "unit": "token"}, "unit", "`token` is no unit"),
        ({"hard_cap": "50/day", "period": "MONTH"}, "period", "the period is `MONTH` here, and `day` in `hard_cap`"),
        ({"hard_cap": "50/day", "period": "day"}, "period", "`day` is none of `DAY`, `MONTH`, `PLAN`"),
        ({"hard_cap": "50/day", "unit": None}, "unit", "is null"),
        (
            {"hard_cap": "50/day", "scope": {"plan": "(none)"}},
            "scope.plan",
            "`(none)` stands for requests without the field",
        ),
        ({"hard_cap": "50/day", "scope": {"tenant": "x"}}, "scope.tenant", "unknown key `tenant`"),
        ({"hard_cap": "50/day", "cost_classes": []}, "cost_classes", "is empty"),
        ({"hard_cap": "50/day", "cost_classes": ["cheap"]}, "cost_classes[0]", "`cheap` is none of"),
        ({"hard_cap": "50/day", "settlement": "yes"}, "settlement", "is neither true nor false"),
        ({"soft_cap": 5}, "hard_cap", "`hard_cap` is missing"),
    ],
)
def test_mistakes_in_a_cap_stand_at_their_key(parts, place, message):
    (mistake,) = mistakes(caps({"id": "a", **parts}))
    assert mistake.startswith(f"budgets.caps[0].{place}: ")
    assert message in mistake


def test_every_mistake_has_its_line_and_what_to_write():
    assert problems_of(
        """
        weighbridge: 1
        name: x
        budgets:
          time_zone: Europe/Berln
          caps:
            - id: a
              hard_cap: 25/day
              unit: USD
            - {id: b, hard_cap: 5/day, soft_cap: 6, hrad_cap: 1}
        """
    ) == [
        "4:14: budgets.time_zone: `Europe/Berln` is no time zone of the IANA database (write Europe/Berlin)",
        "7:17: budgets.caps[0].hard_cap: `25/day` is money without its currency (write 25 USD/day)",
        "9:42: budgets.caps[1].soft_cap: the soft cap 6 operations is above the hard cap 5 operations (write soft at most hard)",
        "9:45: budgets.caps[1].hrad_cap: unknown key `hrad_cap` (write hard_cap)",
    ]


@pytest.mark.parametrize("value", ["unlimted", "", 5, [], "50/day"])
def test_what_is_no_section(value):
    assert len(mistakes(policy(budgets=value))) == 1


@pytest.mark.parametrize(
    ("maximum", "place", "message"),
    [
        ({}, "maximum", "is empty"),
        ({"operations": 5}, "maximum.operations", "has no effect: a request is for one operation"),
        ({"USD": 2}, "maximum.USD", "`2` is money without its currency"),
        ({"USD": "€2"}, "maximum.USD", "is counted in EUR, not in USD"),
        ({"tokens": "5/day"}, "maximum.tokens", "has a period"),
        ({"token": 5}, "maximum.token", "`token` is no unit"),
        ({"USD": "$2", "pico_USD": "2"}, "maximum.pico_USD", "states USD a second time"),
    ],
)
def test_maxima_say_an_amount_in_a_unit_that_may_be_unknown(maximum, place, message):
    """B12: unknown cost reserves a maximum that is exact, and no other."""
    (mistake,) = mistakes(with_caps(cost_classes={"CHEAP": {"maximum": maximum}}))
    assert mistake.startswith(f"budgets.cost_classes.CHEAP.{place}: ")
    assert message in mistake


def test_all_mistakes_of_a_price_table_at_once():
    """B2: nothing converts currencies, and money is never a bare number."""
    prices = {
        "currency": "EUR",
        "date": "22.11.2026",
        "sha256": "abc",
        "operations": {"note": "$5", "mail": 5},
        "models": {"m": {"input": 5, "output": "$5/1M tokens"}, "n": {"input": "€5/1M tokens", "output": "£5/token"}},
    }
    found = mistakes(with_caps(prices=prices))
    assert [mistake.partition(":")[0] for mistake in found] == [
        "budgets.prices.date",
        "budgets.prices.sha256",
        "budgets.prices.operations.mail",
        "budgets.prices.models.m.input",
        "budgets.prices.operations.note",
        "budgets.prices.models.n.output",
    ]
    assert "`$5` is not in EUR" in found[-2]


@pytest.mark.parametrize("currency", ["usd", "$", "", 5])
def test_a_currency_is_a_code(currency):
    assert "is no currency" in mistakes(with_caps(prices={"currency": currency}))[0]


def test_two_caps_have_two_ids():
    cap = {"id": "a", "hard_cap": "1/day"}
    assert any(
        "already that of an earlier entry" in one for one in mistakes(caps(cap, {**cap, "hard_cap": "1 tokens/day"}))
    )


def test_the_schema_knows_both_forms():
    schema = json_schema()
    assert schema["properties"]["budgets"]["anyOf"][0] == {"const": "unlimited", "type": "string"}
    assert schema["$defs"]["CapEntry"]["required"] == ["id", "hard_cap"]
    assert schema["$defs"]["Budgets"]["required"] == ["caps"]


def test_the_effective_form_can_be_written():
    """G4: what is recorded as the policy is a policy, with the same version."""
    made = effective(BASE)
    assert effective(made.document).policy_version == made.policy_version
