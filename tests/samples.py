"""A small policy and matching requests of our own, for tests of what stands around the validators."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from weighbridge.admission import Surroundings
from weighbridge.wiring import open as open_weighbridge

NOW = "2026-11-22T10:00:00.000Z"
NOW_MS = 1_795_341_600_000

POLICY: dict[str, Any] = {
    "weighbridge": 1,
    "name": "samples",
    "sources": {"crm": {"trust": "system_of_record"}, "mail": {"trust": "observed"}},
    "operations": {
        "crm.update": {"kind": "writeback", "action_type": "update", "target": "crm", "cost_class": "MEDIUM"},
        "crm.note": {"kind": "action", "action_type": "note", "cost_class": "CHEAP"},
        "enrich": {"kind": "read", "cost_class": "EXPENSIVE"},
    },
    "freshness": {"source_types": {"crm": {"soft_ttl": "7d", "hard_ttl": "14d"}}},
    "grounding": {"severity": "BLOCK"},
    "contradiction": {
        "rules": [
            {
                "id": "open-only",
                "rule": "requires_state",
                "snapshot": "renewal.status",
                "values": ["open"],
                "action_types": ["update"],
            }
        ]
    },
    "compliance": {"restricted_fields": ["ssn"]},
    "budgets": "unlimited",
}

CONTEXT: dict[str, Any] = {
    "choke_point": "BEFORE_EXTERNAL_WRITEBACK",
    "tenant_id": "acme",
    "actor": {"id": "renewal-agent", "role": "agent"},
    "account_id": "a-1",
    "plan_id": "p-1",
    "step_id": "s-1",
    "proposal": {
        "operation": "crm.update",
        "arguments": {"renewal_id": "r-1", "amount": 120.5},
        "evidence": [{"source_type": "crm", "source_id": "r-1"}],
    },
    "snapshot": {"fields": {"renewal": {"value": {"status": "open"}, "source_type": "crm", "source_id": "r-1"}}},
    "data_sources": [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-20T10:00:00Z"}],
    "evidence": [{"reference": {"source_type": "crm", "source_id": "r-1"}, "content": {"status": "open"}}],
}


def context(**changes: Any) -> dict[str, Any]:
    """Return a request that is allowed, with changes; a change to None leaves the key out."""
    made = copy.deepcopy(CONTEXT) | copy.deepcopy(changes)
    return {key: value for key, value in made.items() if value is not None}


def blocked_context(**changes: Any) -> dict[str, Any]:
    """Return a request that the contradiction validator blocks: the renewal is closed."""
    fields = {"renewal": {"value": {"status": "closed"}, "source_type": "crm", "source_id": "r-1"}}
    return context(snapshot={"fields": fields}, **changes)


def warned_context(**changes: Any) -> dict[str, Any]:
    """Return a request that the freshness validator warns of: the data is ten days old."""
    old = [{"source_id": "crm:r-1", "source_type": "crm", "last_updated": "2026-11-12T10:00:00Z"}]
    return context(data_sources=old, **changes)


def policy(**changes: Any) -> dict[str, Any]:
    """Return the policy with changes; a change to None leaves the section out."""
    made = copy.deepcopy(POLICY) | copy.deepcopy(changes)
    return {key: value for key, value in made.items() if value is not None}


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def surroundings(clock: Clock | None = None) -> Surroundings:
    """Return a still clock and a counter in place of random bytes: the same test has the same ledger every time."""
    counter = itertools.count(1)
    return Surroundings(clock_ms=clock or Clock(), entropy=lambda size: next(counter).to_bytes(size, "big"))


def weighbridge(store: Any = ":memory:", clock: Clock | None = None, **options: Any) -> Any:
    """Return a Weighbridge on the sample policy."""
    given = options.pop("policy", None) or policy()
    return open_weighbridge(given, store, surroundings=surroundings(clock), **options)


def capped(*caps: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """Return the policy with these caps in place of "unlimited", no operations declared, and other sections of budgets."""
    return policy(operations={}, budgets={"caps": list(caps), **sections})


def cap(name: str, hard_cap: str, **stated: Any) -> dict[str, Any]:
    """Return one cap as people write it."""
    return {"id": name, "hard_cap": hard_cap, **stated}
