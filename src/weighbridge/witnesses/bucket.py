"""A bucket as a witness, through `fsspec` (the extra `buckets`): S3, GCS, Azure and whatever else that speaks.

The one file that imports `fsspec`. An object is made, not overwritten (``mode="create"``), and read back: what a service
answered is not yet what it keeps. Object lock or versioning is the bucket's own, and worth switching on.
"""

from __future__ import annotations

from typing import Any

import fsspec

from weighbridge.errors import UsageError
from weighbridge.witnesses.interface import WitnessError, conflict, name_of, numbers_in


class BucketWitness:
    """A `Witness` under a URL such as ``s3://bucket/folder``.

    Raises:
        UsageError: on construction, where no driver speaks the URL's scheme.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            filesystem, root = fsspec.core.url_to_fs(self._url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"`{url}` cannot be a witness: {error}") from None
        self._filesystem: Any = filesystem
        self._root = str(root).rstrip("/")

    @property
    def place(self) -> str:
        """Return the URL."""
        return self._url

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the seals in the bucket, ascending."""
        try:
            self._filesystem.invalidate_cache()
            found = self._filesystem.ls(self._root, detail=False)
        except FileNotFoundError:
            return ()  # buckets have no empty folders
        except Exception as error:
            raise WitnessError(f"the witness `{self._url}` cannot be read ({error})") from error
        return numbers_in(str(name).rsplit("/", 1)[-1] for name in found)

    def read(self, number: int) -> bytes:
        """Return the checkpoint of a seal."""
        try:
            return bytes(self._filesystem.cat_file(self._path(number)))
        except Exception as error:
            raise WitnessError(f"checkpoint {number} of `{self._url}` cannot be read ({error})") from error

    def publish(self, number: int, document: bytes) -> None:
        """Make an object that is not there yet, and read it back."""
        path = self._path(number)
        try:
            if not self._filesystem.exists(path):  # not every service refuses to overwrite by itself
                self._filesystem.pipe_file(path, document, mode="create")
        except FileExistsError:
            pass  # somebody was faster; what they wrote is compared below
        except Exception as error:
            raise WitnessError(f"the witness `{self._url}` cannot be written ({error})") from error
        if self.read(number) != document:
            raise conflict(self.place, number)

    def _path(self, number: int) -> str:
        return f"{self._root}/{name_of(number)}"
