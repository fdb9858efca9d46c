"""Policy text, as people write it, to plain data that remembers where everything stood.

JSON and the part of YAML that every reader understands alike are accepted: mappings with text keys, lists, text, whole and
decimal numbers, `true`, `false`, `null`. What YAML 1.1 and 1.2 read differently (`no`, `1:30`, `010`, `2024-01-01`), and
what makes a document more than it shows (anchors and aliases, merge keys, tags, duplicate keys, a second document), is a
mistake with its place and the advice to quote it or to write it out. Reading goes on after such a mistake, so that one run
finds them all; the value in question is left out, and its place is remembered as doubtful. After a syntax error it cannot.

Limits: 1 MiB, 32 levels, 100,000 values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import yaml
from yaml import events
from yaml.reader import ReaderError

from weighbridge.errors import Problem
from weighbridge.policy.mistakes import Steps, where
from weighbridge.policy.yaml_scalars import LEFT_OUT, read_plain, read_text

SIZE_MAX: Final = 1 << 20  # bytes; the largest policies people write by hand are a hundredth of it
DEPTH_MAX: Final = 32  # levels; the format itself has seven, the rest is for the configuration of custom validators
VALUES_MAX: Final = 100_000

TOO_LARGE: Final = f"the document is larger than {SIZE_MAX} bytes (1 MiB)"


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


@dataclass(slots=True)
class PolicyText:
    """What a text says. ``value`` is None where it says nothing that could be read at all.

    ``doubtful`` are the places of values that were left out of ``value`` because of a problem.
    """

    value: Any = None
    problems: list[Problem] = field(default_factory=list)
    values: dict[Steps, Place] = field(default_factory=dict)
    keys: dict[Steps, Place] = field(default_factory=dict)
    doubtful: set[Steps] = field(default_factory=set)

    def place(self, steps: Steps, *, at_key: bool = False) -> Place:
        """Return where ``steps`` stands, or else the nearest thing around it; (0, 0) where there is no text."""
        if at_key and steps in self.keys:
            return self.keys[steps]
        for size in range(len(steps), -1, -1):
            if steps[:size] in self.values:
                return self.values[steps[:size]]
        return Place(0, 0)


def read_policy_text(text: str) -> PolicyText:
    """Return what ``text`` says, with every problem met on the way. Never raises for what is in the text."""
    if len(text.encode("utf-8", "surrogatepass")) > SIZE_MAX:
        return PolicyText(problems=[Problem(1, 1, "", TOO_LARGE, "a shorter policy")])
    is_json = _is_json(text)
    if is_json:
        text = text.replace("\t", " ")  # in valid JSON a bare tab is white space; YAML would refuse it as indentation
    reader = _Reader(is_json=is_json)
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if not reader.take(event):
                break
    except yaml.YAMLError as error:
        reader.result.problems.append(_syntax_problem(error, text))
        reader.result.value = None
    return reader.result


def _is_json(text: str) -> bool:
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return False
    try:
        json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


# --- From events to values --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read. ``steps`` is None inside something that is thrown away."""

    value: Any
    steps: Steps | None
    key: Any = None
    awaits_key: bool = True


def _place(event: events.Event) -> Place:
    mark = event.start_mark
    return Place(0, 0) if mark is None else Place(mark.line + 1, mark.column + 1)


class _Reader:
    """Puts events together to values, and complains on the way."""

    def __init__(self, *, is_json: bool) -> None:
        self.result = PolicyText()
        self._is_json = is_json
        self._open: list[_Open] = []
        self._count = 0
        self._documents = 0

    def take(self, event: events.Event) -> bool:
        """Take the next event; return False where reading on makes no sense."""
        match event:
            case events.DocumentStartEvent():
                return self._start_document(event)
            case events.AliasEvent():
                self._complain(event, f"`*{event.anchor}` is an alias", "the value itself; anchors are not followed")
                self._put(LEFT_OUT, event)
            case events.ScalarEvent():
                self._put(self._scalar(event), event)
            case events.MappingStartEvent() | events.SequenceStartEvent():
                return self._start(event)
            case events.MappingEndEvent() | events.SequenceEndEvent():
                self._end()
            case _:
                pass  # starts and ends of the stream and of the document say nothing more
        if self._count > VALUES_MAX:
            self._complain(event, f"the document has more than {VALUES_MAX} values")
        return self._count <= VALUES_MAX

    def _start_document(self, event: events.DocumentStartEvent) -> bool:
        self._documents += 1
        if self._documents > 1:
            self._complain(event, "a second document starts here", "one document; a policy is one file")
        elif event.version or event.tags:
            self._complain(event, "directives (`%YAML`, `%TAG`) are not accepted", "the document without them")
        return self._documents == 1

    def _complain(self, event: events.Event, message: str, write: str = "") -> None:
        self.result.problems.append(Problem(*_place(event), where(self._steps_here()), message, write))

    def _steps_here(self) -> Steps:
        if not self._open:
            return ()
        top = self._open[-1]
        if top.steps is None:
            return next((o.steps for o in reversed(self._open) if o.steps is not None), ())
        if isinstance(top.value, list):
            return (*top.steps, len(top.value))
        return (*top.steps, top.key) if isinstance(top.key, str) and not top.awaits_key else top.steps

    def _next_steps(self) -> Steps | None:
        """Return where the next value goes, or None where it is thrown away."""
        if not self._open:
            return ()
        top = self._open[-1]
        if top.steps is None or (isinstance(top.value, dict) and (top.awaits_key or top.key is LEFT_OUT)):
            return None
        return (*top.steps, len(top.value) if isinstance(top.value, list) else top.key)

    def _start(self, event: events.MappingStartEvent | events.SequenceStartEvent) -> bool:
        self._refuse_extras(event)
        if len(self._open) >= DEPTH_MAX:
            self._complain(event, f"nested deeper than {DEPTH_MAX} levels")
            return False
        top = self._open[-1] if self._open else None
        if top is not None and isinstance(top.value, dict) and top.awaits_key:
            self._complain(event, "a mapping or a list cannot be a key", "text as the key; quote what holds { or [")
        value: Any = {} if isinstance(event, events.MappingStartEvent) else []
        steps = self._next_steps()
        if steps is not None:
            self._remember(steps, event)
        self._open.append(_Open(value, steps))
        return True

    def _end(self) -> None:
        done = self._open.pop()
        self._put(done.value, None)

    def _put(self, value: Any, event: events.Event | None) -> None:
        """Put a finished value where it belongs. ``event`` is None where the place is already known."""
        self._count += 1
        if not self._open:
            self._remember((), event)
            self.result.value = None if value is LEFT_OUT else value
            return
        top = self._open[-1]
        if isinstance(top.value, dict) and top.awaits_key:
            top.key, top.awaits_key = self._key(top, value, event), False
            return
        steps = self._next_steps()
        top.awaits_key = True
        if steps is None:
            return
        self._remember(steps, event)
        if value is LEFT_OUT:
            self.result.doubtful.add(steps)
        if isinstance(top.value, list):
            top.value.append(None if value is LEFT_OUT else value)
        elif value is not LEFT_OUT:
            top.value[top.key] = value

    def _key(self, top: _Open, value: Any, event: events.Event | None) -> Any:
        """Return the key to store under, or `LEFT_OUT` where the value that follows is thrown away."""
        if event is None or value is LEFT_OUT or top.steps is None:
            return LEFT_OUT
        if not isinstance(value, str):
            self._complain(event, f"the key `{json.dumps(value)}` is not text", f'"{json.dumps(value)}"')
            return LEFT_OUT
        steps = (*top.steps, value)
        if steps in self.result.keys:
            line = self.result.keys[steps].line
            self._complain(event, f"the key `{value}` is already on line {line}", "each key once")
            return LEFT_OUT
        self.result.keys[steps] = _place(event)
        return value

    def _remember(self, steps: Steps, event: events.Event | None) -> None:
        if event is not None:
            self.result.values[steps] = _place(event)

    def _refuse_extras(self, event: events.NodeEvent) -> None:
        if event.anchor is not None:
            self._complain(event, f"`&{event.anchor}` is an anchor", "the value without it; aliases are not followed")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._complain(
                event, f"the tag `{_short(tag)}` is not accepted", "the value without it; quote what is text"
            )

    def _scalar(self, event: events.ScalarEvent) -> Any:
        self._refuse_extras(event)
        if event.style is not None or event.tag is not None:
            value, complaint = read_text(event.value)
        elif (
            event.value == "<<" and self._open and isinstance(self._open[-1].value, dict) and self._open[-1].awaits_key
        ):
            value, complaint = LEFT_OUT, ("`<<` is a merge key", "the keys themselves; nothing is merged")
        else:
            value, complaint = read_plain(event.value, is_json=self._is_json)
        if complaint is not None:
            self._complain(event, *complaint)
        return value


def _short(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


# --- Syntax errors ----------------------------------------------------------------------------------------------------

_ADVICE: Final = (
    ("found character '\\t'", "a tab indents here", "spaces"),
    ("found character '%'", "text cannot start with `%`", "it in quotes"),
    ("found character '@'", "text cannot start with `@`", "it in quotes"),
    ("found character '`'", "text cannot start with a backtick", "it in quotes"),
    ("found unknown escape character", "an unknown escape in double quotes", "it in single quotes, where \\ is itself"),
    ("but found '*'", "`*` starts an alias", 'it in quotes, as in "**"'),
    (
        "expected ',' or '}'",
        "this mapping goes on where it should not",
        'it in quotes if it is text with [ ] { or }, as in "items[*].id"',
    ),
    (
        "expected ',' or ']'",
        "this list goes on where it should not",
        'it in quotes if it is text with [ ] { or }, as in "items[*].id"',
    ),
    ("mapping values are not allowed", "a `:` where no key can be", 'it in quotes if it is text that holds ": "'),
    ("expected <block end>", "the indentation does not fit the lines above", "it under the key it belongs to"),
    ("could not find expected ':'", "a key without `:`", "`key: value`"),
    ("found unexpected end of stream", "quotes that are opened here are never closed", "the closing quote"),
    ("found undefined tag handle", "tags are not accepted", "the value without it"),
)


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, ReaderError):
        return _character_problem(error, text)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    said = getattr(error, "problem", None) or str(error)
    for fragment, message, write in _ADVICE:
        if fragment in said:
            return Problem(line, column, "", message, write)
    return Problem(line, column, "", f"this is not YAML: {said}")


def _character_problem(error: ReaderError, text: str) -> Problem:
    before = text[: error.position]
    line = before.count("\n") + 1
    column = error.position - (before.rfind("\n") + 1) + 1
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return Problem(line, column, "", f"the character U+{code:04X} cannot stand in a policy", "the text without it")
