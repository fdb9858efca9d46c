"""Paths into JSON values: one grammar for policies, three uses.

Grammar::

    path     = segment *( "." segment / "[*]" )
    segment  = name / quoted / "{" key "}"        ; the braced form in snapshot paths only
    name     = 1*( any character but  . [ ] { } " )
    quoted   = a JSON string, for names with those characters
    key      = "."  /  path  /  "$." path          ; the element itself, a path in it, a path from the arguments' root

``[*]`` stands for every element of a list (or every value of an object). A *proposal path* (`Path`) starts at the arguments
of a proposal; each match carries the element it was found in: what the last ``[*]`` stands for, or the arguments where there
is none. A *snapshot path* (`SnapshotPath`) starts at the fields of the snapshot and may be keyed by values of that
element, as in ``payment_methods.{payment_id}.amount``. A *field pattern* (`FieldPattern`) is dotted names matched against
any suffix of a value's path (P2).
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

# Compiled when first used: paths are read with a policy, and places written where something was found.
_SEGMENT = r'\[\*\]|\{(?P<key>[^{}]+)\}|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<name>[^.\[\]{}"]+)'
_PLAIN_NAME = r'[^.\[\]{}"\ud800-\udfff]+'
_REMEMBERED_NAME_MAX: Final = 64  # field names are short; what is longer is not worth the memory

EACH: Final = object()
"""The segment ``[*]``."""


class Missing:
    """Says that a path leads nowhere for one element. Not null: null is a value."""

    def __repr__(self) -> str:
        """Return the name."""
        return "MISSING"


MISSING: Final = Missing()


class Match(NamedTuple):
    """One value found: its concrete path as in ``items[0].id``, the value, and the element it belongs to."""

    place: str
    value: Any
    element: Any


class Path(msgspec.Struct, frozen=True):
    """A parsed proposal path. ``text`` is the policy's own spelling; ``segments`` are names and `EACH`."""

    text: str
    segments: tuple[Any, ...]

    def find(self, root: Any) -> list[Match]:
        """Return every match below ``root``, in the order of the value. A path that leads nowhere matches nothing."""
        found = [Match("", root, root)]
        for segment in self.segments:
            found = list(_step(found, segment))
        return found

    def values(self, root: Any) -> list[tuple[Any, Any]]:
        """Return ``(value, element)`` of every match, in the order of `find`; places cost time and are seldom asked for."""
        found = [(root, root)]
        for segment in self.segments:
            if segment is EACH:
                found = [(item, item) for value, _ in found for item in children(value)]
            else:
                found = [
                    (value[segment], element)
                    for value, element in found
                    if isinstance(value, dict) and segment in value
                ]
        return found


class Key(msgspec.Struct, frozen=True):
    """A braced segment: ``path`` None is the element itself; ``from_root`` starts at the arguments."""

    path: Path | None
    from_root: bool


class SnapshotPath(msgspec.Struct, frozen=True):
    """A parsed snapshot path. The first segment names a snapshot field."""

    text: str
    segments: tuple[Any, ...]

    def find(self, fields: Any, element: Any, arguments: Any) -> list[Any]:
        """Return the value for every binding of ``[*]`` and keys; `MISSING` where one leads nowhere.

        ``fields`` maps snapshot field names to objects with a ``value``; ``element`` and ``arguments`` give the keys. An
        empty list means that a ``[*]`` stands for a collection with nothing in it.
        """
        first = self.segments[0]
        names = [first] if isinstance(first, str) else _names(first, fields, element, arguments)
        found = [fields[name].value if name in fields else MISSING for name in names]
        for segment in self.segments[1:]:
            if isinstance(segment, str):
                found = [value.get(segment, MISSING) if isinstance(value, dict) else MISSING for value in found]
            else:
                found = [after for value in found for after in _advance(segment, value, element, arguments)]
        return found


class FieldPattern(msgspec.Struct, frozen=True):
    """Normalised names, matched against any suffix of a value's path with indices ignored. ``names`` empty matches all."""

    text: str
    names: tuple[str, ...]

    def matches(self, normalised_place: tuple[str, ...]) -> bool:
        """Return whether this pattern is a suffix of the normalised names that lead to a value."""
        size = len(self.names)
        return size == 0 or normalised_place[-size:] == self.names


def parse_path(text: str) -> Path:
    """Return a proposal path.

    Raises:
        ValueError: it does not follow the grammar; the message says where.
    """
    return Path(text, _segments(text, keyed=False))


def parse_snapshot_path(text: str) -> SnapshotPath:
    """Return a snapshot path, which may be keyed.

    Raises:
        ValueError: it does not follow the grammar; the message says where.
    """
    return SnapshotPath(text, _segments(text, keyed=True))


def parse_field_pattern(text: str) -> FieldPattern:
    """Return a field pattern; ``**`` stands for every field.

    Raises:
        ValueError: it does not follow the grammar, or a name is empty after normalisation.
    """
    if text == "**":
        return FieldPattern(text, ())
    segments = tuple(segment for segment in _segments(text, keyed=False) if segment is not EACH)
    names = tuple(normalise_name(segment) for segment in segments)
    if not names or "" in names:
        message = f"`{text}` has an empty name; write dotted names, as in contact.email"
        raise ValueError(message)
    return FieldPattern(text, names)


def normalise_name(name: str) -> str:
    """Return a field name as P2 compares it: NFKC, case folded, without ``_ - .``, spaces and format characters."""
    return _normalise_short(name) if len(name) <= _REMEMBERED_NAME_MAX else _normalise(name)


def _normalise(name: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        c
        for c in folded
        if c not in "_-." and not c.isspace() and unicodedata.category(c) not in {"Cf", "Zs", "Zl", "Zp"}
    )


_normalise_short = functools.lru_cache(maxsize=16_384)(_normalise)


def child_place(place: str, name: str) -> str:
    """Return the path of the field ``name`` of the object at ``place``, in the grammar above; "" is the root."""
    if not re.fullmatch(_PLAIN_NAME, name):
        name = json.dumps(name.encode("utf-8", "replace").decode(), ensure_ascii=False)
    return f"{place}.{name}" if place else name


def _segments(text: str, *, keyed: bool) -> tuple[Any, ...]:
    found: list[Any] = []
    position = 0
    while position < len(text):
        if found and text[position] == ".":
            position += 1
        elif found and not text.startswith("[*]", position):
            break
        match = re.compile(_SEGMENT).match(text, position)
        if match is None or (match[0] == "[*]" and (not found or text[position - 1] == ".")):
            break
        if match[0] == "[*]":
            found.append(EACH)
        elif match["key"] is not None:
            if not keyed:
                break
            found.append(_key(match["key"]))
        elif match["quoted"] is not None:
            found.append(json.loads(match["quoted"]))
        else:
            found.append(match["name"])
        position = match.end()
    if not found or position != len(text) or text.endswith("."):
        message = f"`{text}` is no path (at character {position + 1}); write dotted names with [*] for lists, as in items[*].id"
        raise ValueError(message)
    return tuple(found)


def _key(text: str) -> Key:
    if text == ".":
        return Key(None, from_root=False)
    if text.startswith("$."):
        return Key(parse_path(text[2:]), from_root=True)
    return Key(parse_path(text), from_root=False)


def _advance(segment: Any, value: Any, element: Any, arguments: Any) -> list[Any]:
    if segment is EACH:
        return children(value) if isinstance(value, (list, tuple, dict)) else [MISSING]
    if not isinstance(value, dict):
        return [MISSING]
    return [value.get(name, MISSING) for name in _names(segment, value, element, arguments)]


def _names(segment: Any, at: Any, element: Any, arguments: Any) -> list[Any]:
    """Return the names that ``[*]`` or a braced segment stands for; `MISSING` for a key that leads nowhere."""
    if segment is EACH:
        return sorted(at)
    root = arguments if segment.from_root else element
    keys = [root] if segment.path is None else [value for value, _ in segment.path.values(root)]
    return [_as_key(key) for key in keys] or [MISSING]


def _as_key(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else MISSING


def children(value: Any) -> list[Any]:
    """Return what ``[*]`` stands for: a list's elements, an object's values by name (G4: never in its own order)."""
    if isinstance(value, (list, tuple)):
        return list(value)
    return [value[name] for name in sorted(value)] if isinstance(value, dict) else []


def _step(found: list[Match], segment: Any) -> Iterator[Match]:
    for place, value, element in found:
        if segment is not EACH:
            if isinstance(value, dict) and segment in value:
                yield Match(child_place(place, segment), value[segment], element)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                yield Match(f"{place}[{index}]", item, item)
        elif isinstance(value, dict):
            for name in sorted(value):
                yield Match(child_place(place, name), value[name], value[name])
