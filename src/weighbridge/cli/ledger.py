"""`weighbridge ledger verify|export|tail|show`: what is on record, and whether it can be believed.

Nothing here writes to a ledger. Everything reads one tenant, but for `verify`, which checks every tenant of a store, each for
itself. What seals and proves is in `sealing`.
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
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NamedTuple, cast

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import (
    EMPTY,
    ArchiveOption,
    JsonOption,
    StoreOption,
    TenantOption,
    archive_files,
    reading,
    reading_with,
    tenant_or_default,
)
from weighbridge.errors import LedgerCorrupt, NotFound, StoreError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from weighbridge.ledger.checkpoint import Checkpoint, OpenedSeal, TenantHead
    from weighbridge.ledger.record import Event, Record
    from weighbridge.storage.audit import Audit
    from weighbridge.storage.reading import StoredRecord
    from weighbridge.verify import ExportReport

FOLLOW_PAUSE_S = 0.5
FAULTS_SHOWN_MAX = 10
ID_WIDTH = 36  # of a UUID
SEQ_WIDTH, VERDICT_WIDTH, WHAT_WIDTH = 6, 5, 20
PORTION = 256  # records that are laid out together

_SQLITE_MAGIC = b"SQLite format 3\x00"
_GZIP_MAGIC = b"\x1f\x8b"
_EXPORT_LINES = (b'{"after_hash":', b'{"body":')  # how the first two lines of an export begin, however it was changed
_KEY = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_KEY_TEXT_MAX = 128
_PROBE_BYTES = 1 << 16
_WITNESS = re.compile(r"(\d{1,15}):([0-9a-f]{64})", re.ASCII)

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Read the ledger, and check it.")


# --- verify -----------------------------------------------------------------------------------------------------------


@app.command()
def verify(
    given: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="An export, gzipped or not, or the file or address of a store."),
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
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The tenant's content key as hex, to check an export's content.", show_default=False
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="A checkpoint kept elsewhere, or a folder of them.", show_default=False
        ),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option(
            "--key",
            metavar="FILE",
            help="The public keys that sealed, one a line. Default: those in WEIGHBRIDGE_KEYS.",
            show_default=False,
        ),
    ] = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Check that the ledger is what was written, and name the first record that is not.

    Exit code 0 when it verifies, 4 when it does not. Without a checkpoint or a witness no check can show that the end was cut
    off, that an old copy was put back, or that everything was computed anew. Without the archives, of what was archived only the
    hashes are checked.
    """
    seen, key = _witness(witness), _content_key(key_file)
    if given is not None and store is not None:
        raise UsageError("name an export or a store, one at a time")
    is_file = given is not None and "://" not in given
    file, store = (Path(given or ""), store) if is_file else (None, given or store)
    if public is not None and not checkpoint:
        raise UsageError("public keys are for checkpoints; name one with --checkpoint")
    seals = _opened(checkpoint, public) if checkpoint else []
    heads = [head for opened, _ in seals for head in opened.heads if tenant in {None, head.tenant_id}]
    checked: Sequence[Audit | ExportReport]
    if file is not None and not _starts_with(file, _SQLITE_MAGIC):
        if archive:
            raise UsageError("an archive is an export itself; --archive goes with a store")
        checked = [_verify_export(file, tenant, seen, key, heads)]
    elif key is not None:
        raise UsageError("a key is for the content of an export; a store is checked with its own")
    else:
        checked = _verify_store(str(file) if file is not None else store, tenant, seen, heads, archive or [])
    if output.wants_json(as_json):
        output.write_json([_checked_line(one) for one in checked] or [{"tenants": 0, "records": 0}])
    else:
        _show_checked(checked, witnessed=seen is not None or bool(seals))
        for _, opened in seals:
            output.console().print(output.safe(_described(opened)), style="dim", soft_wrap=True)
        _show_unsealed(checked, heads if seals else None)
    raise typer.Exit(output.OK if all(one.ok for one in checked) else output.NOT_PROVED)


def _opened(places: list[Path], public: Path | None) -> list[tuple[Checkpoint, OpenedSeal]]:
    from weighbridge.cli.sealing import open_checkpoints

    return open_checkpoints(places, public)


def _described(opened: OpenedSeal) -> str:
    from weighbridge.verifier.checking import describe

    return describe(opened)


def _show_unsealed(checked: Sequence[Audit | ExportReport], heads: Sequence[TenantHead] | None) -> None:
    """Say which records no checkpoint covers."""
    if heads is None:
        return
    for one in checked:
        sealed = max((head.size for head in heads if head.tenant_id == one.tenant_id), default=0)
        if one.ok and sealed < one.head[0]:
            name = output.safe(one.tenant_id or "unknown")
            output.console().print(
                f"tenant {name}: from record {sealed + 1} on no checkpoint covers it", style="dim", soft_wrap=True
            )


def _verify_store(
    store: str | None,
    tenant: str | None,
    witness: tuple[int, str] | None,
    seen: Sequence[TenantHead],
    archives: Sequence[Path],
) -> list[Audit]:
    from weighbridge.storage.audit import verify_tenant

    with reading(store) as reader, archive_files(archives) as files:
        names, sealed = frozenset(reader.tenants()), {head.tenant_id for head in seen}
        tenants = tuple(sorted(names | sealed)) if tenant is None else (tenant,)
        if witness is not None and len(tenants) != 1:
            raise UsageError("a witness saw one tenant; say which with --tenant")
        known = tenant is None or tenant in names | sealed or reader.head(tenant).seq
        if not known and witness is None:
            raise NotFound(f"the store knows no tenant `{tenant}`")
        with _counting(sum(reader.head(name).seq for name in tenants), "records") as advance:
            return [
                verify_tenant(
                    reader, name, witness=witness, seen=seen, progress=advance, archives=files, listed=name in names
                )
                for name in tenants
            ]


def verify_file(file: Path) -> ExportReport:
    """Return what is wrong with an export, gzipped or not.

    Raises:
        LedgerCorrupt: its compressed data is damaged.
    """
    return _verify_export(file, None, None, None, ())


def _verify_export(
    file: Path, tenant: str | None, witness: tuple[int, str] | None, key: bytes | None, seen: Sequence[TenantHead]
) -> ExportReport:
    from weighbridge.verify import verify_export

    packed = _starts_with(file, _GZIP_MAGIC)
    try:
        with cast("BinaryIO", gzip.open(file) if packed else file.open("rb")) as lines:
            size = 0 if packed else file.stat().st_size
            with _counting(size, "bytes") as advance:
                _require_export(file, lines)
                report = verify_export(lines, key=key, witness=witness, seen=seen, progress=advance)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise LedgerCorrupt(f"the export `{file}` does not verify: its compressed data is damaged or cut") from None
    if tenant is not None and report.tenant_id != tenant:
        raise UsageError(f"the export is of tenant `{report.tenant_id}`, not `{tenant}`")
    return report


def _require_export(file: Path, lines: BinaryIO) -> None:
    """Refuse what is no export at all; one that was changed is for the verifier to judge."""
    beginnings = [lines.readline(_PROBE_BYTES) for _ in range(2)]
    lines.seek(0)
    if not any(line.startswith(_EXPORT_LINES) or b'"weighbridge-ledger"' in line for line in beginnings):
        raise UsageError(f"`{file}` is no export and no store")


def _witness(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    match = _WITNESS.fullmatch(text.lower())
    if match is None:
        raise UsageError(
            "a witness is written SEQ:HASH, as `verify` prints the last record: number, colon, 64 hex digits"
        )
    return int(match[1]), match[2]


def _content_key(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        text = file.read_bytes()[: _KEY_TEXT_MAX + 1].decode("ascii", "replace").strip()
    except OSError as error:
        raise UsageError(f"the key `{file}` cannot be read ({error.strerror})") from None
    if _KEY.fullmatch(text) is None:
        raise UsageError(f"`{file}` holds no content key: that is 32 bytes, written as 64 hex digits")
    return bytes.fromhex(text)


def _starts_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read ({error.strerror}); give an export or the file of a store") from None


def _checked_line(one: Audit | ExportReport) -> dict[str, Any]:
    from weighbridge.verify import ExportReport

    names = ("first_seq", "last_seq", "contents", "contents_checked") if isinstance(one, ExportReport) else ()
    return (
        {
            "tenant_id": one.tenant_id,
            "ok": one.ok,
            "records": one.records,
            "head": {"seq": one.head[0], "hash": one.head[1]},
            "faults": [fault._asdict() for fault in one.faults],
        }
        | _archived_line(one)
        | {name: getattr(one, name) for name in names}
    )


def _archived_line(one: Audit | ExportReport) -> dict[str, Any]:
    import msgspec

    from weighbridge.storage.audit import Audit

    if not isinstance(one, Audit) or not one.archives:
        return {}
    return {
        "archives": [msgspec.structs.asdict(archived) for archived in one.archives],
        "not_recomputed_to": one.archived_to,
    }


def _show_checked(checked: Sequence[Audit | ExportReport], *, witnessed: bool) -> None:
    screen = output.console()
    if not checked:
        screen.print(
            "0 tenants, 0 records: there is nothing to verify, and only a witness could say whether there ever was."
        )
    for one in checked:
        tenant = output.safe(one.tenant_id or "unknown")
        if one.ok:
            screen.print(f"tenant {tenant}: {_covered(one)}", style="green")
            screen.print(f"  the last one: {one.head[0]}:{one.head[1]}", soft_wrap=True)
            _show_archived(one)
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
    if any(_content_unchecked(one) for one in checked):
        screen.print(CONTENT_LIMITS, style="dim")


def _show_archived(one: Audit | ExportReport) -> None:
    """Say what was archived, and what could not be computed without it."""
    from weighbridge.storage.audit import NOT_RECOMPUTED, Audit

    if not isinstance(one, Audit):
        return
    for archived in one.archives:
        span = f"  records {archived.first_seq} to {archived.last_seq} are archived in {archived.place}"
        output.console().print(output.safe(span), style="dim", soft_wrap=True)
    if one.archived_to:
        said = f"  up to record {one.archived_to} only hashes were checked where a body is archived; not recomputed:"
        hint = "For that, hand in every archive: --archive FILE"
        output.console().print(f"{said} {NOT_RECOMPUTED}. {hint}", style="yellow", soft_wrap=True)


def _covered(one: Audit | ExportReport) -> str:
    from weighbridge.verify import ExportReport

    if not isinstance(one, ExportReport):
        return f"{one.records:,} records verify"
    content = f", and {one.contents:,} contents with them" if one.contents and one.contents_checked else ""
    if not one.partial:
        return f"{one.records:,} records verify{content}"
    which = (
        f"records {one.first_seq} to {one.last_seq} verify" if one.records else f"no records from {one.first_seq} on"
    )
    return f"{which}{content}; what stands before is not shown"


def _content_unchecked(one: Audit | ExportReport) -> bool:
    from weighbridge.verify import ExportReport

    return isinstance(one, ExportReport) and one.contents > 0 and not one.contents_checked


CONTENT_LIMITS = (
    "Nor does it show that the content in the export is what decisions were made from: unchecked without the tenant's content "
    "key. Whoever has that checks with --key-file FILE."
)
LIMITS = (
    "What this cannot show: an end that was cut off, an old copy put back, or everything computed anew. For that, keep number "
    "and hash of the last record where nobody who can write the store can reach, and check with --witness SEQ:HASH."
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
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="A bundle: from this time on.", show_default=False)
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="A bundle: before this time.", show_default=False)
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(help="A bundle: its events as `ocsf` or `cloudevents`.", show_default=False),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint", metavar="FILE", help="A bundle: a checkpoint, or a folder of them.", show_default=False
        ),
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="A bundle: the public keys that sealed.", show_default=False),
    ] = None,
    archive: ArchiveOption = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write one tenant's ledger in a form that anybody can check without the store.

    A file whose name ends in .zip is an auditor's bundle: the records of a span of time with their policies, the seals that
    cover them, the public keys, and how to check all of it.
    """
    from weighbridge.storage.audit import export_ledger

    if out is not None and out.exists() and not force:
        raise UsageError(f"`{out}` is there already; name another file, or say --force to overwrite it")
    if out is not None and out.suffix == ".zip":
        if after or with_content:
            raise UsageError(
                "a bundle holds a span of time (--from, --to) and no content; leave --after and --with-content out"
            )
        _bundle(out, store, tenant, archive, span=(since, to), form=form, places=checkpoint, public=public)
        return
    if since or to or form or checkpoint or public:
        raise UsageError("--from, --to, --form, --checkpoint and --key are for a bundle: --out FILE.zip")
    with reading_with(store, archive) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        lines = export_ledger(reader, tenant_id, after_seq=after, contents=with_content)
        count = 0
        with sink(out) as sunk, output.progress(reader.head(tenant_id).seq - after, "lines") as advance:
            for count, line in enumerate(lines, 1):
                sunk.write(line)
                advance(count, count)
    if out is not None:
        check = f"{output.program()} ledger verify {shlex.quote(str(out))}"
        output.note(f"{count:,} lines of tenant {tenant_id} are in {out}; check them with: {check}")


def _bundle(
    out: Path,
    store: str | None,
    tenant: str | None,
    archives: Sequence[Path] | None,
    *,
    span: tuple[str | None, str | None],
    form: str | None,
    places: list[Path] | None,
    public: Path | None,
) -> None:
    """Write an auditor's bundle."""
    from weighbridge.budgets.periods import with_zone
    from weighbridge.cli.budget.sources import instant
    from weighbridge.cli.keys import folder_or_default
    from weighbridge.keys import public_keys
    from weighbridge.storage.bundling import write_bundle

    seals = _opened(places, public) if places else []
    keys = public_keys(public or folder_or_default(None)) if seals else ()
    with reading_with(store, archives) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        zones = reader.head(tenant_id).zones or with_zone(None, "UTC", 0)
        from_ms, to_ms = (None if text is None else instant(text, zones) for text in span)
        with sink(out) as target:
            made = write_bundle(
                reader, tenant_id, target.write, name=out.name, from_ms=from_ms, to_ms=to_ms,
                form=form or "weighbridge", checkpoints=[opened for opened, _ in seals], keys=keys,
            )  # fmt: skip
    output.note(
        f"records {made.first_seq} to {made.last_seq} of tenant {tenant_id} are in {out}, with the policies: {len(made.policies)}"
    )
    if made.missing:
        output.note(f"the text of {len(made.missing)} policies is gone from the store and not in it")
    if made.sealed_to is None:
        output.note(
            "no checkpoint covers them, so the bundle cannot show an end cut off or a chain computed anew (--checkpoint)"
        )
    elif made.sealed_to < made.last_seq:
        output.note(f"seals cover them up to record {made.sealed_to}")
    output.note(f"check it with: weighbridge-verify bundle {shlex.quote(str(out))} --key KEYS")


@contextmanager
def sink(out: Path | None) -> Iterator[BinaryIO]:
    """Give what to write to. A file appears whole or not at all."""
    if out is None:
        with output.writing():
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
    """Show the last records, one a line, or one a paragraph where the screen is narrow."""
    lines = output.wants_json(as_json)
    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        shown = max(0, reader.head(tenant_id).seq - count)
        try:
            while True:
                for some in _portions(reader.records(tenant_id, shown + 1)):
                    _show_records(some, lines=lines)
                    shown = some[-1].seq
                if not lines and not shown and not reader.tenants():
                    output.note(EMPTY)
                if not follow:
                    return
                time.sleep(FOLLOW_PAUSE_S)
        except KeyboardInterrupt:
            raise typer.Exit(output.INTERRUPTED) from None  # following ends like this, and in no other way


@app.command()
def show(
    seq: Annotated[int, typer.Argument(min=1, help="The record's number.")],
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Show one record with everything in it."""
    from weighbridge.cli.why import timeline
    from weighbridge.ledger.archive import require_kept
    from weighbridge.ledger.story import story_of

    lines = output.wants_json(as_json)
    with reading(store) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        stored = reader.record(tenant_id, seq)
        if stored is None:
            last = reader.head(tenant_id).seq
            hint = f"the last one is {last}" if last or reader.tenants() else EMPTY
            raise NotFound(f"tenant `{tenant_id}` has no record {seq}; {hint}")
        if not lines:
            require_kept(stored.body)
        story = None if lines else story_of(reader, tenant_id, "", [stored.body])
    if story is None:
        output.write_json([_line(stored)])
        return
    screen = output.console()
    screen.print(timeline(story.entries, screen.width))
    screen.print(f"hash {stored.hash.hex()}", soft_wrap=True, style="dim")


def _portions(records: Iterator[StoredRecord]) -> Iterator[list[StoredRecord]]:
    while some := list(islice(records, PORTION)):
        yield some


def _glance_archived(stub: bytes) -> Glance:
    from weighbridge.ledger.archive import read_stub

    return Glance("", "", "", f"archived in `{read_stub(stub).file}`", "")


def _show_records(some: list[StoredRecord], *, lines: bool) -> None:
    from weighbridge.ledger.archive import is_stub
    from weighbridge.ledger.record import decode

    if lines:
        output.write_json(_line(stored) for stored in some)
        return
    seen = [
        (stored.seq, _glance_archived(stored.body) if is_stub(stored.body) else glance(decode(stored.body)))
        for stored in some
    ]
    screen = output.console()
    screen.print(output.best(screen.width, [partial(_glances, seen, layout) for layout in _LAYOUTS]))
    output.flush()


def _line(stored: StoredRecord) -> dict[str, Any]:
    import msgspec

    body = msgspec.Raw(stored.body)  # the bytes that were hashed, as they are
    return {"seq": stored.seq, "leaf": stored.leaf_hash.hex(), "hash": stored.hash.hex(), "record": body}


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
    from weighbridge.ledger.record import BUDGET_DECISIONS, events

    told = list(events(record))
    judging = {"VALIDATOR_RUN", "VALIDATOR_RUN_SUMMARY", *BUDGET_DECISIONS}
    judged = [event for event in told if event.type in judging]
    verdicts = [Verdict(event.fields["result"]) for event in judged if event.type != "VALIDATOR_RUN"]
    reasons = [reason for event in judged for reason in _reasons(event)]
    first = (judged[-1:] or told[-1:])[0].fields
    what = str(first.get("operation") or first.get("target_id") or "")
    if not judged:
        reasons = _facts(told)
    if not reasons and judged and judged[-1].type in BUDGET_DECISIONS:
        reasons = [_reserved(judged[-1])]
    identity = first.get("operation_id") or first.get("validation_run_id") or ""
    verdict = strictest(verdicts).value if verdicts else ""
    return Glance(
        str(first.get("evaluation_time", "")), verdict, what, ", ".join(dict.fromkeys(reasons)), str(identity)
    )


def _reasons(event: Event) -> Iterator[str]:
    """Yield the reasons of a judging event that are no ALLOW, with the caps that gave them."""
    said = event.fields
    yield from (found["reason"] for found in said.get("findings", ()))
    if said["result"] == "ALLOW" or event.type == "VALIDATOR_RUN_SUMMARY":
        return
    caps = [f"`{cap['cap']}`" for cap in said.get("caps", ()) if cap["verdict"] == said["result"]]
    if said["reason"] not in {found["reason"] for found in said.get("findings", ())}:
        yield f"{said['reason']} {' '.join(caps)}" if caps else said["reason"]


def _facts(told: Sequence[Event]) -> list[str]:
    """Return what a record says that is no decision: what happened, and how it ended."""
    types = list(dict.fromkeys(event.type for event in told))
    states = [str(event.fields.get("state") or event.fields.get("outcome") or "") for event in told]
    said = [*types, *(state for state in states if state and not any(name.endswith(state) for name in types))]
    return [*said, *(["overrun"] if any("overrun" in event.fields for event in told) else [])]


def _reserved(event: Event) -> str:
    from weighbridge.budgets.sentences import amounts_text
    from weighbridge.domain.amounts import from_text

    return amounts_text(from_text(event.fields["amounts"]), event.fields.get("assumed", ()))


class _Layout(NamedTuple):
    """How records are laid out: ids in a column of their own, of a width, or below the rest; what was said on several lines."""

    apart: bool
    id_width: int = 0
    broken: bool = False


_LAYOUTS = (
    _Layout(apart=True, id_width=ID_WIDTH),
    _Layout(apart=True),
    _Layout(apart=True, broken=True),
    _Layout(apart=False),
    _Layout(apart=False, broken=True),
)


def _glances(some: list[tuple[int, Glance]], layout: _Layout) -> Table:
    """Return records one a line, or one a paragraph; an id is in one piece wherever the screen has room for it."""
    from rich.text import Text

    made = output.grid()
    for width in (SEQ_WIDTH, 0, VERDICT_WIDTH):
        made.add_column(no_wrap=True, min_width=width, overflow="fold")
    for width in (WHAT_WIDTH, layout.id_width, 0) if layout.apart else (0,):
        made.add_column(no_wrap=True, min_width=width, overflow="fold")
    for seq, seen in some:
        style = output.STYLES.get(seen.verdict, "")
        said = output.safe(seen.why)
        why = Text(said.replace(", ", ",\n") if layout.broken else said, style=style)
        what, identity = Text(output.safe(seen.what)), Text(output.safe(seen.identity), style="dim")
        cells = [Text(f"{seq:>{SEQ_WIDTH}}"), Text(output.instant(seen.at)), Text(seen.verdict, style=style)]
        if layout.apart:
            made.add_row(*cells, what, identity, why)
            continue
        beside = Text("  ").join(part for part in (what, why) if part)
        made.add_row(*cells, Text("\n").join(part for part in (beside, identity) if part))
    return made
