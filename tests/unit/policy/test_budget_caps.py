"""Caps against caps: which one applies wherever another does, and which makes another pointless."""

from __future__ import annotations

import pytest

from weighbridge.policy.budget_caps import may_meet, shadows, uncovered_classes
from weighbridge.policy.complete import complete_cap


def cap(limit, **parts):
    made = {"id": "a", "unit": "operations", "period": "DAY", "hard_cap": str(limit), **parts}
    return complete_cap(made)


UNLIMITED = "unlimited"


@pytest.mark.parametrize(
    ("strict", "other", "expected"),
    [
        (cap(50), cap(50), True),
        (cap(50), cap(60), True),
        (cap(51), cap(50), False),
        (cap(50), cap(60, unit="tokens"), False),
        (cap(50, period="MONTH"), cap(60), True),
        (cap(50), cap(60, period="MONTH"), False),
        (cap(50, period="PLAN"), cap(60, scope={"plan": "each"}), True),
        (cap(50, period="PLAN"), cap(60), False),
        (cap(50), cap(60, scope={"account": "each"}), True),
        (cap(50, scope={"account": "each"}), cap(60), False),
        (cap(50, scope={"account": "each"}), cap(60, scope={"account": "x"}), True),
        (cap(50, scope={"account": "x"}), cap(60, scope={"account": "each"}), False),
        (cap(50, scope={"account": "x"}), cap(60, scope={"account": "y"}), False),
        (cap(50, scope={"account": "x"}), cap(60, scope={"account": "x", "tool": "t"}), True),
        (cap(50, cost_classes=["CHEAP"]), cap(60, cost_classes=["CHEAP", "MEDIUM"]), False),
        (cap(50, cost_classes=["CHEAP", "MEDIUM"]), cap(60, cost_classes=["CHEAP"]), True),
        (cap(50), cap(60, soft_cap="55"), True),
        (cap(50), cap(60, soft_cap="40"), False),
        (cap(50, soft_cap="40"), cap(60, soft_cap="40"), True),
        (cap(50), cap(60, justification=True), False),
        (cap(50, justification=True), cap(60), True),
        (cap(50, settlement=True), cap(60), False),
        (cap(50), cap(60, settlement=True), True),
        (cap(50), cap(UNLIMITED), True),
        (cap(50), cap(UNLIMITED, scope={"account": "each"}), False),
        (cap(UNLIMITED), cap(UNLIMITED), True),
        (cap(UNLIMITED), cap(50), False),
    ],
)
def test_what_shadows_what(strict, other, expected):
    """B3, B4: only a cap that counts at least the same, and lets no more through, makes another pointless."""
    assert shadows(strict, other) is expected


def test_a_cap_is_covered_class_by_class_by_caps_that_always_apply():
    """B8: where no cap applied nothing went through, and caps for single values never add up to all of them."""
    wide = cap(5, scope={"account": "each"}, cost_classes=["CHEAP"])
    narrow = cap(5, scope={"account": "x"}, cost_classes=["MEDIUM"])
    assert uncovered_classes(cap(5), [wide, narrow]) == ["EXPENSIVE", "MEDIUM"]
    assert uncovered_classes(cap(5, scope={"account": "x"}), [wide, narrow]) == ["EXPENSIVE"]
    assert uncovered_classes(cap(5, scope={"account": "y"}, cost_classes=["MEDIUM"]), [narrow]) == ["MEDIUM"]
    assert uncovered_classes(cap(5, cost_classes=["CHEAP"]), [wide]) == []


def test_a_request_of_a_class_meets_a_cap_of_a_tool_of_that_class_or_a_lower_one():
    """B1: a request can raise the class of its operation, and not lower it."""
    operations = {"t": {"cost_class": "MEDIUM"}, "u": {"cost_class": "EXPENSIVE"}}
    for scope in ({"tool": "t"}, {"tool": "each"}, {}):
        assert may_meet(cap(5, scope=scope), operations, "MEDIUM")
        assert may_meet(cap(5, scope=scope), operations, "EXPENSIVE")
        assert not may_meet(cap(5, scope=scope), operations, "CHEAP")
    assert not may_meet(cap(5, scope={"tool": "u"}), operations, "MEDIUM")
    assert may_meet(cap(5, scope={"tool": "x"}), operations, "CHEAP")  # nobody says of what class it is
    assert may_meet(cap(5), {}, "CHEAP")
    assert may_meet(cap(5, scope={"tool": "t"}), {}, "MEDIUM")
    assert not may_meet(cap(5, cost_classes=["CHEAP"]), {}, "MEDIUM")
