"""Rules that can never matter are mistakes, and are found."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import advice, mistakes, policy, problems_of, rules
from weighbridge.policy.loader import document_from_mapping

LIMIT = {"id": "r", "rule": "at_most", "field": "x", "value": 1}


# --- Action types -----------------------------------------------------------------------------------------------------


def test_a_rule_for_an_action_type_that_no_operation_has_is_unreachable():
    """P1: a rule for a misspelt action type would protect nothing."""
    document = rules({**LIMIT, "action_types": ["note", "updat"]})
    assert mistakes(document) == [
        "contradiction.rules[0].action_types[1]: never applies: no operation has the action type `updat`"
    ]
    assert advice(document) == ["update"]


def test_without_declared_operations_every_action_type_is_possible():
    document = rules(
        {**LIMIT, "action_types": ["anything"]}, operations=None, compliance=None, required_inputs=None, grounding={}
    )
    assert mistakes(document) == []


def test_a_rule_for_an_action_type_off_the_allow_list_is_unreachable():
    document = rules({**LIMIT, "action_types": ["mail"]}, compliance={"allowed_actions": ["note"]}, grounding={})
    assert mistakes(document) == [
        "contradiction.rules[0].action_types[0]: never applies: `mail` is not one of the `allowed_actions`"
    ]


def test_a_rule_for_a_prohibited_action_type_is_unreachable():
    document = rules({**LIMIT, "action_types": ["mail"]}, compliance={"prohibited_actions": ["mail"]}, grounding={})
    assert mistakes(document) == [
        "contradiction.rules[0].action_types[0]: never applies: `mail` is one of the `prohibited_actions`"
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (
            {"required_inputs": {"not_needed": [{"inputs": ["evidence"], "action_types": ["zz"]}]}},
            "required_inputs.not_needed[0]",
        ),
        ({"grounding": {"values": [{"id": "g", "field": "f", "action_types": ["zz"]}]}}, "grounding.values[0]"),
        (
            {"compliance": {"restricted_fields": [{"path": "f", "action_types": ["zz"]}]}},
            "compliance.restricted_fields[0]",
        ),
        (
            {"compliance": {"personal_fields": {"P": [{"path": "f", "action_types": ["zz"]}]}}},
            "compliance.personal_fields.P[0]",
        ),
        (
            {"compliance": {"prohibited_values": [{"path": "f", "values": [1], "action_types": ["zz"]}]}},
            "compliance.prohibited_values[0]",
        ),
        ({"compliance": {"required_known": [{"path": "f", "action_types": ["zz"]}]}}, "compliance.required_known[0]"),
        (
            {
                "compliance": {
                    "value_patterns": [{"id": "p", "class": "C", "fields": ["f"], "regex": "a", "action_types": ["zz"]}]
                }
            },
            "compliance.value_patterns[0]",
        ),
    ],
)
def test_dead_action_types_are_found_in_every_kind_of_rule(change, place):
    assert [text.partition(":")[0] for text in mistakes(policy(**change))] == [f"{place}.action_types[0]"]


def test_a_rule_of_the_base_may_matter_for_one_tenant_only():
    section = {"compliance": {"allowed_actions": ["update", "note", "mail"]}}
    document = rules(
        {**LIMIT, "action_types": ["mail"]},
        compliance={"allowed_actions": ["note", "update"]},
        grounding={},
        replaceable=["compliance.allowed_actions"],
    )
    assert len(mistakes(document)) == 1
    assert mistakes({**document, "tenants": {"acme": section}}) == []


def test_a_tenants_rule_must_matter_for_that_tenant():
    section = {
        "compliance": {"allowed_actions": ["note"]},
        "contradiction": {"rules": [{**LIMIT, "action_types": ["update"]}]},
    }
    assert mistakes(policy(tenants={"acme": section})) == [
        "tenants.acme.contradiction.rules[0].action_types[0]: never applies: `update` is not one of the `allowed_actions`"
    ]


def test_nothing_is_concluded_from_what_could_not_be_read():
    text = """
        weighbridge: 1
        name: x
        sources: {crm: {trust: trusted}}
        operations:
          update: {kind: reed, cost_class: CHEAP}
          other: {kind: read, cost_class: CHEAP}
        compliance:
          required_known: [{path: a, action_types: [update]}]
    """
    assert len(problems_of(text)) == 1


@pytest.mark.parametrize(
    ("allowed", "prohibited"), [("allowed_actions", "prohibited_actions"), ("allowed_targets", "prohibited_targets")]
)
def test_nothing_is_both_allowed_and_prohibited(allowed, prohibited):
    document = policy(compliance={allowed: ["note", "crm"], prohibited: ["crm"]}, grounding={}, required_inputs=None)
    assert mistakes(document) == [f"compliance.{allowed}[1]: `crm` is allowed here and prohibited under `{prohibited}`"]


def test_a_tenant_may_prohibit_what_the_base_allows():
    assert mistakes(policy(tenants={"acme": {"compliance": {"prohibited_actions": ["mail"]}}})) == []


def test_a_tenant_cannot_allow_what_the_base_prohibits():
    section = {"compliance": {"allowed_targets": ["ftp"]}}
    document = policy(compliance={"prohibited_targets": ["ftp"]}, tenants={"acme": section})
    assert "`ftp` is allowed here and prohibited" in mistakes(document)[0]


# --- Sources ----------------------------------------------------------------------------------------------------------


def test_comparing_with_a_snapshot_that_nobody_trusts_is_no_rule():
    """C1: only fields of trusted sources are compared, so without any the rules would be skipped in silence."""
    compared = {"id": "r", "rule": "eq", "field": "x", "snapshot": "y"}
    assert "never compares" in mistakes(rules(compared, sources={"web": {"trust": "observed"}}))[0]
    assert "never compares" in mistakes(rules(compared, sources=None))[0]
    assert mistakes(rules(compared)) == []


def test_a_literal_limit_needs_no_trusted_source():
    assert mistakes(rules(LIMIT, sources=None)) == []


@pytest.mark.parametrize("source", ["web", "unheard_of"])
def test_a_grounded_value_counts_only_trusted_sources(source):
    """R4: nothing of an observed source grounds an action."""
    value = {"id": "g", "field": "f", "source_types": ["crm", source]}
    assert mistakes(policy(grounding={"values": [value]})) == [
        f"grounding.values[0].source_types[1]: `{source}` is `observed`, and nothing of it grounds an action"
    ]


# --- Effective forms --------------------------------------------------------------------------------------------------


def test_a_merged_document_may_hold_rules_its_narrow_tenant_never_reaches():
    """G4: the effective policy on record loads as a policy; the same rules written by hand do not."""
    narrow = document_from_mapping(policy(tenants={"acme": {"compliance": {"allowed_actions": ["note"]}}})).effective(
        "acme"
    )
    assert document_from_mapping(narrow.document).effective(None).policy_version == narrow.policy_version
    by_hand = {key: value for key, value in narrow.document.items() if key != "max_clock_skew"}
    assert any("never applies" in mistake for mistake in mistakes(by_hand))
