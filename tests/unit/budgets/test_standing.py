"""Standings: every cap with its counters, the fullest first."""

from __future__ import annotations

import pytest

from weighbridge.budgets.decide import Counter, weigh
from weighbridge.budgets.standing import Standing, standings
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Period
from weighbridge.domain.verdict import Verdict
from weighbridge.testing.submissions import cap

KEYS = ("2026-11-22", "2026-11")
EACH = (("account", None),)


def test_every_cap_is_there_the_fullest_first_also_those_that_nothing_fell_under():
    """B3: an "each" cap has one counter for each value, and one for those without."""
    caps = [
        cap("day", 10),
        cap("each", 100, scope=EACH, period=Period.MONTH),
        cap("free", None),
        cap("idle", 5, scope=EACH),
        cap("one", 5, scope=(("account", "a-9"),)),
    ]
    counters = {
        "operations 2026-11-22 any": Counter(3),
        "operations 2026-11-21 any": Counter(10),  # another day
        'operations 2026-11 any account="a-1"': Counter(20),
        'operations 2026-11 any account="a-2"': Counter(70),
        "operations 2026-11 any account=(none)": Counter(1),
        'operations 2026-11 any plan="p-1"': Counter(99),  # another family
        'tokens 2026-11 any account="a-1"': Counter(99),
    }
    found = standings(caps, counters, KEYS)
    assert [(one.id, [(own.counter, own.usage) for own in rows]) for one, rows in found] == [
        (
            "each",
            [
                ('operations 2026-11 any account="a-2"', 70),
                ('operations 2026-11 any account="a-1"', 20),
                ("operations 2026-11 any account=(none)", 1),
            ],
        ),
        ("day", [("operations 2026-11-22 any", 3)]),
        ("idle", [(None, 0)]),
        ("one", [('operations 2026-11-22 any account="a-9"', 0)]),
        ("free", [("operations 2026-11-22 any", 3)]),
    ]
    assert [own.scope for own in found[0][1]] == [{"account": "a-2"}, {"account": "a-1"}, {"account": None}]


def test_a_cap_over_one_account_sees_its_counter_among_those_of_each():
    """B14: a counter is known by what it counts, whichever cap asks."""
    counters = {
        'operations 2026-11-22 any account="a-1"': Counter(4),
        'operations 2026-11-22 any account="b"': Counter(7),
    }
    ((_, rows),) = standings([cap("one", 5, scope=(("account", "a-1"),))], counters, KEYS)
    assert [(own.counter, own.usage) for own in rows] == [('operations 2026-11-22 any account="a-1"', 4)]


def test_classes_are_part_of_what_is_counted():
    """B14."""
    counters = {"operations 2026-11-22 CHEAP+MEDIUM": Counter(4), "operations 2026-11-22 any": Counter(9)}
    ((_, rows),) = standings([cap("two", 5, classes=[CostClass.MEDIUM, CostClass.CHEAP])], counters, KEYS)
    assert rows[0].usage == 4


def test_what_was_given_back_counts_for_caps_that_opted_in_alone():
    """B7."""
    counters = {"operations 2026-11-22 any": Counter(9, 4)}
    found = standings([cap("kept", 10), cap("settling", 10, settles=True)], counters, KEYS)
    assert {one.id: rows[0].usage for one, rows in found} == {"kept": 9, "settling": 5}
    assert {one.id: rows[0].kept for one, rows in found} == {"kept": 4, "settling": 0}


@pytest.mark.parametrize(
    ("usage", "hard", "soft", "expected"),
    [
        (0, 10, None, (10, 0, Verdict.ALLOW)),
        (7, 10, 8, (3, 70, Verdict.ALLOW)),
        (8, 10, 8, (2, 80, Verdict.WARN)),
        (9999, 10_000, None, (1, 99, Verdict.ALLOW)),
        (10, 10, 8, (0, 100, Verdict.BLOCK)),
        (15, 10, None, (0, 150, Verdict.BLOCK)),  # B14: lowered below what was used
        (0, 0, None, (0, 100, Verdict.BLOCK)),
        (5, None, None, (None, None, Verdict.ALLOW)),
        (5, None, 5, (None, None, Verdict.WARN)),
    ],
)
def test_a_standing_says_what_the_least_that_can_be_asked_for_would_meet(usage, hard, soft, expected):
    """B4: the same as the kernel says of one more."""
    one = Standing(cap("c", hard, soft=soft), "operations 2026-11-22 any", "2026-11-22", usage)
    assert (one.left, one.percent, one.verdict) == expected
    assert weigh([(one.cap, Counter(usage))], {"operations": 1}, justified=False).verdict is one.verdict
