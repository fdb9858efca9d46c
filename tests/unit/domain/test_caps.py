"""Caps and counters: the text forms, and that no id can be mistaken for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import SCOPE_FIELDS, CounterName, Period, counter_name, parse_counter
from weighbridge.testing.submissions import cap

NASTY = [
    "a",
    "(none)",
    "each",
    '"',
    "\\",
    'a" tool="b',
    " ",
    "",
    "\n",
    "any",
    "ä",
    "\u2028",
    "\x00",
    "=",
    '" account=each',
]
VALUES = st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
CLASSES = st.none() | st.sets(st.sampled_from(CostClass), min_size=1)
FIELDS = st.lists(st.sampled_from(SCOPE_FIELDS), unique=True).map(lambda fields: sorted(fields, key=SCOPE_FIELDS.index))
UNITS = st.sampled_from(["operations", "tokens", "pico_USD"])


@st.composite
def caps(draw, *, each=None):
    scope = tuple(
        (name, None if draw(st.booleans() if each is None else each) else draw(VALUES)) for name in draw(FIELDS)
    )
    return cap("c", 1, unit=draw(UNITS), period=draw(st.sampled_from(Period)), scope=scope, classes=draw(CLASSES))


@given(caps())
def test_a_family_and_back(one):
    """B14: unit, period, classes and scope, whatever stands in the ids; the cap's own id is no part of it."""
    assert parse_counter(one.family) == CounterName(one.unit, one.period, one.cost_classes, one.scope)


@given(caps(each=st.just(True)), st.fixed_dictionaries(dict.fromkeys(SCOPE_FIELDS, st.none() | VALUES)))
def test_a_counter_and_back(one, values):
    """B3: ``(none)`` is no value, and no value can look like it."""
    name = counter_name(one.unit, "2026-11-22", one.counter_tail(values))
    scope = tuple((field, values[field]) for field, _ in one.scope)
    assert parse_counter(name) == CounterName(one.unit, "2026-11-22", one.cost_classes, scope)


@given(caps(), caps())
def test_two_families_have_one_name_only_where_they_are_one(one, other):
    """B14: what counts differently is called differently."""
    same = (one.unit, one.period, one.cost_classes, one.scope) == (
        other.unit, other.period, other.cost_classes, other.scope,
    )  # fmt: skip
    assert (one.family == other.family) == same


@given(st.lists(st.none() | VALUES, min_size=2, max_size=2), st.lists(st.none() | VALUES, min_size=2, max_size=2))
def test_two_requests_share_a_counter_only_where_they_agree(one, other):
    """B3: an account called ``(none)`` is not the absence of one."""
    each = cap("c", 1, scope=(("account", None), ("tool", None)))
    tails = [each.counter_tail(dict(zip(("account", "tool"), values, strict=True))) for values in (one, other)]
    assert (tails[0] == tails[1]) == (one == other)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "operations",
        "operations DAY",
        "operations DAY any account",
        "operations DAY any account=a",
        'operations DAY any account="a',
        'operations DAY any shop="a"',
        'operations DAY any  account="a"',
        "operations DAY SOME",
        "operations DAY any account=none",
    ],
)
def test_what_names_no_counter_is_refused(name):
    with pytest.raises(ValueError):  # noqa: PT011 - of an enumeration, of JSON, or ours
        parse_counter(name)


def test_the_text_forms():
    """B14: as the glossary shows them."""
    one = cap("c", 1, scope=(("account", None), ("tool", "crm.read")), classes=[CostClass.EXPENSIVE])
    assert one.family == 'operations DAY EXPENSIVE account=each tool="crm.read"'
    assert one.counter_tail({"account": "a-1", "tool": "crm.read"}) == 'EXPENSIVE account="a-1" tool="crm.read"'
    assert cap("c", 1, classes=[CostClass.EXPENSIVE, CostClass.CHEAP]).classes == "CHEAP+EXPENSIVE"
