"""Small policies of our own to test with, and a short way to ask what is wrong with one."""

from __future__ import annotations

import copy
import textwrap
from typing import Any

from weighbridge.errors import PolicyError
from weighbridge.policy.loader import document_from_mapping, load_policy

BASE: dict[str, Any] = {
    "weighbridge": 1,
    "name": "base",
    "sources": {
        "crm": {"trust": "system_of_record", "free_text": ["notes"], "admitted_text": ["notes"]},
        "erp": {"trust": "trusted"},
        "web": {"trust": "observed"},
    },
    "operations": {
        "update": {"kind": "writeback", "cost_class": "MEDIUM", "target": "crm"},
        "note": {"kind": "action", "cost_class": "CHEAP"},
        "mail": {"kind": "writeback", "cost_class": "CHEAP", "target": "smtp"},
    },
    "required_inputs": {"not_needed": [{"inputs": ["snapshot"], "action_types": ["note"]}]},
    "freshness": {
        "source_types": {"crm": {"soft_ttl": "7d", "hard_ttl": "14d"}},
        "source_ids": {"crm:1": {"soft_ttl": "1d", "hard_ttl": "2d"}},
    },
    "grounding": {"severity": "WARN", "values": [{"id": "to", "field": "to[*]", "action_types": ["mail"]}]},
    "contradiction": {
        "unknown_values": ["", "unknown"],
        "rules": [
            {"id": "open", "rule": "requires_state", "snapshot": "deal.status", "values": ["open"]},
            {"id": "limit", "rule": "at_most", "field": "discount", "value": 20, "severity": "WARN"},
        ],
    },
    "compliance": {
        "unknown_values": ["n/a"],
        "restricted_fields": ["ssn", {"path": "internal.margin", "action_types": ["mail"]}],
        "personal_fields": {"PHONE": ["phone"]},
        "prohibited_actions": ["delete"],
        "allowed_actions": ["update", "note", "mail"],
        "allowed_targets": ["crm", "smtp"],
        "prohibited_targets": ["ftp"],
        "prohibited_values": [{"path": "owner", "values": ["admin"]}],
        "required_known": [{"path": "deal_id", "action_types": ["update"]}],
        "value_patterns": [
            {"id": "card", "class": "CARD", "fields": ["**"], "regex": "[0-9]{13,19}", "checksum": "luhn"}
        ],
    },
    "budgets": {
        "time_zone": "Europe/Berlin",
        "cost_classes": {"CHEAP": {"maximum": {"tokens": "2k tokens"}}},
        "prices": {
            "currency": "USD",
            "source": "a list",
            "operations": {"mail": "$0.05"},
            "models": {"m": {"input": "$2.50/1M tokens", "output": 10_000_000}},
        },
        "caps": [
            {"id": "day", "hard_cap": "50/day", "soft_cap": 40},
            {"id": "money", "scope": {"account": "each"}, "hard_cap": "$25/month", "soft_cap": "$20"},
            {"id": "tokens", "hard_cap": "2M tokens/plan", "settlement": True},
            {"id": "note", "scope": {"tool": "note"}, "period": "MONTH", "unit": "operations", "hard_cap": 9},
        ],
    },
    "validators": [{"id": "acme.credit", "config": {"limit": 5}}],
}


def policy(**changes: Any) -> dict[str, Any]:
    """Return the base with top-level keys changed; a change to None leaves the key out."""
    made = copy.deepcopy(BASE) | copy.deepcopy(changes)
    return {key: value for key, value in made.items() if value is not None}


def with_tenant(section: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the base with a section for the tenant `acme`."""
    return policy(tenants={"acme": section}, **changes)


def rules(*entries: Any, **changes: Any) -> dict[str, Any]:
    """Return the base with these contradiction rules instead of its own."""
    return policy(contradiction={"rules": list(entries)}, **changes)


def caps(*entries: Any, **changes: Any) -> dict[str, Any]:
    """Return the base with these caps, and nothing else under `budgets`."""
    return policy(budgets={"caps": list(entries)}, **changes)


def effective(document: dict[str, Any], tenant: str | None = None) -> Any:
    """Return the effective policy of a document that is right."""
    return document_from_mapping(document).effective(tenant)


def mistakes(document: dict[str, Any]) -> list[str]:
    """Return what is wrong with a document, as in ``freshness: is empty``."""
    try:
        document_from_mapping(document)
    except PolicyError as error:
        return [f"{problem.where}: {problem.message}" for problem in error.problems]
    return []


def advice(document: dict[str, Any]) -> list[str]:
    """Return what to write instead of what is wrong with a document."""
    try:
        document_from_mapping(document)
    except PolicyError as error:
        return [problem.write for problem in error.problems]
    return []


def problems_of(text: str) -> list[str]:
    """Return everything that is wrong with a policy's text, indented as it is in a test."""
    try:
        load_policy(textwrap.dedent(text).strip("\n") + "\n", "p")
    except PolicyError as error:
        return [str(problem) for problem in error.problems]
    return []
