"""Which caps apply, and to which counters."""

import pytest

from weighbridge.budgets.caps import applicable
from weighbridge.domain.amounts import CostClass
from weighbridge.testing.submissions import cap

CHEAP, EXPENSIVE = CostClass.CHEAP, CostClass.EXPENSIVE


@pytest.mark.parametrize(
    ("scope", "values", "tail"),
    [
        ((), {}, "any"),
        ((("account", None),), {"account": "a"}, 'any account="a"'),
        ((("account", None),), {"account": None}, "any account=(none)"),
        ((("account", None),), {}, "any account=(none)"),
        ((("account", "a"),), {"account": "a"}, 'any account="a"'),
        ((("account", "a"),), {"account": "b"}, None),
        ((("account", "a"),), {"account": None}, None),
        ((("account", "(none)"),), {"account": None}, None),
        ((("account", "a"), ("tool", "t")), {"account": "a", "tool": "t"}, 'any account="a" tool="t"'),
        ((("account", "a"), ("tool", "t")), {"account": "a", "tool": "u"}, None),
        ((("plan", None), ("tool", "t")), {"tool": "t", "account": "a"}, 'any plan=(none) tool="t"'),
    ],
)
def test_every_value_of_the_scope_must_match(scope, values, tail):
    """B3: "each" always applies, and whoever lacks the field shares one counter."""
    one = cap("c", 1, scope=scope)
    assert applicable([one], CHEAP, values) == (((one, tail),) if tail else ())


@pytest.mark.parametrize(
    ("classes", "applies", "tail"),
    [
        (None, True, "any"),
        ([EXPENSIVE], True, "EXPENSIVE"),
        ([EXPENSIVE, CHEAP], True, "CHEAP+EXPENSIVE"),
        ([CHEAP], False, ""),
    ],
)
def test_the_class_must_match(classes, applies, tail):
    """B2: one, several or any."""
    one = cap("c", 1, classes=classes)
    assert applicable([one], EXPENSIVE, {}) == (((one, tail),) if applies else ())


def test_every_cap_counts_for_itself():
    """B3: all that apply, in their order; one never hides another."""
    caps = [cap("b", 1), cap("a", 2), cap("x", 3, scope=(("account", "no"),)), cap("c", None)]
    assert [one.id for one, _ in applicable(caps, CHEAP, {"account": "yes"})] == ["b", "a", "c"]
