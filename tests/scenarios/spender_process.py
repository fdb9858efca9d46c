"""A process that reserves, reports and changes policies until it is killed, and says what it was answered.

``python -m tests.scenarios.spender_process STORE PREFIX THREADS`` prints one line for each answer: the name of the step and the
number of its record, ``-`` where it has none: refused for what it is, or told what the record of another step says. Thread n
takes the steps of writer ``PREFIX.n`` in order (`tests.book.step_of`), so that whoever killed it knows what was under way.
"""

import itertools
import os
import sys
import threading

from tests.book import TENANTS, step_of
from weighbridge.errors import IdempotencyConflict, NotFound
from weighbridge.storage.sqlite import SqliteStore


def work(store, prefix):
    keys = {tenant: store.tenant_key(tenant) for tenant in TENANTS}
    for number in itertools.count():
        step = step_of(prefix, number)
        try:
            answer = store.commit(step.submission(keys[step.tenant]))
            seq = "-" if answer.replayed else str(answer.seq)
        except (NotFound, IdempotencyConflict):
            seq = "-"
        os.write(1, f"{step.name} {seq}\n".encode())  # one write: a kill leaves no half line unnoticed


def main(path, prefix, threads):
    store = SqliteStore(path, entropy=os.urandom)
    for thread in range(int(threads)):
        threading.Thread(target=work, args=(store, f"{prefix}.{thread}")).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
