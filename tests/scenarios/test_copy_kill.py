"""A copy that is killed leaves nothing that could be taken for a ledger; a second one does all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing

import pytest

from tests.command_line import environment, run
from tests.ledgers import fill
from tests.sealing import address
from weighbridge import wiring
from weighbridge.errors import StoreError
from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore


@pytest.fixture
def source(tmp_path):
    with closing(SqliteStore(tmp_path / "from.db", entropy=os.urandom)) as store:
        for tenant in ("acme", "globex"):
            fill(store, tenant)
    return str(tmp_path / "from.db")


def kill_a_copy(source, target, where):
    """Copy in a process of its own, and kill it where it stands."""
    words = [sys.executable, "-m", "tests.scenarios.copy_process", source, target, where]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.kill()
    assert process.returncode == -9


@pytest.mark.parametrize("where", ["written", "verified"])
def test_a_killed_copy_into_postgres_leaves_nothing(source, database, where):
    """G2: nothing can be opened for enforcement as if it were complete; the next copy is."""
    target = address(database, "postgres")
    kill_a_copy(source, target, where)
    with closing(database.store()) as store:
        assert store.tenants() == ()
        assert store.head("acme").seq == 0
    wiring.copy_store(source, target)
    with closing(database.store()) as store:
        assert (verify_store(store).ok, verify_store(store).records) == (True, 22)


@pytest.mark.parametrize("where", ["written", "verified"])
def test_a_killed_copy_into_a_file_leaves_no_store(source, tmp_path, where):
    """G2: the file has no name before it is whole; what is left over is named as such, and in nobody's way."""
    target = str(tmp_path / "to.db")
    kill_a_copy(source, target, where)
    with pytest.raises(StoreError, match="there is no store"):
        wiring.open_store(target, purpose=None, surroundings=wiring.system_surroundings(), create=False)
    assert [path.suffix for path in tmp_path.glob("to.db*") if not path.name.endswith("-journal")] == [".new"]
    wiring.copy_store(source, target)
    ran = run("ledger", "verify", "--store", target)
    assert (ran.code, [line["records"] for line in ran.lines]) == (0, [11, 11])
