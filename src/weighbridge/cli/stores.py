"""Which store and which tenant a command reads: the options, their defaults, and opening what is there.

Commands that look at a ledger make none: a store that does not exist is a wrong path, not an empty ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.errors import UsageError

if TYPE_CHECKING:
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

_SCHEME = "sqlite:///"


def tenant_or_default(tenant: str | None, reader: LedgerReader | None = None) -> str:
    """Return the tenant asked for, or the one the environment names; where nobody names one, the store's only one."""
    from weighbridge.executor import DEFAULT_TENANT
    from weighbridge.settings import from_environment

    chosen = tenant or from_environment().tenant
    if tenant is None and chosen == DEFAULT_TENANT and reader is not None:
        present = reader.tenants()
        if len(present) == 1:
            return present[0]
    return chosen


def store_or_default(store: str | None) -> str:
    """Return the store asked for, or the one the environment names."""
    from weighbridge.settings import from_environment

    return store or from_environment().store


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
    if ("://" not in place or place.startswith(_SCHEME)) and not Path(place.removeprefix(_SCHEME)).is_file():
        raise UsageError(f"there is no store `{place}`; name one with --store or WEIGHBRIDGE_STORE")
    around = wiring.system_surroundings()
    opened = wiring.open_store(place, purpose=None, surroundings=around, create=False, read_only=True)
    try:
        yield opened
    finally:
        opened.close()
