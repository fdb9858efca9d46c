"""Questions to a whole ledger, over any reader: does it verify, and give me all of it.

Each reads one moment of the store and hands the records to the pure functions of ``ledger``; nothing is decided here, and
nothing is written.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import msgspec

from weighbridge import canonical
from weighbridge.errors import NotFound, StoreError
from weighbridge.ledger import chain, export, fold
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.checkpoint import TenantHead
from weighbridge.ledger.proof import unexplained_faults
from weighbridge.ledger.spending_history import policy_hash
from weighbridge.storage.reading import LedgerReader

FAULTS_MAX = 100  # the first ones; beyond that the rest is noise
PROGRESS_RECORDS = 256

_HEX = re.compile(rb"[0-9a-f]{64}")


class Audit(msgspec.Struct, frozen=True):
    """What a check of one tenant found. ``head`` is the number and hash (hex) of the last record."""

    tenant_id: str
    records: int
    head: tuple[int, str]
    faults: tuple[Fault, ...]

    @property
    def ok(self) -> bool:
        """Return whether everything verifies."""
        return not self.faults

    @property
    def first_bad(self) -> Fault | None:
        """Return the fault at the lowest record."""
        return chain.first_bad(self.faults)

    def __str__(self) -> str:
        bad = self.first_bad
        found = f"{self.records} records verify" if bad is None else f"does not verify: {bad.message}"
        return f"tenant `{self.tenant_id}`: {found}"


class StoreAudit(msgspec.Struct, frozen=True):
    """What a check of several tenants found, one `Audit` each."""

    tenants: tuple[Audit, ...]

    @property
    def ok(self) -> bool:
        """Return whether everything verifies."""
        return all(checked.ok for checked in self.tenants)

    @property
    def records(self) -> int:
        """Return how many records were checked."""
        return sum(checked.records for checked in self.tenants)

    def __str__(self) -> str:
        return "; ".join(str(checked) for checked in self.tenants) or "no records"


def verify_store(
    reader: LedgerReader, tenant_id: str | None = None, *, progress: Callable[[int], None] | None = None
) -> StoreAudit:
    """Check one tenant of a live store, or every one (L3). See `verify_tenant`."""
    tenants = reader.tenants() if tenant_id is None else (tenant_id,)
    return StoreAudit(tuple(verify_tenant(reader, tenant, progress=progress) for tenant in tenants))


def verify_tenant(
    reader: LedgerReader,
    tenant_id: str,
    *,
    witness: tuple[int, str] | None = None,
    seen: Sequence[TenantHead] = (),
    progress: Callable[[int], None] | None = None,
) -> Audit:
    """Check one tenant of a live store: chain, head, and every row beside it (L3).

    Finds any change that does not recompute the chain, and any row that is not what the records give. A cut, restored or
    recomputed chain whose rows were made to fit shows only against a ``witness``, number and hash (hex) of a record kept
    elsewhere, or against what checkpoints ``seen`` elsewhere say of it (those of other tenants are passed over). ``progress`` is
    told how many records more were checked.
    """
    own = [head for head in seen if head.tenant_id == tenant_id]
    with reader.snapshot() as moment:
        state = fold.Fold(tenant_id)
        # Content is read in the order of its hashes: which record is the first bad one shows when all of it was read (L3).
        found = _all_faults(moment, state, witness, own, progress)
        faults = heapq.nsmallest(FAULTS_MAX, found, key=chain.bad_order)
    return Audit(tenant_id, state.head.seq, (state.head.seq, state.head.hash.hex()), tuple(faults))


def export_ledger(
    reader: LedgerReader, tenant_id: str, *, after_seq: int = 0, last_seq: int | None = None, contents: bool = False
) -> Iterator[bytes]:
    """Yield the lines of an export of what comes after record ``after_seq``, to the end or ``last_seq``, of one moment.

    Raises:
        NotFound: the tenant has no records, or no record ``after_seq``.
    """
    with reader.snapshot() as moment:
        before = moment.record(tenant_id, after_seq) if after_seq else None
        if moment.head(tenant_id).seq == 0 or (after_seq and before is None):
            raise NotFound(f"tenant `{tenant_id}` has no record {after_seq or 1}")
        yield from export.export_lines(
            tenant_id,
            (after_seq, before.hash if before else chain.genesis(tenant_id)),
            moment.records(tenant_id, after_seq + 1, last_seq),
            purpose=moment.purpose(),
            contents=moment.contents(tenant_id) if contents else (),
        )


def recorded_policy(reader: LedgerReader, tenant_id: str, version: str) -> bytes | None:
    """Return the effective policy of a version as the tenant's ledger holds it; None where it does not (any more)."""
    for seq in range(reader.head(tenant_id).seq, 0, -1):
        stored = reader.record(tenant_id, seq)
        content_hash = policy_hash(stored.body, version) if stored is not None else None
        if content_hash is not None:
            data = reader.content(tenant_id, content_hash)
            # Its version is the hash of its text: what was changed is another policy.
            return data if data is not None and canonical.sha256_hex(data) == version else None
    return None


def _all_faults(
    moment: LedgerReader,
    state: fold.Fold,
    witness: tuple[int, str] | None,
    seen: Sequence[TenantHead],
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    bad: list[
        int
    ] = []  # the records that are broken themselves, which explains why they are not those that were sealed
    for fault in _faults(moment, state, witness, progress):
        if fault.seq is not None and fault.part not in chain.FOLLOWS:
            bad.append(fault.seq)
        yield fault
    if seen:
        last = max(head.size for head in seen)
        leaves = (stored.leaf_hash for stored in moment.records(state.tenant_id, 1, last))
        with suppress(StoreError):  # what cannot be read was told above
            yield from unexplained_faults(seen, leaves, bad)


def _faults(
    moment: LedgerReader,
    state: fold.Fold,
    witness: tuple[int, str] | None,
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    try:
        yield from _chain_faults(moment, state, witness, progress)
        yield from _row_faults(moment, state)
    except StoreError as error:
        yield Fault(state.head.seq + 1, "store", f"what follows cannot be read: {error}")


def _chain_faults(
    moment: LedgerReader,
    state: fold.Fold,
    witness: tuple[int, str] | None,
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    count, witnessed = 0, witness is None
    for count, stored in enumerate(moment.records(state.tenant_id), start=1):
        fault = state.add(*stored)
        if fault is not None:
            yield fault
        if witness is not None and witness[0] == stored.seq:
            witnessed = True
            if witness[1] != stored.hash.hex():
                yield Fault(stored.seq, "witness", f"record {stored.seq} is not the one the witness saw")
        if progress is not None and count % PROGRESS_RECORDS == 0:
            progress(PROGRESS_RECORDS)
    if progress is not None:
        progress(count % PROGRESS_RECORDS)
    if witness is not None and not witnessed:
        seen = f"the witness saw record {witness[0]}"
        yield Fault(witness[0], "witness", f"{seen}, which is not in the ledger; it ends after {state.head.seq}")


def _row_faults(moment: LedgerReader, state: fold.Fold) -> Iterator[Fault]:
    tenant = state.tenant_id
    yield from fold.compare_head(state.head, moment.head(tenant))
    if state.head.seq and state.purpose != moment.purpose():
        yield Fault(1, "purpose", f"the store says `{moment.purpose()}`, record 1 says `{state.purpose}`")
    identities = (((kind, name), known) for kind, name, known in moment.identities(tenant))
    yield from fold.compare_rows("identity", state.identities, identities)
    blocks = (((point, proposal), block) for point, proposal, block in moment.blocked_proposals(tenant))
    yield from fold.compare_rows("blocked proposal", state.blocked, blocks)
    given = (((point, proposal), row) for point, proposal, row in moment.authorisations(tenant))
    yield from fold.compare_rows("retry authorisation", state.authorisations, given)
    subjects = ((subject, subject[2]) for subject in moment.subjects(tenant))
    yield from fold.compare_rows("subject", state.subjects, subjects)
    budget = (moment.counters(tenant), moment.consumption(tenant), moment.families(tenant))
    yield from fold.compare_budget(state.budget, *budget)
    key = moment.tenant_key(tenant)
    yield from fold.compare_contents(
        state, key, moment.contents(tenant), lambda hashes: _mentioned(moment, tenant, hashes)
    )


def _mentioned(moment: LedgerReader, tenant_id: str, hashes: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stored in moment.records(tenant_id):
        for content_hash in hashes.intersection(text.decode() for text in _HEX.findall(stored.body)):
            found.setdefault(content_hash, stored.seq)
    return found
