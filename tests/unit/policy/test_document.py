"""The document as people write it: everything the contract names, described for editors, and nothing that changes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from tests.unit.policy.documents import BASE, effective, mistakes, policy
from weighbridge.policy.document import PolicyDocument, json_schema
from weighbridge.policy.loader import document_from_mapping


def test_a_document_cannot_be_changed():
    document = document_from_mapping(BASE)
    with pytest.raises(ValidationError):
        document.name = "other"  # type: ignore[misc] # that it cannot be set is the point


def test_a_document_refuses_unknown_keys_by_itself():
    with pytest.raises(ValidationError):
        PolicyDocument.model_validate(policy(zzz=1))


def test_the_effective_policy_of_a_tenant():
    document = document_from_mapping(policy(tenants={"acme": {"max_clock_skew": "1s"}}))
    assert document.effective("acme").max_clock_skew_ms == 1000
    assert document.effective(None).max_clock_skew_ms == 5000
    assert document.effective("acme").policy_version == document.effective("acme").policy_version


def test_what_the_contract_names_can_be_said():
    """F4, R4, R5, P1, P2, P3, G5: every noun of the rules has its key."""
    document = {
        "weighbridge": 1,
        "name": "everything",
        "sources": {
            "system": {"trust": "system_of_record", "free_text": ["mail.body", "note"], "admitted_text": ["note"]},
            "partner": {"trust": "trusted"},
            "web": {"trust": "observed"},
        },
        "operations": {
            "crm.write": {"kind": "writeback", "action_type": "write", "target": "crm", "cost_class": "MEDIUM"},
            "scrape": {"kind": "read", "cost_class": "EXPENSIVE", "declares_proposal": True},
            "sum": {"kind": "action", "cost_class": "CHEAP"},
        },
        "required_inputs": {
            "not_needed": [
                {"inputs": ["snapshot", "data_sources", "evidence"], "action_types": ["sum"]},
                {"inputs": ["snapshot"], "action_types": ["write"], "choke_points": ["BEFORE_EXTERNAL_WRITEBACK"]},
            ]
        },
        "freshness": {
            "source_types": {"system": {"soft_ttl": "7d", "hard_ttl": "14d"}},
            "source_ids": {"system:77": {"soft_ttl": "1h", "hard_ttl": "1d12h"}},
        },
        "grounding": {
            "severity": "WARN",
            "values": [
                {
                    "id": "recipient",
                    "field": "recipients[*].address",
                    "action_types": ["write"],
                    "text": True,
                    "normalise": ["case_folded", "trimmed"],
                    "source_types": ["system"],
                    "severity": "BLOCK",
                }
            ],
        },
        "contradiction": {"unknown_values": ["", None, 0], "rules": []},
        "compliance": {
            "unknown_values": ["unknown"],
            "restricted_fields": ["margin", {"path": "internal.note", "id": "internal", "action_types": ["write"]}],
            "personal_fields": {"EMAIL": ["email"], "PHONE": [{"path": "phone", "action_types": ["write"]}]},
            "prohibited_actions": ["delete"],
            "allowed_actions": ["write", "sum", "scrape"],
            "allowed_targets": ["crm"],
            "prohibited_targets": ["fax"],
            "prohibited_values": [{"path": "role", "values": ["admin", None], "action_types": ["write"]}],
            "required_known": ["account_id", {"path": "items[*].id", "action_types": ["write"]}],
            "value_patterns": [
                {
                    "id": "card",
                    "class": "CARD",
                    "fields": ["**"],
                    "regex": "[0-9]{13,19}",
                    "checksum": "luhn",
                    "normalise": ["nfkc"],
                }
            ],
        },
        "validators": [{"id": "mine", "config": {"any": [None, {"thing": 1}]}}],
        "replaceable": ["grounding.severity", 'freshness.source_ids."system:77"'],
        "tenants": {"acme": {"grounding": {"severity": "WARN"}}},
    }
    assert mistakes(document) == []
    assert effective(document).document["validators"] == [{"id": "mine", "config": {"any": [None, {"thing": 1}]}}]


# --- The JSON Schema --------------------------------------------------------------------------------------------------


def properties(schema: dict[str, Any]):
    for name, definition in [("", schema), *schema["$defs"].items()]:
        for key, value in definition.get("properties", {}).items():
            yield f"{name}.{key}", value


def test_every_key_of_the_schema_is_described():
    schema = json_schema()
    for name, value in properties(schema):
        referred = schema["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
        assert value.get("description") or referred.get("description"), name


def test_the_schema_is_closed_and_names_its_dialect():
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["weighbridge", "name"]
    for name, definition in [("", schema), *schema["$defs"].items()]:
        assert definition.get("additionalProperties") is False, name


def test_the_schema_lists_the_rule_kinds_by_their_word():
    """Editors complete a rule's parameters from its kind."""
    rules = json_schema()["$defs"]["Contradiction"]["properties"]["rules"]["items"]
    assert rules["discriminator"]["propertyName"] == "rule"
    assert len(rules["oneOf"]) == 12


def test_null_is_no_value_of_any_key():
    """G5: a key is written or left out; null is neither."""

    def types(node: Any):
        if isinstance(node, dict):
            yield node.get("type")
            for key, value in node.items():
                if key != "enum":
                    yield from types(value)
        elif isinstance(node, list):
            for value in node:
                yield from types(value)

    assert "null" not in [kind for kind in types(json_schema()) if isinstance(kind, str)]


def test_importing_the_package_loads_no_reader_of_policies():
    code = "import sys, weighbridge; sys.exit(bool({'pydantic', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
