"""Archived records: what stands in a ledger for a body that was moved to a file. Pure.

An archive is an export (``ledger.export``) of records without a gap. Their rows stay, with number, leaf hash and hash, so that
the chain, the trees, every proof and every checkpoint still verify; in place of a body stands a stub that says where it is::

    {"archived": {"file": "acme-1-500.jsonl", "first_seq": 1, "last_seq": 500, "root": <hex>, "seq": 612, "sha256": <hex>}}

``root`` is the head of the tree over the leaf hashes of these records alone (RFC 6962, section 2.1), ``sha256`` that of the file
as it lies, ``seq`` the record whose `LEDGER_ARCHIVED` says the same. No record's body looks like a stub, and a stub counts for
nothing unless that event is on record: whoever checks compares the two (L3).

The event says more: which records of the range kept their bodies (``kept``), and what the ledger held when it was written
(``state``), so that much of what archived records left can be checked without the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.errors import LedgerCorrupt, RecordArchived

LEDGER_ARCHIVED = "LEDGER_ARCHIVED"
_MARK = b'{"archived":'


class Archived(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records ``first_seq`` to ``last_seq`` are in ``file``, as the event of record ``seq`` says. Hashes are hex."""

    file: str
    first_seq: int
    last_seq: int
    root: str
    seq: int
    sha256: str

    @property
    def stub(self) -> bytes:
        """Return what stands in place of a body."""
        return canonical.encode({"archived": msgspec.structs.asdict(self)})

    @property
    def place(self) -> str:
        """Return where the bodies are, for a sentence."""
        return f"`{self.file}` (sha256 {self.sha256})"

    def covers(self, seq: int) -> bool:
        """Return whether a record is one of those."""
        return self.first_seq <= seq <= self.last_seq < self.seq


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a ledger held after record ``seq``: the fields of its head, its purpose, and the families that count.

    ``digest`` (hex) is over the rows that nothing changes any more: ids, subjects, outcomes and plans that have ended, left by
    records up to ``seq`` (`weighbridge.storage.audit.rows_digest`).
    """

    seq: int
    digest: str
    purpose: str
    families: tuple[str, ...]
    last_time_ms: int | None
    policy_version: str | None
    zones: str | None


class Told(msgspec.Struct, frozen=True):
    """What a `LEDGER_ARCHIVED` says: the archive, the records of it that ``kept`` their bodies, and what the ledger held."""

    archived: Archived
    kept: frozenset[int]
    state: State


class _Stub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    archived: Archived


def is_stub(body: bytes) -> bool:
    """Return whether a stub stands in place of this body."""
    return body.startswith(_MARK)


def read_stub(body: bytes) -> Archived:
    """Return what a stub says.

    Raises:
        LedgerCorrupt: it is none that we would write.
    """
    try:
        found = msgspec.json.decode(body, type=_Stub).archived
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise LedgerCorrupt("what stands in place of a body does not say where it is") from None
    if found.stub != body:
        raise LedgerCorrupt("what stands in place of a body was changed")
    return found


def require_kept(body: bytes) -> None:
    """Refuse to go on where a body was archived.

    Raises:
        RecordArchived: it was; the message says to which file.
    """
    if is_stub(body):
        said = read_stub(body)
        raise RecordArchived(said.file, said.sha256, (said.first_seq, said.last_seq))


def of_event(seq: int, said: Mapping[str, Any]) -> Told:
    """Return what a `LEDGER_ARCHIVED` of record ``seq`` says.

    Raises:
        LedgerCorrupt: it lacks something.
    """
    names = ("file", "first_seq", "last_seq", "root", "sha256")
    try:
        archived = msgspec.convert({name: said[name] for name in names} | {"seq": seq}, Archived)
        return Told(archived, msgspec.convert(said["kept"], frozenset[int]), msgspec.convert(said["state"], State))
    except (KeyError, msgspec.ValidationError) as error:
        raise LedgerCorrupt(f"record {seq} does not say what it archived ({error})") from None


# Understood here and not at their first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(_Stub)
msgspec.json.Decoder(State)
