"""What every command shares: exit codes, who reads the output, and how text from outside is made safe to show.

Answers go to standard output, everything said about them (progress, summaries, errors) to standard error, so that a pipe
carries answers alone. People at a terminal get tables, programs get JSON lines; either can be asked for.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from weighbridge.errors import LedgerCorrupt, PolicyError, UsageError, WeighbridgeError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

OK = 0
FAILED = 1  # the world is bad: a store that cannot be opened or written
USAGE = 2
BAD_LINES = 3
NOT_PROVED = 4  # a ledger does not verify, a counter is not its sum, or a run judged again comes out differently
BLOCKED = 11
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE

STYLES = {"ALLOW": "green", "WARN": "yellow", "BLOCK": "bold red"}
WIDTH_PIPED = 120  # columns where no terminal says how many there are
WHOLE = frozenset({"Record", "Time (UTC)", "Event", "Id", "Verdict", "Outcome"})  # columns nobody wants in two pieces
WIDTH_WIDE = 100  # from here on ids have a column of their own

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi overrides and their like, surrogates, separators
_json = msgspec.json.Encoder()


class OutputError(WeighbridgeError):
    """Standard output takes no more; whoever reads it lacks answers that may well be on record."""


def safe(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal would obey or could not show.

    Ids, operation names and keys come from agents; none of them moves the cursor, recolours a verdict or breaks a line.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char for char in text
    )


def instant(text: str) -> str:
    """Return a recorded instant to the second, as a column of times has it."""
    return safe(text[:19].replace("T", " "))


def wants_json(stated: bool | None) -> bool:
    """Return whether to answer in JSON lines: what was asked for; where nothing was, whether nobody is watching."""
    return not sys.stdout.isatty() if stated is None else stated


def write_json(values: Iterable[Any]) -> None:
    """Write values as JSON lines to standard output, in UTF-8 whatever the locale, and let the reader have them now."""
    data = b"".join(_json.encode(value) + b"\n" for value in values)
    with writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Tell a standard output that cannot be written from every other file.

    Raises:
        OutputError: it cannot, for another reason than that its reader has gone.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(error) from None


def unwritable(error: OSError) -> OutputError:
    """Return what there is to say about a standard output that cannot be written."""
    return OutputError(f"standard output cannot be written ({error.strerror})")


def flush() -> None:
    """Let the reader have what was printed so far."""
    with writing():
        sys.stdout.flush()


def console(*, error: bool = False) -> Console:
    """Return a console on standard output or standard error."""
    from rich.console import Console

    class Screen(Console):
        """A console that lets the command line see that its reader has gone; Rich would end the process itself."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

        def print(self, *objects: Any, **options: Any) -> None:
            with contextlib.suppress(OSError) if error else writing():  # nobody could be told that nobody can be told
                if watched:
                    super().print(*objects, **options)
                    return
                with self.capture() as made:
                    super().print(*objects, **options)
                # Cells are filled up with blanks, which nobody wants in a file.
                self.file.write("".join(f"{line.rstrip(' ')}\n" for line in made.get().removesuffix("\n").split("\n")))
                self.file.flush()

    stream = sys.stderr if error else sys.stdout
    watched = stream.isatty()
    width = None if watched else WIDTH_PIPED
    return Screen(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


def table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the one style we have."""
    from rich import box
    from rich.table import Table

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in WHOLE)
    return made


def grid() -> Table:
    """Return an empty table without lines and headings."""
    from rich.table import Table

    return Table.grid(padding=(0, 2, 0, 0))


def best(width: int, layouts: Sequence[Callable[[], Table]]) -> Table:
    """Return the first layout of a table that fits, else the last, in which then everything may be broken.

    A table fits where every line of a column without wrapping is in one piece, and every word of the others. Nothing is ever
    cropped: an amount that loses digits is another amount.
    """
    for layout in layouts[:-1]:
        made = layout()
        if _width(made) <= width:
            return made
    made = layouts[-1]()
    if _width(made) <= width:
        return made
    for column in made.columns:
        column.no_wrap, column.overflow, column.min_width = False, "fold", None
    return made


def _width(made: Table) -> int:
    """Return how wide a table is at least, laid out as `table` or `grid` do it."""
    from rich.cells import cell_len

    widths = []
    for column in made.columns:
        cells = [str(cell) for cell in (column.header, *column.cells)]  # of a `Text`, what it says
        parts = (part for cell in cells for part in (cell.split("\n") if column.no_wrap else cell.split()))
        widths.append(max([column.min_width or 0, *map(cell_len, parts)]))
    between, edges = (3, 2) if made.box else (2, 0)
    return sum(widths) + between * (len(widths) - 1) + edges


@contextlib.contextmanager
def progress(total: int, unit: str, *, wanted: bool = True) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on standard error where that is a terminal, and give what to call with ``(completed, count)``.

    ``total`` is what ``completed`` runs up to, 0 where nobody knows; ``count`` of ``unit`` is shown beside it.
    """
    screen = console(error=True) if wanted and sys.stderr.isatty() else None
    if screen is None:
        yield lambda _completed, _count: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    counted = TextColumn("{task.fields[count]:,} " + unit)
    # Standard output stays as it is: it may be a pipe that wants the answers as they are.
    bar = Progress(
        BarColumn(), TaskProgressColumn(), counted, TimeRemainingColumn(),
        console=screen, transient=True, redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    task = bar.add_task("", total=total or None, count=0)
    with bar:
        yield lambda completed, count: bar.update(task, completed=completed, count=count)


def program() -> str:
    """Return what to type for `weighbridge` here: commands that are printed work as printed, also outside an environment."""
    if shutil.which("weighbridge"):
        return "weighbridge"
    started = sys.argv[0]
    if Path(started).name == "weighbridge":
        return shlex.quote(started)
    return f"{shlex.quote(sys.executable)} -m weighbridge.cli"


def note(message: str) -> None:
    """Say something about the work to standard error, one line for each line of ``message``."""
    with contextlib.suppress(OSError):  # nobody could be told that nobody can be told
        for line in message.splitlines():
            print(safe(line), file=sys.stderr)


def exit_code(error: WeighbridgeError) -> int:
    """Return the exit code that an error ends a command with."""
    if isinstance(error, LedgerCorrupt):
        return NOT_PROVED
    return USAGE if isinstance(error, UsageError) else FAILED


def report(error: WeighbridgeError) -> int:
    """Say what is wrong on standard error and return the exit code."""
    if isinstance(error, PolicyError):
        count = len(error.problems)
        note(f"error: the policy has {count} mistake{'s' if count != 1 else ''}; nothing was judged")
        note("\n".join(f"  {error.source}:{problem}" for problem in error.problems))
    else:
        note(f"error: {error}")
    return exit_code(error)


def leave_pipe() -> None:
    """Point standard output at nothing where it takes no more, so that the interpreter ends without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
