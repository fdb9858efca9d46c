"""The `plan_types` section of a policy, as people write it: what a plan may do, and what follows when it cannot (H3, H4).

What a key means for a plan is decided in `weighbridge.plans`; here is what can be written. A tenant's section can only narrow a
type of the base; `merge` says how.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, StrictBool, WithJsonSchema

from weighbridge.domain.instant import parse_duration
from weighbridge.domain.paths import Key, parse_snapshot_path
from weighbridge.policy.leaves import (
    AnyOf,
    Distinct,
    Duration,
    Many,
    Maybe,
    Name,
    Part,
    SnapshotText,
    one_of_names,
    refusal,
)

RETRIES_MAX = 100
"""More attempts than that are a loop, not a plan."""

RiskWord = Annotated[Literal["LOW", "MEDIUM", "HIGH"], *one_of_names(("LOW", "MEDIUM", "HIGH"))]
OnBlockWord = Annotated[Literal["pause", "abort"], *one_of_names(("pause", "abort"))]


def _retries(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= RETRIES_MAX:
        raise refusal(f"`{value}` is no number of retries", f"a whole number from 0 to {RETRIES_MAX}")
    return value


Retries = Annotated[
    int, BeforeValidator(_retries), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": RETRIES_MAX})
]


def _some_time(text: str) -> str:
    if not parse_duration(text):
        raise refusal("is no time at all: every plan would be expired", "a duration above zero, as in 30d")
    return text


Lifetime = Annotated[Duration, AfterValidator(_some_time)]


def _unkeyed(text: str) -> str:
    if any(isinstance(segment, Key) for segment in parse_snapshot_path(text).segments):
        raise refusal(f"`{text}` is keyed by a proposal, and an objective has none", "a path without { }")
    return text


class ObjectiveCase(Part):
    """One condition of an objective: the value at a path of the snapshot equals one of the values."""

    snapshot: Annotated[SnapshotText, AfterValidator(_unkeyed)]
    """The path in the snapshot of the account, as it is now; only sources that ground an action count."""
    equals: AnyOf
    """The value, or a list of values of which any will do. A value that is absent equals nothing."""


class OrderRule(Part):
    """Two action types of which one comes before the other."""

    before: Name
    """The action type that comes first."""
    after: Name
    """The action type whose steps depend, directly or not, on every step of the first."""


class TenantPlanAction(Part):
    """What a tenant's section may narrow of an action type."""

    risk: Maybe[RiskWord] = None
    """What may go wrong; a plan is as risky as its riskiest step."""
    operations: Maybe[Many[Name]] = None
    """The operations that a step of it may be; left out: every one of this action type."""
    human_touch: Maybe[StrictBool] = None
    """Whether a step of it waits for a person; false when left out."""
    disabled: Maybe[StrictBool] = None
    """Whether no plan may do it after all; false when left out."""


class PlanAction(TenantPlanAction):
    """An action type that a plan may have steps of."""

    risk: RiskWord
    """What may go wrong; a plan is as risky as its riskiest step."""


class _Terms(Part):
    order: Maybe[Distinct[OrderRule]] = None
    """More rules of order."""
    objective: Maybe[Many[ObjectiveCase]] = None
    """When a plan is done; only where the base declares it replaceable."""
    max_retries: Maybe[Retries] = None
    """How often a failed step is tried again before the plan pauses; a tenant can lower it."""
    on_block: Maybe[OnBlockWord] = None
    """What a blocked step does to the plan: `pause` (the default) or `abort`; a tenant can choose `abort`."""
    elevated_risk: Maybe[RiskWord] = None
    """From which risk on approval needs elevated authority; a tenant can lower it."""
    lifetime: Maybe[Lifetime] = None
    """How long a plan may live from its approval on; a tenant can lower it."""
    disabled: Maybe[StrictBool] = None
    """Whether there are no such plans after all; false when left out."""


class TenantPlanType(_Terms):
    """What a tenant's section may narrow of a plan type."""

    actions: Maybe[dict[Name, TenantPlanAction]] = None
    """Narrower action types, and none that the base does not have."""


class PlanType(_Terms):
    """A type of plans: what its steps may be, in which order, and what follows when one cannot go on."""

    actions: dict[Name, PlanAction]
    """The action types that a plan of this type may have steps of, and no others."""
    order: Maybe[Distinct[OrderRule]] = None
    """Which action types come before which, where a plan has both."""
    objective: Maybe[Many[ObjectiveCase]] = None
    """Conditions that all hold when the goal is reached; left out: a plan is done when its steps are."""
    max_retries: Retries
    """How often a failed step is tried again before the plan pauses: 0 to 100."""
    lifetime: Lifetime
    """How long a plan may live, from its approval to its expiry."""
