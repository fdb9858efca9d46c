"""Where the stores of a run lie and what a flush costs there: a fixed millisecond, nothing, or what the disk takes.

``FIXED`` is the mode to quote: data in memory, every flush a fixed millisecond, by a library of a few lines that is compiled
for the run and preloaded. Where that cannot be (no C compiler, no Linux), the disk stands in for it and the table says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

FLUSH_US = 1_000
_SHIM = Path(__file__).with_name("fixed_flush.c")
_MEMORY = Path("/dev/shm")

FIXED, MEMORY, DISK = "1 ms flush", "no flush", "disk"


@dataclass(frozen=True)
class Place:
    """``name`` is how the table calls it; ``environment`` what a process that measures there needs."""

    name: str
    folder: Path
    environment: dict[str, str]


@contextmanager
def places() -> Iterator[dict[str, Place]]:
    """Give the three places, as far as this machine has them; `FIXED` and `MEMORY` fall back to the disk."""
    with tempfile.TemporaryDirectory(prefix="weighbridge-bench-") as disk:
        memory = _MEMORY if sys.platform == "linux" and os.access(_MEMORY, os.W_OK) else Path(disk)
        with tempfile.TemporaryDirectory(prefix="weighbridge-bench-", dir=memory) as fast:
            for made in (
                disk,
                fast,
            ):  # a database server runs as somebody else, and has to find the library and its data
                Path(made).chmod(0o711)
            on_disk = Place(DISK, Path(disk), {})
            library = _compiled(Path(fast)) if memory is _MEMORY else None
            fixed = {"LD_PRELOAD": str(library), "BENCH_FLUSH_US": str(FLUSH_US)}
            yield {
                FIXED: Place(FIXED, Path(fast), fixed) if library else on_disk,
                MEMORY: Place(MEMORY, Path(fast), fixed | {"BENCH_FLUSH_US": "0"}) if library else on_disk,
                DISK: on_disk,
            }


def flush_seconds(folder: Path, times: int) -> list[float]:
    """Return how long each of ``times`` appends of a page with a flush takes: the floor under every durable write."""
    page = b"\0" * 4096
    took = []
    path = folder / "flush"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    flush = getattr(os, "fdatasync", os.fsync)
    try:
        for _ in range(times):
            start = time.perf_counter()
            os.write(descriptor, page)
            flush(descriptor)
            took.append(time.perf_counter() - start)
    finally:
        os.close(descriptor)
        path.unlink()
    return took


def _compiled(folder: Path) -> Path | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library = folder / "fixed_flush.so"
    done = subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", library, _SHIM], capture_output=True, text=True, check=False
    )
    return library if done.returncode == 0 else None
