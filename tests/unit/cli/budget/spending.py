"""Stores with a few operations on record, for tests of the budget commands."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from tests import samples

DAY_MS = 86_400_000

BUDGETS: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "prices": {"currency": "USD", "operations": {"crm.update": "$0.50", "crm.note": "$0.01", "enrich": "$2"}},
    "caps": [
        {"id": "day", "hard_cap": "8/day", "soft_cap": 4},
        {"id": "account-money", "scope": {"account": "each"}, "hard_cap": "$6/month", "settlement": True},
        {"id": "plan", "scope": {"plan": "each"}, "hard_cap": "100/plan"},
        {"id": "dear", "scope": {"tool": "enrich"}, "hard_cap": "2/day", "cost_classes": ["EXPENSIVE"]},
        {"id": "free", "scope": {"tool": "crm.note"}, "hard_cap": "unlimited operations/month"},
        {
            "id": "idle",
            "scope": {"account": "each", "tool": "crm.update"},
            "hard_cap": "7/day",
            "cost_classes": ["MEDIUM"],
        },
    ],
}


def policy(**changes: Any) -> dict[str, Any]:
    """Return the sample policy with these budgets."""
    return samples.policy(budgets=BUDGETS | changes)


def asked(number: int, operation: str, account: str | None = "a-1", **changes: Any) -> dict[str, Any]:
    """Return a request for a budget alone."""
    request = {
        "operation_id": f"op-{number}",
        "tenant_id": "acme",
        "account_id": account,
        "budget": {"operation": operation},
        "actor": {"id": "renewal-agent", "role": "agent"},
    } | changes
    return {name: value for name, value in request.items() if value is not None}


def spend(place: Path, **options: Any) -> Path:
    """Write a day of spending: 5 operations of yesterday, 6 of today of which 1 is blocked, and one report of use."""
    clock = samples.Clock(samples.NOW_MS - DAY_MS)
    with samples.weighbridge(place, clock, policy=options.pop("policy", None) or policy(), **options) as wb:
        for number in range(5):
            wb.reserve(asked(number, "crm.note"))
        clock.now_ms = samples.NOW_MS
        wb.reserve(asked(10, "enrich", plan_id="p-1"))
        wb.reserve(asked(11, "enrich", "a-2"))
        wb.reserve(asked(12, "enrich", "a-2"))  # blocked: two a day
        wb.reserve(asked(13, "crm.note", None))
        wb.reserve(asked(14, "crm.note", "a-2"))
        wb.reserve(asked(15, "crm.note", "a-2"))  # above the soft cap of the day
        wb.report_usage("op-11", {"USD": "0.5"}, tenant_id="acme")
    return place


def edit(store: Path, statement: str) -> None:
    """Change the file as somebody would who owns it: the guards off, the change, the guards on again."""
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        guards = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guards:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(statement)
        for _, sql in guards:
            connection.execute(sql)
