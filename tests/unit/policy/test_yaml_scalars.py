"""What a plain word means in a policy, and which words no two readers take alike."""

from __future__ import annotations

import pytest

from weighbridge.policy.yaml_scalars import LEFT_OUT, read_plain, read_text
from weighbridge.policy.yaml_text import read_policy_text


def only_problem(text):
    found = read_policy_text(text).problems
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("word", ["no", "No", "NO", "yes", "YES", "on", "Off", "y", "N", "True", "FALSE"])
def test_boolean_words_of_yaml_1_1_are_refused_with_advice(word):
    """G6: a country code `NO` is never read as false."""
    problem = only_problem(f"a: {word}")
    assert f"`{word}`" in problem.message
    assert f'"{word}"' in problem.write
    assert ("true" if word.lower() in {"yes", "on", "y", "true"} else "false") in problem.write


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("1:30", '"1:30" for text'),
        ("190:20:30", '"190:20:30" for text'),
        ("010", "10 for a number"),
        ("08", "8 for a number"),
        ("0o17", '"0o17" for text'),
        ("0x1F", '"0x1F" for text'),
        ("0b11", '"0b11" for text'),
        ("1_000", "1000 for a number"),
        ("+1", "1 for a number"),
        (".5", "0.5 for a number"),
        ("1.", "1 for a number"),
        ("1e3", "1000 for a number"),
        ("1.5e3", "1500 for a number"),
        ("2024-01-01", '"2024-01-01" for text'),
        ("2024-01-01T10:00:00Z", '"2024-01-01T10:00:00Z" for text'),
        ("2024-1-1 10:00:00", '"2024-1-1 10:00:00" for text'),
        (".inf", "for text"),
        ("-.inf", "for text"),
        (".NaN", "for text"),
        ("NaN", "for text"),
        ("-Infinity", "for text"),
        ("=", '"="'),
        ("Null", '"Null" for text'),
        ("NULL", '"NULL" for text'),
        ("9007199254740992", '"9007199254740992"'),
        ("-9007199254740993", '"-9007199254740993"'),
        ("1" * 5000, "1111"),
        ("0.1234567890123456789", "0.12345678901234568"),
        ("1.0e+400", "a smaller number"),
        ("1.0e+300", "a smaller number"),
    ],
)
def test_scalars_that_readers_take_differently_or_cannot_keep_are_refused(word, advice):
    problem = only_problem(f"a: {word}")
    assert (problem.line, problem.column) == (1, 4)
    assert advice in problem.write


def test_an_exponent_needs_a_point_unless_it_is_json():
    assert read_plain("1e3", is_json=True) == (1000.0, None)
    assert read_plain("1e3", is_json=False)[0] is LEFT_OUT
    assert read_plain("1.0e+3", is_json=False) == (1000.0, None)


@pytest.mark.parametrize("number", ["9007199254740991", "-9007199254740991", "0", "-7"])
def test_whole_numbers_are_kept_exactly_or_refused(number):
    assert read_plain(number, is_json=False) == (int(number), None)


def test_text_is_kept_but_for_what_has_no_place_in_it():
    assert read_text("no") == ("no", None)
    assert read_text("\ud83d\ude00") == ("😀", None)
    assert read_text("\ude00\ud83d")[0] is LEFT_OUT
    assert read_text("a\0b")[0] is LEFT_OUT
