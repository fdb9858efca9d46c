"""A folder as a witness: a mounted disk, a share, a checkout that is pushed elsewhere.

A file appears whole or not at all, under a name that is never taken twice, and is on disk before `publish` returns: written
beside, flushed, linked to its name (which fails where the name is taken), and the folder flushed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from weighbridge.witnesses.interface import WitnessError, conflict, name_of, numbers_in

_READ_ONLY = 0o444


class DirectoryWitness:
    """A `Witness` in a folder, which must be there: a typing error makes no new witness."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    @property
    def place(self) -> str:
        """Return the folder."""
        return str(self._folder)

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the seals in the folder, ascending."""
        try:
            return numbers_in(path.name for path in self._folder.iterdir())
        except OSError as error:
            message = f"the witness `{self._folder}` cannot be read ({error.strerror}); make the folder, or mount it"
            raise WitnessError(message) from None

    def read(self, number: int) -> bytes:
        """Return the checkpoint of a seal."""
        try:
            return (self._folder / name_of(number)).read_bytes()
        except OSError as error:
            message = f"checkpoint {number} of the witness `{self._folder}` cannot be read ({error.strerror})"
            raise WitnessError(message) from None

    def publish(self, number: int, document: bytes) -> None:
        """Write a checkpoint that is not there yet, durably."""
        target = self._folder / name_of(number)
        partial = self._folder / f".{target.name}.{os.getpid()}.partial"
        try:
            try:
                self._write(partial, document)
                os.link(partial, target)  # not a rename: that would overwrite
            except FileExistsError:
                if target.read_bytes() != document:
                    raise conflict(self.place, number) from None
            finally:
                with suppress(FileNotFoundError):
                    partial.unlink()
            self._flush_folder()
        except OSError as error:
            raise WitnessError(f"the witness `{self._folder}` cannot be written ({error.strerror})") from None

    @staticmethod
    def _write(partial: Path, document: bytes) -> None:
        with suppress(FileNotFoundError):
            partial.unlink()  # what a process of this id left when it died
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _READ_ONLY)
        with os.fdopen(descriptor, "wb") as file:
            file.write(document)
            file.flush()
            os.fsync(descriptor)

    def _flush_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
