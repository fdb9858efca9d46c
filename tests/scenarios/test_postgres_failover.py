"""A server with a standby that must confirm every COMMIT dies; the standby is promoted, and the same process goes on there."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.postgres import running
from weighbridge.errors import Refusal
from weighbridge.ledger.submission import Committed
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import PostgresStore, status
from weighbridge.testing.submissions import TENANT, cap, reservation

NAME = "standby"  # what it calls itself, and the primary waits for
CAPS = [cap("day", 10_000)]
CALLERS = 4
LONG_S = 60


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def commands(server):
    """Return the folder of the commands, which must have `pg_basebackup`."""
    folder = Path(server.running.bin_path)
    if not (folder / "pg_basebackup").exists():
        pytest.skip(f"{folder} has no pg_basebackup: nothing here shows that a failover works")
    return folder


def until(condition, seconds=LONG_S):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Standby:
    """A server that follows another one, and can take its place."""

    def __init__(self, server, folder):
        self._server, self._commands, self.data = server, commands(server), Path(folder, "standby")
        self.port = free_port()
        self.host = str(folder)

    def call(self, command, *given):
        done = subprocess.run(
            [str(self._commands / command), *given],
            user=self._server.running.system_user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def begin(self):
        source = psycopg.conninfo.make_conninfo(self._server.address, user="postgres", application_name=NAME)
        self.call("pg_basebackup", "-d", source, "-D", str(self.data), "-R", "-X", "stream", "--checkpoint=fast")
        log = Path(self.data, "log.txt")
        options = f"-p {self.port} -k {self.host} -c listen_addresses="
        self.call("pg_ctl", "-w", "-D", str(self.data), "-l", str(log), "-o", options, "start")

    def promote(self):
        self.call("pg_ctl", "-w", "-D", str(self.data), "promote")

    def stop(self):
        if Path(self.data, "postmaster.pid").exists():
            self.call("pg_ctl", "-w", "-m", "immediate", "-D", str(self.data), "stop")


@contextmanager
def pair():
    """Give a primary with an empty store, which waits for its standby at every COMMIT, and that one."""
    with (
        running() as server,
        tempfile.TemporaryDirectory(prefix="wb-", dir="/tmp", ignore_cleanup_errors=True) as folder,
    ):
        user = server.running.system_user
        if user is not None:
            shutil.chown(folder, user)
        database, standby = server.database(), Standby(server, folder)
        try:
            standby.begin()
            with server.admin() as admin:
                admin.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'".encode())
                admin.execute("SELECT pg_reload_conf()")
                waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
                until(lambda: admin.execute(waits).fetchall() == [(1,)])
            yield server, database, standby
        finally:
            standby.stop()


def both(server, standby, database, user="app"):
    """Return one address that names both servers, and wants the one that takes writes."""
    given = psycopg.conninfo.conninfo_to_dict(server.address)
    return (
        f"host={given['host']},{standby.host} port={given['port']},{standby.port} dbname={database.name} user={user} "
        "target_session_attrs=read-write connect_timeout=2"
    )


class Callers:
    """Threads that reserve under ids of their own until they are stopped, and keep what they were told."""

    def __init__(self, store):
        self._store, self._over = store, threading.Event()
        self.answered, self.unknown, self.codes = {}, [], set()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _call(self, caller):
        number = 0
        while not self._over.is_set():
            name = f"op-{caller}-{number}"
            number += 1
            try:
                self.answered[name] = self._store.commit(reservation(name, CAPS))
            except Refusal as refusal:
                self.codes.add(refusal.code)
                if refusal.code == "COMMIT_UNKNOWN":
                    self.unknown.append(name)

    def stop(self):
        self._over.set()
        for thread in self._threads:
            thread.join(LONG_S)
            assert not thread.is_alive()


@pytest.mark.slow
def test_a_promoted_standby_goes_on_with_everything_that_was_answered():
    """G2, G3, B5: no answer is lost, none is given twice; what was unknown is resolved by its id; the same process goes on."""
    with pair() as (server, database, standby):
        with (
            pytest.raises(Refusal, match="takes no writes now"),
            closing(
                PostgresStore(both(server, standby, database).replace("read-write", "standby"), entropy=os.urandom)
            ) as follows,
        ):
            follows.commit(reservation("op-standby", CAPS))
        with closing(PostgresStore(both(server, standby, database), entropy=os.urandom)) as store:
            callers = Callers(store)
            until(lambda: len(callers.answered) >= 40)
            server.crash()
            before = dict(callers.answered)
            standby.promote()
            until(lambda: len(callers.answered) >= len(before) + 40)
            callers.stop()
            assert not status(both(server, standby, database)).facts["standby"]
            for name, answer in callers.answered.items():
                stored = store.record(TENANT, answer.seq)
                assert stored is not None, name
                assert stored.hash == answer.hash, name
                bound = store.identity(TENANT, "op", name)
                assert bound is not None, name
                assert bound.seq == answer.seq
            resolved = {name: store.commit(reservation(name, CAPS)) for name in callers.unknown}
            assert all(isinstance(answer, Committed) for answer in resolved.values())
            assert callers.codes <= {"LEDGER_WRITE_FAILED", "COMMIT_UNKNOWN", "OVERLOADED"}
            known = {name for kind, name, _ in store.identities(TENANT) if kind == "op"}
            assert known == {*callers.answered, *callers.unknown}  # what was refused for certain is nowhere
            assert sum(counter.reserved for _, counter in store.counters(TENANT)) == len(known)
            assert verify_store(store).ok
