"""Typed equality is equality of canonical bytes, and arithmetic is that of fractions (C1, R5)."""

from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from weighbridge import canonical
from weighbridge.validators.values import exact, fraction, same, typed_key, within

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.0, -0.0, 1.5])
    | st.sampled_from(["", "1", "true"])
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2), max_leaves=6
)
LIMITS = st.decimals(0, 10**6, allow_nan=False, places=4)


@given(JSON, JSON)
def test_values_are_the_same_where_their_canonical_bytes_are(one, other):
    """C1: 1 equals 1.0, true is not 1, order of keys is nothing."""
    assert same(one, other) == (canonical.encode(one) == canonical.encode(other))
    assert (typed_key(one) == typed_key(other)) == same(one, other)


def _as_fraction(number):
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


@given(NUMBERS)
def test_numbers_are_their_decimal_text(number):
    """C1: exact."""
    digits, exponent = exact(number)
    assert Fraction(digits) * Fraction(10) ** exponent == _as_fraction(number)
    assert Fraction(*fraction(number)) == _as_fraction(number)


@given(NUMBERS, NUMBERS, LIMITS, st.booleans())
def test_deltas_are_exact(number, base, limit, percent):
    """C1: max_delta is arithmetic on fractions, for absolute limits and percentages."""
    assume(abs(number) < 1e30)
    allowed = Fraction(limit) * (abs(_as_fraction(base)) / 100 if percent else 1)
    expected = abs(_as_fraction(number) - _as_fraction(base)) <= allowed
    assert within(number, base, fraction(limit), percent=percent) == expected


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6), st.integers(0, 500))
def test_percentages_hold_at_their_edge(base, step, percent):
    """C1: the limit itself is within, one step beyond is not."""
    edge = Fraction(abs(base) * percent, 100)
    assume(edge.denominator == 1)
    assert within(base + int(edge), base, fraction(percent), percent=True)
    assert not within(base + int(edge) + step, base, fraction(percent), percent=True)
