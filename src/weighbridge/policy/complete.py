"""One form per meaning: ids and defaults written out, lists whose order means nothing sorted.

What is hashed as `policy_version` goes through here, so that two spellings of the same policy are the same policy. Order is kept
where it means something: the ordering of `no_backward`, and custom validators. A section that is absent stays absent: the
validator whose input is present then answers `CONFIG_MISSING` (G5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from weighbridge import canonical
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import EACH, Period

MAX_CLOCK_SKEW: Final = "5s"  # machines that keep time by NTP are closer; more is a clock that is wrong

_DOCUMENT_DEFAULTS: Final = {
    "max_clock_skew": MAX_CLOCK_SKEW,
    "sources": {},
    "operations": {},
    "required_inputs": {},
    "validators": [],
}
_SECTION_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "required_inputs": {"not_needed": []},
    "freshness": {"source_types": {}, "source_ids": {}},
    "grounding": {"severity": "BLOCK", "values": []},
    "contradiction": {"unknown_values": [], "rules": []},
    "compliance": {
        "unknown_values": [],
        "restricted_fields": [],
        "personal_fields": {},
        "prohibited_actions": [],
        "prohibited_targets": [],
        "prohibited_values": [],
        "required_known": [],
        "value_patterns": [],
    },
    "budgets": {"time_zone": "UTC", "cost_classes": {}, "caps": []},
}
_PLAN_TYPE_DEFAULTS: Final = {"disabled": False, "order": [], "on_block": "pause", "elevated_risk": "HIGH"}
_PLAN_ACTION_DEFAULTS: Final = {"disabled": False, "human_touch": False}
_SOURCE_DEFAULTS: Final = {"trust": "observed", "free_text": [], "admitted_text": []}

_PATH_IDS: Final = ("restricted_fields", "prohibited_values", "required_known")
"""Lists of compliance rules whose id is their path where none is written."""

_ENTRY_LISTS: Final = {
    "grounding": ("values",),
    "contradiction": ("rules",),
    "compliance": (*_PATH_IDS, "value_patterns"),
    "budgets": ("caps",),
}
"""Lists of rules with an id, in an order that means nothing: each is judged for itself."""

_VALUE_SETS: Final = {
    "contradiction": ("unknown_values",),
    "compliance": (
        "unknown_values",
        "prohibited_actions",
        "allowed_actions",
        "allowed_targets",
        "prohibited_targets",
    ),
}
_ENTRY_SETS: Final = (
    "action_types",
    "choke_points",
    "cost_classes",
    "equals",
    "fields",
    "inputs",
    "normalise",
    "source_types",
    "values",
    "when",
)
"""Keys of a rule that hold a set."""


def with_ids(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document or a tenant's section in which every compliance rule has an id."""
    compliance = part.get("compliance")
    if compliance is None:
        return dict(part)
    named = dict(compliance)
    for key in _PATH_IDS:
        if key in named:
            named[key] = _named(named[key])
    if "personal_fields" in named:
        named["personal_fields"] = {name: _named(rules) for name, rules in named["personal_fields"].items()}
    return {**part, "compliance": named}


def _named(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": entry["path"], **entry} for entry in entries]


def finished(merged: Mapping[str, Any]) -> dict[str, Any]:
    """Return the effective form of a merged document: a private copy in canonical key order."""
    document = {**_DOCUMENT_DEFAULTS, **merged}
    for section, defaults in _SECTION_DEFAULTS.items():
        if section in document:
            document[section] = _ordered_section(section, {**defaults, **document[section]})
    document["required_inputs"] = {"not_needed": _set(map(ordered_entry, document["required_inputs"]["not_needed"]))}
    document["sources"] = {name: _source(source) for name, source in document["sources"].items()}
    document["operations"] = {
        name: {"action_type": name, "declares_proposal": False, **operation}
        for name, operation in document["operations"].items()
    }
    if "budgets" in document:
        document["budgets"] = _budgets(document["budgets"])
    if "grounding" in document:
        _inherit_severity(document["grounding"])
    if "plan_types" in document:
        document["plan_types"] = {name: _plan_type(kind) for name, kind in document["plan_types"].items()}
    copy: dict[str, Any] = canonical.encode_and_decode(document)[1]
    return copy


def _plan_type(kind: Mapping[str, Any]) -> dict[str, Any]:
    complete = {**_PLAN_TYPE_DEFAULTS, **kind}
    complete["order"] = _set(complete["order"])
    complete["actions"] = {name: _plan_action(action) for name, action in complete["actions"].items()}
    if "objective" in complete:
        complete["objective"] = _set(map(ordered_entry, complete["objective"]))
    return complete


def _plan_action(action: Mapping[str, Any]) -> dict[str, Any]:
    complete = {**_PLAN_ACTION_DEFAULTS, **action}
    return complete | ({"operations": _set(complete["operations"])} if "operations" in complete else {})


def _ordered_section(name: str, section: dict[str, Any]) -> dict[str, Any]:
    for key in _ENTRY_LISTS.get(name, ()):
        section[key] = _by_id(section[key])
    for key in _VALUE_SETS.get(name, ()):
        if key in section:
            section[key] = _set(section[key])
    if "personal_fields" in section:
        section["personal_fields"] = {key: _by_id(rules) for key, rules in section["personal_fields"].items()}
    return section


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    complete = {**_SOURCE_DEFAULTS, **source}
    return {**complete, "free_text": _set(complete["free_text"]), "admitted_text": _set(complete["admitted_text"])}


def _inherit_severity(grounding: dict[str, Any]) -> None:
    grounding["values"] = [{"severity": grounding["severity"], **entry} for entry in grounding["values"]]


def _budgets(section: Mapping[str, Any]) -> dict[str, Any]:
    classes = {name: entry for name, entry in section["cost_classes"].items() if entry["maximum"]}
    made = {**section, "cost_classes": classes, "caps": list(map(complete_cap, section["caps"]))}
    if "prices" in made:
        made["prices"] = {"operations": {}, "models": {}, **made["prices"]}
    return made


def complete_cap(cap: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cap with its defaults: no scope is the whole tenant, one per plan has a plan, every class is any."""
    scope = {**({"plan": EACH} if cap["period"] == Period.PLAN else {}), **cap.get("scope", {})}
    made = {"settlement": False, "justification": False, **cap, "scope": scope}
    if len(made.get("cost_classes", ())) == len(CostClass):
        del made["cost_classes"]
    return made


def _by_id(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return sorted((ordered_entry(entry) for entry in entries), key=lambda entry: str(entry["id"]))


def ordered_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a rule with its sets sorted; `ordering` keeps its order."""
    ordered = dict(entry)
    if "when" in ordered:
        ordered["when"] = [ordered_entry(case) for case in ordered["when"]]
    for key in _ENTRY_SETS:
        if key in ordered:
            ordered[key] = _set(ordered[key])
    if "allowed" in ordered:
        ordered["allowed"] = {name: _set(values) for name, values in ordered["allowed"].items()}
    return ordered


def _set(values: Iterable[Any]) -> list[Any]:
    """Return values sorted by their canonical bytes, each once."""
    return [value for _, value in sorted({canonical.encode(value): value for value in values}.items())]
