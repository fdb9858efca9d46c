"""What people do that the ledger must tell of: authorise a retry, erase content, change the key that seals.

Every act is one record with who did it; what people write as a reason is content, not record (L6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge import canonical
from weighbridge.admission import Surroundings
from weighbridge.domain.context import Role
from weighbridge.domain.decision import GateDecision
from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.domain.plan import STEERERS
from weighbridge.domain.principal import Principal, is_among
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, NotFound, UsageError
from weighbridge.gateway import Engine
from weighbridge.ledger import record
from weighbridge.ledger.answer import gate_decisions, inputs_of
from weighbridge.ledger.submission import Submission
from weighbridge.recorder import Recorder

if TYPE_CHECKING:
    from weighbridge.storage.reading import LedgerReader

_VOUCHING = frozenset({Role.HOST, Role.ADMIN})


class Acts:
    """Records the acts of people on one store."""

    def __init__(
        self,
        recorder: Recorder,
        reader: LedgerReader,
        engine_of: Callable[[str], Engine],
        surroundings: Surroundings,
    ) -> None:
        self._recorder = recorder
        self._reader = reader
        self._engine_of = engine_of
        self._surroundings = surroundings

    def authorise_retry(self, tenant_id: str, run_id: str, by: Principal, reason: str, expires_at: str) -> int:
        """Permit one new judgement of a blocked proposal and return the record's number (G8).

        Raises:
            UsageError: ``by`` is no person with a role for it, or proposed it, or its plan; the reason is empty; the run was not
                blocked.
            ContextError: ``expires_at`` names no instant, or one that is past.
            NotFound: no such run.
        """
        rule = "a retry is authorised by a person other than the proposer"
        require_person(by, rule)
        if by.role not in STEERERS:  # G8: not an auditor, who only looks
            names = ", ".join(sorted(role.value for role in STEERERS))
            raise UsageError(f"`{by.id}` has the role `{by.role}`; {rule}, with one of the roles {names}")
        expires_ms = self._future(expires_at)
        body, decision = self._blocked(tenant_id, run_id)
        common = record.decode(body).common
        plan_id = common.get("plan_id")
        plan = self._reader.plan(tenant_id, plan_id) if isinstance(plan_id, str) else None
        proposers = {common["actor"]["id"], common.get("principal", {}).get("id"), *(plan.proposers if plan else ())}
        if is_among(by.id, proposers):
            raise UsageError(f"`{by.id}` proposed this action; another person authorises its retry")
        act = self._act(tenant_id, by, reason, {"type": "RETRY_AUTHORISED", "expires_at": format_instant(expires_ms)})
        choke_point = decision.choke_point.value
        of_run = {"choke_point": choke_point, "enforcement": decision.enforcement, "validation_run_id": run_id}
        # L4: it is part of the story of whatever the run was about.
        of_run |= {field: common[field] for _, field in record.SUBJECT_FIELDS if field in common}
        submission = msgspec.structs.replace(
            act,
            common=act.common | of_run,
            authorises=(choke_point, decision.proposal_hash, inputs_of(body, run_id), expires_ms),
        )
        return self._recorder.record(submission).seq

    def erase_content(self, tenant_id: str, hashes: tuple[str, ...], by: Principal, reason: str) -> int:
        """Remove content bodies and return the number of the record that says so.

        Raises:
            UsageError: ``by`` is no person; the reason or the list is empty.
            NotFound: one of the hashes is unknown.
            Refusal: it could not be recorded.
        """
        require_person(by, "content is erased by a person")
        if not hashes:
            raise ContextError("content_hashes", "is empty; name what is to be erased")
        submission = self._act(tenant_id, by, reason, {"type": "CONTENT_ERASED"})
        return self._recorder.erase(tenant_id, hashes, submission).seq

    def change_key(self, tenant_id: str, key: str, signing: tuple[str, ...], by: Principal, reason: str) -> int | None:
        """Record which key seals this ledger from now on, and return the record's number; None where that is on record.

        ``key`` is the public key as others list it, ``signing`` the ids of all that sign now, it first (L2).

        Raises:
            UsageError: ``by`` is no person.
            ContextError: the reason is empty.
            Refusal: it could not be recorded.
        """
        require_person(by, "which key seals is a person's decision")
        name, key_id, _ = key.split("+", 2)
        for seq in self._reader.find(tenant_id, key_id):
            stored = self._reader.record(tenant_id, seq)
            told = record.events(stored.body) if stored is not None else ()
            if any((event.type, event.fields.get("key")) == (record.KEY_CHANGED, key) for event in told):
                return None
        event = {"type": record.KEY_CHANGED, "origin": name, "key": key, "signing": list(signing)}
        act = msgspec.structs.replace(self._act(tenant_id, by, reason, event), subjects=(("key", key_id),))
        return self._recorder.record(act).seq

    def _future(self, expires_at: str) -> int:
        expires_ms = parse_instant(expires_at)
        if expires_ms is None:
            raise ContextError("expires_at", "names no instant; write RFC 3339 with an offset")
        if expires_ms <= self._surroundings.clock_ms():
            raise ContextError("expires_at", "lies in the past; an authorisation that never holds is none")
        return expires_ms

    def _blocked(self, tenant_id: str, run_id: str) -> tuple[bytes, GateDecision]:
        """Return the body of the record of a blocked run, and the run's decision."""
        known = self._reader.identity(tenant_id, "run", run_id)
        stored = self._reader.record(tenant_id, known.seq) if known else None
        if stored is None:
            raise NotFound(
                f"no run `{run_id}` is on record for tenant `{tenant_id}`; `weighbridge ledger tail` shows what is"
            )
        decisions = gate_decisions(stored.body, stored.hash, replayed=True)
        decision = next(one for one in decisions if one.validation_run_id == run_id)
        if decision.verdict is not Verdict.BLOCK:
            raise UsageError(f"run `{run_id}` was not blocked ({decision.verdict}); there is nothing to authorise")
        return stored.body, decision

    def _act(self, tenant_id: str, by: Principal, reason: str, event: dict[str, Any]) -> Submission:
        now_ms = self._surroundings.clock_ms()
        return act(tenant_id, self._engine_of(tenant_id), now_ms, by=by, reason=reason, event=event)


def act(
    tenant_id: str, engine: Engine, now_ms: int, *, by: Principal, reason: str, event: dict[str, Any]
) -> Submission:
    """Return the submission of an act of a person: who, when, and the reason as content.

    Raises:
        ContextError: the reason is empty.
    """
    reason_hash, stated = reason_content(engine.key, now_ms, by, reason)
    return Submission(
        tenant_id=tenant_id,
        common={
            "actor": {"id": by.id, "role": by.role.value},
            "engine_version": engine.version,
            "evaluation_time": format_instant(now_ms),
            "policy_version": engine.policy.policy_version,
            "time_source": "clock",
        },
        evaluation_time_ms=now_ms,
        time_source="clock",
        max_clock_skew_ms=engine.policy.max_clock_skew_ms,
        events=({**event, "content": {"reason": reason_hash}},),
        contents=((reason_hash, stated),),
    )


def reason_content(key: bytes, now_ms: int, by: Principal, reason: str) -> tuple[str, bytes]:
    """Return what a person says as content, by its hash: of its own, so that erasing it takes no other act's reason away (L6).

    Raises:
        ContextError: it is empty.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise ContextError("reason", "is empty; say why")
    stated = canonical.encode({"at": format_instant(now_ms), "by": by.id, "reason": reason})
    return canonical.keyed_hash(key, stated), stated


def require_person(by: Principal, rule: str) -> None:
    """Raise unless ``by`` is a person.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(by, Principal) or not by.person:
        name = by.id if isinstance(by, Principal) else by
        raise UsageError(f"`{name}` is no person; {rule}: pass Principal(id=..., person=True)")
    if by.role is Role.AUDITOR:
        raise UsageError(f"`{by.id}` is an auditor, who reads and changes nothing")


def on_behalf(credential: Principal, by: Principal) -> Principal:
    """Return who acts, as far as the credential vouches for them (Z1).

    A host or an admin authenticates the people behind it. Any other credential speaks for itself alone: an agent that names a
    person names nobody.

    Raises:
        UsageError: the credential is of somebody else, or an auditor's, who changes nothing.
    """
    if not isinstance(by, Principal):
        raise UsageError(f"`{by}` is no principal; pass by=Principal(id=..., role=...)")
    for one in (credential, by):
        if one.role is Role.AUDITOR:
            raise UsageError(f"`{one.id}` is an auditor, who reads and changes nothing")
    if credential.role in _VOUCHING:
        return by
    if (by.id, by.role) != (credential.id, credential.role):
        raise UsageError(
            f"this credential is of `{credential.id}` ({credential.role}), and cannot act as `{by.id}` ({by.role}); a host, "
            "which knows whom it serves, can: open it with the host's principal"
        )
    return msgspec.structs.replace(by, person=by.person and credential.person)
