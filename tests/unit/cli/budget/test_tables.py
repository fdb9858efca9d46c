"""Bars and amounts on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests import samples
from tests.command_line import run
from tests.unit.cli.budget.spending import policy
from weighbridge.cli.budget.tables import Layout, bar, estimate, joined, number, percent, whom


def console(encoding):
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding))


@pytest.mark.parametrize(
    ("part", "whole", "drawn"),
    [
        (0, 10, ".........."),
        (1, 10**9, "#........."),  # a little is not nothing
        (5, 10, "#####....."),
        (10**9 - 1, 10**9, "#########."),  # nearly full is not full
        (10, 10, "##########"),
        (99, 10, "##########"),
        (0, 0, "##########"),  # where nothing may pass, nothing is left
        (7, None, ".........."),
    ],
)
def test_a_bar_is_full_only_where_the_cap_is(part, whole, drawn):
    assert bar(console("ascii"), part, whole, "", 10).plain == drawn
    assert bar(console("utf-8"), part, whole, "", 10).plain == drawn.replace("#", "█").replace(".", "░")


def test_amounts_for_people():
    assert (number(1_234, "tokens"), number(10**10, "pico_EUR"), number(None, "tokens")) == (
        "1,234",
        "0.01",
        "unlimited",
    )
    assert (estimate(1_999_999_999_999, "pico_USD", 0), estimate(1999, "tokens", 3)) == ("1.99", "1,999")
    assert estimate(10_484_455_000, "pico_USD", 7_500_000_000) == "0.0104"
    assert [percent(*given) for given in ((0, 0), (0, 1), (150, 3), (None, 3))] == ["0 %", "<1 %", "150 %", ""]
    scope = {"account": "a-1", "tool": None}
    assert (whom(scope), whom(scope, counted=False)) == (["account a-1", "no tool"], ["account a-1", "each tool"])
    once, broken = Layout(wide=True, bar=8), Layout(wide=True, bar=8, line=12)
    assert joined(["account a-1", "no tool", "PLAN"], once) == "account a-1, no tool, PLAN"
    assert joined(["account a, b-1", "no tool", "PLAN"], broken, "  ") == "  account a, b-1,\n  no tool, PLAN"


def test_a_store_in_which_nothing_was_ever_reserved_says_so(tmp_path):
    """B8: its caps are there all the same."""
    with samples.weighbridge(tmp_path / "s.db", policy=policy()) as wb:
        wb.gate(samples.context())
    for command in ("show", "forecast"):
        ran = run("budget", command, "--store", tmp_path / "s.db", "--table")
        assert ran.code == 0
        assert ran.err == "nothing was ever reserved\n"
        assert "each account" in ran.out
