import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from weighbridge.domain.decision import Sealed
from weighbridge.domain.verdict import Verdict
from weighbridge.validators.values import (
    SHOWN_TEXT_MAX,
    exact,
    fraction,
    instant_of,
    is_number,
    same,
    shown,
    typed_key,
    within,
)

DISTINCT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    1.5,
    "",
    "1",
    "true",
    "null",
    [],
    [1],
    [True],
    ["1"],
    {},
    {"a": 1},
    {"a": "1"},
    {"b": 1},
    [[]],
]


def test_equality_is_typed():
    """C1, R5: equal in type and value; nothing crosses a type."""
    for one, other in itertools.combinations(DISTINCT, 2):
        assert not same(one, other), (one, other)
        assert typed_key(one) != typed_key(other)
    for value in DISTINCT:
        assert same(value, value)


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (0, -0.0), ([1], [1.0]), ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}), ("ALLOW", Verdict.ALLOW)],
)
def test_json_has_one_kind_of_number(one, other):
    """C1: 1 equals 1.0, wherever it stands; the order of keys is nothing."""
    assert same(one, other)
    assert hash(typed_key(one)) == hash(typed_key(other))


def test_booleans_are_no_numbers():
    """C3: they cannot be placed among numbers."""
    assert is_number(1)
    assert is_number(1.5)
    assert not any(is_number(value) for value in (True, False, None, "1", [1], Decimal(1)))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, 0),
        (-17, -17),
        (0.1, "0.1"),
        (-2.5, "-2.5"),
        (1e22, 10**22),
        (5e-324, "5e-324"),
        ("10.50", "10.5"),
        (Decimal("1E+3"), 1000),
    ],
)
def test_a_number_is_exactly_its_decimal_text(number, expected):
    """C1: 0.1 is one tenth, not the double next to it."""
    digits, exponent = exact(number)
    assert Fraction(digits) * Fraction(10) ** exponent == Fraction(expected)
    assert Fraction(*fraction(number)) == Fraction(expected)


@pytest.mark.parametrize("text", ["", "x", "1,5", "0x10", "Infinity", "1/3", "\u0661"])
def test_what_is_no_decimal_number_is_refused(text):
    with pytest.raises(ValueError, match="no decimal number"):
        exact(text)


def test_within_is_exact():
    """C1: max_delta; the arithmetic of doubles would say otherwise in each of these."""
    assert 0.3 - 0.2 > 0.0999999
    assert within(0.3, 0.2, fraction("0.1"), percent=False)
    assert 1.1 * 3 != 3.3
    assert within(3.3, 3, fraction(10), percent=True)
    assert not within(3.3000000000000003, 3, fraction(10), percent=True)
    assert within(1e300, 1e300, fraction(0), percent=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:00.001Z", 1),
        ("2026-02-29", None),
        ("1970-1-1xx", None),
        ("19700101", None),
        (86_400, None),
        (None, None),
    ],
)
def test_a_date_is_its_midnight_in_utc(value, expected):
    """C1: date_window places RFC 3339 instants and full dates, nothing else."""
    assert instant_of(value) == expected


def test_what_details_show():
    """C3, L6: single short values, unless the field is personal or restricted."""
    assert shown("open", personal=False) == "open"
    assert shown("x" * SHOWN_TEXT_MAX, personal=False) == "x" * SHOWN_TEXT_MAX
    kept_apart: list[Any] = ["x" * (SHOWN_TEXT_MAX + 1), [], {"a": 1}]
    assert [shown(value, personal=False) for value in kept_apart] == [Sealed(value) for value in kept_apart]
    assert [shown(value, personal=True) for value in (None, 1, "open")] == [Sealed(None), Sealed(1), Sealed("open")]
