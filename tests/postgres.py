"""A PostgreSQL server of the tests' own, and a fresh database for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import APP, AUDITOR, BYSTANDER, Database, Server, running, shared

__all__ = [
    "APP",
    "AUDITOR",
    "BYSTANDER",
    "Database",
    "Server",
    "database",
    "postgres",
    "running",
    "shared",
    "shared_place",
]


@pytest.fixture(scope="session")
def postgres() -> Server:
    """Give the server of this test run."""
    return shared()


@pytest.fixture
def database(postgres: Server) -> Iterator[Database]:
    """Give a database of this test's own, with an empty store made for enforcement."""
    made = postgres.database()
    yield made
    made.drop()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Give a place for an empty store of each kind: what `weighbridge.open` takes."""
    if request.param == "postgres":
        return str(request.getfixturevalue("database").url())
    return ":memory:" if request.param == "memory" else tmp_path / "ledger.db"


shared_place = pytest.mark.parametrize("place", ["sqlite", "postgres"], indirect=True)
"""For tests of what several processes do in one place."""
