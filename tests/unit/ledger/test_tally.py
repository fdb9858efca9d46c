"""The second opinion: records that are well formed and linked, and claim what does not follow. Each lie is found by name."""

import copy
import os

import pytest

from weighbridge.domain.caps import Period
from weighbridge.ledger import chain, record
from weighbridge.ledger.fold import Fold, compare_budget
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import (
    NOW_MS,
    TENANT,
    cap,
    decision,
    draft,
    ended,
    reservation,
    usage,
)

CAPS = [
    cap("day", 3, soft=2),
    cap("month", None, unit="tokens", period=Period.MONTH, scope=(("account", None),), settles=True),
]
AMOUNTS = {"operations": 1, "tokens": 10}
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def bodies():
    """Return honest records: reserved, warned, blocked, used, settled, a new zone and new caps."""
    store = MemoryStore(entropy=os.urandom)
    for number in range(4):
        store.commit(reservation(f"op-{number}", CAPS, amounts=AMOUNTS))
    store.commit(usage("op-0", {"tokens": 4}))
    store.commit(ended("op-1", {"tokens": 12, "operations": 1}))
    more = [*CAPS, cap("why", 9, unit="tokens", period=Period.PLAN, scope=(("plan", None),), justification=True)]
    store.commit(reservation("op-5", more, zone="Asia/Tokyo", at_ms=NOW_MS + DAY_MS, amounts=AMOUNTS))
    store.commit(
        reservation("op-6", more[:2], draft("run-6"), zone="Asia/Tokyo", at_ms=NOW_MS + 2 * DAY_MS, amounts=AMOUNTS)
    )
    store.commit(reservation("op-7", [], at_ms=NOW_MS + 2 * DAY_MS))
    return [stored.body for stored in store.records(TENANT)]


def folded(bodies):
    """Return the fold of bodies that are linked anew, and what is wrong with each."""
    fold, hash_, faults = Fold(TENANT), chain.genesis(TENANT), []
    for seq, body in enumerate(bodies, start=1):
        leaf = chain.leaf_hash(body)
        hash_ = chain.link(hash_, seq, leaf)
        faults.append(fold.add(seq, leaf, hash_, body))
    return fold, faults


def retold(bodies, seq, change):
    """Return the bodies with the events of one record changed, as somebody would who writes past the kernel."""
    decoded = record.decode(bodies[seq - 1])
    common, events = copy.deepcopy(decoded.common), copy.deepcopy(decoded.events)
    change(common, {event["type"]: event for event in events}, events)
    body = record.encode(TENANT, seq, common, events, subjects=decoded.subjects, purpose=decoded.purpose)
    return [*bodies[: seq - 1], body, *bodies[seq:]]


def test_honest_records_follow(bodies):
    """L3: nothing is wrong with what the kernel wrote."""
    fold, faults = folded(bodies)
    assert faults == [None] * len(bodies)
    assert fold.budget.counters["operations 2026-11-22 any"].reserved == 3


def budget_event(named):
    return next(event for kind, event in named.items() if kind in record.BUDGET_DECISIONS)


def cap_of(named, number=0):
    return budget_event(named)["caps"][number]


def on_cap(number=0, **said):
    """Return a change of what one cap says."""
    return lambda _, named, __: cap_of(named, number).update(said)


def on(kind, **said):
    """Return a change of what one event says; None is the budget's decision."""
    return lambda _, named, __: (named[kind] if kind else budget_event(named)).update(said)


def told_of_another(common, named, events):
    common["operation_id"] = "op-0"
    for event in events:
        event["operation_id"] = "op-0"
    events.remove(named["OPERATION_COMPLETED"])


def in_the_middle(_, named, __):
    named["POLICY_ACTIVATED"]["budget"]["zones"][1][1] = NOW_MS + DAY_MS + 1


def zones(*known):
    return lambda _, named, __: named["POLICY_ACTIVATED"]["budget"].update(zones=list(known))


LIES = {
    "usage before": (2, on_cap(usage_before="0", usage_after="1"), "was used"),
    "usage after": (2, on_cap(usage_after="1"), "afterwards"),
    "soft cap unsaid": (3, on_cap(verdict="ALLOW", reason="WITHIN_CAPS"), "does not follow"),
    "soft cap made up": (1, on_cap(verdict="WARN", reason="SOFT_CAP_EXCEEDED"), "does not follow"),
    "justified by nothing": (1, on_cap(verdict="WARN", reason="JUSTIFIED"), "does not follow"),
    "never fits": (4, on_cap(reason="NEVER_FITS"), "does not follow"),
    "blocked for nothing": (1, on_cap(verdict="BLOCK", reason="HARD_CAP_EXCEEDED"), "does not follow"),
    "cost unknown": (1, on_cap(verdict="BLOCK", reason="COST_UNKNOWN"), "does not follow"),
    "verdict": (3, on("BUDGET_WARN", result="ALLOW"), "says ALLOW"),
    "reason": (3, on("BUDGET_WARN", reason="JUSTIFIED"), "its caps and findings do not"),
    "type": (1, on("BUDGET_RESERVE", type="BUDGET_WARN"), "that says ALLOW"),
    "day": (2, on(None, period={"DAY": "2026-11-21", "MONTH": "2026-11"}), "which its time is not in"),
    "month": (2, on(None, period={"DAY": "2026-11-22", "MONTH": "2026-10"}), "which its time is not in"),
    "another counter": (2, on_cap(counter="operations 2026-11-22 CHEAP"), "does not count it"),
    "another unit": (2, on_cap(1, unit="operations"), "does not count it"),
    "a cap left out": (2, lambda _, named, __: budget_event(named)["caps"].pop(), "every counter"),
    "every cap left out": (2, on(None, caps=[]), "every counter"),
    "a cap left out of a block": (4, lambda _, named, __: budget_event(named)["caps"].pop(), "every counter"),
    "findings": (2, on(None, findings=[{"reason": "X"}]), "its caps and findings do not"),
    "no cap, but allowed": (9, on(None, type="BUDGET_RESERVE", result="ALLOW"), "do not"),
    "asked twice": (2, lambda _, named, events: events.append(dict(budget_event(named))), "asked once"),
    "more was used": (5, on("USAGE_REPORTED", consumed={"tokens": "9"}), "gives back"),
    "no overrun": (6, lambda _, named, __: named["USAGE_REPORTED"].pop("overrun"), "overrun"),
    "more was reserved": (5, on("USAGE_REPORTED", reserved={"tokens": "11"}), "something else"),
    "more is given back": (5, on("BUDGET_SETTLE", released={"tokens": "7"}), "gives back"),
    "another period": (5, on("BUDGET_SETTLE", period={"DAY": "2026-11-23", "MONTH": "2026-11"}), "another period"),
    "settled elsewhere": (5, on("BUDGET_SETTLE", counters=[]), "other counters"),
    "settled to": (
        5,
        lambda _, named, __: named["BUDGET_SETTLE"]["counters"][0].update(usage_after="0"),
        "not as it says",
    ),
    "settled without use": (5, lambda _, __, events: events.pop(0), "no use is reported"),
    "not settled": (5, lambda _, __, events: events.pop(1), "gives back"),
    "settled again": (6, told_of_another, "op-0"),
    "zone from the middle of a day": (7, in_the_middle, "middle"),
    "zone at once": (7, zones(["Asia/Tokyo", 0, 0]), "zone"),
    "zone unknown": (7, zones(["Nowhere", 0, 0]), "lacks"),
    "zone that is in force left out": (7, zones(["UTC", 0, NOW_MS]), "zone"),
    "families in disorder": (
        7,
        lambda _, named, __: named["POLICY_ACTIVATED"]["budget"]["families"].reverse(),
        "sorted",
    ),
    "a family unsaid": (
        7,
        lambda _, named, __: named["POLICY_ACTIVATED"]["budget"]["families"].pop(),
        "does not count it",
    ),
    "amounts": (1, on(None, amounts={"operations": "1.5"}), "lacks"),
    "time": (1, lambda common, _, __: common.update(evaluation_time="soon", time_source="supplied"), "lacks"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_where_it_stands(bodies, lie):
    """L3, B4, B7, B9, B10: linked correctly, it still does not follow from the records before it."""
    seq, change, words = LIES[lie]
    _, faults = folded(retold(bodies, seq, change))
    first = next(fault for fault in faults if fault is not None)
    assert first.seq == seq
    assert words in first.message, first.message


def test_a_passed_cap_is_a_fault(bodies):
    """B4, B5: the proof that no reservation took a counter above the cap it states, whoever wrote it."""

    def allow(_, named, __):
        cap_of(named).update(verdict="ALLOW", reason="WITHIN_CAPS")
        budget_event(named).update(type="BUDGET_RESERVE", result="ALLOW", reason="WITHIN_CAPS")

    fold, faults = folded(retold(bodies, 4, allow))
    assert next(fault.seq for fault in faults if fault) == 4
    assert fold.budget.counters["operations 2026-11-22 any"].reserved == 4  # what was reserved counts all the same
    lowered = retold(bodies, 4, lambda _, named, __: (allow(_, named, __), cap_of(named).update(hard_cap="9")))
    assert folded(lowered)[1][3] is not None  # WARN, of 4 with a soft cap of 2


def test_only_the_cap_it_states_is_known(bodies):
    """L3: a record that states a higher cap and follows from it is what a policy of that cap would give; the version tells."""

    def warn(_, named, __):
        cap_of(named).update(verdict="WARN", reason="SOFT_CAP_EXCEEDED", hard_cap="9")
        budget_event(named).update(type="BUDGET_WARN", result="WARN", reason="SOFT_CAP_EXCEEDED")

    assert folded(retold(bodies, 4, warn))[1][3] is None


def test_a_budget_beside_a_blocked_gate_is_a_fault():
    """B11, G10: it is asked last, and only where no run is a BLOCK."""
    store = MemoryStore(entropy=os.urandom)
    store.commit(reservation("op-1", [cap("c", 9)], draft("run-1")))
    bodies = [stored.body for stored in store.records(TENANT)]
    _, faults = folded(retold(bodies, 1, lambda _, named, __: named["VALIDATOR_RUN_SUMMARY"].update(result="BLOCK")))
    assert faults[0] is not None
    assert "only where no run is a BLOCK" in faults[0].message


def test_rows_are_compared_with_what_the_records_add_up_to(bodies):
    """L3: changed, missing, made up: counters, cells and families, each by name, with the record that moved it last."""
    store = MemoryStore(entropy=os.urandom)
    for number in range(3):
        store.commit(reservation(f"op-{number}", CAPS, amounts=AMOUNTS))
    store.commit(decision(draft("run-1"), policy="x"))
    store.commit(reservation("op-9", CAPS, amounts=AMOUNTS, account="a-2", policy="y", at_ms=NOW_MS + DAY_MS))
    rows = (list(store.counters(TENANT)), list(store.consumption(TENANT)), store.families(TENANT))

    def faults(*found):
        fold, _ = folded([stored.body for stored in store.records(TENANT)])
        return [(fault.seq, fault.part) for fault in compare_budget(fold.budget, *found)]

    counters, cells, families = rows
    assert faults(*rows) == []
    name, held = counters[0]
    assert name == "operations 2026-11-22 any"
    less = [(name, type(held)(held.reserved - 1, held.settled)), *counters[1:]]
    assert faults(less, cells, families) == [(3, "counter")]
    assert faults(counters[1:], cells, families) == [(3, "counter")]
    assert faults([*counters, ("operations 2026-11-22 CHEAP", held)], cells, families) == [(None, "counter")]
    assert faults(counters, cells[1:], families) == [(3, "consumption")]
    assert faults(counters, [(cells[0][0], cells[1][1]), cells[1]], families) == [(3, "consumption")]
    assert faults(counters, [*cells, ("[]", cells[0][1])], families) == [(None, "consumption")]
    assert faults(counters, cells, families[1:]) == [(5, "counter family")]
    assert faults(counters, cells, (*families, "x")) == [(None, "counter family")]
