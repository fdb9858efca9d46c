"""Four processes on one PostgreSQL race for a cap, while nothing happens, and while the server and they are killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.postgres import running
from weighbridge.canonical import keyed_hash
from weighbridge.errors import StoreError
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import PostgresStore
from weighbridge.testing.submissions import cap, decision, draft, ended, erasure, reservation, with_content

CAP = 40
TENANTS = ("t-0", "t-1", "t-2")
THREADS, EACH, PROCESSES = 8, 25, 4
FAULTS = 4
soak = pytest.mark.soak
long = pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")


def started(dsn, folder, number, *, each=EACH, hard=CAP):
    given = (dsn, f"p{number}", str(THREADS), str(each), str(hard), str(folder / f"answers-{number}"))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.scenarios.postgres_process", *given], cwd=Path(__file__).parents[2]
    )


def answers(folder):
    """Return every answer that a process wrote down: (tenant, id, seq, state, hash, replayed); and how many refusals."""
    lines = [line.split() for path in folder.glob("answers-*") for line in path.read_text().splitlines()]
    given = [line[1:] for line in lines if line[0] == "answered"]
    return given, Counter(line[3] for line in lines if line[0] == "refused")


def check(store, given, *, hard=CAP):
    """L3, G2, B5: every answer is in the ledger as it was given; none is there twice; the caps hold exactly."""
    audit = verify_store(store)
    assert audit.ok, str(audit)
    for tenant, name, seq, _state, hash_, _replayed in given:
        stored, known = store.record(tenant, int(seq)), store.identity(tenant, "op", name)
        assert stored is not None, (tenant, name)
        assert known is not None, (tenant, name)
        assert (stored.hash.hex(), known.seq) == (hash_, int(seq))
    for tenant in TENANTS:
        reserved = {name for of, name, _, state, *_ in given if of == tenant and state == "PENDING"}
        counter = dict(store.counters(tenant)).get("operations 2026-11-22 any")
        asked = len({name for of, name, *_ in given if of == tenant})
        assert len(reserved) <= hard
        assert counter is not None
        assert counter.reserved <= hard
        if asked > hard:
            assert counter.reserved == hard


@pytest.mark.slow
def test_four_processes_reserve_exactly_the_cap(database, tmp_path):
    """B5, B6: of 800 requests from four processes with two lanes each, exactly the cap is reserved for each of three tenants."""
    processes = [started(database.dsn(), tmp_path, number) for number in range(PROCESSES)]
    assert [process.wait(90) for process in processes] == [0] * PROCESSES
    given, refused = answers(tmp_path)
    assert (len(given), sum(refused.values())) == (PROCESSES * THREADS * EACH, 0)
    assert Counter((tenant, state) for tenant, _, _, state, *_ in given if state == "PENDING") == {
        (tenant, "PENDING"): CAP for tenant in TENANTS
    }
    with closing(database.store()) as store:
        check(store, given)
        assert sum(store.head(tenant).seq for tenant in TENANTS) == len(given)


def stopped(server, database):
    server.crash()
    server.start()


def cut(server, database):
    """Cut every connection of the runtime."""
    with closing(server.admin()) as admin:
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
        admin.execute(sql, (database.name,))


def frozen(processes):
    """Let one of the processes stand still, longer than others wait for its locks, and go on."""
    process = random.choice(processes)
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)


def under_faults(folder, faults):
    with running() as server:
        database = server.database()
        processes = [
            started(database.dsn(), folder, number, each=4 * EACH * faults, hard=60 * faults)
            for number in range(PROCESSES)
        ]
        killed = 0
        for number in range(faults):
            time.sleep(0.8 + random.random())
            kind = number % 4
            if kind in {0, 2}:
                stopped(server, database)
            elif kind == 1:
                cut(server, database)
            elif killed < PROCESSES - 1:
                processes[killed].kill()
                killed += 1
                frozen(processes[killed:])
        codes = [process.wait(120) for process in processes]
        assert codes[killed:] == [0] * (PROCESSES - killed)
        given, refused = answers(folder)
        with closing(database.store()) as store:
            check(store, given, hard=60 * faults)
        return given, refused


@pytest.mark.slow
def test_no_answer_is_lost_when_the_server_is_killed(tmp_path):
    """G2, B5: server and clients killed, connections cut, under load: what was answered is there, as it was answered."""
    given, refused = under_faults(tmp_path, FAULTS)
    assert given
    assert refused  # the faults were felt
    assert set(refused) <= {"LEDGER_WRITE_FAILED", "COMMIT_UNKNOWN", "OVERLOADED", "STORE"}


@soak
@long
@pytest.mark.parametrize("number", range(10))
def test_no_answer_is_lost_over_many_faults(tmp_path, number):
    """G2: as above, again and again."""
    assert under_faults(tmp_path, 6)[0]


@contextmanager
def pooled(database, folder):
    """Give a DSN that leads through PgBouncer, which hands out transactions and has two server connections."""
    bouncer = shutil.which("pgbouncer")
    if bouncer is None:
        pytest.skip("PgBouncer is not installed: nothing here shows that a pooler works")
    given = psycopg.conninfo.conninfo_to_dict(database.server.address)
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder.chmod(0o755)  # PgBouncer does not run as root
    users, config = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text('"app" ""\n')
    config.write_text(
        f"[databases]\n{database.name} = host={given['host']} port={given['port']} dbname={database.name} user=app\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nauth_file = {users}\n"
        "pool_mode = transaction\ndefault_pool_size = 2\nunix_socket_dir =\n"
    )
    process = subprocess.Popen([bouncer, "-q", str(config)], user=database.server.running.system_user)
    try:
        yield f"host=127.0.0.1 port={port} dbname={database.name} user=app"
    finally:
        process.terminate()
        process.wait(10)


def test_it_works_through_a_pooler_that_hands_out_transactions(database):
    """L5: no transaction depends on what another one left in its session."""
    with tempfile.TemporaryDirectory(prefix="wb-") as folder, pooled(database, Path(folder)) as dsn:
        until = time.monotonic() + 10
        while True:
            try:
                store = PostgresStore(dsn, entropy=os.urandom, lanes=2)
                break
            except StoreError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        with closing(store):
            caps = [cap("day", 30), cap("tok", None, unit="tokens", settles=True)]

            def work(thread):
                for number in range(10):
                    name = f"op-{thread}-{number}"
                    store.commit(
                        reservation(name, caps, tenant=f"t-{thread % 3}", amounts={"operations": 1, "tokens": 3})
                    )
                    store.commit(decision(draft(name), tenant=f"t-{thread % 3}"))
                    assert store.identity(f"t-{thread % 3}", "op", name) is not None

            threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            key = store.tenant_key("t-0")
            store.commit(with_content("run-c", key, b"body", tenant="t-0"))
            store.erase_content("t-0", (keyed_hash(key, b"body"),), erasure(tenant="t-0"))
            store.commit(ended("op-0-0", {"tokens": 1}, tenant="t-0"))
            assert store._lanes[0]._connected().prepare_threshold is None
            assert verify_store(store).ok
            assert [
                dict(store.counters(tenant))["operations 2026-11-22 any"].reserved for tenant in store.tenants()
            ] == [30] * 3
