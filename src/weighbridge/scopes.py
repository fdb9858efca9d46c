"""Scopes and step attempts: in whose name, and inside what, operations are called.

Both belong to the task or thread that entered them, and go along with what it starts; other threads take them over with
`in_scope`. Nothing is weighed here.
"""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, Self, TypeVar

import msgspec

from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import Actor, Proposal, Role, ValidationContext
from weighbridge.domain.decision import OperationDecision
from weighbridge.domain.spending import SpendingRequest, made_request
from weighbridge.domain.unknown_keys import suggestion
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError

_P = ParamSpec("_P")
_Value = TypeVar("_Value")

_ABOUT = ("tenant_id", "actor", "account_id", "plan_id", "step_id", "attempt")


class Scope:
    """Where operations are called: on whose behalf, for which account and plan, from which snapshot and evidence.

    Scopes nest: what an inner one does not state holds from the outer one. ``decisions`` collects the decisions of every
    operation called inside, in the order in which they were taken, inner scopes included.
    """

    def __init__(self, stated: Mapping[str, Any], outer: Scope | None) -> None:
        inherited: dict[str, Any] = outer.stated if outer else {}
        if stated.get("tenant_id") not in {None, inherited.get("tenant_id")}:
            inherited = {}  # L5: nothing of one tenant is stated for another
        self.stated: dict[str, Any] = inherited | {k: v for k, v in stated.items() if v is not None}
        self._outer = outer
        self._lock = threading.Lock()
        self.decisions: list[OperationDecision] = []

    def __enter__(self) -> Self:
        """Make this the scope of the operations called in the block."""
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, *_exc: object) -> None:
        """Return to the scope outside."""
        _entered.set(_entered.get()[:-1])

    def add_evidence(self, reference: Mapping[str, Any], content: Any = None, source_type: str | None = None) -> None:
        """Add an item to the evidence set of the operations called from here on."""
        item = {"reference": reference, "content": content, "source_type": source_type}
        with self._lock:
            known = self.stated.get("evidence", [])
            self.stated = self.stated | {"evidence": [*known, {k: v for k, v in item.items() if v is not None}]}

    def context(self, choke_point: ChokePoint, proposal: Proposal) -> ValidationContext:
        """Return the request for one choke point that this scope and a proposal make.

        Raises:
            ContextError: the scope holds something that is no snapshot, evidence or data source.
        """
        stated = {name: value for name, value in self.stated.items() if name not in {"references", "justification"}}
        try:
            return msgspec.convert(
                stated | {"choke_point": choke_point, "proposal": proposal}, ValidationContext, from_attributes=True
            )
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `$")
            hint = suggestion(message, place, ValidationContext)
            raise ContextError(f"scope{place.rstrip('`')}", message[:1].lower() + message[1:] + hint) from None

    def spending(self, operation: str, reserved: Mapping[str, Any]) -> SpendingRequest:
        """Return the request to the budget that this scope makes for an operation, and what a call of it reserves.

        Raises:
            ContextError: the scope holds something that is no id, actor or reason, or the amounts are none.
        """
        about = {name: self.stated[name] for name in _ABOUT if name in self.stated}
        budget = {"operation": operation, "justification": self.stated.get("justification"), **reserved}
        return made_request({**about, "budget": budget})

    @property
    def references(self) -> list[Any]:
        """Return the evidence references that operations called here carry."""
        return list(self.stated.get("references", ()))

    def note(self, decision: OperationDecision) -> None:
        """Keep a decision, here and in every scope outside."""
        with self._lock:
            self.decisions.append(decision)
        if self._outer is not None:
            self._outer.note(decision)


class Attempt:
    """A step attempt. Tasks and threads that were started in it may outlive it; it is then over for them too."""

    __slots__ = ("blocked", "running")

    def __init__(self) -> None:
        self.running: bool = True
        self.blocked: OperationDecision | None = None


# The scopes that were entered, of each task and thread its own: one scope can be entered by many at once.
_entered: contextvars.ContextVar[tuple[Scope, ...]] = contextvars.ContextVar("weighbridge_scopes", default=())
_attempt: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar("weighbridge_attempt", default=None)


def scope(
    *,
    tenant: str | None = None,
    actor: str | Actor | None = None,
    account: str | None = None,
    plan: str | None = None,
    step: str | None = None,
    attempt: int | None = None,
    snapshot: Mapping[str, Any] | None = None,
    data_sources: Sequence[Mapping[str, Any]] | None = None,
    evidence: Sequence[Mapping[str, Any]] | None = None,
    references: Sequence[Mapping[str, Any]] | None = None,
    justification: str | None = None,
) -> Scope:
    """Return a scope to enter with ``with``; called without arguments inside one, that one.

    ``snapshot`` maps field names to ``{"value", "source_type", "source_id"?}``; the other shapes are those of a context.
    ``justification`` is the reason that a cap may demand (B13); it is recorded as content.

    Raises:
        ContextError: a blank reason, or a snapshot field without its value and source type.
    """
    if isinstance(justification, str) and not justification.strip():
        raise ContextError("scope.justification", "is blank; say why, or leave it out")
    stated = {
        "tenant_id": tenant,
        "actor": Actor(id=actor, role=Role.AGENT) if isinstance(actor, str) else actor,
        "account_id": account,
        "plan_id": plan,
        "step_id": step,
        "attempt": attempt,
        "snapshot": None if snapshot is None else {"fields": _fields(snapshot)},
        "data_sources": data_sources,
        "evidence": evidence,
        "references": references,
        "justification": justification,
    }
    outer = _innermost()
    if outer is not None and all(value is None for value in stated.values()):
        return outer
    return Scope(stated, outer)


def _fields(snapshot: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, field in snapshot.items():
        if not isinstance(field, Mapping) or not field.keys() >= {"value", "source_type"}:
            shape = '{"value": ..., "source_type": "..."}'
            raise ContextError(f"scope.snapshot.{name}", f"is no snapshot field; write `{{{name!r}: {shape}}}`")
    return snapshot


def in_scope(function: Callable[_P, _Value]) -> Callable[_P, _Value]:
    """Return ``function`` bound to the scope of this moment, for another thread to call."""
    captured = contextvars.copy_context()

    @functools.wraps(function)
    def inside(*args: _P.args, **kwargs: _P.kwargs) -> _Value:
        return captured.copy().run(function, *args, **kwargs)

    return inside


def entered() -> bool:
    """Return whether any scope is in force here."""
    return bool(_entered.get())


def _innermost() -> Scope | None:
    entered = _entered.get()
    return entered[-1] if entered else None


def current() -> Scope:
    """Return the innermost scope; outside every one, one that states nothing."""
    return _innermost() or Scope({}, None)


def running() -> Attempt | None:
    """Return the step attempt this is called in; None outside one, and in what has outlived it."""
    attempt = _attempt.get()
    return attempt if attempt is not None and attempt.running else None


def note(decision: OperationDecision, attempt: Attempt | None, scope: Scope) -> None:
    """Keep a decision in its scope; a BLOCK inside a step attempt ends that (G8)."""
    scope.note(decision)
    if attempt is not None and attempt.blocked is None and decision.verdict is Verdict.BLOCK:
        attempt.blocked = decision


@contextmanager
def apart() -> Iterator[None]:
    """Leave every scope for a while: what is called inside states nothing of what was entered outside."""
    token = _entered.set(())
    try:
        yield
    finally:
        _entered.reset(token)


@contextmanager
def step(attempt: Attempt | None) -> Iterator[Attempt]:
    """While an operation runs, what it calls is inside the step attempt and does not pass the step's choke point again."""
    if attempt is not None:
        yield attempt
        return
    begun = Attempt()
    token = _attempt.set(begun)
    try:
        yield begun
    finally:
        begun.running = False
        _attempt.reset(token)
