from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.postgres import AUDITOR, BYSTANDER
from tests.scenarios.test_postgres_faults import pooled
from weighbridge.errors import StoreError
from weighbridge.storage.locking import SEALING, LockHeld, LockLost
from weighbridge.storage.postgres.lock import TransactionLock
from weighbridge.wiring import sealing_lock

HOLDS = """
import sys
from weighbridge.storage.postgres.lock import TransactionLock
with TransactionLock(sys.argv[1], lease_ms=1000, beat_s=0.2).held() as still_held:
    print("held", flush=True)
    sys.stdin.readline()
    still_held()
    print("still", flush=True)
"""


def until(condition, seconds=10):
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_free(dsn):
    try:
        with TransactionLock(dsn).held():
            return True
    except LockHeld:
        return False


def holder(dsn):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, dsn],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_one_at_a_time_over_all_connections(database, postgres):
    """Whoever may only read seals as well: it takes no privilege."""
    with TransactionLock(database.dsn()).held() as still_held:
        with pytest.raises(LockHeld, match="one at a time"), TransactionLock(database.dsn("inspector")).held():
            pass
        still_held()
        other = postgres.database()
        with TransactionLock(other.dsn()).held():  # a store to a database
            pass
        other.drop()
    assert is_free(database.dsn())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_frozen_holds_it_no_longer_than_its_lease(database, how):
    """And one that goes on after it was frozen is told so before it publishes anything."""
    process = holder(database.dsn())
    try:
        time.sleep(1.5)
        assert not is_free(database.dsn())  # longer than the lease: it gives signs of life
        process.send_signal(how)
        until(lambda: is_free(database.dsn()))
        if how == signal.SIGSTOP:
            process.send_signal(signal.SIGCONT)
            out, err = process.communicate("go on\n", timeout=30)
            assert out == ""
            assert "LockLost" in err
    finally:
        process.kill()
        process.communicate()


def test_a_connection_that_is_cut_leaves_no_lock_and_is_noticed(database):
    with TransactionLock(database.dsn()).held() as still_held:
        with database.owner() as owner:
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        until(lambda: is_free(database.dsn()))
        with TransactionLock(database.dsn()).held(), pytest.raises(LockLost, match="start again"):
            still_held()


def test_a_beat_that_fails_ends_quietly(database):
    """Nobody is asked in the meantime; whoever asks next is told."""
    with TransactionLock(database.dsn(), beat_s=0.05).held() as still_held:
        with database.owner() as owner:
            owner.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        until(lambda: not any(thread.name == "sealing-lock" for thread in threading.enumerate()))
        with pytest.raises(LockLost):
            still_held()


def test_it_holds_through_a_pooler_that_hands_out_transactions(database):
    """The open transaction keeps a server connection to itself, so what others do through the pooler does not free it."""
    with tempfile.TemporaryDirectory(prefix="wb-") as folder, pooled(database, Path(folder)) as dsn:
        until(lambda: reachable(dsn))
        with TransactionLock(dsn).held() as still_held:
            for _ in range(5):
                with closing(psycopg.connect(dsn, autocommit=True)) as other:
                    other.execute("SELECT 1")
                assert not is_free(dsn)
                assert not is_free(database.dsn())
            still_held()
        until(lambda: is_free(database.dsn()))
        process = holder(dsn)
        process.kill()
        process.communicate()
        until(lambda: is_free(database.dsn()))


def reachable(dsn):
    try:
        psycopg.connect(dsn).close()
    except psycopg.Error:
        return False
    return True


def test_the_holder_is_named(database):
    """Any login that may connect can hold the lock, also one that may read nothing: whoever is kept out is told whom to end."""
    with closing(database.connect(BYSTANDER)) as stranger:
        stranger.execute("SET application_name = 'no sealer'")
        stranger.execute("SELECT pg_advisory_lock(%s)", (SEALING.key,))
        with pytest.raises(LockHeld) as held, TransactionLock(database.dsn(AUDITOR)).held():
            pass
        who = f"process {stranger.info.backend_pid} of login `bystander`, application `no sealer`"
        assert who in str(held.value)
    with TransactionLock(database.dsn(), shared=True).held(), TransactionLock(database.dsn(), shared=True).held():
        with pytest.raises(LockHeld) as held, TransactionLock(database.dsn(AUDITOR)).held():
            pass
        assert str(held.value).count("of login `app`, application `weighbridge`") == 2


def test_nobody_answers(database):
    with pytest.raises(StoreError, match="cannot be reached"), TransactionLock("host=127.0.0.1 port=1 user=x").held():
        pass


def test_a_store_with_an_address_is_locked_in_its_database(database):
    given = psycopg.conninfo.conninfo_to_dict(database.dsn())
    address = f"postgresql://app@/{database.name}?host={given['host']}&port={given['port']}"
    with sealing_lock(address).held():
        assert not is_free(database.dsn())


def test_a_shared_lock_is_held_by_many_and_keeps_out_who_wants_it_alone(database):
    """H4: workers that share the plans of a store keep out one that takes what is running for left behind, and the other way."""
    dsn = database.dsn()
    with TransactionLock(dsn, shared=True).held() as first, TransactionLock(dsn, shared=True).held() as second:
        first(), second()
        assert not is_free(dsn)
    assert is_free(dsn)
    with TransactionLock(dsn).held(), pytest.raises(LockHeld), TransactionLock(dsn, shared=True).held():
        pass
