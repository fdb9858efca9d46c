"""Simulation: recorded operations under other caps, by the kernel that decided them."""

from __future__ import annotations

import random

import msgspec
import pytest

from weighbridge.budgets.decide import Counter
from weighbridge.budgets.periods import ZoneFrom, write_zones
from weighbridge.budgets.simulate import Asked, Reported, Simulation
from weighbridge.domain.amounts import CostClass
from weighbridge.domain.caps import Period
from weighbridge.domain.decision import Finding
from weighbridge.domain.verdict import Verdict
from weighbridge.ledger.spending_history import history
from weighbridge.storage.memory import MemoryStore
from weighbridge.testing.submissions import NOW_MS, TENANT, cap, reservation, usage

UTC = write_zones((ZoneFrom("UTC", 0, 0),))
HOUR_MS = 3_600_000


def asked(number, *, verdict=Verdict.ALLOW, reason="WITHIN_CAPS", **changes):
    given = {
        "seq": number,
        "operation_id": f"op-{number}",
        "operation": "crm.read",
        "cost_class": CostClass.CHEAP,
        "account": "a-1",
        "plan": None,
        "amounts": {"operations": 1},
        "at_ms": NOW_MS + number,
    } | changes
    return Asked(verdict=verdict, reason=reason, **given)


def verdicts(simulation, *those):
    answers = [simulation.ask(one) for one in those]
    return [None if answer is None else (str(answer.decision.verdict), answer.decision.reason) for answer in answers]


def test_another_cap_gives_other_verdicts_and_says_which_ones():
    """B4: checked against what would have been reserved under these caps, not against what was."""
    simulation = Simulation((cap("day", 2, soft=1),), UTC)
    blocked_then = asked(2, verdict=Verdict.BLOCK, reason="HARD_CAP_EXCEEDED")
    assert verdicts(simulation, asked(1), blocked_then, asked(3)) == [
        ("ALLOW", "WITHIN_CAPS"),
        ("WARN", "SOFT_CAP_EXCEEDED"),
        ("BLOCK", "HARD_CAP_EXCEEDED"),
    ]
    assert simulation.first_blocked is not None
    assert simulation.first_blocked.asked.operation_id == "op-3"
    assert dict(simulation.changes) == {
        ("BLOCK", "HARD_CAP_EXCEEDED", "WARN", "SOFT_CAP_EXCEEDED"): 1,
        ("ALLOW", "WITHIN_CAPS", "BLOCK", "HARD_CAP_EXCEEDED"): 1,
    }
    assert (simulation.spent, simulation.spent_then) == ({"operations": 2}, {"operations": 2})
    outcome = simulation.by_cap["day"]
    assert dict(outcome.verdicts) == {Verdict.ALLOW: 1, Verdict.WARN: 1, Verdict.BLOCK: 1}
    assert outcome.first_blocked is simulation.first_blocked


def test_a_block_moves_no_counter_of_any_cap():
    """B4."""
    simulation = Simulation((cap("day", 1), cap("month", 9, period=Period.MONTH)), UTC)
    verdicts(simulation, asked(1), asked(2), asked(3))
    assert simulation.counters == {"operations 2026-11-22 any": Counter(1), "operations 2026-11 any": Counter(1)}


def test_what_lies_before_counts_as_it_was_recorded_and_what_lies_behind_does_not():
    """B14: as if the policy had been activated at that instant."""
    simulation = Simulation((cap("day", 3),), UTC, from_ms=NOW_MS + 3, to_ms=NOW_MS + 5)
    blocked = asked(2, verdict=Verdict.BLOCK, reason="HARD_CAP_EXCEEDED")
    assert verdicts(simulation, asked(1), blocked, asked(3), asked(4), asked(5)) == [
        None,
        None,
        ("ALLOW", "WITHIN_CAPS"),
        ("ALLOW", "WITHIN_CAPS"),
        None,
    ]
    assert simulation.before == 2
    assert simulation.counters == {"operations 2026-11-22 any": Counter(3)}
    assert simulation.outcomes.total() == 2


def test_what_was_blocked_for_another_reason_than_its_caps_stays_blocked():
    """B8, Z5: no cap makes an operation known."""
    found = (Finding("UNKNOWN_OPERATION", {"operation": "x"}),)
    unknown = asked(1, cost_class=None, findings=found, verdict=Verdict.BLOCK, reason="UNKNOWN_OPERATION")
    simulation = Simulation((cap("free", None),), UTC)
    assert verdicts(simulation, unknown) == [("BLOCK", "UNKNOWN_OPERATION")]
    assert not simulation.changes


def test_caps_that_the_record_has_no_amount_for_and_caps_that_are_not_there():
    """B8, B12: unknown cost is never 0, and no cap is no go."""
    assert verdicts(Simulation((cap("tokens", 5, unit="tokens"),), UTC), asked(1)) == [("BLOCK", "COST_UNKNOWN")]
    assert verdicts(Simulation((cap("dear", 5, classes=[CostClass.EXPENSIVE]),), UTC), asked(1)) == [
        ("BLOCK", "NO_APPLICABLE_CONFIG")
    ]


@pytest.mark.parametrize(
    ("justified", "expected"), [(True, ("WARN", "JUSTIFIED")), (False, ("BLOCK", "JUSTIFICATION_MISSING"))]
)
def test_a_reason_on_record_is_a_reason(justified, expected):
    """B13."""
    assert verdicts(Simulation((cap("why", 5, justification=True),), UTC), asked(1, justified=justified)) == [expected]


def test_settlement_is_that_of_the_caps_that_are_tried():
    """B7: down only, once, and only where a cap opts in."""
    report = Reported(2, NOW_MS, "op-1", {"tokens": 10, "operations": 5}, {})
    spent = asked(1, amounts={"tokens": 100, "operations": 1})
    for settles, settled in ((True, 90), (False, 0)):
        simulation = Simulation((cap("t", 150, unit="tokens", settles=settles), cap("n", 9)), UTC)
        simulation.ask(spent)
        simulation.report(report)
        simulation.report(report)
        simulation.report(Reported(3, NOW_MS, "nobody", {}, {}))
        assert simulation.counters["tokens 2026-11-22 any"] == Counter(100, settled)
        assert simulation.counters["operations 2026-11-22 any"] == Counter(1)


def test_before_the_period_what_was_given_back_then_was_given_back():
    """B7, B14: an operation settles by the caps it was reserved under."""
    simulation = Simulation((cap("t", 150, unit="tokens", settles=True),), UTC, from_ms=NOW_MS + 2)
    simulation.ask(asked(1, amounts={"tokens": 100}))
    simulation.report(Reported(2, NOW_MS + 5, "op-1", {"tokens": 10}, {"tokens": 30}))
    assert simulation.counters["tokens 2026-11-22 any"] == Counter(100, 30)


CAPS = (
    cap(
        "account-tokens", 4000, unit="tokens", period=Period.MONTH, scope=(("account", None),), settles=True, soft=2000
    ),
    cap("day", 12, soft=8),
    cap("dear", 9, classes=[CostClass.EXPENSIVE, CostClass.MEDIUM], justification=True),
    cap("plan", 30, period=Period.PLAN, scope=(("plan", None),)),
)


def recorded(seed):
    """Return what a store has on record of a random history."""
    draw = random.Random(seed)
    store = MemoryStore(entropy=bytes)
    at_ms = NOW_MS
    for number in range(120):
        at_ms += draw.randrange(HOUR_MS)
        submitted = reservation(
            f"op-{number}",
            CAPS,
            amounts={"operations": draw.randint(1, 3), "tokens": draw.randint(0, 900)},
            account=draw.choice(["a-1", "a-2", None]),
            plan=draw.choice(["p-1", "p-2", None]),
            cost_class=draw.choice(list(CostClass)),
            zone="Europe/Berlin",
            at_ms=at_ms,
            findings=["UNTRUSTED_INPUT"] if draw.random() < 0.05 else [],
        )
        content = draw.choice([None, "a" * 64])
        assert submitted.reservation is not None
        wanted = msgspec.structs.replace(submitted.reservation, justification=content)
        submitted = msgspec.structs.replace(submitted, reservation=wanted)
        committed = store.commit(submitted)
        if committed.state == "PENDING" and draw.random() < 0.5:
            store.commit(usage(f"op-{number}", {"tokens": draw.randint(0, 1200)}, at_ms=at_ms))
    return [one for stored in store.records(TENANT) for one in history(stored.body)], store


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("skipped", [0, 40])
def test_the_caps_of_then_give_the_answers_of_then(seed, skipped):
    """B10, G4: under the caps it was decided by, every operation meets what it met, wherever the simulation begins."""
    told, store = recorded(seed)
    decisions = [one for one in told if isinstance(one, Asked)]
    zones = store.head(TENANT).zones
    assert zones is not None
    simulation = Simulation(CAPS, zones, from_ms=decisions[skipped].at_ms)
    for one in told:
        if isinstance(one, Reported):
            simulation.report(one)
            continue
        answer = simulation.ask(one)
        if answer is not None:
            assert (answer.decision.verdict, answer.decision.reason) == (one.verdict, one.reason)
    assert simulation.outcomes.total() == len(decisions) - skipped
    assert len(simulation.outcomes) > 3  # a history that shows something
    assert not simulation.changes
    assert simulation.counters == {name: counter for name, counter in store.counters(TENANT) if counter != Counter()}
