from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.domain.json_text import NESTING_MAX, parse_strict
from weighbridge.errors import ContextError

_json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_json_values)
def test_reads_whatever_is_json_as_the_standard_library_does(value):
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    assert parse_strict(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"a": 1, "a": 1}', "holds the key `a` twice"),
        (b'[{"x": {"b": 1, "b": 2}}]', "holds the key `b` twice"),
        (b'{"a": NaN}', "holds `NaN`"),
        (b'{"a": -Infinity}', "holds `-Infinity`"),
        (b'{"a": 1e999}', "too large for a double"),
        (b'{"a": ' + b"9" * 5000 + b"}", "beyond 2**53 - 1"),
        (b'{"a": "\xff"}', "is not UTF-8 text (byte 8)"),
        (b'{"a": 1', "is not JSON: expecting ',' delimiter at character 8"),
        (b'{"a": 1} {"a": 2}', "is not JSON: extra data at character 10"),
        (b'{"a": "\x01"}', "invalid control character"),
        (b"", "is not JSON: expecting value"),
        (b"[" * 100_000, "nested more than 200 levels"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "nested more than 200 levels"),
    ],
)
def test_refuses_what_readers_could_understand_differently(text, words):
    with pytest.raises(ContextError) as raised:
        parse_strict(text)
    assert words in str(raised.value)


def test_the_nesting_limit_is_exact_and_the_same_on_every_interpreter():
    assert parse_strict(b"[" * NESTING_MAX + b"]" * NESTING_MAX) is not None
    with pytest.raises(ContextError, match="nested"):
        parse_strict(b"[" * (NESTING_MAX + 1) + b"]" * (NESTING_MAX + 1))


def test_brackets_inside_text_and_beside_each_other_do_not_nest():
    assert parse_strict(json.dumps(['[{\\"' * 500]).encode()) == ['[{\\"' * 500]
    assert parse_strict(b"[" + b",".join([b"[]"] * 1000) + b"]") == [[]] * 1000


def test_an_error_repeats_nothing_of_the_text_but_a_key():
    with pytest.raises(ContextError) as raised:
        parse_strict(b'{"password": "hunter2", "password": "hunter3"}')
    assert "hunter" not in str(raised.value)
