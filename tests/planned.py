"""A Weighbridge with a plan type and three operations whose behaviour a test scripts: what the tests of plans stand on."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from tests.samples import Clock, policy, surroundings
from weighbridge.domain.context import Role
from weighbridge.domain.plan import PlanState
from weighbridge.domain.principal import Principal
from weighbridge.ledger.record import Event, events
from weighbridge.plan_acts import GROUNDS
from weighbridge.recorder import Recorder
from weighbridge.runtime import Weighbridge
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing import plans
from weighbridge.testing.plans import plan_document
from weighbridge.wiring import LOCAL_HOST, load_document, make_gateway
from weighbridge.wiring import open as open_weighbridge

TENANT = "acme"
EXPIRES_MS = plans.EXPIRES_MS
MARIA = Principal(id="maria", role=Role.APPROVER, person=True)
ADA = Principal(id="ada", role=Role.ADMIN, person=True)
OLE = Principal(id="ole", role=Role.OPERATOR, person=True)
AGENT = Principal(id="agent-1", role=Role.AGENT)

PLAN_TYPE: dict[str, Any] = {
    "actions": {"brief": {"risk": "LOW"}, "meet": {"risk": "LOW"}, "update": {"risk": "LOW"}},
    "max_retries": 1,
    "lifetime": "30d",
}
OPERATIONS = ("x.brief", "x.meet", "x.update")


def plan_policy(*, warns: bool = False, plan_type: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return a policy that allows the plans of `testing.plans`; ``warns``: every run is a WARN, because the data is aging."""
    ttl = {"soft_ttl": "1d" if warns else "7d", "hard_ttl": "60d"}
    sections = {
        "operations": {},
        "sources": {"crm_renewal": {"trust": "system_of_record"}},
        "freshness": {"source_types": {"crm_renewal": ttl}},
        "contradiction": {"rules": []},
        "plan_types": {"RENEWAL_DEFENSE": copy.deepcopy(PLAN_TYPE) | (plan_type or {})},
    }
    return policy(**(sections | changes))


class World:
    """What operations do: they note that they were called, and then what is scripted for their step."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.does: dict[str, Any] = {}

    def call(self, name: str, renewal_id: str) -> Any:
        """Note a call, and do what the script says: raise what is an exception, call what can be called."""
        self.calls.append(name)
        scripted = self.does.get(name)
        if isinstance(scripted, list):
            scripted = scripted.pop(0) if scripted else None
        if isinstance(scripted, BaseException):
            raise scripted
        return scripted(renewal_id) if callable(scripted) else scripted

    @property
    def counts(self) -> Counter[str]:
        """Return how often each operation was called."""
        return Counter(self.calls)

    def connect(self, wb: Weighbridge) -> None:
        """Register the three operations."""
        for name in OPERATIONS:
            wb.operation(name, action=name.removeprefix("x."), cost="CHEAP")(self._function(name))

    def _function(self, name: str) -> Any:
        def act(renewal_id: str) -> Any:
            return self.call(name, renewal_id)

        return act


def opened(
    store: Any = ":memory:", *, world: World | None = None, clock: Clock | None = None, **options: Any
) -> Weighbridge:
    """Return a Weighbridge with the plan policy, and with the operations of ``world`` where there is one."""
    given = options.pop("policy", None) or plan_policy()
    wb = open_weighbridge(given, store, surroundings=surroundings(clock), **options)
    if world is not None:
        world.connect(wb)
    return wb


def beside(store: MemoryStore, *, world: World, clock: Clock, given: dict[str, Any] | None = None) -> Weighbridge:
    """Return one of several Weighbridges on one store in memory: another worker, as if in another process."""
    wb = Weighbridge(
        policy=load_document(given or plan_policy()),
        recorder=Recorder(store),
        reader=store,
        close=lambda: None,
        gateway=make_gateway(),
        principal=LOCAL_HOST,
        surroundings=surroundings(clock),
    )
    world.connect(wb)
    return wb


def proposed(
    wb: Weighbridge, plan_id: str = "p-1", steps: tuple[dict[str, Any], ...] = (), **changes: Any
) -> PlanState:
    """Return a plan that was proposed."""
    said, grounds = brought(plan_document(plan_id, steps, **changes))
    return wb.propose_plan(said, by=AGENT, grounds=grounds)


def brought(document: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what an agent says of a plan, and the grounds that its host states for it (Z5)."""
    grounds = {name: document[name] for name in GROUNDS if name in document}
    return {name: value for name, value in document.items() if name not in grounds}, grounds


def approved(
    wb: Weighbridge, plan_id: str = "p-1", steps: tuple[dict[str, Any], ...] = (), **changes: Any
) -> PlanState:
    """Return a plan that was proposed, submitted and approved."""
    proposed(wb, plan_id, steps, **changes)
    read = wb.submit_plan(plan_id, by=AGENT, tenant_id=TENANT)
    approval = wb.approve_plan(plan_id, by=MARIA, revision=read.revision, tenant_id=TENANT)
    assert approval.approved, approval.decision.reasons
    return approval.plan


def told(wb: Weighbridge, plan_id: str | None = None) -> list[Event]:
    """Return the events of plans and steps, in order: of one plan or of all."""
    found = [event for stored in wb.reader.records(TENANT) for event in events(stored.body)]
    of_plans = [event for event in found if event.type.startswith(("PLAN_", "STEP_"))]
    return [event for event in of_plans if plan_id in {None, event.fields["plan_id"]}]


def types(wb: Weighbridge, plan_id: str | None = None) -> list[str]:
    """Return the types of the events of plans and steps."""
    return [event.type for event in told(wb, plan_id)]
