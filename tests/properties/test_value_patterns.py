"""Looking through all texts at once finds what looking through each of them finds (P3)."""

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.validators.builders import judge, policy
from weighbridge.domain.paths import parse_field_pattern
from weighbridge.policy.effective import ValuePattern
from weighbridge.policy.patterns import compile_pattern
from weighbridge.validators import value_patterns

REGEXES = [
    "^ab$",
    r"\bab\b",
    r"ab\B",
    "^a",
    "b$",
    "(?i)AB",
    "a.b",
    r"a\sb",
    "[^a]b",
    "(?s)a.b",
    r"\Aab\z",
    "(?m)^b$",
    "\uff41",
]
PIECES = st.sampled_from(["a", "b", "A", "B", "\n", " ", "-", "_", "\r", "\uff41", "\u0301", "1"])
TEXTS = st.lists(st.lists(PIECES, max_size=6).map("".join), max_size=4)


def rules(regexes, normalise):
    return [
        {"id": f"p{n}", "class": "X", "fields": ["**"], "regex": regex, "normalise": normalise}
        for n, regex in enumerate(regexes)
    ]


@given(st.lists(st.sampled_from(REGEXES), min_size=1, max_size=4, unique=True), TEXTS, st.sampled_from([[], ["nfkc"]]))
def test_together_patterns_find_what_each_finds_alone(regexes, texts, normalise):
    """P3: exact, whatever the edges of texts and whatever stands beside them."""
    section = {"value_patterns": rules(regexes, normalise)}
    result = judge("compliance", policy(compliance=section), arguments={"texts": texts})
    found = {(entry["rule"], entry["path"]) for entry in result.details.get("violations", [])}
    expected = set()
    for n, regex in enumerate(regexes):
        one = ValuePattern(
            "p", "X", (parse_field_pattern("**"),), regex, None, None, compile_pattern(regex), frozenset(normalise)
        )
        expected |= {
            (f"p{n}", f"texts[{place}]") for place, text in enumerate(texts) if value_patterns.matches(one, text)
        }
    assert found == expected
