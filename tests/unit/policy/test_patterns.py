"""P3: regular expressions of policies take linear time, and find something where they match."""

import pytest

from weighbridge.policy.patterns import LENGTH_MAX, compile_pattern


def test_a_pattern_finds_what_it_says():
    assert [match.group() for match in compile_pattern(r"\b[0-9]{4}\b").finditer("1234 x 56789 4321")] == [
        "1234",
        "4321",
    ]


def test_a_pattern_that_explodes_elsewhere_is_linear_here():
    """P3: nested repetition over 200,000 characters answers at once; a backtracking engine would never."""
    assert compile_pattern(r"(a+)+$").search("a" * 200_000 + "b") is None


@pytest.mark.parametrize(
    "regex",
    ["", "a*", "a|", "(?:)", r"\b", r"\B", "^", "$", r"\A", r"\z", "(?m)^", r"a?\b", "(?m)^$", "x{0,3}", r"(?i)a*?"],
)
def test_patterns_that_match_the_empty_text_are_refused(regex):
    with pytest.raises(ValueError, match="empty text"):
        compile_pattern(regex)


@pytest.mark.parametrize(
    ("regex", "reason"),
    [
        ("(", "RE2 expression"),
        ("[", "RE2 expression"),
        (r"(?=a)b", "lookaround"),
        (r"(a)\1", "back-references"),
        ("a" * (LENGTH_MAX + 1), "characters"),
        ("((a{1000}){1000}){1000}", "RE2 expression"),
    ],
)
def test_what_re2_refuses_is_refused_with_its_reason(regex, reason):
    with pytest.raises(ValueError, match=reason):
        compile_pattern(regex)
