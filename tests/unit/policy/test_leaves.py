"""The smallest parts of a policy, each checked where it is written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from weighbridge.policy import leaves

Optional: Any = leaves.Maybe[str]  # type: ignore[misc] # an alias with metadata, used as a value


def read(kind: Any, value: Any) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refused(kind: Any, value: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        read(kind, value)
    return caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("14d", "14d"),
        ("36h", "1d12h"),
        ("2w", "14d"),
        ("90s", "1m30s"),
        ("1500ms", "1s500ms"),
        ("0s", "0s"),
        ("0d", "0s"),
    ],
)
def test_durations_have_one_spelling(text, plain):
    assert read(leaves.Duration, text) == plain
    assert read(leaves.Duration, plain) == plain


@pytest.mark.parametrize("value", ["", "14", "d", "-1d", "1.5d", "1y", "14 days", 14, None, True, "1d 2h "])
def test_what_is_no_duration_is_refused(value):
    assert "is no duration" in refused(leaves.Duration, value)


def test_a_duration_beyond_a_century_is_a_slip():
    """F3: what could not be kept exactly in milliseconds is never a limit."""
    assert "century" in refused(leaves.Duration, "999999999999w")
    assert "century" in refused(leaves.Duration, "36526d")
    assert read(leaves.Duration, "36525d") == "36525d"


@pytest.mark.parametrize(("text", "plain"), [("-30d", "-30d"), ("+24h", "1d"), ("24h", "1d"), ("-0s", "0s")])
def test_signed_durations(text, plain):
    assert read(leaves.SignedDuration, text) == plain


@pytest.mark.parametrize("value", ["--1d", "-", "+", 5])
def test_what_is_no_signed_duration_is_refused(value):
    assert "is no duration" in refused(leaves.SignedDuration, value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10, "10"),
        (0.1, "0.1"),
        (1e-7, "0.0000001"),
        (1000.0, "1000"),
        (Decimal("1.50"), "1.5"),
        ("12345678901234567890.12", "12345678901234567890.12"),
        ("1e3", "1000"),
        ("0.0", "0"),
        (0, "0"),
        (-0.0, "0"),
    ],
)
def test_sizes_are_exact_decimals_in_one_spelling(value, text):
    assert read(leaves.Size, value) == text
    assert Decimal(text) == Decimal(str(value))


@pytest.mark.parametrize(
    "value", [-1, "-0.1", "x", "", "NaN", "Infinity", True, None, [], "1" * 40, "1e999999999", "1e-99", float("inf")]
)
def test_what_is_no_size_is_refused(value):
    refused(leaves.Size, value)


@pytest.mark.parametrize("value", ["", " x", "x ", "a\nb", "x" * 201])
def test_names_are_one_line_of_print(value):
    refused(leaves.Name, value)


def test_values_keep_their_type():
    assert read(leaves.Scalar, True) is True
    assert read(leaves.Scalar, 1) == 1
    assert type(read(leaves.Scalar, 1.0)) is int
    assert read(leaves.Scalar, "1") == "1"
    assert read(leaves.Scalar, None) is None
    assert "list or a mapping" in refused(leaves.Scalar, [1])
    assert "2**53" in refused(leaves.Scalar, 2**53)


def test_lists_hold_nothing_twice_but_tell_true_from_one():
    assert read(leaves.Many[leaves.Scalar], [1, True, "1"]) == (1, True, "1")
    assert "twice" in refused(leaves.Many[leaves.Scalar], [1, 1.0])
    assert "empty" in refused(leaves.Many[leaves.Scalar], [])
    assert "too few" in refused(leaves.Ordering[leaves.Scalar], ["won"])
    assert "too few" in refused(leaves.Ordering[leaves.Scalar], [])


def test_one_value_stands_for_a_list_of_one():
    assert read(leaves.AnyOf, "a") == ("a",)
    assert read(leaves.AnyOf, None) == (None,)


@pytest.mark.parametrize("value", [True, "1", None])
def test_numbers_are_numbers(value):
    assert "not a number" in refused(leaves.Number, value)


@pytest.mark.parametrize("value", [-1, 1.0, True, "1"])
def test_counts_are_whole(value):
    assert "no count" in refused(leaves.Count, value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (leaves.ProposalPath, "a..b"),
        (leaves.ProposalPath, "a.{id}"),
        (leaves.ProposalPath, "[*]"),
        (leaves.SnapshotText, "a.{"),
        (leaves.FieldText, "-"),
        (leaves.FieldText, ""),
    ],
)
def test_bad_paths_are_refused(kind, text):
    refused(kind, text)


def test_a_null_is_not_the_same_as_left_out():
    """G5: nothing defaults to "no limit"."""
    assert "is null" in refused(Optional, None)
