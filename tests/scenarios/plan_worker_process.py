"""A worker process: the child of the scenarios in which workers are stopped, killed and followed by others.

``python -m tests.scenarios.plan_worker_process STORE LOG [OPERATION]`` carries out the plans of a store until SIGTERM. Every call
of an operation is noted in the file LOG, one line each, before it does anything: what really happened, whoever knows of it. Of
the operation that is named, a call notes ``waiting`` and then takes as long as a file LOG.go is not there. It says ``ready`` when
it holds the store's lock, and ``held`` when somebody else does.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.planned import OPERATIONS, plan_policy
from weighbridge import scopes
from weighbridge.storage.locking import LockHeld
from weighbridge.wiring import local_engine
from weighbridge.wiring import open as open_weighbridge

POLL_S = 0.02
WORK_S = 0.005  # so that a kill finds a worker in the middle of a call as well


def main(store: str, log: str, slow: str = "") -> int:
    go = Path(f"{log}.go")

    def note(text: str) -> None:
        # One write, below the size a pipe or file takes whole: lines of processes never mix, and a kill leaves no half line.
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{text}\n".encode())
        os.close(descriptor)

    with open_weighbridge(plan_policy(), store) as wb:
        for name in OPERATIONS:

            def act(renewal_id: str, name: str = name) -> None:
                del renewal_id
                stated = scopes.current().stated
                note(f"{stated['plan_id']} {stated['step_id']} {stated['attempt']}")
                time.sleep(WORK_S)
                if name == slow and not go.exists():
                    note("waiting")
                    while not go.exists():
                        time.sleep(POLL_S)

            wb.operation(name, action=name.removeprefix("x."), cost="CHEAP")(_of_one_argument(act))
        engine = local_engine(wb, poll_s=POLL_S)
        try:
            with wb.orchestrator.alone.held():
                print("ready", flush=True)
                engine.serve()
        except LockHeld:
            print("held", flush=True)
            return 3
    return 0


def _of_one_argument(act):
    def operation(renewal_id):
        act(renewal_id)

    return operation


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
