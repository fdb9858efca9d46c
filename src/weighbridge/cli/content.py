"""`weighbridge content erase`: what decisions were made from, removed for good (L6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import (
    ArchiveOption,
    JsonOption,
    StoreOption,
    TenantOption,
    archive_files,
    reading,
    reading_with,
    store_or_default,
    tenant_or_default,
)
from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.erasure import Selection
    from weighbridge.storage.reading import LedgerReader

HASHES_IN_A_RECORD_MAX = 1_000  # 70 kB of hashes; a record is read in one piece
HASH_SHOWN = 16

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Erase what decisions were made from.")


@app.callback()
def _content() -> None:
    """Erase what decisions were made from."""


@app.command()
def erase(
    hashes: Annotated[
        list[str] | None, typer.Argument(metavar="[HASH]…", help="Content by its hash, as `why ID --json` shows it.")
    ] = None,
    *,
    subject: Annotated[
        str | None,
        typer.Option(metavar="ID", help="All of an account, plan, step, run or operation.", show_default=False),
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="What the id is of, where it is of several.", show_default=False)
    ] = None,
    plan: Annotated[str | None, typer.Option(help="The plan that a step is of.", show_default=False)] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="DURATION", help="All that is older, as 90d.", show_default=False)
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="PERSON", help="Who erases it.", show_default=False)] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why. It is kept as content, not in the record.", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without this, only say what would be erased.")] = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Erase content by hash, by subject or by age; by default only say what would be erased, what is kept, and why.

    Records stay, and the ledger still verifies; replay says what is gone, and nothing puts it back. Content that another
    subject's record needs is kept, and so is what says how was judged; name it by its hash if it must go all the same. Where
    records were archived, hand the archives in: what those records point to stands nowhere else.
    """
    if sum(1 for given in (hashes, subject, older_than) if given) != 1:
        raise UsageError("say what to erase in one way: hashes, --subject ID, or --older-than DURATION")
    if (kind or plan) and not subject:
        raise UsageError("--kind and --plan go with --subject")
    if yes and (not (by or "").strip() or not (reason or "").strip()):
        raise UsageError("erasing takes a person and a reason: --by PERSON --reason TEXT")

    def select(reader: LedgerReader, tenant_id: str) -> Selection:
        from weighbridge import erasure

        if hashes:
            return erasure.by_hash(reader, tenant_id, hashes)
        if subject:
            return erasure.by_subject(reader, tenant_id, subject, kind=kind, plan_id=plan)
        return erasure.by_age(reader, tenant_id, _before_ms(older_than or ""))

    if not yes:
        with reading_with(store, archive) as reader:
            tenant_id = tenant_or_default(tenant, reader)
            _show(select(reader, tenant_id), (), as_json)
        output.note("nothing was erased; say --yes, --by PERSON and --reason TEXT to do it")
        return
    from weighbridge import wiring
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal
    from weighbridge.storage.archives import with_archives

    with reading(store):
        pass  # a store that is not there is a wrong path
    with wiring.open_acts(store_or_default(store)) as (acts, reader), archive_files(archive or ()) as files:
        tenant_id = tenant_or_default(tenant, reader)
        selection = select(with_archives(reader, files), tenant_id)
        wanted = [choice.content_hash for choice in selection.erased]
        person = Principal(id=by or "", role=Role.ADMIN, person=True)
        seqs = [
            acts.erase_content(tenant_id, tuple(wanted[at : at + HASHES_IN_A_RECORD_MAX]), person, reason or "")
            for at in range(0, len(wanted), HASHES_IN_A_RECORD_MAX)
        ]
        _show(selection, tuple(seqs), as_json)
    output.note(
        f"{len(wanted):,} contents are erased (record {', '.join(map(str, seqs))})" if seqs else "nothing to erase"
    )


def _before_ms(duration: str) -> int:
    from weighbridge import wiring
    from weighbridge.domain.instant import parse_duration

    age_ms = parse_duration(duration)
    if age_ms is None:
        raise UsageError(f"`{duration}` is no duration; write 90d, 36h or 1d12h")
    return wiring.system_surroundings().clock_ms() - age_ms


def _show(selection: Selection, seqs: tuple[int, ...], as_json: bool | None) -> None:
    if output.wants_json(as_json):
        output.write_json([*_lines(selection), _summary(selection, seqs)])
        return
    screen = output.console()
    shown = output.table("Content", "What", "Bytes", "Record", "Kept because")
    for choice in selection.choices:
        what, why = ", ".join(choice.names), choice.kept_because or ""
        style = "dim" if why else ""
        cells = (choice.content_hash[:HASH_SHOWN], output.safe(what), f"{choice.size:,}", str(choice.seq))
        shown.add_row(*cells, output.safe(why), style=style)
    if shown.row_count:
        screen.print(shown)
    erased = "were erased" if seqs else "would be erased"
    said = f"{len(selection.erased):,} contents {erased}, {len(selection.kept):,} are kept"
    screen.print(f"{said}, {len(selection.gone):,} were gone before", soft_wrap=True)


def _lines(selection: Selection) -> list[dict[str, Any]]:
    return [
        {
            "content": choice.content_hash,
            "names": list(choice.names),
            "bytes": choice.size,
            "seq": choice.seq,
            "action": "keep" if choice.kept_because else "erase",
            "because": choice.kept_because,
        }
        for choice in selection.choices
    ]


def _summary(selection: Selection, seqs: tuple[int, ...]) -> dict[str, Any]:
    return {
        "erase": len(selection.erased),
        "keep": len(selection.kept),
        "gone_before": len(selection.gone),
        "records": list(seqs),
    }
