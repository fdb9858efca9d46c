"""`weighbridge db`: a store is made, upgraded and described; what is wrong with it is said together with what to do."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from psycopg import conninfo

from tests.command_line import run
from tests.migrations import next_version
from tests.postgres import APP, AUDITOR, BYSTANDER
from tests.scenarios.test_postgres_faults import pooled
from tests.scenarios.test_upgrade import url
from weighbridge import wiring
from weighbridge.storage import migrate, schema

LATEST = {backend: migrate.latest_version(backend) for backend in ("sqlite", "postgres")}


def told(*words):
    done = run(*words)
    return done.code, done.lines[0] if done.out else done.err


def test_a_file_is_made_once(tmp_path):
    """B9: what is there stays, and stays what it was made for."""
    path = tmp_path / "ledger.db"
    code, said = told("db", "init", path)
    assert (code, said["before"], said["after"], len(said["applied"])) == (0, 0, LATEST["sqlite"], LATEST["sqlite"])
    before = path.read_bytes()
    code, said = told("db", "init", path)
    assert (code, said["before"], said["applied"]) == (0, LATEST["sqlite"], [])
    assert path.read_bytes() == before
    code, said = told("db", "init", path, "--purpose", "evaluation")
    assert (code, "made for enforcement" in said) == (1, True)
    assert "is up to date" in run("db", "upgrade", path, "--table").out


def test_a_file_for_evaluation(tmp_path):
    """B9."""
    assert run("db", "init", tmp_path / "e.db", "--purpose", "evaluation").code == 0
    code, said = told("db", "status", f"sqlite:///{tmp_path}/e.db")
    assert (code, said["purpose"], said["problems"]) == (0, "evaluation", [])
    assert said["durability"] == {"journal_mode": "wal", "synchronous": "full"}


def test_status_writes_nothing(tmp_path):
    """L1."""
    path = tmp_path / "ledger.db"
    run("db", "init", path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    assert run("db", "status", path).code == 0
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    path.chmod(0o444)
    assert run("db", "status", path).code == 0


@pytest.mark.parametrize("act", ["upgrade", "status"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "`weighbridge db init`"), (b"", "is empty"), (b"no database" * 100, "no SQLite file")],
)
def test_what_is_no_store_is_left_alone(tmp_path, act, content, said):
    path = tmp_path / "ledger.db"
    if content is not None:
        path.write_bytes(content)
    done = run("db", act, path)
    assert (done.code, said in done.err) == (1, True), done.err
    assert (path.read_bytes() if content is not None else path.exists()) == (content if content is not None else False)


@pytest.mark.parametrize("act", ["init", "upgrade", "status"])
@pytest.mark.parametrize("place", [":memory:", "mysql://x/y"])
def test_a_place_where_no_store_can_be(act, place):
    done = run("db", act, place)
    assert (done.code, "give" in done.err) == (2, True)


def test_a_file_has_no_logins(tmp_path):
    done = run("db", "init", tmp_path / "x.db", "--runtime-login", "app")
    assert (done.code, [*tmp_path.iterdir()]) == (2, [])


def test_a_changed_file_is_told(tmp_path):
    """L1: each guard that is missing, by name, and nothing else is opened on it."""
    path = tmp_path / "ledger.db"
    run("db", "init", path)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP TRIGGER ledger_no_delete")
    done = run("db", "status", path)
    assert (done.code, done.lines[0]["altered"]) == (1, ["trigger ledger_no_delete"])
    assert "restore it" in done.err
    assert "trigger ledger_no_delete" in run("db", "status", path, "--table").out
    assert run("db", "upgrade", path).code == 1


def test_an_older_file_says_how_to_go_on(tmp_path, monkeypatch):
    path = tmp_path / "ledger.db"
    run("db", "init", path)
    next_version(monkeypatch)
    done = run("db", "status", path, "--table")
    assert (done.code, "`weighbridge db upgrade`" in done.err, "_test.sql" in done.out) == (1, True, True)
    refused = run("ledger", "verify", "--store", path)
    assert (refused.code, "`weighbridge db upgrade`" in refused.err) == (1, True)


@pytest.fixture
def empty(postgres):
    postgres.database().drop()  # so that the roles and the logins of the tests are there
    made = postgres.empty()
    yield made
    with postgres.admin() as admin:
        made.drop()
        for login in ("newcomer", "second", "mighty"):
            admin.execute(f"DROP ROLE IF EXISTS {login}".encode())


def test_the_owner_makes_everything(empty):
    """Z3: roles, schema, grants and logins; no password is set, and it says how to set one."""
    done = run("db", "init", url(empty, "postgres"), "--runtime-login", "newcomer", "--auditor-login", "second")
    assert done.code == 0, done.err
    assert done.lines[0]["after"] == LATEST["postgres"]
    assert done.err.count("\\password") == 2
    with closing(empty.owner()) as owner:
        passwords = owner.execute(
            "SELECT rolname, rolpassword FROM pg_authid WHERE rolname IN ('newcomer', 'second') ORDER BY 1"
        ).fetchall()
    assert passwords == [("newcomer", None), ("second", None)]
    code, state = told("db", "status", url(empty, "postgres"))
    assert (code, state["problems"], state["altered"], state["pending"]) == (0, [], [], [])
    assert "newcomer" in state["roles"]["weighbridge_runtime"]
    assert "second" in state["roles"]["weighbridge_auditor"]
    around = wiring.system_surroundings()
    wiring.open_store(url(empty, "newcomer"), purpose="enforcement", surroundings=around).close()
    wiring.open_store(url(empty, "second"), purpose=None, surroundings=around, read_only=True).close()
    again = run("db", "init", url(empty, "postgres"), "--runtime-login", "newcomer")
    assert (again.code, again.lines[0]["applied"], again.err) == (0, [], "")


@pytest.mark.parametrize(
    "attribute", ["SUPERUSER", "BYPASSRLS", "CREATEROLE", "REPLICATION", "IN ROLE weighbridge_owner"]
)
def test_a_login_that_could_do_too_much_is_refused(empty, attribute):
    """Z3: and nothing is made for its sake: whole or not at all."""
    with closing(empty.owner()) as owner:
        owner.execute(f"CREATE ROLE mighty LOGIN {attribute}".encode())
    done = run("db", "init", url(empty, "postgres"), "--runtime-login", "mighty")
    assert (done.code, "name another one" in done.err) == (1, True)
    assert "`weighbridge db init`" in run("db", "status", url(empty, "postgres")).err


def test_what_a_login_lacks_is_said(empty):
    with closing(empty.owner()) as owner:
        owner.execute("CREATE ROLE second")
        owner.execute(f"REVOKE CONNECT ON DATABASE {empty.name} FROM public".encode())
    done = run("db", "init", url(empty, "postgres"), "--auditor-login", "second")
    assert done.code == 0
    assert 'ALTER ROLE "second" LOGIN' in done.err
    assert f'GRANT CONNECT ON DATABASE "{empty.name}" TO "second"' in done.err


@pytest.mark.parametrize("user", [APP, AUDITOR, BYSTANDER])
def test_only_the_owner_makes_and_upgrades(database, empty, monkeypatch, user):
    """Z3: whoever may not is told who may."""
    done = run("db", "init", url(empty, user))
    assert (done.code, "connect as" in done.err) == (1, True), done.err
    next_version(monkeypatch)
    done = run("db", "upgrade", url(database, user))
    assert (done.code, "connect as" in done.err) == (1, True), done.err


def test_the_state_of_a_database(database):
    """Z3, L5: what is told to whom: owner, runtime, auditor; a stranger is told nothing."""
    for user, may in (("postgres", "superuser"), (APP, "runtime"), (AUDITOR, "auditor")):
        code, state = told("db", "status", url(database, user))
        assert (code, may in state["may"], state["connected_as"]) == (0, True, user), state
        assert (state["guards_missing"], state["pooler"], state["standby"]) == ([], False, False)
        assert {"ledger", "content", "tenant_key"} <= {*state["row_level_security"]}
        assert state["durability"]["synchronous_commit"] == "on"
        assert int(state["server"].split(".")[0]) >= 15
    done = run("db", "status", url(database, BYSTANDER))
    assert (done.code, "may not do this" in done.err) == (1, True)
    assert "weighbridge_runtime" in run("db", "status", url(database, APP), "--table").out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP TRIGGER ledger_no_change ON weighbridge.ledger", "trigger ledger.ledger_no_change is missing"),
        ("ALTER TABLE weighbridge.content DISABLE ROW LEVEL SECURITY", "table content was changed"),
        ("ALTER POLICY opened_for ON weighbridge.ledger USING (true)", "policy ledger.opened_for was changed"),
        (
            "GRANT DELETE ON weighbridge.ledger TO weighbridge_runtime",
            "grant DELETE on ledger to weighbridge_runtime was added",
        ),
    ],
)
def test_a_changed_database_is_told(database, change, said):
    """L1, L5: also what opening does not look for."""
    if said.endswith("was added") and not schema.declared("postgres", LATEST["postgres"]).whole:
        pytest.skip(
            "the newest migration is not described: run `python scripts/describe_schema.py` and read what it adds"
        )
    with closing(database.owner()) as owner:
        owner.execute(change.encode())
    for user in ("postgres", APP, AUDITOR):
        done = run("db", "status", url(database, user))
        assert (done.code, said in done.lines[0]["altered"], "to do" in done.err) == (1, True, True)


def test_a_pooler_is_noticed(database):
    """L5: the state is the same through one."""
    with tempfile.TemporaryDirectory(prefix="wb-") as folder, pooled(database, Path(folder)) as dsn:
        given = conninfo.conninfo_to_dict(dsn)
        place, until = f"postgresql://app@127.0.0.1:{given['port']}/{given['dbname']}", time.monotonic() + 10
        while (done := run("db", "status", place)).code and time.monotonic() < until:
            time.sleep(0.1)
        assert (done.code, done.lines[0]["pooler"], done.lines[0]["may"]) == (0, True, ["runtime"]), done.err


def test_what_else_is_to_be_done(database):
    """G2, Z3: durability, and a runtime that could pass the guards."""
    with closing(database.owner()) as owner:
        owner.execute(f"ALTER DATABASE {database.name} SET synchronous_commit = off".encode())
        owner.execute("ALTER ROLE app BYPASSRLS")
    try:
        done = run("db", "status", url(database, AUDITOR))
        assert done.code == 1
        assert "`synchronous_commit` is off" in done.err
        assert "role `app` runs decisions and could pass the guards" in done.err
    finally:
        with closing(database.owner()) as owner:
            owner.execute("ALTER ROLE app NOBYPASSRLS")
