"""Three renewals and one agent: what it is allowed to do, what it is warned of, what does not happen, and what it costs.

The accounts, the CRM and the language model are made up here. What the example shows is the library as a host uses it: three
functions are registered once, and every call of them is weighed, paid for, recorded, and then made or refused. The data of
each account is as old as the story needs it, counted back from the instant it is told at, which is handed in.
"""

from __future__ import annotations

import contextlib
from importlib.resources import files
from typing import Any, NamedTuple

from weighbridge import operations
from weighbridge.domain.decision import Blocked, OperationDecision
from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.domain.spending import Tokens
from weighbridge.runtime import Weighbridge

AGENT = "renewal-agent"
MODEL = "scribe-1"
TOKENS_IN, TOKENS_OUT_MAX, TOKENS_OUT = 4_000, 1_000, 320  # of a summary: what goes in, may come out, and does


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
    """How one thing ended that the agent wanted to do for an account."""

    account: Account
    renewal_id: str
    wish: str
    decision: OperationDecision
    done: bool
    """Whether the world has changed: the summary is there, the CRM holds the offer."""


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
    """Let the agent work on every account, and return how everything it wanted ended. Once for each Weighbridge.

    ``first_number`` numbers the renewals and their plan; a story told again on the same store takes new ones, because a
    proposal that was blocked is not judged twice without a person's leave (G8), and what a plan has spent stays spent (B7).
    """
    crm = Crm(now_ms, first_number)
    summaries: dict[str, str] = {}

    @wb.operation("crm.read_renewal", action="read_renewal", cost="CHEAP", reads=True)
    def read_renewal(renewal_id: str) -> dict[str, Any]:
        return crm.renewals[renewal_id]

    @wb.operation(
        "llm.summarise",
        action="summarise",
        cost="EXPENSIVE",
        reads=True,
        reserves=lambda _: Tokens(input=TOKENS_IN, output=TOKENS_OUT_MAX, model=MODEL),
        consumed=lambda _: Tokens(input=TOKENS_IN, output=TOKENS_OUT, model=MODEL),
    )
    def summarise(renewal_id: str) -> str:
        summaries[renewal_id] = f"what was said about {renewal_id}, in ten lines"
        return summaries[renewal_id]

    @wb.writeback("crm.offer_discount", target="crm", action="offer_discount", cost="MEDIUM")
    def offer_discount(renewal_id: str, discount_percent: int) -> None:
        crm.offers[renewal_id] = discount_percent

    told = []
    for renewal_id, account in zip(crm.renewals, ACCOUNTS, strict=True):
        plan = f"renewals-{first_number}"
        with operations.scope(tenant=tenant, actor=AGENT, account=account.name, plan=plan) as scope:
            renewal = read_renewal(renewal_id)
            # G8: where one is blocked nothing was called, and nothing tries again.
            with contextlib.suppress(Blocked):
                summarise(renewal_id)
            told.append(Told(account, renewal_id, "a summary", scope.decisions[-1], renewal_id in summaries))
            with operations.scope(**grounds(renewal)), contextlib.suppress(Blocked):
                offer_discount(renewal_id, account.discount_percent)
            offer = f"{account.discount_percent} % off"
            told.append(Told(account, renewal_id, offer, scope.decisions[-1], renewal_id in crm.offers))
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
