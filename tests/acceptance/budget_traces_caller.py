"""A process that asks for calls of a trace and says what it was answered; it may be killed at any moment.

``python -m tests.acceptance.budget_traces_caller`` reads one JSON object from its first line of input::

    {"policy": {...}, "store": "path", "requests": [...], "threads": 8, "batch": 5}

It writes ``ready``, waits for a second line, and then prints ``operation_id answer`` for each request as it is answered. With one
thread requests are asked in order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import weighbridge
from weighbridge.domain.decision import OperationDecision
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import Refusal
from weighbridge.runtime import Weighbridge

ALLOWED = "A"
Asked = dict[str, Any]
Told = Callable[[Sequence[tuple[str, str]]], None]


def open_for_replay(policy: Any, store: str | Path) -> Weighbridge:
    """Open a store for evaluation: calls bring their own times along (B9)."""
    return weighbridge.open(policy, store, purpose="evaluation")


def answer_text(decision: object) -> str:
    """Return an answer as text: ``A`` (reserved), ``D:`` and every cap that would be exceeded, or ``X:`` and what else it was."""
    if not isinstance(decision, OperationDecision) or decision.budget is None:
        return f"X:{type(decision).__name__}"
    if decision.verdict is not Verdict.BLOCK:
        return ALLOWED
    exceeded = [one.cap for one in decision.budget.caps if one.verdict is Verdict.BLOCK]
    return f"D:{','.join(exceeded)}" if exceeded else f"X:{decision.budget.reason}"


def ask(wb: Weighbridge, requests: Sequence[Asked], *, threads: int, batch: int, told: Told) -> None:
    """Ask for every request, ``batch`` at a time, from many threads, and tell of answers as they come."""
    waiting = deque(requests[first : first + batch] for first in range(0, len(requests), batch))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            while not failed:
                some = waiting.popleft()
                told([(one["operation_id"], text) for one, text in zip(some, _answers(wb, some), strict=True)])
        except IndexError:
            return  # nothing is left
        except BaseException as error:  # noqa: BLE001 - the thread ends; whoever waits for it raises
            failed.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failed:
        raise failed[0]


def _answers(wb: Weighbridge, requests: Sequence[Asked]) -> list[str]:
    """Ask again after OVERLOADED, as a host does; whatever else is wrong shows as an answer that nobody expects."""
    while True:
        try:
            answers = [wb.reserve(requests[0])] if len(requests) == 1 else wb.answer_many(requests)
        except Refusal as refusal:
            if refusal.code != "OVERLOADED":
                raise
            time.sleep(0.01)
        else:
            return [answer_text(answer) for answer in answers]


def main() -> None:
    """Do what the first line of the input says."""
    job = json.loads(sys.stdin.readline())
    one_at_a_time = threading.Lock()

    def told(answers: Sequence[tuple[str, str]]) -> None:
        said = "".join(f"{operation_id} {text}\n" for operation_id, text in answers).encode()
        with one_at_a_time:  # a pipe mixes the lines of writes that are larger than it takes whole
            os.write(1, said)

    with open_for_replay(job["policy"], job["store"]) as wb:
        os.write(1, b"ready\n")
        sys.stdin.readline()
        ask(wb, job["requests"], threads=job["threads"], batch=job["batch"], told=told)


if __name__ == "__main__":
    main()
