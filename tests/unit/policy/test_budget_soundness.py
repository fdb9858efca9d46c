"""Caps, prices and maxima that can never matter, or never fit."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import BASE, advice, caps, mistakes, policy, problems_of

CAP = {"id": "a", "hard_cap": "50/month"}


def of_tenant(section, *base, **parts):
    return policy(budgets={"caps": list(base or (CAP,)), **parts}, tenants={"acme": {"budgets": section}})


def test_a_cap_for_a_tool_that_is_no_operation_never_applies():
    """B3: such a cap would be waited for in vain, with the nearest operation as advice."""
    document = caps({**CAP, "scope": {"tool": "nte"}})
    assert mistakes(document) == ["budgets.caps[0].scope.tool: never applies: no operation is called `nte`"]
    assert advice(document) == ["note"]
    no_operations = {
        **document,
        "operations": {},
        "required_inputs": {},
        "grounding": {},
        "compliance": {"allowed_targets": []},
    }
    assert mistakes(no_operations) == []


def _classed(cost_class, *wanted, **scope):
    """Return what is wrong with a cap for classes where every operation is of one class."""
    declared = {name: {**facts, "cost_class": cost_class} for name, facts in BASE["operations"].items()}
    cap = {**CAP, "scope": scope, "cost_classes": list(wanted)}
    return mistakes({**caps(cap), "operations": declared})


@pytest.mark.parametrize("scope", [{}, {"tool": "note"}, {"tool": "each"}, {"account": "each"}])
def test_a_cap_for_classes_below_those_of_its_operations_never_applies(scope):
    """B1, B3: a request may be of a higher class than its operation, so a cap of a higher class is waited for with reason."""
    whose = "`note`" if scope.get("tool") == "note" else "every operation"
    assert _classed("MEDIUM", "CHEAP", **scope) == [
        f"budgets.caps[0].cost_classes: never applies: {whose} is `MEDIUM`, `EXPENSIVE`, and a request can only raise that"
    ]
    assert _classed("CHEAP", "EXPENSIVE", **scope) == []
    assert _classed("MEDIUM", "MEDIUM", **scope) == []
    assert _classed("EXPENSIVE", "CHEAP", "EXPENSIVE", **scope) == []


def test_a_maximum_that_only_a_class_out_of_reach_could_need_is_not_too_large():
    """B1, B12: where every operation of the cap's scope is above the class, no request of that class meets the cap."""
    declared = {name: {**facts, "cost_class": "MEDIUM"} for name, facts in BASE["operations"].items()}
    section = {"caps": [CAP, {"id": "t", "hard_cap": "5 tokens/day"}]}
    for cost_class, expected in (("CHEAP", 0), ("MEDIUM", 1), ("EXPENSIVE", 1)):
        maxima = {cost_class: {"maximum": {"tokens": 9}}}
        document = {**policy(budgets={**section, "cost_classes": maxima}), "operations": declared}
        assert len(mistakes(document)) == expected


def test_a_price_of_an_operation_that_nobody_declares():
    document = policy(budgets={"caps": [CAP], "prices": {"currency": "USD", "operations": {"noet": "$1"}}})
    assert mistakes(document) == ["budgets.prices.operations.noet: has no effect: no operation is called `noet`"]
    assert advice(document) == ["note"]


def test_a_maximum_that_no_cap_counts():
    """B12: a maximum is what caps count where cost is unknown; without such a cap it is nothing."""
    tokens = {"id": "t", "hard_cap": "5k tokens/day", "cost_classes": ["MEDIUM"]}
    section = {"caps": [CAP, tokens], "cost_classes": {"CHEAP": {"maximum": {"tokens": 5, "USD": "$1"}}}}
    assert mistakes(policy(budgets=section)) == [
        "budgets.cost_classes.CHEAP.maximum.USD: has no effect: no cap counts USD of CHEAP requests",
        "budgets.cost_classes.CHEAP.maximum.tokens: has no effect: no cap counts tokens of CHEAP requests",
    ]
    assert mistakes(policy(budgets={**section, "cost_classes": {"MEDIUM": {"maximum": {"tokens": 5}}}})) == []


def test_a_maximum_of_the_base_that_only_a_tenants_cap_counts_matters():
    assert (
        mistakes(
            of_tenant({"caps": [{"id": "t", "hard_cap": "$5/day"}]}, cost_classes={"CHEAP": {"maximum": {"USD": "$1"}}})
        )
        == []
    )


def test_a_maximum_that_is_larger_than_a_cap_never_fits():
    """B12: unknown cost would always be NEVER_FITS, which nobody means who names a maximum."""
    tokens = {"id": "t", "hard_cap": "5k tokens/day"}
    section = {"caps": [tokens], "cost_classes": {"CHEAP": {"maximum": {"tokens": "6k"}}}}
    (mistake,) = mistakes(policy(budgets=section))
    assert "6,000 tokens never fits under `t`, 5,000 tokens" in mistake
    assert advice(policy(budgets=section)) == ["5000 tokens at most, or leave it out: BLOCK COST_UNKNOWN"]
    for other in (
        {"hard_cap": "6k tokens/day"},
        {"hard_cap": "0 tokens/day"},
        {"cost_classes": ["CHEAP"], "scope": {"tool": "note"}},
    ):
        changed = policy(budgets={**section, "caps": [tokens | other]})
        assert bool(mistakes(changed)) is ("scope" in other)
    only_medium = {**tokens, "scope": {"tool": "update"}}
    wide = {"id": "w", "hard_cap": "9k tokens/month"}
    assert mistakes(policy(budgets={**section, "caps": [only_medium, wide]})) == []


def test_a_maximum_stands_where_its_currency_was_written():
    (problem,) = problems_of(
        """
        weighbridge: 1
        name: x
        budgets:
          caps: [{id: a, hard_cap: $1/day}]
          cost_classes:
            CHEAP: {maximum: {USD: $2}}
        """
    )
    assert problem.startswith("6:28: budgets.cost_classes.CHEAP.maximum.USD: 2.00 USD never fits under `a`, 1.00 USD")


BEHIND = "`b` never matters: `a` lets no more through, of at least the same requests (remove one of the two)"


def test_a_cap_behind_a_stricter_one_is_reported_where_it_stands():
    """B3, B4: 50 a month over the whole tenant leave nothing to say for 60 a day of an account."""
    account = {"id": "b", "hard_cap": "60/day", "scope": {"account": "each"}}
    assert mistakes(caps(CAP, account)) == [f"budgets.caps[1]: {BEHIND}"]
    assert mistakes(caps(account, CAP)) == [f"budgets.caps[0]: {BEHIND}"]
    assert mistakes(caps(CAP, {**account, "hard_cap": "40/day"})) == []
    assert mistakes(caps(CAP, {**account, "justification": True})) == []


def test_of_two_caps_that_say_the_same_the_later_is_reported():
    assert mistakes(caps(CAP, {**CAP, "id": "b"})) == [f"budgets.caps[1]: {BEHIND}"]


def test_a_cap_of_a_tenant_behind_one_of_the_base():
    """B3: what a section adds is looked at beside what it inherits."""
    assert mistakes(of_tenant({"caps": [{"id": "b", "hard_cap": "60/day"}]})) == [
        f"tenants.acme.budgets.caps[0]: {BEHIND}"
    ]
    assert mistakes(of_tenant({"caps": [{"id": "a", "hard_cap": "5/month"}, {"id": "b", "hard_cap": "4/day"}]})) == []


def test_a_stricter_cap_of_a_tenant_is_what_sections_are_for():
    """F4, B3: that a cap of the base no longer matters for one tenant is no mistake."""
    assert mistakes(of_tenant({"caps": [{"id": "b", "hard_cap": "5/month"}]})) == []
    assert (
        mistakes(of_tenant({"caps": [{"id": "a", "hard_cap": "5/month"}]}, CAP, {"id": "d", "hard_cap": "40/day"}))
        == []
    )


def test_the_effective_form_of_a_narrow_tenant_loads():
    """G4: a tenant's effective policy has caps that matter no more, and is a policy all the same."""
    from tests.unit.policy.documents import effective

    made = effective(of_tenant({"caps": [{"id": "b", "hard_cap": "5/month"}]}), "acme")
    assert effective(made.document).policy_version == made.policy_version


def test_the_base_to_test_with_has_nothing_pointless():
    assert mistakes(BASE) == []


@pytest.mark.parametrize(
    "wrong", [{"id": "b"}, {"id": "b", "hard_cap": "x"}, {"id": "b", "hard_cap": "60/day", "soft_cap": "x"}]
)
def test_nothing_is_concluded_from_a_cap_that_could_not_be_read(wrong):
    """G6: one mistake is reported as one."""
    assert len(mistakes(caps(CAP, wrong))) == 1
    assert (
        len(mistakes(caps(CAP, wrong, tenants={"acme": {"budgets": {"caps": [{"id": "c", "hard_cap": "1/day"}]}}})))
        == 1
    )
