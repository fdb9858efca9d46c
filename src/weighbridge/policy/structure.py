"""Does the document have the right shape? Every mistake of one reading, not the first of many.

The typed document stops at what it cannot read. So that one bad key hides no other, what is wrong is taken out and the rest is
read again, until nothing is wrong with the rest; mistakes that are only there because something was taken out are not
reported. What was taken out is remembered, so that later checks do not draw conclusions from its absence.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from weighbridge.policy.budget_section import NO_CAPS, WRITE_CAPS
from weighbridge.policy.mistakes import Mistake, Steps, closest, listed
from weighbridge.policy.rule_kinds import KINDS_BY_NAME

Model = TypeVar("Model", bound=BaseModel)

_ROUNDS_MAX: Final = 100  # every round takes something out, so this is reached by no document under the size limit
_STAND_INS: Final = {
    "weighbridge": 1,
    "name": "unnamed",
}  # for required keys of the document itself, once complained about
_SHOWN_MAX: Final = 60  # characters of a wrong value that are shown


@dataclass(slots=True)
class Structure:
    """What could be read. ``document`` is None where it is no mapping at all; ``taken_out`` are places left out of it."""

    document: Any
    raw: Any = None
    mistakes: list[Mistake] = field(default_factory=list)
    taken_out: set[Steps] = field(default_factory=set)

    def is_whole(self, *steps: str | int) -> bool:
        """Return whether nothing was taken out at or below ``steps``."""
        return not any(place[: len(steps)] == steps for place in self.taken_out)

    def mentions(self, *keys: str) -> bool:
        """Return whether something was taken out below one of ``keys``, wherever that stands."""
        return any(key in place for place in self.taken_out for key in keys)

    def as_written(self, steps: Steps) -> Steps:
        """Return where in the raw document ``steps`` of the read one stand: lists there may have more elements."""
        if not self.taken_out:
            return steps
        found: Steps = ()
        node = self.raw
        for step in steps:
            if isinstance(step, int) and isinstance(node, list | tuple):
                kept = _kept(node, found, self.taken_out)
                step = kept[step] if step < len(kept) else step  # noqa: PLW2901 - the same element, counted otherwise
                node = node[step] if step < len(node) else None
            else:
                node = node.get(step) if isinstance(node, dict) else None
            found = (*found, step)
        return found


def read_structure(model: type[Model], raw: Any, doubtful: Iterable[Steps] = ()) -> Structure:
    """Return ``raw`` as a ``model`` as far as it can be read, with every mistake in its shape."""
    result = Structure(None, raw, taken_out=set(doubtful))
    if not isinstance(raw, dict):
        result.mistakes.append(
            Mistake((), "the document is not a mapping", "`weighbridge: 1`, `name: …` and the sections")
        )
        return result
    for _ in range(_ROUNDS_MAX):
        rest = {**_stand_ins(result.taken_out), **_without(raw, (), result.taken_out)}
        try:
            result.document = model.model_validate(rest)
        except ValidationError as error:
            _take_out(model, raw, error.errors(include_url=False), result)
        else:
            break
    return result


def _stand_ins(taken_out: set[Steps]) -> dict[str, Any]:
    return {key: value for key, value in _STAND_INS.items() if (key,) in taken_out}


def _without(value: Any, steps: Steps, taken_out: set[Steps]) -> Any:
    """Return a copy of ``value`` without what was taken out."""
    if isinstance(value, dict):
        return {k: _without(v, (*steps, k), taken_out) for k, v in value.items() if (*steps, k) not in taken_out}
    if isinstance(value, list | tuple):
        return [_without(value[i], (*steps, i), taken_out) for i in _kept(value, steps, taken_out)]
    return value


def _kept(values: Any, steps: Steps, taken_out: AbstractSet[Steps]) -> list[int]:
    """Return the indices of list elements that are still there; the reader's indices count only these."""
    return [index for index in range(len(values)) if (*steps, index) not in taken_out]


# --- From the reader's errors to mistakes -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Error:
    """An error at its place in the document as written. ``kind`` is the rule kind it lies in, if any."""

    type: str
    steps: Steps
    schema_steps: Steps
    value: Any
    context: Mapping[str, Any]
    message: str
    at_key: bool


def _take_out(model: type[BaseModel], raw: Any, errors: list[ErrorDetails], result: Structure) -> None:
    """Report errors and take out what they are about. Errors that only follow from what is already out are not reported."""
    before = frozenset(result.taken_out)
    found = [_located(error, raw, before) for error in errors]
    guessed: set[Steps] = set()
    for error in sorted(found, key=lambda error: error.type == "missing"):
        if error.type == "extra_forbidden":
            known = _known_keys(model, error.schema_steps[:-1])
            guess = closest(str(error.steps[-1]), known)
            guessed.add((*error.steps[:-1], guess))
            result.mistakes.append(_unknown_key(error, known, guess))
        elif error.steps not in guessed and not any(place[: len(error.steps)] == error.steps for place in before):
            result.mistakes.append(_mistake(error))
        result.taken_out.add(_victim(error))


def _victim(error: _Error) -> Steps:
    """Return what to take out: the value itself, or what cannot do without it."""
    spoils = error.type in {"missing", "union_tag_invalid"} or "spoils" in error.context
    if spoils and len(error.steps) > 1:
        return error.steps[:-1]
    return error.steps


def _located(error: ErrorDetails, raw: Any, taken_out: frozenset[Steps]) -> _Error:
    """Translate the reader's location: without the names of alternatives, and with the indices as written."""
    location = list(error["loc"])
    at_key = bool(location) and location[-1] == "[key]"
    if at_key:
        location.pop()
    missing = [location.pop()] if error["type"] == "missing" else []
    steps: Steps = ()
    node = raw
    for step in location:
        if isinstance(node, dict) and step in node:
            steps, node = (*steps, step), node[step]
        elif isinstance(node, list | tuple) and isinstance(step, int):
            index = _kept(node, steps, taken_out)[step]
            steps, node = (*steps, index), node[index]
    tag = ["rule"] if error["type"] == "union_tag_invalid" else []
    context = error.get("ctx", {})
    steps = (*steps, *missing, *tag)
    message = error["msg"].removeprefix("Value error, ")
    return _Error(error["type"], steps, tuple(location), error["input"], context, message, at_key)


def _unknown_key(error: _Error, known: tuple[str, ...], guess: str) -> Mistake:
    key = str(error.steps[-1])
    kind = next((step for step in error.schema_steps if step in KINDS_BY_NAME), None)
    message = f"unknown key `{key}`" if kind is None else f"unknown key `{key}` in a rule of kind `{kind}`"
    write = guess or (f"one of {listed(known)}" if known else "")
    return Mistake(error.steps, message, write, at_key=True)


def _mistake(error: _Error) -> Mistake:
    if error.type == "missing":
        key = error.steps[-1]
        if error.steps[-2:] == ("budgets", "caps"):  # G5, B8: "no limit" is written down
            return Mistake(error.steps, f"`caps` is missing, and {NO_CAPS}", WRITE_CAPS)
        return Mistake(error.steps, f"`{key}` is missing", f"`{key}: …` here")
    message, write = _sentence(error)
    return Mistake(error.steps, message, write, at_key=error.at_key)


def _sentence(error: _Error) -> tuple[str, str]:
    """Return what is wrong, in our words, and what to write."""
    write = _WORDS.get(error.type)
    if error.type == "policy":
        return str(error.context["message"]), str(error.context["write"])
    if write is not None:
        message, advice = write
        return message.format(_shown(error.value), **error.context), advice.format(
            _quoted(error.value), **error.context
        )
    if error.type == "union_tag_invalid":
        tag = str(error.context["tag"])
        return f"`{tag}` is no kind of rule", closest(tag, KINDS_BY_NAME) or f"one of {listed(KINDS_BY_NAME)}"
    return error.message[:1].lower() + error.message[1:], ""


_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("{0} is not text", "{0}"),
    "bool_type": ("{0} is neither true nor false", "true or false"),
    "dict_type": ("{0} is not a mapping", "key: value pairs"),
    "model_attributes_type": ("{0} is not a mapping", "key: value pairs"),
    "model_type": ("{0} is not a mapping", "key: value pairs"),
    "tuple_type": ("{0} is not a list", "a list, with `-` or in [ ]"),
    "union_tag_not_found": ("a rule without its kind", f"`rule:` with one of {listed(KINDS_BY_NAME)}"),
}


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + '…'}`"


def _quoted(value: Any) -> str:
    if isinstance(value, dict | list):
        return "text, in quotes where it holds [ ] { }"
    return f'"{json.dumps(value)}"' if value is not None else "text, or leave the key out"


# --- Which keys there are ---------------------------------------------------------------------------------------------


@functools.cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def _known_keys(model: type[BaseModel], steps: Steps) -> tuple[str, ...]:
    """Return the keys that the document knows where ``steps`` (the reader's location) lead."""
    schema = _schema(model)
    nodes = [schema]
    for step in steps:
        nodes = [after for node in nodes for after in _below(schema, node, step)]
    return tuple(key for node in nodes for form in _forms(schema, node) for key in form.get("properties", ()))


def _forms(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Any]:
    """Return what a schema node stands for, references and alternatives resolved."""
    if "$ref" in node:
        return _forms(schema, schema["$defs"][str(node["$ref"]).rpartition("/")[2]])
    if "anyOf" in node:
        return [form for alternative in node["anyOf"] for form in _forms(schema, alternative)]
    return [node]


def _below(schema: Mapping[str, Any], node: Mapping[str, Any], step: str | int) -> list[Any]:
    found: list[Any] = []
    for form in _forms(schema, node):
        if isinstance(step, int):
            found += [form["items"]] if isinstance(form.get("items"), dict) else []
        elif "discriminator" in form:
            found.append({"$ref": form["discriminator"]["mapping"][step]})
        elif step in form.get("properties", {}):
            found.append(form["properties"][step])
        elif isinstance(form.get("additionalProperties"), dict):
            found.append(form["additionalProperties"])
    return found
