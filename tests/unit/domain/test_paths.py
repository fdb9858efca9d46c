import pytest

from weighbridge.domain.context import SnapshotField
from weighbridge.domain.paths import (
    EACH,
    MISSING,
    Match,
    child_place,
    children,
    normalise_name,
    parse_field_pattern,
    parse_path,
    parse_snapshot_path,
)


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("a", ("a",)),
        ("a.b", ("a", "b")),
        ("items[*].id", ("items", EACH, "id")),
        ("a[*][*]", ("a", EACH, EACH)),
        ('a."b.c".d', ("a", "b.c", "d")),
        ('"quoted \\" name"', ('quoted " name',)),
        ("two words.x-y_z", ("two words", "x-y_z")),
        ("$.a", ("$", "a")),
        ("é", ("é",)),
    ],
)
def test_the_grammar(text, segments):
    """C1: one path grammar: dotted names, [*] for every element."""
    path = parse_path(text)
    assert (path.text, path.segments) == (text, segments)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "[*]",
        "a.[*]",
        "a[0]",
        "a[",
        "a]",
        "a[*]b",
        "a{b}",
        "{a}",
        '"',
        '"a',
        'a"b"',
        "a b.",
        'a."\\x"',
    ],
)
def test_anything_else_is_no_path(text):
    """C1: the message says where."""
    with pytest.raises(ValueError, match=r"is no path|empty name|Expecting|Invalid"):
        parse_path(text)


@pytest.mark.parametrize("text", ["", "{", "a.{}", "a{b}", "a.{b", "a.{b}{c}", "a.{$}.", "{a.}"])
def test_what_is_no_snapshot_path(text):
    with pytest.raises(ValueError, match=r"is no path|empty name|Expecting|Invalid"):
        parse_snapshot_path(text)


ROOT: dict = {
    "a": {"b": 1, "b.c": 2, "null": None},
    "items": [{"id": "x", "tags": ["p", "q"]}, {"id": "y"}, {"tags": []}, "z"],
    "by_name": {"n2": {"v": 2}, "n1": {"v": 1}},
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b", [("a.b", 1)]),
        ('a."b.c"', [('a."b.c"', 2)]),
        ("a.null", [("a.null", None)]),
        ("a.x", []),
        ("a.b.c", []),
        ("items.id", []),
        ("items[*].id", [("items[0].id", "x"), ("items[1].id", "y")]),
        ("items[*].tags[*]", [("items[0].tags[0]", "p"), ("items[0].tags[1]", "q")]),
        ("by_name[*].v", [("by_name.n1.v", 1), ("by_name.n2.v", 2)]),
        ("a.b[*]", []),
    ],
)
def test_what_a_proposal_path_finds(text, found):
    """C1: each match with its place, and the element it stands in; an object's values by name (G4)."""
    path = parse_path(text)
    assert [(match.place, match.value) for match in path.find(ROOT)] == found
    assert path.values(ROOT) == [(match.value, match.element) for match in path.find(ROOT)]


def test_a_match_knows_its_element():
    """C1: what the last [*] stands for, or the arguments where there is none."""
    assert parse_path("items[*].id").find(ROOT)[1] == Match("items[1].id", "y", ROOT["items"][1])
    assert parse_path("items[*].tags[*]").find(ROOT)[0].element == "p"
    assert parse_path("a.b").find(ROOT)[0].element is ROOT


FIELDS = {
    "orders": SnapshotField({"o1": {"total": 5, "lines": [1, 2]}, "7": {"total": 6}, "none": None}, "crm"),
    "account": SnapshotField({"tier": "gold", "ids": ["a", "b"], "empty": []}, "crm"),
    "plain": SnapshotField("text", "crm"),
}


@pytest.mark.parametrize(
    ("text", "element", "found"),
    [
        ("account.tier", {}, ["gold"]),
        ("account.tier.x", {}, [MISSING]),
        ("nothing.tier", {}, [MISSING]),
        ("plain", {}, ["text"]),
        ("plain[*]", {}, [MISSING]),
        ("account.ids[*]", {}, ["a", "b"]),
        ("account.empty[*]", {}, []),
        ("account.none[*]", {}, [MISSING]),
        ("orders.{id}.total", {"id": "o1"}, [5]),
        ("orders.{id}.total", {"id": 7}, [6]),
        ("orders.{id}.total", {"id": True}, [MISSING]),
        ("orders.{id}.total", {"id": "none"}, [MISSING]),
        ("orders.{id}.total", {}, [MISSING]),
        ("orders.{.}.total", "o1", [5]),
        ("orders.{$.order}.total", "ignored", [5]),
        ("orders.{ids[*]}.total", {"ids": ["o1", "o9", 7]}, [5, MISSING, 6]),
        ("orders.{id}.lines[*]", {"id": "o1"}, [1, 2]),
        ("{name}.tier", {"name": "account"}, ["gold"]),
        ("orders[*].total", {}, [6, MISSING, 5]),
    ],
)
def test_what_a_snapshot_path_finds(text, element, found):
    """C1: a snapshot path may be keyed by a value of the proposal's element; MISSING is not null."""
    assert parse_snapshot_path(text).find(FIELDS, element, {"order": "o1"}) == found


@pytest.mark.parametrize(
    ("place", "name", "expected"),
    [
        ("", "a", "a"),
        ("a", "b", "a.b"),
        ("a[0]", "b", "a[0].b"),
        ("a", "b.c", 'a."b.c"'),
        ("a", "", 'a.""'),
        ("", "[*]", '"[*]"'),
        ("", 'say "x"', '"say \\"x\\""'),
        ("", "\ud800", '"?"'),
    ],
)
def test_places_are_written_in_the_grammar(place, name, expected):
    """P2: so that a place in details can be copied into a policy."""
    assert child_place(place, name) == expected


def test_children_of_an_object_go_by_name():
    """G4: no order of keys."""
    assert children({"b": 1, "a": 2}) == [2, 1]
    assert children((1, 2)) == [1, 2]
    assert children("ab") == children(None) == []


@pytest.mark.parametrize(
    ("name", "normalised"),
    [
        ("Tax-ID", "taxid"),
        ("tax_id", "taxid"),
        ("tax.id", "taxid"),
        ("STRASSE", "strasse"),
        ("stra\u00dfe", "strasse"),
        ("\ufb01le", "file"),
        ("a\u200bb", "ab"),
        ("a\u00a0b\u3000c\td", "abcd"),
        ("\u0130", "i\u0307"),
        ("_.-", ""),
        ("e\u0301", "\u00e9"),
    ],
)
def test_names_have_one_form(name, normalised):
    """P2: NFKC, case folding, without _ - ., spaces and format characters."""
    assert normalise_name(name) == normalised
    assert normalise_name(normalised) == normalised
    assert normalise_name(name * 100) == normalise_name(normalised * 100)


def test_field_patterns_are_normalised_names():
    """P2: indices are ignored; `**` is every field."""
    assert parse_field_pattern("Contacts[*].E-Mail").names == ("contacts", "email")
    assert parse_field_pattern("**").names == ()
    assert parse_field_pattern("a.b").matches(("x", "a", "b"))
    assert not parse_field_pattern("a.b").matches(("a", "x", "b"))
    assert not parse_field_pattern("a.b").matches(("b",))
    for text in ("_", "a.-", "", "a..b"):
        with pytest.raises(ValueError, match=r"is no path|empty name|Expecting|Invalid"):
            parse_field_pattern(text)
