"""Archive files, and a ledger read together with them: in place of every stub the body that the file holds.

An archive is an export as it lies, gzipped or not. Nothing in it is believed here: a line that is none gives an empty body, and
whoever checks compares every body with its leaf hash (L3). Where each line begins is kept, 8 bytes a record.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec

from weighbridge.errors import UsageError
from weighbridge.ledger.archive import is_stub
from weighbridge.ledger.export import FORMAT, Header, RecordLine
from weighbridge.storage.reading import LedgerReader, StoredRecord

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


class ArchiveFile:
    """The bodies of one tenant's records ``first_seq`` to ``last_seq``. ``sha256`` (hex) is that of the file as it lies.

    Raises:
        UsageError: on construction, where the file cannot be read or is no export.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        try:
            with path.open("rb") as raw:
                self.sha256: str = sha256_of(raw)
                raw.seek(0)
                packed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            self._lines = cast("BinaryIO", gzip.open(path) if packed else path.open("rb"))  # noqa: SIM115 - until `close`
        except OSError as error:
            raise UsageError(f"the archive `{path}` cannot be read ({error.strerror})") from None
        self._starts = array("Q")
        header = self._header()
        self.tenant_id: str = header.tenant_id
        self.first_seq: int = header.after_seq + 1
        self.last_seq: int = header.after_seq + len(self._starts)

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def body(self, seq: int) -> bytes:
        """Return the body of a record that is in the range; empty where the line cannot be read."""
        try:
            self._lines.seek(self._starts[seq - self.first_seq])
            found = msgspec.json.decode(self._lines.readline(), type=RecordLine)
        except (msgspec.MsgspecError, UnicodeDecodeError, *_DAMAGED):
            return b""
        return found.body.encode() if found.seq == seq and not is_stub(found.body.encode()) else b""

    def _header(self) -> Header:
        first = b""
        try:
            first = self._lines.readline()
            header = msgspec.json.decode(first, type=Header)
        except (msgspec.MsgspecError, UnicodeDecodeError, *_DAMAGED):
            header = None
        if header is None or header.format != FORMAT:
            self.close()
            raise UsageError(f"`{self.path}` is no archive; give the file that `ledger archive` wrote")
        with contextlib.suppress(*_DAMAGED):  # what is missing has an empty body, which is told of every record
            self._find_lines(len(first))
        return header

    def _find_lines(self, at: int) -> None:
        for line in self._lines:
            if not line.startswith((b'{"content":', b'{"contents":')):
                self._starts.append(at)
            at += len(line)


def sha256_of(file: BinaryIO) -> str:
    """Return the SHA-256 (hex) of the rest of a file."""
    digest = hashlib.sha256()
    while data := file.read(_CHUNK):
        digest.update(data)
    return digest.hexdigest()


def restored(files: Iterable[ArchiveFile], tenant_id: str, stored: StoredRecord) -> StoredRecord:
    """Return a record with the body that a file has for it, if it was archived there; else as it is."""
    if not is_stub(stored.body):
        return stored
    for file in files:
        if file.tenant_id == tenant_id and file.first_seq <= stored.seq <= file.last_seq:
            return stored._replace(body=file.body(stored.seq))
    return stored


def with_archives(reader: LedgerReader, files: Iterable[ArchiveFile]) -> LedgerReader:
    """Return a reader that reads what was archived from the files; everything else is the reader's own."""
    return cast("LedgerReader", _WithArchives(reader, tuple(files)))


class _WithArchives:
    """Says what the reader says, but for the bodies of records."""

    def __init__(self, reader: LedgerReader, files: tuple[ArchiveFile, ...]) -> None:
        self._reader, self._files = reader, files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        with self._reader.snapshot() as moment:
            yield with_archives(moment, self._files)

    def records(self, tenant_id: str, first_seq: int = 1, last_seq: int | None = None) -> Iterator[StoredRecord]:
        found = self._reader.records(tenant_id, first_seq, last_seq)
        return (restored(self._files, tenant_id, stored) for stored in found)

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        stored = self._reader.record(tenant_id, seq)
        return stored if stored is None else restored(self._files, tenant_id, stored)
