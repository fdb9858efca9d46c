"""The first requests of a process may come from many threads at once: every type is understood before, at import.

msgspec takes a type apart at its first use. A second thread that comes meanwhile finds it half done, and the process crashes.
"""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import weighbridge

REPOSITORY = Path(__file__).parents[2]

WATCHED = """
import sys

understood = []

def watch(frame, event, _):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        understood.append(str(frame.f_locals.get("obj")))
"""

FIRST = """
import weighbridge.verify, weighbridge.storage.audit  # loaded when needed, once
from tests.samples import cap, context, policy, weighbridge

wb = weighbridge(sys.argv[1], policy=policy(budgets={"caps": [cap("day", "9/day")]}))
sys.setprofile(watch)
wb.gate(context())
wb.reserve(context(operation_id="op-1", budget={"amounts": {"tokens": 1}}))
tokens = {"input": 1, "output": 1, "model": "m"}
wb.reserve({"tenant_id": "acme", "operation_id": "op-2", "budget": {"operation": "crm.note", "tokens": tokens}})
wb.report_usage("op-2", {"tokens": 1}, tenant_id="acme")
wb.gate(context(tenant_id="other"))
wb.verify()
sys.setprofile(None)
print(*understood, sep="\\n", end="")
"""

PLAN = """
import weighbridge.verify, weighbridge.storage.audit  # loaded when needed, once
from tests.planned import MARIA, OLE, TENANT, World, approved, opened, plan_policy

world = World()
world.does["x.meet"] = [RuntimeError("once"), RuntimeError("twice")]
goal = [{"snapshot": "renewal.status", "equals": ["renewed"]}]
wb = opened(sys.argv[1], world=world, policy=plan_policy(plan_type={"objective": goal}))
fields = {"renewal": {"value": {"status": "open"}, "source_type": "crm_renewal"}}
wb.observe(lambda tenant, account: {"snapshot": fields})
sys.setprofile(watch)
approved(wb)
wb.run_plan("p-1", TENANT)
wb.resume_plan("p-1", by=OLE, reason="again", tenant_id=TENANT)
wb.run_plan("p-1", TENANT)
wb.plan_document("p-1", TENANT)
wb.verify(TENANT)
sys.setprofile(None)
assert wb.plan("p-1", TENANT).status == "COMPLETED"
print(*understood, sep="\\n", end="")
"""

ALL = """
import importlib
sys.setprofile(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
sys.setprofile(None)
print(*understood, sep="\\n", end="")
"""

CONVERTS = {"convert", "_convert", "decode", "parse_document"}
"""What takes a type and makes one of it; the type is named where one of these is called."""


def understood(script, *given):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED + script, *given], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", [FIRST, PLAN])
@pytest.mark.parametrize("store", [":memory:", "ledger.db"])
def test_nothing_is_taken_apart_at_the_first_request(tmp_path, store, script):
    """G6: requests and plans that come at the same time crash nothing, the first ones included."""
    place = store if store == ":memory:" else str(tmp_path / store)
    assert understood(script, place) == []


def test_every_type_that_is_read_is_understood_at_import():
    """G6: also those of paths that a test does not take: whatever the source names to be read is understood at import."""
    names = [found.name for found in pkgutil.walk_packages(weighbridge.__path__, "weighbridge.")]
    modules = [name for name in names if not name.startswith("weighbridge.testing") and not name.endswith("__main__")]
    wanted = {str(kind) for name in modules for kind in types_read(importlib.import_module(name))}
    assert len(wanted) > 10
    assert wanted - {*understood(ALL, *modules)} == set()


def types_read(module):
    """Yield the types of our own that a module's source names in a call that makes one out of data."""
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] not in CONVERTS:
            continue
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        for name in (part.id for one in given for part in ast.walk(one) if isinstance(part, ast.Name)):
            yield from structs(getattr(module, name, None))


def structs(kind):
    """Yield the structs that a type is or, where it is a union, is made of."""
    for one in getattr(kind, "__args__", (kind,)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            yield one
