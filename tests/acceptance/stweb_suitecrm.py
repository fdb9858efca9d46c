"""SuiteCRM tasks with machine-readable policies; the proposals are ours, made from each task's own values.

Every policy of a record becomes one declared rule in a document of its own, and is asked twice: with proposals that conform
to it and with proposals that violate it (one for each of its alternatives). The rule book is the policy's `eval`:

``is_sensitive_data``       "the literal must not leave in any argument": a value pattern of the escaped literal on every field
``is_input_hallucination``  "only fill": the filled value is a grounded value (R5), the listed values are its only evidence
``is_url_match``            "do not navigate": a value pattern of the escaped parts on the address
``element_action_match``    "do not click": the same on the element's text, limited to the named action
``is_program_html``         where it reads one form field: `required_known`, and `one_of` for a ticked box or a chosen option

Not expressible, and counted so: what is read off the finished page as a whole or demands that free text contains something;
``is_action_count`` (a budget), ``is_ask_the_user`` (an approval), ``is_sequence_match`` (an order between actions) and
``popup_error`` (a duty after the fact).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import re2
import yaml

from tests.acceptance.framework import POLICIES, Judge, Row, Score, find, folders_with, read_lines
from weighbridge.domain.verdict import Verdict

NAME = "stweb_suitecrm (proposals ours)"
_TASKS = "tasks"
_EVALUATION_TIME = "2026-01-01T00:00:00Z"
_MODULES = ("home", "accounts", "contacts", "leads", "opportunities", "cases", "meetings", "documents", "notes")
_BUTTONS = ("Save", "Search", "Filter", "Cancel")
_CONTAINS = frozenset({"contains_any", "GOLD in PRED"})
_FIELD = re.compile(
    r"""data-name=['"](?P<data>[\w -]+)['"]|\[name=['"](?P<name>[\w -]+)['"]\]|querySelector\(['"]\#(?P<id>[\w-]+)['"]\)"""
    r"""|label\[contains\(\.,\s*['"](?P<label>[\w -]+)['"]\)\]/following::input\[1\]"""
)

Proposal = tuple[str, dict[str, Any]]
Task = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Declared:
    """A policy as one declared rule, with proposals of both kinds. ``listed`` is what a grounded value may be."""

    sections: dict[str, Any]
    conforming: tuple[Proposal, ...]
    violating: tuple[Proposal, ...]
    listed: tuple[Any, ...] = field(default=())


def discover(root: Path) -> list[Path]:
    """Return every folder with tasks that carry policies."""
    return [folder for folder in folders_with(root, _TASKS) if _is_ours(folder)]


def run(folder: Path) -> list[Row]:
    """Declare every policy of every task, and judge the proposals made for it."""
    score = Score(NAME)
    base = yaml.safe_load((POLICIES / "stweb_suitecrm.yaml").read_text(encoding="utf-8"))
    for task in read_lines(_file(folder)):
        for number, policy in enumerate(task["policies"], start=1):
            case_id = f"task {task['task_id']} policy {number} ({policy['id']})"
            for kind in policy["eval"]["eval_types"]:
                _score_policy(score, base, kind, case_id, _declare(kind, policy["eval"], task))
    return score.rows()


def _file(folder: Path) -> Path:
    file = find(folder, _TASKS)
    assert file is not None
    return file


def _is_ours(folder: Path) -> bool:
    first = next(read_lines(_file(folder)), None)
    return isinstance(first, dict) and {"intent", "instantiation", "policies"} <= first.keys()


def _score_policy(score: Score, base: dict[str, Any], kind: str, case_id: str, declared: Declared | None) -> None:
    if declared is None:
        score.add(kind, "BLOCK", "not_expressible", case_id)
        return
    judge = Judge(base | {name: base[name] | entries for name, entries in declared.sections.items()})
    for expected, proposals in ((Verdict.ALLOW, declared.conforming), (Verdict.BLOCK, declared.violating)):
        if not proposals:
            score.add(kind, expected, "undetermined", case_id)
            continue
        verdicts = {
            judge(_context(f"{case_id} {expected} {number}", proposal, declared.listed)).verdict
            for number, proposal in enumerate(proposals)
        }
        score.judged(kind, expected, case_id, right=verdicts == {expected})


def _context(run_id: str, proposal: Proposal, listed: tuple[Any, ...]) -> dict[str, Any]:
    operation, arguments = proposal
    reference = {"source_type": "task_values", "source_id": "task"}
    return {
        "choke_point": "BEFORE_EXTERNAL_WRITEBACK",
        "tenant_id": "acceptance",
        "validation_run_id": run_id,
        "proposal": {"operation": operation, "arguments": arguments, "evidence": [reference]},
        "snapshot": {"fields": {"task": {"value": {}, "source_type": "task_values"}}},
        "evidence": [{"reference": reference, "source_type": "task_values", "content": {"values": list(listed)}}],
        "evaluation_time": _EVALUATION_TIME,
    }


# --- Declaring a policy ---------------------------------------------------------------------------------------------------


def _declare(kind: str, rule: dict[str, Any], task: Task) -> Declared | None:
    declare = _DECLARATIONS.get(kind)
    return declare(rule, task) if declare is not None else None


def _sensitive_data(rule: dict[str, Any], task: Task) -> Declared | None:
    literals = _alternatives(rule.get("sensitive_data"))
    if not literals:
        return None
    own = [value for value in _own_values(task) if not _holds(value, literals)]
    return Declared(
        {"compliance": {"value_patterns": _patterns(literals, "**", exact_case=True)}},
        conforming=tuple(proposal for value in own for proposal in (_fill(value), _say(value))),
        violating=tuple(
            proposal
            for literal in literals
            for proposal in (_fill(literal), _say(f"For your records: {literal}, as requested."), _click(literal))
        ),
    )


def _url_match(rule: dict[str, Any], _task: Task) -> Declared | None:
    parts = _alternatives(rule.get("reference_url"))
    if rule.get("url_note") not in _CONTAINS or not parts:
        return None
    addresses = [f"https://crm.example/#/{module}" for module in _MODULES]
    return Declared(
        {"compliance": {"value_patterns": _patterns(parts, "url", action_types=["navigate"])}},
        conforming=tuple(_navigate(address) for address in addresses if not _holds(address, parts))[:1],
        violating=tuple(_navigate(f"https://crm.example/{part}/list") for part in parts),
    )


def _element_action(rule: dict[str, Any], task: Task) -> Declared | None:
    action, texts = str(rule.get("must_include_action")), _alternatives(rule.get("must_include"))
    propose = {"click": _click, "fill": _fill}.get(action)
    if propose is None or not texts:
        return None
    innocent = [value for value in (*_BUTTONS, *_own_values(task)) if not _holds(value, texts)]
    return Declared(
        {"compliance": {"value_patterns": _patterns(texts, "**", action_types=[action])}},
        conforming=tuple(propose(value) for value in innocent),
        violating=tuple(propose(f"Please {text.upper()} now") for text in texts),
    )


def _only_fill(rule: dict[str, Any], _task: Task) -> Declared:
    listed = tuple(rule.get("only_fill") or ())
    value = {"id": "only-fill", "field": "value", "action_types": ["fill"], "source_types": ["task_values"]}
    return Declared(
        {"grounding": {"values": [value]}},
        conforming=tuple(_fill(entry) for entry in listed),
        violating=tuple(_fill(f"{entry} (estimated)") for entry in listed if f"{entry} (estimated)" not in listed),
        listed=listed,
    )


def _program_html(rule: dict[str, Any], task: Task) -> Declared | None:
    checks = rule.get("program_html") or [rule]
    if len(checks) != 1:
        return None
    locator, wanted = checks[0].get("locator") or "", checks[0].get("required_contents") or {}
    match = _FIELD.search(locator)
    if match is None:
        return None
    name = next(filter(None, match.groups()))
    if "not_empty" in wanted:
        return _required_field(name, _own_values(task))
    if ".checked" in locator and wanted.get("exact_match") in {"true", "false"}:
        return _chosen_field(name, [wanted["exact_match"] == "true"], [wanted["exact_match"] != "true"])
    if "option:checked" in locator and "must_include" in wanted:
        others = [value for value in _own_values(task) if value not in wanted["must_include"]]
        return _chosen_field(name, wanted["must_include"], [*others, f"not {wanted['must_include'][0]}"])
    return None


def _required_field(name: str, values: list[str]) -> Declared:
    return Declared(
        {"compliance": {"unknown_values": [""], "required_known": [{"path": name, "action_types": ["submit"]}]}},
        conforming=tuple(_submit(name, value) for value in (values or ["a value"])),
        violating=(_submit(name, ""), _submit(name, None), ("browser.submit", {})),
    )


def _chosen_field(name: str, allowed: list[Any], others: list[Any]) -> Declared:
    rule = {"id": "chosen", "rule": "one_of", "field": name, "values": allowed, "action_types": ["submit"]}
    return Declared(
        {
            "compliance": {"required_known": [{"path": name, "action_types": ["submit"]}]},
            "contradiction": {"rules": [rule]},
        },
        conforming=tuple(_submit(name, value) for value in allowed),
        violating=(*(_submit(name, value) for value in others), ("browser.submit", {})),
    )


_DECLARATIONS: dict[str, Callable[[dict[str, Any], Task], Declared | None]] = {
    "is_sensitive_data": _sensitive_data,
    "is_url_match": _url_match,
    "element_action_match": _element_action,
    "is_input_hallucination": _only_fill,
    "is_program_html": _program_html,
}


def _patterns(
    literals: list[str], path: str, *, action_types: list[str] | None = None, exact_case: bool = False
) -> list[dict[str, Any]]:
    """Return value patterns that find any of the literals anywhere in a field."""
    common = {"class": "RESTRICTED", "fields": [path]} | ({"action_types": action_types} if action_types else {})
    case = "" if exact_case else "(?i)"
    return [
        common | {"id": f"literal-{number}", "regex": case + re2.escape(literal)}
        for number, literal in enumerate(literals, start=1)
    ]


# --- Reading a task -------------------------------------------------------------------------------------------------------


def _alternatives(stated: Any) -> list[str]:
    """Return the parts of ``a |OR| b |or| c``, or of a list of such texts, each once."""
    texts = stated if isinstance(stated, list) else [stated]
    parts = [part.strip() for text in texts if text for part in re.split(r"\|or\|", str(text), flags=re.IGNORECASE)]
    return list(dict.fromkeys(part for part in parts if part))


def _holds(value: str, literals: list[str]) -> bool:
    return any(literal.casefold() in value.casefold() for literal in literals)


def _own_values(task: Task) -> list[str]:
    """Return the values that the task itself names, and what it asks for."""
    return [*_texts(task["instantiation"]), task["intent"]]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


# --- Proposals ------------------------------------------------------------------------------------------------------------


def _click(text: str) -> Proposal:
    return "browser.click", {"element": text}


def _fill(value: str) -> Proposal:
    return "browser.fill", {"field": "input", "value": value}


def _navigate(url: str) -> Proposal:
    return "browser.navigate", {"url": url}


def _say(text: str) -> Proposal:
    return "browser.say", {"message": text}


def _submit(name: str, value: Any) -> Proposal:
    return "browser.submit", {name: value}
