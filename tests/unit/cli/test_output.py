from __future__ import annotations

import io
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.cli import output
from weighbridge.errors import (
    ContextError,
    LedgerCorrupt,
    NotFound,
    PolicyError,
    Problem,
    Refusal,
    StoreError,
    UsageError,
    WeighbridgeError,
)


@given(st.text(st.characters()))
def test_safe_text_is_printable_and_holds_no_line_break(text):
    shown = output.safe(text)
    shown.encode("utf-8")  # raises where a surrogate is left
    assert len(shown.splitlines()) <= 1
    assert not any(char in shown for char in "\x1b\x07\x9b\u202e\u200b\u2028")


@given(st.text(st.characters(whitelist_categories=("L", "N", "P", "S"))))
def test_safe_leaves_readable_text_as_it_is(text):
    assert output.safe(text) == text


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ContextError("a", "x"), 2),
        (NotFound("x"), 2),
        (PolicyError("p.yaml", ()), 2),
        (StoreError("x"), 1),
        (Refusal("OVERLOADED", "x"), 1),
        (WeighbridgeError("x"), 1),
        (LedgerCorrupt("x"), 4),
    ],
)
def test_an_error_has_its_exit_code(error, code, capsys):
    assert output.report(error) == code
    assert capsys.readouterr().err.startswith("error: ")


def test_every_mistake_of_a_policy_is_said_on_a_line_of_its_own(capsys):
    problems = (Problem(3, 5, "freshness.crm", "soft is above hard", "a lower soft_ttl"), Problem(0, 0, "", "no name"))
    assert output.report(PolicyError("p.yaml", problems)) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: the policy has 2 mistakes; nothing was judged",
        "  p.yaml:3:5: freshness.crm: soft is above hard (write a lower soft_ttl)",
        "  p.yaml:no name",
    ]


def test_json_is_for_whoever_is_no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert output.wants_json(None)
    assert not output.wants_json(stated=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert not output.wants_json(None)
    assert output.wants_json(stated=True)


def test_json_lines_are_whole_and_flushed(capfdbinary):
    output.write_json([{"a": 1}, {"b": ["Zoë"]}])
    assert [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()] == [{"a": 1}, {"b": ["Zoë"]}]


def test_markup_and_numbers_are_text_like_any_other(capsys):
    output.console().print("[red]1234[/red] :boom:")
    assert capsys.readouterr().out == "[red]1234[/red] :boom:\n"


def test_there_is_no_progress_bar_where_no_terminal_is(capsys):
    with output.progress(10, "records") as advance:
        advance(5, 5)
    assert capsys.readouterr().err == ""


def test_printed_commands_are_those_that_work_here(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/weighbridge")
    assert output.program() == "weighbridge"
    monkeypatch.setattr("shutil.which", lambda _name: None)
    monkeypatch.setattr("sys.argv", ["an environment/bin/weighbridge"])
    assert output.program() == "'an environment/bin/weighbridge'"
    monkeypatch.setattr("sys.argv", ["weighbridge/cli/__main__.py"])
    assert output.program().endswith(" -m weighbridge.cli")


# --- Tables that fit ----------------------------------------------------------------------------------------------------


def laid_out(*, bar):
    made = output.table("Id", "Why")
    made.add_column("Amount", justify="right", no_wrap=True)
    made.add_row("op-12345678", "because of this", f"{'#' * bar} 1,234.56")
    return made


def printed(width, monkeypatch, capsys):
    monkeypatch.setattr(output, "WIDTH_PIPED", width)
    output.console().print(output.best(width, [partial(laid_out, bar=bar) for bar in (20, 0)]))
    return capsys.readouterr().out


@pytest.mark.parametrize("width", range(16, 60))
def test_the_first_layout_that_fits_is_taken_and_nothing_is_ever_cropped(width, monkeypatch, capsys):
    """An amount that loses digits is another amount: where nothing fits, everything is broken."""
    told = printed(width, monkeypatch, capsys)
    assert max(map(len, told.splitlines())) <= width
    assert ("#" in told) is (width >= 11 + 7 + 29 + 8)
    letters = [char for char in told if char.isalnum()]
    for char in set("op12345678because1234.56") - {"."}:
        assert letters.count(char) >= "op12345678becauseofthis123456".count(char)
    if width >= 11 + 7 + 9 + 8:
        assert "op-12345678" in told
        assert "1,234.56" in told


def test_what_is_piped_has_no_blanks_at_the_end_of_a_line(monkeypatch, capsys):
    told = printed(60, monkeypatch, capsys)
    assert told == "\n".join(line.rstrip() for line in told.splitlines()) + "\n"
    output.console().print("")
    assert capsys.readouterr().out == "\n"
