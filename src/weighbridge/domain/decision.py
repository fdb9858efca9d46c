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


class CapUsage(msgspec.Struct, frozen=True):
    """What one cap said of a reservation (B10). Amounts are whole numbers of ``unit``; ``hard_cap`` None is unlimited.

    ``usage_after`` is what the counter would hold with the reservation; None where its cost is not known.
    """

    cap: str
    counter: str
    unit: str
    hard_cap: int | None
    usage_before: int
    verdict: Verdict
    reason: str
    soft_cap: int | None = None
    usage_after: int | None = None


class BudgetDecision(msgspec.Struct, frozen=True):
    """The answer of the budget. With BLOCK nothing was reserved under any cap (B4).

    ``amounts`` are whole numbers by unit, of which ``assumed`` are the class maximum, because nobody knew them (B12). ``period``
    holds the keys of DAY and MONTH that it was counted under. ``findings`` are BLOCKs that no cap caused. ``unpriced`` says why
    money that a cap counts is not known: ``{"cause": "MODEL_UNKNOWN", "model": …, "closest"?: …}``, or the cause `NO_MODEL`,
    `NO_PRICE` or `NO_PRICES`; None where it is known, or was stated.
    """

    verdict: Verdict
    reason: str
    operation: str
    cost_class: str | None
    amounts: dict[str, int]
    period: dict[str, str]
    caps: tuple[CapUsage, ...]
    findings: tuple[Finding, ...] = ()
    assumed: tuple[str, ...] = ()
    unpriced: dict[str, str] | None = None
    priced: dict[str, str] | None = None
    """The unit prices that money was worked out at, in pico-units as decimal text; None where it was stated or is not known."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes that are not ALLOW, the one that decided first."""
        if self.verdict is Verdict.ALLOW:
            return ()
        found = [self.reason, *(finding.reason for finding in self.findings)]
        found += [cap.reason for cap in self.caps if cap.verdict is not Verdict.ALLOW]
        return tuple(dict.fromkeys(found))


class OperationDecision(msgspec.Struct, frozen=True, weakref=True):
    """The answer for one operation: every choke point that applied, in the table's order, and its budget; one record (G10).

    ``budget`` is None where a choke point said BLOCK: an action that is not safe costs nothing (B11). ``state`` is ``BLOCKED``,
    ``PENDING`` (allowed, no completion on record), ``COMPLETED`` or ``FAILED``.
    """

    operation_id: str
    operation: str
    gates: tuple[GateDecision, ...]
    budget: BudgetDecision | None
    record: RecordRef
    state: str
    policy_version: str
    engine_version: str
    evaluation_time: str
    enforcement: str
    replayed: bool = False
    about: dict[str, str] = {}
    """The account, plan and step it belongs to, as far as they were stated."""

    @property
    def verdict(self) -> Verdict:
        """Return the strictest verdict of all gates and the budget."""
        budget = () if self.budget is None else (self.budget.verdict,)
        return strictest((*(gate.verdict for gate in self.gates), *budget))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the reason codes of all gates, and of the budget, that are not ALLOW."""
        budget = () if self.budget is None else self.budget.reasons
        return tuple(dict.fromkeys((*(reason for gate in self.gates for reason in gate.reasons), *budget)))


class Blocked(WeighbridgeError):
    """The operation was blocked and did not happen. ``decision`` holds every reason.

    ``said`` is what decided, in words; ``hint`` says where to read on.
    """

    def __init__(self, decision: OperationDecision, said: str = "", hint: str = "") -> None:
        self.decision = decision
        reasons = ", ".join(decision.reasons)
        super().__init__(
            f"`{decision.operation}` was blocked: {reasons}{f' ({said})' if said else ''}; "
            f"{hint or f'see `weighbridge why {decision.operation_id} --tenant {decision.record.tenant_id} --store ...`'}"
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


class WriteUnconfirmed(WeighbridgeError):
    """A writeback was called and returned, and that the target stores what was asked is not confirmed. It is not run again.

    What it reserved stays spent (B7), and its operation is FAILED on record, with ``reason``. ``value`` is what the function
    returned (None in a copy from another process); ``differs`` names the fields that are stored otherwise.
    """

    reason: str = ""

    def __init__(
        self, decision: OperationDecision, said: str, differs: tuple[str, ...] = (), value: object = None
    ) -> None:
        self.decision: OperationDecision = decision
        self.said: str = said
        self.differs: tuple[str, ...] = differs
        self.value: object = value
        super().__init__(f"`{decision.operation}` (operation `{decision.operation_id}`) {said}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.decision, self.said, self.differs)  # the function's value may be anything

    @property
    def operation_id(self) -> str:
        """Return the id under which it is on record."""
        return self.decision.operation_id


class WriteNotStored(WriteUnconfirmed):
    """The read-back found something else than was asked, in the fields of ``differs``."""

    reason: str = "WRITE_NOT_STORED"


class ReadBackFailed(WriteUnconfirmed):
    """The read-back did not answer: the write may have happened or not. Its ``__cause__`` says why."""

    reason: str = "READ_BACK_FAILED"
