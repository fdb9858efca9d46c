import pytest

from tests.unit.validators.builders import field, judge, rules


def applies(when, arguments, *, path="items[*].amount", state=None):
    """Return whether a rule that no amount keeps was applied."""
    rule = {"rule": "at_most", "field": path, "value": 0, "when": when}
    fields = {"account": field(state if state is not None else {"tier": "gold"})}
    return judge("contradiction", rules(rule), arguments=arguments, fields=fields).reason == "CONTRADICTION"


def test_conditions_limit_a_rule_to_cases():
    """C1: by equality on snapshot or proposal fields; all of them must hold."""
    kind, tier = {"field": "kind", "equals": "discount"}, {"snapshot": "account.tier", "equals": ["gold", "silver"]}
    arguments = {"amount": 1, "kind": "discount"}
    assert applies([kind, tier], arguments, path="amount")
    assert not applies([kind, tier], {**arguments, "kind": "other"}, path="amount")
    assert not applies([kind, {**tier, "equals": "bronze"}], arguments, path="amount")


@pytest.mark.parametrize(("value", "equals"), [(1, True), (True, 1), ("1", 1), (None, 0), (0, False)])
def test_equality_in_conditions_is_typed(value, equals):
    """C1: true is not 1."""
    assert not applies([{"field": "kind", "equals": equals}], {"amount": 1, "kind": value}, path="amount")


def test_an_absent_value_equals_nothing():
    """C1: not even in a list of values; null is a value."""
    assert not applies([{"field": "kind", "equals": ["x", False]}], {"amount": 1}, path="amount")
    assert not applies([{"snapshot": "nothing.here", "equals": ["x"]}], {"amount": 1}, path="amount")


def test_an_untrusted_snapshot_field_fulfils_no_condition():
    """C1: conditions read what rules read."""
    rule = {"rule": "at_most", "field": "amount", "value": 0, "when": [{"snapshot": "account.tier", "equals": "gold"}]}
    fields = {"account": field({"tier": "gold"}, "web")}
    assert judge("contradiction", rules(rule), arguments={"amount": 1}, fields=fields).reason == "CONSISTENT"


def test_a_condition_through_the_rules_own_star_speaks_of_the_same_element():
    """C1: each match is judged with the conditions of its own element."""
    when = [{"field": "items[*].kind", "equals": "x"}]
    assert applies(when, {"items": [{"amount": 1, "kind": "x"}]})
    assert not applies(when, {"items": [{"amount": 1, "kind": "y"}, {"kind": "x"}]})
    assert not applies(when, {"items": [{"amount": 1}], "kind": "x"})


def test_any_other_condition_is_read_in_the_element_and_in_the_arguments():
    """C1: it holds where either has the value; `$.` is the arguments alone."""
    when = [{"field": "kind", "equals": "x"}]
    assert applies(when, {"items": [{"amount": 1, "kind": "x"}]})
    assert applies(when, {"items": [{"amount": 1}], "kind": "x"})
    assert applies(when, {"items": [{"amount": 1, "kind": "y"}], "kind": "x"})
    assert not applies(when, {"items": [{"amount": 1, "kind": "y"}], "kind": "y"})
    rooted = [{"field": "$.kind", "equals": "x"}]
    assert applies(rooted, {"items": [{"amount": 1}], "kind": "x"})
    assert not applies(rooted, {"items": [{"amount": 1, "kind": "x"}], "kind": "y"})


def test_a_condition_with_several_values_holds_where_any_does():
    """C1: a rule applies rather too often than too seldom."""
    arguments = {"amount": 1, "tags": ["a", "b"]}
    assert applies([{"field": "tags[*]", "equals": "b"}], arguments, path="amount")
    assert not applies([{"field": "tags[*]", "equals": "c"}], arguments, path="amount")
    state = {"tags": ["gold", "old"]}
    assert applies([{"snapshot": "account.tags[*]", "equals": "old"}], arguments, path="amount", state=state)


def test_a_snapshot_condition_may_be_keyed_by_the_element():
    """C1: a snapshot path may be keyed by a value of the proposal's element."""
    state = {"i1": "open", "i2": "closed"}
    when = [{"snapshot": "account.{id}", "equals": "open"}]
    assert applies(when, {"items": [{"id": "i1", "amount": 1}]}, state=state)
    assert not applies(when, {"items": [{"id": "i2", "amount": 1}, {"id": "i1"}]}, state=state)


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "at_most", "field": "amount", "value": 9},
        {"rule": "one_of", "field": "amount", "values": [1]},
        {"rule": "date_window", "field": "day", "snapshot": "account.day", "latest": "9d"},
        {"rule": "requires_state", "snapshot": "account.tier", "values": ["gold"]},
    ],
)
def test_what_a_condition_leaves_out_is_not_compared(rule):
    """C1: not even where it would hold; the count in the details says so."""
    fields = {"account": field({"tier": "gold", "day": "2026-11-22"})}
    arguments = {"amount": 1, "day": "2026-11-23", "kind": "x"}
    for equals, compared in (("x", 1), ("y", 0)):
        under = rules({**rule, "when": [{"field": "kind", "equals": equals}]})
        assert judge("contradiction", under, arguments=arguments, fields=fields).details == {"checked": compared}
