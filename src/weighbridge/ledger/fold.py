"""Events back to state: everything that must follow from the records, computed from nothing but them. Pure.

A store keeps heads, identities, blocked proposals, authorisations, subjects and budget counters as rows beside the ledger, to
find them quickly. `Fold` computes the same from the records alone, by other code than the kernel that wrote them, so that each
checks the other; the `compare_*` functions say where rows differ (L3). Memory grows with the number of ids, not with the bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from weighbridge import canonical
from weighbridge.budgets.decide import Counter
from weighbridge.canonical import keyed_hash
from weighbridge.domain.instant import parse_instant
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import LedgerCorrupt
from weighbridge.ledger import archive, chain, record
from weighbridge.ledger.archive import Told
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.outcome_fold import OutcomeFold
from weighbridge.ledger.plan_fold import PlanFold
from weighbridge.ledger.submission import BlockedProposal, Consumption, Head, Identity, RetryAuthorisation
from weighbridge.ledger.tally import Tally

_Key = TypeVar("_Key")
_Sum = TypeVar("_Sum", Counter, Consumption, bool)
_Row = TypeVar("_Row", bound="Identity | BlockedProposal | RetryAuthorisation | int")

_LACKING = (KeyError, TypeError, ValueError, AttributeError)
_BLOCKING = frozenset({record.VALIDATOR_RUN_SUMMARY, record.BUDGET_BLOCK})


class Fold:
    """The state of one tenant after the records added so far.

    ``contents`` maps every content hash that a record points to, to the first record that does; ``erased`` the hashes that a
    `CONTENT_ERASED` names, to its record. ``subjects`` are ``(kind, id, seq)``. ``budget`` holds counters and what they sum up.

    ``archived_to`` is the last record whose body was archived and is not at hand, 0 where there is none. An archive keeps every
    body that says which content was erased, which BLOCK of a proposal is the latest, who gave leave to ask again, and how a plan
    got where it is, if it had not ended: those are known all the same. Ids, subjects and outcomes are then those of later records
    alone, ``budget`` holds nothing, and what the head says of policy, zones and time comes from the latest ``state`` on record.
    ``archives`` are what `LEDGER_ARCHIVED` events say.
    """

    def __init__(self, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self.head: Head = Head(0, chain.genesis(tenant_id))
        self.purpose: str | None = None
        self.identities: dict[tuple[str, str], Identity] = {}
        self.blocked: dict[tuple[str, str], BlockedProposal] = {}
        self.authorisations: dict[tuple[str, str], RetryAuthorisation] = {}
        self.subjects: dict[tuple[str, str, int], int] = {}
        self.contents: dict[str, int] = {}
        self.erased: dict[str, int] = {}
        self.budget: Tally = Tally()
        self.plans: PlanFold = PlanFold()
        self.outcomes: OutcomeFold = OutcomeFold()
        self.archives: list[Told] = []
        self.families: tuple[str, ...] = ()
        self.archived_to: int = 0
        self._wrong: list[str] = []
        self._unplanned: list[str] = []
        self._unreported: list[str] = []

    def add(self, seq: int, leaf: bytes, hash_: bytes, body: bytes) -> Fault | None:
        """Take the next record in, and return what is wrong with it, if anything.

        After a fault the fold goes on from what the record claims to be, so that every further break shows as its own.
        """
        if archive.is_stub(body):
            return self._pass_over(seq, leaf, hash_, body)
        fault = chain.check_link((self.head.seq, self.head.hash), seq, leaf, hash_, body)
        self.head = msgspec.structs.replace(self.head, seq=seq, hash=hash_)
        self._wrong, self._unplanned, self._unreported = [], [], []
        try:
            decoded = record.decode(body)
            if (decoded.tenant_id, decoded.seq) != (self.tenant_id, seq):
                place = f"record {decoded.seq} of tenant `{decoded.tenant_id}`"
                return fault or Fault(seq, "record", f"the body of record {seq} is that of {place}")
            self._apply(decoded)
        except LedgerCorrupt as error:
            return fault or Fault(seq, "record", str(error))
        except _LACKING as error:
            return fault or Fault(seq, "record", f"record {seq} lacks what its events need ({error!r})")
        for part, wrong in (("plan", self._unplanned), ("outcome", self._unreported), ("budget", self._wrong)):
            if wrong:
                return fault or Fault(seq, part, f"record {seq} claims what does not follow: {wrong[0]}")
        return fault

    def _pass_over(self, seq: int, leaf: bytes, hash_: bytes, stub: bytes) -> Fault | None:
        """Take a record in whose body was archived: its leaf hash is linked, and what it said is not known."""
        fault = chain.check_link((self.head.seq, self.head.hash), seq, leaf, hash_, None)
        self.head = Head(seq, hash_)
        self.archived_to = seq
        self.purpose, self.families = None, ()
        self.identities.clear()
        self.subjects.clear()
        self.budget, self.outcomes = Tally(), OutcomeFold()
        try:
            covered = archive.read_stub(stub).covers(seq)
        except LedgerCorrupt as error:
            return fault or Fault(seq, "archive", f"record {seq}: {error}")
        if not covered:
            return fault or Fault(seq, "archive", f"the body of record {seq} is gone, to an archive that it is not in")
        return fault

    def _apply(self, decoded: record.Record) -> None:
        events = list(record.events(decoded))
        self._apply_head(decoded, events)
        judged = _blocked_runs(events)
        for event in events:
            match event.type:
                case record.VALIDATOR_RUN_SUMMARY:
                    self._apply_summary(event, judged)
                case record.OPERATION_COMPLETED:
                    self._apply_completion(event)
                case record.RETRY_AUTHORISED:
                    self._apply_authorisation(event)
                case record.USAGE_REPORTED:
                    bound = Identity(event.fields["request_hash"], event.seq)
                    self._bind("use", event.fields["operation_id"], bound)
                case record.LEDGER_ARCHIVED:
                    self.archives.append(archive.of_event(event.seq, event.fields))
                case record.CONTENT_ERASED:
                    self.erased.update(dict.fromkeys(event.fields["hashes"], event.seq))
                case _:
                    pass  # no row of its own follows from it
        if not self.archived_to:
            self._wrong += self.budget.add(events)
            self.head = msgspec.structs.replace(self.head, zones=self.budget.zones)
            self.families = self.budget.families
        self._unplanned += self.plans.add(events, partial=bool(self.archived_to))
        self._unreported += self.outcomes.add(events, self.archived_to)
        self._apply_ids(decoded, events)
        for content_hash in record.content_hashes(decoded.events):
            self.contents.setdefault(content_hash, decoded.seq)

    def _apply_ids(self, decoded: record.Record, events: list[record.Event]) -> None:
        if "operation_request_hash" in decoded.common:
            blocks = (event for event in events if event.type in _BLOCKING and event.fields["result"] == Verdict.BLOCK)
            state = "BLOCKED" if any(blocks) else "PENDING"
            bound = Identity(decoded.common["operation_request_hash"], decoded.seq, state)
            self._bind("op", decoded.common["operation_id"], bound)
        binds = any(event.type in record.BINDING for event in events)
        for kind, name in (*record.common_subjects(decoded.common, binds=binds), *decoded.subjects):
            self.subjects[kind, name, decoded.seq] = decoded.seq

    def _apply_head(self, decoded: record.Record, events: list[record.Event]) -> None:
        last, version = self.head.last_time_ms, self.head.policy_version
        if decoded.common["time_source"] == "clock":
            time = parse_instant(decoded.common["evaluation_time"])
            last = time if last is None or time is None else max(last, time)
        for event in events:
            if event.type == record.POLICY_ACTIVATED:
                version = event.fields["policy_version"]
                if self.archived_to and "budget" in event.fields:
                    self._believe(event.fields["budget"])
        self.head = msgspec.structs.replace(self.head, last_time_ms=last, policy_version=version)
        self.purpose = decoded.purpose if decoded.seq == 1 else self.purpose

    def _believe(self, budget: dict[str, Any]) -> None:
        """Take what an activation says of zones and families: what it follows from is archived."""
        self.head = msgspec.structs.replace(self.head, zones=canonical.encode(budget["zones"]).decode())
        self.families = tuple(budget["families"])

    def complete(self) -> None:
        """Fill in, after the last record, what the archived ones left of head, purpose and families, as was said of them."""
        if not self.archived_to or not self.archives:
            return
        said = self.archives[-1].state
        times = [time for time in (said.last_time_ms, self.head.last_time_ms) if time is not None]
        self.purpose = said.purpose
        if self.head.zones is None:
            self.families = said.families
        self.head = msgspec.structs.replace(
            self.head,
            last_time_ms=max(times, default=None),
            policy_version=self.head.policy_version or said.policy_version,
            zones=self.head.zones or said.zones,
        )

    def _apply_summary(self, event: record.Event, judged: set[str]) -> None:
        """Take a run in; ``judged`` are those of its record that a validator blocked."""
        said = event.fields
        run, key = said["validation_run_id"], (said["choke_point"], said["proposal_hash"])
        self._bind("run", run, Identity(said["request_hash"], event.seq))
        reasons = {found["reason"] for found in said["findings"]}
        if said["result"] == Verdict.BLOCK and (run in judged or not reasons or reasons - record.PASSING):
            self.blocked[key] = BlockedProposal(run, said["inputs_hash"], said["policy_version"], event.seq)
        if "retry_authorised_by" in said and (key in self.authorisations or not self.archived_to):
            self.authorisations[key] = msgspec.structs.replace(self.authorisations[key], used_seq=event.seq)
        if "retry_of" in said:
            self.subjects["run", said["retry_of"], event.seq] = event.seq

    def _apply_completion(self, event: record.Event) -> None:
        operation_id, state = event.fields["operation_id"], event.fields["state"]
        if ("op", operation_id) in self.identities or not self.archived_to:
            before = self.identities["op", operation_id]
            self.identities["op", operation_id] = msgspec.structs.replace(before, state=state)
        self._bind("end", operation_id, Identity(state, event.seq))

    def _apply_authorisation(self, event: record.Event) -> None:
        said = event.fields
        expires_ms = parse_instant(said["expires_at"])
        if expires_ms is None:
            raise LedgerCorrupt(
                f"record {event.seq} authorises a retry until `{said['expires_at']}`, which is no instant"
            )
        given = RetryAuthorisation(said["inputs_hash"], expires_ms, said["actor"]["id"], event.seq)
        self.authorisations[said["choke_point"], said["proposal_hash"]] = given
        self.subjects["run", said["retry_of"], event.seq] = event.seq

    def _bind(self, kind: str, name: str, identity: Identity) -> None:
        if (kind, name) in self.identities:
            first = self.identities[kind, name].seq
            raise LedgerCorrupt(f"record {identity.seq} binds {kind} id `{name}` again; record {first} has it")
        self.identities[kind, name] = identity


def compare_head(expected: Head, found: Head) -> Iterator[Fault]:
    """Yield what is wrong with a stored head."""
    if found == expected:
        return
    if found.seq > expected.seq:
        message = f"record {expected.seq + 1} is missing: the head says {found.seq} records, the ledger ends before"
        yield Fault(expected.seq + 1, "chain", message)
    elif found.seq < expected.seq:
        message = f"record {found.seq + 1} stands after the head, which says {found.seq} records"
        yield Fault(found.seq + 1, "chain", message)
    else:
        yield Fault(expected.seq, "head", f"the head after record {expected.seq} is not what the ledger gives")


def compare_rows(
    part: str, expected: dict[_Key, _Row], found: Iterable[tuple[_Key, _Row]], archived_to: int = 0
) -> Iterator[Fault]:
    """Yield where stored rows differ from expected ones; those of records up to ``archived_to`` are not known, and passed over.

    Uses ``expected`` up.
    """
    for key, row in found:
        wanted = expected.pop(key, None)
        if wanted is None and _seq(row) <= archived_to:
            continue
        if wanted is None:
            yield Fault(_seq(row), part, f"{part} {_name(key)} is stored, but no record gives it")
        elif wanted != row:
            yield Fault(
                _seq(wanted), part, f"{part} {_name(key)} is not what record {_seq(wanted)} and those after it give"
            )
    for key, wanted in expected.items():
        yield Fault(_seq(wanted), part, f"{part} {_name(key)} of record {_seq(wanted)} is missing")


def compare_budget(
    budget: Tally,
    counters: Iterable[tuple[str, Counter]],
    consumption: Iterable[tuple[str, Consumption]],
    families: Iterable[str],
) -> Iterator[Fault]:
    """Yield where stored counters, cells and families differ from what the records add up to. Uses ``budget`` up."""
    for check in budget_checks(budget, counters, consumption, families):
        yield from check


def budget_checks(
    budget: Tally,
    counters: Iterable[tuple[str, Counter]],
    consumption: Iterable[tuple[str, Consumption]],
    families: Iterable[str],
) -> Iterator[Iterator[Fault]]:
    """Yield what `compare_budget` does, a table at a time: where one cannot be read, the others can."""
    yield _compare_sums("counter", budget.counters, counters, budget.moved)
    yield _compare_sums("consumption", budget.cells, consumption, budget.moved)
    yield compare_families(budget.families, families, budget.activated_seq)


def _blocked_runs(events: Iterable[record.Event]) -> set[str]:
    """Return the runs that a validator blocked."""
    runs = (event.fields for event in events if event.type == record.VALIDATOR_RUN)
    return {said["validation_run_id"] for said in runs if said["result"] == Verdict.BLOCK}


def compare_families(
    expected: Iterable[str], found: Iterable[str], activated_seq: int | None = None
) -> Iterator[Fault]:
    """Yield where the stored families are not those that count, as record ``activated_seq`` says, where that is known."""
    wanted, stored = set(expected), set(found)
    for family in sorted(stored - wanted):
        yield Fault(None, "counter family", f"counter family `{family}` is stored, but no record gives it")
    for family in sorted(wanted - stored):
        whose = "" if activated_seq is None else f" of record {activated_seq}"
        yield Fault(activated_seq, "counter family", f"counter family `{family}`{whose} is missing")


def _compare_sums(
    part: str, expected: dict[str, _Sum], found: Iterable[tuple[str, _Sum]], moved: dict[str, int]
) -> Iterator[Fault]:
    for name, row in found:
        wanted = expected.pop(name, None)
        if wanted is None:
            yield Fault(None, part, f"{part} `{name}` is stored, but no record gives it")
        elif wanted != row:
            yield Fault(moved[name], part, f"{part} `{name}` is not what the records up to {moved[name]} add up to")
    for name in expected:
        yield Fault(moved[name], part, f"{part} `{name}` of record {moved[name]} is missing")


def compare_contents(
    fold: Fold, key: bytes, found: Iterable[tuple[str, bytes | None]], mentioned: Callable[[set[str]], dict[str, int]]
) -> Iterator[Fault]:
    """Yield where stored content differs from what the records point to (L6). Uses ``fold.contents`` and ``fold.erased`` up.

    ``mentioned(hashes)`` returns those that any record holds at all, with the first that does; it is asked once, about content
    that no event points to in one of the known ways.
    """
    unknown: dict[str, str | None] = {}
    for content_hash, body in found:
        seq = fold.contents.pop(content_hash, None)
        erased_by = fold.erased.pop(content_hash, None)
        wrong = _wrong_content(key, content_hash, body, erased_by)
        if fold.archived_to and (seq, erased_by, wrong) == (None, None, None):
            continue  # an archived record may name it; what tells of an erasure is never archived (L6)
        if seq is None and erased_by is None:
            unknown[content_hash] = wrong
        elif wrong is not None:
            yield Fault(seq if erased_by is None else erased_by, "content", wrong)
    for content_hash, seq in {**fold.erased, **fold.contents}.items():
        yield Fault(seq, "content", f"content `{content_hash}` of record {seq} is missing")
    named = mentioned(set(unknown)) if unknown else {}
    for content_hash, wrong in sorted(unknown.items()):
        if content_hash not in named and not fold.archived_to:
            yield Fault(None, "content", f"content `{content_hash}` is stored, but no record names it")
        elif wrong is not None:
            yield Fault(named.get(content_hash), "content", wrong)


def _wrong_content(key: bytes, content_hash: str, body: bytes | None, erased_by: int | None) -> str | None:
    if erased_by is not None:
        there = f"content `{content_hash}` was erased by record {erased_by}, but is there"
        return None if body is None else there
    if body is None:
        return f"content `{content_hash}` is gone, but no record erased it"
    if keyed_hash(key, body) != content_hash:
        return f"content `{content_hash}` does not match its hash"
    return None


def _seq(row: Identity | BlockedProposal | RetryAuthorisation | int) -> int:
    return row if isinstance(row, int) else row.seq


def _name(key: Any) -> str:
    return " ".join(f"`{part}`" if index else str(part) for index, part in enumerate(key))
