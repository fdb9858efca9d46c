"""Values that cannot be meant are refused, wherever they stand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.documents import BASE, mistakes, policy, problems_of, rules

WINDOW = {"id": "r", "rule": "date_window", "field": "d", "snapshot": "s.d"}


def rule(**parts):
    return rules({"id": "r", **parts})


def test_soft_above_hard_does_not_load():
    """F3: `soft_ttl <= hard_ttl` or the policy does not load, per type and per id."""
    ttls = {"crm": {"soft_ttl": "15d", "hard_ttl": "14d"}}
    assert mistakes(policy(freshness={"source_types": ttls, "source_ids": ttls})) == [
        "freshness.source_types.crm.soft_ttl: the soft limit 15d is above the hard limit 14d",
        "freshness.source_ids.crm.soft_ttl: the soft limit 15d is above the hard limit 14d",
    ]


def test_soft_equal_to_hard_loads():
    """F3: the boundary itself is fine."""
    assert mistakes(policy(freshness={"source_types": {"crm": {"soft_ttl": "14d", "hard_ttl": "336h"}}})) == []


@pytest.mark.parametrize(
    ("parts", "keys"),
    [
        ({"rule": "eq", "field": "x"}, "`snapshot`, `value`"),
        ({"rule": "differs", "field": "x", "snapshot": "y", "value": 1}, "`snapshot`, `value`"),
        ({"rule": "at_most", "field": "x"}, "`snapshot`, `value`"),
        ({"rule": "at_least", "field": "x", "snapshot": "y", "value": 1}, "`snapshot`, `value`"),
        ({"rule": "count_max", "field": "x"}, "`max`, `snapshot`"),
        ({"rule": "max_delta", "field": "x", "snapshot": "y"}, "`absolute`, `percent`"),
        ({"rule": "max_delta", "field": "x", "snapshot": "y", "absolute": 1, "percent": 1}, "`absolute`, `percent`"),
        ({"rule": "date_window", "field": "x"}, "`earliest`, `latest`"),
        ({"rule": "date_window", "latest": "1d"}, "`field`, `snapshot`"),
        ({"rule": "one_of", "field": "x", "values": [1], "when": [{"equals": 1}]}, "`field`, `snapshot`"),
        (
            {"rule": "one_of", "field": "x", "values": [1], "when": [{"field": "a", "snapshot": "b", "equals": 1}]},
            "`field`",
        ),
    ],
)
def test_alternatives_are_written_once(parts, keys):
    found = mistakes(rule(**parts))
    assert len(found) == 1
    assert keys in found[0]


@pytest.mark.parametrize(
    ("parts", "missing"),
    [
        ({"rule": "one_of", "field": "x"}, "values"),
        ({"rule": "member_of", "field": "x"}, "snapshot"),
        ({"rule": "no_backward", "field": "x", "snapshot": "y"}, "ordering"),
        ({"rule": "transitions", "field": "x", "snapshot": "y"}, "allowed"),
        ({"rule": "requires_state", "snapshot": "y"}, "values"),
        ({"rule": "max_delta", "field": "x", "percent": 1}, "snapshot"),
        ({"rule": "eq", "value": 1}, "field"),
    ],
)
def test_every_kind_names_the_parameter_it_lacks(parts, missing):
    assert mistakes(rule(**parts)) == [f"contradiction.rules[0].{missing}: `{missing}` is missing"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rule": "no_backward", "field": "x", "snapshot": "y", "ordering": []}, "too few"),
        ({"rule": "no_backward", "field": "x", "snapshot": "y", "ordering": ["a", "b", "a"]}, "lists `a` twice"),
        ({"rule": "one_of", "field": "x", "values": []}, "is empty"),
        ({"rule": "requires_state", "snapshot": "y", "values": []}, "is empty"),
        ({"rule": "max_delta", "field": "x", "snapshot": "y", "percent": -1}, "below zero"),
        ({"rule": "max_delta", "field": "x", "snapshot": "y", "absolute": -0.5}, "below zero"),
        ({"rule": "count_max", "field": "x", "max": -1}, "no count"),
        ({"rule": "at_most", "field": "x", "value": "20"}, "not a number"),
        ({"rule": "eq", "field": "x", "value": None}, "is null"),
        ({**WINDOW, "earliest": "2d", "latest": "1d"}, "opens at 2d, after it closes at 1d"),
        ({**WINDOW, "earliest": "-1d", "latest": "-2d"}, "opens at -1d"),
        ({"rule": "eq", "field": "x", "snapshot": "y.{.}"}, "no `[*]`"),
        ({"rule": "eq", "field": "x", "value": 1, "when": [{"snapshot": "y.{.}", "equals": 1}]}, "no `[*]`"),
        ({"rule": "eq", "field": "x", "value": 1, "action_types": []}, "is empty"),
        ({"rule": "eq", "field": "x", "value": 1, "when": [{"field": "k", "equals": []}]}, "is empty"),
        (
            {
                "rule": "eq",
                "field": "x",
                "value": 1,
                "when": [{"field": "k", "equals": "a"}, {"field": "k", "equals": ["b"]}],
            },
            "the rule never applies",
        ),
        (
            {"rule": "requires_state", "snapshot": "y", "values": ["a"], "when": [{"snapshot": "y", "equals": "a"}]},
            "never violated",
        ),
        (
            {"rule": "one_of", "field": "y", "values": ["a", "b"], "when": [{"field": "y", "equals": "a"}]},
            "never violated",
        ),
        ({"rule": "transitions", "field": "x", "snapshot": "y", "allowed": {"a": "b"}}, "is not a list"),
    ],
)
def test_impossible_values_of_rules(parts, message):
    found = mistakes(rule(**parts))
    assert len(found) == 1
    assert message in found[0]


def test_what_is_possible_is_not_refused():
    possible: list[dict[str, Any]] = [
        {"rule": "eq", "field": "a[*]", "snapshot": "y.{.}"},
        {"rule": "max_delta", "field": "b", "snapshot": "y", "percent": 0},
        {"rule": "count_max", "field": "c", "max": 0},
        {**WINDOW, "earliest": "1d", "latest": "1d"},
        {"rule": "transitions", "field": "d", "snapshot": "y", "allowed": {"won": []}},
        {
            "rule": "one_of",
            "field": "e",
            "values": [1],
            "when": [{"field": "k", "equals": [1, 2]}, {"field": "k", "equals": [2, 3]}],
        },
        {"rule": "requires_state", "snapshot": "y", "values": ["a"], "when": [{"snapshot": "y", "equals": ["a", "b"]}]},
        {"rule": "date_window", "snapshot": "s.d", "latest": "24h"},
    ]
    assert mistakes(rules(*({**parts, "id": f"r{number}"} for number, parts in enumerate(possible)))) == []


def test_an_unknown_state_is_never_a_required_one():
    """C2: under `requires_state` an unknown state is INCOMPARABLE_VALUE, so listing one has no effect."""
    state = {"id": "r", "rule": "requires_state", "snapshot": "y", "values": ["open", "unknown", None]}
    found = mistakes(policy(contradiction={"unknown_values": ["unknown"], "rules": [state]}))
    assert [text.partition(":")[0] for text in found] == [
        "contradiction.rules[0].values[1]",
        "contradiction.rules[0].values[2]",
    ]


def test_ids_are_unique_within_a_list():
    same = [
        {"id": "r", "rule": "at_most", "field": "x", "value": 1},
        {"id": "r", "rule": "at_most", "field": "y", "value": 1},
    ]
    assert mistakes(rules(*same)) == [
        "contradiction.rules[1]: the id `r` is already that of an earlier entry of this list"
    ]
    assert "already" in mistakes(policy(validators=[{"id": "x"}, {"id": "x"}]))[0]
    guarded = {"restricted_fields": [{"path": "a", "action_types": ["note"]}, {"path": "a", "action_types": ["mail"]}]}
    assert "the id `a` is already" in mistakes(policy(compliance=guarded))[0]


def test_our_own_validators_are_not_custom_ones():
    """G1: the four always take part."""
    assert "`freshness` always takes part" in mistakes(policy(validators=[{"id": "freshness"}]))[0]


def test_admitted_text_is_free_text():
    """R4: only third-party text can be admitted."""
    source = {"trust": "trusted", "free_text": ["mail.body"], "admitted_text": ["body", "subject"]}
    found = mistakes(policy(sources={**BASE["sources"], "crm": source}))
    assert found == [
        "sources.crm.admitted_text[1]: `subject` is not among the `free_text` of this source, so admitting it has no effect"
    ]


def test_operations_say_what_they_are():
    """Z5: a writeback has a target; a flag without effect is a misunderstanding."""
    assert mistakes(policy(operations={**BASE["operations"], "w": {"kind": "writeback", "cost_class": "CHEAP"}})) == [
        "operations.w: a writeback without a target"
    ]
    read = {"kind": "read", "cost_class": "CHEAP", "declares_proposal": True}
    assert "only EXPENSIVE" in mistakes(policy(operations={**BASE["operations"], "r": read}))[0]
    assert mistakes(policy(operations={**BASE["operations"], "r": {**read, "cost_class": "EXPENSIVE"}})) == []


def test_only_inputs_that_are_asked_for_can_be_not_needed():
    """G5: an exception without effect would read like one with effect."""
    entry = {"inputs": ["evidence", "data_sources"], "choke_points": ["BEFORE_EXTERNAL_WRITEBACK"]}
    assert mistakes(policy(required_inputs={"not_needed": [entry]})) == [
        "required_inputs.not_needed[0].inputs[1]: none of these choke points asks for `data_sources`"
    ]
    assert "`proposal` is none of" in mistakes(policy(required_inputs={"not_needed": [{"inputs": ["proposal"]}]}))[0]


def test_an_exception_within_another_adds_nothing():
    wide, narrow = {"inputs": ["snapshot", "evidence"]}, {"inputs": ["snapshot"], "action_types": ["note"]}
    for order in ([wide, narrow], [narrow, wide]):
        found = mistakes(policy(required_inputs={"not_needed": order}))
        assert [text.partition(":")[0] for text in found] == [f"required_inputs.not_needed[{order.index(narrow)}]"]
    for same in (wide, narrow):
        assert len(mistakes(policy(required_inputs={"not_needed": [same, same]}))) == 1


@pytest.mark.parametrize("section", ["freshness", "compliance"])
def test_an_empty_section_is_no_configuration(section):
    """G5: an empty rule list counts as configuration only where it is written out."""
    assert mistakes(policy(**{section: {}})) == [f"{section}: is empty, which is not the same as configured"]


@pytest.mark.parametrize(
    "change",
    [
        {"freshness": {"source_types": {}}},
        {"compliance": {"restricted_fields": []}},
        {"contradiction": {"rules": []}},
        {"grounding": {}},
    ],
)
def test_an_empty_list_that_is_written_out_is_configuration(change):
    """G5: an empty rule list counts as configuration where it is written out."""
    assert mistakes(policy(**change)) == []


def test_a_pattern_has_an_expression_or_a_checksum():
    """P3: a pattern that looks for nothing is a mistake."""
    assert (
        "without an expression or a checksum"
        in mistakes(policy(compliance={"value_patterns": [{"id": "x", "class": "X", "fields": ["x"]}]}))[0]
    )


def test_a_value_that_could_not_be_read_is_there_all_the_same():
    text = """
        weighbridge: 1
        name: x
        sources: {crm: {trust: trusted}}
        contradiction: {rules: [{id: a, rule: eq, field: f, value: no}]}
    """
    assert len(problems_of(text)) == 1
