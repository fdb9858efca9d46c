"""What a recorder hands to a store, and what comes back.

A submission becomes exactly one record. What depends on the state of the tenant (the record's number, whether an id is
known, whether this proposal was blocked before) is decided inside the store's transaction by the pure kernel in
``ledger.commit``, which a store calls with a view of that state. Stores lock, read and write; they never decide.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from weighbridge.domain.verdict import Verdict


class RunDraft(msgspec.Struct, frozen=True):
    """One judged choke point, ready to be recorded.

    ``fields`` stand on every event of the run (validation_run_id, choke_point, target_id, snapshot_id, ...). ``events`` are
    the `VALIDATOR_RUN` events without those; ``summary`` is what the `VALIDATOR_RUN_SUMMARY` says besides result and
    findings. ``findings`` are the gateway's own BLOCKs known before the transaction, as ``{"reason", "details"}``.
    ``request_hash`` is what an id is bound to (G3), ``inputs_hash`` what the verdict was formed from: asking in other words
    changes the first and not the second (G8).
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


class Submission(msgspec.Struct, frozen=True):
    """One record to be: a decision (``runs``), or other facts (``events``), never both.

    ``operation`` is ``(operation_id, request_hash)`` where the runs belong to one operation. ``completes`` is
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
    events: tuple[dict[str, Any], ...] = ()
    completes: tuple[str, str] | None = None
    authorises: tuple[str, str, str, int] | None = None
    subjects: tuple[tuple[str, str], ...] = ()
    contents: tuple[tuple[str, bytes], ...] = ()
    refusals: dict[str, int] = {}


class Head(msgspec.Struct, frozen=True):
    """Where a tenant's ledger ends. ``seq`` 0 and the genesis hash before the first record."""

    seq: int
    hash: bytes
    last_time_ms: int | None = None
    policy_version: str | None = None


class Identity(msgspec.Struct, frozen=True):
    """A known id: the request it answers and where.

    ``state`` is set for operations: BLOCKED, PENDING, COMPLETED, FAILED. An id of kind ``end`` binds an operation to the outcome
    that was reported, which then stands in ``request_hash``.
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
        """Return what a ``run``, ``op`` or ``end`` id is bound to."""

    def blocked(self, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of this proposal at this choke point."""

    def authorisation(self, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for this proposal at this choke point."""

    def has_content(self, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored; erased content counts."""


class Committed(msgspec.Struct, frozen=True):
    """A submission's record. ``replayed``: it was already there; ``state`` is the operation's state now."""

    seq: int
    hash: bytes
    body: bytes
    replayed: bool = False
    state: str | None = None
