"""`weighbridge db copy FROM TO`: a ledger into another store, whole, compared and verified, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption
from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.storage.copying import Copied


def copy(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="The store to copy: a path, or `postgresql://user@host/database`.")
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="PostgreSQL, where `db init` made a store, as its owner; or a new file.")
    ],
    *,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Copy this tenant alone. Default: every one.", show_default=False)
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """Copy a ledger with everything that follows from it into another store, and verify it there before anybody can see it.

    It is one transaction: what is interrupted leaves TO as it was. Where TO holds the beginning of the same ledger, the rest is
    added. Stop whoever writes to FROM first; a file is locked meanwhile, and a FROM that grew all the same is refused.
    """
    from weighbridge import wiring
    from weighbridge.cli.stores import reading

    if source == target:
        raise UsageError("FROM and TO are the same store")
    with reading(source) as reader:
        tenants = reader.tenants() if tenant is None else (tenant,)
        total = sum(reader.head(name).seq for name in tenants)
    done = 0
    with output.progress(total, "records") as advance:

        def more(records: int) -> None:
            nonlocal done
            done += records
            advance(done, done)

        copied = wiring.copy_store(source, target, tenant, progress=more)
    _tell(copied, as_json)
    output.note(
        "every row was compared, and every tenant verifies in TO; let nobody write to FROM any more: its ledger goes on in TO"
    )


def _tell(copied: list[Copied], as_json: bool | None) -> None:
    if output.wants_json(as_json):
        output.write_json(
            [
                {
                    "tenant_id": one.tenant_id,
                    "records": one.records,
                    "added": one.added,
                    "head": {"seq": one.head[0], "hash": one.head[1]},
                }
                for one in copied
            ]
        )
        return
    screen = output.console()
    for one in copied:
        there = f"{one.records - one.added:,} were there, " if one.added < one.records else ""
        screen.print(output.safe(f"tenant {one.tenant_id}: {there}{one.added:,} records were copied"), soft_wrap=True)
        screen.print(f"  the last one: {one.head[0]}:{one.head[1]}", style="dim", soft_wrap=True)
