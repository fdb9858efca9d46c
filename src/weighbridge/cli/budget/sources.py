"""What the budget commands read: the tenant, the policy whose caps count, its time zones, and the instant to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import EMPTY, other_tenants, reading_with, tenant_is_named, tenant_or_default
from weighbridge.errors import NotFound, PolicyError, StoreError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from weighbridge.budgets.decide import Counter
    from weighbridge.budgets.forecast import Span
    from weighbridge.domain.caps import Cap
    from weighbridge.policy.effective import BudgetPolicy
    from weighbridge.storage.reading import LedgerReader

PolicyOption = Annotated[
    str | None,
    typer.Option(
        "--policy",
        metavar="FILE",
        help="The policy whose caps to look at. Default: the one in force.",
        show_default=False,
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help="Another time than now: an instant, or a day or a month as in 2026-11, which is its first instant.",
        show_default=False,
    ),
]
CapOption = Annotated[str | None, typer.Option("--cap", metavar="ID", help="This cap alone.", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="Every row, not only the first ones of each cap.")]

_DAY_LENGTH, _MONTH_LENGTH = len("2026-11-22"), len("2026-11")
_HOUR_MS = 3_600_000


class Ledger(NamedTuple):
    """One tenant of a store at one moment. ``zones`` are those it counts in, None where none were ever in force."""

    reader: LedgerReader
    tenant_id: str
    zones: str | None
    policy_version: str | None


class Budgets(NamedTuple):
    """A tenant's caps at an instant. ``policy_version`` is that of the policy in force, None where one was given."""

    ledger: Ledger
    caps: tuple[Cap, ...]
    zones: str
    at_ms: int
    policy_version: str
    given: bool

    @property
    def keys(self) -> tuple[str, str]:
        """Return the keys of day and month."""
        from weighbridge.budgets.periods import period_keys

        return period_keys(self.zones, self.at_ms)

    @property
    def zone(self) -> str:
        """Return the zone that is in force last."""
        from weighbridge.budgets.periods import read_zones

        return read_zones(self.zones)[-1].zone


@contextmanager
def ledger(store: str | None, tenant: str | None, archives: Sequence[Path] | None = None) -> Iterator[Ledger]:
    """Open one tenant of a store, with the bodies that are in archives.

    Raises:
        RecordArchived: a body that is asked for is in an archive that was not handed in.
        NotFound: it has no records there.
    """
    with reading_with(store, archives) as reader, reader.snapshot() as moment:
        tenant_id = tenant_or_default(tenant, moment)
        head = moment.head(tenant_id)
        others = other_tenants(moment, tenant_id)
        if head.seq == 0:
            hint = f"the store holds {others}: choose one with --tenant" if others else EMPTY
            raise NotFound(f"tenant `{tenant_id}` has no records; {hint}")
        if tenant is None and others and not tenant_is_named():
            output.note(f"tenant `{tenant_id}`; the store also holds {others}: choose one with --tenant")
        yield Ledger(moment, tenant_id, head.zones, head.policy_version)


@contextmanager
def budgets(
    store: str | None,
    tenant: str | None,
    policy: str | None,
    at: str | None,
    cap: str | None,
    *,
    ends: bool = False,
    archives: Sequence[Path] | None = None,
) -> Iterator[Budgets]:
    """Open one tenant's caps: all of them, or the one that is asked for. ``ends``: a day or a month is its end (`last_instant`).

    Raises:
        NotFound: the tenant has no records.
        UsageError: there is no policy, it has no budgets or no such cap, or the time is none.
    """
    from weighbridge.budgets.periods import with_zone

    with ledger(store, tenant, archives) as found:
        caps_of, version = _policy(found, policy)
        zones = readable_zones(found) or with_zone(None, caps_of.time_zone, 0)
        at_ms = _time(found, at, zones, ends=ends)
        caps = caps_of.caps if cap is None else (_named(caps_of.caps, cap),)
        yield Budgets(found, caps, zones, at_ms, version, policy is not None)


def _time(found: Ledger, at: str | None, zones: str, *, ends: bool) -> int:
    if at is None:
        return now_ms(found)
    return last_instant(at, zones, now_ms(found)) if ends else instant(at, zones)


def readable_zones(found: Ledger) -> str | None:
    """Return the zones that a tenant counts in.

    Raises:
        StoreError: what the store holds is none.
    """
    from weighbridge.budgets.periods import period_keys

    try:
        period_keys(found.zones, 0)
    except (ValueError, IndexError):
        raise StoreError(
            "the store does not say where a day of this tenant begins; run `weighbridge ledger verify`"
        ) from None
    return found.zones


def load(policy: str, tenant_id: str) -> tuple[BudgetPolicy, str]:
    """Return the budgets of a policy file for a tenant, and its version.

    Raises:
        PolicyError, UsageError: it cannot be read, has mistakes, or has no budgets.
    """
    from weighbridge import wiring

    effective = wiring.load_document(policy).effective(tenant_id)
    if effective.budgets is None:
        raise UsageError(
            f"the policy `{policy}` has no budgets for tenant `{tenant_id}`, which blocks every operation "
            "(NO_APPLICABLE_CONFIG); write caps, or `budgets: unlimited`"
        )
    return effective.budgets, effective.policy_version


def counters(found: Budgets) -> dict[str, Counter]:
    """Return every counter that the caps see. What counts since today only is added up from what was consumed (B14).

    Raises:
        StoreError: one has a name that this program never writes.
    """
    from weighbridge.budgets.decide import Counter
    from weighbridge.domain.caps import parse_counter
    from weighbridge.ledger.reserving import parse_cell

    reader, tenant_id, *_ = found.ledger
    made = dict(reader.counters(tenant_id))
    for name in made:
        try:
            parse_counter(name)
        except ValueError:
            raise StoreError(f"`{name}` names no counter; run `weighbridge ledger verify`") from None
    missing = {cap.family for cap in found.caps} - set(reader.families(tenant_id))
    if not missing:
        return made
    summed: dict[str, Counter] = {}
    for name, consumption in reader.consumption(tenant_id):
        for counter, unit in parse_cell(name).counters(missing).items():
            before = summed.get(counter, Counter())
            more, back = consumption.reserved.get(unit, 0), consumption.settled.get(unit, 0)
            summed[counter] = Counter(before.reserved + more, before.settled + back)
    return made | summed  # a counter that stood still does not stand for today


def instant(text: str, zones: str | None) -> int:
    """Return the instant that an option names: RFC 3339 with an offset, or the beginning of a day or a month in the zone.

    Raises:
        UsageError: it names none.
    """
    found = _named_time(text, zones)
    return found if isinstance(found, int) else found.start_ms


def last_instant(text: str, zones: str | None, now: int) -> int:
    """Return the instant that an option names, of a day or a month the last one; of one that is under way, ``now``.

    Raises:
        UsageError: it names none.
    """
    found = _named_time(text, zones)
    if isinstance(found, int):
        return found
    return now if found.start_ms <= now < found.end_ms else found.end_ms - 1


def _named_time(text: str, zones: str | None) -> int | Span:
    from weighbridge.budgets.forecast import span
    from weighbridge.budgets.periods import period_keys
    from weighbridge.domain.caps import Period
    from weighbridge.domain.instant import INSTANT_MS_MAX, parse_instant

    found = parse_instant(text)
    if found is not None and 0 <= found <= INSTANT_MS_MAX:
        return found
    period = {_DAY_LENGTH: Period.DAY, _MONTH_LENGTH: Period.MONTH}.get(len(text))
    noon = parse_instant(f"{text}{'-15' if period is Period.MONTH else ''}T12:00:00Z") if period else None
    if noon is not None and period is not None:
        place = 0 if period is Period.DAY else 1
        for hours in (0, -14, 14):  # the day is under way somewhere there, whatever the zone
            moment = min(max(0, noon + hours * _HOUR_MS), INSTANT_MS_MAX)
            if period_keys(zones, moment)[place] == text:
                return span(zones, moment, period)
    raise UsageError(
        f"`{text}` is no time; write a day as 2026-11-22, a month as 2026-11, or an instant as 2026-11-22T10:00:00Z"
    )


def now_ms(found: Ledger) -> int:
    """Return the clock's instant; on a store for evaluation, which holds the past, that of its last decision."""
    from weighbridge import wiring
    from weighbridge.domain.instant import parse_instant
    from weighbridge.ledger.record import BUDGET_DECISIONS, VALIDATOR_RUN_SUMMARY, events

    if found.reader.purpose() == "evaluation":
        for seq in range(found.reader.head(found.tenant_id).seq, 0, -1):
            stored = found.reader.record(found.tenant_id, seq)
            for event in events(stored.body) if stored is not None else ():
                if event.type in {VALIDATOR_RUN_SUMMARY, *BUDGET_DECISIONS}:
                    at_ms = parse_instant(event.fields["evaluation_time"])
                    if at_ms is not None:
                        return at_ms
    return wiring.system_surroundings().clock_ms()


def _policy(found: Ledger, policy: str | None) -> tuple[BudgetPolicy, str]:
    if policy is not None:
        return load(policy, found.tenant_id)
    version = found.policy_version
    if version is None:
        raise UsageError(
            f"no decision of tenant `{found.tenant_id}` is on record, so no policy is in force; name one with --policy FILE"
        )
    recorded = _recorded(found, version)
    if recorded is None:
        raise UsageError(
            f"the ledger of tenant `{found.tenant_id}` does not hold the policy in force, version {version[:12]}; "
            "name it with --policy FILE"
        )
    if recorded[0] is None:
        raise UsageError(
            f"the policy in force for tenant `{found.tenant_id}` (version {version[:12]}) has no budgets, which blocks every "
            "operation (NO_APPLICABLE_CONFIG); write caps, or `budgets: unlimited`; name another policy with --policy FILE"
        )
    return recorded[0], version


def _recorded(found: Ledger, version: str) -> tuple[BudgetPolicy | None] | None:
    """Return the budgets of the policy in force from what is on record; None where that does not hold it (any more)."""
    from weighbridge import canonical
    from weighbridge.ledger.archive import is_stub
    from weighbridge.ledger.record import POLICY_ACTIVATED, events
    from weighbridge.ledger.spending_history import policy_hash
    from weighbridge.policy.compile import compile_effective

    for seq in range(found.reader.head(found.tenant_id).seq, 0, -1):
        stored = found.reader.record(found.tenant_id, seq)
        if stored is None or is_stub(stored.body):
            continue
        content_hash = policy_hash(stored.body, version)
        if content_hash is not None:
            data = found.reader.content(found.tenant_id, content_hash)
            try:
                effective = None if data is None else compile_effective(canonical.decode(data))
            except (PolicyError, ValueError):
                return None
            # Its version is the hash of its text: what was changed is another policy.
            return (effective.budgets,) if effective is not None and effective.policy_version == version else None
        if any(
            event.type == POLICY_ACTIVATED and event.fields["policy_version"] == version
            for event in events(stored.body)
        ):
            return None
    return None


def _named(caps: Sequence[Cap], wanted: str) -> Cap:
    from difflib import get_close_matches

    found = next((cap for cap in caps if cap.id == wanted), None)
    if found is not None:
        return found
    near = get_close_matches(wanted, [cap.id for cap in caps], 1)
    hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(f'`{cap.id}`' for cap in caps)}"
    raise UsageError(f"the policy has no cap `{wanted}`; {hint}")
