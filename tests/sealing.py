"""Stores, witnesses and sealers for tests of what is sealed: real keys, a still clock, folders that go with the test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from psycopg import conninfo

from tests import samples
from tests.postgres import APP, Database, Server
from weighbridge import keys
from weighbridge.ledger.checkpoint import open_checkpoint
from weighbridge.ledger.ed25519 import is_signature
from weighbridge.sealer import Sealer
from weighbridge.wiring import open_store
from weighbridge.witnesses.directory import DirectoryWitness

NAME = "ledger.example/log"


class Site(Protocol):
    """Where a store is, and what whoever owns it can do to all of it."""

    address: str

    def save(self, name: str) -> None:
        """Keep a copy of the store as it is."""

    def restore(self, name: str) -> None:
        """Put a copy in the store's place."""

    def empty(self) -> None:
        """Put an empty store in its place."""


class SqliteSite:
    """A store in a file, with copies beside it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "s.db"
        self.address = str(self._file)

    def save(self, name: str) -> None:
        shutil.copy(self._file, self._file.with_name(f"{name}.saved"))

    def restore(self, name: str) -> None:
        self.empty()
        shutil.copy(self._file.with_name(f"{name}.saved"), self._file)

    def empty(self) -> None:
        for path in self._file.parent.glob("s.db*"):
            path.unlink()


class PostgresSite:
    """A store in a database, with copies beside it: what a physical backup and its restoration would leave."""

    def __init__(self, database: Database) -> None:
        self._database, self._saved = database, set[str]()
        self.address = address(database)

    def save(self, name: str) -> None:
        self._copy(self._database.name, f"{self._database.name}_{name}")
        self._saved.add(name)

    def restore(self, name: str) -> None:
        self._copy(f"{self._database.name}_{name}", self._database.name)

    def empty(self) -> None:
        self._copy(self._database.server.made["enforcement"], self._database.name)

    def drop(self) -> None:
        """Remove the database and its copies."""
        with self._database.server.admin() as connection:
            for name in (self._database.name, *(f"{self._database.name}_{name}" for name in self._saved)):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _copy(self, source: str, target: str) -> None:
        with self._database.server.admin() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)".encode())
            connection.execute(f"CREATE DATABASE {target} TEMPLATE {source}".encode())


@contextmanager
def site(kind: str, folder: Path, server: Server) -> Iterator[Site]:
    """Give a place for a store: ``sqlite`` or ``postgres``."""
    if kind == "sqlite":
        yield SqliteSite(folder)
        return
    made = PostgresSite(server.database())
    try:
        yield made
    finally:
        made.drop()


def address(database: Database, user: str = APP) -> str:
    """Return the address of a database as an operator would set it."""
    given = conninfo.conninfo_to_dict(database.dsn(user))
    return f"postgresql://{user}@/{database.name}?host={quote(str(given['host']), safe='')}&port={given['port']}"


def counted() -> Any:
    """Return a source of bytes that are never the same."""
    counter = itertools.count(1)
    return lambda size: next(counter).to_bytes(size, "big")


def make_keys(folder: Any) -> Any:
    """Make a folder of keys and return it."""
    keys.create(folder, NAME, counted())
    return folder


def decide(store: Any, *names: str, tenant: str = "acme") -> None:
    """Put one decision for each name on record."""
    with samples.weighbridge(store) as wb:
        for name in names:
            changes = {"tenant_id": tenant, "validation_run_id": name, "account_id": f"account of {name}"}
            proposal = samples.CONTEXT["proposal"] | {"arguments": {"renewal_id": "r-1", "text": name}}
            wb.gate(samples.context(**changes, proposal=proposal))


def reader(store: Any) -> Any:
    """Open a store to read."""
    return open_store(str(store), purpose=None, surroundings=samples.surroundings(), create=False, read_only=True)


def witness(folder: Any) -> DirectoryWitness:
    """Make a folder and return the witness in it."""
    folder.mkdir(exist_ok=True)
    return DirectoryWitness(folder)


def sealer(opened: Any, folder: Any, *witnesses: Any, clock: Any = None, still_alone: Any = lambda: None) -> Any:
    """Return a sealer over an open store, with the keys in ``folder``."""
    return Sealer(
        opened,
        witnesses,
        signers=keys.signers(folder),
        keys=keys.public_keys(folder),
        check=is_signature,
        clock_ms=clock or samples.Clock(),
        still_alone=still_alone,
    )


def opened(witness_: Any, number: int, folder: Any) -> Any:
    """Return a published checkpoint and what its signature vouches for."""
    lines = witness_.read(number).splitlines(keepends=True)
    return open_checkpoint(lines, keys.public_keys(folder), is_signature)
