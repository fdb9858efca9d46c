"""Loading never fails but by saying what is wrong, and where."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.policy.documents import BASE
from weighbridge.errors import PolicyError
from weighbridge.policy.loader import document_from_mapping, load_policy
from weighbridge.policy.yaml_text import read_policy_text

relaxed = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

TENANTS = {
    "acme": copy.deepcopy(
        {key: BASE[key] for key in ("freshness", "grounding", "contradiction", "compliance", "budgets")}
    )
}
WHOLE = {**BASE, "replaceable": ["contradiction.rules", "grounding.values", "validators"], "tenants": TENANTS}
TEXT = yaml.safe_dump(WHOLE, sort_keys=False)

junk = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=5),
        st.sampled_from(["1d", "crm", "note"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["id", "path", "rule", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def refusal(load: Callable[[], Any]) -> PolicyError | None:
    """Return the mistakes that loading ends in, or None; anything else it ends in is raised."""
    try:
        load()
    except PolicyError as error:
        return error
    return None


def places(value: Any, steps: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to everything in a value."""
    found = [steps]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*steps, key))
    return found


def with_value(document: Any, steps: tuple[Any, ...], value: Any, *, key: str | None = None) -> Any:
    """Return a copy with something else at a place, or with another key in it."""
    made = copy.deepcopy(document)
    node = made
    for step in steps[: None if key else -1]:
        node = node[step]
    node[steps[-1] if key is None else key] = value
    return made


PLACES = [steps for steps in places(WHOLE) if steps]


@relaxed
@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=4))
def test_whatever_stands_anywhere_is_read_or_refused_as_a_policy(changes):
    """G6: no policy, however wrong, ends in anything but itself or its mistakes."""
    document: Any = WHOLE
    for steps, value in changes:
        try:
            document = with_value(document, steps, value)
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # an earlier change took the place away
    refused = refusal(lambda: document_from_mapping(document).effective("acme"))
    assert refused is None or refused.problems


@relaxed
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    """G6: no text makes the reader fail."""
    refused = refusal(lambda: load_policy(text, "p"))
    assert refused is None or refused.problems


@relaxed
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    """G6: no bytes make the reader fail."""
    refused = refusal(lambda: load_policy(data, "p"))
    assert refused is None or refused.problems


@relaxed
@given(st.text("{}[]-:,&*!?|>#%@`'\"~ \n\ta1.<=", max_size=40))
def test_any_punctuation_is_read_or_refused_at_a_place_in_the_text(text):
    read = read_policy_text(text)
    lines = text.count("\n") + 1
    for problem in read.problems:
        assert 1 <= problem.line <= lines + 1
        assert problem.column >= 1


@relaxed
@given(st.data())
def test_a_cut_or_doubled_piece_of_a_policy_is_read_or_refused(data):
    """G6: a damaged file never loads as something that makes the reader fail."""
    start = data.draw(st.integers(0, len(TEXT)))
    stop = data.draw(st.integers(start, min(len(TEXT), start + 200)))
    damaged = data.draw(st.sampled_from([TEXT[:start] + TEXT[stop:], TEXT[:stop] + TEXT[start:]]))
    refused = refusal(lambda: load_policy(damaged, "p"))
    assert refused is None or all(problem.line <= damaged.count("\n") + 2 for problem in refused.problems)


@relaxed
@given(st.data())
def test_an_unknown_key_anywhere_is_found_there(data):
    """G5: a misspelt key never passes for a policy that says less."""
    objects = [steps for steps in places(BASE) if _is_closed(steps)]
    steps = data.draw(st.sampled_from(objects))
    document = with_value(BASE, steps, 1, key="misspelt")
    assert "unknown key `misspelt`" in str(refusal(lambda: document_from_mapping(document)))


def _is_closed(steps: tuple[Any, ...]) -> bool:
    """Return whether a place holds an object with a closed list of keys."""
    node: Any = BASE
    for step in steps:
        node = node[step]
    open_keys = {"sources", "operations", "source_types", "source_ids", "personal_fields", "config"}
    open_keys |= {"cost_classes", "maximum", "models"}
    return isinstance(node, dict) and (not steps or steps[-1] not in open_keys)
