"""A process that reserves and reports use, and says what it was answered: the child of the reservation crash scenario.

``python -m tests.scenarios.reserve_process STORE FIRST LAST THREADS`` asks for the operations ``op-FIRST`` to ``op-LAST``
(excluded), and prints ``op-N verdict seq`` and ``use-N``, each once it is on record. It goes on until it has done so, or is
killed.
"""

from __future__ import annotations

import os
import sys
import threading

from tests.samples import Clock, policy
from weighbridge.admission import Surroundings
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import Refusal
from weighbridge.wiring import open as open_weighbridge

CAP = 300
RESERVED = 10  # tokens of every call; it consumes as many as the last digit of its number says

CAPS = [
    {"id": "race", "hard_cap": f"{CAP}/day"},
    {"id": "tokens", "hard_cap": "1M tokens/month", "scope": {"account": "each"}, "settlement": True},
    {"id": "kept", "hard_cap": "1M tokens/month", "scope": {"tool": "llm.call"}, "soft_cap": "900k tokens"},
]


def opened(path):
    around = Surroundings(clock_ms=Clock(), entropy=os.urandom)
    operations = {"llm.call": {"kind": "action", "action_type": "update", "cost_class": "MEDIUM"}}
    return open_weighbridge(policy(operations=operations, budgets={"caps": CAPS}), path, surroundings=around)


def request(number):
    return {
        "tenant_id": "acme",
        "operation_id": f"op-{number}",
        "account_id": f"a-{number % 3}",
        "budget": {"operation": "llm.call", "amounts": {"tokens": RESERVED}},
    }


def say(*words):
    os.write(1, f"{' '.join(map(str, words))}\n".encode())  # one write, which a pipe takes whole


def work(wb, numbers):
    for number in numbers:
        decision = patiently(lambda number=number: wb.reserve(request(number)))
        say(f"op-{number}", decision.verdict.value, decision.record.seq)
        if decision.verdict is not Verdict.BLOCK:
            patiently(lambda number=number: wb.report_usage(f"op-{number}", {"tokens": number % 10}, tenant_id="acme"))
            say(f"use-{number}")


def patiently(ask):
    """Ask again after OVERLOADED, as a host does; every other refusal is a failure of the test."""
    while True:
        try:
            return ask()
        except Refusal as refusal:
            if refusal.code != "OVERLOADED":
                raise


def main(path, first, last, threads):
    with opened(path) as wb:
        shares = [range(int(first) + thread, int(last), int(threads)) for thread in range(int(threads))]
        workers = [threading.Thread(target=work, args=(wb, share)) for share in shares]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
