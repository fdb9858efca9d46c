"""A client of its own that asks everything a store can be asked, until it is told to end (SIGTERM), killed or frozen.

``python -m tests.scenarios.linear_process dsn client threads lanes answers-file``. What each thread asks follows from its name
and a number alone, so that whoever reads the answers knows what was asked. Before it asks it writes down that it does, and when;
after it was answered what it heard, and when, before it asks again. A line is one write: a kill of the process loses none.
What is refused is asked again under the same id, always where the outcome is unknown, else mostly.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from functools import lru_cache
from typing import Any

from tests.linear import UNKNOWN, Ask
from weighbridge.canonical import keyed_hash
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import Refusal, StoreError, WeighbridgeError
from weighbridge.ledger.submission import Committed, Submission
from weighbridge.storage.postgres import PostgresStore
from weighbridge.testing.submissions import (
    NOW_MS,
    SKEW_MS,
    authorisation,
    cap,
    completion,
    decision,
    draft,
    ended,
    erasure,
    reservation,
    usage,
    with_content,
)

TENANTS = ("hot", "warm")
KEY = b"\7" * 32
RACE, LOWER, TOKENS, FEW = 900, 600, 2_500, 60
ACCOUNTS = ("a-1", "a-2", "a-3")
POLICIES = (
    (
        cap("race", RACE),
        cap("tokens", TOKENS, unit="tokens", scope=(("account", None),), settles=True),
        cap("tools", None, scope=(("tool", None),), soft=50),
    ),
    (
        cap("race", LOWER),
        cap("tokens", TOKENS, unit="tokens", scope=(("account", None),), settles=True),
        cap("few", FEW, scope=(("account", "a-1"), ("tool", "crm"))),  # new each time it comes into force (B14)
    ),
)
BODIES = (b"one", b"\xff", b"")
WAIT_S, OPEN_S_MAX = 0.02, 60.0


# --- What is asked -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def turn(thread: str, number: int) -> list[Ask]:
    """Return what a thread asks in one turn: mostly one thing, else a few that are handed in together."""
    chance = random.Random(f"{thread}-{number}")
    count = chance.choice((1, 1, 1, 1, 1, 1, 3, 5))
    asks = [_ask(chance, thread, number, place) for place in range(count)]
    return asks if count == 1 else [one for one in asks if one.submission is not None and not one.erases]


def asked_as(name: str) -> Ask:
    """Return the question of a name."""
    where, _, place = name.partition("/")
    thread, _, number = where.rpartition("-")
    return next(one for one in turn(thread, int(number)) if one.name.partition("/")[2] == place)


def _ask(chance: random.Random, thread: str, number: int, place: int) -> Ask:
    name = f"{thread}-{number}/{place}"
    tenant = chance.choice((TENANTS[0], *TENANTS))
    at_ms = NOW_MS + chance.randrange(SKEW_MS) if chance.random() > 0.03 else NOW_MS - 2 * SKEW_MS
    given: dict[str, Any] = {"tenant": tenant, "at_ms": at_ms}
    kind = chance.random()
    if kind < 0.45 or place:
        return Ask(name, tenant, _reservation(chance, name, given))
    if kind < 0.62:  # ids that others ask for at the same time, and some of them something else
        shared, another = f"shared-{number // 2}", chance.random() < 0.15
        return Ask(name, tenant, _reservation(random.Random(shared), shared, given, other=another))
    if kind < 0.80:
        of = f"{thread}-{number - chance.randrange(1, 6)}/0" if chance.random() < 0.7 else f"shared-{number // 2 - 1}"
        return Ask(name, tenant, _told(chance, of, given))
    return _other(chance, kind, Ask(name, tenant), given)


def _other(chance: random.Random, kind: float, look: Ask, given: dict[str, Any]) -> Ask:
    """Return a question that is not about an operation: a run alone, leave to retry, content, its erasure, or a look."""
    name, tenant = look.name, look.tenant
    if kind < 0.86:
        return Ask(name, tenant, decision(_blockable(chance), **given))
    if kind < 0.89:
        return Ask(name, tenant, authorisation(_blockable(chance), expires_ms=NOW_MS + 60_000, **given))
    if kind < 0.92:
        return Ask(name, tenant, with_content(f"run {name}", KEY, chance.choice(BODIES), **given))
    if kind < 0.93:
        return Ask(name, tenant, erasure(**given), (keyed_hash(KEY, chance.choice(BODIES)),))
    return look


def _reservation(chance: random.Random, operation: str, given: dict[str, Any], *, other: bool = False) -> Submission:
    runs = (draft(f"run {operation}", verdict=chance.choice(tuple(Verdict))),) if chance.random() < 0.2 else ()
    return reservation(
        operation,
        POLICIES[chance.random() < 0.05],
        *runs,
        amounts={"operations": 1, "tokens": chance.randrange(12)},
        request=f"other {operation}" if other else None,
        account=chance.choice(ACCOUNTS),
        tool=chance.choice(("crm", "llm")),
        **given,
    )


def _told(chance: random.Random, operation: str, given: dict[str, Any]) -> Submission:
    consumed = {"operations": 1, "tokens": chance.randrange(6)}
    kind = chance.randrange(3)
    if kind == 0:
        return completion(operation, chance.choice(("COMPLETED", "FAILED")), **given)
    return usage(operation, consumed, **given) if kind == 1 else ended(operation, consumed, **given)


def _blockable(chance: random.Random) -> Any:
    """Return a run of one of a few proposals, each mostly blocked: those that come later are retries (G8)."""
    verdict = chance.choice((Verdict.BLOCK, Verdict.BLOCK, Verdict.ALLOW))
    proposal = f"proposal {chance.randrange(4)}"
    return draft(f"run {chance.getrandbits(40)}", proposal=proposal, request="same", verdict=verdict)


# --- Asking --------------------------------------------------------------------------------------------------------------


class Client:
    """Asks from many threads, and writes everything down."""

    def __init__(self, store: PostgresStore, client: str, path: str) -> None:
        self._store, self._client = store, client
        self._written = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self._ending = threading.Event()

    def run(self, threads: int) -> None:
        signal.signal(signal.SIGTERM, lambda *_: self._ending.set())
        running = [threading.Thread(target=self._work, args=(f"{self._client}.{number}",)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        self._store.close()

    def _work(self, thread: str) -> None:
        number = 0
        while not self._ending.is_set():
            self._turn(turn(thread, number), random.Random(f"again {thread}-{number}"))
            number += 1

    def _turn(self, asks: list[Ask], chance: random.Random) -> None:
        attempt = 1
        while asks:
            answers = self._asked(asks, attempt)
            again = []
            for one, said in zip(asks, answers, strict=True):
                refused = said[0] == "refused" and said[1] != "UNREADABLE"
                if refused and (said[1] == UNKNOWN or chance.random() < 0.7):
                    again.append(one)
            if again:
                time.sleep(WAIT_S)
            asks, attempt = again, attempt + 1

    def _asked(self, asks: list[Ask], attempt: int) -> list[list[Any]]:
        for one in asks:
            self._note(ask=one.name, attempt=attempt)
        if len(asks) > 1:
            given = self._store.commit_many([one.attempt(attempt) for one in asks])
            answers = [_said(answer) for answer in given]
        else:
            answers = [self._answer(asks[0], attempt)]
        for one, said in zip(asks, answers, strict=True):
            self._note(told=one.name, attempt=attempt, said=said)
        return answers

    def _answer(self, one: Ask, attempt: int) -> list[Any]:
        try:
            if one.submission is None:
                head = self._store.head(one.tenant)
                return ["head", head.seq, head.hash.hex()]
            if one.erases:
                return _said(self._store.erase_content(one.tenant, one.erases, one.attempt(attempt)))
            return _said(self._store.commit(one.attempt(attempt)))
        except StoreError as error:
            return _said(error) if one.submission is not None else ["refused", "UNREADABLE"]
        except WeighbridgeError as error:
            return _said(error)

    def _note(self, **fields: Any) -> None:
        line = json.dumps({"at": time.monotonic_ns(), **fields}) + "\n"
        os.write(self._written, line.encode())


def _said(answer: Committed | WeighbridgeError) -> list[Any]:
    if isinstance(answer, Committed):
        return ["done", answer.seq, answer.hash.hex(), answer.replayed, answer.state]
    if isinstance(answer, Refusal):
        return ["refused", answer.code, str(answer)]
    return ["wrong", type(answer).__name__, str(answer)]


def opened(dsn: str, lanes: int) -> PostgresStore:
    until = time.monotonic() + OPEN_S_MAX
    while True:
        try:
            return PostgresStore(dsn, entropy=lambda size: KEY[:size], lanes=lanes)
        except StoreError:
            if time.monotonic() > until:
                raise
            time.sleep(WAIT_S)


def main(dsn: str, client: str, threads: str, lanes: str, path: str) -> None:
    Client(opened(dsn, int(lanes)), client, path).run(int(threads))


if __name__ == "__main__":
    main(*sys.argv[1:])
