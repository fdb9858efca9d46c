"""From text to a checked policy, or to every mistake in it at once.

Takes text, bytes or plain data, and no path: reading files is the edge's business. Three things are looked at, and all of them
reported together: the text (`yaml_text`), the shape (`structure`), and whether it makes sense (`soundness`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from weighbridge import canonical
from weighbridge.errors import CanonicalError, PolicyError, Problem
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.mistakes import Mistake, where
from weighbridge.policy.soundness import find_mistakes
from weighbridge.policy.structure import read_structure
from weighbridge.policy.yaml_text import DEPTH_MAX, SIZE_MAX, TOO_LARGE, Place, PolicyText, read_policy_text


def load_policy(text: str | bytes, source: str) -> PolicyDocument:
    """Return the policy that YAML or JSON ``text`` states; bytes are UTF-8. ``source`` names it in messages.

    Raises:
        PolicyError: with every mistake, each with its line and column and what to write instead.
    """
    read = read_policy_text(_decoded(text, source))
    read.values.setdefault((), Place(1, 1))  # a text that says nothing begins somewhere too
    return _checked(read, source)


def document_from_mapping(document: Mapping[str, Any], source: str = "policy") -> PolicyDocument:
    """Return the policy that plain data states, checked like text; mistakes then have no line.

    Raises:
        PolicyError: with every mistake.
    """
    try:
        copy = canonical.encode_and_decode(document)[1]
    except CanonicalError as error:
        raise PolicyError(source, (Problem(0, 0, "", str(error)),)) from None
    if _depth(copy) > DEPTH_MAX:
        raise PolicyError(source, (Problem(0, 0, "", f"nested deeper than {DEPTH_MAX} levels"),))
    return _checked(PolicyText(copy), source)


def _depth(value: Any) -> int:
    """Return how many levels of lists and objects there are, without recursion."""
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def _decoded(text: str | bytes, source: str) -> str:
    if isinstance(text, str):
        return text
    if len(text) > SIZE_MAX:
        raise PolicyError(source, (Problem(1, 1, "", TOO_LARGE, "a shorter policy"),))
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        column = error.start - (text[: error.start].rfind(b"\n") + 1) + 1
        problem = Problem(line, column, "", f"the byte 0x{text[error.start]:02X} is not UTF-8", "the file as UTF-8")
        raise PolicyError(source, (problem,)) from None


def _checked(text: PolicyText, source: str) -> PolicyDocument:
    problems = list(text.problems)
    document: PolicyDocument | None = None
    if text.value is not None or not problems:
        structure = read_structure(PolicyDocument, text.value, text.doubtful)
        document = structure.document
        problems += _problems(structure.mistakes, text)
        problems += _problems(find_mistakes(structure), text)
    if problems or document is None:
        raise PolicyError(source, _in_order(problems))
    return document


def _problems(mistakes: Iterable[Mistake], text: PolicyText) -> list[Problem]:
    return [
        Problem(*text.place(mistake.steps, at_key=mistake.at_key), where(mistake.steps), mistake.message, mistake.write)
        for mistake in mistakes
    ]


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return problems in the order of the text, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))
