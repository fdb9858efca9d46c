"""A worker process whose world can be looked at from outside: the child of the scenario in which it is killed at any moment.

``python -m tests.scenarios.plan_crash_process STORE LOG`` carries out the plans of a SQLite store until SIGTERM. It says
``ready`` when the store's lock is its own, and ``held`` when that is somebody else's.

The file LOG is the world. A call of an operation is one line in it, flushed before anything else happens; what came of the call,
``done`` or ``failed``, is another one. As long as there is a file LOG.before or LOG.after, calls wait before or after that.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.planned import PLAN_TYPE, plan_policy
from tests.samples import NOW_MS
from weighbridge import scopes
from weighbridge.admission import Surroundings
from weighbridge.runtime import Weighbridge
from weighbridge.storage.locking import LockHeld
from weighbridge.wiring import local_engine
from weighbridge.wiring import open as open_weighbridge

NAMES = ("brief", "meet", "update", "forbidden")
ACTIONS = {name: {"risk": "LOW"} for name in NAMES}
FAILS = {"flaky": 1, "stubborn": 2}
"""How often the step `meet` fails, of plans of that kind: their id begins with it."""

POLICY = plan_policy(
    plan_types={
        "RENEWAL_DEFENSE": PLAN_TYPE | {"actions": ACTIONS},
        "ONE_GO": PLAN_TYPE | {"actions": ACTIONS, "on_block": "abort"},
    },
    budgets={
        "caps": [
            {"id": "account", "scope": {"account": "each"}, "hard_cap": "unlimited operations/month"},
            {"id": "never", "scope": {"tool": "x.forbidden"}, "hard_cap": "0/month"},
        ]
    },
)
POLL_S = 0.02
WORK_S = 0.015
HELD = 3


class Line(NamedTuple):
    """A line of the world: what became of an attempt. ``said`` is ``.`` for the call itself."""

    plan_id: str
    step_id: str
    attempt: int
    said: str


class World:
    """The log of what really happened, which nobody but the operations writes."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def lines(self) -> list[Line]:
        """Return what stands in it; of a line that a kill cut off, nothing."""
        whole = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        parts = [line.split() for line in whole]
        return [Line(found[0], found[1], int(found[2]), found[4]) for found in parts if len(found) == 5]

    def call(self) -> None:
        """Be called, as the step that is running: fail as often as its plan is made to, else do what there is to do."""
        stated = scopes.current().stated
        plan_id, step_id = stated["plan_id"], stated["step_id"]
        attempt = f"{plan_id} {step_id} {stated['attempt']} {os.getpid()}"
        self._note(f"{attempt} .")
        self._wait("before")
        time.sleep(WORK_S)
        before = sum(line[:2] == (plan_id, step_id) and line.said == "failed" for line in self.lines)
        fails = step_id == "meet" and before < FAILS.get(plan_id.partition("-")[0], 0)
        self._note(f"{attempt} {'failed' if fails else 'done'}")
        self._wait("after")
        if fails:
            raise ConnectionError(plan_id)

    def _note(self, text: str) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{text}\n".encode())
        os.fsync(descriptor)
        os.close(descriptor)

    def gate(self, place: str) -> Path:
        """Return the file at which calls wait, ``before`` or ``after`` they have done something."""
        return Path(f"{self.path}.{place}")

    def _wait(self, place: str) -> None:
        while self.gate(place).exists():
            time.sleep(POLL_S)


def opened(store: str | Path, world: World) -> Weighbridge:
    """Return a Weighbridge whose operations act on that world."""
    wb = open_weighbridge(POLICY, store, surroundings=Surroundings(clock_ms=lambda: NOW_MS, entropy=os.urandom))

    def function() -> Any:
        def act(renewal_id: str) -> None:
            del renewal_id
            world.call()

        return act

    for name in NAMES:
        wb.operation(f"x.{name}", action=name, cost="CHEAP")(function())
    return wb


def main(store: str, log: str) -> int:
    with opened(store, World(log)) as wb:
        try:
            with wb.orchestrator.alone.held():
                print("ready", flush=True)
                local_engine(wb, poll_s=POLL_S).serve()
        except LockHeld:
            print("held", flush=True)
            return HELD
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
