"""The life of a plan (H1): which status follows which, by which verb. One table, and nothing else.

Anything that is not in the table is refused. Verdicts do not occur here, so that WARN and ALLOW cannot make a difference (H5).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from weighbridge.domain.plan import PlanStatus, Verb
from weighbridge.errors import PlanRefused

_DRAFT, _APPROVED, _ACTIVE, _PAUSED = PlanStatus.DRAFT, PlanStatus.APPROVED, PlanStatus.ACTIVE, PlanStatus.PAUSED
_ALIVE: Final = (_DRAFT, _APPROVED, _ACTIVE, _PAUSED)

ENDED: Final[frozenset[PlanStatus]] = frozenset({PlanStatus.COMPLETED, PlanStatus.ABORTED, PlanStatus.EXPIRED})
"""The statuses that nothing leads out of."""


def _stays(*statuses: PlanStatus) -> dict[PlanStatus, PlanStatus]:
    return {status: status for status in statuses}


VERBS: Final[Mapping[Verb, Mapping[PlanStatus, PlanStatus]]] = MappingProxyType(
    {
        Verb.CREATE: {},  # there is nothing before it
        Verb.EDIT: {_DRAFT: _DRAFT, _APPROVED: _DRAFT},  # H2: the second voids the approval
        Verb.SUBMIT: _stays(_DRAFT),
        Verb.APPROVE: {_DRAFT: _APPROVED},
        Verb.REJECT: _stays(_DRAFT),
        Verb.ACTIVATE: {_APPROVED: _ACTIVE},
        Verb.PAUSE: {_ACTIVE: _PAUSED},
        Verb.RESUME: {_PAUSED: _ACTIVE},
        Verb.ABORT: dict.fromkeys(_ALIVE, PlanStatus.ABORTED),
        Verb.COMPLETE: {_ACTIVE: PlanStatus.COMPLETED},
        Verb.EXPIRE: dict.fromkeys(_ALIVE, PlanStatus.EXPIRED),
        Verb.START_STEP: _stays(_ACTIVE),
        Verb.END_STEP: _stays(*PlanStatus),  # what has happened is recorded, also after the plan's end (H4)
        Verb.SKIP_STEP: _stays(_ACTIVE, _PAUSED),
    }
)
"""What a verb makes of each status; a status that is missing is refused."""

TRANSITIONS: Final[Mapping[PlanStatus, frozenset[PlanStatus]]] = MappingProxyType(
    {
        before: frozenset(
            after
            for verbs in VERBS.values()
            for start, after in verbs.items()
            if start is before and after is not before
        )
        for before in PlanStatus
    }
)
"""H1: which other statuses can follow a status."""

_TELLS: Final = {
    Verb.EDIT: "only a draft can be edited, and an approved plan, which voids the approval",
    Verb.SUBMIT: "only a draft is submitted",
    Verb.APPROVE: "only a draft is approved",
    Verb.REJECT: "only a draft is rejected; abort it instead",
    Verb.ACTIVATE: "only an approved plan is activated",
    Verb.PAUSE: "only an active plan is paused",
    Verb.RESUME: "only a paused plan is resumed",
    Verb.COMPLETE: "only an active plan completes",
    Verb.START_STEP: "steps start only while it is active",
    Verb.SKIP_STEP: "steps are skipped only while it is active or paused",
}


def permits(before: PlanStatus, after: PlanStatus) -> bool:
    """Return whether a plan can go from one status to another one (H1)."""
    return after in TRANSITIONS[before]


def after(verb: Verb, status: PlanStatus, plan_id: str = "") -> PlanStatus:
    """Return the status that follows.

    Raises:
        PlanRefused: ``PLAN_TRANSITION``: that verb leads nowhere from there.
    """
    follows = VERBS[verb].get(status)
    if follows is None:
        why = "it has ended" if status in ENDED else _TELLS.get(verb, "it exists already")
        raise PlanRefused("PLAN_TRANSITION", f"plan `{plan_id}` is {status}: {why}", plan_id)
    return follows
