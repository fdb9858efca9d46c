"""Files in a zip whose bytes follow from names and contents alone: no clock, no compression, no machine in it.

That makes a bundle comparable by its hash, and lets whoever checks one find a change in any byte, those of the container
included: the parcel is written again and compared (`first_difference`).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that the format can say
_UNIX, _MODE = 3, 0o100644 << 16
_CHUNK = 1 << 16


class Parcel:
    """Writes files one after the other through ``write``, which need not seek. ``digests`` are their SHA-256 in hex by name."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.digests: dict[str, str] = {}
        self._zip = zipfile.ZipFile(cast("BinaryIO", _Forward(write)), "w", zipfile.ZIP_STORED, allowZip64=True)

    @contextmanager
    def file(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Give what to write the next file with."""
        info = zipfile.ZipInfo(name, _EPOCH)
        info.create_system, info.external_attr = _UNIX, _MODE
        digest = hashlib.sha256()
        with self._zip.open(info, "w", force_zip64=True) as opened:

            def write(data: bytes) -> None:
                digest.update(data)
                opened.write(data)

            yield write
        self.digests[name] = digest.hexdigest()

    def close(self) -> None:
        """Write what ends the container."""
        self._zip.close()


def first_difference(file: BinaryIO, found: zipfile.ZipFile) -> int | None:
    """Return where ``file`` differs from the parcel of the files that were ``found`` in it, in bytes; None where it does not.

    ``file`` is opened apart from ``found``, which reads from places of its own.

    Raises:
        zipfile.BadZipFile: a file in it cannot be read.
    """
    expected = _Compare(file)
    parcel = Parcel(expected.write)
    for info in found.infolist():
        with found.open(info) as source, parcel.file(info.filename) as write:
            while data := source.read(_CHUNK):
                write(data)
    parcel.close()
    return expected.end()


class _Forward(io.RawIOBase):
    """A stream that cannot seek, so that sizes are written after what they are of."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._write(bytes(data))
        return len(data)


class _Compare:
    def __init__(self, file: BinaryIO) -> None:
        self._file, self._at = file, 0
        self._different: int | None = None
        file.seek(0)

    def write(self, data: bytes) -> None:
        if self._different is not None:
            return
        there = self._file.read(len(data))
        if there != data:
            same = next(
                (at for at, (one, other) in enumerate(zip(there, data, strict=False)) if one != other), len(there)
            )
            self._different = self._at + same
        self._at += len(data)

    def end(self) -> int | None:
        if self._different is None and self._file.read(1):
            self._different = self._at
        return self._different
