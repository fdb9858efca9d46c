"""Policy text to plain data: what is accepted, what is a surprise, and where everything stands."""

from __future__ import annotations

import pytest

from weighbridge.policy.yaml_text import DEPTH_MAX, SIZE_MAX, VALUES_MAX, read_policy_text


def problems(text):
    return [str(problem) for problem in read_policy_text(text).problems]


def only_problem(text):
    found = read_policy_text(text).problems
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: text", "text"),
        ("a: 12", 12),
        ("a: -3", -3),
        ("a: 0.5", 0.5),
        ("a: 1.5e+3", 1500.0),
        ("a: true", True),
        ("a: false", False),
        ("a: null", None),
        ("a: ~", None),
        ('a: "no"', "no"),
        ("a: 'it''s'", "it's"),
        ("a: |\n  two\n  lines\n", "two\nlines\n"),
        ("a: [1, b]", [1, "b"]),
        ("a: {b: 1}", {"b": 1}),
        ("a:\n  - b: 1\n", [{"b": 1}]),
        ("a: 14d", "14d"),
        ("a: -30d", "-30d"),
        ("a: items[*].id", "items[*].id"),
        ("a: noon", "noon"),
        ("a: 1.2.3", "1.2.3"),
        ('a: ""', ""),
        ("a: []", []),
        ("a: 😀", "😀"),
        ("\ufeffa: 1", 1),
    ],
)
def test_what_every_reader_understands_alike_is_read(text, value):
    read = read_policy_text(text)
    assert read.problems == []
    assert read.value == {"a": value}
    assert type(read.value["a"]) is type(value)


def test_surprises_are_found_in_keys_and_lists_as_well():
    found = problems("on: 1\na: [no, 1:30]\nb: {2024-01-01: x}\n")
    assert [problem.split(":", 2)[:2] for problem in found] == [["1", "1"], ["2", "5"], ["2", "9"], ["3", "5"]]


def test_an_empty_value_is_not_null():
    """G5: what is not written is no configuration."""
    problem = only_problem("a:\nb: 1\n")
    assert problem.where == "a"
    assert "nothing is written" in problem.message


def test_keys_stand_once_and_the_first_counts():
    read = read_policy_text("a: 1\nb: 2\na: 3\n")
    assert [str(problem) for problem in read.problems] == [
        "3:1: the key `a` is already on line 1 (write each key once)"
    ]
    assert read.value == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a: &x 1\nb: *x\n", [(1, 4), (2, 4)]),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", [(1, 4), (3, 3), (3, 7)]),
        ("a: [*x]\n", [(1, 5)]),
    ],
)
def test_anchors_aliases_and_merge_keys_are_refused_where_they_stand(text, places):
    assert [(problem.line, problem.column) for problem in read_policy_text(text).problems] == places


def test_a_bomb_of_aliases_does_not_explode():
    """Ten levels of ten aliases each would be ten thousand million values."""
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 11)]
    read = read_policy_text("\n".join(lines))
    assert len(read.problems) == 11 + 100
    assert len(read.values) < 200


@pytest.mark.parametrize(
    "text", ["a: !!str 1", "a: !!python/object/apply:os.system [ls]", "a: !mine {b: 1}", "a: ! x", "a: !!binary aGk="]
)
def test_tags_are_refused_and_nothing_is_constructed(text):
    assert "tag" in only_problem(text).message


@pytest.mark.parametrize("text", ["a: 1\n---\nb: 2\n", "---\na: 1\n...\n---\nb: 1\n"])
def test_a_second_document_is_refused(text):
    assert "second document" in only_problem(text).message


def test_directives_are_refused():
    assert "directives" in only_problem("%YAML 1.1\n---\na: 1\n").message


@pytest.mark.parametrize("text", ["? [a]\n: 1\n", "{a: 1}: 2\n", "1: x\n", "true: x\n", "null: x\n"])
def test_keys_are_text(text):
    assert len(problems(text)) == 1


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a:\n\tb: 1\n", (2, 1), "a tab indents here"),
        ("a: {f: items[*].id}\n", (1, 13), "goes on where it should not"),
        ("a: [**]\n", (1, 6), "starts an alias"),
        ('a: "\\d+"\n', (1, 6), "unknown escape"),
        ("a: b: c\n", (1, 5), "a `:` where no key can be"),
        ("a: 1\n  b: 2\n", (2, 4), "where no key can be"),
        ("a:\n  - 1\n b: 1\n", (3, 2), "indentation"),
        ('a: "x\n', (2, 1), "never closed"),
        ("a: @x\n", (1, 4), "cannot start with `@`"),
        ("a: %x\n", (1, 4), "cannot start with `%`"),
        ("a: 1\nb\nc: 2\n", (3, 1), "a key without `:`"),
        ("a: x\0y\n", (1, 5), "U+0000"),
        ("a: 1\nb: x\x07\n", (2, 5), "U+0007"),
        ("a: !x!y 1\n", (1, 4), "tags"),
    ],
)
def test_syntax_errors_say_where_and_what_to_write(text, place, message):
    problem = only_problem(text)
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert problem.write


def test_surprises_before_a_syntax_error_are_reported_with_it():
    assert len(problems("a: no\nb: 1:30\nc: [\n")) == 3


@pytest.mark.parametrize("text", ['a: "\\0"', 'a: "\\ud83d"'])
def test_escapes_cannot_bring_in_what_may_not_be_written(text):
    read = read_policy_text(text)
    assert len(read.problems) == 1
    assert read.doubtful == {("a",)}


def test_json_is_read_by_the_rules_of_json():
    read = read_policy_text('{\n\t"a": 1e3,\t"b": "\\ud83d\\ude00 \\/ no",\n\t"c": [1E-7, -0, true, null]}')
    assert read.problems == []
    assert read.value == {"a": 1000.0, "b": "😀 / no", "c": [1e-7, 0, True, None]}
    assert read.place(("c",)) == (3, 7)


def test_json_constants_that_are_no_json_are_refused():
    assert "no number" in problems('{"a": NaN}')[0]


def test_duplicate_keys_in_json_are_refused():
    assert "already on line 1" in only_problem('{"a": 1, "a": 2}').message


def test_deep_nesting_is_refused():
    problem = only_problem("[" * (DEPTH_MAX + 1))
    assert f"deeper than {DEPTH_MAX}" in problem.message
    assert read_policy_text("[" * DEPTH_MAX + "]" * DEPTH_MAX).problems == []


def test_very_deep_nesting_does_not_exhaust_the_stack():
    assert len(problems('{"a":' * 50_000)) == 1


def test_a_document_above_the_limit_is_not_even_parsed():
    problem = only_problem("a" * (SIZE_MAX + 1))
    assert str(SIZE_MAX) in problem.message
    assert only_problem("é" * (SIZE_MAX // 2 + 1)).message == problem.message


def test_too_many_values_are_refused():
    found = read_policy_text("[" + "0," * (VALUES_MAX + 5) + "0]").problems
    assert len(found) == 1
    assert str(VALUES_MAX) in found[0].message


def test_places_of_keys_and_values():
    read = read_policy_text("a:\n  b: [x,  y]\n")
    assert read.place(("a", "b")) == (2, 6)
    assert read.place(("a", "b"), at_key=True) == (2, 3)
    assert read.place(("a", "b", 1)) == (2, 11)
    assert read.place(("a", "b", 1, "nowhere")) == (2, 11)
    assert read_policy_text("").place(("a",)) == (0, 0)
