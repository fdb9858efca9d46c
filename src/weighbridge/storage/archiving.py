"""What to archive: which records, and which of their bodies the living ledger still needs. Reads a moment and changes nothing.

Archives follow each other without a gap from record 1 on. The file holds every body of its range; the ledger keeps beside that
those that something may still ask for:

* of operations without an outcome, and of those whose use may still be reported and settled (G10, B7);
* of the latest block of each proposal, and of the latest authorisation and its use: a person may act on them (G8);
* of plans that have not ended: what made and moved them; and of a plan that kept such bodies once, all that follow;
* those that tell what content was erased, and which key seals (L6, L2);
* one that points to the policy in force, if no later one does, without which nothing could be judged again or erased;
* those that tell of earlier archives.

What such a body is needed for can only end, never begin: so it is enough to look at one moment before the records are detached.
The bodies that stay also let a check know, without the file, the blocks, authorisations, plans and erasures there are (L3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from weighbridge.domain.instant import format_instant, parse_instant
from weighbridge.domain.plan import PlanStatus
from weighbridge.errors import LedgerCorrupt, NotFound, UsageError
from weighbridge.ledger import record
from weighbridge.ledger.archive import State, is_stub
from weighbridge.ledger.merkle import tree_head
from weighbridge.ledger.plan_fold import OF_PLANS
from weighbridge.ledger.spending_history import policy_hash
from weighbridge.storage.audit import rows_digest, verify_tenant
from weighbridge.storage.reading import LedgerReader

LIVING: tuple[PlanStatus, ...] = (PlanStatus.DRAFT, PlanStatus.APPROVED, PlanStatus.ACTIVE, PlanStatus.PAUSED)
_ALWAYS = frozenset({record.LEDGER_ARCHIVED, record.CONTENT_ERASED, record.KEY_CHANGED})


class Range(msgspec.Struct, frozen=True):
    """Records to archive: ``root`` (hex) is the head of the tree over them, ``head`` the hash (hex) of the last one.

    ``kept`` are those whose body stays in the ledger, too; ``state`` is what the ledger holds now.
    """

    tenant_id: str
    first_seq: int
    last_seq: int
    root: str
    head: str
    kept: frozenset[int]
    state: State

    @property
    def detached(self) -> int:
        """Return how many bodies leave the ledger."""
        return self.last_seq - self.first_seq + 1 - len(self.kept)

    def event(self, file: str, sha256: str) -> dict[str, Any]:
        """Return what the record says that tells of it, once it is in a file of this SHA-256 (hex)."""
        return {
            "type": record.LEDGER_ARCHIVED,
            "file": file,
            "sha256": sha256,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "root": self.root,
            "detached": self.detached,
            "kept": sorted(self.kept),
            "state": msgspec.to_builtins(self.state),
        }


def range_to_archive(
    moment: LedgerReader, tenant_id: str, *, through: int | None = None, before_ms: int | None = None
) -> Range:
    """Return the records up to ``through``, or those before the first that was judged at ``before_ms`` or later.

    Raises:
        LedgerCorrupt: the ledger does not verify; then nothing of it is moved.
        NotFound: nothing is left to archive, or everything of it is still needed.
        UsageError: there is no such record.
    """
    if not moment.head(tenant_id).seq:
        raise NotFound(f"the ledger has no records of tenant `{tenant_id}`")
    checked = verify_tenant(moment, tenant_id)
    if checked.first_bad is not None:
        raise LedgerCorrupt(f"nothing was archived, because {checked}")
    first = max((archive.last_seq for archive in checked.archives), default=0) + 1
    if through is not None and through > checked.records:
        raise UsageError(f"tenant `{tenant_id}` has no record {through}; the last one is {checked.records}")
    last = through if through is not None else _last_before(moment, tenant_id, first, before_ms or 0)
    if last < first:
        done = f"records up to {first - 1} are archived" if first > 1 else f"tenant `{tenant_id}` has none"
        wanted = f"up to {through}" if through is not None else f"before {format_instant(before_ms or 0)}"
        raise NotFound(f"there are no records {wanted} to archive: {done}")
    root = tree_head(stored.leaf_hash for stored in moment.records(tenant_id, first, last))
    end = moment.record(tenant_id, last)
    kept = frozenset(seq for seq in _needed(moment, tenant_id, first, last) if first <= seq <= last)
    hash_ = end.hash.hex() if end is not None else ""
    found = Range(tenant_id, first, last, root.hex(), hash_, kept, _state(moment, tenant_id))
    if not found.detached:
        raise NotFound(f"something open needs every body of records {first} to {last}; nothing was archived")
    return found


def _state(moment: LedgerReader, tenant_id: str) -> State:
    head = moment.head(tenant_id)
    return State(
        seq=head.seq,
        digest=rows_digest(moment, tenant_id, head.seq),
        purpose=moment.purpose(),
        families=tuple(moment.families(tenant_id)),
        last_time_ms=head.last_time_ms,
        policy_version=head.policy_version,
        zones=head.zones,
    )


def _last_before(moment: LedgerReader, tenant_id: str, first: int, before_ms: int) -> int:
    last = first - 1
    for stored in moment.records(tenant_id, first):
        at_ms = parse_instant(record.decode(stored.body).common.get("evaluation_time"))
        if at_ms is None or at_ms >= before_ms:
            break
        last = stored.seq
    return last


def _needed(moment: LedgerReader, tenant_id: str, first: int, last: int) -> Iterator[int]:
    yield from (block.seq for _, _, block in moment.blocked_proposals(tenant_id))
    for _, _, given in moment.authorisations(tenant_id):
        yield from (given.seq, given.used_seq or 0)
    reported: set[str] = set()
    ended: dict[int, str] = {}
    for kind, name, known in moment.identities(tenant_id):
        if kind == "use":
            reported.add(name)
        elif kind == "op" and known.state == "PENDING":
            yield known.seq
        elif kind == "op":
            ended[known.seq] = name
    unreported = {seq for seq, name in ended.items() if name not in reported}
    yield from _needed_bodies(moment, tenant_id, (first, last), unreported)


def _needed_bodies(moment: LedgerReader, tenant_id: str, span: tuple[int, int], unreported: set[int]) -> Iterator[int]:
    """Yield the records of which only the body says that it is needed."""
    version = _unsaid_policy(moment, tenant_id, span[1])
    points_to_policy = 0
    plans = _whole_plans(moment, tenant_id, span[0])
    for stored in moment.records(tenant_id, *span):
        told = list(record.events(stored.body))
        types = {event.type for event in told}
        settles = stored.seq in unreported and record.BUDGET_BLOCK not in types and _settles(told)
        moves = any(event.type in OF_PLANS and event.fields["plan_id"] in plans for event in told)
        if settles or moves or not types.isdisjoint(_ALWAYS):
            yield stored.seq
        if version is not None and policy_hash(stored.body, version) is not None:
            points_to_policy = stored.seq
    yield points_to_policy


def _unsaid_policy(moment: LedgerReader, tenant_id: str, last: int) -> str | None:
    """Return the version of the policy in force; None where a record after ``last`` points to it, or there is none."""
    head = moment.head(tenant_id)
    if head.policy_version is None:
        return None
    for seq in range(head.seq, last, -1):
        stored = moment.record(tenant_id, seq)
        if stored is not None and policy_hash(stored.body, head.policy_version) is not None:
            return None
    return head.policy_version


def _whole_plans(moment: LedgerReader, tenant_id: str, first: int) -> set[str]:
    """Return the plans of which no body goes: moves said again are answered from there, and a check has all or nothing."""
    return {
        row.plan_id
        for row in moment.plans(tenant_id)
        if row.status in LIVING or _stayed(moment, tenant_id, row.created_seq, first)
    }


def _stayed(moment: LedgerReader, tenant_id: str, created_seq: int, first: int) -> bool:
    """Return whether what made a plan is in an earlier archive and kept its body."""
    made = moment.record(tenant_id, created_seq) if created_seq < first else None
    return made is not None and not is_stub(made.body)


def _settles(told: Sequence[record.Event]) -> bool:
    """Return whether a report of use would still give something back (B7)."""
    return any(cap.get("settles") for event in told for cap in event.fields.get("caps", ()))
