"""Group commit: batches form while a flush runs, the lead moves on, nobody is left waiting."""

import threading
import time

import pytest

from weighbridge.errors import Refusal, StoreError
from weighbridge.storage import group_commit as module
from weighbridge.storage.group_commit import GroupCommit


class Flusher:
    """Answers each work with itself; ``held`` flushes wait until they are let go."""

    def __init__(self):
        self.batches = []
        self.threads = []
        self.inside = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.fail = None

    def __call__(self, take):
        if self.fail == "before":
            raise KeyboardInterrupt
        items = take()
        self.batches.append([item.work for item in items])
        self.threads.append(threading.get_ident())
        self.inside.set()
        self.go.wait(10)
        if self.fail == "after":
            raise KeyboardInterrupt
        for item in items:
            if item.work == "wrong":
                item.error = StoreError("wrong")
            elif item.work != "forgotten":
                item.answer = item.work


@pytest.fixture
def flush():
    return Flusher()


def group(flush, **limits):
    return GroupCommit(flush, **{"queue_max": 100, "batch_max": 100} | limits)


def started(target):
    thread = threading.Thread(target=target)
    thread.start()
    return thread


def until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("waited too long")


def test_an_idle_store_writes_on_the_callers_own_thread(flush):
    """G2: no thread hop, no delay."""
    assert group(flush).submit(["a", "b"]) == ["a", "b"]
    assert flush.threads == [threading.get_ident()]


def test_what_arrives_during_a_flush_is_the_next_batch(flush):
    """G2: one flush for everybody who waited; the next in the queue leads it."""
    commits = group(flush)
    flush.go.clear()
    answers: dict[object, object] = {}
    threads = [started(lambda: answers.update(first=commits.submit([0])))]
    flush.inside.wait(10)
    for number in range(1, 6):
        threads.append(started(lambda number=number: answers.update({number: commits.submit([number])})))
        until(lambda number=number: len(commits._queue) == number)
    flush.go.set()
    for thread in threads:
        thread.join(10)
    assert flush.batches == [[0], [1, 2, 3, 4, 5]]
    assert answers == {"first": [0]} | {number: [number] for number in range(1, 6)}
    assert flush.threads[0] != flush.threads[1]


def test_a_batch_has_a_limit(flush):
    commits = group(flush, batch_max=2)
    flush.go.clear()
    threads = [started(lambda: commits.submit([0]))]
    flush.inside.wait(10)
    for number in range(1, 6):
        threads.append(started(lambda number=number: commits.submit([number])))
        until(lambda number=number: len(commits._queue) == number)
    flush.go.set()
    for thread in threads:
        thread.join(10)
    assert [len(batch) for batch in flush.batches] == [1, 2, 2, 1]


def test_a_full_queue_refuses(flush):
    """G2: overload is the refusal OVERLOADED, and consumes nothing."""
    commits = group(flush, queue_max=1)
    flush.go.clear()
    leader = started(lambda: commits.submit([0]))
    flush.inside.wait(10)
    waiting = started(lambda: commits.submit([1]))
    until(lambda: commits._queue)
    with pytest.raises(Refusal) as caught:
        commits.submit([2])
    assert caught.value.code == "OVERLOADED"
    flush.go.set()
    leader.join(10)
    waiting.join(10)
    assert flush.batches == [[0], [1]]
    assert commits.submit([2]) == [2]


def test_every_item_has_its_own_outcome(flush):
    """G2: an error of one is not the error of another; what nobody answered is unknown, never an answer."""
    good, wrong, unknown, last = group(flush).submit(["a", "wrong", "forgotten", "b"])
    assert (good, last) == ("a", "b")
    assert isinstance(wrong, StoreError)
    assert isinstance(unknown, Refusal)
    assert unknown.code == "COMMIT_UNKNOWN"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupted_leader_leaves_the_store_usable(flush, moment):
    """G2: whoever waited in that batch is told that nobody knows; the next one is served."""
    commits = group(flush)
    flush.go.clear()
    outcomes: dict[str, object] = {}
    leader = started(lambda: commits.submit([0]))
    flush.inside.wait(10)
    interrupted = started(lambda: outcomes.update(interrupted=caught(commits, 1)))
    until(lambda: len(commits._queue) == 1)
    follower = started(lambda: outcomes.update(follower=caught(commits, 2)))
    until(lambda: len(commits._queue) == 2)
    real, flush.fail = flush.__call__, None
    calls = []

    def failing(take):
        calls.append(1)
        flush.fail = moment if len(calls) == 1 else None
        real(take)

    commits._flush = failing
    flush.go.set()
    for thread in (leader, interrupted, follower):
        thread.join(10)
    assert isinstance(outcomes["interrupted"], KeyboardInterrupt)
    told = outcomes["follower"]
    if moment == "before":
        assert told == [2]
    else:
        assert isinstance(told, list)
        assert told[0].code == "COMMIT_UNKNOWN"
    assert commits.submit([3]) == [3]


def caught(commits, work):
    try:
        return commits.submit([work])
    except KeyboardInterrupt as error:
        return error


def test_closing_waits_for_what_is_queued(flush):
    commits = group(flush)
    flush.go.clear()
    answers = []
    leader = started(lambda: answers.append(commits.submit([0])))
    flush.inside.wait(10)
    closer = started(commits.close)
    until(lambda: commits._closed)
    with pytest.raises(StoreError, match="closed"):
        commits.submit([1])
    assert closer.is_alive()
    flush.go.set()
    closer.join(10)
    leader.join(10)
    assert answers == [[0]]


def test_under_load_everybody_is_answered_once():
    """G2: many threads, many rounds, nothing lost and nobody stuck."""
    seen: list[object] = []

    def flush(take):
        items = take()
        seen.extend(item.work for item in items)
        for item in items:
            item.answer = item.work

    commits = GroupCommit(flush, queue_max=1000, batch_max=7)

    def work(caller):
        for number in range(200):
            assert commits.submit([(caller, number)]) == [(caller, number)]

    threads = [started(lambda caller=caller: work(caller)) for caller in range(16)]
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(seen) == len(set(seen)) == 16 * 200


class Interrupted:
    """A lock whose second taking, which waits, ends in an interrupt: when it was released already, or just before."""

    def __init__(self, *, woken):
        self._lock, self._woken, self._taken = threading.Lock(), woken, 0

    def acquire(self):
        self._taken += 1
        if self._taken == 1 or self._woken:
            self._lock.acquire()
        else:
            until(lambda: self._lock.locked() and INTERRUPT.is_set())
        if self._taken > 1:
            raise KeyboardInterrupt

    def release(self):
        self._lock.release()


INTERRUPT = threading.Event()


@pytest.mark.parametrize("woken", [True, False])
def test_an_interrupted_caller_keeps_nobody_else_asleep(flush, monkeypatch, woken):
    """G2: those who were served together wake one after the other, also past one who is no longer there."""

    class Caller(module._Caller):
        def __init__(self, works):
            super().__init__(works)
            if works == ["interrupted"]:
                self.woken = Interrupted(woken=woken)  # type: ignore[assignment]
                self.woken.acquire()

    monkeypatch.setattr(module, "_Caller", Caller)
    INTERRUPT.clear()
    commits = group(flush)
    flush.go.clear()
    outcomes: dict[object, object] = {}
    threads = [started(lambda: commits.submit([0]))]
    flush.inside.wait(10)
    for place, work in enumerate((1, 2, "interrupted", 3, 4)):
        threads.append(started(lambda work=work: outcomes.update({work: caught(commits, work)})))
        until(lambda place=place: len(commits._queue) == place + 1)
    if not woken:
        real = commits._flush

        def flush_and_interrupt(take):
            real(take)
            if flush.batches[-1] != [0]:  # it leaves after it was served, and before it is woken
                INTERRUPT.set()
                until(lambda: "interrupted" in outcomes)

        commits._flush = flush_and_interrupt
    flush.go.set()
    for thread in threads:
        thread.join(10)
    commits._flush = flush
    assert isinstance(outcomes.pop("interrupted"), KeyboardInterrupt)
    assert outcomes == {1: [1], 2: [2], 3: [3], 4: [4]}
    assert commits.submit([5]) == [5]


def test_who_asks_again_at_once_shares_the_next_flush():
    """One flush serves everybody who keeps asking, not every other one."""
    batches = []

    def flush(take):
        time.sleep(0.002)
        items = take()
        batches.append(len(items))
        for item in items:
            item.answer = item.work

    commits = GroupCommit(flush, queue_max=100, batch_max=100)
    threads = [started(lambda: [commits.submit([n]) for n in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.join(30)
    assert sum(batches) == 8 * 50
    assert max(batches) == 8
