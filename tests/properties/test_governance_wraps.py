"""H5: governance wraps, it does not weave. Over a thousand generated plans, the transitions are those without any of it.

Every plan is carried out three times, with the same people deciding the same things and the operations doing the same things:
under a policy that allows everything, under one that warns of everything, and over a null executor, in which nothing weighs. What
the records say of plans and steps is compared byte for byte: their events, who did them and on whose behalf, and the rows that
follow. Only instants and the ids of runs are left out, with what the policy is called.
"""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hatchling.builders.wheel import WheelBuilder

import weighbridge
from tests.null_executor import over_nothing
from tests.planned import ADA, AGENT, MARIA, OLE, OPERATIONS, TENANT, World, opened, plan_policy
from tests.samples import Clock
from weighbridge import canonical
from weighbridge.domain.context import Role
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import UsageError
from weighbridge.ledger.record import decode
from weighbridge.plans.lifecycle import ENDED
from weighbridge.testing.plans import plan_document

PLANS, PARTS = 1000, 4
LIFE_MS = 600_000  # short: after all that wait, data that was fresh still is
NAMES = ("a", "b", "c", "d", "e")
KIM = Principal(id="kim", role=Role.ADMIN, person=True)
TYPE = {
    "actions": {"brief": {"risk": "LOW"}, "meet": {"risk": "HIGH"}, "update": {"risk": "MEDIUM", "human_touch": True}},
    "objective": [{"snapshot": "renewal.status", "equals": ["renewed"]}],
    "elevated_risk": "HIGH",
}
OF_RECORDS = ("account_id", "actor", "attempt", "operation_id", "plan_id", "principal", "step_id")


def generated(rng: random.Random, plan_id: str, now_ms: int) -> dict[str, Any]:
    """Return a plan of up to five steps with any dependencies on earlier ones."""
    steps = []
    for index, name in enumerate(NAMES[: rng.randint(1, 5)]):
        needed = sorted(rng.sample(NAMES[:index], rng.randint(0, index)))
        accepted = sorted(rng.sample(needed, rng.randint(0, len(needed))))
        step = {"step_id": name, "operation": rng.choice(OPERATIONS), "depends_on": needed, "accepts_skipped": accepted}
        touch = {"human_touch": True} if rng.random() < 0.15 else {}
        steps.append({**step, **touch})
    expires_at = format_instant(now_ms + LIFE_MS)
    return plan_document(plan_id, tuple(steps), account_id=rng.choice(("a-1", "a-2")), expires_at=expires_at)


def over(kind: str, clock: Clock, world: World) -> Any:
    """Return a Weighbridge: one that allows, warns or blocks, or one without an executor."""
    prohibited = {"compliance": {"prohibited_actions": ["brief"]}} if kind == "blocks" else {}
    wb = opened(world=world, clock=clock, policy=plan_policy(warns=kind == "warns", plan_type=TYPE, **prohibited))
    if kind != "null":
        return wb

    def function(name: str) -> Any:
        return lambda renewal_id: world.call(name, renewal_id)

    return over_nothing(wb, {name: function(name) for name in OPERATIONS})


def carried_out(kind: str, seed: int, first: int, count: int) -> tuple[list[bytes], list[bytes], set[str], list[str]]:
    """Return what the records and rows say of plans that are carried out, the verdicts there were, and the calls."""
    rng, clock, world = random.Random(seed), Clock(), World()
    wb = over(kind, clock, world)
    wb.observe(lambda _tenant, _account: _seen(rng))

    def does(_renewal_id: str) -> Any:
        chance = rng.random()
        if chance < 0.2:
            raise KeyError("x")
        if chance < 0.25:
            raise KeyboardInterrupt
        return None

    world.does = dict.fromkeys(OPERATIONS, does)
    with wb:
        for number in range(first, first + count, 2):
            live(wb, [f"p-{number}", f"p-{number + 1}"], rng, clock)
        return told(wb), rows(wb), verdicts(wb), world.calls


def _seen(rng: random.Random) -> Any:
    status = "renewed" if rng.random() < 0.03 else "open"
    return {"snapshot": {"renewal": {"value": {"status": status}, "source_type": "crm_renewal"}}}


def live(wb: Any, plan_ids: list[str], rng: random.Random, clock: Clock) -> None:
    """Propose plans and carry them out side by side, with people who decide anything about them, at any time."""
    clock.now_ms += 1_000
    for plan_id in plan_ids:
        wb.propose_plan(generated(rng, plan_id, clock.now_ms))
    going = list(plan_ids)
    for _ in range(50):
        if not going:
            return
        plan_id, chance = rng.choice(going), rng.random()
        clock.now_ms += LIFE_MS if chance > 0.99 else 0
        if chance < 0.1:
            _tried(ACTS[rng.choice([*ACTS])], wb, plan_id, rng)
        elif _went_on(wb, plan_id, rng, all_the_way=chance < 0.2):
            going.remove(plan_id)
    for plan_id in going:
        _tried(ACTS["abort"], wb, plan_id, rng)


GOES_ON = {"NOT_APPROVED": ("submit", "approve"), "ACTIVATION_REFUSED": ("activate",), "PAUSED": ("resume",)}
"""What people do about a plan that waits."""


def _went_on(wb: Any, plan_id: str, rng: random.Random, *, all_the_way: bool) -> bool:
    """Carry a plan on, and have people do what it waits for; return whether it has ended."""
    try:
        done = wb.run_plan(plan_id, TENANT) if all_the_way else wb.advance_plan(plan_id, TENANT)
    except KeyboardInterrupt:
        return False
    for name in GOES_ON.get(done.waits_for, ()):
        _tried(ACTS[name], wb, plan_id, rng)
    return done.plan.status in ENDED


ACTS: dict[str, Any] = {
    "submit": lambda wb, plan, _rng: wb.submit_plan(plan, by=AGENT, tenant_id=TENANT),
    "approve": lambda wb, plan, rng: wb.approve_plan(
        plan,
        by=rng.choice((MARIA, KIM, ADA)),
        reason="yes",
        revision=wb.plan(plan, TENANT).revision,
        tenant_id=TENANT,
    ),
    "reject": lambda wb, plan, _rng: wb.reject_plan(plan, by=MARIA, reason="no", tenant_id=TENANT),
    "edit": lambda wb, plan, rng: wb.edit_plan(plan, {"objective": f"{rng.random()}"}, by=ADA, tenant_id=TENANT),
    "activate": lambda wb, plan, _rng: wb.activate_plan(plan, by=OLE, tenant_id=TENANT),
    "pause": lambda wb, plan, _rng: wb.pause_plan(plan, by=OLE, reason="wait", tenant_id=TENANT),
    "resume": lambda wb, plan, _rng: wb.resume_plan(plan, by=OLE, reason="go on", tenant_id=TENANT),
    "skip": lambda wb, plan, rng: wb.skip_step(plan, rng.choice(NAMES), by=OLE, reason="by hand", tenant_id=TENANT),
    "abort": lambda wb, plan, _rng: wb.abort_plan(plan, by=OLE, reason="stop", tenant_id=TENANT),
}


def _tried(act: Any, *args: Any) -> None:
    with contextlib.suppress(UsageError):  # what cannot be done now is refused, over each of them
        act(*args)


def told(wb: Any) -> list[bytes]:
    """Return what every record says of plans: its events of plans and steps, and who did what on whose behalf."""
    found = []
    for stored in wb.reader.records(TENANT):
        record = decode(stored.body)
        of_plans = [event for event in record.events if event["type"].startswith(("PLAN_", "STEP_"))]
        common = {name: record.common[name] for name in OF_RECORDS if name in record.common}
        found.append(canonical.encode([stored.seq, common, of_plans]))
    return found


def rows(wb: Any) -> list[bytes]:
    return [canonical.encode(msgspec.to_builtins(row)) for row in wb.plans(tenant_id=TENANT)]


def verdicts(wb: Any) -> set[str]:
    decoded = (decode(stored.body) for stored in wb.reader.records(TENANT))
    return {
        event["result"] for record in decoded for event in record.events if event["type"] == "VALIDATOR_RUN_SUMMARY"
    }


@pytest.mark.parametrize("part", range(PARTS))
def test_the_transitions_are_those_over_nothing(part):
    """H5, G7: byte for byte, ids and times apart, and with WARNs everywhere, too."""
    count = PLANS // PARTS
    over_null, null_rows, _, null_calls = carried_out("null", part, part * count, count)
    for kind, only in (("allows", {Verdict.ALLOW}), ("warns", {Verdict.WARN})):
        events, found, seen, calls = carried_out(kind, part, part * count, count)
        assert seen == only
        assert calls == null_calls
        for number, (ours, theirs) in enumerate(zip(events, over_null, strict=True)):
            assert ours == theirs, f"{kind}: record {number + 1}"
        assert found == null_rows
    types = b"".join(over_null).decode()
    for name in ("EXPIRED", "COMPLETED", "ABORTED", "PAUSED", "RESUMED", "UPDATED", "REJECTED", "ACTIVATION_REFUSED"):
        assert f"PLAN_{name}" in types, f"no plan was ever {name}: the plans are too tame"
    for name in ("STEP_FAILED", "STEP_SKIPPED", "OUTCOME_UNKNOWN", "objective_met", "HUMAN_TOUCH_REQUIRED"):
        assert name in types


def test_it_would_be_seen():
    """The comparison can fail: a policy that blocks takes other transitions."""
    allowed, _, _, _ = carried_out("null", 1, 0, 20)
    assert carried_out("null", 1, 0, 20)[0] == allowed
    assert carried_out("blocks", 1, 0, 20)[0] != allowed


def test_nobody_ships_it():
    """H5: the null executor exists in the tests alone: nothing of the package names it, or anything else of the tests."""
    source = Path(weighbridge.__file__).parent
    for path in source.rglob("*.py"):
        text = path.read_text("utf-8")
        assert "null_executor" not in text, path
        assert "NullExecutor" not in text, path
        assert not any(line.startswith(("from tests", "import tests")) for line in text.splitlines()), path


def test_it_is_not_in_the_wheel():
    """H5: a look at what a wheel would hold, which is every file of the package and no other."""
    root = Path(__file__).parents[2]
    shipped = {file.distribution_path for file in WheelBuilder(str(root)).recurse_included_files()}
    assert "weighbridge/executor.py" in shipped
    assert [path for path in shipped if not path.startswith("weighbridge/")] == []
    assert [path for path in shipped if "null" in path] == []
    assert (root / "tests" / "null_executor.py").exists()
