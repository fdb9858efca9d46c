"""One of several workers that carry out plans until they are killed or told to end, and write down every call of an operation.

``python -m tests.scenarios.many_workers_process STORE ENGINE CALLS SECONDS [LEASE]``: ``SECONDS`` is how long a call takes. It
prints ``ready`` when it has begun (a local one: when it is about to), and ``ended`` when it has.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.planned import OPERATIONS, PLAN_TYPE, plan_policy
from tests.samples import NOW_MS
from weighbridge import scopes, wiring
from weighbridge.admission import Surroundings
from weighbridge.runtime import Weighbridge

BUDGETS = {"caps": [{"id": "all", "hard_cap": "unlimited operations/month"}]}
PLAN_TYPES = ("RENEWAL_DEFENSE", "WIN_BACK")
LOOK_S = 0.2


def opened(store: str, calls: str | Path, seconds: float = 0.0) -> Weighbridge:
    """Return a Weighbridge with operations that write down that they were called: one write, before anything else."""
    around = Surroundings(clock_ms=lambda: NOW_MS, entropy=os.urandom)
    given = plan_policy(budgets=BUDGETS, plan_types=dict.fromkeys(PLAN_TYPES, PLAN_TYPE))
    wb = wiring.open(given, store, surroundings=around)
    written = os.open(calls, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def function(name: str) -> Any:
        def act(renewal_id: str) -> None:
            stated = scopes.current().stated
            line = f"{stated['plan_id']} {stated['step_id']} {stated['attempt']} {os.getpid()} .\n"
            os.write(written, line.encode())
            time.sleep(seconds)

        return act

    for name in OPERATIONS:
        wb.operation(name, action=name.removeprefix("x."), cost="CHEAP")(function(name))
    return wb


def main(store: str, engine: str, calls: str, seconds: str, lease: str = "3") -> None:
    logging.basicConfig(stream=sys.stderr, format=f"{os.getpid()} %(name)s %(message)s")
    with opened(store, calls, float(seconds)) as wb:
        if engine == "dbos":
            worker: Any = wiring.dbos_engine(wb, lease_s=float(lease), look_s=LOOK_S)
        else:
            worker = wiring.local_engine(wb, poll_s=LOOK_S)
        if engine == "dbos":
            worker.start()
        print("ready", flush=True)
        worker.serve()
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
