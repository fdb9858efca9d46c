"""`weighbridge outcomes`: bring wins and losses in, find what is missing, take everything out for analysis."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, reading, store_or_default, tenant_or_default
from weighbridge.domain.outcome import OutcomeKind
from weighbridge.errors import UsageError

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Capture and export what became of plans and opportunities.")


class Form(enum.StrEnum):
    """How outcomes are written out."""

    JSONL = "jsonl"
    CSV = "csv"


ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who brings them in.")]


@app.callback()
def _outcomes() -> None:
    """Capture and export what became of plans and opportunities."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or JSON lines (.jsonl, .json).")],
    *,
    source: Annotated[
        str, typer.Option(help="Where it comes from; an opportunity is won or lost once for each source.")
    ] = "crm",
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS", help="The file's own name of a column; may be repeated.", show_default=False
        ),
    ] = None,
    by: ByOption = "outcomes-import",
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Record won and lost opportunities from the export of a CRM.

    A row says kind (won, lost), account_id, opportunity_id and closed_at, and may say amount, currency, note and plan_id. A wrong
    row is reported by its line (exit code 3), and the rest is kept; a row that was imported before changes nothing.
    """
    from weighbridge import wiring
    from weighbridge.domain.context import Actor, Role
    from weighbridge.outcomes.imports import import_file

    columns = dict(_column(text) for text in column or ())
    with wiring.open_outcomes(_there(store)) as (capture, reader):
        tenant_id = tenant_or_default(tenant, reader)
        actor = Actor(id=by, role=Role.HOST)
        done = import_file(file, capture, tenant_id, by=actor, source=source, columns=columns)
    for row in done.bad:
        output.note(output.safe(f"{file}:{row.line}: {row.error}"))
    _tell({"captured": done.captured, "duplicates": done.duplicates, "bad": len(done.bad)}, as_json)
    if done.bad:
        raise typer.Exit(output.BAD_LINES)


@app.command()
def sweep(
    *,
    by: ByOption = "outcomes-sweep",
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Write the outcomes that the ledger implies and that are missing, as after a crash; however often, each is written once."""
    from weighbridge import wiring
    from weighbridge.domain.context import Actor, Role
    from weighbridge.outcomes.sweep import sweep as run

    with wiring.open_outcomes(_there(store)) as (capture, reader):
        done = run(reader, capture, tenant_or_default(tenant, reader), by=Actor(id=by, role=Role.HOST))
    for error in done.errors:
        output.note(output.safe(str(error)))
    _tell({"captured": done.captured, "errors": len(done.errors)}, as_json)
    if done.errors:
        raise typer.Exit(output.FAILED)


@app.command()
def export(
    *,
    form: Annotated[Form, typer.Option("--format", help="JSON lines, or CSV.")] = Form.JSONL,
    kind: Annotated[
        list[OutcomeKind] | None, typer.Option(help="Only of this kind; may be repeated.", show_default=False)
    ] = None,
    plan: Annotated[str | None, typer.Option(help="Only of this plan.", show_default=False)] = None,
    account: Annotated[str | None, typer.Option(help="Only of this account.", show_default=False)] = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
) -> None:
    """Write outcomes to standard output, one line each, for analysis; what people wrote stays behind."""
    from weighbridge.outcomes.export import csv_lines, flat
    from weighbridge.outcomes.reader import OutcomeReader

    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        kinds = [one.value for one in kind or ()]
        rows = OutcomeReader(reader).outcomes(tenant_id, kinds=kinds, plan_id=plan, account_id=account)
        if form is Form.JSONL:
            output.write_json(flat(row) for row in rows)
        else:
            _write_text(csv_lines(rows))


def _write_text(lines: Iterable[str]) -> None:
    import sys

    with output.writing():
        sys.stdout.flush()
        for line in lines:
            sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()


def _there(store: str | None) -> str:
    """Return the store asked for, which must exist: an outcome is of what was recorded."""
    with reading(store):
        return store_or_default(store)


def _column(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not equals or not theirs:
        raise UsageError(f"`{text}` names no column; write OURS=THEIRS, as in account_id='Account ID'")
    return ours.strip(), theirs.strip()


def _tell(counts: dict[str, Any], as_json: bool | None) -> None:
    if output.wants_json(as_json):
        output.write_json([counts])
    else:
        output.console().print(", ".join(f"{count:,} {name}" for name, count in counts.items()))
