"""One process at a time: the lock is held once for all threads of a process, and let go by the last."""

import threading
from contextlib import contextmanager

import pytest

from weighbridge.orchestrator.alone import Alone
from weighbridge.storage.locking import WORKING, LockHeld
from weighbridge.storage.sqlite.lock import LockFile


class Lock:
    """Counts how often it is held and let go."""

    def __init__(self):
        self.log = []

    @contextmanager
    def held(self):
        self.log.append("held")
        yield lambda: self.log.append("asked")
        self.log.append("let go")


def test_it_is_held_as_long_as_anybody_works_under_it():
    lock = Lock()
    alone = Alone(lock)
    with alone.held() as still_held:
        with alone.held():
            still_held()
        assert lock.log == ["held", "asked"]
    assert lock.log == ["held", "asked", "let go"]
    with alone.held():
        assert lock.log[-1] == "held"


def test_it_is_let_go_after_an_error():
    lock = Lock()
    with pytest.raises(ZeroDivisionError), Alone(lock).held():
        raise ZeroDivisionError
    assert lock.log == ["held", "let go"]


def test_by_many_threads_it_is_held_once():
    lock, together = Lock(), threading.Barrier(4)
    alone = Alone(lock)

    def work():
        with alone.held():
            together.wait(10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert lock.log == ["held", "let go"]


def test_a_lock_that_another_process_holds_is_asked_for_again_the_next_time(tmp_path):
    store = tmp_path / "s.db"
    alone = Alone(LockFile(store, WORKING))
    with LockFile(store, WORKING).held():
        with pytest.raises(LockHeld, match="carrying out the plans"), alone.held():
            pytest.fail("it is held")
        with LockFile(store).held():  # a sealer is somebody else
            pass
    with alone.held():
        assert (tmp_path / "s.db.working").exists()


def test_without_a_lock_nobody_else_has_the_store():
    with Alone(None).held() as still_held:
        still_held()
