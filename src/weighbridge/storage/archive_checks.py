"""Whether stubs, events, leaf hashes and files say the same of what was archived (L3).

A stub counts only as an event says it, an event only for bodies that are gone, and what it says was kept must be there. That the
event was written by whoever may archive, no check of records can show: in PostgreSQL the database lets nobody but the owner
write it (`require_next` in `0001_ledger.sql`); a file has no owner besides the one who can write it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress

from weighbridge.errors import StoreError
from weighbridge.ledger.archive import Told, is_stub
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.merkle import tree_head
from weighbridge.storage.archives import ArchiveFile
from weighbridge.storage.reading import LedgerReader, StoredRecord


class Stubs:
    """Where stubs stand, whether a file has their bodies or not: in runs, and each text with the first record it stands for."""

    def __init__(self) -> None:
        self.texts: dict[bytes, int] = {}
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def note(self, stored: StoredRecord) -> StoredRecord:
        """Take in the next record as it lies in the store, and return it."""
        if not is_stub(stored.body):
            return stored
        self.texts.setdefault(stored.body, stored.seq)
        if self._lasts and self._lasts[-1] == stored.seq - 1:
            self._lasts[-1] = stored.seq
        else:
            self._firsts.append(stored.seq)
            self._lasts.append(stored.seq)
        return stored

    def __contains__(self, seq: int) -> bool:
        run = bisect_right(self._firsts, seq) - 1
        return run >= 0 and seq <= self._lasts[run]

    def between(self, first: int, last: int) -> int:
        """Return how many stand in a range."""
        runs = zip(self._firsts, self._lasts, strict=True)
        return sum(max(0, min(last, end) - max(first, begin) + 1) for begin, end in runs)


def archive_faults(
    moment: LedgerReader,
    tenant_id: str,
    told: Sequence[Told],
    stubs: Stubs,
    *,
    files: Sequence[ArchiveFile] = (),
    bad: Sequence[int] = (),
) -> Iterator[Fault]:
    """Yield what does not fit. ``bad`` are records that are broken themselves, which explains a root that does not match."""
    known = {one.archived.stub for one in told}
    for stub, seq in stubs.texts.items():
        if stub not in known:
            message = f"the body of record {seq} is gone, and no record says that it was archived like that"
            yield Fault(seq, "archive", message)
    before = 0
    for one in told:
        yield from _range_faults(one, before)
        before = one.archived.last_seq
        yield from _kept_faults(one, stubs)
        yield from _root_faults(moment, tenant_id, one, bad)
    for file in files:
        yield from _file_faults(file, told)


def _range_faults(told: Told, before: int) -> Iterator[Fault]:
    """L3: archives follow each other from record 1 on, and what tells of one lies after it."""
    archived = told.archived
    span = f"records {archived.first_seq} to {archived.last_seq}"
    follows = archived.first_seq == before + 1 and archived.covers(archived.last_seq)
    if not follows or not archived.last_seq <= told.state.seq < archived.seq:
        yield Fault(archived.seq, "archive", f"record {archived.seq} says that {span} were archived, which cannot be")


def _kept_faults(told: Told, stubs: Stubs) -> Iterator[Fault]:
    archived = told.archived
    kept = sorted(seq for seq in told.kept if archived.covers(seq))
    for seq in kept:
        if seq in stubs:
            yield Fault(
                seq, "archive", f"the body of record {seq} is gone, and record {archived.seq} says that it stayed"
            )
    if len(kept) != len(told.kept):
        yield Fault(archived.seq, "archive", f"record {archived.seq} says that bodies stayed which it did not archive")
    many = archived.last_seq - archived.first_seq + 1
    if many == len(kept):
        message = f"record {archived.seq} says that records were archived, and that every body of them stayed"
        yield Fault(archived.seq, "archive", message)
    if many > 0 and stubs.between(archived.first_seq, archived.last_seq) < many - len(kept):
        span = range(archived.first_seq, archived.last_seq + 1)
        seq = next(seq for seq in span if seq not in told.kept and seq not in stubs)
        message = f"record {archived.seq} says that the body of record {seq} was archived, and it was not"
        yield Fault(seq, "archive", message)


def _root_faults(moment: LedgerReader, tenant_id: str, told: Told, bad: Sequence[int]) -> Iterator[Fault]:
    archived = told.archived
    if any(archived.first_seq <= seq <= archived.last_seq for seq in bad):
        return
    with suppress(StoreError):  # what cannot be read was told before
        leaves = (stored.leaf_hash for stored in moment.records(tenant_id, archived.first_seq, archived.last_seq))
        if tree_head(leaves).hex() != archived.root:
            span = f"records {archived.first_seq} to {archived.last_seq}"
            yield Fault(archived.first_seq, "archive", f"{span} are not those that record {archived.seq} archived")


def _file_faults(file: ArchiveFile, told: Sequence[Told]) -> Iterator[Fault]:
    own = [one.archived for one in told if one.archived.first_seq == file.first_seq]
    if not own:
        yield Fault(
            None, "archive", f"`{file.path}` begins with record {file.first_seq}, where no archive on record does"
        )
    elif own[0].sha256 != file.sha256:
        message = f"`{file.path}` is not the file that record {own[0].seq} names: its sha256 is {file.sha256}"
        yield Fault(None, "archive", message)
