"""The plans that are measured, and one of several workers that carry them out: ``python -m tests.bench.plan_worker STORE GATE``.

A worker says ``ready``, and works until SIGTERM. As long as the file GATE is there, calls wait: so that workers begin together.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import reserve, workload
from weighbridge import wiring
from weighbridge.admission import Surroundings
from weighbridge.domain.context import Role
from weighbridge.domain.instant import format_instant
from weighbridge.domain.principal import Principal
from weighbridge.runtime import Weighbridge

TENANT = "acme"
STEPS = 5
AT_ONCE = 8
LOOK_S = 0.2
POLICY: dict[str, Any] = reserve.POLICY | {
    "plan_types": {"RENEWAL": {"actions": {"update_renewal": {"risk": "LOW"}}, "max_retries": 1, "lifetime": "30d"}}
}
"""The ten rules and the four caps of the other groups, and a type of plan."""

OPERATION = reserve.OPERATION
_DAY_MS = 86_400_000
_NOW_MS = 1_795_341_600_000  # that of the requests: data that is fresh today is fresh whenever this runs
_MARIA = Principal(id="maria", role=Role.APPROVER, person=True)
_AGENT = Principal(id="renewal-agent", role=Role.AGENT)


class Work:
    """What the operation does: count, wait while there is a gate, and take its time."""

    def __init__(self, gate: Path | None = None, seconds: float = 0.0) -> None:
        self.gate, self.seconds = gate, seconds
        self.calls = 0

    def __call__(self, **_arguments: Any) -> None:
        """Do it."""
        while self.gate is not None and self.gate.exists():
            time.sleep(0.005)
        if self.seconds:
            time.sleep(self.seconds)
        self.calls += 1


def opened(store: str | Path, work: Work) -> Weighbridge:
    """Return a Weighbridge that has the operation of the plans."""
    around = Surroundings(clock_ms=lambda: _NOW_MS, entropy=os.urandom)
    wb = wiring.open(POLICY, store, surroundings=around)

    @wb.writeback(OPERATION, target="crm", action="update_renewal", cost="MEDIUM")
    def update(
        *, renewal_id: str, recipient: str, stage: str, discount_percent: int, currency: str, owner: str, note: str
    ) -> None:
        work(renewal_id=renewal_id)

    return wb


def approve(wb: Weighbridge, number: int) -> str:
    """Let a plan that nobody made before be approved, for an account of its own, and return its id."""
    asked = workload.request(number)
    proposal, plan_id = asked["proposal"], f"P-{number:07d}"
    steps = [
        {
            "step_id": f"s-{step}",
            "operation": OPERATION,
            "arguments": proposal["arguments"] | {"note": f"step {step} of {plan_id}"},
            "evidence": proposal["evidence"],
            "depends_on": [f"s-{step - 1}"] if step else [],
        }
        for step in range(STEPS)
    ]
    known = {name: asked[name] for name in ("account_id", "snapshot", "data_sources", "evidence", "tenant_id")}
    about = {"plan_id": plan_id, "plan_type": "RENEWAL", "objective": "renewed"}
    wb.propose_plan(known | about | {"expires_at": format_instant(_NOW_MS + 9 * _DAY_MS), "steps": steps})
    wb.submit_plan(plan_id, by=_AGENT, tenant_id=TENANT)
    approval = wb.approve_plan(plan_id, by=_MARIA, revision=2, tenant_id=TENANT)
    assert approval.approved, approval.decision.reasons
    return plan_id


def main(store: str, gate: str) -> None:
    with opened(store, Work(Path(gate))) as wb:
        worker = wiring.dbos_engine(wb, look_s=LOOK_S, at_once=AT_ONCE)
        worker.start()
        print("ready", flush=True)
        worker.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
