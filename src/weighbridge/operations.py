"""Operations: functions tagged once where they are defined, and the scope they are called in.

A registered function is replaced by one that binds its arguments, takes a private copy of them, has exactly that copy
weighed at every choke point that applies, and calls the function with it (G11). It raises `Blocked` with the decision, or
returns the function's own value untouched. WARN changes nothing (G7); every decision is in ``scope().decisions``.
"""

from __future__ import annotations

import contextvars
import datetime as dt
import decimal
import enum
import functools
import inspect
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast

import msgspec

from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import (
    Actor,
    CostClass,
    OperationFacts,
    OperationKind,
    Proposal,
    Role,
    ValidationContext,
)
from weighbridge.domain.decision import Blocked, OperationDecision
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, UsageError
from weighbridge.executor import Executor, choke_points_of

_P = ParamSpec("_P")
_Value = TypeVar("_Value")
_Out_co = TypeVar("_Out_co", covariant=True)

# Exactly these: a subclass can say one thing when it is weighed and be another when it runs (G11).
_IMMUTABLE_LEAVES = frozenset({dt.datetime, dt.date, dt.time, decimal.Decimal, uuid.UUID})


class Governed(Protocol[_P, _Out_co]):
    """A registered operation: called like the function it was made from."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _Out_co:
        """Weigh the call, make it, and return the function's own value.

        Raises:
            Blocked: a choke point said BLOCK; the function was not called.
            Refusal: no verdict could be recorded; the function was not called.
        """

    def with_id(self, operation_id: str) -> Callable[_P, _Out_co]:
        """Return the operation under an id of the caller's: the same id is never executed twice (G3, G10)."""


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
        stated = dict(self.stated)
        stated.pop("references", None)
        try:
            return msgspec.convert(
                stated | {"choke_point": choke_point, "proposal": proposal}, ValidationContext, from_attributes=True
            )
        except msgspec.ValidationError as error:
            message, _, place = str(error).partition(" - at `$")
            raise ContextError(f"scope{place.rstrip('`')}", message[:1].lower() + message[1:]) from None

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


class _Attempt:
    """A step attempt. Tasks and threads that were started in it may outlive it; it is then over for them too."""

    __slots__ = ("blocked", "running")

    def __init__(self) -> None:
        self.running = True
        self.blocked: OperationDecision | None = None


# The scopes that were entered, of each task and thread its own: one scope can be entered by many at once.
_entered: contextvars.ContextVar[tuple[Scope, ...]] = contextvars.ContextVar("weighbridge_scopes", default=())
_attempt: contextvars.ContextVar[_Attempt | None] = contextvars.ContextVar("weighbridge_attempt", default=None)


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
) -> Scope:
    """Return a scope to enter with ``with``; called without arguments inside one, that one.

    ``snapshot`` maps field names to ``{"value", "source_type", "source_id"?}``; the other shapes are those of a context.
    """
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


class Operations:
    """The registered operations of one runtime, and the decorators that register them."""

    def __init__(self, executor: Executor, facts: dict[str, OperationFacts], in_thread: Callable[..., Any]) -> None:
        self._executor = executor
        self._facts = facts
        self._in_thread = in_thread
        self._functions: dict[str, Callable[..., Any]] = {}

    def register(self, facts: OperationFacts, function: Callable[_P, _Value]) -> Governed[_P, _Value]:
        """Return the governed form of ``function``; the function itself is kept here and handed to nobody (G11).

        Raises:
            UsageError: the name is taken, or the function is a generator, whose work would happen after the decision.
        """
        if facts.name in self._functions:
            message = f"operation `{facts.name}` is registered already; give each operation a name of its own"
            raise UsageError(message)
        called = _called(function)
        if next(iter(inspect.signature(function).parameters), None) in {"self", "cls"}:
            message = (
                f"operation `{facts.name}` is a method, and an object cannot be weighed; decorate a function, "
                "and let the method call it"
            )
            raise UsageError(message)
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            message = (
                f"operation `{facts.name}` is a generator, which would run after it was weighed; return a list instead"
            )
            raise UsageError(message)
        self._functions[facts.name] = function
        self._facts[facts.name] = facts
        signature = inspect.signature(function)
        governed = self._governed(facts.name, signature, is_async=inspect.iscoroutinefunction(called))
        # Not functools.wraps: it leaves `__wrapped__`, which is the way around the choke points.
        for name in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
            if hasattr(function, name):
                setattr(governed, name, getattr(function, name))
        governed.__signature__ = signature
        return cast("Governed[_P, _Value]", governed)

    def _governed(self, name: str, signature: inspect.Signature, *, is_async: bool) -> Any:
        operations = self

        def governed(*args: Any, **kwargs: Any) -> Any:
            return operations._call(name, None, signature, args, kwargs)

        async def governed_async(*args: Any, **kwargs: Any) -> Any:
            return await operations._call_async(name, None, signature, args, kwargs)

        def with_id(operation_id: str) -> Callable[..., Any]:
            if not isinstance(operation_id, str):  # no id at all would be one of ours, another for every call
                raise ContextError("operation_id", f"is a `{type(operation_id).__name__}`; an id is text")
            call = operations._call_async_kw if is_async else operations._call_kw
            return functools.partial(call, name, operation_id, signature)

        chosen: Any = governed_async if is_async else governed
        chosen.with_id = with_id
        return chosen

    def _call_kw(self, name: str, operation_id: str, signature: inspect.Signature, /, *args: Any, **kwargs: Any) -> Any:
        return self._call(name, operation_id, signature, args, kwargs)

    async def _call_async_kw(
        self, name: str, operation_id: str, signature: inspect.Signature, /, *args: Any, **kwargs: Any
    ) -> Any:
        return await self._call_async(name, operation_id, signature, args, kwargs)

    def _call(self, name: str, operation_id: str | None, signature: inspect.Signature, args: Any, kwargs: Any) -> Any:
        bound, arguments = _bind(signature, args, kwargs)
        function, attempt = self._functions[name], _running()
        contexts = self._contexts(name, arguments, operation_id, attempt)
        if not contexts:
            return _own_value(name, function(*bound.args, **bound.kwargs))
        decision = self._executor.ask(self._facts[name], operation_id, contexts)
        _note(decision, attempt)
        _require_scope(decision)
        with _step(attempt) as step:

            def call() -> Any:
                value = _own_value(name, function(*bound.args, **bound.kwargs))
                _require_not_ended(step)
                return value

            return self._executor.execute(decision, call)

    async def _call_async(
        self, name: str, operation_id: str | None, signature: inspect.Signature, args: Any, kwargs: Any
    ) -> Any:
        bound, arguments = _bind(signature, args, kwargs)
        function, attempt = self._functions[name], _running()
        contexts = self._contexts(name, arguments, operation_id, attempt)
        if not contexts:
            return _own_value(name, await function(*bound.args, **bound.kwargs))
        decision = await self._in_thread(self._executor.ask, self._facts[name], operation_id, contexts)
        _note(decision, attempt)
        _require_scope(decision)
        with _step(attempt) as step:

            async def call() -> Any:
                value = _own_value(name, await function(*bound.args, **bound.kwargs))
                _require_not_ended(step)
                return value

            return await self._executor.execute_async(decision, call, self._in_thread)

    def _contexts(
        self, name: str, arguments: dict[str, Any], operation_id: str | None, attempt: _Attempt | None
    ) -> list[ValidationContext]:
        _require_not_ended(attempt)
        here = _here()
        proposal = Proposal(operation=name, arguments=arguments, evidence=here.references)
        applies = choke_points_of(self._facts[name], inside_step=attempt is not None)
        if not applies and operation_id is not None:
            message = (
                f"`{name}` passes no choke point inside a step, so nothing is on record that could keep the id "
                f"`{operation_id}` from running twice; call it without an id there"
            )
            raise UsageError(message)
        return [here.context(choke_point, proposal) for choke_point in applies]


def facts_of(
    name: str,
    *,
    kind: OperationKind,
    cost: str,
    action: str | None,
    target: str | None,
    declares_proposal: bool,
) -> OperationFacts:
    """Return the facts that a decorator states.

    Raises:
        UsageError: the cost class is none of the three.
    """
    try:
        cost_class = CostClass(cost)
    except ValueError:
        message = f"cost class `{cost}` is none; write CHEAP, MEDIUM or EXPENSIVE"
        raise UsageError(message) from None
    return OperationFacts(name, action or name, kind, target, cost_class, declares_proposal)


def _innermost() -> Scope | None:
    entered = _entered.get()
    return entered[-1] if entered else None


def _here() -> Scope:
    return _innermost() or Scope({}, None)


def _running() -> _Attempt | None:
    """Return the step attempt this is called in; None outside one, and in what has outlived it."""
    attempt = _attempt.get()
    return attempt if attempt is not None and attempt.running else None


def _note(decision: OperationDecision, attempt: _Attempt | None) -> None:
    _here().note(decision)
    if attempt is not None and attempt.blocked is None and decision.verdict is Verdict.BLOCK:
        attempt.blocked = decision


def _require_not_ended(attempt: _Attempt | None) -> None:
    """G8: a BLOCK inside a step attempt ends the attempt, whether or not somebody caught the exception."""
    if attempt is not None and attempt.blocked is not None:
        raise Blocked(attempt.blocked)


def _require_scope(decision: OperationDecision) -> None:
    """Tell whoever is blocked outside every scope that this is likely why: the mistake of a thread without `in_scope`."""
    if decision.verdict is Verdict.BLOCK and not _entered.get():
        raise Blocked(
            decision, "no scope is in force here (`weighbridge.scope`, and `weighbridge.in_scope` for threads); "
        )


@contextmanager
def _step(attempt: _Attempt | None) -> Iterator[_Attempt]:
    """While an operation runs, what it calls is inside the step attempt and does not pass the step's choke point again."""
    if attempt is not None:
        yield attempt
        return
    begun = _Attempt()
    token = _attempt.set(begun)
    try:
        yield begun
    finally:
        begun.running = False
        _attempt.reset(token)


def _called(function: Callable[..., Any]) -> Any:
    """Return the function that a call runs: behind a partial, and of an object that can be called its ``__call__``."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    return inner if inspect.isroutine(inner) else type(inner).__call__


def _own_value(name: str, value: Any) -> Any:
    """Return a function's value; refuse one that is work still to be done, after the decision and its record (G11).

    Raises:
        UsageError: it is a coroutine or a generator, of which nothing has run yet.
    """
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
    elif not inspect.isasyncgen(value):
        return value
    message = (
        f"operation `{name}` returned a `{type(value).__name__}`, which would run after it was weighed; "
        "return a list, or register an `async def` function"
    )
    raise UsageError(message)


def _bind(signature: inspect.Signature, args: Any, kwargs: Any) -> tuple[inspect.BoundArguments, dict[str, Any]]:
    """Return private copies of the arguments: one to call with, and the same as JSON values to weigh (G11)."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    weighed: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        bound.arguments[name], copied = _copied(value, name)
        # What a function takes as `**fields` is weighed under the names it was passed by, as rules name them.
        spread = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
        named = copied if spread else {name: copied}
        for twice in weighed.keys() & named.keys():
            raise ContextError(f"arguments.{twice}", "is passed twice under one name; rename a parameter")
        weighed |= named
    return bound, weighed


def _copied(value: Any, place: str) -> tuple[Any, Any]:
    kind = type(value)
    if value is None or kind in {str, int, float, bool}:
        return value, value
    if kind in {list, tuple}:
        pairs = [_copied(item, f"{place}[{index}]") for index, item in enumerate(value)]
        return kind(pair[0] for pair in pairs), [pair[1] for pair in pairs]
    if kind is dict:
        copies = {key: _copied(item, f"{place}.{key}") for key, item in value.items()}
        return {key: pair[0] for key, pair in copies.items()}, {key: pair[1] for key, pair in copies.items()}
    if isinstance(value, enum.Enum) and isinstance(value.value, (str, int)):
        return value, value.value
    if kind in _IMMUTABLE_LEAVES:
        return value, value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
    raise ContextError(
        f"arguments.{place}",
        f"a `{kind.__name__}` cannot be weighed; pass text, numbers, true, false, None, lists, dicts, dates, Decimal or UUID",
    )
