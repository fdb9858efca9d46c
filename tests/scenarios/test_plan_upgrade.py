"""A store of schema 1, which knew no plans, becomes one of schema 2 with everything that was in it."""

import os
from contextlib import closing

import apsw
import pytest

from tests.intruder import BUDGET
from tests.migrations import only
from weighbridge import wiring
from weighbridge.domain.plan import PlanStatus
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import StoreError
from weighbridge.outcomes.sweep import sweep
from weighbridge.storage import migrate
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import initialise
from weighbridge.storage.sqlite import SqliteStore, status
from weighbridge.testing.store_contract_outcomes import BY, capture
from weighbridge.testing.store_contract_plans import active, mover
from weighbridge.testing.submissions import TENANT, completion, decision, draft, reservation, with_content

OLD = """
    INSERT INTO identity VALUES ('old', 'run', 'r', 'h', 1, NULL);
"""


def rows(path, table):
    with closing(apsw.Connection(str(path))) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


@pytest.fixture
def old(tmp_path):
    """A file as the version before left it: its schema from the first migration alone, and rows as it wrote them."""
    path, model = tmp_path / "old.db", tmp_path / "model.db"
    with closing(SqliteStore(model, entropy=os.urandom)) as store:
        store.commit(with_content("run-1", store.tenant_key(TENANT), b"secret"))
        store.commit(decision(draft("run-2", verdict=Verdict.BLOCK), operation="op-1"))
        store.commit(reservation("op-2", BUDGET, amounts={"operations": 1, "tokens": 5}))
        store.commit(completion("op-2"))
    with closing(apsw.Connection(str(path))) as connection, pytest.MonkeyPatch.context() as patch:
        only(patch, 1)
        connection.execute("PRAGMA application_id = 0x57454947")
        for migration in migrate.migrations("sqlite"):
            connection.execute(migration.sql)
        connection.execute("INSERT INTO meta VALUES ('purpose', 'enforcement'), ('schema_version', '1')")
        connection.execute(f"ATTACH '{model}' AS model")
        tables = [name for (name,) in connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")]
        for table in ("ledger", *(name for name in tables if name not in {"meta", "ledger"})):
            order = " ORDER BY tenant, seq" * (table == "ledger")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM model.{table}{order}")
    return path, model


def test_a_file_of_schema_1_is_upgraded_with_everything_in_it(old):
    """L1, L3: every row as it was; then plans and outcomes are kept in it, and all verifies."""
    path, model = old
    tables = ("ledger", "identity", "content", "counter", "consumption", "counter_family", "subject", "tenant_key")
    before = {table: rows(path, table) for table in tables}
    assert before == {table: rows(model, table) for table in tables}
    assert (status(path).schema, status(path).pending) == (1, ("0002_plans.sql",))
    assert status(path).altered == ()
    with pytest.raises(StoreError, match="db upgrade"):
        SqliteStore(path, entropy=os.urandom, read_only=True)
    assert wiring.upgrade_store(str(path)).applied == ("0002_plans.sql",)
    assert {table: rows(path, table) for table in tables} == before
    with closing(SqliteStore(path, entropy=os.urandom)) as store:
        assert verify_store(store).ok
        assert store.commit(decision(draft("run-2", verdict=Verdict.BLOCK), operation="op-1")).replayed
        assert active(store, mover(store)).status is PlanStatus.ACTIVE
        assert sweep(store, capture(store), TENANT, by=BY).captured == 1
        assert verify_store(store).ok
    assert (status(path).schema, status(path).altered) == (2, ())


def test_a_database_of_schema_1_is_upgraded_with_everything_in_it(postgres, monkeypatch):
    """L1, L3: the same in PostgreSQL; its guards are asked for from then on."""
    postgres.database().drop()  # the roles of the server are there from then on
    database = postgres.empty()
    with monkeypatch.context() as patch:
        only(patch, 1)
        initialise(database.dsn("postgres"))
    state = wiring.store_state(str(database.url("postgres")))
    assert (state.schema, state.facts["guards_missing"], state.altered) == (1, [], ())
    with closing(database.owner()) as owner:
        owner.execute("SET search_path = weighbridge")
        owner.execute("SELECT set_config('weighbridge.tenants', '{\"old\": 0}', false)")
        owner.execute(OLD)
    assert initialise(database.dsn("postgres")) == 2
    with closing(database.store()) as store:
        assert store.identity("old", "run", "r").seq == 1
        assert active(store, mover(store)).status is PlanStatus.ACTIVE
        assert verify_store(store, TENANT).ok
    with closing(database.owner()) as owner:
        owner.execute("ALTER TABLE weighbridge.plan DISABLE TRIGGER plan_only_forward")
    with pytest.raises(StoreError, match="plan_only_forward"):
        database.store()
    database.drop()
