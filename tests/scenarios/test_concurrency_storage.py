"""Several processes with several threads on one SQLite file: no record is lost, doubled or forked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 4
TENANTS = ("tenant-0", "tenant-1")


@pytest.mark.slow
@pytest.mark.parametrize(("threads", "decisions"), [(1, 60), (16, 12)])
def test_processes_on_one_file(tmp_path, threads, decisions):
    """G3: with the same and with different ids, from four processes: one record for each id, one chain (L2, L3)."""
    path = tmp_path / "ledger.db"
    command = [sys.executable, "-m", "tests.scenarios.writer_process", str(path)]
    writers = [
        subprocess.Popen([*command, f"w{number}", str(threads), str(decisions)], cwd=REPOSITORY, stdout=subprocess.PIPE)
        for number in range(PROCESSES)
    ]
    answers = []
    for writer in writers:
        out, _ = writer.communicate(timeout=120)
        assert writer.returncode == 0
        answers += [line.split() for line in out.decode().splitlines()]
    where: dict[str, str] = {}
    for name, seq, _ in answers:
        assert where.setdefault(name, seq) == seq, f"{name} was answered from two records"
    fresh = [name for name, _, replayed in answers if replayed == "0"]
    assert len(fresh) == len(set(fresh)) == len(where)
    store = SqliteStore(path, entropy=os.urandom)
    checked = verify_store(store)
    assert checked.ok, checked
    assert checked.records == len(where)
    assert [stored.seq for stored in store.records(TENANTS[0])] == list(range(1, store.head(TENANTS[0]).seq + 1))
    store.close()


def test_a_new_file_is_made_once(tmp_path):
    """L6: processes that open a new store at the same moment share one file, one schema and one key for each tenant."""
    code = (
        "import os, sys\n"
        "from weighbridge.storage.sqlite import SqliteStore\n"
        "store = SqliteStore(sys.argv[1], entropy=os.urandom)\n"
        "print(store.tenant_key('acme').hex())\n"
        "store.close()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "ledger.db")]
    openers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(PROCESSES)]
    keys = {opener.communicate(timeout=60)[0] for opener in openers}
    assert all(opener.returncode == 0 for opener in openers)
    assert len(keys) == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["ledger.db"]
