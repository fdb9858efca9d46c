"""A key of a request that nobody knows, and the one that was probably meant. Pure."""

from __future__ import annotations

import difflib
import re
import types
import typing
from typing import Any

import msgspec

_UNKNOWN = re.compile(r"object contains unknown field `(?P<key>.*)`", re.DOTALL | re.IGNORECASE)
_STEP = re.compile(r"\.([A-Za-z_]+)|(\[[^]]*\])")
_CLOSE = 0.6


def suggestion(message: str, place: str, kind: type[msgspec.Struct]) -> str:
    """Return `` (write account_id)`` for a complaint about an unknown key; an empty text where nothing is close.

    ``message`` and ``place`` are msgspec's, as in ``.proposal.evidence[0]``; ``kind`` is the struct that was read.
    """
    found = _UNKNOWN.fullmatch(message)
    part = _part_at(place, kind) if found is not None else None
    if found is None or part is None:
        return ""
    key = found["key"].replace("-", "_").lower()
    close = difflib.get_close_matches(key, part.__struct_fields__, n=1, cutoff=_CLOSE)
    return f" (write {close[0]})" if close else ""


def _part_at(place: str, kind: type[msgspec.Struct]) -> type[msgspec.Struct] | None:
    """Return the struct that a place lies in; None where it leads into plain JSON."""
    current: Any = kind
    for name, _ in _STEP.findall(place):
        if name and not _is_struct(current):
            return None
        current = _inside(typing.get_type_hints(current)[name] if name else current, element=not name)
    return current if _is_struct(current) else None


def _inside(hint: Any, *, element: bool) -> Any:
    """Return what an optional key holds; ``element``: what the list or object there holds."""
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if element:
        return typing.get_args(hint)[-1] if typing.get_args(hint) else None
    return hint


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)
