"""Plans and their steps: what people and agents write, and what the ledger says has become of it.

A `Plan` is the document: goal, steps with their exact arguments, and the state it was made from. It is content (L6). A
`PlanState` is the row that follows from the ledger: status, hashes, and how far each step is. Both are frozen and decide nothing;
what may follow is `weighbridge.plans`, what does follow the kernel.

What an operation is (its class, action type and target) comes from its name and is never read from a plan (Z5).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.domain.context import Actor, DataSource, EvidenceItem, Role, Snapshot
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.principal import name_fault
from weighbridge.domain.unknown_keys import suggestion
from weighbridge.errors import ContextError

STEPS_MAX = 200
"""Steps of one plan: the row holds them all, and a record names them all."""

GROUNDS_MAX = 1_000
"""Evidence items, data sources, and references of one step: each is looked at for every value of every step."""

APPROVERS: frozenset[Role] = frozenset({Role.APPROVER, Role.ADMIN})
"""The roles of persons who may approve and reject."""

ELEVATED: frozenset[Role] = frozenset({Role.ADMIN})
"""The roles of persons who may approve what is risky (H3)."""

STEERERS: frozenset[Role] = frozenset({Role.OPERATOR, Role.APPROVER, Role.ADMIN})
"""The roles of persons who may pause, resume, abort and skip."""


class PlanStatus(enum.StrEnum):
    """Where a plan is in its life (H1)."""

    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"


class StepStatus(enum.StrEnum):
    """Where a step is. FAILED and BLOCKED are of the last attempt."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    SKIPPED = "SKIPPED"
    BLOCKED = "BLOCKED"
    FAILED = "FAILED"


class Risk(enum.StrEnum):
    """What may go wrong; a plan is as risky as its riskiest step (H3)."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"

    @property
    def rank(self) -> int:
        """Return 0, 1 or 2: text sorts otherwise."""
        return _RISKS.index(self)


_RISKS = (Risk.LOW, Risk.MEDIUM, Risk.HIGH)


def riskiest(risks: Iterable[Risk]) -> Risk:
    """Return the highest of several risks; of none, LOW."""
    return max(risks, key=lambda risk: risk.rank, default=Risk.LOW)


class Verb(enum.StrEnum):
    """What can be done to a plan or to a step of it."""

    CREATE = "CREATE"
    EDIT = "EDIT"
    SUBMIT = "SUBMIT"
    APPROVE = "APPROVE"
    REJECT = "REJECT"
    ACTIVATE = "ACTIVATE"
    PAUSE = "PAUSE"
    RESUME = "RESUME"
    ABORT = "ABORT"
    COMPLETE = "COMPLETE"
    EXPIRE = "EXPIRE"
    START_STEP = "START_STEP"
    END_STEP = "END_STEP"
    SKIP_STEP = "SKIP_STEP"


STEP_VERBS: frozenset[Verb] = frozenset({Verb.START_STEP, Verb.END_STEP, Verb.SKIP_STEP})
"""Verbs that are about one step."""


class PauseReason(enum.StrEnum):
    """Why a plan waits for a person."""

    RETRIES_EXHAUSTED = "RETRIES_EXHAUSTED"
    STEP_BLOCKED = "STEP_BLOCKED"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    WRITE_NOT_STORED = "WRITE_NOT_STORED"
    READ_BACK_FAILED = "READ_BACK_FAILED"
    HUMAN_TOUCH_REQUIRED = "HUMAN_TOUCH_REQUIRED"
    DEPENDENCY_UNMET = "DEPENDENCY_UNMET"
    OPERATION_NOT_REGISTERED = "OPERATION_NOT_REGISTERED"
    INVALID_PLAN_TYPE = "INVALID_PLAN_TYPE"
    ACTION_NOT_ALLOWED = "ACTION_NOT_ALLOWED"
    OPERATION_NOT_ALLOWED = "OPERATION_NOT_ALLOWED"
    RISK_ELEVATED = "RISK_ELEVATED"
    DOCUMENT_ERASED = "DOCUMENT_ERASED"
    STEP_NOT_CALLABLE = "STEP_NOT_CALLABLE"
    ATTEMPT_TAKEN = "ATTEMPT_TAKEN"
    BY_PERSON = "BY_PERSON"


BY_PERSON = PauseReason.BY_PERSON.value
"""The reason code of what a person did; in which words stands in content."""

OPERATION_FAILED = "OPERATION_FAILED"
"""A step's operation raised."""

OUTCOME_UNKNOWN = PauseReason.OUTCOME_UNKNOWN.value
"""A step's operation was allowed, and nobody knows whether it happened (G10)."""

# --- The document -----------------------------------------------------------------------------------------------------


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a plan: unknown keys are mistakes, not extras."""


class Step(_Part, frozen=True):
    """One action of a plan: an operation with exact arguments, on what it depends, and its evidence.

    ``accepts_skipped`` are those of ``depends_on`` that may have been skipped. ``risk`` can raise what the policy says of the
    action type, and ``human_touch`` add to it. ``action_type`` is the operation's, if it is written.
    """

    step_id: str
    operation: str
    action_type: str | None = None
    arguments: dict[str, Any] = {}
    depends_on: list[str] = []
    accepts_skipped: list[str] = []
    evidence: list[Any] = []
    risk: Risk | None = None
    human_touch: bool | None = None
    constraints: dict[str, Any] = {}


class Plan(_Part, frozen=True):
    """A time-bounded goal for one account, its steps, and the canonical snapshot it was made from.

    ``objective`` is what people say it is for; when it is met says the policy, by plan type. ``expires_at`` is RFC 3339.
    """

    plan_id: str
    tenant_id: str
    account_id: str
    plan_type: str
    objective: str
    expires_at: str
    proposer: Actor
    steps: list[Step]
    snapshot: Snapshot
    data_sources: list[DataSource] = []
    evidence: list[EvidenceItem] = []
    constraints: dict[str, Any] = {}

    @property
    def expires_ms(self) -> int:
        """Return the instant at which it expires. Checked when it was parsed."""
        instant_ms = parse_instant(self.expires_at)
        if instant_ms is None:
            raise ContextError("expires_at", _NO_INSTANT)
        return instant_ms

    def step(self, step_id: str) -> Step | None:
        """Return a step by its id."""
        return next((step for step in self.steps if step.step_id == step_id), None)


_NO_INSTANT = "names no instant; write RFC 3339 with an offset, as in 2026-12-22T10:00:00Z"
_STATED_ELSEWHERE = {
    "cost_class": "cannot be stated; it comes from the operation's name",
    "target": "cannot be stated; it comes from the operation's name",
    "facts": "cannot be stated; class, action type and target come from the operation's name",
    "status": "cannot be stated; it follows from the ledger",
    "attempts": "cannot be stated; it follows from the ledger",
}


def parse_plan(document: Any) -> Plan:
    """Return the plan that a JSON object states.

    Raises:
        ContextError: not an object, an unknown key, a wrong type, an id that is empty, too long or not unique, no steps or too
            many, too much evidence, a dependency that is named twice, no snapshot, an expiry that is no instant. The message says
            where, and what to write.
    """
    if isinstance(document, dict):
        _require_parts(document)
    try:
        plan = msgspec.convert(document, Plan)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        hint = suggestion(message, place, Plan)
        raise ContextError(place.rstrip("`").lstrip("."), message[:1].lower() + message[1:] + hint) from None
    for place, value in _names(plan):
        if not 0 < len(value) <= ID_LENGTH_MAX:
            raise ContextError(place, f"has {len(value)} characters; use 1 to {ID_LENGTH_MAX}")
    fault = name_fault(plan.proposer.id)
    if fault is not None:
        raise ContextError("proposer.id", fault)
    _require_sound(plan)
    return plan


def _require_parts(document: dict[str, Any]) -> None:
    """Raise for what is missing or stands where it cannot be, with words of its own."""
    if not document.get("snapshot"):
        shape = '{"fields": {"renewal": {"value": ..., "source_type": ...}}}'
        raise ContextError("snapshot", f"is missing; a plan brings the trusted state it was made from, as {shape}")
    steps = document.get("steps")
    if not isinstance(steps, list | tuple) or not steps:
        raise ContextError("steps", "is empty; a plan has at least one step")
    if len(steps) > STEPS_MAX:
        raise ContextError("steps", f"has {len(steps)} steps; the limit is {STEPS_MAX}: make several plans")
    for index, step in enumerate(steps):
        for key in step if isinstance(step, dict) else ():
            if key in _STATED_ELSEWHERE:
                raise ContextError(f"steps[{index}].{key}", _STATED_ELSEWHERE[key])


def _names(plan: Plan) -> Iterator[tuple[str, str]]:
    for name in ("plan_id", "tenant_id", "account_id", "plan_type"):
        yield name, getattr(plan, name)
    for index, step in enumerate(plan.steps):
        yield f"steps[{index}].step_id", step.step_id
        yield f"steps[{index}].operation", step.operation
        if step.action_type is not None:
            yield f"steps[{index}].action_type", step.action_type


def _require_sound(plan: Plan) -> None:
    if parse_instant(plan.expires_at) is None:
        raise ContextError("expires_at", _NO_INSTANT)
    _require_few("data_sources", plan.data_sources)
    _require_few("evidence", plan.evidence)
    seen: set[str] = set()
    for index, step in enumerate(plan.steps):
        _require_few(f"steps[{index}].evidence", step.evidence)
        _require_once(f"steps[{index}].depends_on", step.depends_on)
        _require_once(f"steps[{index}].accepts_skipped", step.accepts_skipped)
        if step.step_id in seen:
            raise ContextError(f"steps[{index}].step_id", f"`{step.step_id}` is taken; every step has an id of its own")
        seen.add(step.step_id)
        for accepted in step.accepts_skipped:
            if accepted not in step.depends_on:
                raise ContextError(
                    f"steps[{index}].accepts_skipped", f"`{accepted}` is not in its `depends_on`; add it"
                )


def _require_few(place: str, items: list[Any]) -> None:
    if len(items) > GROUNDS_MAX:
        raise ContextError(place, f"has {len(items)} items; the limit is {GROUNDS_MAX}: state what the steps stand on")


def _require_once(place: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ContextError(place, f"names `{name}` twice; once is enough")
        seen.add(name)


# --- What the ledger says of it ---------------------------------------------------------------------------------------


class StepState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far one step is. What is not about attempts stays as it was drafted: what the operation was then is what was approved.

    ``attempts`` is the number of the last attempt drawn, ``granted`` the number up to which a person allowed them, ``touched``
    whether a person resumed the plan for this step. ``reason`` is the code of BLOCKED, FAILED and SKIPPED. ``operation_id`` is of
    the last attempt, ``seq`` the record that changed the step last.
    """

    step_id: str
    operation: str
    action_type: str
    proposal_hash: str
    risk: Risk
    cost_class: str | None = None
    kind: str | None = None
    target: str | None = None
    human_touch: bool = False
    depends_on: tuple[str, ...] = ()
    accepts_skipped: tuple[str, ...] = ()
    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    granted: int = 0
    touched: bool = False
    reason: str | None = None
    operation_id: str | None = None
    seq: int = 0

    @property
    def done(self) -> bool:
        """Return whether it counts for `all_steps_done` (H4)."""
        return self.status in {StepStatus.COMPLETED, StepStatus.SKIPPED}


class PlanState(msgspec.Struct, frozen=True):
    """One plan as the ledger has it: the row, which a fold of the records gives again.

    ``plan_hash`` and ``snapshot_id`` are content hashes; the first covers the whole document. ``proposers`` proposed or edited
    it. ``approved_*`` and ``approver_*`` are None before approval and after an edit voided it. ``refused``: activation was
    refused, and only a person asks again (H3). ``request_hash`` is of the last move, ``seq`` its record; ``revision`` counts
    moves.
    """

    plan_id: str
    account_id: str
    plan_type: str
    status: PlanStatus
    revision: int
    seq: int
    created_seq: int
    plan_hash: str
    snapshot_id: str
    expires_ms: int
    risk: Risk
    proposers: tuple[str, ...]
    request_hash: str
    steps: tuple[StepState, ...]
    submitted: bool = False
    approved_hash: str | None = None
    approved_seq: int | None = None
    approver_id: str | None = None
    approver_role: str | None = None
    refused: bool = False
    pause_reason: str | None = None
    pause_step: str | None = None

    def step(self, step_id: str | None) -> StepState | None:
        """Return a step by its id."""
        return next((step for step in self.steps if step.step_id == step_id), None)

    @property
    def running(self) -> StepState | None:
        """Return the step of which an attempt is drawn and not ended."""
        return next((step for step in self.steps if step.status is StepStatus.RUNNING), None)

    def with_step(self, changed: StepState) -> tuple[StepState, ...]:
        """Return the steps with one of them changed."""
        return tuple(changed if step.step_id == changed.step_id else step for step in self.steps)


def is_ready(state: PlanState, step: StepState) -> bool:
    """Return whether everything that a step depends on is done; skipped counts only where the step says so (H4)."""
    for needed in step.depends_on:
        other = state.step(needed)
        if other is None or not other.done:
            return False
        if other.status is StepStatus.SKIPPED and needed not in step.accepts_skipped:
            return False
    return True


_steps_decoder = msgspec.json.Decoder(tuple[StepState, ...])


def encode_steps(steps: tuple[StepState, ...]) -> str:
    """Return steps as canonical JSON, for a store's column."""
    return canonical.encode(msgspec.to_builtins(steps)).decode()


def decode_steps(text: str | bytes) -> tuple[StepState, ...]:
    """Return the steps of a store's column.

    Raises:
        msgspec.MsgspecError: it holds none.
    """
    return _steps_decoder.decode(text)


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(Plan)
