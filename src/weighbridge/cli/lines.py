"""Lines of contexts from files and standard input, plain or gzipped, and the ids of those that bring none.

Reads what is there without waiting for more, so that `tail -f log | weighbridge evaluate …` answers line by line, and holds
one chunk and one line in memory. A line that is no context is given with what is wrong with it; the rest is read on.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import uuid
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from weighbridge import canonical
from weighbridge.admission import with_exact_amounts
from weighbridge.domain.json_text import parse_strict
from weighbridge.errors import ContextError, UsageError, WeighbridgeError

STANDARD_INPUT = "-"
CHUNK_BYTES = 1 << 20
LINE_BYTES_MAX = 16 << 20  # a context is a request, not an archive; a file without line ends must not fill the memory
BATCH_LINES = 256  # lines that share a commit

_GZIP_MAGIC = b"\x1f\x8b"
_UTF8_MARK = b"\xef\xbb\xbf"
_TOO_LONG = f"is longer than {LINE_BYTES_MAX >> 20} MiB; one context stands on one line"


class Line(NamedTuple):
    """One line that is not blank: its number from 1, and its bytes or what is wrong with it."""

    number: int
    data: bytes
    error: str | None = None


class Source:
    """One file, or standard input, to be read once."""

    def __init__(self, name: str) -> None:
        """Open it.

        Raises:
            UsageError: there is no such file, or it cannot be read.
        """
        self.name = name
        self.size: int = 0
        """Bytes to read; 0 where nobody can know."""
        if name == STANDARD_INPUT:
            self._raw = cast("BinaryIO", sys.stdin.buffer)
            return
        path = Path(name)
        try:
            self._raw = path.open("rb")
            self.size = path.stat().st_size if path.is_file() else 0
        except OSError as error:
            message = (
                f"the contexts `{name}` cannot be read ({error.strerror}); give JSON lines, gzipped or not, or `-`"
            )
            raise UsageError(message) from None

    def close(self) -> None:
        """Close the file; standard input is not ours to close."""
        if self.name != STANDARD_INPUT:
            self._raw.close()

    @property
    def position(self) -> int:
        """Return how many bytes of the file have been read, compressed ones where it is compressed."""
        return self._raw.tell() if self.size else 0

    def batches(self) -> Iterator[list[Line]]:
        """Yield the lines that are not blank, in order, at most `BATCH_LINES` at a time."""
        splitter = _Splitter()
        try:
            for chunk in self._chunks():
                yield from _portions(splitter.lines(chunk))
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield [Line(splitter.number + 1, b"", "cannot be read: the compressed data is damaged from here on")]
            return
        except OSError as error:
            yield [Line(splitter.number + 1, b"", f"cannot be read: {error.strerror}")]
            return
        yield from _portions(splitter.rest())

    def _chunks(self) -> Iterator[bytes]:
        buffered = self._raw if hasattr(self._raw, "peek") else io.BufferedReader(cast("io.RawIOBase", self._raw))
        packed = buffered.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
        stream = cast("io.BufferedReader", gzip.GzipFile(fileobj=buffered) if packed else buffered)
        while chunk := stream.read1(CHUNK_BYTES):  # read1: what is there now, also from a pipe that stays open
            yield chunk


class _Splitter:
    """Cuts chunks into numbered lines, and keeps what has no end yet."""

    def __init__(self) -> None:
        self.number = 0
        self._pending = b""
        self._skipping = False

    def lines(self, chunk: bytes) -> Iterator[Line]:
        """Yield the lines that end in ``chunk``."""
        *whole, self._pending = (self._pending + chunk).split(b"\n")
        for data in whole:
            yield from self._line(data)
        if len(self._pending) > LINE_BYTES_MAX:
            if not self._skipping:
                yield Line(self.number + 1, b"", _TOO_LONG)
            self._skipping, self._pending = True, b""

    def rest(self) -> Iterator[Line]:
        """Yield the last line where no line end follows it."""
        if self._pending:
            yield from self._line(self._pending)
            self._pending = b""

    def _line(self, data: bytes) -> Iterator[Line]:
        self.number += 1
        if self._skipping:  # the end of a line that was reported when it became too long
            self._skipping = False
            return
        if self.number == 1:
            data = data.removeprefix(_UTF8_MARK)
        if len(data) > LINE_BYTES_MAX:
            yield Line(self.number, b"", _TOO_LONG)
        elif data.strip():
            yield Line(self.number, data)


def _portions(lines: Iterator[Line]) -> Iterator[list[Line]]:
    portion: list[Line] = []
    for line in lines:
        portion.append(line)
        if len(portion) == BATCH_LINES:
            yield portion
            portion = []
    if portion:
        yield portion


class Identifier:
    """Gives ids to contexts that bring none, the same ones in every run over the same lines.

    The id is made from the canonical form of the line, so that the order of keys and white space do not matter, and from
    how often that line occurred before, so that the same request made twice is two requests.
    """

    def __init__(self, salt: str = "") -> None:
        """``salt`` keeps judgements apart that must not answer for each other."""
        self._salt = salt.encode()
        self._seen: Counter[bytes] = Counter()

    def context(self, data: bytes) -> dict[str, Any]:
        """Return the context on a line, with a ``validation_run_id``, or an ``operation_id`` where it asks the budget.

        Raises:
            ContextError: the line is no JSON object, or no strict one.
            CanonicalError: it holds what has no canonical form.
        """
        document = parse_strict(data)
        if not isinstance(document, dict):
            raise ContextError("", f"is {_kind(document)}, not an object; one context stands on one line")
        if "budget" in document:
            return self._with_operation(document | {"budget": with_exact_amounts(document["budget"])})
        if document.get("validation_run_id") is None:
            document["validation_run_id"] = self._derived(document)
        return document

    def _with_operation(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a request for the budget with its operation id (B6), and the id of the run beside it, which follows from it."""
        run_id = document.get("validation_run_id")
        if document.get("operation_id") is None:
            # G3: a run id that was stated is stated for one request, so the line twice is that request twice.
            stated = run_id is not None
            document["operation_id"] = derived_id(self._digest(document), 0) if stated else self._derived(document)
        if run_id is None and "choke_point" in document:
            document["validation_run_id"] = f"{document['operation_id']}:{document['choke_point']}"
        return document

    def _derived(self, document: dict[str, Any]) -> str:
        digest = self._digest(document)
        occurrence = self._seen[digest]
        self._seen[digest] += 1
        return derived_id(digest, occurrence)

    def _digest(self, document: dict[str, Any]) -> bytes:
        return hashlib.sha256(self._salt + b"\0" + canonical.encode(document)).digest()


def identity_of(document: Mapping[str, Any]) -> Any:
    """Return the id that a context is answered under: the operation's where it asks the budget, else the run's."""
    return document["operation_id" if "budget" in document else "validation_run_id"]


def derived_id(digest: bytes, occurrence: int) -> str:
    """Return the id of the ``occurrence``-th (from 0) line with this digest: a UUIDv8 (RFC 9562, section 5.8)."""
    made = hashlib.sha256(digest + occurrence.to_bytes(8, "big")).digest()
    value = int.from_bytes(made[:16], "big") & ~(0xF << 76) | 0x8 << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def read(identifier: Identifier, line: Line) -> dict[str, Any] | WeighbridgeError:
    """Return the context on a line, or what is wrong with it."""
    if line.error is not None:
        return ContextError("", line.error)
    try:
        return identifier.context(line.data)
    except WeighbridgeError as error:
        return error


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return "a number" if type(value) in {int, float} else {None: "null", True: "true", False: "false"}[value]
