"""A process of its own that archives and stands still at one place, to be killed there.

``python -m tests.scenarios.archive_process store file before|inside|after``: before the transaction, in it with everything
written, and after its COMMIT. It prints one line when it stands still.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from weighbridge.cli import main
from weighbridge.storage.postgres import owner


def stand_still() -> None:
    print("here", flush=True)
    time.sleep(600)


def archive(store: str, file: str, where: str) -> None:
    real_detach: Callable[..., Any] = owner.detach
    real_owned: Callable[..., Any] = owner.owned

    @contextmanager
    def owned(*given: Any, reading: bool = False) -> Iterator[Any]:
        with real_owned(*given, reading=reading) as rows:
            yield rows
            if not reading:  # nothing but COMMIT is left
                stand_still()

    def detach(*given: Any) -> Any:
        if where == "before":
            stand_still()
        made = real_detach(*given)
        stand_still()
        return made

    setattr(owner, "detach", detach)  # noqa: B010 - in place of the real one
    if where == "inside":
        setattr(owner, "owned", owned)  # noqa: B010
    words = ["--store", store, "--out", file, "--through", "4", "--by", "bob", "--reason", "old", "--tenant", "acme"]
    sys.argv = ["weighbridge", "ledger", "archive", *words]
    main()


if __name__ == "__main__":
    archive(*sys.argv[1:])
