"""A converted price is the least whole number of pico-dollars that is not below what the map says."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.policy.price_map import PRICE_MAX, convert

DOLLARS = st.builds(
    lambda digits, exponent: Decimal((0, tuple(int(digit) for digit in str(digits)), exponent)),
    st.integers(0, 10**40),
    st.integers(-60, -20),
).filter(lambda dollars: Fraction(dollars) * 10**12 <= PRICE_MAX)
SPELLINGS = st.sampled_from(["{}", "{:f}", "{:e}", "{:E}"])


@given(DOLLARS, DOLLARS, SPELLINGS)
def test_no_price_is_below_what_is_stated_and_none_a_whole_pico_dollar_above(read, answered, spelling):
    """B2: money is integer pico-units, exact; what is none is rounded up."""
    texts = spelling.format(read), spelling.format(answered)
    converted = convert(
        '{{"m": {{"input_cost_per_token": {}, "output_cost_per_token": {}}}}}'.format(*texts).encode(), free=True
    )
    price = converted.models["m"]
    for pico, dollars in ((price.input, read), (price.output, answered)):
        assert pico - 1 < Fraction(dollars) * 10**12 <= pico
    assert ("m" in converted.rounded) == any(
        (Fraction(dollars) * 10**12).denominator > 1 for dollars in (read, answered)
    )


@given(DOLLARS, DOLLARS, st.integers(1, 9999))
def test_no_tier_lowers_a_price(base, tier, length):
    """B2: what is reserved is never too little, however long the input gets."""
    tiered = f'"input_cost_per_token": {base}, "input_cost_per_token_above_{length}k_tokens": {tier}'
    data = f'{{"m": {{{tiered}, "output_cost_per_token": 0}}}}'.encode()
    highest, lowest = (convert(data, base=flag, free=True).models["m"].input for flag in (False, True))
    assert highest - 1 < Fraction(max(base, tier)) * 10**12 <= highest
    assert lowest - 1 < Fraction(base) * 10**12 <= lowest
