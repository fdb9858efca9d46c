"""What became of a plan, a step or an opportunity: written after the fact, and read by nothing that decides (O1).

The kinds are types, so that an outcome that could be joined with nothing cannot be made (O3): of a plan needs the plan and the
event that it reports, of a person the person, downstream an account and an opportunity. Frozen; decides nothing.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Final

import msgspec

from weighbridge.domain.amounts import is_currency, parse_stated
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.instant import parse_instant
from weighbridge.errors import ContextError

NOTE_LENGTH_MAX = 10_000
SOURCE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""A source's name holds no colon: the key of an outcome is made of it (O4)."""


class OutcomeKind(enum.StrEnum):
    """What happened."""

    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EDITED = "EDITED"
    STEP_SUCCEEDED = "STEP_SUCCEEDED"
    STEP_FAILED = "STEP_FAILED"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    EXPIRED = "EXPIRED"
    WON = "WON"
    LOST = "LOST"


DOWNSTREAM: Final = frozenset({OutcomeKind.WON, OutcomeKind.LOST})
"""Kinds that come from elsewhere; every other reports an event of ours."""

OF_PERSONS: Final = frozenset({OutcomeKind.APPROVED, OutcomeKind.REJECTED, OutcomeKind.EDITED})
"""Kinds of what people did."""


class EventRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An event on record: the number of its record, and its place there from 0."""

    seq: int
    index: int


class _Kind(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"
):
    """A kind of outcome; its name stands under ``kind``."""


class _OfPlan(_Kind, frozen=True, kw_only=True):
    plan_id: str
    event: EventRef
    at: str
    account_id: str | None = None


class _OfPerson(_OfPlan, frozen=True, kw_only=True):
    actor_id: str


class _OfStep(_OfPlan, frozen=True, kw_only=True):
    step_id: str
    attempt: int
    reason: str | None = None
    late: bool = False


class _End(_OfPlan, frozen=True, kw_only=True):
    reason: str | None = None


class _Downstream(_Kind, frozen=True, kw_only=True):
    account_id: str
    opportunity_id: str
    source: str
    closed_at: str
    amount: str | None = None
    currency: str | None = None
    note: str | None = None
    plan_id: str | None = None


class Approved(_OfPerson, frozen=True, kw_only=True, tag="APPROVED"):
    """A person approved a plan."""


class Rejected(_OfPerson, frozen=True, kw_only=True, tag="REJECTED"):
    """A person rejected a plan."""


class Edited(_OfPerson, frozen=True, kw_only=True, tag="EDITED"):
    """A person changed a plan before it ran."""


class StepSucceeded(_OfStep, frozen=True, kw_only=True, tag="STEP_SUCCEEDED"):
    """An attempt of a step did what it should."""


class StepFailed(_OfStep, frozen=True, kw_only=True, tag="STEP_FAILED"):
    """An attempt of a step did not, or nobody knows."""


class Completed(_End, frozen=True, kw_only=True, tag="COMPLETED"):
    """A plan came to its end."""


class Aborted(_End, frozen=True, kw_only=True, tag="ABORTED"):
    """A plan was broken off."""


class Expired(_End, frozen=True, kw_only=True, tag="EXPIRED"):
    """A plan was not done in time."""


class Won(_Downstream, frozen=True, kw_only=True, tag="WON"):
    """An opportunity was won, says a source outside. ``amount`` is money of ``currency``, ``note`` what people wrote (L6)."""


class Lost(_Downstream, frozen=True, kw_only=True, tag="LOST"):
    """An opportunity was lost, says a source outside."""


PlanOutcome = Approved | Rejected | Edited | StepSucceeded | StepFailed | Completed | Aborted | Expired
DownstreamOutcome = Won | Lost
Outcome = PlanOutcome | DownstreamOutcome


class OutcomeRow(msgspec.Struct, frozen=True):
    """One outcome as the ledger has it: the row, which a fold of the records gives again.

    ``body`` holds what its kind says besides: codes, ids, amounts, and content by hash.
    """

    outcome_id: str
    idempotency_key: str
    seq: int
    kind: str
    plan_id: str | None
    account_id: str | None
    opportunity_id: str | None
    actor_id: str | None
    event_seq: int | None
    event_index: int | None
    at_ms: int
    body: dict[str, Any]


def plan_key(kind: OutcomeKind, event: EventRef) -> str:
    """Return the idempotency key of an outcome that reports an event (O4)."""
    return f"plan:{kind}:{event.seq}.{event.index}"


def downstream_key(kind: OutcomeKind, source: str, opportunity_id: str) -> str:
    """Return the idempotency key of an outcome that a source tells of (O4)."""
    return f"{source}:{opportunity_id}:{kind}"


def kind_of(outcome: Outcome) -> OutcomeKind:
    """Return the kind of an outcome."""
    return OutcomeKind(str(outcome.__struct_config__.tag))


_NEEDS: Final = {
    "plan_id": "an outcome of a plan names it",
    "event": 'an outcome of a plan points to the event that it reports, as {"seq": 12, "index": 0}',
    "actor_id": "what a person did names the person",
    "account_id": "an outcome of an opportunity names the account",
    "opportunity_id": "without it, it could be joined with nothing",
}


def parse_outcome(document: Any) -> Outcome:
    """Return the outcome that a JSON object states.

    Raises:
        ContextError: not an object, an unknown kind or key, a wrong type, or what it would be joined by is missing (O3). The
            message names the place and what to write.
    """
    if not isinstance(document, dict):
        raise ContextError("", "an outcome is an object with a `kind`")
    try:
        outcome: Outcome = msgspec.convert(document, Outcome)
    except msgspec.ValidationError as error:
        raise _mistake(str(error)) from None
    return require_sound(outcome)


def _mistake(message: str) -> ContextError:
    said, _, place = message.partition(" - at `$")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", said)
    if missing and missing[1] == "kind":
        return ContextError("kind", f"is missing; write one of {', '.join(OutcomeKind)}")
    if missing:
        why = _NEEDS.get(missing[1])
        return ContextError(missing[1], f"is missing{f'; {why}' if why else ''}")
    if said.startswith("Invalid value '") and place.startswith(".kind"):
        return ContextError("kind", f"`{said[15:-1]}` is no kind of outcome; write one of {', '.join(OutcomeKind)}")
    return ContextError(place.rstrip("`").lstrip("."), said[:1].lower() + said[1:])


def require_sound(outcome: Outcome) -> Outcome:
    """Return the outcome, whose values are what they should be.

    Raises:
        ContextError: one is not.
    """
    for name in ("plan_id", "account_id", "opportunity_id", "actor_id", "step_id"):
        value = getattr(outcome, name, None)
        if value is not None and not 0 < len(value) <= ID_LENGTH_MAX:
            raise ContextError(name, f"has {len(value)} characters; use 1 to {ID_LENGTH_MAX}")
    if isinstance(outcome, Won | Lost):
        _require_downstream(outcome)
    elif parse_instant(outcome.at) is None:
        raise ContextError("at", _NO_INSTANT)
    return outcome


_NO_INSTANT = "names no instant; write RFC 3339 with an offset, as in 2026-12-22T10:00:00Z"


def _require_downstream(outcome: DownstreamOutcome) -> None:
    if SOURCE.fullmatch(outcome.source) is None:
        raise ContextError("source", f"`{outcome.source[:80]}` is no name; use letters, digits, `_`, `.` and `-`")
    if parse_instant(outcome.closed_at) is None:
        raise ContextError("closed_at", _NO_INSTANT)
    if outcome.note is not None and len(outcome.note) > NOTE_LENGTH_MAX:
        raise ContextError("note", f"has {len(outcome.note)} characters; the limit is {NOTE_LENGTH_MAX}")
    if (outcome.amount is None) != (outcome.currency is None):
        raise ContextError("amount", "an amount and its currency go together; write both or neither")
    if outcome.amount is not None and outcome.currency is not None:
        if not is_currency(outcome.currency):
            raise ContextError("currency", f"`{outcome.currency[:20]}` is no currency; write three letters, as USD")
        parse_stated({outcome.currency: outcome.amount}, "amount")


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(Outcome)
