"""Many callers race for what a cap leaves: exactly as much is reserved as fits, and refusals cost nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
from collections import Counter

import pytest

from tests.postgres import shared_place
from tests.samples import CONTEXT, Clock, policy
from weighbridge.admission import Surroundings
from weighbridge.domain.decision import Blocked, OperationDecision
from weighbridge.domain.verdict import Verdict
from weighbridge.scopes import scope
from weighbridge.wiring import open as open_weighbridge

CAP = 100
TOKENS, MONEY = 7, 3_000_000_001  # of every call; odd, so that a sum says how many there were
LARGE_MAX = 30
DAY_MS = 86_400_000

SPENT = {"operations": 1, "tokens": TOKENS, "pico_USD": MONEY}
CAPS = [
    {"id": "race", "hard_cap": f"{CAP}/day"},
    {"id": "month", "hard_cap": "1k/month", "soft_cap": 900},
    {"id": "tokens", "hard_cap": "1M tokens/month", "scope": {"account": "each"}},
    {"id": "money", "hard_cap": "$2.50/day", "scope": {"tool": "llm.call"}},
    {"id": "medium", "hard_cap": "unlimited operations/day", "cost_classes": ["MEDIUM"]},
    {"id": "counted", "hard_cap": "unlimited operations/month", "scope": {"plan": "each", "tool": "each"}},
]
UNTOUCHED = {  # what the counters hold after exactly CAP calls, whatever was refused
    "operations 2026-11-22 any": CAP,
    "operations 2026-11 any": CAP,
    'pico_USD 2026-11-22 any tool="llm.call"': CAP * MONEY,
    "operations 2026-11-22 MEDIUM": CAP,
    'operations 2026-11 any plan=(none) tool="llm.call"': CAP,
}

soak = pytest.mark.soak
long = pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")


def opened(store, caps, clock=None):
    around = Surroundings(clock_ms=clock or Clock(), entropy=os.urandom)
    operations = {"llm.call": {"kind": "action", "action_type": "update", "cost_class": "MEDIUM"}}
    return open_weighbridge(policy(operations=operations, budgets={"caps": caps}), store, surroundings=around)


def request(name, **budget):
    spending = {"operation": "llm.call", "amounts": {"tokens": TOKENS, "pico_USD": str(MONEY)}, **budget}
    return {
        "tenant_id": "acme",
        "operation_id": name,
        "account_id": f"a-{sum(name.encode()) % 3}",
        "budget": spending,
    }


def race(threads, work):
    """Run ``work(thread)`` in every thread at once; what one raises, the test raises."""
    start, failed = threading.Barrier(threads), []

    def run(number):
        start.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - a thread ends silently otherwise
            failed.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if failed:
        raise failed[0]


def asked(wb, prefix, threads, each, **budget):
    """Ask from many threads, and return every decision."""
    decisions: list[OperationDecision] = []

    def work(thread):
        decisions.extend(wb.reserve(request(f"{prefix}-{thread}-{number}", **budget)) for number in range(each))

    race(threads, work)
    assert len(decisions) == threads * each
    return decisions


def allowed(decisions):
    return [decision for decision in decisions if decision.verdict is not Verdict.BLOCK]


def counters(wb):
    return {name: counter.reserved for name, counter in wb.reader.counters("acme")}


def check_untouched(wb):
    """B4: nothing was moved by a refusal, in any counter of any unit; the ledger gives the same (L3)."""
    found = counters(wb)
    assert {name: found.pop(name) for name in UNTOUCHED} == UNTOUCHED
    assert {name.rsplit('"', 2)[0] for name in found} == {"tokens 2026-11 any account="}
    assert sum(found.values()) == CAP * TOKENS
    assert wb.verify("acme").ok


def check_refusals(decisions):
    """B4, B10: each refusal names the one cap that was full, and the others as what they were: not passed."""
    for decision in decisions:
        if decision.verdict is Verdict.BLOCK:
            assert decision.reasons == ("HARD_CAP_EXCEEDED",)
            assert [cap.cap for cap in decision.budget.caps if cap.verdict is Verdict.BLOCK] == ["race"]
            full = next(cap for cap in decision.budget.caps if cap.cap == "race")
            assert (full.usage_before, full.usage_after, full.hard_cap) == (CAP, CAP + 1, CAP)


def test_sixteen_threads_reserve_exactly_the_cap(place):
    """B5: of 400 requests under a cap of 100, 100 are reserved, each on top of another usage; B4: refusals cost nothing."""
    with opened(place, CAPS) as wb:
        decisions = asked(wb, "op", 16, 25)
        through = allowed(decisions)
        assert len(through) == CAP
        seen = [next(cap.usage_before for cap in one.budget.caps if cap.cap == "race") for one in through]
        assert sorted(seen) == list(range(CAP))
        check_refusals(decisions)
        check_untouched(wb)
        assert wb.reader.head("acme").seq == 16 * 25


def test_sixteen_threads_call_a_function_exactly_as_often_as_the_cap_says(place):
    """B5, Z4: what is governed runs 100 times, with the amounts that were reserved, and never for a refusal."""
    here = {name: CONTEXT[name] for name in ("data_sources", "evidence")}
    called, refused = [], []
    with opened(place, CAPS) as wb:

        @wb.operation(
            "llm.call", cost="MEDIUM", action="update", reserves=lambda _: {"tokens": TOKENS, "pico_USD": MONEY}
        )
        def llm_call(number):
            called.append(number)

        def work(thread):
            fields, references = CONTEXT["snapshot"]["fields"], CONTEXT["proposal"]["evidence"]
            about = scope(tenant="acme", account=f"a-{thread % 3}", snapshot=fields, references=references, **here)
            with about:
                for number in range(12):
                    with contextlib.suppress(Blocked):
                        llm_call(thread * 12 + number)
                        continue
                    refused.append(thread * 12 + number)

        race(16, work)
        assert len(called) == CAP
        assert sorted(called + refused) == list(range(16 * 12))
        check_untouched(wb)


def in_process(place, clock, work, answers):
    prefix, threads, each = work
    with opened(place, CAPS, clock) as wb:
        answers.put([decision.verdict.value for decision in asked(wb, prefix, threads, each)])


def in_processes(place, processes, threads, each, *, prefix, clock=None):
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    started = [
        spawn.Process(target=in_process, args=(place, clock, (f"{prefix}-{number}", threads, each), answers))
        for number in range(processes)
    ]
    for process in started:
        process.start()
    try:
        found = [verdict for _ in started for verdict in answers.get(timeout=60)]
    except queue.Empty:
        pytest.fail(f"a process gave no answers; exit codes: {[process.exitcode for process in started]}")
    finally:
        for process in started:
            process.join(60)
    assert len(found) == processes * threads * each
    return Counter(found)


@pytest.mark.slow
@shared_place
def test_four_processes_reserve_exactly_the_cap_and_none_after_a_restart(place):
    """B5: 100 over four processes in one place, 0 in a process that starts afterwards, and 100 again on the next day (B9)."""
    found = in_processes(place, 4, 4, 15, prefix="first")
    assert found == {"ALLOW": CAP, "BLOCK": 4 * 4 * 15 - CAP}
    assert in_processes(place, 1, 4, 5, prefix="restarted") == {"BLOCK": 20}
    with opened(place, CAPS) as wb:
        check_untouched(wb)
    with opened(place, CAPS, Clock(Clock().now_ms + DAY_MS)) as wb:
        assert len(allowed(asked(wb, "tomorrow", 8, 15))) == CAP
        assert counters(wb)["operations 2026-11 any"] == 2 * CAP
        assert wb.verify("acme").ok


def test_the_same_ids_from_every_thread_are_charged_once(place):
    """B6: sixteen threads race for each of the same ids; every caller of one hears the same, and it is charged once."""
    answers: list[tuple[str, Verdict, int]] = []

    def work(thread):
        for number in range(120):
            name = f"op-{(number + 11 * thread) % 120}"
            decision = wb.reserve(request(name))
            answers.append((name, decision.verdict, decision.record.seq))

    with opened(place, CAPS) as wb:
        race(16, work)
        assert len(set(answers)) == 120
        assert sum(verdict is Verdict.ALLOW for _, verdict, _ in set(answers)) == CAP
        assert wb.reader.head("acme").seq == 120
        check_untouched(wb)


def test_two_caps_fill_at_different_times(place):
    """B3, B4: 30 EXPENSIVE calls at most, 100 in all: both exactly, and the narrow cap keeps no CHEAP call out."""
    caps = [
        {"id": "race", "hard_cap": f"{CAP}/day"},
        {"id": "large", "hard_cap": f"{LARGE_MAX}/day", "cost_classes": ["EXPENSIVE"]},
        {"id": "by-account", "hard_cap": "unlimited operations/day", "scope": {"account": "each"}},
    ]
    with opened(place, caps) as wb:
        large = []
        race(16, lambda thread: large.extend(asked_in_turn(wb, f"op-{thread}", 25)))
        through = Counter(cost_class for cost_class, verdict in large if verdict is Verdict.ALLOW)
        assert through.total() == CAP
        found = counters(wb)
        assert found.pop("operations 2026-11-22 any") == CAP
        assert found.pop("operations 2026-11-22 EXPENSIVE") == through["EXPENSIVE"] <= LARGE_MAX
        assert sum(found.values()) == CAP
        assert wb.verify("acme").ok


def asked_in_turn(wb, prefix, each):
    for number in range(each):
        cost_class = "EXPENSIVE" if number % 2 else "MEDIUM"
        decision = wb.reserve(request(f"{prefix}-{number}", cost_class=cost_class))
        yield cost_class, decision.verdict


def test_amounts_are_never_shrunk_to_what_is_left(place):
    """B12: 142 times 7 tokens fit into 1,000; the 6 that are left stay, until somebody asks for 6."""
    caps = [{"id": "tokens", "hard_cap": "1k tokens/day"}, {"id": "calls", "hard_cap": "1k/day"}]
    with opened(place, caps) as wb:
        assert len(allowed(asked(wb, "op", 16, 11))) == 1_000 // TOKENS
        assert counters(wb) == {"tokens 2026-11-22 any": 994, "operations 2026-11-22 any": 142}
        small = [allowed(asked(wb, f"small-{n}", 8, 2, amounts={"tokens": 6 - n})) for n in (0, 5)]
        assert [len(one) for one in small] == [1, 0]
        assert wb.verify("acme").ok


@pytest.mark.slow
@shared_place
@pytest.mark.parametrize("each", [CAP // 4 - 1, CAP // 4, CAP // 4 + 1])
def test_as_many_as_there_are_or_as_fit(place, each):
    """B5: of N requests from two processes under a cap of K exactly min(N, K) are reserved, also where N is just about K."""
    found = in_processes(place, 2, 2, each, prefix="op")
    assert (found["ALLOW"], found["BLOCK"]) == (min(4 * each, CAP), max(0, 4 * each - CAP))
    with opened(place, CAPS) as wb:
        assert counters(wb)["operations 2026-11-22 any"] == min(4 * each, CAP)
        assert wb.verify("acme").ok


@soak
@long
@shared_place
@pytest.mark.parametrize("number", range(10))
def test_sixty_four_threads_and_eight_processes(place, number):
    """B5: as above, more of both, again and again."""
    with opened(place, CAPS) as wb:
        assert len(allowed(asked(wb, "op", 64, 20))) == CAP
        check_untouched(wb)
    clock = Clock(Clock().now_ms + DAY_MS)
    assert in_processes(place, 8, 8, 8, prefix=f"op-{number}", clock=clock)["ALLOW"] == CAP
    assert in_processes(place, 2, 4, 8, prefix="restarted", clock=clock) == {"BLOCK": 64}
    with opened(place, CAPS, clock) as wb:
        assert counters(wb)["operations 2026-11 any"] == 2 * CAP
        assert wb.verify("acme").ok
