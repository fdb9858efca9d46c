"""The kinds of contradiction rules: all that the contract names, each with its parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.documents import effective, mistakes, rules
from weighbridge.policy.rule_kinds import KINDS_BY_NAME, RULE_KINDS, kind_name

EXAMPLES: dict[str, dict[str, Any]] = {
    "eq": {"field": "a", "snapshot": "b"},
    "differs": {"field": "a", "snapshot": "b"},
    "one_of": {"field": "a", "values": [1, "x", True, None]},
    "member_of": {"field": "a[*].id", "snapshot": "b[*].id"},
    "at_most": {"field": "a", "snapshot": "b.{$.id}"},
    "at_least": {"field": "a", "value": 0.5},
    "count_max": {"field": "a[*]", "max": 3},
    "max_delta": {"field": "a", "snapshot": "b", "percent": 10},
    "no_backward": {"field": "a", "snapshot": "b", "ordering": ["x", "y"]},
    "transitions": {"field": "a", "snapshot": "b", "allowed": {"x": ["y"]}},
    "date_window": {"field": "a", "earliest": "-30d"},
    "requires_state": {"snapshot": "b", "values": ["open"]},
}


def test_the_kinds_are_those_of_the_contract():
    """C1: eq, differs, one_of, member_of, at_most, at_least, count_max, max_delta, no_backward, transitions, date_window,
    requires_state."""
    assert set(KINDS_BY_NAME) == set(EXAMPLES)
    assert [kind_name(kind) for kind in RULE_KINDS] == list(KINDS_BY_NAME)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_kind_loads_compiles_and_takes_limits_to_cases(kind):
    """C1: every kind can be limited to action types and to cases, with a severity of its own."""
    limits = {
        "action_types": ["note"],
        "severity": "WARN",
        "when": [{"field": "k", "equals": [1, None]}, {"snapshot": "s.{k}", "equals": "x"}],
    }
    rule = {"id": "r", "rule": kind, **EXAMPLES[kind]}
    assert mistakes(rules(rule)) == []
    (made,) = effective(rules({**rule, **limits})).contradiction.rules
    assert made.rule == kind
    assert made.action_types == {"note"}
    assert made.severity == "WARN"
    assert len(made.when) == 2


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_kind_takes_a_parameter_of_another(kind):
    taken = set(KINDS_BY_NAME[kind].model_fields)
    for key in {key for example in EXAMPLES.values() for key in example} - taken:
        found = mistakes(
            rules({"id": "r", "rule": kind, **EXAMPLES[kind], key: next(e[key] for e in EXAMPLES.values() if key in e)})
        )
        assert found == [f"contradiction.rules[0].{key}: unknown key `{key}` in a rule of kind `{kind}`"]
