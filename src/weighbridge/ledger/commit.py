"""The kernel: what one submission does to one tenant's ledger, decided inside the store's transaction. Pure.

`decide` reads the state through a `View` and returns either `Replay` (it is already on record, G3) or `Effects` (the record
and every row that follows from it). A store locks, reads, writes and commits; it never decides. So every store gives the same
bytes for the same submissions in the same order, and a fold over the records (``ledger.fold``) gives the same rows.

Identities have four kinds: ``run`` and ``op``, which bind an id to the hash of its request, ``end``, which binds an
operation to its reported outcome, and ``use``, to its reported consumption, so that a report that is repeated is one report.
What a reservation does to counters is decided in ``ledger.reserving``, what a move does to a plan in ``ledger.planning``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from weighbridge.budgets.decide import Counter
from weighbridge.domain.instant import format_instant
from weighbridge.domain.outcome import OutcomeRow
from weighbridge.domain.plan import PlanState
from weighbridge.domain.principal import is_among
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, NotFound, TenantMismatch, UsageError
from weighbridge.ledger import capturing, chain, plan_refusals, planning, record, reserving
from weighbridge.ledger.plan_moves import Planned
from weighbridge.ledger.submission import (
    BlockedProposal,
    Committed,
    Consumption,
    Head,
    Identity,
    PlanMove,
    Reservation,
    RetryAuthorisation,
    RunDraft,
    Submission,
    Usage,
    View,
)

_Named = tuple[str, str, str]  # kind, id, request hash

_INSTANT_MS_MAX = 253_402_300_799_999  # the end of year 9999, beyond which RFC 3339 has no text
_NO_INSTANT = "an instant lies outside 1970 to 9999"
_OUTCOMES = frozenset({"COMPLETED", "FAILED"})


class Replay(msgspec.Struct, frozen=True):
    """It is on record already, as ``seq``. ``names`` must be exactly what that record binds together (G10)."""

    seq: int
    names: frozenset[_Named] | None = None
    state: str | None = None


class Effects(msgspec.Struct, frozen=True, gc=False):
    """Everything one record changes. ``identities`` are new ones and operations whose state changed.

    ``counters`` and ``consumption`` are whole rows, by name; ``families`` replace those that counted, None where they stay.
    ``plans`` and ``outcomes`` are whole rows.
    """

    tenant_id: str
    head: Head
    leaf_hash: bytes
    body: bytes
    identities: tuple[tuple[str, str, Identity], ...]
    blocked: tuple[tuple[str, str, BlockedProposal], ...]
    authorisations: tuple[tuple[str, str, RetryAuthorisation], ...]
    subjects: tuple[tuple[str, str], ...]
    contents: tuple[tuple[str, bytes], ...]
    erases: tuple[str, ...]
    state: str | None
    counters: tuple[tuple[str, Counter], ...] = ()
    consumption: tuple[tuple[str, Consumption], ...] = ()
    families: tuple[str, ...] | None = None
    plans: tuple[PlanState, ...] = ()
    outcomes: tuple[OutcomeRow, ...] = ()

    @property
    def committed(self) -> Committed:
        """Return what the caller is told once this is durable."""
        return Committed(self.head.seq, self.head.hash, self.body, state=self.state)


def decide(
    submission: Submission, view: View, *, purpose: str | None = None, erases: tuple[str, ...] = ()
) -> Effects | Replay:
    """Return what ``submission`` does to the tenant that ``view`` shows.

    ``purpose`` is the store's and goes into record 1. ``erases`` are the content hashes a `CONTENT_ERASED` removes.

    Raises:
        IdempotencyConflict: an id is bound to another request or to another pairing of ids (G3, G10).
        NotFound: it completes an operation that was not allowed, authorises a retry of what was not blocked, or moves a plan that
            there is not.
        PlanRefused: what it does to a plan cannot be done now.
        UsageError: it cannot become a record at all (also CanonicalError).
    """
    _check(submission, erases)
    names = _names(submission)
    known = _known(submission, names, view)  # G3: identity is looked up before anything else
    return known if known is not None else _Kernel(submission, view, purpose, erases).effects(names)


def answer(replay: Replay, hash_: bytes, body: bytes) -> Committed:
    """Return the recorded answer.

    Raises:
        IdempotencyConflict: the record binds other ids together than were asked for (G10).
    """
    if replay.names is not None:
        recorded = bound(record.decode(body))
        for kind, identity, _ in sorted(replay.names ^ recorded):
            raise IdempotencyConflict(kind, identity, replay.seq)
    return Committed(replay.seq, hash_, body, replayed=True, state=replay.state)


def require_own(tenant_id: str, submission: Submission) -> None:
    """Refuse a submission that names another tenant than the call does (L5).

    Raises:
        TenantMismatch: it does.
    """
    if submission.tenant_id != tenant_id:
        raise TenantMismatch(f"the submission is of tenant `{submission.tenant_id}`, the call of `{tenant_id}`")


def bound(decoded: record.Record) -> frozenset[_Named]:
    """Return the ids of runs and operation that a record binds together, with the hashes of their requests."""
    names = {
        ("run", event.fields["validation_run_id"], event.fields["request_hash"])
        for event in record.events(decoded)
        if event.type == record.VALIDATOR_RUN_SUMMARY
    }
    if "operation_request_hash" in decoded.common:
        names.add(("op", decoded.common["operation_id"], decoded.common["operation_request_hash"]))
    return frozenset(names)


def _check(submission: Submission, erases: tuple[str, ...]) -> None:
    judged = bool(submission.runs) or submission.reservation is not None
    moves = (submission.plan is not None and not judged) or submission.outcome is not None
    capturing.check(submission)
    if judged == bool(submission.events) and not moves:
        raise UsageError("a record holds either a decision or other events; submit one of the two")
    if judged and submission.policy_version is None:
        raise UsageError("a decision comes with the policy version it was taken by")
    if submission.operation is not None and not judged:
        raise UsageError("only a decision binds an operation; say what it is about in `common`")
    if submission.reservation is not None:
        _check_reservation(submission.reservation, submission)
    if submission.usage is not None:
        _check_usage(submission.usage, submission)
    if not 0 <= submission.evaluation_time_ms <= _INSTANT_MS_MAX:
        raise UsageError(_NO_INSTANT)
    plan_refusals.check(submission)
    does = (submission.completes, submission.usage, submission.authorises)
    if submission.events or erases or does != (None, None, None):
        _check_events(submission, erases)


def _check_events(submission: Submission, erases: tuple[str, ...]) -> None:
    if submission.authorises is not None and not 0 <= submission.authorises[3] <= _INSTANT_MS_MAX:
        raise UsageError(_NO_INSTANT)
    if submission.completes is not None and submission.completes[1] not in _OUTCOMES:
        raise UsageError(f"an operation ends as COMPLETED or FAILED, not `{submission.completes[1]}`")
    wanted = {
        record.OPERATION_COMPLETED: submission.completes is not None,
        record.USAGE_REPORTED: submission.usage is not None,
        record.RETRY_AUTHORISED: submission.authorises is not None,
        record.CONTENT_ERASED: bool(erases),
    }
    types = [event.get("type") for event in submission.events]
    for event_type, count in wanted.items():
        if types.count(event_type) != count:
            raise UsageError(f"a `{event_type}` event and what it does belong together, once")


def _check_reservation(reservation: Reservation, submission: Submission) -> None:
    if submission.operation is None:
        raise UsageError("a reservation belongs to an operation: name it")
    if min(reservation.amounts.values(), default=0) < 0:
        raise UsageError("a reservation is of no less than nothing")
    if reservation.cost_class is None and not reservation.findings:
        raise UsageError("a reservation without a cost class is a BLOCK: say why")
    common = submission.common
    if (common.get("account_id"), common.get("plan_id")) != (reservation.account_id, reservation.plan_id):
        raise UsageError("a reservation is on behalf of the account and plan that its record names")
    # B14: what is moved must be what counts; a cap that the activation does not know would be counted by nobody.
    families = submission.terms.families if submission.terms is not None else ()
    if not families and reservation.applicable:
        raise UsageError("a reservation under caps comes with the terms of its policy")


def _check_usage(usage: Usage, submission: Submission) -> None:
    if min(usage.consumed.values(), default=0) < 0:
        raise UsageError("an operation consumes no less than nothing")
    if submission.completes is not None and usage.operation_id != submission.completes[0]:
        raise UsageError("what is completed and what was used are of one operation")


def _names(submission: Submission) -> list[_Named]:
    names = [("run", run.validation_run_id, run.request_hash) for run in submission.runs]
    if submission.operation is not None:
        names.insert(0, ("op", *submission.operation))
    if len(names) > 1 and len({(kind, identity) for kind, identity, _ in names}) < len(names):
        raise UsageError("one id stands twice in one request; give every run its own")
    return names


def _known(submission: Submission, names: list[_Named], view: View) -> Replay | None:
    """Return the replay where every id is known for the same request in the same record; None where none is known."""
    if submission.outcome is not None:
        said = capturing.known(submission.outcome, view)
        return None if said is None else Replay(said)
    if submission.completes is not None:
        return _known_end(*submission.completes, view)
    if submission.usage is not None:
        return _known_use(submission.usage, view)
    if submission.authorises is not None:
        return _known_authorisation(submission.authorises, _giver(submission), view)
    found = [view.identity(kind, identity) for kind, identity, _ in names]
    first = next((identity for identity in found if identity is not None), None)
    if first is None:
        moved = planning.known(submission, view) if submission.plan is not None else None
        return None if moved is None else Replay(moved)
    for (kind, name, request_hash), identity in zip(names, found, strict=True):
        if identity is None or identity.request_hash != request_hash or identity.seq != first.seq:
            raise IdempotencyConflict(kind, name, identity.seq if identity is not None else first.seq)
    if submission.plan is not None and not planning.holds(submission.plan, view.body(first.seq)):
        raise IdempotencyConflict(*names[0][:2], first.seq)  # it was judged under this id, and moved no plan
    # G10: whether the record binds exactly these is seen when it is read, in `answer`.
    return Replay(first.seq, frozenset(names), first.state)


def _known_end(operation_id: str, state: str, view: View) -> Replay | None:
    operation = view.identity("op", operation_id)
    if operation is None or operation.state == "BLOCKED":
        why = "was blocked" if operation is not None else "is not on record"
        raise NotFound(f"operation `{operation_id}` {why}; only an allowed operation can be completed")
    end = view.identity("end", operation_id)
    if end is None:
        return None
    if end.request_hash != state:
        raise IdempotencyConflict("op", operation_id, end.seq)
    return Replay(end.seq, state=operation.state)


def _known_use(usage: Usage, view: View) -> Replay | None:
    operation = view.identity("op", usage.operation_id)
    if operation is None or operation.state == "BLOCKED":
        why = "was blocked" if operation is not None else "is not on record"
        raise NotFound(f"operation `{usage.operation_id}` {why}; only an allowed operation consumes something")
    known = view.identity("use", usage.operation_id)
    if known is None:
        return None
    if known.request_hash != usage.request_hash:
        raise IdempotencyConflict("use", usage.operation_id, known.seq)
    return Replay(known.seq, state=operation.state)


def _known_authorisation(wanted: tuple[str, str, str, int], by: str, view: View) -> Replay | None:
    choke_point, proposal_hash, inputs_hash, expires_ms = wanted
    if view.blocked(choke_point, proposal_hash) is None:
        raise NotFound(f"no blocked proposal `{proposal_hash}` at {choke_point}; only what was blocked needs a retry")
    given = view.authorisation(choke_point, proposal_hash)
    if (
        given is not None
        and given.used_seq is None
        and (given.inputs_hash, given.expires_ms, given.by) == (inputs_hash, expires_ms, by)
    ):
        return Replay(given.seq)  # said twice is said once: it allows one use
    return None


def _giver(submission: Submission) -> str:
    """Return who authorises (G8)."""
    by = submission.common.get("actor", {}).get("id")
    if not isinstance(by, str) or not by:
        raise UsageError("a retry is authorised by somebody: name the actor")
    return by


class _Kernel:
    """One submission on its way to one record."""

    def __init__(self, submission: Submission, view: View, purpose: str | None, erases: tuple[str, ...]) -> None:
        self._submission, self._view = submission, view
        self._erases = tuple(sorted(set(erases))) if erases else ()
        self._policy_version = submission.policy_version or ""
        self._previous = view.head()
        self._seq = self._previous.seq + 1
        self._purpose = purpose if self._seq == 1 else None
        self._blocked: dict[tuple[str, str], BlockedProposal] = {}
        self._authorisations: dict[tuple[str, str], RetryAuthorisation] = {}
        self._identities: list[tuple[str, str, Identity]] = []
        self._related: list[tuple[str, str]] = []
        self._rows = reserving.Rows(view)
        self._contents = submission.contents
        self._usage = submission.usage
        if (
            submission.completes is not None
            and submission.usage is not None
            and view.identity("use", submission.usage.operation_id)
        ):
            self._usage = (
                None  # B7: settled once; what was reported first counts, and the completion is told all the same
            )
        self._zones = self._previous.zones
        self._state: str | None = None
        self._ours = False
        self._verdict = Verdict.ALLOW
        self._planning = planning.Planning(submission, view, self._seq)

    def effects(self, names: list[_Named]) -> Effects:
        submission = self._submission
        for content_hash in self._erases:
            if not self._view.has_content(content_hash):
                raise NotFound(f"no content `{content_hash}`; nothing was erased")
        common = self._common()
        events = self._leading_events()
        self._ours = not events and not submission.runs and submission.reservation is not None
        events += self._decided() if names else self._told()
        planned = self._planning.concluded(self._verdict)
        outcomes: tuple[OutcomeRow, ...] = ()
        if submission.outcome is not None:
            event, row = capturing.captured(submission.outcome, self._view, self._seq)
            events, outcomes = [*events, event], (row,)
        if submission.plan is not None:
            events += [planned.event] if planned.event is not None else []
            self._ours = False
            self._leave_out_unnamed(submission.plan, planned)
        self._bind(names)
        binds = bool(names) or submission.completes is not None or submission.usage is not None
        derived = record.common_subjects(common, binds=binds)
        extra = sorted({*submission.subjects}.difference(derived)) if submission.subjects else []
        body = record.encode(
            submission.tenant_id, self._seq, common, events, subjects=extra, purpose=self._purpose, ours=self._ours
        )
        self._require_named(body)
        leaf = chain.leaf_hash(body)
        return Effects(
            tenant_id=submission.tenant_id,
            head=self._next_head(chain.link(self._previous.hash, self._seq, leaf)),
            leaf_hash=leaf,
            body=body,
            identities=tuple(self._identities),
            blocked=tuple([(*key, block) for key, block in self._blocked.items()]),
            authorisations=tuple([(*key, given) for key, given in self._authorisations.items()]),
            subjects=tuple(dict.fromkeys(derived + extra + self._related)),
            contents=self._contents,
            erases=self._erases,
            state=self._state,
            counters=tuple(self._rows.counters.items()),
            consumption=tuple(self._rows.cells.items()),
            families=self._rows.families,
            plans=() if planned.row is None else (planned.row,),
            outcomes=outcomes,
        )

    def _leave_out_unnamed(self, move: PlanMove, planned: Planned) -> None:
        """L6: no record points to what was said for a move that did not come about."""
        if planned.event is None:
            left_out = {*move.content.values()}
            judged = {hashed for run in self._submission.runs for hashed in run.summary.get("content", {}).values()}
            self._contents = tuple(kept for kept in self._contents if kept[0] not in left_out - judged)

    def _common(self) -> dict[str, Any]:
        """Return what stands on every event. What rows follow from is written here, so that a fold finds it."""
        submission = self._submission
        common = {
            **submission.common,
            "evaluation_time": format_instant(submission.evaluation_time_ms),
            "time_source": submission.time_source,
        }
        if submission.policy_version is not None:
            common["policy_version"] = submission.policy_version
        if submission.operation is not None:
            common["operation_id"], common["operation_request_hash"] = submission.operation
        if len(submission.runs) == 1:
            common.update(_run_fields(submission.runs[0]))
        return common

    def _leading_events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if self._submission.refusals:  # G2: refusals are summed into the tenant's next record
            events.append({"type": record.REFUSALS, "counts": self._submission.refusals})
        version, previous = self._submission.policy_version, self._previous.policy_version
        if version is not None and version != previous:  # L2: every policy change
            budget, self._zones = reserving.activate(
                self._submission.terms, self._zones, self._activation_ms(), self._rows, self._view
            )
            activated = {"type": record.POLICY_ACTIVATED, "policy_version": version, "previous": previous}
            events.append(activated | budget)
        elif self._submission.reservation is not None:
            terms = self._submission.terms
            if self._view.families() != (terms.families if terms is not None else ()):
                raise UsageError(f"policy version `{version}` counts something else than when it was activated")
        return events

    def _activation_ms(self) -> int:
        """Return when a policy comes into force: a clock that stepped back moves no period that is under way (B9)."""
        submission, last = self._submission, self._previous.last_time_ms
        if submission.time_source != "clock" or last is None:
            return submission.evaluation_time_ms
        return max(last, submission.evaluation_time_ms)

    def _decided(self) -> list[dict[str, Any]]:
        """Return the events of every run, and then of the budget, which is not asked where a run is a BLOCK (B11, G10)."""
        events, verdict = self._judged()
        reservation = self._submission.reservation
        if reservation is not None and verdict is not Verdict.BLOCK:
            # A run beside it has said that the clock stepped back, or that the plan is not under way, and blocked.
            alone = not self._submission.runs
            findings = [*self._clock_findings(), *self._planning.reservation_findings()] if alone else []
            instant_ms = self._submission.evaluation_time_ms
            reserved = reserving.reserve(reservation, self._zones, instant_ms, self._rows, findings)
            events.append(reserved.event)
            verdict, self._ours = reserved.verdict, self._ours and not reserved.event["findings"]
        elif reservation is not None:  # L6: no record points to the reason for a reservation that was not asked for
            self._contents = tuple(kept for kept in self._contents if kept[0] != reservation.justification)
        self._verdict = verdict
        if self._submission.operation is not None:
            # G10: the strictest of all; a BLOCK consumes the operation id.
            self._state = "BLOCKED" if verdict is Verdict.BLOCK else "PENDING"
        return events

    def _told(self) -> list[dict[str, Any]]:
        """Return the events of facts that are no decision; a report of use says what it does to the counters."""
        events = [self._completed(event) for event in self._submission.events if event["type"] != record.USAGE_REPORTED]
        usage = self._usage
        if usage is None:
            return events
        operation = self._view.identity("op", usage.operation_id)
        reported = None if operation is None else reserving.reservation_of(self._view.body(operation.seq))
        if reported is None:
            raise NotFound(f"nothing was reserved for operation `{usage.operation_id}`; its use belongs to no budget")
        families = self._view.families() if self._rows.families is None else self._rows.families
        told = reserving.report(reported, usage, self._rows, families)
        return events + [{"operation_id": usage.operation_id, **event} for event in told]

    def _judged(self) -> tuple[list[dict[str, Any]], Verdict]:
        events: list[dict[str, Any]] = []
        alone = len(self._submission.runs) == 1
        verdicts = []
        for run in self._submission.runs:
            summary = self._summary(run)
            verdicts.append(summary["result"])
            fields = {} if alone else _run_fields(run)
            events += [{**fields, **event} for event in (*run.events, summary)]
        return events, Verdict.BLOCK if Verdict.BLOCK in verdicts else Verdict.ALLOW

    def _summary(self, run: RunDraft) -> dict[str, Any]:
        findings = [*run.findings, *self._planning.findings(run), *self._clock_findings()]
        summary: dict[str, Any] = {
            **run.summary,
            "type": record.VALIDATOR_RUN_SUMMARY,
            "request_hash": run.request_hash,
            "inputs_hash": run.inputs_hash,
            "proposal_hash": run.proposal_hash,
        }
        self._retry(run, summary, findings)
        verdict = Verdict.BLOCK if findings else run.verdict
        summary["findings"], summary["result"] = findings, str(verdict)
        if verdict is Verdict.BLOCK and not _passes(run, findings):
            self._blocked[run.choke_point, run.proposal_hash] = BlockedProposal(
                run.validation_run_id, run.inputs_hash, self._policy_version, self._seq
            )
        return summary

    def _clock_findings(self) -> list[dict[str, Any]]:
        """Return the finding for a live request whose time lies behind the tenant's last record (B9)."""
        submission, last = self._submission, self._previous.last_time_ms
        if submission.time_source != "clock" or last is None:
            return []
        behind = last - submission.evaluation_time_ms
        if behind <= submission.max_clock_skew_ms:
            return []
        details = {"behind_ms": behind, "max_clock_skew_ms": submission.max_clock_skew_ms}
        return [{"reason": record.CLOCK_STEPPED_BACK, "details": details}]

    def _retry(self, run: RunDraft, summary: dict[str, Any], findings: list[dict[str, Any]]) -> None:
        """Say what a run retries; with nothing changed it needs an authorisation, which it uses up (G8)."""
        key = (run.choke_point, run.proposal_hash)
        before = self._blocked.get(key) or self._view.blocked(*key)
        if before is None:
            return
        summary["retry_of"] = before.validation_run_id
        self._related.append(("run", before.validation_run_id))
        if (before.inputs_hash, before.policy_version) != (run.inputs_hash, self._policy_version):
            return
        given = self._authorisations.get(key) or self._view.authorisation(*key)
        if given is not None and self._valid(given, run.inputs_hash):
            summary["retry_authorised_by"] = given.seq
            self._authorisations[key] = msgspec.structs.replace(given, used_seq=self._seq)
        else:
            findings.append({"reason": "RETRY_NOT_AUTHORISED", "details": {"retry_of": before.validation_run_id}})

    def _valid(self, given: RetryAuthorisation, inputs_hash: str) -> bool:
        common = self._submission.common
        proposers = {common.get(who, {}).get("id") for who in ("actor", "principal")}
        plan = self._view.plan(common["plan_id"]) if isinstance(common.get("plan_id"), str) else None
        if plan is not None:
            proposers.update(plan.proposers)  # G8: of a step, whoever wrote the plan proposed it
        unused = given.used_seq is None and given.inputs_hash == inputs_hash
        # G8: nobody uses the leave they gave, whoever's proposal it was given for.
        return unused and not is_among(given.by, proposers) and given.expires_ms > self._submission.evaluation_time_ms

    def _completed(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return an event together with what it does, so that the record says all that follows from it."""
        submission = self._submission
        if event["type"] == record.OPERATION_COMPLETED and submission.completes is not None:
            operation_id, state = submission.completes
            return {**event, "operation_id": operation_id, "state": state}
        if event["type"] == record.RETRY_AUTHORISED and submission.authorises is not None:
            return {**event, **self._authorise(*submission.authorises)}
        if event["type"] == record.CONTENT_ERASED:
            return {**event, "hashes": list(self._erases)}
        return event

    def _authorise(self, choke_point: str, proposal_hash: str, inputs_hash: str, expires_ms: int) -> dict[str, Any]:
        before = self._view.blocked(choke_point, proposal_hash)
        if before is None:
            raise NotFound(f"no blocked proposal `{proposal_hash}` at {choke_point}")
        given = RetryAuthorisation(inputs_hash, expires_ms, _giver(self._submission), self._seq)
        self._authorisations[choke_point, proposal_hash] = given
        self._related.append(("run", before.validation_run_id))
        return {
            "choke_point": choke_point,
            "proposal_hash": proposal_hash,
            "inputs_hash": inputs_hash,
            "expires_at": format_instant(expires_ms),
            "retry_of": before.validation_run_id,
        }

    def _bind(self, names: list[_Named]) -> None:
        for kind, identity, request_hash in names:
            state = self._state if kind == "op" else None
            self._identities.append((kind, identity, Identity(request_hash, self._seq, state)))
        if self._submission.completes is not None:
            operation_id, self._state = self._submission.completes
            operation = self._view.identity("op", operation_id)
            if operation is not None:
                self._identities.append(("op", operation_id, msgspec.structs.replace(operation, state=self._state)))
            self._identities.append(("end", operation_id, Identity(self._state, self._seq)))
        usage = self._usage
        if usage is not None:
            self._identities.append(("use", usage.operation_id, Identity(usage.request_hash, self._seq)))

    def _require_named(self, body: bytes) -> None:
        # L6: content is written with the record that points to it, and never without one.
        for content_hash, _ in self._contents:
            if content_hash.encode() not in body:
                raise UsageError(f"content `{content_hash}` is handed in, but the record does not name it")

    def _next_head(self, hash_: bytes) -> Head:
        last = self._previous.last_time_ms
        if self._submission.time_source == "clock":
            time = self._submission.evaluation_time_ms
            last = time if last is None else max(last, time)
        version = self._submission.policy_version or self._previous.policy_version
        return Head(self._seq, hash_, last, version, self._zones)


def _passes(run: RunDraft, findings: list[dict[str, Any]]) -> bool:
    """Return whether a BLOCK is only about the moment or the way it was asked.

    G8: asking for the same thing as it was approved, or when the clock is right again, is no retry of it.
    """
    judged = any(event.get("result") == Verdict.BLOCK for event in run.events)
    return not judged and bool(findings) and all(found["reason"] in record.PASSING for found in findings)


def _run_fields(run: RunDraft) -> dict[str, Any]:
    return {**run.fields, "validation_run_id": run.validation_run_id, "choke_point": run.choke_point}
