"""Which store and which tenant a command reads: the options, their defaults, and opening what is there.

Commands that look at a ledger make none: a store that does not exist is a wrong path, not an empty ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.errors import RecordArchived, UsageError

if TYPE_CHECKING:
    from weighbridge.storage.archives import ArchiveFile
    from weighbridge.storage.reading import LedgerReader

StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="The store. Default: WEIGHBRIDGE_STORE, or weighbridge.db.", show_default=False),
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="The tenant. Default: WEIGHBRIDGE_TENANT, or the only one there is.", show_default=False
    ),
]
JsonOption = Annotated[
    bool | None, typer.Option("--json/--table", help="JSON lines, or tables. Default: tables on a terminal.")
]

ArchiveOption = Annotated[
    list[Path] | None,
    typer.Option("--archive", metavar="FILE", help="An archive of this ledger; may be repeated.", show_default=False),
]

EMPTY = "the store holds no records; a copy made without the `-wal` file beside it lacks what stood there"
TENANTS_NAMED_MAX = 5

_SCHEME = "sqlite:///"


def tenant_or_default(tenant: str | None, reader: LedgerReader | None = None) -> str:
    """Return the tenant asked for, or the one the environment names; where nobody names one, the store's only one."""
    from weighbridge.settings import from_environment

    if tenant is None and not tenant_is_named() and reader is not None:
        present = reader.tenants()
        if len(present) == 1:
            return present[0]
    return tenant or from_environment().tenant


def tenant_is_named() -> bool:
    """Return whether the environment names a tenant, other than the one that is meant without it."""
    from weighbridge.admission import DEFAULT_TENANT
    from weighbridge.settings import from_environment

    return from_environment().tenant != DEFAULT_TENANT


def other_tenants(reader: LedgerReader, tenant_id: str) -> str:
    """Return the names of the first other tenants for a sentence; empty where there are none."""
    others = [name for name in reader.tenants() if name != tenant_id]
    more = ", …" if len(others) > TENANTS_NAMED_MAX else ""
    return ", ".join(f"`{name}`" for name in others[:TENANTS_NAMED_MAX]) + more


def store_or_default(store: str | None) -> str:
    """Return the store asked for, or the one the environment names."""
    from weighbridge.settings import from_environment

    return store or from_environment().store


def require_no_folder(place: str) -> None:
    """Refuse a folder as a store.

    Raises:
        UsageError: it is one.
    """
    if Path(place.removeprefix(_SCHEME)).is_dir():
        raise UsageError(f"`{place}` is a folder; name a file in it")


@contextmanager
def reading(store: str | None) -> Iterator[LedgerReader]:
    """Open an existing store, whatever it was made for and wherever it lies, and write nothing.

    Raises:
        UsageError: there is no such store.
        StoreError: it cannot be opened.
    """
    from weighbridge import wiring

    place = store_or_default(store)
    if place == ":memory:":
        raise UsageError("a memory store ends with the process that made it; give the file of a store with --store")
    require_no_folder(place)
    if ("://" not in place or place.startswith(_SCHEME)) and not Path(place.removeprefix(_SCHEME)).is_file():
        raise UsageError(f"there is no store `{place}`; name one with --store or WEIGHBRIDGE_STORE")
    around = wiring.system_surroundings()
    opened = wiring.open_store(place, purpose=None, surroundings=around, create=False, read_only=True)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def archive_files(places: Sequence[Path]) -> Iterator[tuple[ArchiveFile, ...]]:
    """Open archives.

    Raises:
        UsageError: one cannot be read or is none.
    """
    from weighbridge.storage.archives import ArchiveFile

    with ExitStack() as held:
        yield tuple(held.enter_context(closing(ArchiveFile(place))) for place in places)


@contextmanager
def reading_with(store: str | None, archives: Sequence[Path] | None) -> Iterator[LedgerReader]:
    """Open an existing store as `reading` does, and read what was archived from the files.

    Raises:
        RecordArchived: of what was asked for, a body is in an archive that was not handed in.
    """
    from weighbridge.storage.archives import with_archives

    with reading(store) as reader, archive_files(archives or ()) as files:
        try:
            yield with_archives(reader, files) if files else reader
        except RecordArchived as error:
            advice = "this needs what those records say: hand in every archive with --archive FILE"
            raise RecordArchived(error.file, error.sha256, error.span, advice) from None
