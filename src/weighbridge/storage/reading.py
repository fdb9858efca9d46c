"""The read side of a store. Every method takes the tenant; nothing crosses one (L5)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from weighbridge.budgets.decide import Counter
from weighbridge.domain.plan import PlanState
from weighbridge.ledger.submission import BlockedProposal, Consumption, Head, Identity, RetryAuthorisation

VERIFY_HINT = "; run `weighbridge ledger verify`"
"""How an error of a reader ends where a row is not what it should be."""

Span = tuple[int, int]
"""The first and the last number of a range of records."""


class StoredRecord(NamedTuple):
    """A record as it lies in the store."""

    seq: int
    leaf_hash: bytes
    hash: bytes
    body: bytes


class LedgerReader(Protocol):
    """Reads committed state. A reader sees a record whole or not at all."""

    def snapshot(self) -> AbstractContextManager[LedgerReader]:
        """Return a reader of this one moment: what is committed meanwhile does not show. Leave it soon."""

    def purpose(self) -> str:
        """Return ``enforcement`` or ``evaluation``: whether supplied times are refused (B9)."""

    def tenant_key(self, tenant_id: str) -> bytes:
        """Return the tenant's content key (32 bytes), made and kept on first use (L6)."""

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have records, or rows that should follow from records, sorted."""

    def head(self, tenant_id: str) -> Head:
        """Return where the tenant's ledger ends."""

    def heads(self) -> Mapping[str, Head]:
        """Return where the ledger of every tenant that has a head ends, in a few statements however many there are."""

    def records(self, tenant_id: str, first_seq: int = 1, last_seq: int | None = None) -> Iterator[StoredRecord]:
        """Yield records in order, ``first_seq`` and ``last_seq`` included, streaming."""

    def records_of(self, spans: Mapping[str, Span]) -> Iterator[tuple[str, Sequence[StoredRecord]]]:
        """Yield the records of many tenants, streaming: of each those in its span, in order, in one portion or several."""

    def record(self, tenant_id: str, seq: int) -> StoredRecord | None:
        """Return one record."""

    def identity(self, tenant_id: str, kind: str, identity: str) -> Identity | None:
        """Return what a ``run``, ``op``, ``end`` or ``use`` id is bound to."""

    def identities(self, tenant_id: str) -> Iterator[tuple[str, str, Identity]]:
        """Yield ``(kind, id, identity)`` for every known id, sorted (for `verify`)."""

    def blocked_proposals(self, tenant_id: str) -> Iterator[tuple[str, str, BlockedProposal]]:
        """Yield ``(choke_point, proposal_hash, block)``, sorted (for `verify`)."""

    def authorisations(self, tenant_id: str) -> Iterator[tuple[str, str, RetryAuthorisation]]:
        """Yield ``(choke_point, proposal_hash, authorisation)``, sorted (for `verify`)."""

    def subjects(self, tenant_id: str) -> Iterator[tuple[str, str, int]]:
        """Yield ``(kind, id, seq)``, sorted (for `verify`)."""

    def counter(self, tenant_id: str, name: str) -> Counter:
        """Return a budget counter; one that nothing fell under is zero."""

    def counters(self, tenant_id: str) -> Iterator[tuple[str, Counter]]:
        """Yield ``(name, counter)`` for every counter, also those that stand still, sorted."""

    def consumption(self, tenant_id: str) -> Iterator[tuple[str, Consumption]]:
        """Yield ``(cell, consumption)``: what was consumed on one day by one account, plan, tool and class, sorted."""

    def families(self, tenant_id: str) -> tuple[str, ...]:
        """Return what the counters count: the families of the policy that was active last, sorted."""

    def plan(self, tenant_id: str, plan_id: str) -> PlanState | None:
        """Return a plan as it stands."""

    def plans(self, tenant_id: str, statuses: Collection[str] = ()) -> Iterator[PlanState]:
        """Yield plans, sorted by their id: those of these statuses, or all."""

    def find(self, tenant_id: str, identity: str) -> Iterable[int]:
        """Return the numbers of every record that a plan, step, account, run or operation id leads to, ascending."""

    def content(self, tenant_id: str, content_hash: str) -> bytes | None:
        """Return a content body; None where it was erased or never stored."""

    def has_content(self, tenant_id: str, content_hash: str) -> bool:
        """Return whether content with this hash was ever stored; erased content counts."""

    def contents(self, tenant_id: str) -> Iterator[tuple[str, bytes | None]]:
        """Yield ``(hash, body or None where erased)``, sorted (for `verify`)."""
