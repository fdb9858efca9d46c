"""Arguments of a call: private copies to call with, and the same as JSON values to weigh (G11).

What cannot be both, cannot be passed. Nothing is weighed here, and nothing called.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import inspect
import uuid
from collections.abc import Mapping
from typing import Any

from weighbridge.errors import ContextError

# Exactly these: a subclass can say one thing when it is weighed and be another when it runs (G11).
_IMMUTABLE_LEAVES = frozenset({dt.datetime, dt.date, dt.time, decimal.Decimal, uuid.UUID})

# What an enumeration is made from. A class that redefines what these say of a member could be judged as one value and read as
# another (G11); methods under names of its own it may have.
_ENUM_BASES = (object, str, int, enum.Enum, enum.IntEnum, enum.StrEnum, enum.ReprEnum, enum.Flag, enum.IntFlag)
_ENUM_SAYS = frozenset(
    name
    for base in (str, int, enum.Enum)
    for name, said in vars(base).items()
    if hasattr(type(said), "__get__") and (name[0] != "_" or name.endswith("__"))
) - {"__new__", "__init__", "__init_subclass__", "__dict__", "__weakref__", "__annotate_func__"}
_ENUM_CLASS_SAYS = _ENUM_SAYS | {"_value_", "_name_", "__getattr__"}


def bind(
    signature: inspect.Signature, args: Any, kwargs: Any, *, defaults: bool = True
) -> tuple[inspect.BoundArguments, dict[str, Any]]:
    """Return private copies of the arguments: one to call with, and the same as JSON values to weigh (G11).

    ``defaults`` adds those of the function; a step of a plan is called with what was approved, and nothing is added to that.

    Raises:
        TypeError: the function does not take them.
        ContextError: a value cannot be weighed, or one name stands for two.
    """
    bound = signature.bind(*args, **kwargs)
    if defaults:
        bound.apply_defaults()
    weighed: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        bound.arguments[name], copied = weighable(value, name)
        # What a function takes as `**fields` is weighed under the names it was passed by, as rules name them.
        spread = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        named = copied if spread else {name: copied}
        for twice in weighed.keys() & named.keys():
            raise ContextError(f"arguments.{twice}", "is passed twice under one name; rename a parameter")
        weighed |= named
    return bound, weighed


def by_name(signature: inspect.Signature, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return how a function is called with arguments that all come by name, as in a step of a plan.

    The inverse of how :func:`bind` weighs a call: what a function takes as ``*rest`` comes as a list under that name, and what
    it takes as ``**fields`` under names of its own.

    Raises:
        TypeError: an argument is missing whose place another one would take, or what is ``*rest`` is no list.
    """
    kwargs = dict(arguments)
    rest = next((name for name, one in signature.parameters.items() if one.kind is _Kind.VAR_POSITIONAL), None)
    by_place = {_Kind.POSITIONAL_ONLY} | ({_Kind.POSITIONAL_OR_KEYWORD} if rest in kwargs else set())
    names = [name for name, one in signature.parameters.items() if one.kind in by_place]
    given = [name for name in names if name in kwargs]
    if given != names[: len(given)] or (rest in kwargs and given != names):
        message = f"missing `{next(name for name in names if name not in kwargs)}`, whose place another one would take"
        raise TypeError(message)
    args = [kwargs.pop(name) for name in given]
    more = [] if rest is None else kwargs.pop(rest, [])
    if not isinstance(more, list):
        message = f"`{rest}` takes several values; give a list"
        raise TypeError(message)
    return (*args, *more), kwargs


_Kind = inspect.Parameter


def weighable(value: Any, place: str) -> tuple[Any, Any]:
    """Return a private copy of one value, and the same as a JSON value.

    Raises:
        ContextError: its type cannot be weighed; ``place`` names it, below ``arguments``.
    """
    kind = type(value)
    if value is None or kind in {str, int, float, bool}:
        return value, value
    if kind in {list, tuple}:
        pairs = [weighable(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return kind(pair[0] for pair in pairs), [pair[1] for pair in pairs]
    if kind is dict:
        items = list(value.items())
        for key, _ in items:
            if type(key) is not str:  # a subclass can be judged under one name and read under another (G11)
                raise ContextError(f"arguments.{place}", f"has a key that is a `{type(key).__name__}`; keys are text")
        copies = {key: weighable(item, f"{place}.{key}") for key, item in items}
        return {key: pair[0] for key, pair in copies.items()}, {key: pair[1] for key, pair in copies.items()}
    if issubclass(kind, enum.Enum):
        return value, _enum_value(value, kind, place)
    if kind in _IMMUTABLE_LEAVES:
        return value, value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
    raise ContextError(
        f"arguments.{place}",
        f"a `{kind.__name__}` cannot be weighed; pass text, numbers, true, false, None, lists, dicts, dates, Decimal or UUID",
    )


def _enum_value(member: enum.Enum, kind: type[enum.Enum], place: str) -> Any:
    """Return what a member of an enumeration stands for, read past everything that its class could say instead (G11).

    Raises:
        ContextError: the class redefines what a member says, or its value is neither text nor a whole number.
    """
    itself: Any = member
    value: Any = vars(member).get("_value_")
    if issubclass(kind, str):
        trusted = type(value) is str and str.__eq__(itself, value)
    elif issubclass(kind, int):
        trusted = type(value) is int and int.__eq__(itself, value)
    else:
        trusted = type(value) in {str, int, bool}
    if not trusted or vars(member).keys() & _ENUM_SAYS or not _says_its_value(kind):
        raise ContextError(
            f"arguments.{place}",
            f"a `{kind.__name__}` cannot be weighed: its class says more of a member than its value, or the value is neither "
            "text nor a whole number; pass the value",
        )
    return value


def _says_its_value(kind: type[enum.Enum]) -> bool:
    """Return whether an enumeration leaves everything that tells its members' values as Python made it."""
    if type(kind) is not enum.EnumMeta:
        return False
    for base in kind.__mro__:
        own = vars(base)
        for name in own.keys() & _ENUM_CLASS_SAYS if base not in _ENUM_BASES else ():
            taken_over = any(own[name] is vars(one).get(name) for one in _ENUM_BASES)  # `enum` does so with some
            is_member = name in kind._member_map_ and name not in {"name", "value"}
            if not (taken_over or is_member):
                return False
    return True
