"""`weighbridge prices import`: the price table of a policy, from LiteLLM's public price map.

Reads a file and prints; what a price becomes is `weighbridge.policy.price_map`'s business. The table goes to standard output
or a file, what was rounded, raised to a tier or left out to standard error, by name.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.cli import output
from weighbridge.errors import UsageError, WeighbridgeError

if TYPE_CHECKING:
    from weighbridge.policy.price_map import Converted

STANDARD_INPUT = "-"
FILE_BYTES_MAX = 64 << 20  # the map is 2 MiB; what unpacks to far more is none, and must not fill the memory

SHOWN_MAX = 20  # names of a kind; --model asks for fewer

_GZIP_MAGIC = b"\x1f\x8b"

app: typer.Typer = typer.Typer(help="Bring prices of language models into a policy.", no_args_is_help=True)


@app.callback()
def _prices() -> None:
    """Bring prices of language models into a policy."""  # a callback, so that `import` is said although it stands alone


@app.command("import")
def import_prices(
    file: Annotated[
        str, typer.Argument(help="LiteLLM's price map, JSON, gzipped or not; - is standard input.", metavar="FILE")
    ],
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", metavar="PATTERN", help="Only this model, or the ones a glob matches; repeatable. Default: all."
        ),
    ] = None,
    base: Annotated[
        bool, typer.Option("--base", help="The base price, also where longer inputs cost more: may reserve too little.")
    ] = False,
    free: Annotated[
        bool,
        typer.Option("--free", help="Keep models whose price is 0, which is often a gap: they then reserve no money."),
    ] = False,
    dated: Annotated[
        str | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", help="The day the prices are of. Default: when the file was modified."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write. Default: standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of YAML.")] = False,
) -> None:
    """Convert LiteLLM's price map to the price table of a policy, to be pasted below `budgets:`.

    Exit code 0 when done, 3 when it is written without a model that was asked for by name and cannot be believed, 2 for usage.
    """
    import hashlib

    from weighbridge.policy import price_map

    stored = _read(file)
    _check_free(out, file, force=force)
    day = _modified(file) if dated is None else _stated(dated)
    converted = price_map.convert(_unpacked(file, stored), model or (), base=base, free=free)
    table = price_map.table(converted, date=day, sha256=hashlib.sha256(stored).hexdigest(), base=base)
    if as_json:
        import msgspec

        text = msgspec.json.encode(table) + b"\n"
    else:
        text = price_map.as_yaml(table).encode()
    _write(out, text)
    _summarise(converted, out)
    if converted.refused:
        raise typer.Exit(output.BAD_LINES)


# --- Files in, text out -----------------------------------------------------------------------------------------------


def _read(name: str) -> bytes:
    try:
        if name == STANDARD_INPUT:
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        message = (
            f"`{name}` cannot be read ({error.strerror}); give LiteLLM's map of model prices, gzipped or not, or `-`"
        )
        raise UsageError(message) from None
    return _limited(name, data)


def _unpacked(name: str, data: bytes) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    import gzip
    import io

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            return _limited(name, packed.read(FILE_BYTES_MAX + 1))
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UsageError(f"`{name}` cannot be read: its compressed data is damaged or cut") from None


def _limited(name: str, data: bytes) -> bytes:
    if len(data) > FILE_BYTES_MAX:
        raise UsageError(f"`{name}` is longer than {FILE_BYTES_MAX >> 20} MiB; give LiteLLM's map of model prices")
    return data


def _modified(name: str) -> str:
    """Return the day (UTC) on which a file was modified; a pipe has none."""
    path = Path(name)
    if name == STANDARD_INPUT or not path.is_file():
        raise UsageError(f"`{name}` has no date; say of which day its prices are: --date YYYY-MM-DD")
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def _stated(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"`{text}` is no date; write --date YYYY-MM-DD")


def _check_free(out: Path | None, source: str, *, force: bool) -> None:
    """Refuse a place for the table where something is that must stay."""
    if out is None or not out.exists():
        return
    if source != STANDARD_INPUT and out.samefile(source):
        raise UsageError(f"`{out}` is the price map itself; name another file")
    if not force:
        raise UsageError(f"`{out}` is there already; name another file, or say --force to overwrite it")


def _write(out: Path | None, text: bytes) -> None:
    """Write to standard output, or to a file, which appears whole or not at all."""
    if out is None:
        with output.writing():
            sys.stdout.flush()
            sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
        return
    partial = out.with_name(f"{out.name}.partial")
    try:
        partial.write_bytes(text)
        partial.replace(out)
    except OSError as error:
        raise WeighbridgeError(f"`{out}` cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)


# --- What was done ----------------------------------------------------------------------------------------------------


def _summarise(converted: Converted, out: Path | None) -> None:
    place = "" if out is None else f" in {out}"
    output.note(f"prices of {len(converted.models):,} of {_counted(converted.count)}{place}")
    if converted.tiered:
        output.note(f"{_counted(len(converted.tiered))} at the highest tier; --base takes the base price")
    _name("rounded up to whole pico-dollars", converted.rounded, shown_max=len(converted.rounded))
    _name("free, says the map, so that they reserve no money", converted.kept_free)
    if converted.unpriced:
        output.note(f"{_counted(len(converted.unpriced))} skipped: no price for tokens")
    _name("skipped: a price for one direction alone", converted.one_sided)
    _name("skipped: a price of 0, which is often a gap; --free keeps them", converted.free)
    for name, wrong in converted.bad.items():
        output.note(f"skipped: `{output.safe(name)}` {wrong}")


def _name(what: str, names: Sequence[str], *, shown_max: int = SHOWN_MAX) -> None:
    if names:
        more = f" and {len(names) - shown_max} more" if len(names) > shown_max else ""
        output.note(f"{_counted(len(names))} {what}: {', '.join(f'`{name}`' for name in names[:shown_max])}{more}")


def _counted(count: int) -> str:
    return f"{count:,} model{'s' if count != 1 else ''}"
