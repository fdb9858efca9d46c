"""A process that decides on a store until its standard input ends: the one that was started before an upgrade.

``python -m tests.scenarios.upgrade_process STORE PREFIX`` says ``ready`` after its first record, and ``again`` whenever it was
sent a line and has written some more since, for tenants old and new. At the end it verifies what it sees.
"""

import sys
import threading
import time

from weighbridge import wiring
from weighbridge.canonical import keyed_hash
from weighbridge.errors import Refusal
from weighbridge.storage.audit import verify_store
from weighbridge.testing.submissions import cap, decision, draft, erasure, reservation, with_content

CAPS = [cap("day", None), cap("tok", None, unit="tokens")]


def patiently(commit):
    """Ask again after OVERLOADED, as a host does; every other refusal is a failure of the test."""
    while True:
        try:
            return commit()
        except Refusal as refusal:
            if refusal.code != "OVERLOADED":
                raise


def write(store, name):
    fresh = f"tenant-{name}"  # whose key is made now
    patiently(lambda: store.commit(decision(draft(name), tenant="old")))
    patiently(lambda: store.commit(reservation(name, CAPS, tenant="old", amounts={"operations": 1, "tokens": 3})))
    key, body = store.tenant_key(fresh), name.encode()
    patiently(lambda: store.commit(with_content(name, key, body, tenant=fresh)))
    patiently(lambda: store.erase_content(fresh, (keyed_hash(key, body),), erasure(tenant=fresh)))


def main(place, prefix):
    store = wiring.open_store(place, purpose="enforcement", surroundings=wiring.system_surroundings())
    asked, ended = threading.Semaphore(0), threading.Event()

    def listen():
        for _ in sys.stdin:
            asked.release()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    done = 0
    while not ended.is_set():
        write(store, f"{prefix}-{done}")
        done += 1
        if done == 1:
            print("ready", flush=True)
        if done % 3 == 0 and asked.acquire(blocking=False):
            print("again", flush=True)
        time.sleep(0.01)
    checked = verify_store(store)
    print("verified" if checked.ok else checked, store.head("old").seq >= 2 * done, done, flush=True)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
