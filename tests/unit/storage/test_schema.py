"""The schema is what its migrations make and what is declared beside them, and whatever somebody altered in it is named."""

import contextlib
import os
from contextlib import closing

import apsw
import pytest

from tests.migrations import next_version, only
from weighbridge.storage import migrate, schema
from weighbridge.storage.postgres import initialise
from weighbridge.storage.postgres.connection import connect
from weighbridge.storage.postgres.schema import describe as describe_postgres
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.storage.sqlite.schema import describe as describe_sqlite

VERSIONS = [(backend, one.version) for backend in ("sqlite", "postgres") for one in migrate.migrations(backend)]


@pytest.fixture
def described(tmp_path, postgres, monkeypatch):
    """Return what describes a store that the first ``version`` migrations of a backend made."""

    def describe(backend, version, change=None):
        with monkeypatch.context() as patch:
            only(patch, version)
            if backend == "sqlite":
                path = tmp_path / f"{version}.db"
                SqliteStore(path, entropy=os.urandom).close()
                with closing(apsw.Connection(str(path))) as connection:
                    connection.execute(change or "")
                    return describe_sqlite(connection)
            empty = postgres.empty()
            initialise(empty.dsn("postgres"))
        with contextlib.ExitStack() as held:
            held.callback(empty.drop)
            owner = held.enter_context(closing(connect(empty.dsn("postgres"))))
            if change:
                owner.execute(change.encode())
            return describe_postgres(owner)

    return describe


@pytest.mark.parametrize(("backend", "version"), VERSIONS)
def test_the_migrations_make_what_is_declared(described, backend, version):
    """L1: tables, keys, checks, triggers, policies and grants, all of them and nothing else."""
    declared = schema.declared(backend, version)
    if not declared.whole:
        pytest.skip(
            f"{backend} {version} is not described: run `python scripts/describe_schema.py` and read what it adds"
        )
    assert schema.differences(described(backend, version), declared) == ()


@pytest.mark.parametrize(("backend", "version"), VERSIONS)
def test_a_migration_only_adds(described, backend, version):
    """L1: what a process of the version before relies on is there as it was."""
    if version > 1:
        before = schema.Declared(described(backend, version - 1), whole=False)
        assert schema.differences(described(backend, version), before) == ()
    assert schema.declared(backend, 1).whole


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_the_test_migration_only_adds(described, monkeypatch, backend):
    known = migrate.latest_version(backend)
    next_version(monkeypatch)
    before, after = described(backend, known), described(backend, known + 1)
    assert schema.differences(after, schema.Declared(before, whole=False)) == ()
    assert "column extra.value" in {*after} - {*before}
    assert schema.declared(backend, known + 1).whole is False


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TRIGGER ledger_no_update", "trigger ledger_no_update is missing"),
        ("CREATE TRIGGER mine AFTER INSERT ON ledger BEGIN SELECT 1; END", "trigger mine was added"),
        ("CREATE TABLE mine (a)", "table mine was added"),
        ("ALTER TABLE content ADD COLUMN mine TEXT", "column content.mine was added"),
        ("CREATE INDEX mine ON ledger (hash)", "index mine was added"),
        ("CREATE VIEW mine AS SELECT 1", "view mine was added"),
        ("DROP TABLE counter_family", "table counter_family is missing"),
    ],
)
def test_a_changed_file_is_described_otherwise(described, change, said):
    """L1."""
    known = migrate.latest_version("sqlite")
    wanted = schema.Declared(described("sqlite", known), whole=True)
    assert said in schema.differences(described("sqlite", known, change), wanted)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TRIGGER ledger_no_change ON ledger", "trigger ledger.ledger_no_change is missing"),
        ("ALTER TABLE ledger DISABLE TRIGGER ledger_no_change", "trigger ledger.ledger_no_change was changed"),
        ("ALTER TABLE content NO FORCE ROW LEVEL SECURITY", "table content was changed"),
        ("ALTER POLICY opened_for ON ledger USING (true)", "policy ledger.opened_for was changed"),
        ("CREATE POLICY mine ON ledger USING (true)", "policy ledger.mine was added"),
        ("DROP POLICY opened_for ON ledger", "policy ledger.opened_for is missing"),
        ("GRANT UPDATE ON ledger TO weighbridge_runtime", "grant UPDATE on ledger to weighbridge_runtime was added"),
        (
            "GRANT UPDATE (body) ON ledger TO weighbridge_auditor",
            "grant UPDATE (body) on ledger to weighbridge_auditor was added",
        ),
        ("GRANT SELECT ON ledger TO public", "grant SELECT on ledger to public was added"),
        ("GRANT CREATE ON SCHEMA weighbridge TO public", "grant CREATE on schema to public was added"),
        (
            "REVOKE INSERT ON ledger FROM weighbridge_runtime",
            "grant INSERT on ledger to weighbridge_runtime is missing",
        ),
        ("CREATE RULE mine AS ON INSERT TO ledger DO ALSO NOTHING", "rule ledger.mine was added"),
        (
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'",
            "function refuse() was changed",
        ),
        ("CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'", "function mine() was added"),
        ("CREATE VIEW mine AS SELECT * FROM ledger", "relation of kind v mine was added"),
        ("ALTER TABLE ledger DROP CONSTRAINT ledger_seq_check", "constraint ledger.ledger_seq_check is missing"),
        ("ALTER TABLE ledger ALTER body DROP NOT NULL", "column ledger.body was changed"),
        ("ALTER TABLE ledger OWNER TO postgres", "table ledger was changed"),
        ("ALTER TABLE ledger ALTER seq SET DEFAULT 1", "column ledger.seq was changed"),
        ("CREATE INDEX mine ON ledger (hash)", "index mine was added"),
    ],
)
def test_a_changed_database_is_described_otherwise(described, change, said):
    """L1, L5, Z3: a guard, a grant, a policy, a check."""
    known = migrate.latest_version("postgres")
    wanted = schema.Declared(described("postgres", known), whole=True)
    found = described("postgres", known, f"SET search_path = weighbridge; {change}")
    assert said in schema.differences(found, wanted)


def test_a_description_is_read_as_it_was_written():
    things = {"function f(a: b)": "x: y", "table t": ""}
    assert schema.decode(schema.encode({"table t": "", "check t 1": "a: b"})) == {"table t": "", "check t 1": "a: b"}
    assert schema.encode(things).splitlines() == sorted(schema.encode(things).splitlines())
    assert schema.one_line("  a\n   b ") == "a b"


def test_what_is_not_declared_is_not_reported_where_a_description_is_missing():
    wanted = schema.Declared({"a": "1", "b": "2"}, whole=False)
    assert schema.differences({"a": "1", "b": "3", "c": "4"}, wanted) == ("b was changed",)
    assert schema.differences({"b": "2", "c": "4"}, wanted._replace(whole=True)) == ("a is missing", "c was added")
