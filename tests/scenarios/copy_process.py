"""A process of its own that copies a ledger and stands still at one place, to be killed there.

``python -m tests.scenarios.copy_process from to written|verified``. It prints one line when it stands still.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from weighbridge import wiring
from weighbridge.storage import copying
from weighbridge.storage.audit import verify_tenant


def stand_still(*_: Any) -> None:
    print("here", flush=True)
    time.sleep(600)


def main(source: str, target: str, where: str) -> None:
    if where == "verified":
        real = verify_tenant

        def verify(*given: Any) -> Any:
            checked = real(*given)
            if checked.tenant_id == "globex":  # the last one: nothing but COMMIT is left
                stand_still()
            return checked

        setattr(copying, "verify_tenant", verify)  # noqa: B010 - in place of the real one
        wiring.copy_store(source, target)
    wiring.copy_store(source, target, progress=stand_still)


if __name__ == "__main__":
    main(*sys.argv[1:])
