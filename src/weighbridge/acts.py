"""What people do that the ledger must tell of: authorise a retry, erase content.

Every act is one record with who did it; what people write as a reason is content, not record (L6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge import canonical
from weighbridge.admission import Surroundings
from weighbridge.domain.decision import GateDecision
from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, NotFound, UsageError
from weighbridge.gateway import Engine
from weighbridge.ledger.answer import gate_decisions, inputs_of
from weighbridge.ledger.submission import Submission
from weighbridge.recorder import Recorder

if TYPE_CHECKING:
    from weighbridge.storage.reading import LedgerReader


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
            UsageError: ``by`` is no person, or proposed it; the reason is empty; the run was not blocked.
            ContextError: ``expires_at`` names no instant, or one that is past.
            NotFound: no such run.
        """
        require_person(by, "a retry is authorised by a person other than the proposer")
        expires_ms = self._future(expires_at)
        body, decision = self._blocked(tenant_id, run_id)
        common = canonical.decode(body)["common"]
        if by.id in {common["actor"]["id"], common.get("principal", {}).get("id")}:
            raise UsageError(f"`{by.id}` proposed this action; another person authorises its retry")
        act = self._act(tenant_id, by, reason, {"type": "RETRY_AUTHORISED", "expires_at": format_instant(expires_ms)})
        choke_point = decision.choke_point.value
        of_run = {"choke_point": choke_point, "enforcement": decision.enforcement, "validation_run_id": run_id}
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
        """Return the submission of an act: who, when, and the reason as content."""
        if not reason.strip():
            raise ContextError("reason", "is empty; say why")
        engine = self._engine_of(tenant_id)
        now_ms = self._surroundings.clock_ms()
        # L6: content of its own, so that erasing it takes no other act's reason away.
        stated = canonical.encode({"at": format_instant(now_ms), "by": by.id, "reason": reason})
        reason_hash = canonical.keyed_hash(engine.key, stated)
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


def require_person(by: Principal, rule: str) -> None:
    """Raise unless ``by`` is a person.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(by, Principal) or not by.person:
        name = by.id if isinstance(by, Principal) else by
        raise UsageError(f"`{name}` is no person; {rule}: pass Principal(id=..., person=True)")
