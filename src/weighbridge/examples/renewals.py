"""Three renewals and one agent: what it is allowed to do, what it is warned of, and what does not happen.

The accounts and the CRM are made up here. What the example shows is the library as a host uses it: two functions are
registered once, and every call of them is weighed, recorded, and then made or refused. The data of each account is as old as
the story needs it, counted back from the instant it is told at, which is handed in.
"""

from __future__ import annotations

import contextlib
from importlib.resources import files
from typing import Any, NamedTuple

from weighbridge import operations
from weighbridge.domain.decision import Blocked, OperationDecision
from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.runtime import Weighbridge

AGENT = "renewal-agent"


class Account(NamedTuple):
    """An account, what the CRM says of its renewal, and what the agent has in mind."""

    name: str
    status: str
    synced_days_ago: int
    """How long ago the CRM last heard of this renewal."""
    discount_percent: int
    """What the agent wants to offer."""


ACCOUNTS = (
    Account("Aldgate Bakery", status="open", synced_days_ago=2, discount_percent=10),
    Account("Birch Logistics", status="negotiation", synced_days_ago=10, discount_percent=12),
    Account("Cedar Clinics", status="renewed", synced_days_ago=1, discount_percent=15),
)


class Told(NamedTuple):
    """How one account's story ended."""

    account: Account
    renewal_id: str
    decision: OperationDecision
    offer_made: bool
    """Whether the CRM holds the offer."""


class Crm:
    """A customer system, as far as this story needs one."""

    def __init__(self, now_ms: int, first_number: int) -> None:
        self.renewals: dict[str, dict[str, Any]] = {}
        self.offers: dict[str, int] = {}
        for number, account in enumerate(ACCOUNTS, first_number):
            self.renewals[f"r-{number}"] = {
                "renewal_id": f"r-{number}",
                "account": account.name,
                "status": account.status,
                "synced_at": format_instant(now_ms - account.synced_days_ago * DAY_MS),
            }


def policy_text() -> str:
    """Return the policy of the example, as YAML."""
    return (files("weighbridge.examples") / "renewals.yaml").read_text("utf-8")


def tell(wb: Weighbridge, *, tenant: str, now_ms: int, first_number: int = 1001) -> list[Told]:
    """Let the agent work on every account, and return how each story ended. Once for each Weighbridge.

    ``first_number`` numbers the renewals; a story told again on the same store takes new ones, because a proposal that was
    blocked is not judged twice without a person's leave (G8).
    """
    crm = Crm(now_ms, first_number)

    @wb.operation("crm.read_renewal", action="read_renewal", cost="CHEAP", reads=True)
    def read_renewal(renewal_id: str) -> dict[str, Any]:
        return crm.renewals[renewal_id]

    @wb.writeback("crm.offer_discount", target="crm", action="offer_discount", cost="MEDIUM")
    def offer_discount(renewal_id: str, discount_percent: int) -> None:
        crm.offers[renewal_id] = discount_percent

    told = []
    for renewal_id, account in zip(crm.renewals, ACCOUNTS, strict=True):
        with operations.scope(tenant=tenant, actor=AGENT, account=account.name):
            renewal = read_renewal(renewal_id)
            # G8: where it is blocked the CRM was not called, and nothing tries again.
            with operations.scope(**grounds(renewal)) as scope, contextlib.suppress(Blocked):
                offer_discount(renewal_id, account.discount_percent)
        told.append(Told(account, renewal_id, scope.decisions[-1], renewal_id in crm.offers))
    return told


def grounds(renewal: dict[str, Any]) -> dict[str, Any]:
    """Return what an action on a renewal rests on: the snapshot, where it comes from and when, and the evidence."""
    source = {"source_type": "crm_renewal", "source_id": renewal["renewal_id"]}
    return {
        "snapshot": {"renewal": {"value": renewal, **source}},
        "data_sources": [{**source, "last_updated": renewal["synced_at"]}],
        "evidence": [{"reference": source, "content": renewal}],
        "references": [source],
    }
