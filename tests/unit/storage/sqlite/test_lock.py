from __future__ import annotations

import subprocess
import sys

import pytest

from weighbridge.errors import StoreError, UsageError
from weighbridge.storage.locking import WORKING, LockHeld
from weighbridge.storage.sqlite.lock import LockFile
from weighbridge.wiring import sealing_lock, worker_lock

HOLDS = """
import sys
from weighbridge.storage.sqlite.lock import LockFile
with LockFile(sys.argv[1]).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_at_a_time(tmp_path):
    with LockFile(tmp_path / "s.db").held():
        with pytest.raises(LockHeld, match="one at a time"), LockFile(tmp_path / "s.db").held():
            pass
        with LockFile(tmp_path / "other.db").held():
            pass
    with LockFile(tmp_path / "s.db").held():
        pass


def test_the_lock_of_a_process_ends_with_it_however_that_ends(tmp_path):
    """A sealer that was killed leaves no lock behind, only the empty file."""
    command = [sys.executable, "-c", HOLDS, str(tmp_path / "s.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockHeld), LockFile(tmp_path / "s.db").held():
            pass
        process.kill()
        process.wait()
    with LockFile(tmp_path / "s.db").held():
        pass
    assert (tmp_path / "s.db.sealing").read_bytes() == b""


def test_a_place_where_no_file_can_be_made_is_said(tmp_path):
    with pytest.raises(StoreError, match="lock file"), LockFile(tmp_path / "none" / "s.db").held():
        pass


def test_the_same_store_under_another_name_has_the_same_lock(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with sealing_lock("sqlite:///s.db").held(), pytest.raises(LockHeld), sealing_lock(tmp_path / "s.db").held():
        pass
    with pytest.raises(UsageError, match="cannot be sealed"):
        sealing_lock(":memory:")


def test_each_lock_keeps_out_its_own(tmp_path):
    """A sealer and a worker go together; two workers do not."""
    another = worker_lock(tmp_path / "s.db")
    assert another is not None
    with LockFile(tmp_path / "s.db", WORKING).held(), LockFile(tmp_path / "s.db").held():
        with (
            pytest.raises(LockHeld, match="another process is carrying out the plans of this store"),
            another.held(),
        ):
            pass
        assert {path.name for path in tmp_path.iterdir()} == {"s.db.sealing", "s.db.working"}
    assert worker_lock(":memory:") is None
