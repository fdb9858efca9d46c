"""Making, opening and guarding the file of a SQLite store.

Promises: nobody ever sees half a store; a file that is none, was emptied, was changed in its schema, comes from a newer version
or lies where SQLite cannot keep its promises is refused with a sentence that says what to do; every connection that leaves
here can do what a commit or a reader does, and nothing else (L1).
"""

from __future__ import annotations

import contextlib
import functools
import os
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from weighbridge.errors import Refusal, StoreError
from weighbridge.storage import migrate
from weighbridge.storage.rows import Query

BACKEND = "sqlite"
PURPOSES = ("enforcement", "evaluation")
APPLICATION_ID = 0x57454947  # "WEIG": what `file` shows, and how we know our own

SQLITE_MIN = (3, 51, 3)  # 3.7.0 to 3.51.2 can lose a commit when the write-ahead log is reset by two processes at once
SYNCHRONOUS_FULL = 2
OPEN_WAIT_MS_MAX = 5_000  # recovery after a crash, or a checkpoint by the last process that closed
_DURABLE = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
_TUNING = (
    "PRAGMA wal_autocheckpoint = 4000",  # pages, 16 MB: rare enough not to show, small enough to read past
    "PRAGMA cache_size = -65536",  # KiB
    "PRAGMA secure_delete = ON",  # L6: erased content leaves no bytes behind
    "PRAGMA trusted_schema = OFF",
)
_NETWORK_FILESYSTEMS = frozenset({"afs", "cifs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"})

_Seen = TypeVar("_Seen")

_READING = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_TRANSACTION, apsw.SQLITE_RECURSIVE}
)
_INSERTED = frozenset(
    {"ledger", "ledger_head", "identity", "blocked_proposal", "retry_authorisation", "subject", "content", "tenant_key"}
    | {"counter", "consumption", "counter_family", "plan", "outcome"}
)
_UPDATED = frozenset(
    {"ledger_head", "identity", "blocked_proposal", "retry_authorisation", "content", "counter", "consumption", "plan"}
)
_DELETED = frozenset({"counter_family"})  # what counts now, and no history: that is in the records


def require_durable(connection: apsw.Connection) -> None:
    """Refuse a connection that could lose an answered decision.

    ``synchronous`` below FULL lost acknowledged decisions in 210 of 300 simulated power cuts, FULL in none.

    Raises:
        StoreError: no write-ahead log, or ``synchronous`` below FULL.
    """
    journal = _value(connection, "PRAGMA journal_mode")
    if journal != "wal":
        raise StoreError(f"no write-ahead log here (journal mode `{journal}`); put the store on a local disk")
    if _value(connection, "PRAGMA synchronous") < SYNCHRONOUS_FULL:
        raise StoreError("`synchronous` is below FULL, which can lose answered decisions; the store is not opened")


def _connect(path: str, flags: int = apsw.SQLITE_OPEN_READWRITE) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(OPEN_WAIT_MS_MAX)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)  # no writable_schema, no edits of shadow tables
    return connection


def open_writer(path: str) -> apsw.Connection:
    """Return a connection that can do what a commit does, on a file that keeps it.

    Raises:
        StoreError: it is no store of ours, is newer than we are, was changed in its schema, or cannot be durable.
    """
    return _open_writer(path, _migrate)


def open_another_writer(path: str) -> apsw.Connection:
    """Return one more writing connection for a store that is open: the schema was asked about when it was opened.

    Another process may have upgraded it since. What a migration adds does not concern whoever does not know it, so an open store
    goes on (`docs/reference/storage.md`, upgrades).
    """
    return _open_writer(path, lambda _connection, _path: ())


def upgrade(path: str) -> tuple[int, tuple[str, ...]]:
    """Bring the schema of a store up to date, whole or not at all, and return its version before and the files applied.

    Raises:
        StoreError: it is no store of ours, is newer than we are, or was changed in its schema.
    """
    done: list[tuple[int, tuple[str, ...]]] = []

    def migrated(connection: apsw.Connection, path: str) -> None:
        done.append(_migrate(connection, path))

    _open_writer(path, migrated).close()
    return done[0]


def _open_writer(path: str, prepare: Callable[[apsw.Connection, str], object]) -> apsw.Connection:
    connection = _connect(path)
    try:
        _require_store(connection, path)
        for statement in (*_DURABLE, *_TUNING):
            connection.execute(statement).fetchall()
        require_durable(connection)
        prepare(connection, path)
        connection.set_busy_timeout(0)  # from here on the store waits its own way
        connection.authorizer = _authorise_writing
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: str, *, immutable: bool = False) -> apsw.Connection:
    """Return a connection that can read and nothing else. ``immutable`` says that nobody can change the file."""
    if immutable:
        address = f"file:{urllib.parse.quote(path)}?immutable=1"
        connection = _connect(address, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    else:
        connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    connection.authorizer = _authorise_reading
    return connection


def open_for_reading(path: str) -> tuple[bool, dict[str, str]]:
    """Return whether to read the file as immutable, and what it says about itself, without writing anything into it.

    Beside a file in WAL mode SQLite keeps a log and an index, also to read. Where it cannot, a file without a log is complete by
    itself.

    Raises:
        StoreError: it is no store of ours, is of another version, was changed in its schema, or cannot be read where it lies.
    """
    return look(path, _require_current)


def look(path: str, ask: Callable[[apsw.Connection, str], _Seen]) -> tuple[bool, _Seen]:
    """Return whether to read the file as immutable, and what ``ask`` says of it, without writing anything into it.

    Raises:
        StoreError: it is no store of ours, or cannot be read where it lies.
    """
    try:
        return False, _look(path, ask, immutable=False)
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.IOError):
        if not os.access(path, os.R_OK):
            raise
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            message = (
                f"`{path}` cannot be read where it lies: its write-ahead log `{log}` holds records that must be recovered first, "
                "and nothing can be written there; copy it somewhere writable first, together with the log"
            )
            raise StoreError(message) from None
    return True, _look(path, ask, immutable=True)


def _look(path: str, ask: Callable[[apsw.Connection, str], _Seen], *, immutable: bool) -> _Seen:
    with contextlib.closing(open_reader(path, immutable=immutable)) as connection:
        connection.authorizer = None  # what follows asks for pragmas
        _require_store(connection, path)
        return ask(connection, path)


def _require_current(connection: apsw.Connection, path: str) -> dict[str, str]:
    meta = read_meta(connection)
    if migrate.pending(BACKEND, int(meta["schema_version"])):
        raise StoreError(f"`{path}` was written by an older version; `weighbridge db upgrade` brings it up to date")
    _require_schema(connection, path)
    return meta


def querying(connection: apsw.Connection) -> Query:
    """Return the function that the reading side asks with."""
    execute = connection.execute

    def query(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return execute(sql, values).fetchall()

    return query


def _authorise_reading(action: int, *_what: str | None) -> int:
    return apsw.SQLITE_OK if action in _READING else apsw.SQLITE_DENY


def _authorise_writing(action: int, first: str | None, _second: str | None, *_where: str | None) -> int:
    """Allow what a commit does, and nothing else: no DROP, ALTER, ATTACH, PRAGMA, and DELETE only of what counts now (L1)."""
    if action in _READING:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_INSERT and first in _INSERTED:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_UPDATE and first in _UPDATED:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_DELETE and first in _DELETED:
        return apsw.SQLITE_OK
    return apsw.SQLITE_DENY


def require_place(path: str) -> None:
    """Refuse names and places where SQLite cannot keep a ledger."""
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < SQLITE_MIN:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} can lose commits in its write-ahead log; upgrade apsw")
    if not _is_file_name(path):
        raise StoreError(f"`{path}` is not the path of a file; a store in memory is `MemoryStore`")
    if Path(path).is_dir():
        raise StoreError(f"`{path}` is a folder; name a file in it")
    kind = _filesystem(path)
    if path.startswith(("\\\\", "//")) or kind in _NETWORK_FILESYSTEMS:
        raise StoreError(f"`{path}` lies on a network file system, where SQLite's locks do not hold; use a local disk")


def _is_file_name(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return bool(path) and not path.startswith((":memory:", "file:")) and "\0" not in path


def _filesystem(path: str) -> str | None:
    """Return the kind of file system that ``path`` lies on, where the system says (Linux)."""
    place = str(Path(path).resolve())
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = "", None
    for mount in mounts:
        left, _, right = mount.partition(" - ")
        point = left.split(" ")[4].replace("\\040", " ")
        if (place + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, right.split(" ")[0]
    return kind


def require_file(path: str, purpose: str | None, entropy: Callable[[int], bytes]) -> None:
    """Make the file where there is none; refuse one that is empty, because an emptied ledger looks like that."""
    if Path(path).exists():
        if Path(path).stat().st_size == 0:
            raise StoreError(
                f"`{path}` is empty: a ledger was here and is gone, or never was; remove the file to start anew"
            )
        return
    log = Path(f"{path}-wal")
    if log.exists() and log.stat().st_size:
        message = (
            f"`{path}` is gone, but its write-ahead log `{log}` is there and holds its latest records. "
            f"To keep them, put the file back beside the log; to start a new ledger, remove `{log}` and `{path}-shm`"
        )
        raise StoreError(message)
    if purpose is None:
        raise StoreError(f"there is no store at `{path}`; name another file, or make one with `weighbridge db init`")
    _create(path, purpose, entropy)


def _create(path: str, purpose: str, entropy: Callable[[int], bytes]) -> None:
    """Make an empty store; where another process was faster, its file is as good."""
    with contextlib.suppress(FileExistsError), drafted(path, purpose, entropy):
        pass


@contextmanager
def drafted(path: str, purpose: str, entropy: Callable[[int], bytes]) -> Iterator[apsw.Connection]:
    """Make a store under another name, give the transaction that fills it, and give it its own name when the block ends in order.

    Nobody ever sees half of one; whoever is killed leaves a file whose name ends in ``.new``, which may go.

    Raises:
        FileExistsError: at the end, where another file has the name.
    """
    draft = Path(f"{path}.{os.getpid()}-{entropy(4).hex()}.new")
    try:
        connection = _connect(str(draft), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        with contextlib.closing(connection):
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("BEGIN EXCLUSIVE")
            _apply(connection, migrate.pending(BACKEND, 0))
            connection.execute("INSERT INTO meta (key, value) VALUES ('purpose', ?)", (purpose,))
            yield connection
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        os.link(draft, path)
        _sync_folder(Path(path).resolve().parent)
    finally:
        for leftover in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm"), Path(f"{draft}-journal")):
            leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a new name durable; not every system can open a folder."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _apply(connection: apsw.Connection, migrations: Sequence[migrate.Migration]) -> None:
    for migration in migrations:
        connection.execute(migration.sql)
    version = str(migrations[-1].version)
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('schema_version', ?1) ON CONFLICT DO UPDATE SET value = ?1", (version,)
    )


def _version(connection: apsw.Connection) -> int:
    return int(read_meta(connection)["schema_version"])


def _migrate(connection: apsw.Connection, path: str) -> tuple[int, tuple[str, ...]]:
    """Apply what is missing, whole or not at all, and return the version before and the files applied.

    Raises:
        StoreError: it is newer than we are, or its schema is not what its version should have.
    """
    before = _version(connection)
    if not migrate.pending(BACKEND, before):
        _require_schema(connection, path)
        return before, ()
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = _version(connection)  # another process may have been faster
        missing = migrate.pending(BACKEND, before)
        _require_schema(connection, path)
        if missing:
            _apply(connection, missing)
            _require_schema(connection, path)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return before, tuple(migration.name for migration in missing)


def _require_store(connection: apsw.Connection, path: str) -> None:
    if _value(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoreError(f"`{path}` is a SQLite file, but no weighbridge store; name another file")
    meta = read_meta(connection)
    if meta.get("purpose") not in PURPOSES or not meta.get("schema_version", "").isdecimal():
        raise StoreError(
            f"`{path}` does not say what it is for: made by another version, or its `meta` table was changed; "
            "name another file (--store), or remove this one if it may go"
        )


def read_meta(connection: apsw.Connection) -> dict[str, str]:
    """Return what the file says about itself."""
    rows: list[tuple[Any, ...]] = connection.execute("SELECT key, value FROM meta").fetchall()
    return dict(rows)


def _value(connection: apsw.Connection, pragma: str) -> Any:
    return connection.execute(pragma).fetchall()[0][0]


def _require_schema(connection: apsw.Connection, path: str) -> None:
    """Refuse a file whose tables or triggers are not those of our migrations (L1: the triggers are asserted, not assumed)."""
    names = altered(connection)
    if names:
        raise StoreError(
            f"the schema of `{path}` is another: made by another version, or changed ({', '.join(names)}); "
            "use that version, name another file (--store), restore it from a good copy, or remove it if it may go"
        )


def altered(connection: apsw.Connection) -> tuple[str, ...]:
    """Return what of the schema is not as the migrations up to its version made it."""
    expected = _expected_schema(migrate.migrations(BACKEND)[: _version(connection)])
    return tuple(sorted({f"{row[0]} {row[1]}" for row in _schema(connection) ^ expected}))


@functools.cache
def _expected_schema(migrations: tuple[migrate.Migration, ...]) -> frozenset[tuple[Any, ...]]:
    with contextlib.closing(apsw.Connection(":memory:")) as connection:
        _apply(connection, migrations)
        return _schema(connection)


def _schema(connection: apsw.Connection) -> frozenset[tuple[Any, ...]]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall())


def stored_key(query: Query, tenant_id: str) -> bytes | None:
    """Return a tenant's content key, if it has one."""
    rows = query("SELECT key FROM tenant_key WHERE tenant = ?", (tenant_id,))
    return bytes(rows[0][0]) if rows else None


_WORDS: dict[type[BaseException], str] = {
    apsw.BusyError: "another process holds the store",
    apsw.CantOpenError: "the file cannot be opened or made; check that its folder exists and can be written",
    apsw.CorruptError: "the file is damaged; run `weighbridge ledger verify` and restore it from a good copy",
    apsw.FullError: "the disk is full",
    apsw.IOError: "the disk reports an error",
    apsw.NotADBError: "it is no SQLite file",
    apsw.ReadOnlyError: "the file or its folder is read-only",
}


def words(error: BaseException) -> str:
    """Return what an error means, and what to do."""
    if isinstance(error, UnicodeDecodeError):  # text in the file is no text any more
        return _WORDS[apsw.CorruptError]
    if isinstance(error, apsw.Error):
        return _WORDS.get(type(error)) or f"the database refused it ({error})"
    if isinstance(error, OSError):
        return f"the file is not where it was ({error.strerror or error})"
    return f"no record could be made of it ({type(error).__name__})"


def refusal_of(error: BaseException) -> Refusal:
    """Return the refusal for a write that certainly did not happen, a new one for every caller (G2)."""
    if isinstance(error, Refusal):
        return Refusal(error.code, str(error).removeprefix(f"{error.code}: "))
    refusal = Refusal("LEDGER_WRITE_FAILED", words(error))
    refusal.__cause__ = error
    return refusal


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn errors of the driver into ours: nobody above this file knows apsw."""
    try:
        yield
    except (apsw.Error, UnicodeDecodeError) as error:
        raise StoreError(f"`{path}`: {words(error)}") from error
    except OSError as error:
        raise StoreError(f"`{path}`: {error.strerror or error}") from error
