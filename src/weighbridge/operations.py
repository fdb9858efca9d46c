"""Operations: functions tagged once where they are defined.

A registered function is replaced by one that binds its arguments, takes a private copy of them, has exactly that copy
weighed at every choke point that applies, and has the executor call the function with it (G11). It raises `Blocked` with the
decision, or returns the function's own value untouched. WARN changes nothing (G7); every decision is in ``scope().decisions``.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast

import msgspec

from weighbridge import canonical, scopes
from weighbridge.admission import DEFAULT_TENANT, choke_points_of
from weighbridge.arguments import bind, by_name, weighable
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.context import OperationFacts, OperationKind, Proposal, ValidationContext
from weighbridge.domain.decision import OperationDecision
from weighbridge.domain.spending import SpendingRequest, Tokens
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import ContextError, NotRegistered, UsageError
from weighbridge.executor import Call, Consumed, Executor, Given, Reading
from weighbridge.ledger.submission import PlanMove
from weighbridge.read_back import Asked, Ending, ReadBack
from weighbridge.scopes import Attempt, Scope

_log = logging.getLogger("weighbridge.operations")
_P = ParamSpec("_P")
_Value = TypeVar("_Value")
_Out_co = TypeVar("_Out_co", covariant=True)

Reserves = Callable[..., Mapping[str, Any] | Tokens]
"""Says what a call reserves, from its arguments: amounts by unit, or the tokens that go in and the most that may come out."""

_ENTER = "enter `weighbridge.scope(tenant=...)`, and bind functions for other threads with `weighbridge.in_scope`"


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


class Hooks(NamedTuple):
    """What a connector says of its operation besides the facts: functions that are called before or after its own.

    ``reserves`` says what a call reserves and ``asked`` which fields must be stored afterwards, both from the call's arguments;
    ``consumed`` what it consumed, from its value; ``read_back`` what is stored, from its value and the arguments.
    """

    reserves: Reserves | None = None
    consumed: Consumed[Any] | None = None
    read_back: ReadBack | None = None
    asked: Asked | None = None


class StepMoves(NamedTuple):
    """What a call does to a plan as an attempt of one of its steps: how the attempt is drawn, and how it ended.

    ``ended`` is told the ending, and the decision of a BLOCK inside, which ends the attempt whoever caught it (G8).
    """

    start: PlanMove
    ended: Callable[[Ending, OperationDecision | None], PlanMove]


class _Entry(NamedTuple):
    """What is known of a registered operation. The function itself is the executor's."""

    facts: OperationFacts
    signature: inspect.Signature
    hooks: Hooks
    governed: Any
    is_async: bool


class _Question(NamedTuple):
    """One call, bound and copied: what is asked of its choke points and its budget, and what is called if they agree."""

    contexts: list[ValidationContext]
    about: SpendingRequest
    proposal: Proposal
    bound: inspect.BoundArguments
    reading: Reading | None
    attempt: Attempt | None
    scope: Scope
    moves: StepMoves | None = None


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
        self._entries: dict[str, _Entry] = {}

    def register(self, facts: OperationFacts, function: Callable[_P, _Value], hooks: Hooks) -> Governed[_P, _Value]:
        """Return the governed form of ``function``; the function itself goes to the executor and is handed to nobody (G11).

        Raises:
            UsageError: the name is taken, the function is a generator, whose work would happen after the decision, or a hook
                does not go with it.
        """
        name = facts.name
        if name in self._entries:
            raise UsageError(f"operation `{name}` is registered already; give each operation a name of its own")
        is_async = inspect.iscoroutinefunction(_called(name, function))
        signature = inspect.signature(function)
        _require_hooks(name, signature, hooks, is_async=is_async)
        governed = self._governed(name, is_async=is_async)
        # Not functools.wraps: it leaves `__wrapped__`, which is the way around the choke points.
        for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "__annotations__"):
            if hasattr(function, attribute):
                setattr(governed, attribute, getattr(function, attribute))
        governed.__signature__ = signature
        self._executor.hold(name, function, consumed=hooks.consumed, read_back=hooks.read_back)
        self._entries[name] = _Entry(facts, signature, hooks, governed, is_async)
        self._facts[name] = facts
        return cast("Governed[_P, _Value]", governed)

    def named(self, name: str) -> Governed[..., Any]:
        """Return the governed form of a registered operation, by its name: what a step of a plan is called by.

        Raises:
            NotRegistered: no function was tagged with this name here; the message lists the nearest ones.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise NotRegistered(name, difflib.get_close_matches(name, sorted(self._entries), n=3))
        return cast("Governed[..., Any]", entry.governed)

    def _governed(self, name: str, *, is_async: bool) -> Any:
        operations = self

        def governed(*args: Any, **kwargs: Any) -> Any:
            return operations._call(name, None, args, kwargs)

        async def governed_async(*args: Any, **kwargs: Any) -> Any:
            return await operations._call_async(name, None, args, kwargs)

        def with_id(operation_id: str) -> Callable[..., Any]:
            if not isinstance(operation_id, str):  # no id at all would be one of ours, another for every call
                raise ContextError("operation_id", f"is a `{type(operation_id).__name__}`; an id is text")

            def governed_with_id(*args: Any, **kwargs: Any) -> Any:
                return operations._call(name, operation_id, args, kwargs)

            async def governed_async_with_id(*args: Any, **kwargs: Any) -> Any:
                return await operations._call_async(name, operation_id, args, kwargs)

            return governed_async_with_id if is_async else governed_with_id

        chosen: Any = governed_async if is_async else governed
        chosen.with_id = with_id
        return chosen

    def run_step(self, name: str, arguments: Mapping[str, Any], operation_id: str, moves: StepMoves) -> Any:
        """Call a registered operation as an attempt of a plan's step, in the scope that is in force, and return its value.

        It is weighed and called with exactly these arguments, by name: no defaults are added, because those nobody approved
        (G11). An asynchronous one is run to its end.

        Raises:
            NotRegistered: there is none of that name here.
            UsageError: it is asynchronous, and this thread runs an event loop already.
            TypeError, ContextError: the arguments are none of this operation's. Nothing was weighed.
            PlanRefused: the attempt cannot be drawn; nothing was recorded, and nothing called.
            AlreadyExecuted, Blocked: as every operation; and whatever its function raises.
        """
        entry = self._entries.get(name)
        if entry is None:
            self.named(name)  # which raises, with the nearest names
            raise NotRegistered(name)
        args, kwargs = by_name(entry.signature, arguments)
        if not entry.is_async:
            return self._call(name, operation_id, args, kwargs, moves)
        import asyncio  # noqa: PLC0415 - only asynchronous operations need it

        _require_no_loop(name)
        return asyncio.run(self._call_async(name, operation_id, args, kwargs, moves))

    def _call(self, name: str, operation_id: str | None, args: Any, kwargs: Any, moves: StepMoves | None = None) -> Any:
        question = self._question(name, args, kwargs, moves)
        decision = self._ask(name, operation_id, question)
        self._require_scope(decision)
        with scopes.step(question.attempt) as step:
            return self._executor.execute(decision, self._permitted_call(name, question, step))

    async def _call_async(
        self, name: str, operation_id: str | None, args: Any, kwargs: Any, moves: StepMoves | None = None
    ) -> Any:
        question = self._question(name, args, kwargs, moves)
        # Noted where it is taken: a caller that is cancelled meanwhile still finds it, and its id, in the scope (B5).
        decision = await self._in_thread(self._ask, name, operation_id, question)
        self._require_scope(decision)
        with scopes.step(question.attempt) as step:
            call = self._permitted_call(name, question, step)
            return await self._executor.execute_async(decision, call, self._in_thread)

    def _question(self, name: str, args: Any, kwargs: Any, moves: StepMoves | None) -> _Question:
        """Return what a call asks, complete; nothing was weighed yet.

        Raises:
            TypeError, ContextError: it is no call of this operation.
            Blocked: the step attempt it would be part of has ended (G8).
        """
        self._require_tenant(name)
        entry, attempt, scope = self._entries[name], scopes.running(), scopes.current()
        bound, arguments = bind(entry.signature, args, kwargs, defaults=moves is None)
        self._require_not_ended(attempt)
        proposal = Proposal(operation=name, arguments=arguments)
        grounded = msgspec.structs.replace(proposal, evidence=scope.references)
        applies = choke_points_of(entry.facts, inside_step=attempt is not None)
        contexts = [scope.context(choke_point, grounded) for choke_point in applies]
        about = scope.spending(name, _reserved(entry, bound))
        reading = _reading(entry, bound, arguments)
        return _Question(contexts, about, proposal, bound, reading, attempt, scope, moves)

    def _ask(self, name: str, operation_id: str | None, asked: _Question) -> OperationDecision:
        facts = self._entries[name].facts
        move = None if asked.moves is None else asked.moves.start
        about, given = asked.about, Given(asked.bound.args, asked.bound.kwargs)
        decision = self._executor.ask(
            facts, operation_id, asked.contexts, about, asked.proposal, given=given, move=move
        )
        scopes.note(decision, asked.attempt, asked.scope)
        return decision

    def _permitted_call(self, name: str, asked: _Question, step: Attempt) -> Call:
        def settled(value: Any) -> Any:
            own = _own_value(name, value)
            self._require_not_ended(step)
            return own

        def ended(ending: Ending) -> PlanMove | None:
            return None if asked.moves is None else asked.moves.ended(ending, step.blocked)

        return Call(settled, asked.reading, ended)

    def _require_tenant(self, name: str) -> None:
        """Say once that a call outside every scope is counted under the default tenant: a forgotten scope, or `in_scope`.

        Raises:
            UsageError: a scope is required.
        """
        if (self._unscoped_said and not self._scope_required) or scopes.entered():
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

    def _require_not_ended(self, attempt: Attempt | None) -> None:
        """G8: a BLOCK inside a step attempt ends the attempt, whether or not somebody caught the exception."""
        if attempt is not None and attempt.blocked is not None:
            raise self._executor.blocked(attempt.blocked)

    def _require_scope(self, decision: OperationDecision) -> None:
        """Tell whoever is blocked outside every scope where that is likely why: the mistake of a thread without `in_scope`."""
        said = decision.budget is None or "JUSTIFICATION_MISSING" in decision.reasons  # a full budget has no such cause
        if decision.verdict is Verdict.BLOCK and said and not scopes.entered():
            hint = "no scope is in force here (`weighbridge.scope`, and `weighbridge.in_scope` for threads); "
            raise self._executor.blocked(decision, hint)


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


def _reserved(entry: _Entry, bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return what a call reserves besides one operation. The estimate gets copies of its own and changes nothing (G11).

    Raises:
        ContextError: the estimate is neither tokens nor amounts.
    """
    if entry.hooks.reserves is None:
        return {}
    reserved = _said_before(entry, "reserves", entry.hooks.reserves, bound)
    if isinstance(reserved, Tokens):
        return {"tokens": msgspec.structs.asdict(reserved)}
    if not isinstance(reserved, Mapping):
        raise ContextError(
            "reserves",
            f"returned a `{type(reserved).__name__}`; return Tokens(input=…, output=…), or amounts by unit",
        )
    return {"amounts": dict(reserved)}


def _reading(entry: _Entry, bound: inspect.BoundArguments, arguments: dict[str, Any]) -> Reading | None:
    """Return what the read-back of a call is asked, settled before the call: the function may change its own copies (G11).

    Raises:
        ContextError, CanonicalError: which fields must be stored cannot be told, or none must.
    """
    if entry.hooks.read_back is None:
        return None
    fields = arguments
    if entry.hooks.asked is not None:
        stated = _said_before(entry, "asked", entry.hooks.asked, bound)
        if not isinstance(stated, Mapping) or not all(type(field) is str for field in stated):
            raise ContextError("asked", f"returned a `{type(stated).__name__}`; return a mapping of fields to values")
        fields = {field: weighable(value, f"asked.{field}")[1] for field, value in stated.items()}
        canonical.encode(fields)  # what cannot be compared is said now, and not after the call
    if not fields:  # what compares nothing confirms nothing
        raise ContextError(
            "asked", "names no field that must be stored; leave `read_back` out where nothing can be compared"
        )
    copies, _ = bind(entry.signature, bound.args, bound.kwargs)
    return Reading(copies.args, copies.kwargs, fields)


def _said_before(entry: _Entry, what: str, hook: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
    """Return what a hook says of a call that is not weighed yet, from copies of its own."""
    copies, _ = bind(entry.signature, bound.args, bound.kwargs)
    try:
        return hook(*copies.args, **copies.kwargs)
    except Exception as error:
        error.add_note(
            f"raised by `{what}` of operation `{entry.facts.name}`; nothing was weighed and nothing was called"
        )
        raise


def _require_no_loop(name: str) -> None:
    """Refuse to run an asynchronous operation to its end where that would hold up whatever else runs in this thread.

    Raises:
        UsageError: an event loop runs here.
    """
    import asyncio  # noqa: PLC0415 - only asynchronous operations need it

    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise UsageError(
            f"operation `{name}` is asynchronous, and an event loop runs here; carry out plans in a thread of their own, as with "
            "`await asyncio.to_thread(wb.run_plan, plan_id)`"
        )


_Kind = inspect.Parameter


def _require_hooks(name: str, signature: inspect.Signature, hooks: Hooks, *, is_async: bool) -> None:
    """Refuse hooks that could not be called, or would not be awaited; in a call that is too late.

    Raises:
        UsageError: one of them does not go with the function.
    """
    returns = {"reserves": "tokens or amounts", "consumed": "tokens or amounts"}
    for said, hook in hooks._asdict().items():
        if hook is not None and not callable(hook):
            wanted = returns.get(said, "a mapping of fields to values")
            raise UsageError(f"`{said}` of operation `{name}` is no function; pass one that returns {wanted}")
    if hooks.reserves is not None:
        _require_same_parameters(name, "reserves", signature, hooks.reserves)
    if hooks.asked is not None:
        _require_same_parameters(name, "asked", signature, hooks.asked)
    if hooks.read_back is None:
        if hooks.asked is not None:
            raise UsageError(f"`asked` of operation `{name}` says what is compared with a `read_back`; pass one, too")
        return
    _require_same_parameters(name, "read_back", signature, hooks.read_back, first=1)
    if inspect.iscoroutinefunction(_called(name, hooks.read_back)) != is_async:
        kind = "an `async def`" if is_async else "a plain"
        raise UsageError(f"operation `{name}` is {kind} function; make its `read_back` one, too")


def _require_same_parameters(
    name: str, said: str, signature: inspect.Signature, hook: Callable[..., Any], *, first: int = 0
) -> None:
    """Refuse a hook that could not be called with the arguments of its function; in a call that is a TypeError.

    ``first`` is how many arguments it is given before those.

    Raises:
        UsageError: its parameters are others.
    """
    try:
        own = inspect.signature(hook)
    except (TypeError, ValueError):  # a function written in C need not say what it takes
        return
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    taken = {parameter.kind for parameter in own.parameters.values()}
    # As a call hands them over: by name only what the function takes by name alone.
    by_place = [kind for kind in kinds if kind in {_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD}]
    by_name = [key for key, one in signature.parameters.items() if one.kind is _Kind.KEYWORD_ONLY]
    try:
        own.bind(*range(first), *by_place, **dict.fromkeys(by_name))
        fits = all(kind not in kinds or kind in taken for kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD))
    except TypeError:
        fits = False
    if not fits:
        given = "the function's value and then the operation's arguments" if first else "the operation's arguments"
        raise UsageError(
            f"`{said}` of operation `{name}` takes `{own}`, and is called with {given}, `{signature}`; "
            "give both the same parameters" + (", after the value" if first else "")
        )


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
