"""One form per meaning: defaults written out, sets sorted, order kept where it means something."""

from __future__ import annotations

from tests.unit.policy.documents import BASE, caps, effective, policy, rules


def test_defaults_are_written_out():
    """G4: the effective policy says everything that counts, also what nobody wrote."""
    document = effective({"weighbridge": 1, "name": "x"}).document
    assert document == {
        "weighbridge": 1,
        "name": "x",
        "max_clock_skew": "5s",
        "sources": {},
        "operations": {},
        "required_inputs": {"not_needed": []},
        "validators": [],
    }


def test_absent_sections_stay_absent():
    """G5: an absent section is CONFIG_MISSING, never an empty one."""
    made = effective({"weighbridge": 1, "name": "x"})
    assert (made.freshness, made.grounding, made.contradiction, made.compliance, made.budgets) == (None,) * 5


def test_defaults_of_sections_and_their_parts():
    document = effective(
        policy(
            operations={"read": {"kind": "read", "cost_class": "CHEAP"}},
            sources={"crm": {"trust": "trusted"}},
            required_inputs=None,
            freshness={"source_ids": {}},
            grounding={},
            budgets=None,
            contradiction={"rules": [{"id": "r", "rule": "eq", "field": "a", "value": 1}]},
            compliance={
                "restricted_fields": ["a"],
                "value_patterns": [{"id": "p", "class": "C", "fields": ["x"], "regex": "a"}],
            },
        )
    ).document
    assert document["operations"]["read"] == {
        "kind": "read",
        "cost_class": "CHEAP",
        "action_type": "read",
        "declares_proposal": False,
    }
    assert document["sources"]["crm"] == {"trust": "trusted", "free_text": [], "admitted_text": []}
    assert document["freshness"] == {"source_ids": {}, "source_types": {}}
    assert document["grounding"] == {"severity": "BLOCK", "values": []}
    assert document["contradiction"]["unknown_values"] == []
    assert document["contradiction"]["rules"] == [
        {"id": "r", "rule": "eq", "field": "a", "value": 1, "severity": "BLOCK", "when": []}
    ]
    guard = document["compliance"]
    assert guard["restricted_fields"] == [{"id": "a", "path": "a"}]
    assert guard["value_patterns"] == [{"id": "p", "class": "C", "fields": ["x"], "regex": "a", "normalise": []}]
    assert "allowed_actions" not in guard
    assert "allowed_targets" not in guard
    assert guard["prohibited_actions"] == guard["required_known"] == []


def test_a_grounded_field_takes_the_severity_of_its_section():
    """R3, R5: a field that says nothing fails as severely as a reference."""
    values = [{"id": "a", "field": "a"}, {"id": "b", "field": "b", "severity": "BLOCK"}]
    document = effective(policy(grounding={"severity": "WARN", "values": values})).document
    assert [value["severity"] for value in document["grounding"]["values"]] == ["WARN", "BLOCK"]


def test_an_ordering_keeps_its_order_and_a_set_does_not():
    forward = {"id": "f", "rule": "no_backward", "field": "a", "snapshot": "b", "ordering": ["z", "a", "m"]}
    listed = {"id": "l", "rule": "one_of", "field": "c", "values": ["z", "a", 3]}
    made = effective(rules(forward, listed)).document["contradiction"]["rules"]
    assert made[0]["ordering"] == ["z", "a", "m"]
    assert made[1]["values"] == ["a", "z", 3]


def test_validators_keep_their_order():
    """G1: custom validators run in the order the policy names them."""
    document = policy(validators=[{"id": "z"}, {"id": "a"}])
    assert [entry.id for entry in effective(document).custom_validators] == ["z", "a"]


def test_the_form_shares_nothing_with_what_was_written():
    written = policy()
    made = effective(written).document
    made["compliance"]["restricted_fields"].clear()
    assert effective(written).document["compliance"]["restricted_fields"]
    assert written == BASE


def test_a_cap_has_everything_written_out():
    """B2: no scope is the whole tenant, one per plan has a plan, every class is any class; caps stand sorted by id."""
    made = effective(
        caps(
            {"id": "z", "hard_cap": "5/plan", "scope": {"account": "a"}, "cost_classes": ["MEDIUM", "CHEAP"]},
            {"id": "b", "hard_cap": "50/plan", "cost_classes": ["MEDIUM", "CHEAP", "EXPENSIVE"], "settlement": True},
            {"id": "a", "hard_cap": "unlimited tokens/day"},
        )
    ).document["budgets"]
    flags = {"settlement": False, "justification": False}
    assert made == {
        "time_zone": "UTC",
        "cost_classes": {},
        "caps": [
            {"id": "a", "unit": "tokens", "period": "DAY", "hard_cap": "unlimited", "scope": {}, **flags},
            {
                "id": "b",
                "unit": "operations",
                "period": "PLAN",
                "hard_cap": "50",
                "scope": {"plan": "each"},
                **flags,
                "settlement": True,
            },
            {
                "id": "z",
                "unit": "operations",
                "period": "PLAN",
                "hard_cap": "5",
                "scope": {"account": "a", "plan": "each"},
                "cost_classes": ["CHEAP", "MEDIUM"],
                **flags,
            },
        ],
    }


def test_a_price_table_has_both_of_its_parts():
    """B2: prices are pico-units as decimal text."""
    prices = {"currency": "EUR", "operations": {"note": "€0.05"}}
    made = effective(policy(budgets={"caps": [{"id": "a", "hard_cap": "1/day"}], "prices": prices})).document["budgets"]
    assert made["prices"] == {"currency": "EUR", "operations": {"note": "50000000000"}, "models": {}}
