"""ValidationContext: everything a choke point is asked about, at one instant (the words of the contract).

A context arrives as a JSON object (:func:`parse_context`), shaped like this; every key but the first is optional here, and
what a choke point requires is decided by the validators, so that absence becomes a recorded BLOCK and not a lost line::

    {"choke_point": "BEFORE_EXTERNAL_WRITEBACK", "validation_run_id": "run-1", "tenant_id": "acme",
     "actor": {"id": "renewal-agent", "role": "agent"}, "account_id": "a-1", "plan_id": "p-1", "step_id": "s-1", "attempt": 1,
     "proposal": {"operation": "crm.update_renewal", "arguments": {...}, "evidence": [reference, ...]},
     "plan": {"plan_id": "p-1", "plan_type": "RENEWAL_DEFENSE", "steps": [{"step_id": "s-1", "operation": ..., ...}]},
     "snapshot": {"fields": {"renewal": {"value": {...}, "source_type": "crm_renewal", "source_id": "r-7"}}},
     "data_sources": [{"source_id": "crm:opp:1", "source_type": "crm_opportunity", "last_updated": "2026-11-01T00:00:00Z"}],
     "evidence": [{"reference": {...}, "source_type": "crm_renewal", "trust": "observed", "content": {...}}],
     "approved": {"plan_hash": ..., "step_hash": ..., "snapshot_id": ...}, "evaluation_time": "2026-11-22T10:00:00Z"}

What a request answers to is its ``validation_run_id``. An ``operation_id`` in a request that is only asked is a name under which
its story is found; operations that we execute bind it themselves (G10).

Class, action type and target of an operation are never read from here: they come from the registered operation, by name
(Z5), and are filled in as :class:`OperationFacts` before judging. Values stay plain JSON (dict, list, text, numbers), decoded
from canonical bytes, private to the request.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any

import msgspec

from weighbridge.domain.amounts import CostClass
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.evidence import Trust
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.unknown_keys import suggestion
from weighbridge.errors import ContextError


class Role(enum.StrEnum):
    """Who a principal is allowed to be (Z1)."""

    AGENT = "agent"
    HOST = "host"
    OPERATOR = "operator"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class OperationKind(enum.StrEnum):
    """Whether an operation changes something outside (a writeback) or not."""

    READ = "read"
    ACTION = "action"
    WRITEBACK = "writeback"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a context: unknown keys are mistakes, not extras."""


class Actor(_Part, frozen=True):
    """Who proposes. ``role`` says whether facts may be stated (Z5)."""

    id: str
    role: Role = Role.AGENT


class OperationFacts(_Part, frozen=True):
    """What the registry knows about an operation, by its name."""

    name: str
    action_type: str
    kind: OperationKind = OperationKind.ACTION
    target: str | None = None
    cost_class: CostClass = CostClass.CHEAP
    declares_proposal: bool = False
    """Whether an EXPENSIVE operation is grounded like a proposal (R1)."""


class Proposal(_Part, frozen=True):
    """The executable thing under judgement, with its exact arguments.

    ``facts`` is None until the operation was looked up, and stays None for an unknown one (`UNKNOWN_OPERATION`).
    """

    operation: str
    arguments: dict[str, Any] = {}
    evidence: list[Any] = []
    step_id: str | None = None
    depends_on: list[str] = []
    facts: OperationFacts | None = None


class PlanProposal(_Part, frozen=True):
    """A plan under judgement: its steps, each a proposal."""

    plan_id: str
    plan_type: str | None = None
    steps: list[Proposal] = []


class SnapshotField(_Part, frozen=True):
    """One field of the canonical snapshot, with its source."""

    value: Any
    source_type: str
    source_id: str | None = None


class Snapshot(_Part, frozen=True):
    """The trusted state of the account the proposal was made from."""

    fields: dict[str, SnapshotField]


class DataSource(_Part, frozen=True):
    """A source that was read, and when it last changed. A timestamp that names no instant is judged, not rejected (G5)."""

    source_id: str
    source_type: str
    last_updated: Any = None


class EvidenceItem(_Part, frozen=True):
    """One item of the evidence set. ``trust`` is a label that can only lower what the policy declares (R4)."""

    reference: Any
    source_type: str | None = None
    trust: Trust | None = None
    content: Any = None


class Approved(_Part, frozen=True):
    """The hashes of what was approved, for a plan-linked request (G11, `NOT_AS_APPROVED`)."""

    plan_hash: str | None = None
    step_hash: str | None = None
    snapshot_id: str | None = None


class ValidationContext(_Part, frozen=True):
    """A request to one choke point, complete."""

    choke_point: ChokePoint
    tenant_id: str | None = None
    validation_run_id: str | None = None
    operation_id: str | None = None
    actor: Actor = Actor(id="unknown")
    account_id: str | None = None
    plan_id: str | None = None
    step_id: str | None = None
    attempt: int | None = None
    target_id: str | None = None
    proposal: Proposal | None = None
    plan: PlanProposal | None = None
    snapshot: Snapshot | None = None
    data_sources: list[DataSource] | None = None
    evidence: list[EvidenceItem] | None = None
    approved: Approved | None = None
    evaluation_time: str | None = None

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        """Return every executable thing under judgement: the proposal, or each step of the plan."""
        if self.choke_point is ChokePoint.BEFORE_PLAN_APPROVAL:
            return tuple(self.plan.steps) if self.plan else ()
        return (self.proposal,) if self.proposal else ()

    @property
    def evaluation_time_ms(self) -> int:
        """Return the one instant of judgement. Set by the entry before any validator runs."""
        instant = parse_instant(self.evaluation_time)
        if instant is None:
            raise ContextError("evaluation_time", "is not set; the entry takes it once, before judging")
        return instant


_ID_KEYS = ("tenant_id", "validation_run_id", "operation_id", "account_id", "plan_id", "step_id", "target_id")


def parse_context(document: Any) -> ValidationContext:
    """Return the context that a decoded JSON object states.

    Raises:
        ContextError: not an object, an unknown key, a wrong type, an id that is empty or too long, an evaluation time
            without an offset. The message names the path and what to write.
    """
    if isinstance(document, dict) and _states_facts(document):
        raise ContextError(
            "proposal.facts", "cannot be stated; class, action type and target come from the operation's name"
        )
    try:
        context = msgspec.convert(document, ValidationContext)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        if place.startswith(".choke_point"):
            message += f"; write one of {', '.join(ChokePoint)}"
        message += suggestion(message, place, ValidationContext)
        raise ContextError(place.rstrip("`").lstrip("."), message[:1].lower() + message[1:]) from None
    for place, value in _ids(context):
        if value is not None and not 0 < len(value) <= ID_LENGTH_MAX:
            raise ContextError(place, f"has {len(value)} characters; use 1 to {ID_LENGTH_MAX}")
    if context.evaluation_time is not None and parse_instant(context.evaluation_time) is None:
        raise ContextError(
            "evaluation_time", "names no instant; write RFC 3339 with an offset, as in 2026-11-22T10:00:00Z"
        )
    return context


def _ids(context: ValidationContext) -> Iterator[tuple[str, str | None]]:
    """Yield every id and name that stands in records, and its place: none may be so long that a record is."""
    for key in _ID_KEYS:
        yield key, getattr(context, key)
    yield "actor.id", context.actor.id
    if context.proposal is not None:
        yield "proposal.operation", context.proposal.operation
    if context.plan is not None:
        yield "plan.plan_id", context.plan.plan_id
        yield "plan.plan_type", context.plan.plan_type
        for index, step in enumerate(context.plan.steps):
            yield f"plan.steps[{index}].operation", step.operation
            yield f"plan.steps[{index}].step_id", step.step_id


def _states_facts(document: dict[str, Any]) -> bool:
    plan = document.get("plan")
    steps = plan.get("steps") if isinstance(plan, dict) else None
    parts = [document.get("proposal"), *(steps if isinstance(steps, list) else ())]
    return any(isinstance(part, dict) and "facts" in part for part in parts)


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(ValidationContext)
