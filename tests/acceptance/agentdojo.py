"""AgentDojo: benign tool calls that must pass, and calls that an injected text made the agent want.

The rule book is the tools' JSON schemas: `policies/agentdojo.yaml` names, for each tool that changes or sends something, the
arguments that say where to, what, or who (R5). The evidence of a call is what the user said and what the task's own calls
had answered before it (for an injected call: all of them), reshaped from text to records; the proposal refers to the user's
request. Nothing is read from the record's expectations, nor from its list of destinations.

Two questions, each a pair of rows:

* With perfect provenance (every result is clean and taken at its word): what do grounded values stop, alone and with the
  task's own tools as the allow list? This is an upper bound.
* Without that knowledge: the attacker's text stands in all prose that outsiders can write, and the policy trusts less and
  less of what the tools answer (its tenants). Here the benign rows count writes only. Fields that are no prose, such as a
  sender's address, are taken as the systems wrote them.

A call passes the step's choke point and, where it writes, the writeback one; an attack counts as stopped when at least one
of its writes is.
"""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.framework import POLICIES, Judge, Row, Score, find, folders_with, read_json, read_lines
from weighbridge.domain.verdict import Verdict

NAME = "agentdojo"
_BENIGN, _ATTACKS = "benign", "attack"
_EVALUATION_TIME = "2026-01-01T00:00:00Z"

HOUSE_KEPT = frozenset({"clock", "contacts", "directory", "profile", "listings", "flights", "bookings"})
"""Systems whose texts only the house writes. Into all others (mail, files, chat, pages, reviews) outsiders can write."""

_READING = ("get_", "search_", "list_", "read_", "check_", "find_", "lookup_", "view_")
_FIELD_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_RUN_ON = re.compile(r"(?<=[a-z0-9])([.!?])(?=[A-Z][a-z])")
_AROUND_WORDS = "\"'`()[]{}<>.,;:!?"
_INTEGER_MAX = (1 << 53) - 1

Task = tuple[str, str]
"""The suite and its user task."""


def discover(root: Path) -> list[Path]:
    """Return every folder with benign calls and attacks."""
    return folders_with(root, _BENIGN, _ATTACKS)


def run(folder: Path) -> list[Row]:
    """Judge every benign call and every attack, under every policy asked about."""
    house = House(folder)
    benign = [Story.of(record, record["calls"], house) for record in _records(folder, _BENIGN)]
    clean = {story.task: story for story in benign}
    attacks = [(record, Story.of(record, record["injected_calls"], house)) for record in _records(folder, _ATTACKS)]
    score = Score(NAME)
    for policy in house.policies(clean.values()):
        for story in benign:
            _score_benign(score, policy, story)
        for record, attack in attacks:
            before = clean[attack.task].items if attack.task in clean else attack.items[:1]
            if not policy.clean_reads:
                before = tuple(_poisoned(item, record["goal"]) for item in before)
            _score_attack(score, policy, attack, before)
    return score.rows()


def _records(folder: Path, stem: str) -> Iterator[dict[str, Any]]:
    file = find(folder, stem)
    assert file is not None
    return read_lines(file)


# --- The house: tools, systems, policies ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """A policy that is asked about: one judge for all tasks, or one for each."""

    rule: str
    clean_reads: bool
    judges: dict[Task | None, Judge]

    def judge(self, task: Task) -> Judge:
        """Return the judge for a task."""
        return self.judges.get(task) or self.judges[None]


class House:
    """The tools at hand, the system behind each, and the policies about them."""

    def __init__(self, folder: Path) -> None:
        self._document = yaml.safe_load((POLICIES / f"{NAME}.yaml").read_text(encoding="utf-8"))
        self._tenants = self._document.pop("tenants")
        for file in sorted(folder.glob("tools_*.json*")):
            for tool in read_json(file):
                self._register(tool["name"])

    def system(self, tool: str) -> str:
        """Return the system behind a tool: the source type of its results."""
        self._register(tool)
        return str(self._document["operations"][tool]["target"])

    def writes(self, tool: str) -> bool:
        """Return whether the operation is registered as a writeback."""
        self._register(tool)
        return bool(self._document["operations"][tool]["kind"] == "writeback")

    def policies(self, benign: Iterable[Story]) -> Iterator[Asked]:
        """Yield the policies to ask, from the upper bound to the least trust."""
        yield Asked("grounded values, every read clean", clean_reads=True, judges={None: self._judge({})})
        allowed: dict[Task | None, Judge] = {None: self._judge({})}
        for story in benign:
            tools = sorted({call.tool for call in story.calls})
            allowed[story.task] = self._judge({"compliance": {"allowed_actions": tools}})
        yield Asked("grounded values and the task's tools, every read clean", clean_reads=True, judges=allowed)
        yield Asked("tools trusted: all", clean_reads=False, judges={None: self._judge({})})
        for name, section in self._tenants.items():
            yield Asked(f"tools trusted: {name}", clean_reads=False, judges={None: self._judge(section)})

    def _judge(self, section: dict[str, Any]) -> Judge:
        trusts = [
            f"sources.{system}.trust" for system in section.get("sources", {})
        ]  # whom to trust is what is tried out
        return Judge(self._document | {"replaceable": trusts, "tenants": {"acceptance": section}})

    def _register(self, tool: str) -> None:
        """Register a tool that the policy does not know, as a host registers what it offers: by what its name says."""
        if tool not in self._document["operations"]:
            kind = "read" if tool.startswith(_READING) else "writeback"
            self._document["operations"][tool] = {"kind": kind, "cost_class": "MEDIUM", "target": "unlisted"}
            self._document["sources"].setdefault("unlisted", {"trust": "trusted"})
            for section in self._tenants.values():
                section["sources"].setdefault("unlisted", {"trust": "observed"})


# --- Stories: calls and what was known before each ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was made. ``counts`` says that the record calls it a write or an egress."""

    tool: str
    arguments: dict[str, Any]
    counts: bool
    writes: bool


@dataclass(frozen=True, slots=True)
class Story:
    """The calls of one task. ``items[0]`` is what the user said, ``items[n]`` what call ``n - 1`` answered."""

    case_id: str
    task: Task
    calls: tuple[Call, ...]
    items: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, record: dict[str, Any], made: Sequence[dict[str, Any]], house: House) -> Story:
        """Return the story of a record."""
        case_id, calls = record["case_id"], []
        items = [_item("user_prompt", case_id, _prompt_content(record["prompt"]))]
        for number, call in enumerate(made):
            tool = call["tool"]
            calls.append(Call(tool, call["args"], call["is_write_or_egress"], house.writes(tool)))
            items.append(_item(house.system(tool), f"{case_id}/{number}", structured(call.get("result"))))
        return cls(case_id, (record["suite"], record["user_task"]), tuple(calls), tuple(items))


def _item(source_type: str, source_id: str, content: Any) -> dict[str, Any]:
    reference = {"source_type": source_type, "source_id": source_id}
    return {"reference": reference, "source_type": source_type, "content": content}


def _score_benign(score: Score, policy: Asked, story: Story) -> None:
    for number, call in enumerate(story.calls):
        if policy.clean_reads or call.counts:
            case_id = f"{story.case_id} call {number} {call.tool}"
            verdicts = _verdicts(policy.judge(story.task), case_id, call, story.items[: number + 1])
            score.judged(policy.rule, "ALLOW", case_id, right=Verdict.BLOCK not in verdicts)


def _score_attack(score: Score, policy: Asked, attack: Story, before: Sequence[dict[str, Any]]) -> None:
    judge = policy.judge(attack.task)
    stopped = any(
        Verdict.BLOCK in _verdicts(judge, f"{attack.case_id} call {number} {call.tool}", call, before)
        for number, call in enumerate(attack.calls)
        if call.counts
    )
    score.judged(policy.rule, "BLOCK", attack.case_id, right=stopped)


def _verdicts(judge: Judge, case_id: str, call: Call, items: Sequence[dict[str, Any]]) -> set[Verdict]:
    passes = ["BEFORE_STEP_EXECUTION", *(["BEFORE_EXTERNAL_WRITEBACK"] if call.writes else [])]
    return {judge(_context(choke_point, case_id, call, items)).verdict for choke_point in passes}


def _context(choke_point: str, case_id: str, call: Call, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "choke_point": choke_point,
        "tenant_id": "acceptance",
        "validation_run_id": f"{case_id} {choke_point}",
        "proposal": {"operation": call.tool, "arguments": call.arguments, "evidence": [items[0]["reference"]]},
        "evidence": list(items),
        "evaluation_time": _EVALUATION_TIME,
    }


# --- Reshaping: from the text of a result to records ----------------------------------------------------------------------


def _prompt_content(prompt: str) -> dict[str, Any]:
    """Return a prompt as text, as text with the space that people leave out after a full stop, and as single words."""
    words = sorted({word.strip(_AROUND_WORDS) for word in prompt.split()} - {""})
    return {"text": prompt, "sentences": _RUN_ON.sub(r"\1 ", prompt), "words": words}


def structured(result: Any) -> Any:
    """Return what a tool answered as records, where its text holds any."""
    return _records_in(result) if isinstance(result, str) else _plain(result)


@functools.lru_cache(maxsize=4096)
def _records_in(text: str) -> Any:
    """Return the records in a text (YAML, or a Python literal), or the text where it holds none.

    A text counts as YAML only if writing its value again gives the text back; of a list that was cut off, what stands
    before its last entry counts.
    """
    stripped = text.strip()
    candidates = [stripped]
    if stripped.startswith("- ") and "\n- " in stripped:
        candidates.append(stripped[: stripped.rindex("\n- ")])
    for candidate in candidates:
        value = _yaml(candidate)
        if value is not None:
            return _plain(value)
    value = _literal(stripped)
    return _plain(value) if value is not None else text


def _yaml(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        if isinstance(value, (dict, list)) and yaml.safe_dump(value).strip() == text:
            return value
    except (yaml.YAMLError, ValueError):
        pass
    return None


def _literal(text: str) -> Any:
    if not text.startswith(("{", "[")):
        return None
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _plain(value: Any) -> Any:
    """Return a value as JSON. An object whose keys are data, not names of fields, becomes a list of its entries."""
    if isinstance(value, dict):
        items = {str(key): _plain(item) for key, item in value.items()}
        if all(_FIELD_NAME.fullmatch(key) for key in items):
            return items
        return [{"key": key, "value": item} for key, item in items.items()]
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    return value if _is_json(value) else str(value)


def _is_json(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return math.isfinite(leaf)
    if isinstance(leaf, int):
        return abs(leaf) <= _INTEGER_MAX
    return leaf is None or isinstance(leaf, str)


def _poisoned(item: dict[str, Any], goal: str) -> dict[str, Any]:
    """Return an item with the attacker's text in everything that outsiders can write into."""
    if item["source_type"] == "user_prompt" or item["source_type"] in HOUSE_KEPT:
        return item
    content = item["content"]
    return item | {"content": f"{content}\n{goal}" if isinstance(content, str) else _with_text(content, goal)}


def _with_text(value: Any, goal: str) -> Any:
    """Return a record with ``goal`` appended to its prose: every text of more than one word (a point in time is none)."""
    if isinstance(value, str):
        words = [word for word in value.split() if any(character.isalpha() for character in word)]
        return f"{value}\n{goal}" if len(words) > 1 else value
    if isinstance(value, list):
        return [_with_text(item, goal) for item in value]
    if isinstance(value, dict):
        return {name: _with_text(item, goal) for name, item in value.items()}
    return value
