"""Settings to finished parts: the only file that names concrete classes, reads a clock, or draws random bytes."""

from __future__ import annotations

import importlib.metadata
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.admission import Surroundings
from weighbridge.domain.principal import Principal
from weighbridge.errors import UsageError
from weighbridge.gateway import Engine, ValidatorGateway
from weighbridge.recorder import Recorder
from weighbridge.runtime import Weighbridge
from weighbridge.validators.builtin import ENGINE_LIBRARIES
from weighbridge.validators.interface import Validator

if TYPE_CHECKING:
    from weighbridge.acts import Acts
    from weighbridge.policy.document import PolicyDocument
    from weighbridge.storage.locking import AdvisoryLock
    from weighbridge.storage.memory import MemoryStore
    from weighbridge.storage.postgres import PostgresStore
    from weighbridge.storage.reading import LedgerReader
    from weighbridge.storage.sqlite import SqliteStore
    from weighbridge.witnesses.interface import Witness

LOCAL_HOST = Principal(id="local")
VALIDATOR_GROUP = "weighbridge.validators"
_MEMORY = ":memory:"
_SQLITE_SCHEME = "sqlite:///"
_SERVICE_SCHEMES = ("http://", "https://")
_POSTGRES_SCHEMES = ("postgresql", "postgres")


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
            recorder=Recorder(opened),
            reader=opened,
            close=opened.close,
            gateway=gateway,
            principal=principal,
            surroundings=around,
            store=str(store),
            scope_required=scope_required,
        )
    except BaseException:
        opened.close()
        raise


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
    scheme = place.split("://", 1)[0] if "://" in place else ""
    if scheme in _POSTGRES_SCHEMES:
        return _open_postgres(place, purpose=purpose, surroundings=surroundings, read_only=read_only)
    if scheme and not place.startswith(_SQLITE_SCHEME):
        message = (
            f"no store speaks `{scheme}://`; give a path, `sqlite:///path`, `postgresql://host/database` or `:memory:`"
        )
        raise UsageError(message)
    from weighbridge.storage.sqlite import SqliteStore

    path = place.removeprefix(_SQLITE_SCHEME)
    return SqliteStore(path, purpose=purpose, entropy=surroundings.entropy, create=create, read_only=read_only)


def _open_postgres(dsn: str, *, purpose: str | None, surroundings: Surroundings, read_only: bool) -> PostgresStore:
    try:
        from weighbridge.storage.postgres import PostgresStore
    except ImportError as error:
        raise UsageError(f"for PostgreSQL, install `weighbridge[postgres]` ({error})") from None
    return PostgresStore(dsn, purpose=purpose, entropy=surroundings.entropy, read_only=read_only)


def sealing_lock(store: str | Path) -> AdvisoryLock:
    """Return the lock that keeps two sealers of one store apart.

    Raises:
        UsageError: a store of this kind has none.
    """
    place = str(store)
    if place == _MEMORY or ("://" in place and not place.startswith(_SQLITE_SCHEME)):
        raise UsageError(f"the store `{place}` cannot be sealed from outside; give the file of a store")
    from weighbridge.storage.sqlite.lock import LockFile

    return LockFile(place.removeprefix(_SQLITE_SCHEME))


def open_witness(place: str) -> Witness:
    """Return the witness that a folder or a URL names.

    Raises:
        UsageError: nothing here speaks to it.
    """
    if place.startswith(_SERVICE_SCHEMES):
        raise UsageError(
            f"`{place}`: another Weighbridge as a witness arrives with the HTTP service; use a folder or a bucket"
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
def open_acts(store: str | Path) -> Iterator[tuple[Acts, LedgerReader]]:
    """Open an existing store for acts of people, under the policy that is in force there; no policy file is needed.

    Raises:
        StoreError: it cannot be opened.
        UsageError: on an act, where the ledger does not hold the policy in force.
    """
    from weighbridge import canonical
    from weighbridge.acts import Acts
    from weighbridge.policy.compile import compile_effective
    from weighbridge.storage.audit import recorded_policy

    around, gateway = system_surroundings(), make_gateway()
    opened = open_store(store, purpose=None, surroundings=around, create=False)

    def engine_of(tenant_id: str) -> Engine:
        version = opened.head(tenant_id).policy_version
        text = recorded_policy(opened, tenant_id, version) if version is not None else None
        if text is None:
            raise UsageError(
                f"the ledger of tenant `{tenant_id}` does not hold the policy in force; use the library, which is given one"
            )
        return gateway.engine(compile_effective(canonical.decode(text)), opened.tenant_key(tenant_id))

    try:
        yield Acts(Recorder(opened), opened, engine_of, around), opened
    finally:
        opened.close()
