"""The sealer: signs where every tenant's ledger stands, and publishes it where whoever could rewrite the store cannot reach.

One seal continues the last one that a witness holds; the sealer keeps nothing of its own, so there is nothing to lose. It
seals only what verifies: every record is linked to the one before it, and every ledger begins, hash by hash, with what was
sealed last. A store that is behind or different from that (an old copy put back, a tail cut, a chain computed anew) is
refused with :class:`SealRefused`, because a seal over it would make it look right (L3).

A sealer that dies between two witnesses leaves one of them ahead; the next one brings the others up before it seals. One that
dies before any witness took the seal has sealed nothing. Two at a time would fork the log: whoever calls this holds the store's
advisory lock (``storage.locking``), which is asked after right before publishing, and a witness never overwrites.

What it keeps between two seals is, for each ledger, the peaks of its tree and the hash of its last record. So it
reads the heads of all ledgers at once, and of those that grew what is new, and nothing twice: the hash of the last record commits
to all before it. Whoever asks in between what is pending has it read by then, and the seal itself has little left to do.

What it cannot see: that every witness was put back together with the store. Two witnesses in two hands are the answer, or a
cosigner, which keeps nothing but refuses whatever does not continue what it saw last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from weighbridge.domain.instant import format_instant
from weighbridge.errors import LedgerCorrupt, UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.archive import is_stub
from weighbridge.ledger.checkpoint import Checkpoint, TenantHead, leaf_of, open_checkpoint, seal_ledgers
from weighbridge.ledger.merkle import Frontier, consistency_proof
from weighbridge.ledger.note import SignatureCheck, Signer, VerifierKey
from weighbridge.ledger.submission import Head
from weighbridge.storage.locking import StillHeld
from weighbridge.storage.reading import LedgerReader, Span, StoredRecord
from weighbridge.witnesses.interface import Cosigner, Witness, WitnessConflict

PAUSE_S = 1.0  # between two looks at the store


class SealRefused(LedgerCorrupt):
    """The store is not the one that was sealed last, or does not verify; nothing was published."""


class Standing(NamedTuple):
    """Where a ledger stands: its tree, and the hash of its last record, which commits to all before it."""

    tree: Frontier
    hash: bytes


class Pace(msgspec.Struct, frozen=True):
    """When the next seal is due: so many seconds after the last one, or so many records, whichever comes first.

    Raises:
        UsageError: on construction, where it is neither, or one of them is not above 0.
    """

    seconds: float | None = None
    records: int | None = None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.seconds, self.records) if limit is not None]
        if not given or min(given) <= 0:
            raise UsageError("say after how many seconds or records to seal again, more than 0")

    def due(self, pending: int, since_s: float) -> bool:
        """Return whether to seal: never where nothing is new."""
        if not pending:
            return False
        late = self.seconds is not None and since_s >= self.seconds
        return late or (self.records is not None and pending >= self.records)


class Sealer:
    """Seals one store to its witnesses. Not safe to share between threads; hold the store's lock while you have it.

    ``keys`` are all public keys that ever signed this log, the retired ones included; ``signers`` those that sign now.
    ``still_alone`` raises where the store's lock was lost. ``cosigners`` cosign every seal once it is published, and ``cosigned``
    is told its number and the note with all their signatures. One that could not be asked is asked again by the next sealer,
    and one that saw a later seal refuses: then nothing is sealed on.
    """

    def __init__(
        self,
        reader: LedgerReader,
        witnesses: Sequence[Witness],
        *,
        signers: Sequence[Signer],
        keys: Sequence[VerifierKey],
        check: SignatureCheck,
        clock_ms: Callable[[], int],
        still_alone: StillHeld = lambda: None,
        cosigners: Sequence[Cosigner] = (),
        cosigned: Callable[[int, str], None] = lambda _number, _note: None,
    ) -> None:
        if not witnesses:
            raise UsageError("name at least one witness; a seal that stays with the store proves nothing")
        self._reader, self._witnesses = reader, tuple(witnesses)
        self._signers, self._keys, self._check, self._clock_ms = tuple(signers), tuple(keys), check, clock_ms
        self._still_alone, self._cosigners, self._cosigned = still_alone, tuple(cosigners), cosigned
        self._seals: list[bytes] = []  # the leaves of the log, read where a cosigner is to be shown its growth
        self._ledgers: dict[str, Standing] = {}  # as they were sealed
        self._read: dict[str, Standing] = {}  # as far as they were read and verified since
        self._log: Frontier | None = None  # None: the witnesses must be read before anything is sealed

    def resume(self, *, begin: bool = False) -> Checkpoint | None:
        """Read the last seal from the witnesses, bring those up that are behind, and check the store against it.

        Returns the checkpoint; None where there is none yet, which is accepted only with ``begin``: a witness that was emptied
        or mistyped looks the same as a new one.

        Raises:
            UsageError: no witness holds a seal, or ``begin`` where one does.
            SealRefused: the store is behind or different from the last seal.
            WitnessConflict: the witnesses disagree.
            WitnessError: one cannot be reached.
            LockLost: another process may be sealing.
            NoteError, CheckpointError: the last checkpoint is not of this log, or is damaged.
        """
        self._log = None
        number, document = self._last()
        self._require_intent(number, begin=begin)
        if number == 0:
            self._ledgers, self._read, self._log, self._seals = {}, {}, Frontier(), []
            return None
        checkpoint, opened = open_checkpoint(document.splitlines(keepends=True), self._keys, self._check)
        if opened.seal.number != number:
            raise WitnessConflict(f"the checkpoint under number {number} is seal {opened.seal.number}; it was renamed")
        if opened.origin != self._signers[0].key.name:
            raise UsageError(
                f"the last seal is of `{opened.origin}`; the keys here sign as `{self._signers[0].key.name}`"
            )
        self._catch_up(number)
        self._seals = [leaf_of(self._witnesses[0].read(each)) for each in range(1, number)] if self._cosigners else []
        self._cosign(checkpoint)
        with self._reader.snapshot() as moment:
            self._ledgers = self._read = _as_sealed(moment, checkpoint.heads)
        self._log = opened.log
        return checkpoint

    def pending(self) -> int:
        """Read what is new, and return how many records no seal covers yet.

        Raises:
            SealRefused: what was read or sealed before is not there any more, or what is new does not verify.
        """
        with self._reader.snapshot() as moment:
            self._read = _grown(moment, self._read)
        return _records(self._read) - _records(self._ledgers)

    def seal(self) -> Checkpoint | None:
        """Seal what is there now and publish it to every witness; None where nothing is new since the last seal.

        After an error the witnesses are read again before the next seal, because one of them may have taken this one.

        Raises:
            As `resume`.
        """
        if self._log is None:
            self.resume()
        log, self._log = self._log or Frontier(), None
        with self._reader.snapshot() as moment:
            ledgers = self._read = _grown(moment, self._read)
        if log.size and ledgers == self._ledgers:
            self._log = log
            return None
        trees = {tenant: standing.tree for tenant, standing in ledgers.items()}
        sealed_at = format_instant(self._clock_ms())
        checkpoint = seal_ledgers(trees, log, sealed_at=sealed_at, signers=self._signers)
        document = b"".join(checkpoint.lines())
        self._still_alone()
        for witness in self._witnesses:
            witness.publish(checkpoint.signed.seal.number, document)
        self._cosign(checkpoint)
        self._ledgers, self._log = ledgers, checkpoint.signed.log
        return checkpoint

    def _cosign(self, checkpoint: Checkpoint) -> None:
        """Have the last published seal cosigned; again where it was already, which changes nothing."""
        if not self._cosigners:
            return
        note, number = checkpoint.signed.note, checkpoint.signed.seal.number
        self._seals.append(checkpoint.signed.seal.leaf)
        lines = [cosigner.cosign(note, number, partial(consistency_proof, self._seals)) for cosigner in self._cosigners]
        self._cosigned(number, note + "".join(lines))

    def _last(self) -> tuple[int, bytes]:
        """Return number and document of the newest seal that any witness holds; 0 where none holds any."""
        held = [(max(witness.numbers(), default=0), witness) for witness in self._witnesses]
        number, witness = max(held, key=lambda each: each[0])
        return number, witness.read(number) if number else b""

    def _require_intent(self, number: int, *, begin: bool) -> None:
        places = ", ".join(f"`{witness.place}`" for witness in self._witnesses)
        if number == 0 and not begin:
            raise UsageError(
                f"no seal is at {places}; if this is a new log say so (--begin), else find where its checkpoints are"
            )
        if number and begin:
            raise UsageError(f"seal {number} is at {places} already; a log begins once")

    def _catch_up(self, number: int) -> None:
        """Copy to every witness what another one holds and it lacks, and require that they agree."""
        held = [frozenset(witness.numbers()) for witness in self._witnesses]
        for wanted in sorted(frozenset().union(*held)):
            having = [witness for witness, numbers in zip(self._witnesses, held, strict=True) if wanted in numbers]
            lacking = [witness for witness, numbers in zip(self._witnesses, held, strict=True) if wanted not in numbers]
            if not lacking and wanted != number:
                continue  # a seal contains all before it: who agrees on the last agrees on those
            document = having[0].read(wanted)
            self._still_alone()
            for witness in (*having[1:], *lacking):
                witness.publish(wanted, document)


def _as_sealed(moment: LedgerReader, heads: Sequence[TenantHead]) -> dict[str, Standing]:
    """Return where ledgers stood when they were sealed, computed from the store."""
    found = _extended(moment, {head.tenant_id: (1, head.size) for head in heads}, {})
    for head in heads:
        standing = found.setdefault(head.tenant_id, _beginning(head.tenant_id))
        size = standing.tree.size
        if size < head.size:
            raise SealRefused(
                f"not sealed: tenant `{head.tenant_id}` ends after record {size}, the last seal saw {head.size}; the store is "
                "an old copy, or was cut"
            )
        if standing.tree.root.hex() != head.root:
            raise SealRefused(
                f"not sealed: the first {size} records of tenant `{head.tenant_id}` are not those of the last seal; the chain "
                "was computed anew, or this is another store"
            )
    return found


def _grown(moment: LedgerReader, before: Mapping[str, Standing]) -> dict[str, Standing]:
    """Return where ledgers stand now, each of which must begin with where it stood ``before``."""
    heads, now = moment.heads(), dict(before)
    grew: dict[str, Span] = {}
    for tenant_id in sorted({*before, *heads}):
        standing, head = before.get(tenant_id), heads.get(tenant_id)
        size, hash_ = (0, b"") if standing is None else (standing.tree.size, standing.hash)
        if head is not None and head.seq > size:
            grew[tenant_id] = (size + 1, head.seq)
        elif size and (head is None or (head.seq, head.hash) != (size, hash_)):
            raise _put_back(tenant_id, size)
    now.update(_extended(moment, grew, before))
    for tenant_id in grew:
        _require_head(tenant_id, now.get(tenant_id), heads[tenant_id])
    return now


def _extended(moment: LedgerReader, spans: Mapping[str, Span], before: Mapping[str, Standing]) -> dict[str, Standing]:
    """Return where ledgers stand after the records in ``spans``, each linked to the one before it."""
    found: dict[str, Standing] = {}
    for tenant_id, records in moment.records_of(spans):
        standing = found.get(tenant_id) or before.get(tenant_id) or _beginning(tenant_id)
        found[tenant_id] = _linked(tenant_id, standing, records)
    return found


def _linked(tenant_id: str, standing: Standing, records: Sequence[StoredRecord]) -> Standing:
    """Return where a ledger stands after these records."""
    size = seq = standing.tree.size
    hash_, leaves = standing.hash, []
    for stored in records:
        body = None if is_stub(stored.body) else stored.body  # of what was archived, the leaf hash is sealed
        fault = chain.check_link((seq, hash_), stored.seq, stored.leaf_hash, stored.hash, body)
        if fault is not None:
            if size and stored.seq == size + 1 and body is not None and chain.leaf_hash(body) == stored.leaf_hash:
                raise _put_back(tenant_id, size)
            raise SealRefused(f"not sealed: tenant `{tenant_id}` does not verify: {fault.message}")
        seq, leaf, hash_, _ = stored
        leaves.append(leaf)
    return Standing(standing.tree.extended(leaves), hash_)


def _require_head(tenant_id: str, standing: Standing | None, head: Head) -> None:
    """Require that the records lead to where the store says that the ledger ends."""
    size, hash_ = (0, b"") if standing is None else (standing.tree.size, standing.hash)
    if (size, hash_) != (head.seq, head.hash):
        raise SealRefused(
            f"not sealed: tenant `{tenant_id}` does not verify: its head says that it ends with record {head.seq}, its records "
            f"end with {size}" + (" and another hash" if size == head.seq else "")
        )


def _records(ledgers: Mapping[str, Standing]) -> int:
    return sum(standing.tree.size for standing in ledgers.values())


def _beginning(tenant_id: str) -> Standing:
    return Standing(Frontier(), chain.genesis(tenant_id))


def _put_back(tenant_id: str, size: int) -> SealRefused:
    return SealRefused(
        f"not sealed: tenant `{tenant_id}` no longer has the record {size} that was read last; the store was put "
        "back, cut or rewritten while it was sealed"
    )


def keep_sealing(
    sealer: Sealer,
    pace: Pace,
    *,
    monotonic_s: Callable[[], float],
    sleep: Callable[[float], None],
    told: Callable[[Checkpoint], None],
    going_on: Callable[[], bool] = lambda: True,
) -> None:
    """Seal whenever ``pace`` says so, until ``going_on`` does not, and tell of every checkpoint.

    Raises:
        As `Sealer.seal`: whoever runs this starts it again, and must be told.
    """
    last_s = monotonic_s()
    while going_on():
        if pace.due(sealer.pending(), monotonic_s() - last_s):
            checkpoint = sealer.seal()
            last_s = monotonic_s()
            if checkpoint is not None:
                told(checkpoint)
        sleep(PAUSE_S)
