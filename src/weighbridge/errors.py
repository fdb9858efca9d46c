"""The one exception tree.

Two branches matter to a caller: :class:`UsageError` says *you misused me* (fix the call, the policy, the input),
everything else says *the world is bad* (a store that cannot write, a ledger that does not verify). A refusal is neither
an ALLOW nor a decision: no verdict could be recorded, and the operation must not happen (G2).

`Blocked`, which carries a decision, lives beside the decision in ``domain.decision``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class WeighbridgeError(Exception):
    """Root of everything this package raises on purpose. Each crosses processes whole: its text, and what it carries."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_was, (type(self), self.args, self.__dict__)


def _as_it_was(kind: type[WeighbridgeError], args: tuple[Any, ...], state: dict[str, Any]) -> WeighbridgeError:
    """Return an exception as it was raised: its text was made from what it carries, and is not made again."""
    made = kind.__new__(kind, *args)
    made.__dict__.update(state)
    return made


class UsageError(WeighbridgeError):
    """The call, the policy or the input is wrong; nothing was recorded and nothing was executed."""


class CanonicalError(UsageError):
    """A value has no canonical JSON form (NaN, a lone surrogate, an integer beyond 2**53 - 1, a type JSON lacks)."""


class ContextError(UsageError):
    """A context does not have the shape of one.

    ``path`` names the place, as in ``proposal.arguments``; the message says what to write instead.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"`{path}`: {message}" if path else message)


class TenantMismatch(UsageError):
    """A request names another tenant than the credential it came with (L5, Z1)."""


class IdempotencyConflict(UsageError):
    """An id is already bound to another request (G3, code ``IDEMPOTENCY_CONFLICT``); never a new verdict."""

    code = "IDEMPOTENCY_CONFLICT"

    def __init__(self, kind: str, identity: str, seq: int, state: str | None = None) -> None:
        self.kind: str = kind
        self.identity: str = identity
        self.seq: int = seq
        self.state: str | None = state
        if kind == "op":
            # Whoever retries after a restart often brings fresher facts; "use a new id" would make them do it twice.
            ended = f", {state}" if state else ""
            advice = f"it is not run again (record {seq}{ended}). Only where it shall happen once more, use a new id"
            super().__init__(
                f"operation id `{identity}` already answers a request with other arguments or facts; {advice}"
            )
        elif kind == "use":
            super().__init__(
                f"another consumption of operation `{identity}` is on record (record {seq}); the first report counts"
            )
        else:
            super().__init__(
                f"{kind} id `{identity}` already answers another request (record {seq}); use a new id for a new request"
            )


class SuppliedTimeRefused(UsageError):
    """A context brings its own evaluation time to a store opened for enforcement (B9)."""


class NotFound(UsageError):
    """No record under that id for that tenant."""


class RecordArchived(UsageError):
    """The body of a record was moved to an archive file (code ``RECORD_ARCHIVED``).

    An id that leads there is not judged again (G3). ``advice`` says what whoever asked can do.
    """

    code = "RECORD_ARCHIVED"

    def __init__(
        self,
        file: str,
        sha256: str,
        span: tuple[int, int],
        advice: str = "read it there. An id that was answered there is not judged again; a new request takes a new id",
    ) -> None:
        self.file: str = file
        self.sha256: str = sha256
        self.span: tuple[int, int] = span
        super().__init__(
            f"RECORD_ARCHIVED: it is in records {span[0]} to {span[1]}, which are archived in `{file}` (sha256 {sha256}); "
            f"{advice}"
        )


class PlanRefused(UsageError):
    """A plan cannot be changed that way now; nothing was recorded.

    ``code`` says why, as in ``PLAN_CHANGED`` (somebody was faster: read it again) or ``PLAN_TRANSITION`` (not from this
    status). ``reasons`` are those of the policy gate, where it was that, as ``{"reason", "details"}``.
    """

    def __init__(self, code: str, message: str, plan_id: str = "", reasons: tuple[dict[str, Any], ...] = ()) -> None:
        self.code: str = code
        self.plan_id: str = plan_id
        self.reasons: tuple[dict[str, Any], ...] = reasons
        self._message = message
        super().__init__(f"{code}: {message}")

    def __reduce__(self) -> tuple[type[PlanRefused], tuple[Any, ...]]:
        """Survive the way from one process to another."""
        return type(self), (self.code, self._message, self.plan_id, self.reasons)


class NotRegistered(UsageError):
    """No function was tagged with this name on this Weighbridge: what nobody registered cannot be called (Z4, Z5).

    ``near`` are the registered names that come closest.
    """

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        self.name: str = name
        self.near: tuple[str, ...] = tuple(near)
        hint = f" (did you mean {' or '.join(f'`{one}`' for one in self.near)}?)" if self.near else ""
        super().__init__(
            f"no operation `{name}` is registered here{hint}; tag its function with `operation` or `writeback`"
        )


class Problem(msgspec.Struct, frozen=True):
    """One mistake in a policy document.

    ``line`` and ``column`` count from 1; 0 means the mistake has no place in the text (a missing section).
    ``where`` is the key path, as in ``freshness.source_types.crm.soft_ttl``; ``write`` says what to write instead.
    """

    line: int
    column: int
    where: str
    message: str
    write: str = ""

    def __str__(self) -> str:
        place = f"{self.line}:{self.column}: " if self.line else ""
        where = f"{self.where}: " if self.where else ""
        hint = f" (write {self.write})" if self.write else ""
        return f"{place}{where}{self.message}{hint}"


class PolicyError(UsageError):
    """A policy does not load. ``problems`` holds every mistake, in the order of the text."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.source: str = source
        self.problems: tuple[Problem, ...] = problems
        super().__init__("\n".join(f"{source}:{p}" for p in problems))


class Refusal(WeighbridgeError):
    """No verdict could be recorded (G2). The operation must not happen; ask again under the same id.

    ``code`` is ``LEDGER_WRITE_FAILED`` (certainly not recorded), ``COMMIT_UNKNOWN`` (may be recorded) or ``OVERLOADED``.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(f"{code}: {message}")


class StoreError(WeighbridgeError):
    """The store cannot be opened or read, or would not keep what it answers."""


class LedgerCorrupt(WeighbridgeError):
    """The ledger, or what is derived from it, does not verify (L3)."""
