"""`weighbridge ledger verify|export|tail|show`: what is on record, and whether it can be believed.

Nothing here writes to a ledger. Everything reads one tenant, but for `verify`, which checks every tenant of a store, each for
itself.
"""

from __future__ import annotations

import gzip
import re
import shlex
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple, cast

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, reading, tenant_or_default
from weighbridge.errors import LedgerCorrupt, NotFound, StoreError, UsageError

if TYPE_CHECKING:
    from rich.text import Text

    from weighbridge.ledger.record import Record
    from weighbridge.storage.audit import Audit
    from weighbridge.storage.reading import StoredRecord
    from weighbridge.verify import ExportReport

FOLLOW_PAUSE_S = 0.5
FAULTS_SHOWN_MAX = 10

_SQLITE_MAGIC = b"SQLite format 3\x00"
_GZIP_MAGIC = b"\x1f\x8b"
_WITNESS = re.compile(r"(\d{1,15}):([0-9a-f]{64})", re.ASCII)

app = typer.Typer(no_args_is_help=True, help="Read the ledger, and check it.")


# --- verify -----------------------------------------------------------------------------------------------------------


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="An export, gzipped or not, or the file of a store.")
    ] = None,
    *,
    store: StoreOption = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Check this tenant alone. Default: every one.", show_default=False)
    ] = None,
    witness: Annotated[
        str | None,
        typer.Option(metavar="SEQ:HASH", help="A record's number and hash, kept elsewhere.", show_default=False),
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """Check that the ledger is what was written, and name the first record that is not.

    Exit code 0 when it verifies, 4 when it does not. Without a witness no check can show that the end was cut off, that an
    old copy was put back, or that everything was computed anew.
    """
    seen = _witness(witness)
    if file is not None and store is not None:
        raise UsageError("name an export or a store, one at a time")
    checked: Sequence[Audit | ExportReport]
    if file is not None and not _starts_with(file, _SQLITE_MAGIC):
        checked = [_verify_export(file, tenant, seen)]
    else:
        checked = _verify_store(str(file) if file is not None else store, tenant, seen)
    if output.wants_json(as_json):
        output.write_json(_checked_line(one) for one in checked)
    else:
        _show_checked(checked, witnessed=seen is not None)
    raise typer.Exit(output.OK if all(one.ok for one in checked) else output.NOT_PROVED)


def _verify_store(store: str | None, tenant: str | None, witness: tuple[int, str] | None) -> list[Audit]:
    from weighbridge.storage.audit import verify_tenant

    with reading(store) as reader:
        tenants = reader.tenants() if tenant is None else (tenant,)
        if witness is not None and len(tenants) != 1:
            raise UsageError("a witness saw one tenant; say which with --tenant")
        if tenant is not None and tenant not in reader.tenants() and witness is None:
            raise NotFound(f"the store knows no tenant `{tenant}`")
        with _counting(sum(reader.head(name).seq for name in tenants), "records") as advance:
            return [verify_tenant(reader, name, witness=witness, progress=advance) for name in tenants]


def _verify_export(file: Path, tenant: str | None, witness: tuple[int, str] | None) -> ExportReport:
    from weighbridge.verify import verify_export

    packed = _starts_with(file, _GZIP_MAGIC)
    try:
        with cast("BinaryIO", gzip.open(file) if packed else file.open("rb")) as lines:
            size = 0 if packed else file.stat().st_size
            with _counting(size, "bytes") as advance:
                report = verify_export(lines, witness=witness, progress=advance)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise LedgerCorrupt(f"the export `{file}` does not verify: its compressed data is damaged or cut") from None
    if tenant is not None and report.tenant_id != tenant:
        raise UsageError(f"the export is of tenant `{report.tenant_id}`, not `{tenant}`")
    return report


def _witness(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = _WITNESS.fullmatch(text.lower())
    if match is None:
        raise UsageError(
            "a witness is written SEQ:HASH, as `verify` prints the last record: number, colon, 64 hex digits"
        )
    return int(match[1]), match[2]


def _starts_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read ({error.strerror}); give an export or the file of a store") from None


def _checked_line(one: Audit | ExportReport) -> dict[str, Any]:
    return {
        "tenant_id": one.tenant_id,
        "ok": one.ok,
        "records": one.records,
        "head": {"seq": one.head[0], "hash": one.head[1]},
        "faults": [fault._asdict() for fault in one.faults],
    }


def _show_checked(checked: Sequence[Audit | ExportReport], *, witnessed: bool) -> None:
    screen = output.console()
    if not checked:
        screen.print(
            "The ledger is empty: there is nothing to verify, and only a witness could say whether there ever was."
        )
    for one in checked:
        tenant = output.safe(one.tenant_id or "unknown")
        if one.ok:
            screen.print(f"tenant {tenant}: {one.records:,} records verify", style="green")
            screen.print(f"  the last one: {one.head[0]}:{one.head[1]}", soft_wrap=True)
            continue
        first = one.first_bad
        place = f"the first bad record is {first.seq}" if first is not None and first.seq else "no single record is bad"
        screen.print(f"tenant {tenant} does not verify; {place}", style="bold red")
        for fault in one.faults[:FAULTS_SHOWN_MAX]:
            screen.print(output.safe(f"  {fault.part}: {fault.message}"), soft_wrap=True)
        if len(one.faults) > FAULTS_SHOWN_MAX:
            screen.print(f"  and {len(one.faults) - FAULTS_SHOWN_MAX} more; --json prints them")
    if checked and not witnessed:
        screen.print(LIMITS, style="dim")


LIMITS = (
    "What this cannot show: an end that was cut off, an old copy put back, or everything computed anew. For that, keep number "
    "and hash of the last record where nobody who can write the file can reach, and check with --witness SEQ:HASH."
)


@contextmanager
def _counting(total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Give what to call with how much more is done."""
    done = 0
    with output.progress(total, unit) as advance:

        def more(count: int) -> None:
            nonlocal done
            done += count
            advance(done, done)

        yield more


# --- export -----------------------------------------------------------------------------------------------------------


@app.command()
def export(
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    out: Annotated[
        Path | None, typer.Option(help="The file to write, gzipped if its name ends in .gz. Default: standard output.")
    ] = None,
    with_content: Annotated[
        bool, typer.Option("--with-content", help="Also what decisions were made from; it may hold personal data.")
    ] = False,
    after: Annotated[int, typer.Option(metavar="SEQ", min=0, help="Only what comes after this record.")] = 0,
) -> None:
    """Write one tenant's ledger in a form that anybody can check without the store."""
    from weighbridge.storage.audit import export_ledger

    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        lines = export_ledger(reader, tenant_id, after_seq=after, contents=with_content)
        count = 0
        with _sink(out) as sink, output.progress(reader.head(tenant_id).seq - after, "lines") as advance:
            for count, line in enumerate(lines, 1):
                sink.write(line)
                advance(count, count)
    if out is not None:
        check = f"{output.program()} ledger verify {shlex.quote(str(out))}"
        output.note(f"{count:,} lines of tenant {tenant_id} are in {out}; check them with: {check}")


@contextmanager
def _sink(out: Path | None) -> Iterator[BinaryIO]:
    """Give what to write to. A file appears whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = out.with_name(f"{out.name}.partial")
    try:
        with partial.open("wb") as plain:
            if out.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=plain, mode="wb", mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield plain
        partial.replace(out)
    except OSError as error:
        raise StoreError(f"`{out}` cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


# --- tail and show ----------------------------------------------------------------------------------------------------


@app.command()
def tail(
    *,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many records.")] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is recorded from now.")] = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Show the last records, one a line."""
    lines = output.wants_json(as_json)
    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        shown = max(0, reader.head(tenant_id).seq - count)
        try:
            while True:
                for stored in reader.records(tenant_id, shown + 1):
                    _show_record(stored, lines=lines)
                    shown = stored.seq
                if not follow:
                    return
                time.sleep(FOLLOW_PAUSE_S)
        except KeyboardInterrupt:
            if not follow:
                raise  # following ends like this, and in no other way


@app.command()
def show(
    seq: Annotated[int, typer.Argument(min=1, help="The record's number.")],
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Show one record with everything in it."""
    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        stored = reader.record(tenant_id, seq)
        last = reader.head(tenant_id).seq
    if stored is None:
        raise NotFound(f"tenant `{tenant_id}` has no record {seq}; the last one is {last}")
    if output.wants_json(as_json):
        _show_record(stored, lines=True)
        return
    from weighbridge.cli.why import timeline
    from weighbridge.ledger.story import story_of

    screen = output.console()
    screen.print(timeline(story_of(tenant_id, "", [stored.body]).entries))
    screen.print(f"hash {stored.hash.hex()}", soft_wrap=True, style="dim")


def _show_record(stored: StoredRecord, *, lines: bool) -> None:
    from weighbridge.ledger.record import decode

    record = decode(stored.body)
    if lines:
        import msgspec

        body = msgspec.Raw(stored.body)  # the bytes that were hashed, as they are
        output.write_json(
            [{"seq": stored.seq, "leaf": stored.leaf_hash.hex(), "hash": stored.hash.hex(), "record": body}]
        )
    else:
        output.console().print(_glance_text(stored.seq, glance(record)), soft_wrap=True)
        sys.stdout.flush()


class Glance(NamedTuple):
    """A record in one line."""

    at: str
    verdict: str
    what: str
    why: str
    identity: str


def glance(record: Record) -> Glance:
    """Return what a record is about."""
    from weighbridge.domain.verdict import Verdict, strictest
    from weighbridge.ledger.record import events

    told = list(events(record))
    judged = [event for event in told if event.type in {"VALIDATOR_RUN", "VALIDATOR_RUN_SUMMARY"}]
    verdicts = [Verdict(event.fields["result"]) for event in judged if event.type == "VALIDATOR_RUN_SUMMARY"]
    reasons = [found["reason"] for event in judged for found in event.fields.get("findings", ())]
    reasons += [
        event.fields["reason"]
        for event in judged
        if event.type == "VALIDATOR_RUN" and event.fields["result"] != "ALLOW"
    ]
    first = (judged[-1:] or told[-1:])[0].fields
    what = str(first.get("operation") or first.get("target_id") or "")
    if not judged:
        parts = (told[-1].type, what, str(first.get("state") or first.get("outcome") or ""))
        what = " ".join(part for part in parts if part)
    identity = first.get("operation_id") or first.get("validation_run_id") or ""
    verdict = strictest(verdicts).value if verdicts else ""
    return Glance(
        str(first.get("evaluation_time", "")), verdict, what, ", ".join(dict.fromkeys(reasons)), str(identity)
    )


def _glance_text(seq: int, seen: Glance) -> Text:
    from rich.text import Text

    made = Text(f"{seq:>7}  {output.safe(seen.at):<24}  ")
    made.append(f"{seen.verdict:<5}", style=output.STYLES.get(seen.verdict, ""))
    made.append(f"  {output.safe(seen.what):<30}")
    made.append(f"  {output.safe(seen.why)}" if seen.why else "", style=output.STYLES.get(seen.verdict, ""))
    made.append(f"  {output.safe(seen.identity)}", style="dim")
    return made
