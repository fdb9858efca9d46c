"""Capturing outcomes: write-only (O1).

An outcome is a record of its own, written after what it reports has committed (O2), and once, however often it is said (O4).
Nothing here reads an outcome; whoever wants to know asks `outcomes.reader`, which nothing that decides may import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from weighbridge import canonical
from weighbridge.domain.context import Actor
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.outcome import (
    OF_PERSONS,
    EventRef,
    Lost,
    Outcome,
    OutcomeKind,
    PlanOutcome,
    Won,
    downstream_key,
    kind_of,
    parse_outcome,
    plan_key,
    require_sound,
)
from weighbridge.errors import ContextError, WeighbridgeError
from weighbridge.ledger import capturing, record
from weighbridge.ledger.submission import Committed, OutcomeDraft, Submission

RecordMany = Callable[[Sequence[Submission]], list[Committed | WeighbridgeError]]
"""Records submissions in order; each one's answer or error stands in its place (`Recorder.record_many`)."""

_OF_STEPS: Final = frozenset({OutcomeKind.STEP_SUCCEEDED, OutcomeKind.STEP_FAILED})


class Setting(msgspec.Struct, frozen=True):
    """What a record of a tenant says besides: its content key, and under what it was written."""

    key: bytes
    engine_version: str | None = None
    policy_version: str | None = None


class Captured(msgspec.Struct, frozen=True):
    """An outcome on record. ``duplicate``: it was there already, under the id and the record that are told (O4)."""

    outcome_id: str
    seq: int
    duplicate: bool = False


class Capture:
    """Writes outcomes of any tenant. Safe to call from many threads."""

    def __init__(
        self,
        record_many: RecordMany,
        setting_of: Callable[[str], Setting],
        *,
        clock_ms: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        self._record_many = record_many
        self._setting_of = setting_of
        self._clock_ms = clock_ms
        self._new_id = new_id

    def capture(self, tenant_id: str, outcome: Outcome, *, by: Actor) -> Captured:
        """Record one outcome, told by ``by``; one that was told before is answered as it was.

        Raises:
            ContextError: it holds what it cannot.
            NotFound: the event that it reports is not on record, or says something else (O2).
            Refusal: it could not be recorded; say it again, or let the sweep find it.
        """
        (answer,) = self.capture_many(tenant_id, [outcome], by=by)
        if isinstance(answer, WeighbridgeError):
            raise answer
        return answer

    def capture_many(
        self, tenant_id: str, outcomes: Sequence[Outcome], *, by: Actor
    ) -> list[Captured | WeighbridgeError]:
        """Record many outcomes in order; an error stands in its outcome's place."""
        setting, answers = self._setting_of(tenant_id), list[Captured | WeighbridgeError | None]()
        submissions = []
        for outcome in outcomes:
            try:
                submissions.append(self._submission(tenant_id, require_sound(outcome), by, setting))
                answers.append(None)
            except WeighbridgeError as error:
                answers.append(error)
        recorded = iter(self._record_many(submissions) if submissions else ())
        return [_captured(next(recorded)) if answer is None else answer for answer in answers]

    def capture_events(self, tenant_id: str, body: bytes, *, by: Actor) -> list[Captured | WeighbridgeError]:
        """Record what the events of a committed record are to be followed by; most records by nothing (O2)."""
        outcomes = [*outcomes_of(body)]
        return self.capture_many(tenant_id, outcomes, by=by) if outcomes else []

    def _submission(self, tenant_id: str, outcome: Outcome, by: Actor, setting: Setting) -> Submission:
        now_ms = self._clock_ms()
        draft, contents = _drafted(outcome, self._new_id(), setting.key)
        about = {
            "engine_version": setting.engine_version,
            "policy_version": setting.policy_version,
            "plan_id": draft.plan_id,
            "account_id": draft.account_id,
            "step_id": draft.details.get("step_id"),
        }
        return Submission(
            tenant_id=tenant_id,
            common={
                "actor": {"id": by.id, "role": by.role.value},
                **{name: value for name, value in about.items() if value is not None},
            },
            evaluation_time_ms=now_ms,
            time_source="clock",
            max_clock_skew_ms=0,  # of decisions, and this is none
            outcome=draft,
            subjects=() if draft.opportunity_id is None else (("opportunity", draft.opportunity_id),),
            contents=contents,
        )


def _captured(answer: Committed | WeighbridgeError) -> Captured | WeighbridgeError:
    if isinstance(answer, WeighbridgeError):
        return answer
    return Captured(capturing.outcome_id(answer.body), answer.seq, answer.replayed)


def _drafted(outcome: Outcome, outcome_id: str, key: bytes) -> tuple[OutcomeDraft, tuple[tuple[str, bytes], ...]]:
    kind = kind_of(outcome)
    if not isinstance(outcome, Won | Lost):
        return _of_plan(kind, outcome, outcome_id), ()
    details = {
        name: value for name in ("source", "amount", "currency") if (value := getattr(outcome, name)) is not None
    }
    idempotency_key = downstream_key(kind, outcome.source, outcome.opportunity_id)
    contents: tuple[tuple[str, bytes], ...] = ()
    if outcome.note:
        # L6: content of its own, so that erasing it takes no other outcome's note away.
        note = canonical.encode({"note": outcome.note, "of": idempotency_key})
        contents = ((canonical.keyed_hash(key, note), note),)
    draft = OutcomeDraft(
        kind=kind.value,
        outcome_id=outcome_id,
        idempotency_key=idempotency_key,
        at_ms=_instant(outcome.closed_at),
        plan_id=outcome.plan_id,
        account_id=outcome.account_id,
        opportunity_id=outcome.opportunity_id,
        details=details,
        content={"note": contents[0][0]} if contents else {},
    )
    return draft, contents


def _of_plan(kind: OutcomeKind, outcome: PlanOutcome, outcome_id: str) -> OutcomeDraft:
    said = {name: getattr(outcome, name, None) for name in ("step_id", "attempt", "reason")}
    details = {name: value for name, value in said.items() if value is not None}
    return OutcomeDraft(
        kind=kind.value,
        outcome_id=outcome_id,
        idempotency_key=plan_key(kind, outcome.event),
        at_ms=_instant(outcome.at),
        plan_id=outcome.plan_id,
        account_id=outcome.account_id,
        actor_id=getattr(outcome, "actor_id", None),
        event=(outcome.event.seq, outcome.event.index),
        details=details | ({"late": True} if getattr(outcome, "late", False) else {}),
    )


def _instant(text: str) -> int:
    instant_ms = parse_instant(text)
    if instant_ms is None:
        raise ContextError("at", "names no instant; write RFC 3339 with an offset, as in 2026-12-22T10:00:00Z")
    return instant_ms


def outcomes_of(body: bytes) -> Iterator[Outcome]:
    """Yield the outcomes that the events of a committed record are to be followed by.

    Raises:
        LedgerCorrupt: it is no record (also RecordArchived).
    """
    for event in record.events(body):
        kind = capturing.implied(event)
        if kind is not None:
            yield parse_outcome(_document(kind, event))


def _document(kind: OutcomeKind, event: record.Event) -> dict[str, object]:
    said = event.fields
    document: dict[str, object] = {
        "kind": kind.value,
        "plan_id": said["plan_id"],
        "account_id": said.get("account_id"),
        "event": msgspec.to_builtins(EventRef(event.seq, event.index)),
        "at": said["evaluation_time"],
    }
    if kind in OF_PERSONS:
        document["actor_id"] = said["actor"]["id"]
    else:
        document["reason"] = said.get("reason")
    if kind in _OF_STEPS:
        document |= {"step_id": said["step_id"], "attempt": said["attempt"], "late": bool(said.get("late"))}
    return document
