"""What gets stricter and what looser, in words; and `changed` where that cannot be told."""

from __future__ import annotations

import copy

import pytest

from tests.unit.policy.documents import BASE, effective, policy, rules
from weighbridge.policy.diff import diff_policies


def diff(before, after):
    return [str(change) for change in diff_policies(effective(before), effective(after))]


def changed(path, value):
    """Return the base with the value at a dotted path set."""
    document = copy.deepcopy(BASE)
    *parents, last = path.split(".")
    node = document
    for key in parents:
        node = node.setdefault(key, {})
    if value is None:
        del node[last]
    else:
        node[last] = value
    return document


def test_no_change_is_no_change():
    assert diff(BASE, copy.deepcopy(BASE)) == []
    assert diff(BASE, policy(max_clock_skew="5000ms")) == []


@pytest.mark.parametrize(
    ("path", "value", "change"),
    [
        ("max_clock_skew", "1m", "looser: max_clock_skew is 1m, was 5s"),
        ("max_clock_skew", "1s", "stricter: max_clock_skew is 1s, was 5s"),
        ("freshness.source_types.crm.hard_ttl", "10d", "stricter: freshness.source_types.crm.hard_ttl is 10d, was 14d"),
        ("freshness.source_types.crm.soft_ttl", "8d", "looser: freshness.source_types.crm.soft_ttl is 8d, was 7d"),
        (
            "freshness.source_types.erp",
            {"soft_ttl": "1d", "hard_ttl": "1d"},
            'looser: freshness.source_types.erp is new: {"hard_ttl": "1d", "soft_ttl": "1d"}',
        ),
        ("freshness.source_types.crm", None, "stricter: freshness.source_types.crm is gone"),
        ("freshness.source_ids.crm:1", None, "changed: freshness.source_ids.crm:1 is gone"),
        ("freshness", None, "stricter: freshness is not configured any more, which is BLOCK CONFIG_MISSING"),
        ("sources.crm.trust", "trusted", "changed: sources.crm.trust is trusted, was system_of_record"),
        ("sources.crm.free_text", ["notes", "subject"], "stricter: sources.crm.free_text has `subject`, had it not"),
        ("sources.crm.admitted_text", [], "stricter: sources.crm.admitted_text has `notes` no more"),
        ("operations.mail.cost_class", "EXPENSIVE", "stricter: operations.mail.cost_class is EXPENSIVE, was CHEAP"),
        ("operations.update.cost_class", "CHEAP", "changed: operations.update.cost_class is CHEAP, was MEDIUM"),
        ("operations.mail.target", "crm", "changed: operations.mail.target is crm, was smtp"),
        (
            "required_inputs",
            None,
            'stricter: required_inputs.not_needed has `{"action_types": ["note"], "inputs": ["snapshot"]}` no more',
        ),
        ("contradiction.unknown_values", [""], "stricter: contradiction.unknown_values has `unknown` no more"),
        ("compliance.unknown_values", [], "looser: compliance.unknown_values has `n/a` no more"),
        (
            "compliance.prohibited_actions",
            ["delete", "refund"],
            "stricter: compliance.prohibited_actions has `refund`, had it not",
        ),
        ("compliance.prohibited_targets", [], "looser: compliance.prohibited_targets has `ftp` no more"),
        (
            "compliance.allowed_targets",
            ["crm", "smtp", "fax"],
            "looser: compliance.allowed_targets has `fax`, had it not",
        ),
        ("compliance.allowed_targets", None, 'looser: compliance.allowed_targets is gone, was ["crm", "smtp"]'),
        ("compliance.personal_fields", {}, "looser: compliance.personal_fields.PHONE.phone is gone"),
        ("compliance.restricted_fields", ["ssn"], 'looser: compliance.restricted_fields."internal.margin" is gone'),
        (
            "compliance.prohibited_values",
            [{"path": "owner", "values": ["admin", "x"]}],
            'stricter: compliance.prohibited_values.owner.values is ["admin", "x"], was ["admin"]',
        ),
        ("compliance.required_known", [], "looser: compliance.required_known.deal_id is gone"),
        ("validators", None, 'looser: validators."acme.credit" is gone'),
        (
            "validators",
            [{"id": "acme.credit", "config": {"limit": 6}}],
            'changed: validators."acme.credit".config is {"limit": 6}, was {"limit": 5}',
        ),
        ("name", "other", "changed: name is other, was base"),
    ],
)
def test_each_key_says_what_its_change_does(path, value, change):
    assert diff(BASE, changed(path, value)) == [change]


def test_a_severity_counts_for_the_fields_that_take_it_over():
    """R3, R5: a field without a severity of its own fails as the section says."""
    assert diff(BASE, changed("grounding.severity", "BLOCK")) == [
        "stricter: grounding.severity is BLOCK, was WARN",
        "stricter: grounding.values.to.severity is BLOCK, was WARN",
    ]


@pytest.mark.parametrize("section", ["grounding", "contradiction", "compliance"])
def test_a_section_that_is_new_loosens_what_was_config_missing(section):
    """G5: without configuration everything was BLOCK."""
    assert diff(policy(**{section: None}), BASE) == [f"looser: {section} is configured, and was BLOCK CONFIG_MISSING"]


def test_a_first_allow_list_is_stricter():
    assert diff(changed("compliance.allowed_actions", None), BASE) == [
        'stricter: compliance.allowed_actions is new: ["mail", "note", "update"]'
    ]


def test_a_new_operation_was_unknown_before():
    added = changed("operations.read", {"kind": "read", "cost_class": "EXPENSIVE", "action_type": "update"})
    (change,) = diff(BASE, added)
    assert change.startswith("looser: operations.read is new: ")
    declared = copy.deepcopy(added)
    declared["operations"]["read"]["declares_proposal"] = True
    assert diff(added, declared) == ["stricter: operations.read.declares_proposal is true, was false"]


def test_validators_and_their_order():
    one, two = {"id": "one"}, {"id": "two"}
    assert diff(policy(validators=[one]), policy(validators=[one, two])) == ["stricter: validators.two is new"]
    assert diff(policy(validators=[one, two]), policy(validators=[two, one])) == [
        "changed: validators run in another order"
    ]


RULE_CHANGES = [
    ({"rule": "at_most", "field": "a", "value": 20}, {"value": 10}, "stricter"),
    ({"rule": "at_most", "field": "a", "value": 20}, {"value": 20.5}, "looser"),
    ({"rule": "at_least", "field": "a", "value": 20}, {"value": 10}, "looser"),
    ({"rule": "eq", "field": "a", "value": 20}, {"value": 10}, "changed"),
    ({"rule": "count_max", "field": "a", "max": 2}, {"max": 1}, "stricter"),
    ({"rule": "max_delta", "field": "a", "snapshot": "b", "percent": 9}, {"percent": 10}, "looser"),
    ({"rule": "max_delta", "field": "a", "snapshot": "b", "absolute": "9.5"}, {"absolute": 9}, "stricter"),
    ({"rule": "one_of", "field": "a", "values": [1, 2]}, {"values": [1]}, "stricter"),
    ({"rule": "one_of", "field": "a", "values": [1, 2]}, {"values": [1, 3]}, "changed"),
    ({"rule": "requires_state", "snapshot": "b", "values": ["x"]}, {"values": ["x", "y"]}, "looser"),
    ({"rule": "no_backward", "field": "a", "snapshot": "b", "ordering": [1, 2]}, {"ordering": [1, 2, 3]}, "changed"),
    (
        {"rule": "transitions", "field": "a", "snapshot": "b", "allowed": {"x": ["y"]}},
        {"allowed": {"x": ["y", "z"]}},
        "looser",
    ),
    (
        {"rule": "transitions", "field": "a", "snapshot": "b", "allowed": {"x": ["y"]}},
        {"allowed": {"x": []}},
        "stricter",
    ),
    (
        {"rule": "transitions", "field": "a", "snapshot": "b", "allowed": {"x": ["y"]}},
        {"allowed": {"z": ["y"]}},
        "changed",
    ),
    ({"rule": "date_window", "field": "a", "earliest": "-2d"}, {"earliest": "-1d"}, "stricter"),
    ({"rule": "date_window", "field": "a", "latest": "2d"}, {"latest": "3d"}, "looser"),
    ({"rule": "date_window", "field": "a", "latest": "2d"}, {"earliest": "1d"}, "stricter"),
    ({"rule": "date_window", "field": "a", "earliest": "1d", "latest": "2d"}, {"earliest": None}, "looser"),
    ({"rule": "date_window", "field": "a", "earliest": "1d"}, {"latest": "2d"}, "stricter"),
    ({"rule": "eq", "field": "a", "value": 1}, {"severity": "WARN"}, "looser"),
    ({"rule": "eq", "field": "a", "value": 1, "severity": "WARN"}, {"severity": "BLOCK"}, "stricter"),
    ({"rule": "eq", "field": "a", "value": 1}, {"action_types": ["note"]}, "looser"),
    ({"rule": "eq", "field": "a", "value": 1, "action_types": ["note"]}, {"action_types": None}, "stricter"),
    (
        {"rule": "eq", "field": "a", "value": 1, "action_types": ["note"]},
        {"action_types": ["note", "mail"]},
        "stricter",
    ),
    ({"rule": "eq", "field": "a", "value": 1, "action_types": ["note"]}, {"action_types": ["mail"]}, "changed"),
    ({"rule": "eq", "field": "a", "value": 1}, {"when": [{"field": "k", "equals": 1}]}, "looser"),
    ({"rule": "eq", "field": "a", "value": 1}, {"field": "c"}, "changed"),
]


@pytest.mark.parametrize(("before", "change", "effect"), RULE_CHANGES)
def test_rules_say_what_each_of_their_keys_does(before, change, effect):
    """C1: a limit, a list and a window each have their own direction."""
    after = {key: value for key, value in {**before, **change}.items() if value is not None}
    (found,) = diff_policies(effective(rules({"id": "r", **before})), effective(rules({"id": "r", **after})))
    assert found.effect == effect
    assert found.where == f"contradiction.rules.r.{next(iter(change))}"


def test_a_rule_of_another_kind_is_only_changed():
    before = {"id": "r", "rule": "at_most", "field": "a", "value": 20, "severity": "WARN"}
    changes = diff_policies(
        effective(rules(before)), effective(rules({**before, "rule": "at_least", "severity": "BLOCK"}))
    )
    assert {change.effect for change in changes} == {"changed"}


def test_rules_that_come_and_go():
    one = {"id": "one", "rule": "eq", "field": "a", "value": 1}
    two = {"id": "two", "rule": "eq", "field": "b", "value": 1}
    assert diff(rules(one), rules(two)) == [
        "looser: contradiction.rules.one is gone",
        "stricter: contradiction.rules.two is new",
    ]


@pytest.mark.parametrize(
    ("change", "effect"),
    [({"text": True}, "looser"), ({"source_types": ["crm"]}, "stricter"), ({"normalise": ["trimmed"]}, "changed")],
)
def test_grounded_fields(change, effect):
    """R5: text admits more, fewer sources admit less."""
    value = {"id": "to", "field": "to"}
    before, after = policy(grounding={"values": [value]}), policy(grounding={"values": [{**value, **change}]})
    assert [c.effect for c in diff_policies(effective(before), effective(after))] == [effect]


def test_sources_that_count():
    """R5: one source more that counts admits more."""
    value = {"id": "to", "field": "to", "source_types": ["crm"]}
    before, after = (
        policy(grounding={"values": [value]}),
        policy(grounding={"values": [{**value, "source_types": ["crm", "erp"]}]}),
    )
    assert [c.effect for c in diff_policies(effective(before), effective(after))] == ["looser"]
    assert [c.effect for c in diff_policies(effective(after), effective(before))] == ["stricter"]


def test_value_patterns():
    """P3: more fields find more; a checksum finds less."""
    pattern = {"id": "p", "class": "C", "fields": ["x"], "regex": "a"}
    before = policy(compliance={"value_patterns": [pattern]})
    after = policy(compliance={"value_patterns": [{**pattern, "fields": ["x", "y"], "checksum": "luhn"}]})
    assert [(c.where.rpartition(".")[2], c.effect) for c in diff_policies(effective(before), effective(after))] == [
        ("checksum", "looser"),
        ("fields", "stricter"),
    ]


def test_long_values_are_cut():
    (change,) = diff(BASE, policy(validators=[{"id": "acme.credit", "config": {"x": "y" * 500}}]))
    assert len(change) < 250


# --- Budgets ----------------------------------------------------------------------------------------------------------


def with_cap(identity, **changes):
    """Return the base with one of its caps changed."""
    document = copy.deepcopy(BASE)
    (cap,) = (cap for cap in document["budgets"]["caps"] if cap["id"] == identity)
    cap |= changes
    return document


@pytest.mark.parametrize(
    ("identity", "changes", "change"),
    [
        ("day", {"hard_cap": "60/day"}, "looser: budgets.caps.day.hard_cap is 60 operations, was 50 operations"),
        ("day", {"hard_cap": "45/day"}, "stricter: budgets.caps.day.hard_cap is 45 operations, was 50 operations"),
        ("day", {"hard_cap": "unlimited/day"}, "looser: budgets.caps.day.hard_cap is unlimited, was 50 operations"),
        ("money", {"soft_cap": "$5"}, "stricter: budgets.caps.money.soft_cap is 5.00 USD, was 20.00 USD"),
        ("tokens", {"soft_cap": "5 tokens"}, "stricter: budgets.caps.tokens.soft_cap is new: 5 tokens"),
        ("tokens", {"settlement": False}, "stricter: budgets.caps.tokens.settlement is false, was true"),
        ("tokens", {"justification": True}, "stricter: budgets.caps.tokens.justification is true, was false"),
        ("money", {"scope": {}}, 'changed: budgets.caps.money.scope is {}, was {"account": "each"}'),
        ("day", {"cost_classes": ["CHEAP"]}, 'changed: budgets.caps.day.cost_classes is new: ["CHEAP"]'),
    ],
)
def test_what_a_change_of_a_cap_does(identity, changes, change):
    """B2, B8: limits in words, and `changed` where the requests decide."""
    assert diff(BASE, with_cap(identity, **changes)) == [change]


def test_amounts_in_another_unit_or_period_cannot_be_compared():
    assert diff(BASE, with_cap("day", hard_cap="60/month")) == [
        "changed: budgets.caps.day.hard_cap is 60 operations, was 50 operations",
        "changed: budgets.caps.day.period is MONTH, was DAY",
    ]


def test_a_cap_more_and_a_cap_less():
    """B8: where no cap applied before, a new one lets through what it did not."""
    more = copy.deepcopy(BASE)
    more["budgets"]["caps"].append({"id": "x", "hard_cap": "$5/day"})
    assert diff(BASE, more) == ["stricter: budgets.caps.x is new: 5.00 USD/day"]
    assert diff(more, BASE) == ["looser: budgets.caps.x is gone, was 5.00 USD/day"]
    narrow = policy(budgets={"caps": [{"id": "n", "scope": {"tool": "note"}, "hard_cap": "5/day"}]})
    wide = copy.deepcopy(narrow)
    wide["budgets"]["caps"].append({"id": "all", "hard_cap": "unlimited/day"})
    assert diff(narrow, wide) == ["changed: budgets.caps.all is new: unlimited/day"]


@pytest.mark.parametrize(
    ("path", "value", "change"),
    [
        ("budgets", None, "stricter: budgets is not configured any more, which is BLOCK NO_APPLICABLE_CONFIG"),
        ("budgets.time_zone", "UTC", "changed: budgets.time_zone is UTC, was Europe/Berlin"),
        (
            "budgets.cost_classes.CHEAP.maximum.tokens",
            3000,
            "stricter: budgets.cost_classes.CHEAP.maximum.tokens is 3,000 tokens, was 2,000 tokens",
        ),
        (
            "budgets.cost_classes.MEDIUM",
            {"maximum": {"tokens": 5}},
            'changed: budgets.cost_classes.MEDIUM is new: {"maximum": {"tokens": "5"}}',
        ),
        ("budgets.prices", None, "changed: budgets.prices are gone"),
        (
            "budgets.prices.operations.mail",
            "$1",
            "stricter: budgets.prices.operations.mail is 1000000000000, was 50000000000",
        ),
        ("budgets.prices.models.m.output", "5", "looser: budgets.prices.models.m.output is 5, was 10000000"),
        ("budgets.prices.source", "another", "changed: budgets.prices.source is another, was a list"),
    ],
)
def test_what_a_change_of_budgets_does(path, value, change):
    """B8, B12."""
    assert diff(BASE, changed(path, value)) == [change]


def test_prices_in_another_currency_cannot_be_compared():
    other = changed("budgets.prices", {"currency": "EUR", "operations": {"mail": "€9"}})
    assert {line.partition(":")[0] for line in diff(BASE, other)} == {"changed"}
