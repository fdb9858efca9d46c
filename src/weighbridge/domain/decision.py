"""Results and decisions: what was found, what it adds up to, and where it is on record."""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.errors import WeighbridgeError


class Sealed(msgspec.Struct, frozen=True):
    """A personal or restricted value inside details: the gateway replaces it by its keyed content hash (C3, L6)."""

    value: Any


class ValidatorResult(msgspec.Struct, frozen=True):
    """What one validator found. ``details`` is JSON data (and `Sealed` values); the sentence is derived by `explain`."""

    validator: str
    result: Verdict
    reason: str
    details: dict[str, Any] = {}


class Finding(msgspec.Struct, frozen=True):
    """A BLOCK of the gateway itself: `RETRY_NOT_AUTHORISED, NOT_AS_APPROVED, UNTRUSTED_INPUT, CLOCK_STEPPED_BACK`."""

    reason: str
    details: dict[str, Any] = {}


class RecordRef(msgspec.Struct, frozen=True):
    """Where a decision stands in the ledger: the record's number and chain hash (hex)."""

    tenant_id: str
    seq: int
    hash: str


class GateDecision(msgspec.Struct, frozen=True):
    """The answer of one choke point. ``replayed`` says that it was already on record under this id (G3)."""

    verdict: Verdict
    choke_point: ChokePoint
    validation_run_id: str
    results: tuple[ValidatorResult, ...]
    findings: tuple[Finding, ...]
    policy_version: str
    engine_version: str
    evaluation_time: str
    enforcement: str
    record: RecordRef
    proposal_hash: str
    snapshot_id: str | None = None
    retry_of: str | None = None
    replayed: bool = False

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes that are not ALLOW, the gateway's own first, in the order of the record."""
        found = [finding.reason for finding in self.findings]
        found += [result.reason for result in self.results if result.result is not Verdict.ALLOW]
        return tuple(dict.fromkeys(found))


class OperationDecision(msgspec.Struct, frozen=True):
    """The answer for one operation: every choke point that applied, in the table's order, one record (G10).

    ``state`` is ``BLOCKED``, ``PENDING`` (allowed, no completion on record), ``COMPLETED`` or ``FAILED``.
    """

    operation_id: str
    operation: str
    gates: tuple[GateDecision, ...]
    record: RecordRef
    state: str
    replayed: bool = False
    about: dict[str, str] = {}
    """The account, plan and step it belongs to, as far as they were stated."""

    @property
    def verdict(self) -> Verdict:
        """Return the strictest verdict of all gates."""
        return strictest(gate.verdict for gate in self.gates)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes of all gates that are not ALLOW."""
        return tuple(dict.fromkeys(reason for gate in self.gates for reason in gate.reasons))


class Blocked(WeighbridgeError):
    """The operation was blocked and did not happen. ``decision`` holds every reason."""

    def __init__(self, decision: OperationDecision, hint: str = "") -> None:
        self.decision = decision
        super().__init__(
            f"`{decision.operation}` was blocked: {', '.join(decision.reasons)}; "
            f"{hint}see `weighbridge why {decision.operation_id} --store ...`"
        )


class AlreadyExecuted(WeighbridgeError):
    """The operation id is on record as allowed; the executor does not call again (G10).

    ``decision.state`` says what is known: ``COMPLETED``, ``FAILED``, or ``PENDING``, which means `OUTCOME_UNKNOWN`.
    """

    def __init__(self, decision: OperationDecision) -> None:
        self.decision = decision
        state = "OUTCOME_UNKNOWN" if decision.state == "PENDING" else decision.state
        super().__init__(
            f"operation id `{decision.operation_id}` was already allowed and is {state}; it is not run twice. "
            "Use a new operation id for a new attempt"
        )
