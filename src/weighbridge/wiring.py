"""Settings to finished parts: the only file that names concrete classes, reads a clock, or draws random bytes."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weighbridge.admission import Surroundings
from weighbridge.domain.principal import Principal
from weighbridge.errors import UsageError
from weighbridge.gateway import Engine, ValidatorGateway
from weighbridge.recorder import Recorder
from weighbridge.runtime import Weighbridge
from weighbridge.storage.addresses import POSTGRES_SCHEMES, scheme_of, shown
from weighbridge.validators.builtin import ENGINE_LIBRARIES
from weighbridge.validators.interface import Validator

if TYPE_CHECKING:
    from http.server import ThreadingHTTPServer

    from weighbridge.acts import Acts
    from weighbridge.ledger.archive import Archived
    from weighbridge.ledger.note import Signer, VerifierKey
    from weighbridge.orchestrator.engines.dbos import DbosEngine
    from weighbridge.orchestrator.engines.local import LocalEngine
    from weighbridge.outcomes.capture import Capture
    from weighbridge.policy.document import PolicyDocument
    from weighbridge.policy.effective import EffectivePolicy
    from weighbridge.storage.archiving import Range
    from weighbridge.storage.copying import Copied, Target
    from weighbridge.storage.locking import AdvisoryLock
    from weighbridge.storage.memory import MemoryStore
    from weighbridge.storage.postgres import PostgresStore
    from weighbridge.storage.reading import LedgerReader
    from weighbridge.storage.sqlite import SqliteStore
    from weighbridge.storage.state import StoreState, Upgrade
    from weighbridge.witnesses.interface import Cosigner, Witness

LOCAL_HOST = Principal(id="local")
VALIDATOR_GROUP = "weighbridge.validators"
_MEMORY = ":memory:"
_SQLITE_SCHEME = "sqlite:///"
_SERVICE_SCHEMES = ("http://", "https://")


def open(  # noqa: A001 - `weighbridge.open(...)` is the name users meet; its options are the product's
    policy: str | Path | Mapping[str, Any] | PolicyDocument,
    store: str | Path = _MEMORY,
    *,
    validators: Sequence[Validator] = (),
    principal: Principal = LOCAL_HOST,
    purpose: str = "enforcement",
    scope_required: bool = False,
    surroundings: Surroundings | None = None,
) -> Weighbridge:
    """Open a Weighbridge on a policy and a store.

    ``policy`` is a path to YAML or JSON, a mapping, or a loaded document. ``store`` is a path (or ``sqlite:///path``) of one
    SQLite file, made when missing, ``postgresql://host/database`` where a store was initialised, or ``":memory:"``, which keeps
    nothing after the process. ``validators`` are custom ones,
    besides those installed under the entry point group ``weighbridge.validators``. ``purpose`` is ``"enforcement"``, or
    ``"evaluation"`` for a store that judges past requests at the times they bring along (B9). ``scope_required`` refuses calls
    of governed functions outside every `weighbridge.scope`, which otherwise count for the credential's tenant, or ``default``.

    Raises:
        PolicyError: the policy has mistakes, all of them listed.
        StoreError: the store cannot be opened, or would not keep what it answers.
        UsageError: the policy names a custom validator that is not at hand.
    """
    around = surroundings or system_surroundings()
    document = load_document(policy)
    gateway = make_gateway(validators)
    opened = open_store(store, purpose=purpose, surroundings=around)
    try:
        return Weighbridge(
            policy=document,
            recorder=Recorder(opened, monotonic_s=monotonic_s),
            reader=opened,
            close=opened.close,
            gateway=gateway,
            principal=principal,
            surroundings=around,
            store=shown(str(store)),
            scope_required=scope_required,
            worker_lock=worker_lock(store),
        )
    except BaseException:
        opened.close()
        raise


def open_in_force(store: str | Path, tenant_id: str, *, surroundings: Surroundings | None = None) -> Weighbridge:
    """Open a Weighbridge for one tenant of a store that is there, under the policy that is in force on its ledger.

    Raises:
        UsageError: no policy is in force yet, or the ledger does not hold it.
        StoreError: the store cannot be opened.
    """
    around, gateway = surroundings or system_surroundings(), make_gateway()
    opened = open_store(store, purpose="enforcement", surroundings=around, create=False)
    try:
        return Weighbridge(
            policy=_InForce(_policy_in_force(opened, tenant_id)),
            recorder=Recorder(opened, monotonic_s=monotonic_s),
            reader=opened,
            close=opened.close,
            gateway=gateway,
            principal=Principal(id=LOCAL_HOST.id, tenant_id=tenant_id),
            surroundings=around,
            store=shown(str(store)),
            worker_lock=worker_lock(store),
        )
    except BaseException:
        opened.close()
        raise


class _InForce(NamedTuple):
    """One effective policy, for the only tenant there is (`PolicyOf`)."""

    policy: EffectivePolicy

    def effective(self, tenant_id: str | None) -> EffectivePolicy:  # noqa: ARG002 - the credential is for one tenant
        """Return it."""
        return self.policy


def system_surroundings() -> Surroundings:
    """Return the machine's clock and its source of random bytes."""
    return Surroundings(clock_ms=lambda: time.time_ns() // 1_000_000, entropy=os.urandom)


def monotonic_s() -> float:
    """Return the seconds of a clock that nobody sets."""
    return time.monotonic()


def load_document(policy: str | Path | Mapping[str, Any] | PolicyDocument) -> PolicyDocument:
    """Return the policy document that a path, a mapping or a loaded document stands for."""
    from weighbridge.policy.document import PolicyDocument
    from weighbridge.policy.loader import document_from_mapping, load_policy

    if isinstance(policy, PolicyDocument):
        return policy
    if isinstance(policy, Mapping):
        return document_from_mapping(dict(policy))
    path = Path(policy)
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        message = (
            f"the policy `{path}` cannot be read ({error.strerror}); `weighbridge policy init` writes one to start from"
        )
        raise UsageError(message) from None
    except UnicodeDecodeError:
        raise UsageError(f"the policy `{path}` is not UTF-8 text; save it as UTF-8") from None
    return load_policy(text, str(path))


def make_gateway(validators: Sequence[Validator] = ()) -> ValidatorGateway:
    """Return a gateway with the custom validators passed in and those installed."""
    installed = [point.load()() for point in importlib.metadata.entry_points(group=VALIDATOR_GROUP)]
    return ValidatorGateway([*installed, *validators], library_versions())


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries whose behaviour is part of the engine (G4)."""
    return {name: importlib.metadata.version(name) for name in ENGINE_LIBRARIES}


def open_store(
    store: str | Path,
    *,
    purpose: str | None,
    surroundings: Surroundings,
    create: bool = True,
    read_only: bool = False,
) -> MemoryStore | SqliteStore | PostgresStore:
    """Return the store that a path or URL names; ``purpose`` None takes whatever an existing one was made for.

    ``read_only`` is for whoever only looks: it works on read-only media too, and refuses every commit.
    """
    place = str(store)
    if place == _MEMORY:
        from weighbridge.storage.memory import MemoryStore

        return MemoryStore(purpose=purpose or "enforcement", entropy=surroundings.entropy)
    if is_postgres(place):
        return _open_postgres(place, purpose=purpose, surroundings=surroundings, read_only=read_only)
    path = _file_of(place)
    from weighbridge.storage.sqlite import SqliteStore

    return SqliteStore(path, purpose=purpose, entropy=surroundings.entropy, create=create, read_only=read_only)


def is_postgres(place: str) -> bool:
    """Return whether an address leads to PostgreSQL.

    Raises:
        UsageError: it does, and the driver is not installed.
    """
    if scheme_of(place) not in POSTGRES_SCHEMES:
        return False
    try:
        importlib.import_module("weighbridge.storage.postgres")
    except ImportError as error:
        raise UsageError(f"for PostgreSQL, install `weighbridge[postgres]` ({error})") from None
    return True


def _file_of(place: str) -> str:
    """Return the path that an address names."""
    if place == _MEMORY:
        raise UsageError("a memory store ends with the process that made it; give the file of a store")
    if scheme_of(place) and not place.startswith(_SQLITE_SCHEME):
        raise UsageError(
            f"no store speaks `{scheme_of(place)}://`; "
            "give a path, `sqlite:///path`, `postgresql://host/database` or `:memory:`"
        )
    return place.removeprefix(_SQLITE_SCHEME)


def make_store(
    store: str, *, purpose: str, runtime_logins: Sequence[str] = (), auditor_logins: Sequence[str] = ()
) -> Upgrade:
    """Make a store; in PostgreSQL, as its owner, with its roles and their logins.

    Raises:
        StoreError: it cannot be made.
        UsageError: there is nothing to make at that address, or logins were asked for in a file.
    """
    if is_postgres(store):
        from weighbridge.storage import postgres

        return postgres.make(store, purpose=purpose, runtime_logins=runtime_logins, auditor_logins=auditor_logins)
    path = _file_of(store)
    if runtime_logins or auditor_logins:
        raise UsageError("a SQLite file has no logins: who may read or write it is said by its permissions")
    from weighbridge.storage import sqlite

    return sqlite.make(path, purpose=purpose, entropy=os.urandom)


def upgrade_store(store: str) -> Upgrade:
    """Bring the schema of a store up to date, whole or not at all.

    Raises:
        StoreError: there is none, it is newer than this code, or we may not.
    """
    if is_postgres(store):
        from weighbridge.storage import postgres

        return postgres.upgrade(store)
    path = _file_of(store)
    from weighbridge.storage import sqlite

    return sqlite.upgrade(path)


def store_state(store: str) -> StoreState:
    """Return in what state a store is; nothing is changed.

    Raises:
        StoreError: there is none, or we may not look.
    """
    if is_postgres(store):
        from weighbridge.storage import postgres

        return postgres.status(store)
    path = _file_of(store)
    from weighbridge.storage import sqlite

    return sqlite.status(path)


def _open_postgres(dsn: str, *, purpose: str | None, surroundings: Surroundings, read_only: bool) -> PostgresStore:
    from weighbridge.storage.postgres import PostgresStore

    return PostgresStore(dsn, purpose=purpose, entropy=surroundings.entropy, read_only=read_only)


def sealing_lock(store: str | Path) -> AdvisoryLock:
    """Return the lock that keeps two sealers of one store apart.

    Raises:
        UsageError: a store of this kind has none.
    """
    place = str(store)
    if is_postgres(place):
        from weighbridge.storage.postgres.lock import TransactionLock

        return TransactionLock(place)
    if place == _MEMORY or ("://" in place and not place.startswith(_SQLITE_SCHEME)):
        raise UsageError(f"the store `{place}` cannot be sealed from outside; give the file of a store")
    from weighbridge.storage.sqlite.lock import LockFile

    return LockFile(place.removeprefix(_SQLITE_SCHEME))


def worker_lock(store: str | Path) -> AdvisoryLock | None:
    """Return the lock that keeps two local workers of one store apart; None for one that no other process reaches."""
    from weighbridge.storage.locking import WORKING

    place = str(store)
    if place == _MEMORY:
        return None
    if is_postgres(place):
        from weighbridge.storage.postgres.lock import TransactionLock

        return TransactionLock(place, WORKING)
    from weighbridge.storage.sqlite.lock import LockFile

    return LockFile(place.removeprefix(_SQLITE_SCHEME), WORKING)


def local_engine(wb: Weighbridge, *, poll_s: float = 1.0) -> LocalEngine:
    """Return what carries out all plans of a store in this process. Where nothing is to do, it looks every ``poll_s`` seconds.

    Raises:
        UsageError: ``poll_s`` is not above 0 and at most 60.
    """
    from weighbridge.orchestrator.engines.local import LocalEngine

    return LocalEngine(wb.orchestrator, poll_s=poll_s)


def make_dbos_schema(store: str) -> None:
    """Make or upgrade what the `dbos` engine needs in a store, as its owner: a schema of its own.

    Raises:
        UsageError: the store is not in PostgreSQL, or DBOS Transact is not installed.
        StoreError: there is no store, we are not its owner, or it cannot be reached.
    """
    if not is_postgres(store):
        raise UsageError(_MANY_NEED_POSTGRES)
    _require_dbos()
    from weighbridge.orchestrator.engines import dbos
    from weighbridge.storage.postgres import workers
    from weighbridge.storage.postgres.connection import RUNTIME

    workers.make_engine_schema(store)
    dbos.migrate(workers.engine_url(store, as_owner=True), workers.ENGINE_SCHEMA, RUNTIME)


def dbos_engine(wb: Weighbridge, *, lease_s: float = 30.0, look_s: float = 2.0, at_once: int = 8) -> DbosEngine:
    """Return what shares the plans of a store in PostgreSQL with any number of other processes.

    A worker that gives no sign of life for ``lease_s`` seconds counts as dead. Somebody looks for plans every ``look_s`` seconds.
    ``at_once`` is how many plans this process carries out at the same time.

    Raises:
        UsageError: the store is not in PostgreSQL, DBOS Transact is not installed, or one of the numbers is out of bounds.
        StoreError: the store cannot be reached.
    """
    lock = wb.orchestrator.alone.lock
    dsn = getattr(lock, "dsn", None)  # only a lock in PostgreSQL has one
    if dsn is None:
        raise UsageError(_MANY_NEED_POSTGRES)
    _require_dbos()
    from weighbridge.orchestrator.engines import dbos
    from weighbridge.storage.locking import SWEEPING, WORKING
    from weighbridge.storage.postgres import workers
    from weighbridge.storage.postgres.lock import TransactionLock

    pace = dbos.Pace(lease=lease_s, look=min(look_s, lease_s), poll=min(0.5, look_s))
    beats: dict[str, Any] = {"lease_ms": round(lease_s * 1_000), "beat_s": lease_s / 3}
    return dbos.DbosEngine(
        wb.orchestrator,
        workers.PostgresWorkers(dsn),
        dbos.Locks(TransactionLock(dsn, WORKING, shared=True, **beats), TransactionLock(dsn, SWEEPING, **beats)),
        url=workers.engine_url(dsn),
        schema=workers.ENGINE_SCHEMA,
        name=f"{platform.node()}-{os.getpid()}-{os.urandom(16).hex()}",
        plan_of=wb.reader.plan,
        clock_s=monotonic_s,
        clock_ms=system_surroundings().clock_ms,
        pace=pace,
        at_once=at_once,
        only=wb.orchestrator.only,
    )


_MANY_NEED_POSTGRES = (
    "many workers need a store in PostgreSQL (`postgresql://...`): the plans of a file, or of memory, are carried out by one "
    "process, with the `local` engine; `weighbridge db copy` moves a ledger"
)


def _require_dbos() -> None:
    try:
        importlib.import_module("weighbridge.orchestrator.engines.dbos")
    except ImportError as error:
        raise UsageError(f"for many workers, install `weighbridge[dbos,postgres]` ({error})") from None


def open_witness(place: str) -> Witness:
    """Return the witness that a folder or a URL names.

    Raises:
        UsageError: nothing here speaks to it.
    """
    if place.startswith(_SERVICE_SCHEMES):
        raise UsageError(
            f"`{place}` keeps no checkpoints, it only cosigns them: name it with --witness, beside a folder or a bucket"
        )
    if "://" not in place:
        from weighbridge.witnesses.directory import DirectoryWitness

        return DirectoryWitness(place)
    try:
        from weighbridge.witnesses.bucket import BucketWitness
    except ImportError:
        raise UsageError(f"`{place}` is reached through `fsspec`: pip install 'weighbridge[buckets]'") from None
    return BucketWitness(place)


@contextmanager
def open_archiving(store: str) -> Iterator[Archiving]:
    """Open a PostgreSQL store as its owner, to move records to an archive.

    Raises:
        UsageError: it is a file, of which nothing is archived.
        StoreError: it cannot be opened, or we are not its owner.
    """
    if not is_postgres(store):
        raise UsageError(
            f"`{store}` is a file, of which nothing is archived: keep the file, or move its ledger with `weighbridge db copy`"
        )
    from weighbridge.acts import act
    from weighbridge.storage.postgres import owner

    around, gateway = system_surroundings(), make_gateway()
    tenants = owner.tenants_of(store)

    def detach(found: Range, by: Principal, reason: str, file: str, sha256: str) -> Archived:
        event = found.event(file, sha256)
        with owner.owned(store, [found.tenant_id], reading=True) as moment:
            engine = _engine_in_force(moment, gateway, found.tenant_id)
        submission = act(found.tenant_id, engine, around.clock_ms(), by=by, reason=reason, event=event)
        return owner.detach(store, found, submission, file, sha256)

    with owner.owned(store, tenants, reading=True) as moment:
        yield Archiving(moment, detach)


def copy_store(
    source: str, target: str, tenant_id: str | None = None, *, progress: Callable[[int], None] = lambda _records: None
) -> list[Copied]:
    """Copy a ledger into a store of its own; in PostgreSQL as its owner, and into a file that is not there yet.

    Raises:
        As `storage.copying.copy_ledgers`; nothing was copied then.
    """
    from weighbridge.storage.copying import copy_ledgers

    around = system_surroundings()
    with ExitStack() as held:
        opened = open_store(source, purpose=None, surroundings=around, create=False, read_only=True)
        held.callback(opened.close)
        if not is_postgres(source):
            from weighbridge.storage.sqlite.filling import standing_still

            held.enter_context(standing_still(_file_of(source)))
        with _filled(target, opened, tenant_id) as filling:
            return copy_ledgers(opened, filling, tenant_id, progress=progress)


def _filled(target: str, source: LedgerReader, tenant_id: str | None) -> AbstractContextManager[Target]:
    """Return the transaction that fills a store."""
    if is_postgres(target):
        from weighbridge.storage.postgres.owner import owned

        return owned(target, source.tenants() if tenant_id is None else (tenant_id,))
    from weighbridge.storage.sqlite.filling import filled

    return filled(_file_of(target), source.purpose(), os.urandom)


class Archiving(NamedTuple):
    """What archiving takes: the ledger of one moment, and what puts stubs in place of bodies once the file is safe."""

    moment: LedgerReader
    detach: Callable[[Range, Principal, str, str, str], Archived]


def _engine_in_force(opened: LedgerReader, gateway: ValidatorGateway, tenant_id: str) -> Engine:
    """Return the engine under the policy that is in force on a ledger."""
    return gateway.engine(_policy_in_force(opened, tenant_id), opened.tenant_key(tenant_id))


def _policy_in_force(opened: LedgerReader, tenant_id: str) -> EffectivePolicy:
    from weighbridge import canonical
    from weighbridge.policy.compile import compile_effective
    from weighbridge.storage.audit import recorded_policy

    version = opened.head(tenant_id).policy_version
    text = recorded_policy(opened, tenant_id, version) if version is not None else None
    if text is None:
        raise UsageError(
            f"the ledger of tenant `{tenant_id}` does not hold the policy in force; use the library, which is given one"
        )
    return compile_effective(canonical.decode(text))


def open_cosigner(place: str, key_file: Path | None) -> Cosigner:
    """Return what asks the witness at a URL for its cosignature, under the keys listed in a file, one a line.

    Raises:
        UsageError: nothing here speaks to it, or its key is not known.
    """
    from weighbridge.ledger.cosignature import CosignerKey
    from weighbridge.verifier.checking import signature_check
    from weighbridge.witnesses.client import HttpCosigner

    try:
        lines = key_file.read_text("utf-8").splitlines() if key_file is not None else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the keys of witnesses `{key_file}` cannot be read ({error})") from None
    named = (line.strip() for line in lines)
    keys = [CosignerKey.parse(line) for line in named if line and not line.startswith("#")]
    return HttpCosigner(place, keys, signature_check())


@contextmanager
def witness_server(
    state: Path, signer: Signer, logs: Sequence[VerifierKey], host: str, port: int
) -> Iterator[ThreadingHTTPServer]:
    """Give a server that witnesses these logs, ready to answer.

    Raises:
        WitnessError: the folder cannot be had, or nobody can listen there.
    """
    from weighbridge.verifier.checking import signature_check
    from weighbridge.witnesses.service import WitnessService, WitnessState, listening

    kept = WitnessState(state)
    try:
        clock_ms = system_surroundings().clock_ms
        service = WitnessService(kept, signer, logs, check=signature_check(), clock_ms=clock_ms)
        with listening(service, host, port) as server:
            yield server
    finally:
        kept.close()


@contextmanager
def open_acts(store: str | Path) -> Iterator[tuple[Acts, LedgerReader]]:
    """Open an existing store for acts of people, under the policy that is in force there; no policy file is needed.

    Raises:
        StoreError: it cannot be opened.
        UsageError: on an act, where the ledger does not hold the policy in force.
    """
    from weighbridge.acts import Acts

    around, gateway = system_surroundings(), make_gateway()
    opened = open_store(store, purpose=None, surroundings=around, create=False)

    def engine_of(tenant_id: str) -> Engine:
        return _engine_in_force(opened, gateway, tenant_id)

    try:
        yield Acts(Recorder(opened, monotonic_s=monotonic_s), opened, engine_of, around), opened
    finally:
        opened.close()


@contextmanager
def open_outcomes(store: str | Path) -> Iterator[tuple[Capture, LedgerReader]]:
    """Open an existing store to write outcomes into it; no policy file is needed.

    Raises:
        StoreError: it cannot be opened.
    """
    from weighbridge.outcomes.capture import Capture, Setting

    around, gateway = system_surroundings(), make_gateway()
    opened = open_store(store, purpose=None, surroundings=around, create=False)

    def setting_of(tenant_id: str) -> Setting:
        try:
            engine = _engine_in_force(opened, gateway, tenant_id)
        except UsageError:  # nothing was judged yet, or the policy's text was erased: an outcome depends on neither
            return Setting(opened.tenant_key(tenant_id))
        return Setting(engine.key, engine.version, engine.policy.policy_version)

    try:
        yield (
            Capture(
                Recorder(opened, monotonic_s=monotonic_s).record_many,
                setting_of,
                clock_ms=around.clock_ms,
                new_id=around.new_id,
            ),
            opened,
        )
    finally:
        opened.close()
