"""Questions to a whole ledger, over any reader: does it verify, and give me all of it.

Each reads one moment of the store and hands the records to the pure functions of ``ledger``; nothing is decided here, and
nothing is written.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain as links

import msgspec

from weighbridge import canonical
from weighbridge.domain.plan import PlanState
from weighbridge.errors import NotFound, StoreError
from weighbridge.ledger import chain, export, fold
from weighbridge.ledger.archive import Archived, require_kept
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.checkpoint import TenantHead
from weighbridge.ledger.outcome_fold import compare_outcomes
from weighbridge.ledger.plan_fold import compare_plans
from weighbridge.ledger.proof import unexplained_faults
from weighbridge.ledger.spending_history import policy_hash
from weighbridge.plans.lifecycle import ENDED
from weighbridge.storage.archive_checks import Stubs, archive_faults
from weighbridge.storage.archives import ArchiveFile, restored, with_archives
from weighbridge.storage.outcome_rows import outcome_rows
from weighbridge.storage.reading import VERIFY_HINT, LedgerReader, StoredRecord

FAULTS_MAX = 100  # the first ones; beyond that the rest is noise
PROGRESS_RECORDS = 256
NOT_RECOMPUTED = (
    "what those records said; counters and consumption, and whether later budget decisions follow from them; whether content "
    "that only those records name is all there, and content that no record names is theirs"
)
"""What cannot be checked while bodies are not at hand (`Audit.archived_to`); everything else is."""

_HEX = re.compile(rb"[0-9a-f]{64}")


class Audit(msgspec.Struct, frozen=True):
    """What a check of one tenant found. ``head`` is the number and hash (hex) of the last record.

    ``archives`` are what was archived. Of records up to ``archived_to`` some body was not at hand: their leaf hashes were linked,
    and `NOT_RECOMPUTED` was not.
    """

    tenant_id: str
    records: int
    head: tuple[int, str]
    faults: tuple[Fault, ...]
    archives: tuple[Archived, ...] = ()
    archived_to: int = 0

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
    names = reader.tenants()
    wanted = names if tenant_id is None else (tenant_id,)
    return StoreAudit(
        tuple(verify_tenant(reader, tenant, progress=progress, listed=tenant in names) for tenant in wanted)
    )


def verify_tenant(
    reader: LedgerReader,
    tenant_id: str,
    *,
    witness: tuple[int, str] | None = None,
    seen: Sequence[TenantHead] = (),
    progress: Callable[[int], None] | None = None,
    archives: Sequence[ArchiveFile] = (),
    listed: bool = True,
) -> Audit:
    """Check one tenant of a live store: chain, head, and every row beside it (L3).

    Finds any change that does not recompute the chain, and any row that is not what the records give. A cut, restored or
    recomputed chain whose rows were made to fit shows only against a ``witness``, number and hash (hex) of a record kept
    elsewhere, or against what checkpoints ``seen`` elsewhere say of it (those of other tenants are passed over). ``progress`` is
    told how many records more were checked. ``archives`` hold what was archived: with all of them, everything is checked.
    ``listed`` is whether the store names the tenant among its own (`LedgerReader.tenants`): one with records must be.
    """
    own = [head for head in seen if head.tenant_id == tenant_id]
    files = [file for file in archives if file.tenant_id == tenant_id]
    with reader.snapshot() as stored:
        moment, state, stubs = with_archives(stored, files), fold.Fold(tenant_id), Stubs()
        records = (restored(files, tenant_id, stubs.note(one)) for one in _read(stored, tenant_id))
        # Content is read in the order of its hashes: which record is the first bad one shows when all of it was read (L3).
        bad: list[int] = []  # the records that are broken themselves, which explains what does not fit elsewhere
        found = links(
            _all_faults(moment, state, records, witness, own, bad=bad, progress=progress),
            archive_faults(moment, tenant_id, state.archives, stubs, files=files, bad=bad),
            () if listed else _unlisted(moment, state),
        )
        faults = heapq.nsmallest(FAULTS_MAX, found, key=chain.bad_order)
    head = (state.head.seq, state.head.hash.hex())
    return Audit(
        tenant_id, state.head.seq, head, tuple(faults), tuple(one.archived for one in state.archives), state.archived_to
    )


def export_ledger(
    reader: LedgerReader, tenant_id: str, *, after_seq: int = 0, last_seq: int | None = None, contents: bool = False
) -> Iterator[bytes]:
    """Yield the lines of an export of what comes after record ``after_seq``, to the end or ``last_seq``, of one moment.

    Raises:
        NotFound: the tenant has no records, or no record ``after_seq``.
        RecordArchived: some of them were archived.
    """
    with reader.snapshot() as moment:
        before = moment.record(tenant_id, after_seq) if after_seq else None
        if moment.head(tenant_id).seq == 0 or (after_seq and before is None):
            raise NotFound(f"tenant `{tenant_id}` has no record {after_seq or 1}")
        yield from export.export_lines(
            tenant_id,
            (after_seq, before.hash if before else chain.genesis(tenant_id)),
            _kept(moment.records(tenant_id, after_seq + 1, last_seq)),
            purpose=moment.purpose(),
            contents=moment.contents(tenant_id) if contents else (),
        )


def _kept(records: Iterable[StoredRecord]) -> Iterator[StoredRecord]:
    for stored in records:
        require_kept(stored.body)
        yield stored


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


def _unlisted(moment: LedgerReader, state: fold.Fold) -> Iterator[Fault]:
    with suppress(StoreError):  # what cannot be read was told above
        known = state.head.seq or moment.head(state.tenant_id).seq
        if known and state.tenant_id not in moment.tenants():  # asked again: it may have begun meanwhile
            message = (
                f"the store does not name tenant `{state.tenant_id}` any more: whoever asks for every tenant misses it"
            )
            yield Fault(None, "tenant", message)


def _all_faults(
    moment: LedgerReader,
    state: fold.Fold,
    records: Iterator[StoredRecord],
    witness: tuple[int, str] | None,
    seen: Sequence[TenantHead],
    *,
    bad: list[int],
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    for fault in _faults(moment, state, records, witness, progress):
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
    records: Iterator[StoredRecord],
    witness: tuple[int, str] | None,
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    try:
        yield from _chain_faults(state, records, witness, progress)
    except StoreError as error:
        yield Fault(state.head.seq + 1, "store", f"what follows cannot be read: {_reason(error)}")
        return
    for check in _row_checks(moment, state):
        try:
            yield from check
        except StoreError as error:  # the other tables are looked at all the same
            yield Fault(
                None, "store", f"a row cannot be read, and what comes after it in its table was not: {_reason(error)}"
            )


def _read(moment: LedgerReader, tenant_id: str) -> Iterator[StoredRecord]:
    yield from moment.records(tenant_id)  # only when asked for the first, because it may raise


def _reason(error: StoreError) -> str:
    return str(error).removesuffix(VERIFY_HINT)  # which is what is being done


def _chain_faults(
    state: fold.Fold,
    records: Iterator[StoredRecord],
    witness: tuple[int, str] | None,
    progress: Callable[[int], None] | None,
) -> Iterator[Fault]:
    count, witnessed = 0, witness is None
    for count, stored in enumerate(records, start=1):
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


def _row_checks(moment: LedgerReader, state: fold.Fold) -> Iterator[Iterator[Fault]]:
    """Yield what compares each table with what the records give. Nothing is read before its faults are asked for."""
    tenant = state.tenant_id
    since = state.archived_to
    state.complete()
    if since and state.archives:
        yield _digest_faults(moment, state)  # before the rest, which uses up what it looks at
    yield _head_faults(moment, state)
    identities = (((kind, name), known) for kind, name, known in moment.identities(tenant))
    yield fold.compare_rows("identity", state.identities, identities, since)
    blocks = (((point, proposal), block) for point, proposal, block in moment.blocked_proposals(tenant))
    yield fold.compare_rows("blocked proposal", state.blocked, blocks)
    given = (((point, proposal), row) for point, proposal, row in moment.authorisations(tenant))
    yield fold.compare_rows("retry authorisation", state.authorisations, given)
    subjects = ((subject, subject[2]) for subject in moment.subjects(tenant))
    yield fold.compare_rows("subject", state.subjects, subjects, since)
    if since:
        yield fold.compare_families(state.families, _families(moment, tenant))
    else:
        budget = (moment.counters(tenant), moment.consumption(tenant), _families(moment, tenant))
        yield from fold.budget_checks(state.budget, *budget)
    yield compare_plans(state.plans.plans, _plans(moment, state))
    outcomes = (row for row in outcome_rows(moment, tenant) if row.seq > since)
    yield compare_outcomes(state.outcomes.outcomes, outcomes)
    yield _content_faults(moment, state)


def _plans(moment: LedgerReader, state: fold.Fold) -> Iterator[PlanState]:
    """Yield the plans whose records are here: those that had not ended keep them. Of the others there is the digest."""
    said = state.archives[-1].state.seq if state.archived_to and state.archives else 0
    known = set(state.plans.plans)
    for row in moment.plans(state.tenant_id):
        if row.plan_id in known or row.status not in ENDED or row.created_seq > state.archived_to or row.seq > said:
            yield row


def _digest_faults(moment: LedgerReader, state: fold.Fold) -> Iterator[Fault]:
    told = state.archives[-1]
    said = told.state
    since = {name for (kind, name), known in state.identities.items() if kind == "end" and known.seq > said.seq}
    if rows_digest(moment, state.tenant_id, said.seq, since) != said.digest:
        message = (
            f"the ids, subjects, outcomes and ended plans that records up to {said.seq} left are not those that record "
            f"{told.archived.seq} tells of; which of them, a check with every archive says"
        )
        yield Fault(None, "archived row", message)


def rows_digest(moment: LedgerReader, tenant_id: str, to_seq: int, ended_since: Container[str] = frozenset()) -> str:
    """Return a SHA-256 (hex) over the rows of records up to ``to_seq`` that nothing changes any more, as they were after it.

    Those are ids, subjects, outcomes and plans that have ended. Operations in ``ended_since`` had not ended then. Whatever
    is recorded later, the digest stays the same.
    """
    digest = hashlib.sha256()
    for row in _settled_rows(moment, tenant_id, to_seq, ended_since):
        digest.update(canonical.encode(row) + b"\n")
    return digest.hexdigest()


def _settled_rows(
    moment: LedgerReader, tenant_id: str, to_seq: int, ended_since: Container[str]
) -> Iterator[list[object]]:
    for kind, name, known in moment.identities(tenant_id):
        if known.seq <= to_seq:
            state = "PENDING" if kind == "op" and name in ended_since else known.state
            yield [kind, name, known.request_hash, known.seq, state]
    yield from (["subject", *subject] for subject in moment.subjects(tenant_id) if subject[2] <= to_seq)
    for outcome in outcome_rows(moment, tenant_id):
        if outcome.seq <= to_seq:
            yield ["outcome", msgspec.to_builtins(outcome)]
    for plan in moment.plans(tenant_id, ENDED):
        if plan.seq <= to_seq:
            yield ["plan", msgspec.to_builtins(plan)]


def _head_faults(moment: LedgerReader, state: fold.Fold) -> Iterator[Fault]:
    yield from fold.compare_head(state.head, moment.head(state.tenant_id))
    if state.head.seq and state.purpose is not None and state.purpose != moment.purpose():
        seq = 1 if not state.archived_to else state.archives[-1].archived.seq
        yield Fault(seq, "purpose", f"the store says `{moment.purpose()}`, record {seq} says `{state.purpose}`")


def _families(moment: LedgerReader, tenant_id: str) -> Iterator[str]:
    yield from moment.families(tenant_id)


def _content_faults(moment: LedgerReader, state: fold.Fold) -> Iterator[Fault]:
    tenant = state.tenant_id
    key, found = moment.tenant_key(tenant), moment.contents(tenant)
    yield from fold.compare_contents(state, key, found, lambda hashes: _mentioned(moment, tenant, hashes))


def _mentioned(moment: LedgerReader, tenant_id: str, hashes: set[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stored in moment.records(tenant_id):
        for content_hash in hashes.intersection(text.decode() for text in _HEX.findall(stored.body)):
            found.setdefault(content_hash, stored.seq)
    return found
