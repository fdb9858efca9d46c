"""Three renewals to defend: a plan for each, drafted by an agent, decided by a person, and weighed step by step.

The customer system is that of the example connector (`examples.crm`), the language model is made up. The data of each account is
as old as the story needs it, counted back from the instant it is told at, which is handed in.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from weighbridge.domain.context import Role
from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.principal import Principal
from weighbridge.examples.crm import ACCOUNTS, Account, Crm, connect
from weighbridge.runtime import Weighbridge

AGENT = {"id": "renewal-agent", "role": "agent"}
MARIA = "maria"
CRM_FILE = "crm.db"

LIFETIME_DAYS = 20
_MEETING_DAYS = 7

BRIEF: dict[str, Any] = {"step_id": "brief", "operation": "llm.prepare_renewal_brief"}
BOARD: dict[str, Any] = {"step_id": "board-brief", "operation": "llm.prepare_renewal_brief", "depends_on": ["brief"]}
MEET: dict[str, Any] = {"step_id": "meet", "operation": "calendar.request_renewal_meeting", "depends_on": ["brief"]}
UPDATE: dict[str, Any] = {"step_id": "update", "operation": "crm.update_renewal", "depends_on": ["meet"]}

STEPS: tuple[Sequence[dict[str, Any]], ...] = (
    (BRIEF, MEET, UPDATE),
    (BRIEF, BOARD, MEET | {"depends_on": ["brief", "board-brief"], "accepts_skipped": ["board-brief"]}, UPDATE),
    (BRIEF, UPDATE | {"depends_on": ["brief"]}),
)
"""What the agent wants to do for each of the accounts."""

DISCOUNTS = (10, 12, 15)
"""What it wants to offer, in percent."""


class Told(NamedTuple):
    """The plan for one account, and where it ended."""

    account: Account
    account_id: str
    plan_id: str
    status: PlanStatus


def policy_text() -> str:
    """Return the policy of the example, as YAML."""
    return (files("weighbridge.examples") / "renewal_defense.yaml").read_text("utf-8")


def connector(wb: Weighbridge) -> None:
    """Register the operations of the customer system in the file ``crm.db``, and who says how its accounts stand."""
    crm = Crm(CRM_FILE)
    connect(wb, crm)
    wb.observe(lambda _tenant, account_id: crm.grounds(account_id))


def draft(
    crm: Crm, account_id: str, *, now_ms: int, steps: Sequence[dict[str, Any]] = STEPS[0], discount_percent: int = 10
) -> dict[str, Any]:
    """Return the plan to defend an account's renewal, as the agent drafts it from what the customer system says now."""
    grounds = crm.grounds(account_id)
    renewal_id = grounds["snapshot"]["renewal"]["value"]["renewal_id"]
    held_on = format_instant(now_ms + _MEETING_DAYS * DAY_MS)[: len("2026-01-01")]
    arguments: dict[str, dict[str, Any]] = {
        "meet": {"held_on": held_on},
        "update": {"discount_percent": discount_percent},
    }
    return {
        "plan_id": f"defend-{renewal_id}",
        "account_id": account_id,
        "plan_type": "RENEWAL_DEFENSE",
        "objective": f"keep {grounds['snapshot']['account']['value']['name']}",
        "expires_at": format_instant(now_ms + LIFETIME_DAYS * DAY_MS),
        "proposer": AGENT,
        "snapshot": {"fields": grounds["snapshot"]},
        "data_sources": grounds["data_sources"],
        "evidence": grounds["evidence"],
        "steps": [
            {
                **step,
                "arguments": {"renewal_id": renewal_id, **arguments.get(step["step_id"], {})},
                "evidence": grounds["references"],
            }
            for step in steps
        ],
    }


def tell(wb: Weighbridge, *, tenant: str, now_ms: int, first_number: int = 1001) -> list[Told]:
    """Let the agent draft its plans, Maria decide, and the steps be carried out. Once for each Weighbridge.

    ``first_number`` numbers accounts, renewals and plans; a story told again on the same store takes new ones, because what is
    on record about a plan stays, and what it has spent, too (B7, G8).
    """
    crm = Crm(now_ms=lambda: now_ms)
    accounts = crm.seed(first_number=first_number)
    connect(wb, crm)
    maria = Principal(id=MARIA, role=Role.APPROVER, tenant_id=tenant, person=True)
    told = []
    for account, account_id, steps, discount in zip(ACCOUNTS, accounts, STEPS, DISCOUNTS, strict=True):
        plan = draft(crm, account_id, now_ms=now_ms, steps=steps, discount_percent=discount)
        plan_id = wb.propose_plan(plan, tenant_id=tenant).plan_id
        read = wb.submit_plan(plan_id, by=maria)
        if wb.approve_plan(plan_id, by=maria, revision=read.revision, reason="worth keeping").approved:
            _carry_out(wb, plan_id, maria, tenant)
        else:
            wb.abort_plan(plan_id, by=maria, reason="there is nothing left to defend")
        told.append(Told(account, account_id, plan_id, wb.plan(plan_id, tenant).status))
    crm.close()
    return told


def _carry_out(wb: Weighbridge, plan_id: str, maria: Principal, tenant: str) -> None:
    """Carry out a plan to its end; where it is paused for a step, Maria leaves that out."""
    for _ in itertools.count():
        state = wb.run_plan(plan_id, tenant).plan
        if state.status is not PlanStatus.PAUSED or state.pause_step is None:
            return
        wb.skip_step(plan_id, state.pause_step, by=maria, reason="one brief will do")
        wb.resume_plan(plan_id, by=maria, reason="the meeting can go ahead")
