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
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, Protocol, Self, TypeVar, cast

import msgspec

from weighbridge.admission import DEFAULT_TENANT, choke_points_of
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import (
    Actor,
    OperationFacts,
    OperationKind,
    Proposal,
    Role,
    ValidationContext,
)
from weighbridge.domain.decision import OperationDecision
from weighbridge.domain.spending import SpendingRequest, Tokens, made_request
from weighbridge.domain.unknown_keys import suggestion
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, UsageError
from weighbridge.executor import Consumed, Executor

_log = logging.getLogger("weighbridge.operations")
_P = ParamSpec("_P")
_Value = TypeVar("_Value")
_Out_co = TypeVar("_Out_co", covariant=True)

Reserves = Callable[..., Mapping[str, Any] | Tokens]
"""Says what a call reserves, from its arguments: amounts by unit, or the tokens that go in and the most that may come out."""

_ENTER = "enter `weighbridge.scope(tenant=...)`, and bind functions for other threads with `weighbridge.in_scope`"
_ABOUT = ("tenant_id", "actor", "account_id", "plan_id", "step_id", "attempt")

# Exactly these: a subclass can say one thing when it is weighed and be another when it runs (G11).
_IMMUTABLE_LEAVES = frozenset({dt.datetime, dt.date, dt.time, decimal.Decimal, uuid.UUID})

# What an enumeration is made from. A class that redefines what these say of a member could be judged as one value and read as
# another (G11); methods under names of its own it may have.
_ENUM_BASES = (object, str, int, enum.Enum, enum.IntEnum, enum.StrEnum, enum.ReprEnum, enum.Flag, enum.IntFlag)
_ENUM_SAYS = frozenset(
    name
    for base in (str, int, enum.Enum)
    for name, said in vars(base).items()
    if hasattr(type(said), "__get__") and (name[0] != "_" or name.endswith("__"))
) - {"__new__", "__init__", "__init_subclass__", "__dict__", "__weakref__", "__annotate_func__"}
_ENUM_CLASS_SAYS = _ENUM_SAYS | {"_value_", "_name_", "__getattr__"}

_LAZY = (map, filter, zip, enumerate, reversed)


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


class Operations:
    """The registered operations of one runtime, and the decorators that register them.

    ``tenant_named`` says that the credential names the tenant, so that a call outside every scope is counted where it belongs;
    ``scope_required`` that such calls are refused all the same.
    """

    def __init__(
        self,
        executor: Executor,
        facts: dict[str, OperationFacts],
        in_thread: Callable[..., Any],
        *,
        tenant_named: bool = True,
        scope_required: bool = False,
    ) -> None:
        self._executor = executor
        self._facts = facts
        self._in_thread = in_thread
        self._scope_required = scope_required
        self._unscoped_said = tenant_named
        self._lock = threading.Lock()
        self._functions: dict[str, Callable[..., Any]] = {}
        self._reserves: dict[str, Reserves] = {}
        self._consumed: dict[str, Consumed[Any]] = {}

    def register(
        self,
        facts: OperationFacts,
        function: Callable[_P, _Value],
        *,
        reserves: Reserves | None = None,
        consumed: Consumed[Any] | None = None,
    ) -> Governed[_P, _Value]:
        """Return the governed form of ``function``; the function itself is kept here and handed to nobody (G11).

        ``reserves`` says what a call reserves, from its arguments; ``consumed`` what it consumed, from its value.

        Raises:
            UsageError: the name is taken, the function is a generator, whose work would happen after the decision, or
                ``reserves`` does not take the function's arguments.
        """
        if facts.name in self._functions:
            message = f"operation `{facts.name}` is registered already; give each operation a name of its own"
            raise UsageError(message)
        for said, hook in (("reserves", reserves), ("consumed", consumed)):
            if hook is not None and not callable(hook):
                message = (
                    f"`{said}` of operation `{facts.name}` is no function; pass one that returns tokens or amounts"
                )
                raise UsageError(message)
        called = _called(facts.name, function)
        signature = inspect.signature(function)
        if reserves is not None:
            _require_same_parameters(facts.name, signature, reserves)
            self._reserves[facts.name] = reserves
        if consumed is not None:
            self._consumed[facts.name] = consumed
        self._functions[facts.name] = function
        self._facts[facts.name] = facts
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

            def governed_with_id(*args: Any, **kwargs: Any) -> Any:
                return operations._call(name, operation_id, signature, args, kwargs)

            async def governed_async_with_id(*args: Any, **kwargs: Any) -> Any:
                return await operations._call_async(name, operation_id, signature, args, kwargs)

            return governed_async_with_id if is_async else governed_with_id

        chosen: Any = governed_async if is_async else governed
        chosen.with_id = with_id
        return chosen

    def _call(self, name: str, operation_id: str | None, signature: inspect.Signature, args: Any, kwargs: Any) -> Any:
        self._require_tenant(name)
        bound, arguments = _bind(signature, args, kwargs)
        function, attempt = self._functions[name], _running()
        contexts = self._contexts(name, arguments, attempt)
        about = _here().spending(name, self._reserved(name, signature, bound))
        proposal = Proposal(operation=name, arguments=arguments)
        decision = self._executor.ask(self._facts[name], operation_id, contexts, about, proposal)
        _note(decision, attempt, _here())
        self._require_scope(decision)
        with _step(attempt) as step:

            def call() -> Any:
                value = _own_value(name, function(*bound.args, **bound.kwargs))
                self._require_not_ended(step)
                return value

            return self._executor.execute(decision, call, self._consumed.get(name))

    async def _call_async(
        self, name: str, operation_id: str | None, signature: inspect.Signature, args: Any, kwargs: Any
    ) -> Any:
        self._require_tenant(name)
        bound, arguments = _bind(signature, args, kwargs)
        function, attempt = self._functions[name], _running()
        contexts = self._contexts(name, arguments, attempt)
        here = _here()
        about = here.spending(name, self._reserved(name, signature, bound))
        proposal = Proposal(operation=name, arguments=arguments)

        def ask() -> OperationDecision:
            # Noted where it is taken: a caller that is cancelled meanwhile still finds it, and its id, in the scope (B5).
            decision = self._executor.ask(self._facts[name], operation_id, contexts, about, proposal)
            _note(decision, attempt, here)
            return decision

        decision = await self._in_thread(ask)
        self._require_scope(decision)
        with _step(attempt) as step:

            async def call() -> Any:
                value = _own_value(name, await function(*bound.args, **bound.kwargs))
                self._require_not_ended(step)
                return value

            return await self._executor.execute_async(decision, call, self._in_thread, self._consumed.get(name))

    def _require_tenant(self, name: str) -> None:
        """Say once that a call outside every scope is counted under the default tenant: a forgotten scope, or `in_scope`.

        Raises:
            UsageError: a scope is required.
        """
        if (self._unscoped_said and not self._scope_required) or _entered.get():
            return
        if self._scope_required:
            raise UsageError(
                f"operation `{name}` was called outside every scope, and this Weighbridge requires one: {_ENTER}"
            )
        with self._lock:
            said, self._unscoped_said = self._unscoped_said, True
        if not said:
            message = "operation `%s` was called outside every scope, and counts for tenant `%s`: %s"
            _log.warning(message, name, DEFAULT_TENANT, _ENTER)

    def _require_not_ended(self, attempt: _Attempt | None) -> None:
        """G8: a BLOCK inside a step attempt ends the attempt, whether or not somebody caught the exception."""
        if attempt is not None and attempt.blocked is not None:
            raise self._executor.blocked(attempt.blocked)

    def _require_scope(self, decision: OperationDecision) -> None:
        """Tell whoever is blocked outside every scope where that is likely why: the mistake of a thread without `in_scope`."""
        said = decision.budget is None or "JUSTIFICATION_MISSING" in decision.reasons  # a full budget has no such cause
        if decision.verdict is Verdict.BLOCK and said and not _entered.get():
            hint = "no scope is in force here (`weighbridge.scope`, and `weighbridge.in_scope` for threads); "
            raise self._executor.blocked(decision, hint)

    def _contexts(self, name: str, arguments: dict[str, Any], attempt: _Attempt | None) -> list[ValidationContext]:
        self._require_not_ended(attempt)
        here = _here()
        proposal = Proposal(operation=name, arguments=arguments, evidence=here.references)
        applies = choke_points_of(self._facts[name], inside_step=attempt is not None)
        return [here.context(choke_point, proposal) for choke_point in applies]

    def _reserved(self, name: str, signature: inspect.Signature, bound: inspect.BoundArguments) -> dict[str, Any]:
        """Return what a call reserves besides one operation. The estimate gets copies of its own and changes nothing (G11).

        Raises:
            ContextError: the estimate is neither tokens nor amounts.
        """
        estimate = self._reserves.get(name)
        if estimate is None:
            return {}
        copies, _ = _bind(signature, bound.args, bound.kwargs)
        try:
            reserved = estimate(*copies.args, **copies.kwargs)
        except Exception as error:
            error.add_note(f"raised by `reserves` of operation `{name}`; nothing was weighed and nothing was called")
            raise
        if isinstance(reserved, Tokens):
            return {"tokens": msgspec.structs.asdict(reserved)}
        if not isinstance(reserved, Mapping):
            raise ContextError(
                "reserves",
                f"returned a `{type(reserved).__name__}`; return Tokens(input=…, output=…), or amounts by unit",
            )
        return {"amounts": dict(reserved)}


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


_Kind = inspect.Parameter


def _innermost() -> Scope | None:
    entered = _entered.get()
    return entered[-1] if entered else None


def _here() -> Scope:
    return _innermost() or Scope({}, None)


def _running() -> _Attempt | None:
    """Return the step attempt this is called in; None outside one, and in what has outlived it."""
    attempt = _attempt.get()
    return attempt if attempt is not None and attempt.running else None


def _note(decision: OperationDecision, attempt: _Attempt | None, here: Scope) -> None:
    here.note(decision)
    if attempt is not None and attempt.blocked is None and decision.verdict is Verdict.BLOCK:
        attempt.blocked = decision


def _require_same_parameters(name: str, signature: inspect.Signature, reserves: Reserves) -> None:
    """Refuse an estimate that could not be called with the arguments of its function; in a call that is a TypeError.

    Raises:
        UsageError: its parameters are others.
    """
    try:
        own = inspect.signature(reserves)
    except (TypeError, ValueError):  # a function written in C need not say what it takes
        return
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    taken = {parameter.kind for parameter in own.parameters.values()}
    # As a call hands them over: by name only what the function takes by name alone.
    by_place = [kind for kind in kinds if kind in {_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD}]
    by_name = [key for key, one in signature.parameters.items() if one.kind is _Kind.KEYWORD_ONLY]
    try:
        own.bind(*by_place, **dict.fromkeys(by_name))
        fits = all(kind not in kinds or kind in taken for kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD))
    except TypeError:
        fits = False
    if not fits:
        raise UsageError(
            f"`reserves` of operation `{name}` takes `{own}`, and is called with the operation's arguments, `{signature}`; "
            "give both the same parameters"
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


def _called(name: str, function: Callable[..., Any]) -> Any:
    """Return the function that a call runs: of an object that can be called its ``__call__``.

    What a closure or such an object holds is the function's own, and no argument. What was bound beforehand is one.

    Raises:
        UsageError: it is a method or a partial, and what it is bound to would not be weighed (G11); or a generator.
    """
    if isinstance(function, functools.partial):
        raise UsageError(
            f"operation `{name}` is a `functools.partial`, and what it holds would not be weighed; decorate a function "
            "that calls it"
        )
    if inspect.ismethod(function) or next(iter(inspect.signature(function).parameters), None) in {"self", "cls"}:
        raise UsageError(
            f"operation `{name}` is a method, and an object cannot be weighed; decorate a function, "
            "and let the method call it"
        )
    given: Any = function
    called = given if inspect.isroutine(given) else type(given).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise UsageError(
            f"operation `{name}` is a generator, which would run after it was weighed; return a list instead"
        )
    return called


def _own_value(name: str, value: Any) -> Any:
    """Return a function's value; refuse one that is work still to be done, after the decision and its record (G11).

    Raises:
        UsageError: it is awaitable, a generator, or an iterator that calls functions as it is read. What can be stopped is.
    """
    lazy = isinstance(value, _LAZY) or type(value).__module__ == "itertools"
    if not (lazy or inspect.isgenerator(value) or inspect.isasyncgen(value) or inspect.isawaitable(value)):
        return value
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
    elif callable(getattr(value, "cancel", None)):  # a task that was started already
        value.cancel()
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
        items = list(value.items())
        for key, _ in items:
            if type(key) is not str:  # a subclass can be judged under one name and read under another (G11)
                raise ContextError(f"arguments.{place}", f"has a key that is a `{type(key).__name__}`; keys are text")
        copies = {key: _copied(item, f"{place}.{key}") for key, item in items}
        return {key: pair[0] for key, pair in copies.items()}, {key: pair[1] for key, pair in copies.items()}
    if issubclass(kind, enum.Enum):
        return value, _enum_value(value, kind, place)
    if kind in _IMMUTABLE_LEAVES:
        return value, value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)
    raise ContextError(
        f"arguments.{place}",
        f"a `{kind.__name__}` cannot be weighed; pass text, numbers, true, false, None, lists, dicts, dates, Decimal or UUID",
    )


def _enum_value(member: enum.Enum, kind: type[enum.Enum], place: str) -> Any:
    """Return what a member of an enumeration stands for, read past everything that its class could say instead (G11).

    Raises:
        ContextError: the class redefines what a member says, or its value is neither text nor a whole number.
    """
    itself: Any = member
    value: Any = vars(member).get("_value_")
    if issubclass(kind, str):
        trusted = type(value) is str and str.__eq__(itself, value)
    elif issubclass(kind, int):
        trusted = type(value) is int and int.__eq__(itself, value)
    else:
        trusted = type(value) in {str, int, bool}
    if not trusted or vars(member).keys() & _ENUM_SAYS or not _says_its_value(kind):
        raise ContextError(
            f"arguments.{place}",
            f"a `{kind.__name__}` cannot be weighed: its class says more of a member than its value, or the value is neither "
            "text nor a whole number; pass the value",
        )
    return value


def _says_its_value(kind: type[enum.Enum]) -> bool:
    """Return whether an enumeration leaves everything that tells its members' values as Python made it."""
    if type(kind) is not enum.EnumMeta:
        return False
    for base in kind.__mro__:
        own = vars(base)
        for name in own.keys() & _ENUM_CLASS_SAYS if base not in _ENUM_BASES else ():
            taken_over = any(own[name] is vars(one).get(name) for one in _ENUM_BASES)  # `enum` does so with some
            is_member = name in kind._member_map_ and name not in {"name", "value"}
            if not (taken_over or is_member):
                return False
    return True
