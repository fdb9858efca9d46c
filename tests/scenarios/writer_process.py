"""A process that writes to a store and says what it was answered: the child of the crash and concurrency scenarios.

``python -m tests.scenarios.writer_process STORE PREFIX THREADS [DECISIONS]`` prints one line for each answered request, as it is
answered: ``id seq replayed``. Without a number of decisions it goes on until it is killed. Ids that start with ``shared`` are
asked for by every process.
"""

import itertools
import os
import sys
import threading

from weighbridge.domain.verdict import Verdict
from weighbridge.errors import Refusal
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.submissions import EXPENSIVE, completion, decision, draft, with_content

SHARED_EVERY = 5
BLOCKED_EVERY = 7
CONTENT_EVERY = 3


def submissions(prefix, number):
    """Return what request ``number`` of this process submits: a decision, and sometimes how its operation ended."""
    shared = number % SHARED_EVERY == 0
    name = f"shared-{number}" if shared else f"{prefix}-{number}"
    verdict = Verdict.BLOCK if number % BLOCKED_EVERY == 0 else Verdict.ALLOW
    runs = (draft(f"{name}-a"), draft(f"{name}-b", choke_point=EXPENSIVE, verdict=verdict))
    yield name, decision(*runs, operation=name, tenant=f"tenant-{number % 2}")
    if verdict is Verdict.ALLOW:
        yield f"end {name}", completion(name, tenant=f"tenant-{number % 2}")


def say(name, committed):
    # One write, below the size a pipe takes whole: lines of threads never mix, and a kill leaves no half line unnoticed.
    os.write(1, f"{name.replace(' ', ':')} {committed.seq} {int(committed.replayed)}\n".encode())


def work(store, prefix, decisions):
    for number in itertools.count() if decisions is None else range(decisions):
        for name, submission in submissions(prefix, number):
            say(name, patiently(store, submission))
        if number % CONTENT_EVERY == 0:
            body = f'"{prefix} {number}"'.encode()
            name = f"{prefix}-{number}-content"
            say(name, patiently(store, with_content(name, store.tenant_key("tenant-0"), body, tenant="tenant-0")))


def patiently(store, submission):
    """Ask again after OVERLOADED, as a host does; every other refusal is a failure of the test."""
    while True:
        try:
            return store.commit(submission)
        except Refusal as refusal:
            if refusal.code != "OVERLOADED":
                raise


def main(path, prefix, threads, decisions=None):
    store = SqliteStore(path, entropy=os.urandom)
    workers = [
        threading.Thread(target=work, args=(store, f"{prefix}-{thread}", decisions and int(decisions)))
        for thread in range(int(threads))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
