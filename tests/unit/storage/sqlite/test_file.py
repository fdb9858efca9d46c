"""Opening a file: only a whole store of ours, on a disk that keeps it, is opened; everything else says what is wrong."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from weighbridge.errors import Refusal, StoreError, UsageError
from weighbridge.storage import migrate
from weighbridge.storage.audit import verify_store
from weighbridge.storage.sqlite import SqliteStore, file
from weighbridge.testing.submissions import TENANT, decision, draft, with_content


def opened(path, **options):
    return SqliteStore(path, entropy=os.urandom, **options)


@pytest.fixture
def path(tmp_path):
    opened(tmp_path / "ledger.db").close()
    return tmp_path / "ledger.db"


def change(path, *statements):
    connection = apsw.Connection(str(path))
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_new_store_is_complete_and_alone(path, tmp_path):
    """L1: nothing half done is ever seen, and no draft is left behind."""
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.db"]
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA application_id").fetchall() == [(file.APPLICATION_ID,)]
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert file.read_meta(connection) == {
        "purpose": "enforcement",
        "schema_version": str(migrate.latest_version("sqlite")),
    }
    connection.close()


def test_every_table_is_strict(path):
    connection = apsw.Connection(str(path))
    kinds = connection.execute(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
    )
    assert {strict for _, strict in kinds.fetchall()} == {1}
    connection.close()


def test_the_schema_is_what_the_migrations_make(path):
    """L1: checked whenever a store is opened."""
    connection = apsw.Connection(str(path))
    assert file._schema(connection) == file._expected_schema(migrate.migrations("sqlite"))
    connection.close()


def test_the_purpose_is_kept(path, tmp_path):
    """B9: a store for evaluation never becomes one for enforcement, nor the other way round."""
    with pytest.raises(StoreError, match="was made for enforcement"):
        opened(path, purpose="evaluation")
    store = opened(path, purpose=None, create=False)
    assert store.purpose() == "enforcement"
    store.close()
    evaluation = opened(tmp_path / "evaluation.db", purpose="evaluation")
    assert evaluation.purpose() == "evaluation"
    evaluation.close()
    with pytest.raises(StoreError, match="was made for evaluation"):
        opened(tmp_path / "evaluation.db")
    with pytest.raises(UsageError):
        opened(tmp_path / "x.db", purpose="fun")


def test_a_copy_made_by_sqlite_is_a_store(path, tmp_path):
    """L3: backups by SQLite's own means open and verify."""
    store = opened(path)
    store.commit(decision(draft("run-1")))
    change(path, f"VACUUM INTO '{tmp_path / 'copy.db'}'")
    store.commit(decision(draft("run-2")))
    store.close()
    copy = opened(tmp_path / "copy.db")
    assert (verify_store(copy).ok, verify_store(copy).records) == (True, 1)
    copy.close()


@pytest.mark.parametrize("options", [{"create": False}, {"purpose": None}])
def test_looking_makes_nothing(tmp_path, options):
    with pytest.raises(StoreError, match="no store"):
        opened(tmp_path / "none.db", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ":memory:", ":memory:x", "file:x.db", "a\0b", "a\ud800", "//server/share/x.db"])
def test_names_of_no_file(tmp_path, monkeypatch, name):
    """L1: a store that is nowhere, or elsewhere, keeps nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        opened(name)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="is a folder"):
        opened(tmp_path)


@pytest.mark.parametrize("folder", ["missing", "a-file", "/proc"])
def test_a_place_that_cannot_be_written(tmp_path, folder):
    (tmp_path / "a-file").touch()
    with pytest.raises(StoreError):
        opened(Path(tmp_path, folder, "ledger.db"))


@pytest.mark.parametrize("content", [b"x", b"not a database" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_a_file_that_is_no_database(tmp_path, content):
    (tmp_path / "ledger.db").write_bytes(content)
    with pytest.raises(StoreError):
        opened(tmp_path / "ledger.db")
    assert (tmp_path / "ledger.db").read_bytes() == content


def test_a_database_of_somebody_else(tmp_path):
    change(tmp_path / "other.db", "CREATE TABLE t (a)")
    with pytest.raises(StoreError, match="no weighbridge store"):
        opened(tmp_path / "other.db")


def test_a_newer_store(path):
    change(path, f"UPDATE meta SET value = '{migrate.latest_version('sqlite') + 1}' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match="upgrade weighbridge"):
        opened(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE meta SET value = 'x' WHERE key = 'purpose'",
        "UPDATE meta SET value = '-1' WHERE key = 'schema_version'",
        "DELETE FROM meta",
        "DROP TABLE meta",
        "DROP TRIGGER ledger_no_delete",
        "CREATE TABLE more (a)",
        "ALTER TABLE content ADD COLUMN more TEXT",
        "CREATE TRIGGER sly AFTER INSERT ON ledger BEGIN UPDATE identity SET state = 'PENDING'; END",
    ],
)
def test_a_schema_or_label_that_was_changed(path, statement):
    """L1: the guards are asserted, not assumed."""
    change(path, statement)
    with pytest.raises(StoreError):
        opened(path)


@pytest.mark.parametrize("statement", ["DROP TRIGGER ledger_no_delete", "DELETE FROM meta"])
def test_another_schema_need_not_be_tampering(path, statement):
    """L1: another version is named before a change, and what to do."""
    change(path, statement)
    with pytest.raises(StoreError, match=r"made by another version, or .*changed.*--store.*if it may go"):
        opened(path)


def test_a_write_ahead_log_without_its_database(path):
    """L3: a new file would take the old log for its own."""
    store = opened(path)
    store.commit(decision(draft("run-1")))
    content = Path(f"{path}-wal").read_bytes()
    store.close()
    path.unlink()
    Path(f"{path}-wal").write_bytes(content)
    for options in ({}, {"purpose": None}, {"read_only": True}):
        with pytest.raises(StoreError, match=r"put the file back beside the log; .* new ledger, remove `.*-wal` and"):
            opened(path, **options)
    Path(f"{path}-wal").unlink()
    opened(path).close()


def test_a_connection_that_could_lose_an_answer_is_refused(path):
    """G2: `synchronous` below FULL, or no write-ahead log, is no store to enforce on."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = FULL")
    file.require_durable(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    with pytest.raises(StoreError, match="synchronous"):
        file.require_durable(connection)
    connection.close()
    memory = apsw.Connection(":memory:")
    with pytest.raises(StoreError, match="write-ahead log"):
        file.require_durable(memory)
    memory.close()


def test_every_writer_is_durable(path):
    """G2: whatever the file was left at."""
    change(path, "PRAGMA journal_mode = DELETE")
    store = opened(path)
    connection = file.open_writer(str(path))
    connection.authorizer = None
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert connection.execute("PRAGMA synchronous").fetchall() == [(file.SYNCHRONOUS_FULL,)]
    connection.close()
    store.close()


@pytest.mark.parametrize(
    ("kind", "refused"), [("nfs4", True), ("cifs", True), ("ext4", False), ("tmpfs", False), (None, False)]
)
def test_network_file_systems_are_refused(tmp_path, monkeypatch, kind, refused):
    """L1: SQLite's locks do not hold there."""
    monkeypatch.setattr(file, "_filesystem", lambda path: kind)
    if refused:
        with pytest.raises(StoreError, match="network file system"):
            opened(tmp_path / "ledger.db")
    else:
        opened(tmp_path / "ledger.db").close()


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux only")
def test_the_file_system_is_that_of_the_nearest_mount():
    assert file._filesystem("/proc/1/x") == "proc"
    assert file._filesystem("/") is not None


def test_an_old_sqlite_is_refused(tmp_path, monkeypatch):
    """G2: versions whose write-ahead log can lose a commit."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(StoreError, match="upgrade apsw"):
        opened(tmp_path / "ledger.db")


def test_a_writer_changes_no_table_that_a_commit_does_not_change(tmp_path):
    """L1: what the file is for, the ledger, the keys and the subjects are not updated, whatever asks."""
    path = tmp_path / "ledger.db"
    SqliteStore(path, entropy=os.urandom).close()
    connection = file.open_writer(str(path))
    updates = {"meta": "value = 'evaluation'", "ledger": "body = body", "tenant_key": "key = key", "subject": "id = id"}
    for table, change in updates.items():
        with pytest.raises(apsw.AuthError):
            connection.execute(f"UPDATE {table} SET {change}")
    for sql in ("DELETE FROM ledger_head", "DROP TABLE ledger", "INSERT INTO meta VALUES ('x', 'y')"):
        with pytest.raises(apsw.AuthError):
            connection.execute(sql)
    connection.close()


# --- reading where nothing can be written ---


@pytest.fixture
def archive():
    """A folder that another user than the owner of the tests may look into."""
    folder = Path(tempfile.mkdtemp(prefix="weighbridge-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def read_only(folder):
    """Take every right to write in a folder away, also from an administrator, whom rights do not stop."""
    administrator = os.geteuid() == 0
    for entry in (*folder.iterdir(), folder):
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    if administrator:
        os.seteuid(65534)
    try:
        yield
    finally:
        if administrator:
            os.seteuid(0)
        folder.chmod(0o755)


def written(path):
    """Return an open store with content of one tenant, and records alone of another."""
    store = opened(path)
    store.commit(with_content("run-1", store.tenant_key(TENANT), b"text"))
    store.commit(decision(draft("run-1"), tenant="globex"))
    return store


@pytest.mark.parametrize("log", ["none", "empty"])
def test_an_archived_store_can_be_read(archive, log):
    """L3: a copy on a medium that cannot be written verifies where it lies, and stays as it is."""
    path = archive / "a % b?#.db"
    written(path).close()
    if log == "empty":
        Path(f"{path}-wal").touch()
    before = sorted(entry.name for entry in archive.iterdir())
    with read_only(archive):
        store = opened(path, purpose=None, read_only=True)
        checked = verify_store(store)
        assert (checked.ok, checked.records, store.purpose()) == (True, 2, "enforcement")
        with store.snapshot() as moment:
            assert [body for _, body in moment.contents(TENANT)] == [b"text"]
        with pytest.raises(Refusal, match="opened for reading"):
            store.commit(decision(draft("run-2")))
        assert isinstance(store.commit_many([decision(draft("run-2"))])[0], Refusal)
        store.close()
    assert sorted(entry.name for entry in archive.iterdir()) == before


def test_a_read_only_file_in_a_folder_that_can_be_written(archive):
    """L3: it is read like any other."""
    path = archive / "ledger.db"
    written(path).close()
    with read_only(archive):
        if os.geteuid() != os.getuid():
            os.seteuid(0)
            archive.chmod(0o777)
            os.seteuid(65534)
        else:
            archive.chmod(0o755)
        store = opened(path, purpose=None, read_only=True)
        assert verify_store(store).ok
        store.close()


def test_a_log_that_must_be_recovered_first(archive):
    """L3: records in a log that cannot be recovered are not passed over; the message says what to do."""
    store = written(archive / "original.db")
    for name in ("", "-wal"):
        shutil.copy(archive / f"original.db{name}", archive / f"copy.db{name}")
    store.close()
    with (
        read_only(archive),
        pytest.raises(StoreError, match=r"copy it somewhere writable first, together with the log"),
    ):
        opened(archive / "copy.db", purpose=None, read_only=True)
    store = opened(archive / "copy.db", purpose=None, read_only=True)  # now it can be
    assert verify_store(store).records == 2
    store.close()


def test_reading_alone_makes_and_changes_nothing(path, tmp_path):
    """L1: no store, no key and no schema comes from looking."""
    with pytest.raises(StoreError, match="no store"):
        opened(tmp_path / "x.db", read_only=True)
    with pytest.raises(StoreError, match="made for enforcement"):
        opened(path, purpose="evaluation", read_only=True)
    writer = opened(path)
    store = opened(path, read_only=True)
    writer.commit(decision(draft("run-1")))  # what is written beside it shows
    assert store.head(TENANT).seq == 1
    assert len(store.tenant_key(TENANT)) == 32
    assert rows(path, "SELECT * FROM tenant_key") == []
    store.close()
    writer.close()
    change(path, "UPDATE meta SET value = '0' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match="older version"):
        opened(path, read_only=True)
    latest = migrate.latest_version("sqlite")
    change(path, f"UPDATE meta SET value = '{latest}' WHERE key = 'schema_version'", "DROP TRIGGER ledger_no_delete")
    with pytest.raises(StoreError, match="ledger_no_delete"):
        opened(path, read_only=True)


def rows(path, statement):
    connection = apsw.Connection(str(path))
    found = connection.execute(statement).fetchall()
    connection.close()
    return found
