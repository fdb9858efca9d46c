"""Policies and contexts in a few words, for tests of the validators.

A policy is written as its document and compiled by the product; a context is a request that grounds, with what a test is
about put in its place. `judge` runs one validator.
"""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from weighbridge.domain.context import ValidationContext, parse_context
from weighbridge.domain.decision import Sealed, ValidatorResult
from weighbridge.gateway import with_facts
from weighbridge.policy.compile import compile_effective
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.effective import EffectivePolicy
from weighbridge.policy.merge import effective_form
from weighbridge.validators.builtin import BUILT_IN

NOW = "2026-11-22T10:00:00.000Z"
NOW_MS = 1_795_341_600_000

STEP = "BEFORE_STEP_EXECUTION"
WRITEBACK = "BEFORE_EXTERNAL_WRITEBACK"
PLAN = "BEFORE_PLAN_APPROVAL"
EXPENSIVE = "BEFORE_EXPENSIVE_READ"

SOURCES: dict[str, dict[str, Any]] = {
    "crm": {"trust": "system_of_record"},
    "billing": {"trust": "trusted"},
    "mail": {
        "trust": "system_of_record",
        "free_text": ["body", "notes", "notes.reviewed"],
        "admitted_text": ["notes.reviewed"],
    },
    "web": {"trust": "observed"},
}
OPERATIONS: dict[str, dict[str, Any]] = {
    "crm.update": {"kind": "writeback", "action_type": "update", "target": "crm", "cost_class": "MEDIUM"},
    "crm.note": {"kind": "action", "action_type": "note", "cost_class": "CHEAP"},
    "web.enrich": {"kind": "read", "action_type": "enrich", "cost_class": "EXPENSIVE"},
    "crm.export": {"kind": "read", "action_type": "export", "cost_class": "EXPENSIVE", "declares_proposal": True},
}
REFERENCE = {"source_type": "crm", "source_id": "r-1"}
FIELDS = {"renewal": {"value": {"status": "open"}, "source_type": "crm", "source_id": "r-1"}}


def policy(**sections: Any) -> EffectivePolicy:
    """Return a policy with just these sections besides sources and operations."""
    document = {"weighbridge": 1, "name": "test", "sources": SOURCES, "operations": OPERATIONS, **sections}
    written = PolicyDocument.model_validate(document).written()
    return compile_effective(effective_form(written, None))


def rules(*entries: dict[str, Any], **others: Any) -> EffectivePolicy:
    """Return a policy with these contradiction rules; an entry without an id gets its place as one."""
    named = [{"id": f"rule-{place}", **entry} for place, entry in enumerate(entries)]
    return policy(contradiction={"rules": named, **others})


def with_rule_changed(under: EffectivePolicy, **changes: Any) -> EffectivePolicy:
    """Return the policy with its first contradiction rule changed to what no document could say."""
    section = under.contradiction
    assert section is not None
    rule = msgspec.structs.replace(section.rules[0], **changes)
    return msgspec.structs.replace(under, contradiction=msgspec.structs.replace(section, rules=(rule,)))


def document(**changes: Any) -> dict[str, Any]:
    """Return a request as JSON; a change to None leaves a key out, ``arguments`` and ``fields`` go where they belong."""
    arguments = changes.pop("arguments", {"renewal_id": "r-1"})
    operation = changes.pop("operation", "crm.update")
    references = changes.pop("references", [REFERENCE])
    fields = changes.pop("fields", FIELDS)
    made: dict[str, Any] = {
        "choke_point": STEP,
        "tenant_id": "acme",
        "validation_run_id": "run-1",
        "proposal": {"operation": operation, "arguments": arguments, "evidence": references},
        "snapshot": {"fields": fields},
        "data_sources": [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": NOW}],
        "evidence": [{"reference": REFERENCE, "content": {"status": "open"}}],
        "evaluation_time": NOW,
        **changes,
    }
    return copy.deepcopy({name: value for name, value in made.items() if value is not None})


def context(under: EffectivePolicy, **changes: Any) -> ValidationContext:
    """Return a request with its operations looked up in the policy."""
    return with_facts(parse_context(document(**changes)), under.operations.get)


def field(value: Any, source_type: str = "crm") -> dict[str, Any]:
    """Return one field of a snapshot."""
    return {"value": value, "source_type": source_type}


def judge(validator: str, under: EffectivePolicy, **changes: Any) -> ValidatorResult:
    """Return what one of the four answers to a request."""
    chosen = next(one for one in BUILT_IN if one.id == validator)
    return chosen.evaluate(context(under, **changes), under)


def builtin_results(context: ValidationContext, under: EffectivePolicy) -> list[ValidatorResult]:
    """Return what all four answer, in the contract's order."""
    return [one.evaluate(context, under) for one in BUILT_IN]


def plain(result: ValidatorResult) -> Any:
    """Return a result as JSON; a sealed value as ``{"sealed": value}``, so that a test can tell."""
    return msgspec.to_builtins(
        {"result": result.result, "reason": result.reason, "details": _open(result.details)}, order="sorted"
    )


def _open(value: Any) -> Any:
    if isinstance(value, Sealed):
        return {"sealed": value.value}
    if isinstance(value, dict):
        return {name: _open(item) for name, item in value.items()}
    return [_open(item) for item in value] if isinstance(value, list) else value
