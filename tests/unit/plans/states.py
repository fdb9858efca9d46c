"""Rows as the ledger could have them, in one line."""

from typing import Any

from weighbridge.domain.plan import PlanState, PlanStatus, Risk, StepState, StepStatus
from weighbridge.testing.plans import EXPIRES_MS


def step(step_id: str, status: StepStatus = StepStatus.PENDING, **changes: Any) -> StepState:
    """Return a step of the action type ``brief``."""
    return StepState(step_id, "x.brief", "brief", "h", Risk.LOW, status=status, **changes)


def state(*steps: Any, status: PlanStatus = PlanStatus.ACTIVE, **changes: Any) -> PlanState:
    """Return a plan; a step may be its status alone, and is then called a, b, c."""
    made = tuple(one if isinstance(one, StepState) else step("abcdefgh"[index], one) for index, one in enumerate(steps))
    fields: dict[str, Any] = {
        "plan_id": "p-1",
        "account_id": "a-1",
        "plan_type": "RENEWAL_DEFENSE",
        "revision": 4,
        "seq": 9,
        "created_seq": 1,
        "plan_hash": "h",
        "snapshot_id": "s",
        "expires_ms": EXPIRES_MS,
        "risk": Risk.LOW,
        "proposers": ("agent-1",),
        "request_hash": "r",
    }
    return PlanState(status=status, steps=made, **(fields | changes))
