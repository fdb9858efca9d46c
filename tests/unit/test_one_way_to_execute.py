"""Z4, G11: there is one way to execute, and it passes the gateway: a lint over the source, and a look at who calls."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import weighbridge
from tests import planned
from tests.samples import CONTEXT, policy
from tests.samples import weighbridge as open_weighbridge
from weighbridge import executor, scopes
from weighbridge.domain.decision import Blocked
from weighbridge.errors import NotRegistered
from weighbridge.plans import asking as plans
from weighbridge.scopes import in_scope, scope
from weighbridge.wiring import local_engine

SOURCE = Path(weighbridge.__file__).parent
CALLERS = {"execute", "execute_async"}  # of the executor: who may call an operation's function
HANDED_ON = {"hold", "register", "_register"}  # how a function travels from its decorator to the executor
KEPT = {
    "_functions": {"__init__", "hold", "_permitted"},
    "_permits": {"__init__", "_permit", "_permitted"},
    "_permitted": CALLERS,
}
"""What leads to a function, and the methods of the executor that may touch it: a permit is issued, and used up, in one place."""

WIRED = {"Operations", "PlanActs"}  # who is handed the executor
LOOKED_AT = {"signature", "_called", "hasattr", "getattr"}  # what does not call it


def violations(module: str, source: str) -> list[str]:
    """Return where a module could call an operation's function, or hands it to somebody who could.

    The executor keeps functions in ``_functions``, and calls them as ``held.…`` in its two methods. On its way there a function
    is a parameter called ``function``: it is looked at and handed on, and neither called, kept, returned nor caught in a closure.
    """
    tree = ast.parse(source)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found += _of_attribute(module, node, parents)
            found += _of_alias(module, node, node.attr == "_executor", parents)
        elif isinstance(node, ast.Name):
            found += _of_alias(module, node, node.id == "executor", parents)
        elif isinstance(node, ast.Constant) and node.value in {"_executor", *KEPT}:
            found.append(f"{module}:{node.lineno} names what leads to the functions")
        elif isinstance(node, ast.Call) and _name(node.func) == "Executor" and module != "runtime":
            found.append(f"{module}:{node.lineno} makes an executor of its own")
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _hands_on(node):
            found += _of_parameter(module, node, parents)
    return found


def _of_attribute(module: str, node: ast.Attribute, parents: dict[ast.AST, ast.AST]) -> list[str]:
    within = _function_around(node, parents)
    place = f"{module}:{node.lineno}"
    allowed = KEPT.get(node.attr)
    if allowed is not None and (module != "executor" or within not in allowed):
        return [f"{place} reaches for the functions"]
    if node.attr == "run_step" and module != "orchestrator.advancing":
        return [f"{place} runs a step outside the orchestrator"]
    if node.attr == "function" and module == "executor" and within not in CALLERS:
        return [f"{place} takes a function out in `{within}`"]
    if module == "executor" and isinstance(node.value, ast.Name) and node.value.id == "held":
        called = isinstance(parents[node], ast.Call) and getattr(parents[node], "func", None) is node
        if (called or node.attr == "function") and within not in CALLERS:
            return [f"{place} calls a function in `{within}`"]
    of = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    if node.attr in {*CALLERS, "hold"} and of in {"_executor", "executor"} and module != "operations":
        return [f"{place} goes around the operations"]
    return []


def _of_alias(module: str, node: ast.expr, is_executor: bool, parents: dict[ast.AST, ast.AST]) -> list[str]:
    """Return where an executor gets another name, under which what is done with it would not be seen."""
    if not is_executor or isinstance(getattr(node, "ctx", None), ast.Store):
        return []
    parent = parents[node]
    kept = isinstance(parent, ast.Assign) and [_name(one) for one in parent.targets] == ["_executor"]
    handed = isinstance(parent, ast.Call) and node in parent.args and _name(parent.func) in WIRED
    if isinstance(parent, ast.Attribute) or kept or handed:
        return []
    return [f"{module}:{node.lineno} gives the executor another name"]


def _hands_on(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if not any(argument.arg == "function" for argument in (*node.args.args, *node.args.kwonlyargs)):
        return False
    calls = (inner for inner in ast.walk(node) if isinstance(inner, ast.Call) and _name(inner.func) in HANDED_ON)
    return any(isinstance(value, ast.Name) and value.id == "function" for call in calls for value in call.args)


def _of_parameter(
    module: str, node: ast.FunctionDef | ast.AsyncFunctionDef, parents: dict[ast.AST, ast.AST]
) -> list[str]:
    found = []
    for use in ast.walk(node):
        if not (isinstance(use, ast.Name) and use.id == "function"):
            continue
        parent = parents[use]
        handed = isinstance(parent, ast.Call) and use in parent.args and _name(parent.func) in HANDED_ON | LOOKED_AT
        named = isinstance(parent, ast.Attribute) and parent.attr == "__name__"
        if not (handed or named) or _function_around(use, parents) != node.name:
            found.append(f"{module}:{use.lineno} does more with the function than to hand it on")
    return found


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _function_around(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str:
    while node in parents:
        node = parents[node]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return node.name
        if isinstance(node, ast.Lambda):
            return "a lambda"
    return ""


def _module(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def test_only_the_executor_calls_an_operations_function():
    """Z4: in all of the source, and in the executor in two methods."""
    assert [one for path in sorted(SOURCE.rglob("*.py")) for one in violations(_module(path), path.read_text())] == []


def test_both_methods_ask_first_whether_they_may():
    """G8, G10: a permit before anything else, a report after everything else."""
    tree = ast.parse((SOURCE / "executor.py").read_text())
    methods = [
        one
        for one in ast.walk(tree)
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and one.name in CALLERS
    ]
    assert len(methods) == len(CALLERS)
    for method in methods:
        first = method.body[1]  # after the docstring
        assert ast.unparse(first) == "held, given = self._permitted(decision)"
        calls = [ast.unparse(one.func) for one in ast.walk(method) if isinstance(one, ast.Call)]
        assert calls.count("held.function") == 1
        assert sum("_report" in ast.unparse(one) for one in ast.walk(method) if isinstance(one, ast.Attribute)) == 2


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("runtime", "def f(self, name):\n    return self._executor._functions[name].function()"),
        ("executor", "def reserve(self, held):\n    held.function()"),
        ("executor", "def reserve(self, held):\n    call = held.function\n    call()"),
        ("executor", "def reserve(self, held):\n    held.read_back()"),
        ("orchestrator.advancing", "def advance(self, call):\n    self._executor.execute(decision, call)"),
        ("runtime", "def f(self, executor):\n    executor.hold('x', print)"),
        ("executor", "def reserve(self, name):\n    return self._functions[name].function()"),
        ("executor", "def reserve(self, name):\n    h = self._functions[name]\n    h.function()"),
        ("executor", "def reserve(self, h):\n    h.function()"),
        ("executor", "def reserve(self, decision):\n    h, given = self._permitted(decision)"),
        ("executor", "def reserve(self, decision):\n    self._permits[id(decision)] = permit"),
        ("executor", "def reserve(self, name):\n    return getattr(self, '_functions')[name]"),
        ("orchestrator.advancing", "def advance(self):\n    ex = self._executor\n    ex.execute(decision, call)"),
        ("orchestrator.advancing", "def advance(self, executor):\n    ex = executor\n    ex.execute(decision, call)"),
        ("orchestrator.advancing", "def advance(self):\n    call_it(self.operations._executor)"),
        ("orchestrator.advancing", "def advance(self):\n    Executor(recorder=recorder).execute(decision, call)"),
        ("plan_acts", "def resume(self):\n    self._operations.run_step(name, arguments, named, moves)"),
        ("runtime", "def f(self):\n    go = self._operations.run_step\n    go(name, arguments, named, moves)"),
        ("runtime", "def register(function):\n    function()\n    return self._register(facts, function, hooks)"),
        ("runtime", "def register(function):\n    self.kept = function\n    return self._register(facts, function)"),
        ("runtime", "def register(function):\n    raw = function\n    return self._register(facts, function)"),
        ("runtime", "def register(function):\n    self._register(facts, function)\n    return function"),
        ("runtime", "def register(function):\n    self._register(facts, function)\n    return lambda: function()"),
        ("runtime", "def register(function):\n    self._register(facts, function)\n    return partial(function)"),
        (
            "operations",
            "def register(function):\n    self._executor.hold(name, function)\n    functools.wraps(function)",
        ),
    ],
)
def test_every_way_around_is_seen(module, source):
    """The lint can fail: each of these is a way to execute without the gateway."""
    assert violations(module, source) != []


HERE = {
    "tenant": "acme",
    "snapshot": CONTEXT["snapshot"]["fields"],
    "data_sources": CONTEXT["data_sources"],
    "evidence": CONTEXT["evidence"],
    "references": CONTEXT["proposal"]["evidence"],
}


class Seen:
    """Notes from where a function was called: the executor's two methods, or elsewhere."""

    def __init__(self) -> None:
        self.calls: list[bool] = []

    def note(self) -> None:
        frame = sys._getframe(2)
        self.calls.append(frame.f_code.co_filename == executor.__file__ and frame.f_code.co_name in CALLERS)


@pytest.fixture
def wb():
    with open_weighbridge(policy=policy(operations={})) as made:
        yield made


@pytest.fixture
def seen():
    return Seen()


def test_whoever_calls_it_the_executor_does(wb, seen):
    """Z4: every public way to a function, each of which was decided before and is on record."""

    def work(renewal_id):
        seen.note()
        return renewal_id

    async def work_later(renewal_id):
        seen.note()
        return renewal_id

    def stored(value, renewal_id):
        seen.note()
        return {"renewal_id": renewal_id}

    now: Any = wb.writeback("now", target="crm", read_back=stored)(work)
    later = wb.operation("later", cost="CHEAP")(work_later)
    outer = wb.operation("outer", cost="CHEAP")(lambda renewal_id: [now(renewal_id)])
    with scope(**HERE) as here:
        now("r-1")
        now.with_id("op-1")("r-1")
        outer("r-1")
        wb._operations.named("now")("r-1")
        wb._operations.named("now").with_id("op-2")("r-1")
        asyncio.run(later("r-1"))
        asyncio.run(later.with_id("op-3")("r-1"))
        functools.partial(now, "r-1")()
        thread = threading.Thread(target=in_scope(functools.partial(now, "r-1")))
        thread.start()
        thread.join()
        decisions = len(here.decisions)
    assert seen.calls == [True] * len(seen.calls)
    assert (decisions, len(seen.calls)) == (10, 16)  # two for every `now`, which is read back; one for every `later`


def test_a_step_of_a_plan_is_called_by_the_executor_as_well(seen):
    """Z4: the orchestrator has no way of its own; every call is of a decision that is on record before it."""
    decided: list[bool] = []

    def act(renewal_id):
        seen.note()
        named = plans.operation_id(scopes.current().stated["plan_id"], scopes.current().stated["step_id"], 1)
        known = made.reader.identity(planned.TENANT, "op", named)
        decided.append(known is not None and known.state == "PENDING")

    with planned.opened() as made:
        for name in planned.OPERATIONS:
            made.operation(name, action=name.removeprefix("x."), cost="CHEAP")(act)
        planned.approved(made)
        assert made.run_plan("p-1", planned.TENANT).plan.status == "COMPLETED"
        planned.approved(made, "p-2")
        engine = local_engine(made)
        while engine._round(lambda: None):
            """Once more."""
        assert made.plan("p-2", planned.TENANT).status == "COMPLETED"
    assert seen.calls == decided == [True] * 6


def test_the_orchestrator_asks_the_operations_and_nobody_else():
    """Z4: one call in one place runs steps, and nothing there reaches for the executor."""
    found = [
        f"{_module(path)}.{_name(node.func)}"
        for path in [*sorted((SOURCE / "orchestrator").rglob("*.py")), SOURCE / "plan_acts.py", SOURCE / "plan_face.py"]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and _name(node.func) in {*CALLERS, "run_step", "ask", "weigh_plan", "named"}
    ]
    assert found == ["orchestrator.advancing.run_step", "plan_acts.weigh_plan"]


def test_a_call_from_elsewhere_is_seen(seen):
    """The look at who calls can fail."""

    def work():
        seen.note()

    work()
    assert seen.calls == [False]


def test_nothing_public_leads_to_a_function(wb):
    """G11: neither from the governed form nor from the Weighbridge that holds it, three steps far."""

    def secret():
        return "undecorated"

    governed = wb.operation("secret", cost="CHEAP")(secret)
    reached: dict[int, Any] = {id(start): start for start in (governed, governed.with_id("op-1"), wb, wb.reader)}
    layer = list(reached.values())
    for _ in range(3):
        layer = [value for thing in layer for value in _public(thing) if id(value) not in reached]
        reached |= {id(value): value for value in layer}
    assert secret not in [value for value in reached.values() if inspect.isfunction(value)]
    assert inspect.unwrap(governed) is governed
    assert len(reached) > 50  # it has looked


def _public(thing: Any) -> list[Any]:
    named = [name for name in dir(thing) if not name.startswith("_")] + [
        "__wrapped__",
        "__func__",
        "__self__",
        "__defaults__",
    ]
    values = [getattr(thing, name, None) for name in named]
    return [value for value in values if value is not None]


class TestNamed:
    """Z5: what is called by name is what was registered, and nothing else."""

    def test_a_registered_operation_is_called_like_any_other(self, wb):
        """G8, Z4: the same governed form, which is blocked like any other."""
        calls: list[str] = []
        governed = wb.writeback("crm.update", target="crm", action="update")(calls.append)
        assert wb._operations.named("crm.update") is governed
        closed = {"renewal": {"value": {"status": "closed"}, "source_type": "crm", "source_id": "r-1"}}
        with scope(**HERE | {"snapshot": closed}), pytest.raises(Blocked):
            wb._operations.named("crm.update")("r-1")
        assert calls == []

    @pytest.mark.parametrize(
        ("name", "near"), [("crm.updat", ("crm.update",)), ("update", ("crm.update",)), ("zzz", ()), ("", ())]
    )
    def test_an_untagged_function_cannot_be_called(self, wb, name, near):
        """Rule 7: what is not there is said, with what comes closest."""
        wb.writeback("crm.update", target="crm")(lambda: None)
        with pytest.raises(NotRegistered, match="no operation `") as caught:
            wb._operations.named(name)
        assert (caught.value.name, caught.value.near) == (name, near)
        assert "tag its function" in str(caught.value)
        assert ("did you mean `crm.update`?" in str(caught.value)) is bool(near)
