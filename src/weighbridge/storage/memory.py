"""The store in memory: the reference every other store is compared with. Real, shipped, and gone when the process is.

Same kernel, same bytes, same refusals as any store; one lock instead of transactions. For tests, demonstrations and
evaluation runs that need no file.
"""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from weighbridge.budgets.decide import Counter
from weighbridge.domain.outcome import OutcomeRow
from weighbridge.domain.plan import PlanState, PlanStatus
from weighbridge.errors import Refusal, StoreError, WeighbridgeError
from weighbridge.ledger import chain
from weighbridge.ledger.commit import Effects, Replay, answer, decide, require_own
from weighbridge.ledger.submission import (
    BlockedProposal,
    Committed,
    Consumption,
    Head,
    Identity,
    RetryAuthorisation,
    Submission,
)
from weighbridge.storage.reading import LedgerReader, Span, StoredRecord

_Key = TypeVar("_Key", str, tuple[str, str])
_Row = TypeVar("_Row")

KEY_BYTES = 32


@dataclass
class _Tenant:
    """Everything of one tenant, and the `View` of it that the kernel reads."""

    genesis: bytes
    records: list[StoredRecord] = field(default_factory=list)
    last: Head | None = None
    identities: dict[tuple[str, str], Identity] = field(default_factory=dict)
    blocks: dict[tuple[str, str], BlockedProposal] = field(default_factory=dict)
    authorised: dict[tuple[str, str], RetryAuthorisation] = field(default_factory=dict)
    subjects: set[tuple[str, str, int]] = field(default_factory=set)
    contents: dict[str, bytes | None] = field(default_factory=dict)
    found: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    counters: dict[str, Counter] = field(default_factory=dict)
    consumed: dict[str, Consumption] = field(default_factory=dict)
    counted: tuple[str, ...] = ()
    plans: dict[str, PlanState] = field(default_factory=dict)
    captured: dict[str, OutcomeRow] = field(default_factory=dict)
    captured_keys: dict[str, tuple[str, int]] = field(default_factory=dict)

    def head(self) -> Head:
        return self.last or Head(0, self.genesis)

    def identity(self, kind: str, identity: str) -> Identity | None:
        return self.identities.get((kind, identity))

    def blocked(self, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        return self.blocks.get((choke_point, proposal_hash))

    def authorisation(self, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        return self.authorised.get((choke_point, proposal_hash))

    def has_content(self, content_hash: str) -> bool:
        return content_hash in self.contents

    def counter(self, name: str) -> Counter:
        return self.counters.get(name, Counter())

    def counters_of(self, names: Sequence[str]) -> list[Counter]:
        return [self.counter(name) for name in names]

    def consumption(self, cell: str) -> Consumption | None:
        return self.consumed.get(cell)

    def cells(self) -> Iterable[tuple[str, Consumption]]:
        return self.consumed.items()

    def families(self) -> tuple[str, ...]:
        return self.counted

    def plan(self, plan_id: str) -> PlanState | None:
        return self.plans.get(plan_id)

    def active_plan(self, account_id: str, plan_type: str) -> str | None:
        wanted = (account_id, plan_type, PlanStatus.ACTIVE)
        rows = (row for row in self.plans.values() if (row.account_id, row.plan_type, row.status) == wanted)
        return next((row.plan_id for row in rows), None)

    def outcome(self, idempotency_key: str) -> tuple[str, int] | None:
        return self.captured_keys.get(idempotency_key)

    def body(self, seq: int) -> bytes:
        return self.records[seq - 1].body

    def apply(self, effects: Effects) -> None:
        seq = effects.head.seq
        self.records.append(StoredRecord(seq, effects.leaf_hash, effects.head.hash, effects.body))
        self.last = effects.head
        for kind, name, identity in effects.identities:
            self.identities[kind, name] = identity
            self.found[name].add(identity.seq)
        self.blocks.update({(point, proposal): block for point, proposal, block in effects.blocked})
        self.authorised.update({(point, proposal): given for point, proposal, given in effects.authorisations})
        for kind, name in effects.subjects:
            self.subjects.add((kind, name, seq))
            self.found[name].add(seq)
        for content_hash, body in effects.contents:
            self.contents.setdefault(content_hash, body)  # L6: erased content stays erased
        self.contents.update(dict.fromkeys(effects.erases))
        self.counters.update(effects.counters)
        self.consumed.update(effects.consumption)
        self.counted = self.counted if effects.families is None else effects.families
        self.plans.update({row.plan_id: row for row in effects.plans})
        for row in effects.outcomes:
            self.captured[row.outcome_id] = row
            self.captured_keys[row.idempotency_key] = (row.outcome_id, row.seq)


class MemoryStore:
    """A `LedgerWriter` and `LedgerReader` in memory. ``entropy(n)`` gives n random bytes, for tenant keys."""

    def __init__(self, *, purpose: str = "enforcement", entropy: Callable[[int], bytes]) -> None:
        self._purpose, self._entropy = purpose, entropy
        self._lock = threading.Lock()
        self._tenants: dict[str, _Tenant] = {}
        self._keys: dict[str, bytes] = {}
        self._closed = False

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def commit(self, submission: Submission) -> Committed:
        """Append one record, or return the one already recorded under its ids (`LedgerWriter`)."""
        return self._commit(submission, ())

    def erase_content(self, tenant_id: str, hashes: tuple[str, ...], submission: Submission) -> Committed:
        """Remove content bodies and append the `CONTENT_ERASED` record (L6)."""
        require_own(tenant_id, submission)
        return self._commit(submission, hashes)

    def commit_many(self, submissions: Sequence[Submission]) -> list[Committed | WeighbridgeError]:
        """Append many records in order; an error stands in its submission's place."""
        outcomes: list[Committed | WeighbridgeError] = []
        for submission in submissions:
            try:
                outcomes.append(self._commit(submission, ()))
            except WeighbridgeError as error:
                outcomes.append(error)
        return outcomes

    def _commit(self, submission: Submission, erases: tuple[str, ...]) -> Committed:
        with self._lock:
            self._require_open()
            tenant = self._tenants.get(submission.tenant_id)
            try:
                tenant = tenant or _empty(submission.tenant_id)
                effects = decide(submission, tenant, purpose=self._purpose, erases=erases)
            except WeighbridgeError:
                raise
            except Exception as error:
                # G2: whatever it is, nothing is recorded and the caller is told so.
                message = f"no record could be made of it ({type(error).__name__})"
                raise Refusal("LEDGER_WRITE_FAILED", message) from error
            if isinstance(effects, Replay):
                stored = tenant.records[effects.seq - 1]
                return answer(effects, stored.hash, stored.body)
            if any(row.outcome_id in tenant.captured for row in effects.outcomes):
                raise Refusal("LEDGER_WRITE_FAILED", "an outcome cannot be changed; give another one an id of its own")
            self._tenants[submission.tenant_id] = tenant
            tenant.apply(effects)
            return effects.committed

    @contextmanager
    def snapshot(self) -> Iterator[LedgerReader]:
        """Give a copy of this moment."""
        frozen = MemoryStore(purpose=self._purpose, entropy=self._entropy)
        with self._lock:
            self._require_open()
            frozen._tenants = copy.deepcopy(self._tenants)
            frozen._keys, frozen._lock = self._keys, self._lock  # a key made meanwhile is the tenant's key
        yield frozen

    def purpose(self) -> str:
        """Return ``enforcement`` or ``evaluation`` (B9)."""
        return self._purpose

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key, made on first use (L6)."""
        with self._lock:
            self._require_open()
            if tenant_id not in self._keys:
                self._keys[tenant_id] = self._entropy(KEY_BYTES)
            return self._keys[tenant_id]

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, sorted."""
        with self._lock:
            self._require_open()
            return tuple(sorted(self._tenants))

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends."""
        return self._tenant(tenant_id).head()

    def heads(self) -> dict[str, Head]:
        """Return where the ledger of every tenant that has records ends."""
        with self._lock:
            self._require_open()
            return {name: tenant.head() for name, tenant in self._tenants.items()}

    def records_of(self, spans: Mapping[str, Span]) -> Iterator[tuple[str, list[StoredRecord]]]:
        """Yield the records of many tenants, each tenant's in order."""
        for tenant_id, span in spans.items():
            yield tenant_id, list(self.records(tenant_id, *span))

    def records(self, tenant_id: str, first_seq: int = 1, last_seq: int | None = None) -> Iterator[StoredRecord]:
        """Yield records in order."""
        yield from self._tenant(tenant_id).records[max(first_seq, 1) - 1 : last_seq]

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        """Return one record."""
        records = self._tenant(tenant_id).records
        return records[seq - 1] if 0 < seq <= len(records) else None

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""
        return self._tenant(tenant_id).identity(kind, identity)

    def identities(self, tenant_id: str) -> Iterator[tuple[str, str, Identity]]:
        """Yield every known id, sorted."""
        for (kind, name), identity in self._sorted(self._tenant(tenant_id).identities):
            yield kind, name, identity

    def blocked_proposals(self, tenant_id: str) -> Iterator[tuple[str, str, BlockedProposal]]:
        """Yield every blocked proposal, sorted."""
        for (point, proposal), block in self._sorted(self._tenant(tenant_id).blocks):
            yield point, proposal, block

    def authorisations(self, tenant_id: str) -> Iterator[tuple[str, str, RetryAuthorisation]]:
        """Yield every retry authorisation, sorted."""
        for (point, proposal), given in self._sorted(self._tenant(tenant_id).authorised):
            yield point, proposal, given

    def subjects(self, tenant_id: str) -> Iterator[tuple[str, str, int]]:
        """Yield every subject of every record, sorted."""
        with self._lock:
            rows = sorted(self._view(tenant_id).subjects)
        yield from rows

    def counter(self, tenant_id: str, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""
        return self._tenant(tenant_id).counter(name)

    def counters(self, tenant_id: str) -> Iterator[tuple[str, Counter]]:
        """Yield every counter, sorted."""
        yield from self._sorted(self._tenant(tenant_id).counters)

    def consumption(self, tenant_id: str) -> Iterator[tuple[str, Consumption]]:
        """Yield every cell of what was consumed, sorted."""
        yield from self._sorted(self._tenant(tenant_id).consumed)

    def families(self, tenant_id: str) -> tuple[str, ...]:
        """Return what the counters count, sorted."""
        return self._tenant(tenant_id).families()

    def plan(self, tenant_id: str, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""
        return self._tenant(tenant_id).plan(plan_id)

    def plans(self, tenant_id: str, statuses: Collection[str] = ()) -> Iterator[PlanState]:
        """Yield plans, sorted by their id: those of these statuses, or all."""
        for _, row in self._sorted(self._tenant(tenant_id).plans):
            if not statuses or row.status in statuses:
                yield row

    def outcomes(self, tenant_id: str) -> Iterator[OutcomeRow]:
        """Yield every outcome, sorted by its id (`OutcomeRows`)."""
        for _, row in self._sorted(self._tenant(tenant_id).captured):
            yield row

    def find(self, tenant_id: str, identity: str) -> tuple[int, ...]:
        """Return the numbers of every record that an id leads to, ascending."""
        with self._lock:
            return tuple(sorted(self._view(tenant_id).found.get(identity, ())))

    def content(self, tenant_id: str, content_hash: str) -> bytes | None:
        """Return a content body; None where it was erased or never stored."""
        return self._tenant(tenant_id).contents.get(content_hash)

    def has_content(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored; erased content counts."""
        return content_hash in self._tenant(tenant_id).contents

    def contents(self, tenant_id: str) -> Iterator[tuple[str, bytes | None]]:
        """Yield every content, sorted."""
        yield from self._sorted(self._tenant(tenant_id).contents)

    def _tenant(self, tenant_id: str) -> _Tenant:
        with self._lock:
            return self._view(tenant_id)

    def _view(self, tenant_id: str) -> _Tenant:
        self._require_open()
        return self._tenants.get(tenant_id) or _empty(tenant_id)

    def _sorted(self, rows: dict[_Key, _Row]) -> list[tuple[_Key, _Row]]:
        with self._lock:
            return [(key, rows[key]) for key in sorted(rows)]

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _empty(tenant_id: str) -> _Tenant:
    return _Tenant(chain.genesis(tenant_id))
