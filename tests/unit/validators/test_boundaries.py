import unicodedata

import pytest

from weighbridge.validators.boundaries import BRACKETS, CLOSING_PUNCTUATION, QUOTES, WHITE_SPACE, stands_in

VALUE = "kim@example.org"


@pytest.mark.parametrize(
    "text",
    [
        VALUE,
        f"write to {VALUE} today",
        f"<{VALUE}>",
        f'"{VALUE}"',
        f"({VALUE}).",
        f"{VALUE}, and others",
        f"is it {VALUE}?",
        f"yes, {VALUE}...",
        f"really: {VALUE}?!\n",
        f"{VALUE};(or not)",
        f"x{VALUE} {VALUE}",
        f"{VALUE}.evil, {VALUE}",
        f"\u3000{VALUE}\u3002",
    ],
)
def test_a_value_between_boundaries_stands_in_the_text(text):
    """R5: start, end, white space, quotes, brackets, or closing punctuation followed by one of these."""
    assert stands_in(VALUE, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kim@example",
        f"{VALUE}.evil.example",
        f"{VALUE},x",
        f"not-{VALUE}",
        f"xkim{VALUE}",
        f".{VALUE}",
        f"mailto:{VALUE}",
        f"{VALUE}-x",
        f"{VALUE}/path",
        f"{VALUE}\u200b",
        f"{VALUE}_",
        f"{VALUE}0",
    ],
)
def test_a_value_without_boundaries_does_not(text):
    """R5: closing punctuation bounds only after the value, and only where a boundary follows it."""
    assert not stands_in(VALUE, text)


@pytest.mark.parametrize("text", ["", " ", "anything"])
def test_the_empty_text_stands_nowhere(text):
    """R5: it would stand everywhere."""
    assert not stands_in("", text)


def test_the_table_is_what_its_names_say():
    """R5, G4: a fixed table of code points, each of which Unicode calls what we call it; none is in two kinds."""
    assert all(c.isspace() for c in WHITE_SPACE)
    assert all(unicodedata.category(c) in {"Ps", "Pe", "Sm"} for c in BRACKETS)
    assert all(unicodedata.category(c) in {"Pi", "Pf", "Ps", "Pe", "Po", "Sk"} for c in QUOTES)
    assert all(unicodedata.category(c) == "Po" for c in CLOSING_PUNCTUATION)
    kinds = [WHITE_SPACE, BRACKETS, QUOTES, CLOSING_PUNCTUATION]
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds))


def test_every_bracket_and_quote_comes_with_its_other_half():
    """R5: what opens also closes."""
    brackets, quotes = (
        "()[]{}<>\u27e8\u27e9\u3008\u3009\uff08\uff09\uff3b\uff3d",
        "\u300c\u300d\u2018\u2019\u201c\u201d\u00ab\u00bb",
    )
    for character in brackets + quotes:
        assert stands_in("x", f"{character}x{character}")
