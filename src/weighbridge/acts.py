"""What people do that the ledger must tell of, besides approving and running: erase content.

Every act is one record with who did it; what people write as a reason is content, not record (L6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from weighbridge import canonical
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.errors import ContextError, UsageError
from weighbridge.executor import Surroundings
from weighbridge.gateway import Engine
from weighbridge.ledger.submission import Submission
from weighbridge.recorder import Recorder


class Acts:
    """Records the acts of people on one store."""

    def __init__(self, recorder: Recorder, engine_of: Callable[[str], Engine], surroundings: Surroundings) -> None:
        self._recorder = recorder
        self._engine_of = engine_of
        self._surroundings = surroundings

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
        submission = self.submission(tenant_id, by, reason, {"type": "CONTENT_ERASED"})
        return self._recorder.erase(tenant_id, hashes, submission).seq

    def submission(self, tenant_id: str, by: Principal, reason: str, event: dict[str, Any]) -> Submission:
        """Return the submission of an act: who, when, and the reason as content."""
        if not reason.strip():
            raise ContextError("reason", "is empty; say why")
        engine = self._engine_of(tenant_id)
        stated = canonical.encode(reason)
        reason_hash = canonical.keyed_hash(engine.key, stated)
        now_ms = self._surroundings.clock_ms()
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
