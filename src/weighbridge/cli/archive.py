"""`weighbridge ledger archive`: records moved to a file that anybody can check, by the owner of a PostgreSQL store.

The order is what makes it safe: the file is written whole, reaches the disk, and is read back and verified; only then one
transaction says so on record and puts in place of each body where it is. Whoever is interrupted before that has a file too many
and a ledger that is as it was.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.ledger import sink
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, store_or_default, tenant_or_default
from weighbridge.errors import LedgerCorrupt, StoreError, UsageError

if TYPE_CHECKING:
    from weighbridge.ledger.archive import Archived
    from weighbridge.storage.archiving import Range
    from weighbridge.storage.reading import LedgerReader

_SUFFIXES = (".jsonl", ".gz")


def archive(
    *,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="The archive to write: .jsonl, or .jsonl.gz. Never overwritten."),
    ],
    by: Annotated[str, typer.Option(metavar="PERSON", help="Who archives them.")],
    reason: Annotated[str, typer.Option(help="Why. It is kept as content, not in the record.")],
    before: Annotated[
        str | None, typer.Option(metavar="TIME", help="What was judged before this time.", show_default=False)
    ] = None,
    through: Annotated[
        int | None, typer.Option(metavar="SEQ", min=1, help="Up to this record.", show_default=False)
    ] = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Move the oldest records of a tenant to a file, as the owner of a PostgreSQL store; the ledger still verifies.

    Their hashes stay, and so does every body that something open still needs. Keep the file: without it, what those records
    said can be read nowhere, and `verify` says what it could not compute.
    """
    from weighbridge import wiring
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal
    from weighbridge.storage.archiving import range_to_archive

    if (before is None) == (through is None):
        raise UsageError("say how far: --before TIME, or --through SEQ")
    if not by.strip() or not reason.strip():
        raise UsageError("archiving takes a person and a reason: --by PERSON --reason TEXT")
    _require_free(out)
    with wiring.open_archiving(store_or_default(store)) as (moment, detach):
        tenant_id = tenant_or_default(tenant, moment)
        before_ms = None if before is None else _instant(moment, tenant_id, before)
        found = range_to_archive(moment, tenant_id, through=through, before_ms=before_ms)
        with output.progress(found.last_seq - found.first_seq + 1, "lines") as advance:
            _write(out, moment, found, advance)
        sha256 = _verified(out, found)
        archived = detach(found, Principal(id=by, role=Role.ADMIN, person=True), reason, out.name, sha256)
    _tell(found, archived, as_json)


def _require_free(out: Path) -> None:
    if not out.name.endswith(_SUFFIXES):
        raise UsageError(f"`{out}`: an archive is a .jsonl or a .jsonl.gz")
    if out.exists():
        raise UsageError(
            f"`{out}` is there already; name another file. One that an interrupted run left, and no LEDGER_ARCHIVED names, may "
            "go"
        )


def _instant(moment: LedgerReader, tenant_id: str, text: str) -> int:
    from weighbridge.budgets.periods import with_zone
    from weighbridge.cli.budget.sources import instant

    return instant(text, moment.head(tenant_id).zones or with_zone(None, "UTC", 0))


def _write(out: Path, moment: LedgerReader, found: Range, advance: Callable[[int, int], None]) -> None:
    """Write the archive, so that it is on the disk when this returns."""
    from weighbridge.storage.audit import export_ledger

    lines = export_ledger(moment, found.tenant_id, after_seq=found.first_seq - 1, last_seq=found.last_seq)
    with sink(out) as target:
        for count, line in enumerate(lines, 1):
            target.write(line)
            advance(count, count)
    try:
        for place in (out, out.resolve().parent):
            with contextlib.suppress(PermissionError):  # not every system can open a folder
                descriptor = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
    except OSError as error:
        raise StoreError(f"`{out}` cannot be brought to the disk ({error.strerror}); nothing was archived") from None


def _verified(out: Path, found: Range) -> str:
    """Read the archive back, require that it is the range, and return its SHA-256 (hex).

    Raises:
        LedgerCorrupt: it is not.
    """
    from weighbridge.cli.ledger import verify_file
    from weighbridge.storage.archives import sha256_of

    report = verify_file(out)
    said = (report.tenant_id, report.first_seq, *report.head)
    if not report.ok or said != (found.tenant_id, found.first_seq, found.last_seq, found.head):
        raise LedgerCorrupt(f"`{out}` does not hold what was written to it; nothing was archived: check the disk")
    with out.open("rb") as file:
        return sha256_of(file)


def _tell(found: Range, archived: Archived, as_json: bool | None) -> None:
    if output.wants_json(as_json):
        import msgspec

        output.write_json(
            [msgspec.structs.asdict(archived) | {"tenant_id": found.tenant_id, "kept": sorted(found.kept)}]
        )
        return
    name = output.safe(found.tenant_id)
    said = f"records {archived.first_seq} to {archived.last_seq} of tenant {name} are archived in {archived.place}"
    output.console().print(output.safe(f"{said}; record {archived.seq} says so"), soft_wrap=True)
    if found.kept:
        output.note(f"the bodies of {len(found.kept):,} stay in the ledger too, because something open needs them")
    output.note(
        "keep the file where the ledger's backups are; check both with: weighbridge ledger verify --archive FILE"
    )
