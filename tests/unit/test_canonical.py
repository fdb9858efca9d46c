import hashlib
import hmac

import pytest

from weighbridge import canonical
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import CanonicalError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ([], "[]"),
        ({}, "{}"),
        ({"b": 1, "a": [1, "x"]}, '{"a":[1,"x"],"b":1}'),
        ({"a": {"b": None, "a": False}}, '{"a":{"a":false,"b":null}}'),
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (0.000001, "0.000001"),
        (333333333.33333329, "333333333.3333333"),
        (1e20, "100000000000000000000"),
        (5e-324, "5e-324"),
        (2**53 - 1, "9007199254740991"),
        (-(2**53 - 1), "-9007199254740991"),
        ("1234567890123456", '"1234567890123456"'),
        ('\u20ac$\u000f\nA\'B"\\"/', '"\u20ac$\\u000f\\nA\'B\\"\\\\\\"/"'),
        ("\u2028\u007f\u0080", '"\u2028\u007f\u0080"'),
        ({"\ufb33": 1, "\U0001f600": 2, "\u20ac": 3}, '{"\u20ac":3,"\U0001f600":2,"\ufb33":1}'),
        ((1, (2,)), "[1,[2]]"),
        ({"verdict": Verdict.BLOCK}, '{"verdict":"BLOCK"}'),
        ({"n": 1.5, "verdict": Verdict.BLOCK}, '{"n":1.5,"verdict":"BLOCK"}'),
        ({"n": 1e30, "verdict": Verdict.BLOCK}, '{"n":1e+30,"verdict":"BLOCK"}'),
    ],
)
def test_a_value_has_one_byte_form(value, text):
    """G4: RFC 8785: keys in the order of their UTF-16 code units, numbers as ECMAScript writes them."""
    assert canonical.encode(value) == text.encode()
    data, copy = canonical.encode_and_decode(value)
    assert data == text.encode()
    assert canonical.encode(copy) == data
    assert canonical.decode(data) == copy
    assert canonical.encode(canonical.decode(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**53,
        -(2**53),
        10**400,
        "\ud800",
        "a\udfff",
        {"\ud800": 1},
        {1: "a"},
        {None: "a"},
        {True: "a"},
        b"bytes",
        {"a", "b"},
        object(),
        1j,
        [float("nan")],
        {"a": {"b": [2**53]}},
    ],
)
def test_what_has_none_is_refused(value):
    """G4: never approximated; the error says what to send instead."""
    with pytest.raises(CanonicalError):
        canonical.encode(value)
    with pytest.raises(CanonicalError):
        canonical.encode([1e30, value])


def test_what_only_looks_like_json_to_a_library_is_refused():
    """G4: a date, a decimal or a UUID would come back as text, and what is judged would not be what was hashed."""
    import datetime as dt
    import decimal
    import uuid

    for value in (dt.date(2026, 1, 1), decimal.Decimal("1.5"), uuid.UUID(int=0), dt.timedelta(1)):
        with pytest.raises(CanonicalError):
            canonical.encode({"a": value})


def test_nesting_without_end_is_refused():
    """A clear error, whatever the interpreter's own limit."""
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(CanonicalError, match="nested too deeply"):
        canonical.encode(value)


def test_the_copy_is_private():
    """G11: what is judged shares nothing with what the caller holds."""
    value: dict = {"a": [1, {"b": 2.0}]}
    _, copy = canonical.encode_and_decode(value)
    value["a"][1]["b"] = 3
    assert copy == {"a": [1, {"b": 2}]}
    assert type(copy["a"][1]["b"]) is int


def test_hashes():
    """L6: content is addressed by HMAC-SHA-256 under a key; everything else by SHA-256."""
    assert canonical.sha256_hex(b"abc") == hashlib.sha256(b"abc").hexdigest()
    for key in (b"", b"key", b"k" * 64, b"k" * 65, b"k" * 1000):
        assert canonical.keyed_hash(key, b"abc") == hmac.new(key, b"abc", "sha256").hexdigest()
