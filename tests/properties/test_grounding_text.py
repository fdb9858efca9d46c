"""A value stands in a text exactly where a brute-force reading of R5 says so, and normalisation is only what is named."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.validators.builders import REFERENCE, judge, policy
from weighbridge.validators.boundaries import BRACKETS, CLOSING_PUNCTUATION, QUOTES, WHITE_SPACE, stands_in

BOUNDS = "".join(sorted(WHITE_SPACE | QUOTES | BRACKETS))
CLOSING = "".join(sorted(CLOSING_PUNCTUATION))
CHARACTERS = st.sampled_from(
    ["a", "b", "ab", ".", ",", "?", " ", "\n", "\u00a0", "(", ")", '"', "\u2019", "-", "@", "\u200b", "\u3002"]
)
TEXTS = st.lists(CHARACTERS, max_size=14).map("".join)
VALUES = st.lists(CHARACTERS, min_size=1, max_size=4).map("".join)


def bounded(value, text):
    """R5 as a regular expression with look-around, which the product does without."""
    before, after = f"(?<![^{re.escape(BOUNDS)}])", f"(?=[{re.escape(CLOSING)}]*(?:[{re.escape(BOUNDS)}]|\\Z))"
    return re.search(before + re.escape(value) + after, text) is not None


@given(VALUES, TEXTS)
def test_boundaries_equal_brute_force(value, text):
    """R5: bounded by start, end, white space, quotes, brackets or closing punctuation followed by one of these."""
    assert stands_in(value, text) == bounded(value, text)


@given(VALUES, TEXTS, TEXTS)
def test_a_value_that_is_put_between_boundaries_is_found(value, before, after):
    """R5: whatever stands around it."""
    assert stands_in(value, f"{before} {value} {after}")
    assert stands_in(value, f"{before}({value}).")


@given(VALUES, TEXTS, st.lists(st.sampled_from(["case_folded", "trimmed"]), unique=True), st.booleans())
def test_a_value_is_grounded_exactly_where_it_equals_a_leaf_or_stands_in_a_text(value, leaf, normalise, text):
    """R5: equal in type and value, or, where text is admitted, between boundaries; normalised as named and not otherwise."""
    rule = {"id": "v", "field": "v", "normalise": normalise, "text": text}
    evidence = [{"reference": REFERENCE, "content": {"x": leaf}}]
    result = judge("grounding", policy(grounding={"values": [rule]}), arguments={"v": value}, evidence=evidence)

    def normal(one):
        one = one.casefold() if "case_folded" in normalise else one
        return one.strip() if "trimmed" in normalise else one

    wanted, held = normal(value), normal(leaf)
    stands = wanted == held or (text and wanted != "" and bounded(wanted, held))
    assert result.reason == ("GROUNDED" if stands else "UNGROUNDED_VALUE")
