"""What is measured: one policy of ten rules, and requests to it that differ from each other in every value.

The four validators all apply, every rule speaks of the action that is proposed, and every request is allowed: nothing ends
early. A request is about 1 KB of JSON. No two requests share an instant, an id or a value, so that nothing is remembered
from one to the next that would not be remembered in earnest.
"""

from __future__ import annotations

from typing import Any

RULES = 10

POLICY: dict[str, Any] = {
    "weighbridge": 1,
    "name": "bench",
    "sources": {"crm_renewal": {"trust": "system_of_record"}, "crm_contact": {"trust": "trusted"}},
    "operations": {
        "crm.update_renewal": {
            "kind": "writeback",
            "action_type": "update_renewal",
            "target": "crm",
            "cost_class": "MEDIUM",
        }
    },
    # Rules 1 and 2: how old each of two sources may be.
    "freshness": {
        "source_types": {
            "crm_renewal": {"soft_ttl": "7d", "hard_ttl": "14d"},
            "crm_contact": {"soft_ttl": "30d", "hard_ttl": "90d"},
        }
    },
    # Rule 3: the recipient stands in trusted evidence.
    "grounding": {"values": [{"id": "recipient", "field": "recipient", "action_types": ["update_renewal"]}]},
    # Rules 4 to 7.
    "contradiction": {
        "unknown_values": ["unknown"],
        "rules": [
            {
                "id": "status-open",
                "rule": "requires_state",
                "snapshot": "renewal.status",
                "values": ["open", "negotiation"],
                "action_types": ["update_renewal"],
            },
            {
                "id": "stage-forward",
                "rule": "no_backward",
                "field": "stage",
                "snapshot": "renewal.stage",
                "ordering": ["prospect", "proposal", "won"],
            },
            {"id": "discount", "rule": "at_most", "field": "discount_percent", "value": 20},
            {"id": "currency", "rule": "eq", "field": "currency", "snapshot": "renewal.currency"},
        ],
    },
    # Rules 8 to 10; the allow list is the one that says yes.
    "compliance": {
        "unknown_values": ["unknown"],
        "restricted_fields": ["ssn"],
        "prohibited_values": [{"path": "owner", "values": ["admin", "root"]}],
        "allowed_actions": ["update_renewal", "log_note"],
    },
}

_DAY_MS = 86_400_000
_EVALUATED_MS = 1_795_341_600_000  # 2026-11-22T10:00:00Z


def request(number: int, evaluated_ms: int | None = None) -> dict[str, Any]:
    """Return request ``number`` as a JSON object; the same number gives the same request.

    With ``evaluated_ms`` it brings that evaluation time along, and its sources are that much older.
    """
    renewal, contact = f"R-{number:07d}", f"C-{number:07d}"
    recipient = f"buyer.{number:07d}@acme.example"
    now_ms = _EVALUATED_MS if evaluated_ms is None else evaluated_ms
    made: dict[str, Any] = {
        "choke_point": "BEFORE_EXTERNAL_WRITEBACK",
        "tenant_id": "acme",
        "actor": {"id": "renewal-agent", "role": "agent"},
        "account_id": f"A-{number:07d}",
        "plan_id": f"P-{number // 5:07d}",
        "step_id": f"s-{number % 5}",
        "proposal": {
            "operation": "crm.update_renewal",
            "arguments": {
                "renewal_id": renewal,
                "recipient": recipient,
                "stage": "proposal",
                "discount_percent": number % 20,
                "currency": "EUR",
                "owner": f"owner-{number % 97}",
                "note": f"{renewal}: as agreed",
            },
            "evidence": [
                {"source_type": "crm_renewal", "source_id": renewal},
                {"source_type": "crm_contact", "source_id": contact},
            ],
        },
        "snapshot": {
            "fields": {
                "renewal": {
                    "value": {"status": "open", "stage": "prospect", "currency": "EUR", "amount": 1000 + number},
                    "source_type": "crm_renewal",
                    "source_id": renewal,
                }
            }
        },
        "data_sources": [
            {"source_id": renewal, "source_type": "crm_renewal", "last_updated": _text(now_ms - 2 * _DAY_MS + number)},
            {"source_id": contact, "source_type": "crm_contact", "last_updated": _text(now_ms - 9 * _DAY_MS - number)},
        ],
        "evidence": [
            {
                "reference": {"source_type": "crm_renewal", "source_id": renewal},
                "content": {"status": "open", "amount": 1000 + number},
            },
            {
                "reference": {"source_type": "crm_contact", "source_id": contact},
                "content": {"email": recipient},
            },
        ],
    }
    if evaluated_ms is not None:
        made["evaluation_time"] = _text(evaluated_ms)
    return made


def _text(instant_ms: int) -> str:
    from weighbridge.domain.instant import format_instant

    return format_instant(instant_ms)
