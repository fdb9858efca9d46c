"""What a recorder hands to a store, and what comes back.

A submission becomes exactly one record. What depends on the state of the tenant (the record's number, whether an id is
known, whether this proposal was blocked before) is decided inside the store's transaction by the pure kernel in
``ledger.commit``, which a store calls with a view of that state. Stores lock, read and write; they never decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from weighbridge.budgets.caps import Applicable
from weighbridge.budgets.decide import Counter
from weighbridge.domain.context import OperationFacts
from weighbridge.domain.plan import PlanState, Risk, StepState, StepStatus, Verb
from weighbridge.domain.verdict import Verdict


class RunDraft(msgspec.Struct, frozen=True):
    """One judged choke point, ready to be recorded.

    ``fields`` stand on every event of the run (validation_run_id, choke_point, target_id, snapshot_id, ...). ``events`` are
    the `VALIDATOR_RUN` events without those; ``summary`` is what the `VALIDATOR_RUN_SUMMARY` says besides result and
    findings. ``findings`` are the gateway's own BLOCKs known before the transaction, as ``{"reason", "details"}``.
    ``request_hash`` is what an id is bound to (G3), ``inputs_hash`` what the verdict was formed from: asking in other words
    changes the first and not the second (G8). ``allowed_in`` are the plan types of the policy in which what is proposed may be
    written; None where that is not asked.
    """

    validation_run_id: str
    choke_point: str
    request_hash: str
    inputs_hash: str
    proposal_hash: str
    verdict: Verdict
    fields: dict[str, Any]
    events: tuple[dict[str, Any], ...]
    summary: dict[str, Any]
    findings: tuple[dict[str, Any], ...] = ()
    allowed_in: frozenset[str] | None = None


class Reservation(msgspec.Struct, frozen=True):
    """What an operation wants to spend, ready to be decided on the counters.

    ``cost_class`` is None for an operation that nobody knows. ``amounts`` are whole numbers by unit, of which ``assumed`` are
    the class maximum (B12). ``applicable`` are the caps it falls under. ``justification`` is the content hash of the stated
    reason (B13). ``findings`` are BLOCKs known before the transaction, as ``{"reason", "details"}``. ``request_hash`` is the
    hash of what was asked. ``policy`` is the content hash of the effective policy, where no run beside it points to that.
    ``unpriced`` says why the money that a cap counts is not known; ``priced`` at which unit prices it was worked out, by which a
    report of use is priced, too (B7). ``proposal`` is the content hash of operation and arguments, and ``proposal_hash`` what the
    action is known by, where no run beside it says so (G10).
    """

    operation: str
    cost_class: str | None
    account_id: str | None
    plan_id: str | None
    amounts: dict[str, int]
    applicable: Applicable
    request_hash: str
    assumed: tuple[str, ...] = ()
    justification: str | None = None
    findings: tuple[dict[str, Any], ...] = ()
    policy: str | None = None
    unpriced: dict[str, str] | None = None
    priced: dict[str, str] | None = None
    proposal: str | None = None
    proposal_hash: str | None = None


class BudgetTerms(msgspec.Struct, frozen=True):
    """What a policy says of counters, for its activation: what its caps count, and the tenant's zone (B9, B14)."""

    families: tuple[str, ...]
    time_zone: str


class Usage(msgspec.Struct, frozen=True):
    """What an operation really consumed, whole numbers by unit (B7). ``request_hash`` is the hash of the report."""

    operation_id: str
    consumed: dict[str, int]
    request_hash: str


class PlanDraft(msgspec.Struct, frozen=True):
    """What a plan that is created or edited comes to: its hashes, and its steps with nothing done yet."""

    account_id: str
    plan_type: str
    plan_hash: str
    snapshot_id: str
    expires_ms: int
    risk: Risk
    steps: tuple[StepState, ...]


class PlanMove(msgspec.Struct, frozen=True):
    """What is done to a plan. The kernel decides in the transaction whether it can be (`ledger.planning`).

    ``request_hash`` is of what was asked, without any time: the same move said twice is one move. ``revision`` is the one that it
    was decided on; steps are fenced by ``attempt`` instead. ``plan_hash`` is the document that it was decided from. ``by`` is who
    does it, where that is not the actor in ``common`` (who approves did not propose). ``reason`` is a code; what people write is
    content, ``content`` holds hashes by name. ``refusals`` are the policy gate's reasons against, as ``{"reason", "details"}``.
    ``facts`` are what the operation of an attempt is now, which is to be what it was when the plan was drafted (G11).
    """

    plan_id: str
    verb: Verb
    request_hash: str
    revision: int | None = None
    draft: PlanDraft | None = None
    changed: tuple[str, ...] = ()
    plan_hash: str | None = None
    by: dict[str, str] | None = None
    step_id: str | None = None
    attempt: int | None = None
    attempts_max: int | None = None
    facts: OperationFacts | None = None
    outcome: StepStatus | None = None
    reason: str | None = None
    details: dict[str, Any] = {}
    refusals: tuple[dict[str, Any], ...] = ()
    content: dict[str, str] = {}


class OutcomeDraft(msgspec.Struct, frozen=True):
    """What became of something, to be written after it (O2). ``event`` is the ``(seq, index)`` that it reports.

    ``idempotency_key`` makes it one, however often it is said (O4). ``details`` hold codes, ids and amounts; what people write is
    content, ``content`` holds hashes by name (L6).
    """

    kind: str
    outcome_id: str
    idempotency_key: str
    at_ms: int
    plan_id: str | None = None
    account_id: str | None = None
    opportunity_id: str | None = None
    actor_id: str | None = None
    event: tuple[int, int] | None = None
    details: dict[str, Any] = {}
    content: dict[str, str] = {}


class Submission(msgspec.Struct, frozen=True):
    """One record to be: a decision (``runs``, ``reservation``), or other facts (``events``), never both.

    ``plan`` is what it does to a plan, beside a decision (an approval, a step's start), beside the report that an operation
    completed (a step's end), or alone. ``outcome`` is captured by a record of its own (O2).

    ``operation`` is ``(operation_id, request_hash)`` where the runs belong to one operation; a reservation always belongs to
    one. Its budget is asked last, and only where no run is a BLOCK (B11). ``terms`` are None for a policy without budgets.
    ``usage`` goes with the report that an operation completed, or stands alone with a `USAGE_REPORTED` event. ``completes`` is
    ``(operation_id, "COMPLETED" | "FAILED")`` for an `OPERATION_COMPLETED`. ``authorises`` is
    ``(choke_point, proposal_hash, inputs_hash, expires_ms)`` for a `RETRY_AUTHORISED`, given by the actor in ``common``.
    ``common`` stands once per record and on every event when read: actor, account_id, plan_id, step_id,
    operation_id, evaluation_time, time_source, policy_version, engine_version, enforcement.
    ``subjects`` are ids by which a story is found: ``("plan" | "step" | "account", id)``.
    ``contents`` are ``(keyed hash, bytes)``, stored once each.
    ``refusals`` are counts by code since the tenant's last record (G2).
    """

    tenant_id: str
    common: dict[str, Any]
    evaluation_time_ms: int
    time_source: str
    max_clock_skew_ms: int
    policy_version: str | None = None
    runs: tuple[RunDraft, ...] = ()
    operation: tuple[str, str] | None = None
    reservation: Reservation | None = None
    terms: BudgetTerms | None = None
    usage: Usage | None = None
    events: tuple[dict[str, Any], ...] = ()
    completes: tuple[str, str] | None = None
    authorises: tuple[str, str, str, int] | None = None
    plan: PlanMove | None = None
    outcome: OutcomeDraft | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    contents: tuple[tuple[str, bytes], ...] = ()
    refusals: dict[str, int] = {}


class Head(msgspec.Struct, frozen=True, gc=False):
    """Where a tenant's ledger ends. ``seq`` 0 and the genesis hash before the first record.

    ``zones`` is the text form of the tenant's time zones (`budgets.periods`); None before a policy with budgets was active.
    """

    seq: int
    hash: bytes
    last_time_ms: int | None = None
    policy_version: str | None = None
    zones: str | None = None


class Consumption(msgspec.Struct, frozen=True, gc=False):
    """Amounts by unit that were reserved in one cell, and what of them was given back by settlement."""

    reserved: dict[str, int]
    settled: dict[str, int]


class Identity(msgspec.Struct, frozen=True, gc=False):
    """A known id: the request it answers and where.

    ``state`` is set for operations: BLOCKED, PENDING, COMPLETED, FAILED. An id of kind ``end`` binds an operation to the outcome
    that was reported, which then stands in ``request_hash``; one of kind ``use`` to the consumption that was reported.
    """

    request_hash: str
    seq: int
    state: str | None = None


class BlockedProposal(msgspec.Struct, frozen=True):
    """The latest BLOCK of a proposal at a choke point (G8)."""

    validation_run_id: str
    inputs_hash: str
    policy_version: str
    seq: int


class RetryAuthorisation(msgspec.Struct, frozen=True):
    """The latest authorisation to ask again for a blocked proposal: one use, bound to its inputs, expiring (G8).

    ``by`` is the id of the person who gave it, who cannot use it.
    """

    inputs_hash: str
    expires_ms: int
    by: str
    seq: int
    used_seq: int | None = None


class View(Protocol):
    """What the kernel may read of one tenant inside the transaction."""

    def head(self) -> Head:
        """Return the tenant's head."""

    def identity(self, kind: str, identity: str) -> Identity | None:
        """Return what a ``run``, ``op``, ``end`` or ``use`` id is bound to."""

    def blocked(self, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of this proposal at this choke point."""

    def authorisation(self, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for this proposal at this choke point."""

    def has_content(self, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored; erased content counts."""

    def counter(self, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""

    def counters_of(self, names: Sequence[str]) -> Sequence[Counter]:
        """Return several budget counters, in the order of their names: those that one reservation falls under."""

    def consumption(self, cell: str) -> Consumption | None:
        """Return one cell of what was consumed (`reserving.cell_name`)."""

    def cells(self) -> Iterable[tuple[str, Consumption]]:
        """Return every cell. Read once for each new family of caps (B14)."""

    def families(self) -> tuple[str, ...]:
        """Return what the counters count: the families of the policy that was active last, sorted."""

    def plan(self, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""

    def active_plan(self, account_id: str, plan_type: str) -> str | None:
        """Return the id of the plan of this account and type that is ACTIVE; there is at most one (H3)."""

    def outcome(self, idempotency_key: str) -> tuple[str, int] | None:
        """Return the id and the record of an outcome that was said before (O4): all that a decision may know of one (O1)."""

    def body(self, seq: int) -> bytes:
        """Return the body of a record that a row points to."""


class Committed(msgspec.Struct, frozen=True, gc=False):
    """A submission's record. ``replayed``: it was already there; ``state`` is the operation's state now."""

    seq: int
    hash: bytes
    body: bytes
    replayed: bool = False
    state: str | None = None
