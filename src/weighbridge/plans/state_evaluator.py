"""Is a plan done, or past its time (H4)? Evaluated on data that is handed in; nothing is read, and nothing changed. Pure.

What is done is done: an active plan whose steps are all done is COMPLETED, also where its expiry has passed before somebody
looked (nothing is done or skipped after it). A goal counts only while the plan lives: what an account is like after the expiry
says nothing about the time before. Only fields of sources that ground an action count for it: a note does not end a plan (C1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from weighbridge import canonical
from weighbridge.domain.context import SnapshotField
from weighbridge.domain.evidence import Trust
from weighbridge.domain.paths import MISSING
from weighbridge.domain.plan import PlanState, PlanStatus
from weighbridge.policy.effective import Condition, PlanType

ALL_STEPS_DONE: Final = "all_steps_done"
OBJECTIVE_MET: Final = "objective_met"
EXPIRED: Final = "expired"

Fields = Mapping[str, SnapshotField]
"""The state of an account, as it is now."""


class Ended(msgspec.Struct, frozen=True):
    """How a plan ends: COMPLETED by its steps or its goal, or EXPIRED."""

    status: PlanStatus
    reason: str


def evaluate(
    state: PlanState,
    plan_type: PlanType | None,
    now_ms: int,
    observed: Fields | None = None,
    trust_of: Callable[[str | None], Trust] | None = None,
) -> Ended | None:
    """Return how a plan ends now, or None where it goes on. ``observed`` None: nobody looked, and no goal is reached."""
    active = state.status is PlanStatus.ACTIVE  # H1: only from there a plan completes
    if active and all(step.done for step in state.steps):
        return Ended(PlanStatus.COMPLETED, ALL_STEPS_DONE)
    if now_ms >= state.expires_ms:
        return Ended(PlanStatus.EXPIRED, EXPIRED)
    if not active or plan_type is None or observed is None:
        return None
    reached = objective_met(plan_type.objective, observed, trust_of)
    return Ended(PlanStatus.COMPLETED, OBJECTIVE_MET) if reached else None


def objective_met(
    objective: tuple[Condition, ...], observed: Fields, trust_of: Callable[[str | None], Trust] | None = None
) -> bool:
    """Return whether every condition holds. No conditions are no goal, which is never reached by itself (G5)."""
    grounding = {
        name: field for name, field in observed.items() if trust_of is None or trust_of(field.source_type).grounds
    }
    return bool(objective) and all(_holds(condition, grounding) for condition in objective)


def _holds(condition: Condition, fields: Fields) -> bool:
    if condition.snapshot is None:
        return False
    # Canonical bytes are equal exactly where type and value are: true is not 1, and 1 is 1.0.
    wanted = {canonical.encode(value) for value in condition.values}
    found = condition.snapshot.find(fields, None, {})
    return any(value is not MISSING and canonical.encode(value) in wanted for value in found)
