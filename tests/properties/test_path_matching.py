"""Paths find what a brute-force walk finds, at any depth and however names are written (P2, C1)."""

import json
import unicodedata

from hypothesis import assume, given
from hypothesis import strategies as st

from tests.unit.validators.builders import judge, policy
from weighbridge.domain.context import SnapshotField
from weighbridge.domain.paths import EACH, MISSING, parse_path, parse_snapshot_path

NAMES = st.sampled_from(["a", "b", "c", "A", "_a", "b-", "a.b", "a b", "\uff41", "b\u200d", "C"])
LEAVES = st.sampled_from([None, True, 1, 2.5, "", "x", "{", "[1"])


def _inside_text(value):
    return json.dumps(value) if isinstance(value, (dict, list)) else value


VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=2).map(_inside_text)
        | st.lists(inner, max_size=2).map(_inside_text)
    ),
    max_leaves=15,
)
ARGUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)
RULES = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), min_size=1, max_size=4, unique=True
)


def plain_name(name):
    """P2 said again, character by character."""
    kept = [c for c in unicodedata.normalize("NFKC", name).casefold() if unicodedata.category(c) not in {"Cf", "Zs"}]
    return "".join(c for c in kept if c not in "_-. ")


def walk(value, names=(), place=""):
    """Yield (names, place) of every named value, containers and JSON in texts included."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        try:
            value = json.loads(value)
        except ValueError:
            return
    if isinstance(value, dict):
        for name, item in value.items():
            written = json.dumps(name) if set(name) & set('.[]{}"') else name
            here = f"{place}.{written}" if place else written
            yield (*names, plain_name(name)), here
            yield from walk(item, (*names, plain_name(name)), here)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, names, f"{place}[{index}]")


@given(ARGUMENTS, RULES)
def test_path_matching_equals_a_brute_force_walk(arguments, rules):
    """P2: a rule's path matches any suffix of a value's path, indices ignored, at any depth."""
    result = judge("compliance", policy(compliance={"restricted_fields": rules}), arguments=arguments)
    found = {(entry["path"], entry["rule"]) for entry in result.details.get("violations", [])}
    expected = {
        (place, rule)
        for names, place in walk(arguments)
        for rule in rules
        if any(names[start:] == tuple(rule.split(".")) for start in range(len(names)))
    }
    assert found == expected


PATH_NAMES = st.sampled_from("abc")
TREES = st.recursive(
    st.none() | st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PATH_NAMES, inner, max_size=3),
    max_leaves=20,
)
STEPS = st.lists(PATH_NAMES | st.just("[*]"), min_size=1, max_size=5)


def path_text(steps):
    return "".join(step if step == "[*]" else f".{step}" for step in steps).lstrip(".")


def everything(value, steps, element):
    """Yield (steps, value, element) of every value below; a step is a name, or [*] beside a name or an index."""
    yield steps, value, element
    if isinstance(value, dict):
        for name in sorted(value):
            yield from everything(value[name], (*steps, (name, False)), element)
            yield from everything(value[name], (*steps, (name, True)), value[name])
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from everything(item, (*steps, (index, True)), item)


@given(st.dictionaries(PATH_NAMES, TREES, max_size=3), STEPS)
def test_a_proposal_path_finds_what_a_brute_force_walk_finds(root, steps):
    """C1: dotted names, [*] for every element; each match with its element, in a defined order."""
    assume(steps[0] != "[*]")
    expected = [
        (value, element)
        for taken, value, element in everything(root, (), root)
        if [("[*]" if starred else step) for step, starred in taken] == steps
    ]
    path = parse_path(path_text(steps))
    assert path.segments == tuple(EACH if step == "[*]" else step for step in steps)
    found = path.values(root)
    assert found == expected
    assert [(match.value, match.element) for match in path.find(root)] == found


@given(st.dictionaries(PATH_NAMES, TREES, max_size=3), STEPS)
def test_a_snapshot_path_finds_the_same_and_says_where_nothing_is(root, steps):
    """C1: what a snapshot path finds beside `MISSING` is what a proposal path finds."""
    assume(steps[0] != "[*]")
    fields = {name: SnapshotField(value, "crm") for name, value in root.items()}
    found = parse_snapshot_path(path_text(steps)).find(fields, {}, {})
    assert [value for value in found if value is not MISSING] == [
        value for value, _ in parse_path(path_text(steps)).values(root)
    ]
