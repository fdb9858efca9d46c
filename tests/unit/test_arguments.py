"""Arguments: one private copy to call with, the same as JSON values to weigh; what a call of it all does is the operations'."""

from __future__ import annotations

import datetime as dt
import enum
import inspect
import uuid
from decimal import Decimal
from typing import Any

import pytest

from weighbridge.arguments import bind, by_name, weighable
from weighbridge.errors import ContextError


class Stage(enum.Enum):
    OPEN = "open"


def _weighed(function, *args, **kwargs):
    bound, weighed = bind(inspect.signature(function), args, kwargs)
    return bound.arguments, weighed


def test_copies_share_nothing_with_what_was_passed():
    """G11: at any depth; neither with the caller's nor with each other's."""
    given: dict[str, Any] = {"lines": [{"n": 1}]}
    called, weighed = _weighed(lambda body: None, given)
    given["lines"][0]["n"] = 2
    called["body"]["lines"].append("x")
    assert weighed == {"body": {"lines": [{"n": 1}]}}


def test_a_function_keeps_its_types_and_judges_see_json():
    """G7, G11."""
    given = ((1, [2]), dt.date(2026, 1, 2), Decimal("1.10"), uuid.UUID(int=7), Stage.OPEN, None, True, 1.5)
    called, weighed = _weighed(lambda *values: None, *given)
    assert called["values"] == given
    assert weighed["values"] == [[1, [2]], "2026-01-02", "1.10", str(uuid.UUID(int=7)), "open", None, True, 1.5]


def test_defaults_are_weighed_and_open_keywords_by_their_names():
    """G11: whatever the function will see."""
    _, weighed = _weighed(lambda a, b=2, **rest: None, 1, c=3)
    assert weighed == {"a": 1, "b": 2, "c": 3}


def test_one_name_stands_for_one_value():
    with pytest.raises(ContextError, match=r"arguments\.a.*twice"):
        _weighed(lambda a, /, **rest: None, 1, a=2)


def test_what_the_function_does_not_take_is_its_own_error():
    with pytest.raises(TypeError):
        _weighed(lambda a: None, 1, 2)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {1: 2}, [lambda: None], type("Text", (str,), {})("x")])
def test_what_cannot_be_weighed_says_where_it_is(value):
    """Rule 7: the place, and what to pass instead."""
    with pytest.raises(ContextError, match=r"arguments\.fields"):
        weighable({"deep": [value]}, "fields")


def test_a_step_adds_no_defaults():
    """G11: what nobody approved is not weighed, and not handed over."""
    bound, weighed = bind(inspect.signature(lambda a, b=2: None), (1,), {}, defaults=False)
    assert (weighed, bound.args, bound.kwargs) == ({"a": 1}, (1,), {})


def _by_name(function, **arguments):
    """Return what a function is called with by names, and hold it against how that call is weighed."""
    signature = inspect.signature(function)
    args, kwargs = by_name(signature, arguments)
    _, weighed = bind(signature, args, kwargs, defaults=False)
    assert weighed == arguments
    return args, kwargs


def test_by_name_is_the_inverse_of_how_a_call_is_weighed():
    """G11: every kind of parameter."""
    assert _by_name(lambda a, b=2: None, b=1, a=3) == ((), {"b": 1, "a": 3})
    assert _by_name(lambda a, /, b: None, a=1, b=2) == ((1,), {"b": 2})
    assert _by_name(lambda a, *rest, b: None, a=1, rest=[2, 3], b=4) == ((1, 2, 3), {"b": 4})
    assert _by_name(lambda a, *rest, b=1: None, a=1) == ((), {"a": 1})
    assert _by_name(lambda **fields: None, x=1, fields=2) == ((), {"x": 1, "fields": 2})


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (lambda a=1, b=2, /: None, {"b": 1}, "missing `a`"),
        (lambda a, *rest: None, {"rest": [1]}, "missing `a`"),
        (lambda a, b=1, *rest: None, {"a": 1, "rest": [1]}, "missing `b`"),
        (lambda *rest: None, {"rest": "no list"}, "give a list"),
    ],
)
def test_an_argument_never_takes_the_place_of_another(function, arguments, message):
    """G11: what is judged under one name is not called under another."""
    with pytest.raises(TypeError, match=message):
        by_name(inspect.signature(function), arguments)
