import pytest

from tests.unit.validators.builders import judge, policy
from weighbridge.domain.paths import parse_field_pattern
from weighbridge.policy.effective import ValuePattern
from weighbridge.policy.patterns import compile_pattern
from weighbridge.validators.value_patterns import Sieve, is_siftable, matches, text_of


def pattern(regex=None, checksum=None, normalise=()):
    compiled = None if regex is None else compile_pattern(regex)
    fields = (parse_field_pattern("**"),)
    return ValuePattern("p", "X", fields, regex, checksum, None, compiled, frozenset(normalise))


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (1.50, "1.5"), (1e21, "1e+21"), (True, None), (False, None), (None, None), ("\ud800", "?")],
)
def test_a_number_is_searched_in_its_canonical_form(value, text):
    """P3: so that 1.50 and 1.5 are one value."""
    assert text_of(value) == text


def test_an_expression_is_searched_for_anywhere():
    """P3: a linear-time regular expression."""
    assert matches(pattern(r"\b[0-9]{3}\b"), "call 123 now")
    assert not matches(pattern(r"\b[0-9]{3}\b"), "call 1234 now")
    assert matches(pattern(r"^é+$"), "éé")


def test_a_checksum_alone_takes_the_whole_value():
    """P3: the whole value is the one candidate."""
    assert matches(pattern(checksum="luhn"), "4111111111111111")
    assert not matches(pattern(checksum="luhn"), "4111 1111 1111 1111")
    assert not matches(pattern(checksum="luhn"), "card 4111111111111111")
    stripped = pattern(checksum="luhn", normalise=["strip_separators"])
    assert matches(stripped, "4111 1111-1111\u20111111")


def test_with_both_each_candidate_is_checked():
    """P3: one that checks is enough."""
    cards = pattern(r"[0-9](?:[ -]?[0-9]){12,18}", "luhn", ["strip_separators"])
    assert matches(cards, "old 4111 1111 1111 1112, new 4111-1111-1111-1111.")
    assert not matches(cards, "order 4111 1111 1111 1112")
    assert not matches(pattern(r"[0-9](?:[ -]?[0-9]){12,18}", "luhn"), "4111 1111 1111 1111")


def test_an_expression_alone_also_looks_at_the_text_without_separators():
    """P3: where the pattern names it; the text as it stands still counts."""
    digits = pattern("^[0-9]{8}$", normalise=["strip_separators"])
    assert matches(digits, "1234-5678")
    assert matches(digits, "12345678")
    assert not matches(digits, "1234/5678")
    assert not matches(pattern("^[0-9]{8}$"), "1234-5678")
    assert matches(pattern("a b", normalise=["strip_separators"]), "a b")
    assert not is_siftable(digits)


def test_nfkc_is_applied_where_it_is_named():
    """P3: full-width digits are digits to people."""
    fullwidth = "\uff11\uff12\uff13"
    assert matches(pattern("123", normalise=["nfkc"]), fullwidth)
    assert not matches(pattern("123"), fullwidth)


@pytest.mark.parametrize("regex", [r"\A1", r"1\z", r"(?-m)^1", r"(?i-m:^1)", r"\Q1\E"])
def test_patterns_about_the_whole_text_are_not_sifted(regex):
    """P3: one search over all texts must never miss what a search of one finds."""
    assert not is_siftable(pattern(regex))


def test_a_checksum_alone_is_not_sifted():
    assert not is_siftable(pattern(checksum="luhn"))


def test_the_sieve_lets_pass_whatever_a_pattern_finds():
    """P3: edges of texts are edges of lines, in every place and for several patterns."""
    sieve = Sieve([pattern("^1$"), pattern(r"\bx\b"), pattern("(?i)HELLO"), pattern("7", normalise=["nfkc"])])
    for text in ("1", "a x", "hello", "hEllo there", "\uff17"):
        assert sieve.lets_pass(["clean", text, "clean"])
        assert sieve.lets_pass([text])
    assert not sieve.lets_pass(["11", "ax", "hell o", "", "\uff11"])
    assert not sieve.lets_pass([])


def test_expressions_too_large_for_one_are_not_sifted():
    """P3: each fits into the engine's memory, both together do not; everything then passes the sieve."""
    large = [pattern(rf"(?:\pL{{300}}){{1}}{end}") for end in "ab"]
    assert not Sieve(large[:1]).lets_pass(["nothing"])
    assert Sieve(large).lets_pass(["nothing"])


def test_several_patterns_everywhere_find_what_each_would_find_alone():
    """P3: the sieve changes no answer."""
    regexes = {"digits": "^[0-9]+$", "whole": r"\Aab\z", "word": r"\bcat\b", "any": "(?i)DOG"}
    rules = [{"id": n, "class": "X", "fields": ["**"], "regex": r} for n, r in regexes.items()]
    arguments = {"a": "12", "b": "ab", "c": "my cat", "d": "a dog", "e": 7, "f": "concatenate", "g": "12\n13"}

    def found(chosen):
        result = judge("compliance", policy(compliance={"value_patterns": chosen}), arguments=arguments)
        return {(entry["rule"], entry["path"]) for entry in result.details.get("violations", [])}

    together = found(rules)
    assert together == set().union(*(found([rule]) for rule in rules))
    assert together == {("digits", "a"), ("digits", "e"), ("whole", "b"), ("word", "c"), ("any", "d")}
