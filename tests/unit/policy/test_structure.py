"""The shape of a document: every mistake of one reading, at its place, and none that only follows from another."""

from __future__ import annotations

import pytest

from tests.unit.policy.documents import BASE, advice, mistakes, policy, problems_of, rules
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.structure import read_structure

RULE = {"id": "r", "rule": "at_most", "field": "x", "value": 1}


def test_a_document_that_is_right_has_no_mistakes():
    assert mistakes(BASE) == []


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]", "- a: 1", "text", "12", "null"])
def test_a_document_is_a_mapping(text):
    assert len(problems_of(text)) == 1


def test_required_keys_of_the_document():
    assert mistakes({}) == ["weighbridge: `weighbridge` is missing", "name: `name` is missing"]
    for wrong in (2, True, "1", 1.5):
        assert mistakes(policy(weighbridge=wrong)) == ["weighbridge: this reads version 1 of the document format"]


def test_unknown_keys_come_with_the_nearest_known_one():
    document = policy(freshness={"source_types": {"crm": {"sfot_ttl": "1d", "hard_ttl": "2d"}}}, freshnes={})
    assert mistakes(document) == [
        "freshness.source_types.crm.sfot_ttl: unknown key `sfot_ttl`",
        "freshnes: unknown key `freshnes`",
    ]
    assert advice(document) == ["soft_ttl", "freshness"]


def test_an_unknown_key_that_is_near_nothing_comes_with_what_there_is():
    assert advice(policy(freshness={"source_types": {"crm": {"soft_ttl": "1d", "hard_ttl": "2d", "zzz": 1}}})) == [
        "one of `soft_ttl`, `hard_ttl`"
    ]


def test_keys_of_rules_are_known_per_kind():
    assert mistakes(rules({**RULE, "ordering": [1, 2]})) == [
        "contradiction.rules[0].ordering: unknown key `ordering` in a rule of kind `at_most`"
    ]
    assert "`snapshot`" in advice(rules({**RULE, "zzz": 1}))[0]


def test_a_missing_kind_and_a_wrong_one():
    assert mistakes(rules({"id": "r", "field": "x"})) == ["contradiction.rules[0]: a rule without its kind"]
    assert mistakes(rules({**RULE, "rule": "atmost"})) == ["contradiction.rules[0].rule: `atmost` is no kind of rule"]
    assert advice(rules({**RULE, "rule": "atmost"})) == ["at_most"]
    assert mistakes(rules({**RULE, "rule": 5})) == ["contradiction.rules[0].rule: `5` is no kind of rule"]


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"name": 5}, "name: `5` is not text"),
        ({"sources": []}, "sources: `[]` is not a mapping"),
        ({"sources": {"crm": "trusted"}}, 'sources.crm: `"trusted"` is not a mapping'),
        ({"validators": {"id": "x"}}, 'validators: `{"id": "x"}` is not a list'),
        ({"contradiction": {"rules": ["x"]}}, 'contradiction.rules[0]: `"x"` is not a mapping'),
        ({"contradiction": {}}, "contradiction.rules: `rules` is missing"),
        ({"sources": {"": {"trust": "trusted"}}}, 'sources."": is empty'),
        ({"grounding": {"values": None}}, "grounding.values: is null"),
        ({"freshness": None, "tenants": {"a": {"freshness": []}}}, "tenants.a.freshness: `[]` is not a mapping"),
        ({"validators": [{"id": "x", "config": []}]}, "validators[0].config: is not a mapping"),
    ],
)
def test_wrong_shapes(change, mistake):
    assert mistakes(policy(**change))[0] == mistake


def test_what_is_not_text_comes_with_its_quotes():
    assert advice(policy(name=5)) == ['"5"']
    assert advice({**policy(), "name": None}) == ["text, or leave the key out"]


def test_one_wrong_value_hides_no_other():
    """Everything that is wrong in one rule and beside it is reported in one go, and nothing twice."""
    document = rules(
        {"id": 5, "rule": "at_most", "field": "a..b", "value": "x", "severity": "BLOK", "extra": 1},
        {"id": "s", "rule": "no_backward", "field": "x", "snapshot": "y", "ordering": []},
        17,
        {"id": "t", "rule": "one_of", "field": "x", "values": [[1], "a"]},
    )
    assert sorted(mistake.partition(":")[0] for mistake in mistakes(document)) == [
        "contradiction.rules[0].extra",
        "contradiction.rules[0].field",
        "contradiction.rules[0].id",
        "contradiction.rules[0].severity",
        "contradiction.rules[0].value",
        "contradiction.rules[1].ordering",
        "contradiction.rules[2]",
        "contradiction.rules[3].values[0]",
    ]


def test_indices_are_those_of_the_text():
    """A list from which something was taken out is still counted as it was written."""
    text = """
        weighbridge: 1
        name: x
        sources: {crm: {trust: trusted}}
        contradiction:
          rules:
            - {id: a, rule: nonsense}
            - {id: b, rule: at_most, field: no, value: 1}
            - {id: c, rule: date_window, field: d, earliest: 2d, latest: 1d}
            - {id: c, rule: at_most, field: f, value: 1, severity: LOUD}
    """
    assert [problem.partition(": ")[2].partition(": ")[0] for problem in problems_of(text)] == [
        "contradiction.rules[0].rule",
        "contradiction.rules[1].field",
        "contradiction.rules[2].earliest",
        "contradiction.rules[3]",
        "contradiction.rules[3].severity",
    ]


def test_what_was_left_out_by_the_text_is_not_called_missing():
    assert problems_of("weighbridge: 1\nname: no\n") == [
        '2:7: name: `no` is false to some YAML readers and text to others (write "no" for text, or false)'
    ]


def test_what_was_taken_out_is_known():
    structure = read_structure(PolicyDocument, policy(max_clock_skew="soon", zzz=1))
    assert structure.document.name == "base"
    assert structure.taken_out == {("max_clock_skew",), ("zzz",)}
    assert not structure.is_whole("max_clock_skew")
    assert structure.is_whole("freshness")
    assert structure.mentions("zzz")


def test_every_kind_of_mistake_has_words_of_our_own():
    """House rule: no type names and no library's words in what people read."""
    found = mistakes(
        policy(name=[1], sources=5, operations={"a": {"kind": 1, "cost_class": None, "declares_proposal": "x"}})
    )
    assert not [text for text in found if "input should" in text or "valid " in text or "type" in text]
    assert len(found) == 5
