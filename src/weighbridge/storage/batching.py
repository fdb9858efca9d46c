"""What one transaction decides and writes. Knows the rows, not the driver; commits nothing.

Every submission of a batch is decided in its turn by the kernel, over what is stored and what the batch adds before it.
Then every row is written, a table at a time, by the backend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from weighbridge import canonical
from weighbridge.budgets.decide import Counter
from weighbridge.domain.amounts import Amounts, as_text
from weighbridge.domain.outcome import OutcomeRow
from weighbridge.domain.plan import PlanState, PlanStatus
from weighbridge.errors import CanonicalError, StoreError, WeighbridgeError
from weighbridge.ledger.commit import Effects, Replay, answer, decide
from weighbridge.ledger.submission import (
    BlockedProposal,
    Committed,
    Consumption,
    Head,
    Identity,
    RetryAuthorisation,
    Submission,
)
from weighbridge.storage.group_commit import Item
from weighbridge.storage.reading import StoredRecord
from weighbridge.storage.rows import outcome_row, plan_row

KEPT_TENANTS_MAX = 2_000  # a few kilobytes each
KEPT_ROWS_MAX = 1_000  # of one tenant

Work = tuple[Submission, tuple[str, ...]]
"""A submission, and the content hashes it erases."""

Items = list[Item[Work, Committed]]

Rows = list[tuple[Any, ...]]
"""Rows of one table, the tenant first, the columns as the migrations have them."""


class Stored(Protocol):
    """What a transaction reads of a store."""

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends."""

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        """Return one record."""

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""

    def blocked(self, tenant_id: str, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of a proposal."""

    def authorisation(self, tenant_id: str, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for a proposal."""

    def has_content(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored."""

    def counter(self, tenant_id: str, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""

    def counters_of(self, tenant_id: str, names: Sequence[str]) -> dict[str, Counter]:
        """Return those of these counters that something fell under."""

    def cell(self, tenant_id: str, name: str) -> Consumption | None:
        """Return one cell of what was consumed."""

    def consumption(self, tenant_id: str) -> Iterator[tuple[str, Consumption]]:
        """Yield every cell of what was consumed."""

    def families(self, tenant_id: str) -> tuple[str, ...]:
        """Return what the counters count."""

    def has_plans(self, tenant_id: str) -> bool:
        """Return whether the tenant has any plan."""

    def plan(self, tenant_id: str, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""

    def active_plan(self, tenant_id: str, account_id: str, plan_type: str) -> str | None:
        """Return the id of the plan of this account and type that is ACTIVE."""

    def outcome(self, tenant_id: str, idempotency_key: str) -> tuple[str, int] | None:
        """Return the id and the record of an outcome that was said before."""


@dataclass
class Kept:
    """What was read or written of a tenant's budget, and the head that it was true under.

    Every change of a counter appends a record, and a head's hash commits to every record before it: as long as the head is the
    same, so is this. It is looked at under the write lock, after the head was read there, and never without.
    """

    head: Head
    counters: dict[str, Counter]
    consumed: dict[str, Consumption | None]
    families: tuple[str, ...]
    planned: bool | None = None
    """Whether the tenant has any plan; None where nobody asked."""
    alone: bool = True
    """Whether nobody else had written between the last two batches, and so probably will not have before the next."""


class TenantView:
    """The `View` of one tenant inside the transaction: what is stored, under what this batch adds.

    Budget rows that were read stay: every submission of a hot tenant asks for the same few, and nobody else can change them.
    """

    def __init__(self, tenant_id: str, rows: Stored, kept: Kept | None = None) -> None:
        self._tenant_id, self._rows, self._kept = tenant_id, rows, kept
        self._head: Head | None = None
        self.records: dict[int, StoredRecord] = {}
        self.identities: dict[tuple[str, str], Identity] = {}
        self.blocks: dict[tuple[str, str], BlockedProposal] = {}
        self.authorised: dict[tuple[str, str], RetryAuthorisation] = {}
        self.subjects: list[tuple[str, str, int]] = []
        self.contents: dict[str, bytes] = {}
        self.erases: list[str] = []
        self.counters: dict[str, Counter] = {}
        self.consumed: dict[str, Consumption] = {}
        self._identities_read: dict[tuple[str, str], Identity | None] = {}
        self._counters_read: dict[str, Counter] = {}
        self._consumed_read: dict[str, Consumption | None] = {}
        self._families_read: tuple[str, ...] | None = None
        self._families: tuple[str, ...] | None = None
        self.plans: dict[str, PlanState] = {}
        self._plans_read: dict[str, PlanState | None] = {}
        self._planned: bool | None = None
        self.outcomes: dict[str, OutcomeRow] = {}
        self._alone = True

    def head(self) -> Head:
        """Return the tenant's head."""
        if self._head is None:
            self._head = self._rows.head(self._tenant_id)
            self._use_kept()
        return self._head

    def identity(self, kind: str, identity: str) -> Identity | None:
        """Return what an id is bound to."""
        key = (kind, identity)
        if key in self.identities:
            return self.identities[key]
        if key in self._identities_read:
            return self._identities_read[key]
        return self._rows.identity(self._tenant_id, kind, identity)

    def take_in(self, head: Head | None) -> bool:
        """Take the head as read, and return whether what was kept is still true."""
        self._head = head
        return self._use_kept()

    def take_in_families(self, families: tuple[str, ...]) -> None:
        """Take what the counters count as read."""
        self._families_read = families

    def _use_kept(self) -> bool:
        kept = self._kept
        self._alone = kept is None or kept.head == self._head
        if kept is None or not self._alone:
            return False
        # Copied: what a pass reads that comes to nothing must not stay.
        self._counters_read, self._consumed_read = kept.counters.copy(), kept.consumed.copy()
        self._families_read, self._planned = kept.families, kept.planned
        return True

    def keep(self) -> Kept | None:
        """Return what is true now, after COMMIT; None where nothing is worth keeping, or too much.

        Reads nothing: what the store says now may be of another moment already.
        """
        families = self._families_read if self._families is None else self._families
        if self._head is None or families is None:
            return None
        if max(len(self._counters_read), len(self._consumed_read)) > KEPT_ROWS_MAX:
            return None
        self._counters_read.update(self.counters)
        self._consumed_read.update(self.consumed)
        planned = True if self.plans else self._planned
        return Kept(self._head, self._counters_read, self._consumed_read, families, planned, self._alone)

    def take_in_identity(self, kind: str, identity: str, known: Identity | None) -> None:
        """Take what an id is bound to as read; None for nothing."""
        self._identities_read[kind, identity] = known

    def blocked(self, choke_point: str, proposal_hash: str) -> BlockedProposal | None:
        """Return the latest block of this proposal."""
        known = self.blocks.get((choke_point, proposal_hash))
        return known or self._rows.blocked(self._tenant_id, choke_point, proposal_hash)

    def authorisation(self, choke_point: str, proposal_hash: str) -> RetryAuthorisation | None:
        """Return the latest authorisation for this proposal."""
        known = self.authorised.get((choke_point, proposal_hash))
        return known or self._rows.authorisation(self._tenant_id, choke_point, proposal_hash)

    def has_content(self, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored."""
        return content_hash in self.contents or self._rows.has_content(self._tenant_id, content_hash)

    def counter(self, name: str) -> Counter:
        """Return a budget counter."""
        known = self.counters.get(name) or self._counters_read.get(name)
        if known is None:
            known = self._counters_read[name] = self._rows.counter(self._tenant_id, name)
        return known

    def counters_of(self, names: Sequence[str]) -> list[Counter]:
        """Return budget counters, read together."""
        changed, read = self.counters, self._counters_read
        known = [changed.get(name) or read.get(name) for name in names]
        found = [counter for counter in known if counter is not None]
        if len(found) == len(names):
            return found
        missing = [name for name in names if name not in read and name not in changed]
        if missing:
            self._counters_read.update(dict.fromkeys(missing, Counter()))
            self._counters_read.update(self._rows.counters_of(self._tenant_id, missing))
        return [self.counter(name) for name in names]

    def consumption(self, cell: str) -> Consumption | None:
        """Return one cell of what was consumed."""
        if cell in self.consumed:
            return self.consumed[cell]
        if cell not in self._consumed_read:
            self._consumed_read[cell] = self._rows.cell(self._tenant_id, cell)
        return self._consumed_read[cell]

    def cells(self) -> Iterator[tuple[str, Consumption]]:
        """Yield every cell of what was consumed."""
        added = dict(self.consumed)
        for cell, stored in self._rows.consumption(self._tenant_id):
            yield cell, added.pop(cell, stored)
        yield from added.items()

    def families(self) -> tuple[str, ...]:
        """Return what the counters count."""
        if self._families is not None:
            return self._families
        if self._families_read is None:
            self._families_read = self._rows.families(self._tenant_id)
        return self._families_read

    def changed_families(self) -> tuple[set[str], set[str]]:
        """Return the families that left in this batch, and those that came."""
        if self._families is None:
            return set(), set()
        stored = set(self._rows.families(self._tenant_id) if self._families_read is None else self._families_read)
        now = set(self._families)
        return stored - now, now - stored

    def take_in_planned(self, *, planned: bool) -> None:
        """Take it as read whether the tenant has any plan."""
        self._planned = planned

    def plan(self, plan_id: str) -> PlanState | None:
        """Return a plan as it stands. Most tenants' plan ids are labels: then one look says so for all of them."""
        if plan_id in self.plans:
            return self.plans[plan_id]
        self.head()  # under which something may be kept
        if self._planned is None:
            self._planned = self._rows.has_plans(self._tenant_id)
        if not self._planned:
            return None
        if plan_id not in self._plans_read:
            self._plans_read[plan_id] = self._rows.plan(self._tenant_id, plan_id)
        return self._plans_read[plan_id]

    def active_plan(self, account_id: str, plan_type: str) -> str | None:
        """Return the id of the plan of this account and type that is ACTIVE (H3)."""
        wanted = (account_id, plan_type, PlanStatus.ACTIVE)
        for row in self.plans.values():
            if (row.account_id, row.plan_type, row.status) == wanted:
                return row.plan_id
        stored = self._rows.active_plan(self._tenant_id, account_id, plan_type)
        return None if stored in self.plans else stored  # what this batch changed is ACTIVE no more

    def outcome(self, idempotency_key: str) -> tuple[str, int] | None:
        """Return the id and the record of an outcome that was said before (O4)."""
        added = self.outcomes.get(idempotency_key)
        if added is not None:
            return added.outcome_id, added.seq
        return self._rows.outcome(self._tenant_id, idempotency_key)

    def body(self, seq: int) -> bytes:
        """Return the body of a record that a row points to."""
        return self._record(seq).body

    def recorded(self, replay: Replay) -> Committed:
        """Return the answer that is on record."""
        stored = self._record(replay.seq)
        return answer(replay, stored.hash, stored.body)

    def _record(self, seq: int) -> StoredRecord:
        stored = self.records.get(seq) or self._rows.record(self._tenant_id, seq)
        if stored is None:
            raise StoreError(f"record {seq} is missing; run `weighbridge ledger verify`")
        return stored

    def apply(self, effects: Effects) -> None:
        """Let what follows see these effects."""
        self._head, seq = effects.head, effects.head.seq
        self.records[seq] = StoredRecord(seq, effects.leaf_hash, effects.head.hash, effects.body)
        for kind, name, identity in effects.identities:
            self.identities[kind, name] = identity
        for kind, name in effects.subjects:
            self.subjects.append((kind, name, seq))
        if effects.blocked:
            self.blocks.update({(point, proposal): block for point, proposal, block in effects.blocked})
        if effects.authorisations:
            self.authorised.update({(point, proposal): given for point, proposal, given in effects.authorisations})
        if effects.contents:
            self.contents.update(effects.contents)
        self.erases += effects.erases
        self.counters.update(effects.counters)
        self.consumed.update(effects.consumption)
        self._families = self._families if effects.families is None else effects.families
        if effects.plans:
            self.plans.update({row.plan_id: row for row in effects.plans})
        if effects.outcomes:
            self.outcomes.update({row.idempotency_key: row for row in effects.outcomes})


class Batch:
    """The submissions of one transaction. A later one sees the effects of the earlier ones."""

    def __init__(self, rows: Stored, purpose: str, kept: dict[str, Kept] | None = None) -> None:
        self._rows, self._purpose = rows, purpose
        self._kept: dict[str, Kept] = {} if kept is None else kept
        self._views: dict[str, TenantView] = {}
        self._replays: list[tuple[Item[Work, Committed], Committed]] = []
        self.pending: list[tuple[Item[Work, Committed], Effects]] = []

    def decide(self, items: Items) -> None:
        """Decide every item; one that is wrong gets its own error, and the others do not notice."""
        for item in items:
            try:
                self._decide(item)
            except UnicodeEncodeError:
                item.error = CanonicalError("an id holds a lone surrogate; send well-formed Unicode")
            except WeighbridgeError as error:
                item.error = error

    def _decide(self, item: Item[Work, Committed]) -> None:
        submission, erases = item.work
        view = self._view(submission.tenant_id)
        effects = decide(submission, view, purpose=self._purpose, erases=erases)
        if isinstance(effects, Replay):
            self._replays.append((item, view.recorded(effects)))
        else:
            view.apply(effects)
            self.pending.append((item, effects))

    def _view(self, tenant_id: str) -> TenantView:
        view = self._views.get(tenant_id)
        if view is None:
            view = self._views[tenant_id] = TenantView(tenant_id, self._rows, self._kept.get(tenant_id))
        return view

    def answer(self) -> None:
        """Answer everyone who was decided. Only after COMMIT (G2)."""
        for item, effects in self.pending:
            item.answer = effects.committed
        for item, committed in self._replays:
            item.answer = committed
        for tenant, view in self._views.items():
            if view.records:
                self._keep(tenant, view.keep())

    def _keep(self, tenant_id: str, kept: Kept | None) -> None:
        self._kept.pop(tenant_id, None)
        if kept is None:
            return
        if len(self._kept) >= KEPT_TENANTS_MAX:
            del self._kept[next(iter(self._kept))]  # the one that was not written for longest
        self._kept[tenant_id] = kept

    def changes(self) -> Iterator[tuple[str, Rows]]:
        """Yield what to write, a table at a time; some tables have no rows.

        Named after the table; ``erased`` are contents whose body goes, ``family_left`` are families that count no more.
        """
        changed = [(tenant, view) for tenant, view in self._views.items() if view.records]
        yield "ledger", [(tenant, *stored) for tenant, view in changed for stored in view.records.values()]
        yield (
            "identity",
            [
                (tenant, *key, known.request_hash, known.seq, known.state)
                for tenant, view in changed
                for key, known in view.identities.items()
            ],
        )
        yield (
            "blocked_proposal",
            [
                (tenant, *key, block.validation_run_id, block.inputs_hash, block.policy_version, block.seq)
                for tenant, view in changed
                for key, block in view.blocks.items()
            ],
        )
        yield (
            "retry_authorisation",
            [
                (tenant, *key, given.inputs_hash, given.expires_ms, given.by, given.seq, given.used_seq)
                for tenant, view in changed
                for key, given in view.authorised.items()
            ],
        )
        yield "subject", [(tenant, *subject) for tenant, view in changed for subject in view.subjects]
        yield "content", [(tenant, *content) for tenant, view in changed for content in view.contents.items()]
        yield "erased", [(tenant, content_hash) for tenant, view in changed for content_hash in view.erases]
        yield from self._budget_changes(changed)
        # H3: whatever was ACTIVE before leaves first, else the index sees two that never were at once.
        plans = [(tenant, row) for tenant, view in changed for row in view.plans.values()]
        for active in (False, True):
            rows = [(tenant, *plan_row(row)) for tenant, row in plans if (row.status is PlanStatus.ACTIVE) is active]
            yield "plan", rows
        yield "outcome", [(tenant, *outcome_row(row)) for tenant, view in changed for row in view.outcomes.values()]
        heads = ((tenant, view.head()) for tenant, view in changed)
        yield (
            "ledger_head",
            [
                (tenant, head.seq, head.hash, head.last_time_ms, head.policy_version, head.zones)
                for tenant, head in heads
            ],
        )

    @staticmethod
    def _budget_changes(changed: list[tuple[str, TenantView]]) -> Iterator[tuple[str, Rows]]:
        yield (
            "counter",
            [
                (tenant, name, str(counter.reserved), str(counter.settled))
                for tenant, view in changed
                for name, counter in view.counters.items()
            ],
        )
        yield (
            "consumption",
            [
                (tenant, cell, _amounts_text(consumed.reserved), _amounts_text(consumed.settled))
                for tenant, view in changed
                for cell, consumed in view.consumed.items()
            ],
        )
        families = [(tenant, *view.changed_families()) for tenant, view in changed]
        yield "family_left", [(tenant, family) for tenant, left, _ in families for family in sorted(left)]
        yield "counter_family", [(tenant, family) for tenant, _, came in families for family in sorted(came)]


def _amounts_text(amounts: Amounts) -> str:
    return canonical.encode(as_text(amounts)).decode()
