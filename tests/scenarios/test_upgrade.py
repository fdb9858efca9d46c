"""An upgrade while others decide: they go on, nothing is lost, and what does not know the new schema is refused at the door."""

import subprocess
import sys
import threading
from contextlib import closing, contextmanager, suppress

import apsw
import psycopg
import pytest

from tests.command_line import command, environment, run
from tests.migrations import BROKEN, next_version
from weighbridge import wiring
from weighbridge.errors import StoreError
from weighbridge.storage import migrate
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import setup
from weighbridge.testing.submissions import TENANT, cap, decision, draft, reservation

KNOWN = {backend: migrate.latest_version(backend) for backend in ("sqlite", "postgres")}


class Place:
    """A store of the version before, by what the owner and what the runtime call it."""

    def __init__(self, backend, owner, runtime):
        self.backend, self.owner, self.runtime = backend, owner, runtime

    def open(self, **given):
        options = {"purpose": None, "surroundings": wiring.system_surroundings()} | given
        return wiring.open_store(self.runtime, **options)

    def sql(self, *statements):
        """Run statements as the owner, outside everything of ours, and return the rows of the last."""
        if self.backend == "sqlite":
            with closing(apsw.Connection(self.owner)) as connection:
                return [connection.execute(one).fetchall() for one in statements][-1]
        with closing(psycopg.connect(self.owner, autocommit=True)) as connection:
            connection.execute("SET search_path = weighbridge")
            return [one.fetchall() if one.description else [] for one in map(connection.execute, statements)][-1]

    def version(self):
        return int(self.sql("SELECT value FROM meta WHERE key = 'schema_version'")[0][0])


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    if request.param == "sqlite":
        path = str(tmp_path / "ledger.db")
        assert run("db", "init", path).code == 0
        yield Place("sqlite", path, path)
    else:
        made = request.getfixturevalue("database")
        yield Place("postgres", url(made, "postgres"), url(made, "app"))


def url(database, user):
    host = psycopg.conninfo.conninfo_to_dict(database.server.address)["host"]
    return f"postgresql://{user}@/{database.name}?host={host}"


@contextmanager
def older_process(place, prefix):
    """Give a process that has opened the store as the version that is installed, and decides on it."""
    words = [sys.executable, "-m", "tests.scenarios.upgrade_process", place.runtime, prefix]
    started = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    assert started.stdout is not None
    assert started.stderr is not None
    try:
        assert started.stdout.readline() == "ready\n", started.stderr.read()
        yield started
    finally:
        started.kill()
        started.communicate()


def goes_on(process):
    """Require that it has recorded something since."""
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "again\n", process.stderr.read()


def test_who_decides_meanwhile_goes_on(place, monkeypatch):
    """G2, L3: two processes that were started before decide during and after it, for new tenants too; then all verifies."""
    with older_process(place, "a") as one, older_process(place, "b") as other:
        with monkeypatch.context() as patch:
            next_version(patch)
            done = run("db", "upgrade", place.owner, "--json")
            known = KNOWN[place.backend]
            assert (done.code, done.err) == (0, "")
            assert [(said["before"], said["after"]) for said in done.lines] == [(known, known + 1)]
            assert done.lines[0]["applied"] == [f"{known + 1:04}_test.sql"]
            with closing(place.open()) as newer:  # both versions at once
                for number in range(20):
                    newer.commit(decision(draft(f"new-{number}"), tenant="old"))
                for process in (one, other):
                    goes_on(process)
        for process in (one, other):
            out, err = process.communicate(timeout=60)
            assert out.startswith("verified True"), (out, err)
            assert process.returncode == 0
        # What knows only the version before is refused at the door, by name.
        doors = (
            ("db", "upgrade", place.owner),
            ("why", "a-0", "--store", place.runtime),
            ("db", "status", place.owner),
        )
        for words in doors:
            refused = run(*words)
            assert refused.code == 1
            assert (
                f"has schema {known + 1}, this version of weighbridge knows {known}; upgrade weighbridge" in refused.err
            )
        for read_only in (False, True):
            with pytest.raises(StoreError, match="upgrade weighbridge"):
                place.open(read_only=read_only)
        next_version(monkeypatch)
        assert run("ledger", "verify", "--store", place.runtime).code == 0
        assert run("db", "status", place.owner).code == 0


def test_what_was_recorded_is_there_as_it_was(place, monkeypatch):
    """L1, L3: byte for byte, and verified."""
    with closing(place.open()) as store:
        store.commit(decision(draft("run-1")))
        store.commit(reservation("op-1", [cap("day", 9)]))
        before = [*store.records(TENANT)]
    next_version(monkeypatch)
    if place.backend == "postgres":
        refused = run("why", "run-1", "--store", place.runtime)
        assert (refused.code, "`weighbridge db upgrade`" in refused.err) == (1, True)
    told = run("db", "status", place.runtime)
    assert (told.code, told.lines[0]["pending"]) == (1, [f"{KNOWN[place.backend] + 1:04}_test.sql"])
    assert "db upgrade" in told.lines[0]["problems"][0]
    assert run("db", "upgrade", place.owner).code == 0
    assert run("db", "upgrade", place.owner).lines[0]["applied"] == []
    with closing(place.open()) as store:
        assert [*store.records(TENANT)] == before
        assert verify_store(store).ok
        store.commit(decision(draft("run-2")))
        assert verify_store(store).ok
    assert run("db", "status", place.runtime).code == 0


def test_several_at_once_apply_it_once(place, monkeypatch):
    """L1: whoever comes second finds it done."""
    next_version(monkeypatch)
    done = []
    threads = [threading.Thread(target=lambda: done.append(wiring.upgrade_store(place.owner))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(one.applied) for one in done) == [0] * 5 + [1]
    assert {one.after for one in done} == {place.version()} == {KNOWN[place.backend] + 1}


def test_an_upgrade_that_fails_changes_nothing(place, monkeypatch):
    """L1: whole or not at all."""
    with closing(place.open()) as store:
        store.commit(decision(draft("run-1")))
    with monkeypatch.context() as patch:
        next_version(patch, BROKEN)
        failed = run("db", "upgrade", place.owner)
        assert (failed.code, "already exists" in failed.err) == (1, True)
    assert place.version() == KNOWN[place.backend]
    assert run("db", "status", place.owner).code == 0
    with closing(place.open()) as store:
        store.commit(decision(draft("run-2")))
        assert verify_store(store).ok


def test_a_changed_schema_is_not_built_upon(tmp_path, monkeypatch):
    """L1: a file without a guard is not upgraded; it is said which."""
    path = str(tmp_path / "ledger.db")
    run("db", "init", path)
    with closing(apsw.Connection(path)) as connection:
        connection.execute("DROP TRIGGER ledger_no_update")
    next_version(monkeypatch)
    failed = run("db", "upgrade", path)
    assert (failed.code, "trigger ledger_no_update" in failed.err) == (1, True)


def test_whoever_reads_for_long_does_not_stop_the_writers(database, monkeypatch):
    """G2: a table that is not to be had is asked for again, and nobody queues behind the one that asks."""
    monkeypatch.setattr(setup, "PAUSES_S", (0.05,) * 3)
    monkeypatch.setattr(setup, "TABLE_WAIT_MS_MAX", 100)
    with closing(database.owner()) as reader, closing(database.store()) as store:
        next_version(monkeypatch)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM weighbridge.ledger")
        with pytest.raises(StoreError, match="try again when it is done"):
            wiring.upgrade_store(url(database, "postgres"))
        store.commit(decision(draft("run-1")))
        reader.execute("COMMIT")
        assert len(wiring.upgrade_store(url(database, "postgres")).applied) == 1
        store.commit(decision(draft("run-2")))
        assert verify_store(store).ok


def test_an_upgrade_that_is_killed_leaves_the_version_before(place, monkeypatch):
    """L1: a process that ends in the middle has changed nothing."""
    slow = {
        "sqlite": "CREATE TABLE extra (tenant TEXT) STRICT; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT count(*) FROM n;",
        "postgres": "CREATE TABLE extra (tenant text); SELECT pg_sleep(600);",
    }
    script = (
        "import sys, unittest.mock; from weighbridge import wiring; from weighbridge.storage import migrate; "
        "known = migrate.migrations; "
        f"added = {slow!r}; "
        "one = lambda backend: migrate.Migration(len(known(backend)) + 1, 'x.sql', added[backend]); "
        "migrate.migrations = lambda backend: (*known(backend), one(backend)); "
        "print('begun', flush=True); wiring.upgrade_store(sys.argv[1])"
    )
    words = [sys.executable, "-c", script, place.owner]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
    assert started.stdout is not None
    try:
        assert started.stdout.readline() == "begun\n"
        with suppress(subprocess.TimeoutExpired):
            started.wait(1)
        assert started.poll() is None
    finally:
        started.kill()
        started.communicate()
    if place.backend == "postgres":  # whose server has not noticed yet
        place.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' "
            "AND pid <> pg_backend_pid()"
        )
    assert place.version() == KNOWN[place.backend]
    assert run("db", "status", place.owner).code == 0
    next_version(monkeypatch)
    assert len(wiring.upgrade_store(place.owner).applied) == 1


def test_the_command_is_there(tmp_path):
    """Z3: also in a process of its own."""
    words = command("db", "status", tmp_path / "none.db")
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
    assert (done.returncode, "`weighbridge db init`" in done.stderr) == (1, True)
    assert not any(tmp_path.iterdir())
