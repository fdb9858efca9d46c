"""Rules behind others, and rules that no proposal can satisfy together, are mistakes."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import mistakes, policy, rules

LIMIT = {"id": "r", "rule": "at_most", "field": "x", "value": 1}
UPDATE, NOTE, BOTH = {"action_types": ["update"]}, {"action_types": ["note"]}, {"action_types": ["update", "note"]}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, UPDATE),
        (BOTH, NOTE),
        (BOTH, BOTH),
        ({}, {"severity": "WARN"}),
        ({}, {"when": [{"field": "k", "equals": 1}]}),
        (
            {"when": [{"field": "k", "equals": 1}]},
            {"when": [{"field": "l", "equals": 1}, {"field": "k", "equals": [1]}], "severity": "WARN"},
        ),
    ],
)
def test_a_rule_behind_one_that_says_the_same_is_shadowed(first, second):
    narrow = {**LIMIT, **second, "id": "narrow"}
    wide = {**LIMIT, **first, "id": "wide"}
    assert mistakes(rules(wide, narrow)) == [
        "contradiction.rules[1]: `narrow` never matters: `wide` says the same for at least the same cases"
    ]
    assert len(mistakes(rules(narrow, wide))) == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (UPDATE, NOTE),
        ({"severity": "WARN"}, UPDATE),
        ({"value": 2}, {}),
        ({"field": "y"}, {}),
        ({"when": [{"field": "k", "equals": 1}]}, {"when": [{"field": "k", "equals": 2}]}),
    ],
)
def test_rules_that_each_say_something_stand_together(first, second):
    assert mistakes(rules({**LIMIT, **first, "id": "a"}, {**LIMIT, **second, "id": "b"})) == []


def test_conditions_of_a_count_say_what_is_counted():
    count = {"rule": "count_max", "field": "x[*]", "max": 1}
    narrow = {**count, "id": "b", "when": [{"field": "k", "equals": 1}]}
    assert mistakes(rules({**count, "id": "a"}, narrow)) == []


@pytest.mark.parametrize(
    ("key", "entries"),
    [
        ("restricted_fields", ["cost_price", "CostPrice"]),
        (
            "restricted_fields",
            ["cost_price", {"path": "cost.price", "id": "x"}, {"path": "Cost-Price", "id": "y", **NOTE}],
        ),
        ("prohibited_values", [{"path": "a", "values": [1, 2]}, {"path": "A", "values": [2, 1]}]),
        ("required_known", ["a", {"path": "a", "id": "x", **NOTE}]),
        (
            "value_patterns",
            [
                {"id": "a", "class": "C", "fields": ["x", "y"], "regex": "a"},
                {"id": "b", "class": "C", "fields": ["Y", "x"], "regex": "a"},
            ],
        ),
    ],
)
def test_compliance_rules_that_match_the_same_are_shadowed(key, entries):
    """P2: names are compared after normalisation, so two spellings are one rule."""
    found = mistakes(policy(compliance={key: entries}))
    assert len(found) == 1
    assert "never matters" in found[0]


def test_spellings_of_one_personal_class_are_one_rule():
    assert (
        "`PhoneNumber` never matters"
        in mistakes(policy(compliance={"personal_fields": {"P": ["phone_number", "PhoneNumber"]}}))[0]
    )
    assert mistakes(policy(compliance={"personal_fields": {"P": ["fax"], "Q": ["fax"]}})) == []


def test_a_tenants_rule_behind_one_of_the_base_is_shadowed():
    section = {
        "contradiction": {
            "rules": [{"id": "mine", "rule": "at_most", "field": "discount", "value": 20, "severity": "WARN"}]
        }
    }
    assert mistakes(policy(tenants={"acme": section})) == [
        "tenants.acme.contradiction.rules[0]: `mine` never matters: `limit` says the same for at least the same cases"
    ]


def test_limits_that_exclude_each_other():
    low, high = {**LIMIT, "id": "low", "rule": "at_least", "value": 5}, {**LIMIT, "id": "high", "value": 4}
    assert mistakes(rules(low, high)) == [
        "contradiction.rules[1].value: no number is at least 5 and at most 4, as `low` demands too"
    ]
    assert mistakes(rules({**low, **NOTE}, {**high, **UPDATE})) == []
    assert mistakes(rules({**low, "value": 4}, high)) == []
    assert mistakes(rules({**low, "when": [{"field": "k", "equals": 1}]}, high)) == []


@pytest.mark.parametrize(
    ("required", "forbidden"),
    [
        ("person.ssn", "ssn"),
        ("ssn.number", "SSN"),
        ("people[*].ssn", "people.ssn"),
        ("ssn", {"path": "ssn", "id": "x", **NOTE}),
    ],
)
def test_no_field_is_required_and_forbidden(required, forbidden):
    assert (
        "no proposal passes both"
        in mistakes(policy(compliance={"required_known": [required], "restricted_fields": [forbidden]}))[0]
    )
    personal = {"required_known": [required], "personal_fields": {"SSN": [forbidden]}}
    assert "no proposal passes both" in mistakes(policy(compliance=personal))[0]


def test_a_field_may_be_required_for_one_action_and_forbidden_for_another():
    document = {"required_known": [{"path": "ssn", **NOTE}], "restricted_fields": [{"path": "ssn", **UPDATE}]}
    assert mistakes(policy(compliance=document)) == []


def test_a_tenant_cannot_forbid_what_the_base_requires():
    section = {"compliance": {"restricted_fields": ["deal_id"]}}
    assert mistakes(policy(tenants={"acme": section}))[0].startswith("tenants.acme.compliance.restricted_fields[0]")


def test_long_lists_take_no_longer_than_their_length():
    """Six thousand rules are checked in seconds, not in the square of it."""
    many = [{"id": f"r{i}", "rule": "at_most", "field": f"f{i}", "value": i} for i in range(6000)]
    guarded = {"restricted_fields": [f"a{i}" for i in range(3000)], "required_known": [f"b{i}" for i in range(3000)]}
    assert mistakes(rules(*many, compliance=guarded)) == []
