"""What finds wrong histories finds every kind of them: right ones are made by the reference in memory, and then bent by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from tests.linear import UNKNOWN, Ask, Asked, check
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import WeighbridgeError
from weighbridge.ledger import chain, record
from weighbridge.ledger.submission import Committed
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import TENANT, cap, completion, decision, draft, ended, reservation

CAP = 3
CAPS = [cap("race", CAP), cap("tokens", 20, unit="tokens", settles=True)]
ENTROPY = b"\7".__mul__


def call(name: str, *, hard: int = CAP) -> Ask:
    caps = [cap("race", hard), *CAPS[1:]]
    made = reservation(f"op-{name}", caps, amounts={"operations": 1, "tokens": 4}, policy="one")
    return Ask(name, TENANT, made)


class History:
    """Questions that are asked one after the other, of a store in memory."""

    def __init__(self) -> None:
        self.store = MemoryStore(entropy=ENTROPY)
        self.asked: list[Asked] = []
        self.now_ns = 0

    def ask(self, ask: Ask, number: int = 1) -> Asked:
        self.now_ns += 10
        one = Asked("client", ask, number, self.now_ns, self.now_ns + 5, self._said(ask, number))
        self.asked.append(one)
        return one

    def refuse(self, ask: Ask, code: str, number: int = 1) -> Asked:
        """Ask nobody, and be refused."""
        self.now_ns += 10
        one = Asked("client", ask, number, self.now_ns, self.now_ns + 5, ["refused", code])
        self.asked.append(one)
        return one

    def _said(self, ask: Ask, number: int) -> list[Any]:
        if ask.submission is None:
            head = self.store.head(ask.tenant)
            return ["head", head.seq, head.hash.hex()]
        try:
            given: Committed = self.store.commit(ask.attempt(number))
        except WeighbridgeError as error:
            return ["wrong", type(error).__name__, str(error)]
        return ["done", given.seq, given.hash.hex(), given.replayed, given.state]

    def problems(self) -> dict[str, list[str]]:
        return dict(check(self.asked, {TENANT: [*self.store.records(TENANT)]}).problems)


@pytest.fixture
def history() -> History:
    made = History()
    for name in "abcde":
        made.ask(call(name))
    made.ask(Ask("end", TENANT, ended("op-a", {"tokens": 1})))
    made.ask(call("a"), 2)
    made.ask(Ask("gate", TENANT, decision(draft("run-1", verdict=Verdict.BLOCK))))
    made.ask(Ask("missing", TENANT, completion("nothing")))
    made.ask(Ask("other", TENANT, reservation("op-a", CAPS, request="other", policy="one")))
    made.ask(Ask("look", TENANT))
    return made


def heard(one: Asked) -> list[Any]:
    assert one.said is not None
    return one.said


def of(history: History, name: str, number: int = 1) -> Asked:
    return next(one for one in history.asked if (one.ask.name, one.number) == (name, number))


def swap_times(one: Asked, other: Asked) -> None:
    times = one.asked_ns, one.answered_ns
    one.asked_ns, one.answered_ns = other.asked_ns, other.answered_ns
    other.asked_ns, other.answered_ns = times


def test_a_right_history_has_no_problem(history):
    """G3, L2: asked one after the other, also with refusals that were none, and outcomes nobody heard of."""
    history.refuse(call("refused"), "LEDGER_WRITE_FAILED")
    history.refuse(call("given up"), "OVERLOADED")
    unknown = history.ask(call("unknown"))
    unknown.said = ["refused", UNKNOWN]
    history.ask(call("unknown"), 2)
    unheard = history.ask(call("unheard"))
    unheard.said = unheard.answered_ns = None
    report = check(history.asked, {TENANT: [*history.store.records(TENANT)]})
    assert report.ok, str(report)
    assert {one.kind for one in history.asked} >= {"recorded", "replayed", "head", "NotFound", "IdempotencyConflict"}
    assert report.counts["records equal to the kernel's"] == len([*history.store.records(TENANT)]) == 9
    assert report.counts["answers replayed equal to the kernel's"] == 2
    assert list(report.replayed[TENANT].counters(TENANT)) == list(history.store.counters(TENANT))


def test_at_the_same_time_either_may_be_first(history):
    """L2: only what was answered before another was asked has to stand before it."""
    of(history, "a").answered_ns = of(history, "b").answered_ns = of(history, "c").answered_ns
    of(history, "c").asked_ns = of(history, "a").asked_ns - 5
    assert history.problems() == {}


def test_a_lost_answer_is_found(history):
    """G2: an answer whose record is not there, or is another one."""
    history.store._tenants[TENANT].records.pop()
    assert {"LOST", "STALE"} <= history.problems().keys()


def test_an_answer_with_another_hash_is_found(history):
    """G2, L3: what was answered is what is there."""
    said = heard(of(history, "b"))
    said[2] = "00" * 32
    assert history.problems().keys() == {"LOST"}


def test_a_record_of_what_was_refused_is_found(history):
    """G2: LEDGER_WRITE_FAILED and OVERLOADED mean that nothing was recorded, also where it was asked again."""
    for code in ("LEDGER_WRITE_FAILED", "OVERLOADED"):
        of(history, "gate").said = ["refused", code]
        assert history.problems().keys() == {"GHOST"}


def test_a_record_that_nobody_asked_for_is_found(history):
    """L2: a ledger that holds more than was asked for."""
    history.asked.remove(of(history, "gate"))
    assert {"GHOST", "MISMATCH"} <= history.problems().keys()


def test_a_question_with_two_records_is_found(history):
    """B6: charged twice."""
    again = history.ask(Ask("gate", TENANT, decision(draft("run-2"))))
    history.asked.remove(again)
    assert {"DOUBLE", "MISMATCH"} <= history.problems().keys()


def test_a_swapped_order_is_found(history):
    """L2: one that was asked after another was answered stands before it."""
    swap_times(of(history, "c"), of(history, "d"))
    assert history.problems().keys() == {"ORDER"}


def test_an_order_that_comes_too_late_is_found(history):
    """L2: the same for one that nobody was answered: it cannot have come before it was asked for."""
    swap_times(of(history, "c"), of(history, "d"))
    late = of(history, "c")
    late.said = late.answered_ns = None
    assert history.problems().keys() == {"ORDER"}


@pytest.mark.parametrize("name", ["look", "missing", "other"])
def test_a_stale_read_is_found(history, name):
    """G3: what was answered before the question is known to the answer."""
    one, early = of(history, name), History()
    asked = call("a") if name == "missing" else Ask("look", TENANT)
    early.ask(asked)
    if name == "look":
        one.said = early.asked[0].said
    elif name == "missing":
        one.ask = Ask("missing", TENANT, completion("op-a"))
    else:
        one.said = [
            "wrong",
            "NotFound",
            "operation `op-a` is not on record; only an allowed operation can be completed",
        ]
    assert history.problems().keys() == {"STALE"}


def test_a_replay_with_the_state_of_before_is_found(history):
    """G10: after the end of an operation was answered, nobody hears that it is under way."""
    said = heard(of(history, "a", 2))
    said[4] = "PENDING"
    assert history.problems().keys() == {"STALE"}


def test_a_replay_of_what_was_not_asked_for_yet_is_found(history):
    """G3: an answer from the future."""
    one = of(history, "look")
    one.asked_ns, one.answered_ns = of(history, "c").asked_ns - 4, of(history, "c").asked_ns - 2
    assert history.problems().keys() == {"STALE"}


def test_reads_that_go_back_are_found(history):
    """L2: two looks, one after the other, while one record is under way: the second cannot see less than the first."""
    last = history.asked[-1].answered_ns
    before, after = Ask("before", TENANT), Ask("after", TENANT)
    first = history.ask(before)
    write = history.ask(call("f"))
    second = history.ask(after)
    write.asked_ns = last + 1
    first.said, second.said = second.said, first.said
    (first.asked_ns, first.answered_ns), (second.asked_ns, second.answered_ns) = (
        (last + 2, last + 3),
        (last + 4, last + 5),
    )
    write.answered_ns = last + 6
    assert history.problems().keys() == {"STALE"}
    first.said, second.said = second.said, first.said
    assert history.problems() == {}


def test_a_cap_that_is_overspent_is_found(history):
    """B5: one more than the cap allows was let through."""
    limit = [call(name) for name in "abcd"]
    wrong = History()
    for one in limit:
        wrong.ask(dataclasses.replace(one, submission=call(one.name, hard=CAP + 1).submission))
    for asked, right in zip(wrong.asked, limit, strict=True):
        asked.ask = right  # what was asked for was the lower limit
    assert {"OVERSPENT", "MISMATCH"} <= wrong.problems().keys()


def test_what_was_given_back_twice_is_overspent():
    """B7: down only, once: a second report frees nothing."""
    wrong = History()
    tight = [cap("tokens", 6, unit="tokens", settles=True)]

    def spend(name: str) -> Ask:
        return Ask(name, TENANT, reservation(f"op-{name}", tight, amounts={"operations": 1, "tokens": 4}, policy="one"))

    wrong.ask(spend("a"))
    wrong.ask(Ask("end", TENANT, ended("op-a", {"tokens": 2})))
    assert heard(wrong.ask(spend("b")))[4] == "PENDING"
    assert wrong.problems() == {}
    counter = wrong.store._tenants[TENANT].counters
    name = "tokens 2026-11-22 any"
    counter[name] = msgspec.structs.replace(counter[name], settled=counter[name].settled + 4)
    assert heard(wrong.ask(spend("c")))[4] == "PENDING"
    assert {"OVERSPENT", "MISMATCH"} <= wrong.problems().keys()


def test_a_record_that_the_kernel_does_not_make_is_found(history):
    """G4: another verdict in a chain that was computed anew, and answered so."""
    held = history.store._tenants[TENANT]
    stored = held.records[-1]
    decoded = record.decode(stored.body)
    body = stored.body.replace(b'"result":"BLOCK"', b'"result":"ALLOW"')
    assert body != stored.body
    leaf = chain.leaf_hash(body)
    hash_ = chain.link(held.records[-2].hash, decoded.seq, leaf)
    held.records[-1] = stored._replace(body=body, leaf_hash=leaf, hash=hash_)
    heard(of(history, "gate"))[2] = hash_.hex()
    heard(of(history, "look"))[2] = hash_.hex()
    assert history.problems().keys() >= {"MISMATCH"}


def test_an_answer_with_another_state_is_found(history):
    """G10: told that it may go on, where the record says that it may not."""
    said = heard(of(history, "e"))
    assert said[4] == "BLOCKED"
    said[4] = "PENDING"
    assert history.problems().keys() >= {"MISMATCH"}


def test_an_answer_that_nobody_should_get_is_found(history):
    """G2: a write that fails says one of three things."""
    of(history, "missing").said = ["wrong", "StoreError", "?"]
    assert history.problems().keys() == {"UNEXPECTED"}
