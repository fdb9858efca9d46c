import pytest

from weighbridge.validators.text_json import STARTS, NestedTooDeep, Pairs, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Pairs()),
        ("[]", []),
        ('{"a": [1, 2.5, null, true]}', Pairs([("a", [1, 2.5, None, True])])),
        ('{"a": 1, "a": {"b": 2}}', Pairs([("a", 1), ("a", Pairs([("b", 2)]))])),
        ("[NaN, -Infinity]", ["NaN", "-Infinity"]),
        ("[12345678901234567, 1234567890123456789]", [12345678901234567, "1234567890123456789"]),
        ('\ufeff ["\x00"] ', ["\x00"]),
    ],
)
def test_objects_and_arrays_are_read_leniently(text, expected):
    """P2: whoever reads the text later may be lenient, so nothing can hide behind strictness."""
    assert parse(text, nesting_max=64) == expected
    assert text[0] in STARTS


@pytest.mark.parametrize(
    "text", ["", "{", "]", "{]", "[}", '"x"', "1", "null", "{'a': 1}", "[1,]", '{"a"}', "[1] x", "{{}}"]
)
def test_anything_else_is_text(text):
    """P2: only a string that parses as a JSON object or array."""
    assert parse(text, nesting_max=64) is None


def test_nesting_is_counted_exactly_and_outside_strings_only():
    """P2, G4: the limit is ours, not the parser's."""
    assert parse("[[[]]]", nesting_max=3) == [[[]]]
    with pytest.raises(NestedTooDeep):
        parse("[[[]]]", nesting_max=2)
    assert parse('["[[[[", "\\"[[["]', nesting_max=1) == ["[[[[", '"[[[']
    assert parse('[{"a": []}, {"b": []}]', nesting_max=3) is not None
    assert parse("[[], [], [[]]]", nesting_max=3) == [[], [], [[]]]
    with pytest.raises(NestedTooDeep):
        parse("[[], [], [[]]]", nesting_max=2)
    assert parse('["\\\n[[[", "]"]', nesting_max=1) is None
    with pytest.raises(NestedTooDeep):
        parse('["a", "[[ ]', nesting_max=2)


def test_long_texts_take_linear_time():
    """P2: a text is the agent's to choose."""
    for text in ("[" + '"\\' * 300_000 + "]", "[" + '{"a' * 300_000 + "]", "{" + "[]" * 300_000 + "}"):
        assert parse(text, nesting_max=400_000) is None
