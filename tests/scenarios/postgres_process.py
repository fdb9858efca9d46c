"""A process of its own that reserves under a cap on PostgreSQL, and writes down every answer it was given, as soon as it is.

``python -m tests.scenarios.postgres_process dsn prefix threads each cap answers-file``. After a refusal it asks again under the
same id.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from weighbridge.errors import Refusal, StoreError
from weighbridge.storage.postgres import PostgresStore
from weighbridge.testing.submissions import cap, reservation

TENANTS = 3
WAIT_S = 0.05


def opened(dsn: str, until: float) -> PostgresStore:
    while True:
        try:
            return PostgresStore(dsn, entropy=os.urandom, lanes=2)
        except StoreError:
            if time.monotonic() > until:
                raise
            time.sleep(WAIT_S)


def main(dsn: str, prefix: str, *, threads: int, each: int, hard: int, path: str) -> None:
    caps = [cap("race", hard), cap("each", None, scope=(("account", None),)), cap("tok", None, unit="tokens")]
    until = time.monotonic() + 90
    store = opened(dsn, until)
    written = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def work(number: int) -> None:
        for count in range(each):
            name, tenant = f"{prefix}-{number}-{count}", f"t-{(number + count) % TENANTS}"
            asked = reservation(
                name, caps, tenant=tenant, account=f"a-{number}", amounts={"operations": 1, "tokens": 7}
            )
            while True:
                try:
                    answer = store.commit(asked)
                except (Refusal, StoreError) as error:
                    os.write(written, f"refused {tenant} {name} {getattr(error, 'code', 'STORE')}\n".encode())
                    if time.monotonic() > until:
                        raise
                    time.sleep(WAIT_S)
                else:
                    line = (
                        f"answered {tenant} {name} {answer.seq} {answer.state} {answer.hash.hex()} {answer.replayed}\n"
                    )
                    os.write(written, line.encode())
                    break

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    store.close()


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0], given[1], threads=int(given[2]), each=int(given[3]), hard=int(given[4]), path=given[5])
