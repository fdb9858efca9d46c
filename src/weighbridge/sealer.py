"""The sealer: signs where every tenant's ledger stands, and publishes it where whoever could rewrite the store cannot reach.

One seal continues the last one that a witness holds; the sealer keeps nothing of its own, so there is nothing to lose. It
seals only what verifies: every record is linked to the one before it, and every ledger begins, hash by hash, with what was
sealed last. A store that is behind or different from that (an old copy put back, a tail cut, a chain computed anew) is
refused with :class:`SealRefused`, because a seal over it would make it look right (L3).

A sealer that dies between two witnesses leaves one of them ahead; the next one brings the others up before it seals. One that
dies before any witness took the seal has sealed nothing. Two at a time would fork the log: whoever calls this holds the store's
advisory lock (``storage.locking``), and a witness never overwrites.

What it cannot see: that every witness was put back together with the store. Two witnesses in two hands are the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from weighbridge.domain.instant import format_instant
from weighbridge.errors import LedgerCorrupt, UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.checkpoint import Checkpoint, TenantHead, open_checkpoint, seal_ledgers
from weighbridge.ledger.merkle import Frontier
from weighbridge.ledger.note import SignatureCheck, Signer, VerifierKey
from weighbridge.storage.reading import LedgerReader
from weighbridge.witnesses.interface import Witness, WitnessConflict

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
    ) -> None:
        if not witnesses:
            raise UsageError("name at least one witness; a seal that stays with the store proves nothing")
        self._reader, self._witnesses = reader, tuple(witnesses)
        self._signers, self._keys, self._check, self._clock_ms = tuple(signers), tuple(keys), check, clock_ms
        self._ledgers: dict[str, Standing] = {}
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
            NoteError, CheckpointError: the last checkpoint is not of this log, or is damaged.
        """
        self._log = None
        number, document = self._last()
        self._require_intent(number, begin=begin)
        if number == 0:
            self._ledgers, self._log = {}, Frontier()
            return None
        checkpoint, opened = open_checkpoint(document.splitlines(keepends=True), self._keys, self._check)
        if opened.seal.number != number:
            raise WitnessConflict(f"the checkpoint under number {number} is seal {opened.seal.number}; it was renamed")
        if opened.origin != self._signers[0].key.name:
            raise UsageError(
                f"the last seal is of `{opened.origin}`; the keys here sign as `{self._signers[0].key.name}`"
            )
        self._catch_up(number)
        with self._reader.snapshot() as moment:
            self._ledgers = {head.tenant_id: self._as_sealed(moment, head) for head in checkpoint.heads}
        self._log = opened.log
        return checkpoint

    def pending(self) -> int:
        """Return how many records no seal covers yet."""
        sealed = sum(standing.tree.size for standing in self._ledgers.values())
        return sum(self._reader.head(tenant).seq for tenant in self._reader.tenants()) - sealed

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
            tenants = sorted({*self._ledgers, *moment.tenants()})
            now = {tenant: self._grown(moment, tenant) for tenant in tenants}
        ledgers = {tenant: standing for tenant, standing in now.items() if standing.tree.size}
        if log.size and ledgers == self._ledgers:
            self._log = log
            return None
        trees = {tenant: standing.tree for tenant, standing in ledgers.items()}
        sealed_at = format_instant(self._clock_ms())
        checkpoint = seal_ledgers(trees, log, sealed_at=sealed_at, signers=self._signers)
        document = b"".join(checkpoint.lines())
        for witness in self._witnesses:
            witness.publish(checkpoint.signed.seal.number, document)
        self._ledgers, self._log = ledgers, checkpoint.signed.log
        return checkpoint

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
            for witness in (*having[1:], *lacking):
                witness.publish(wanted, document)

    def _as_sealed(self, moment: LedgerReader, head: TenantHead) -> Standing:
        """Return where a ledger stood when it was sealed, computed from the store."""
        standing = self._extended(
            moment, head.tenant_id, Standing(Frontier(), chain.genesis(head.tenant_id)), head.size
        )
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
        return standing

    def _grown(self, moment: LedgerReader, tenant_id: str) -> Standing:
        """Return where a ledger stands now, which must begin with where it stood."""
        before = self._ledgers.get(tenant_id, Standing(Frontier(), chain.genesis(tenant_id)))
        size, head = before.tree.size, moment.head(tenant_id)
        if (head.seq, head.hash) == (size, before.hash):
            return before
        last = moment.record(tenant_id, size) if size else None
        if head.seq < size or (size and (last is None or last.hash != before.hash)):
            raise SealRefused(
                f"not sealed: tenant `{tenant_id}` no longer has the record {size} that was sealed last; the store was put "
                "back, cut or rewritten while it was sealed"
            )
        return self._extended(moment, tenant_id, before, head.seq)

    @staticmethod
    def _extended(moment: LedgerReader, tenant_id: str, standing: Standing, last_seq: int) -> Standing:
        """Return ``standing`` with the records after it up to ``last_seq``, each linked to the one before."""
        previous, leaves = (standing.tree.size, standing.hash), []
        for stored in moment.records(tenant_id, previous[0] + 1, last_seq):
            fault = chain.check_link(previous, stored.seq, stored.leaf_hash, stored.hash, stored.body)
            if fault is not None:
                raise SealRefused(f"not sealed: tenant `{tenant_id}` does not verify: {fault.message}")
            previous = (stored.seq, stored.hash)
            leaves.append(stored.leaf_hash)
        return Standing(standing.tree.extended(leaves), previous[1])


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
