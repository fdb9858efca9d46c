"""The port of a witness: a place outside the store that keeps every checkpoint under its number, and never another one.

A witness is worth as much as it is out of reach: of whoever can write the store, and of our own mistakes. So nothing here
changes or removes what was published, and publishing the same document again is no mistake: a sealer that died does it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Protocol

from weighbridge.errors import LedgerCorrupt, WeighbridgeError
from weighbridge.ledger.merkle import Proof

SUFFIX = ".checkpoint"
_NAME = re.compile(r"(\d{16})\.checkpoint", re.ASCII)


class WitnessError(WeighbridgeError):
    """A witness cannot be reached, read or written; whether it took what was published is unknown until it is read."""


class WitnessConflict(LedgerCorrupt):
    """A witness holds another checkpoint under the number: the log forked."""


class Witness(Protocol):
    """Keeps checkpoints. ``place`` is what a person would call it by."""

    @property
    def place(self) -> str:
        """Return where it is."""

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the seals it holds, ascending.

        Raises:
            WitnessError: it cannot be read.
        """

    def read(self, number: int) -> bytes:
        """Return the checkpoint of a seal.

        Raises:
            WitnessError: it cannot be read, or holds none of that number.
        """

    def publish(self, number: int, document: bytes) -> None:
        """Keep a checkpoint; on return it is durable. The same one again changes nothing.

        Raises:
            WitnessConflict: another one is there under this number; it stays.
            WitnessError: it could not be written, or may have been.
        """


class Cosigner(Protocol):
    """Cosigns the heads of logs, each only if it continues the last one that it cosigned. ``place`` is what to call it by."""

    @property
    def place(self) -> str:
        """Return where it is."""

    def cosign(self, note: str, size: int, proof_from: Callable[[int], Proof]) -> str:
        """Return the lines to add to the note of a log's head. ``proof_from`` proves growth from a size to this one.

        Raises:
            WitnessConflict: it cosigned a larger head, or another one of this size: the log was put back, or forked.
            WitnessError: it cannot be asked, or does not answer with its cosignature.
        """


def name_of(number: int) -> str:
    """Return the name of the file that holds a checkpoint; names sort as the seals do."""
    return f"{number:016d}{SUFFIX}"


def numbers_in(names: Iterable[str]) -> tuple[int, ...]:
    """Return the numbers of those names that are of checkpoints, ascending."""
    return tuple(sorted(int(found[1]) for found in map(_NAME.fullmatch, names) if found))


def conflict(place: str, number: int) -> WitnessConflict:
    """Return what to raise where another checkpoint is there."""
    return WitnessConflict(
        f"`{place}` holds another checkpoint {number}: two logs were sealed under one name; find out which is true before "
        "you seal again"
    )
