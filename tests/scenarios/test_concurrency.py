"""Many callers on one file: no record is lost, doubled or forked."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter

from tests.samples import context, weighbridge
from weighbridge.errors import IdempotencyConflict

RUNS = 40


def _gate_all(wb, offset, answers, *, rounds=RUNS):
    """Ask for every run, starting somewhere else than the others."""
    for number in range(rounds):
        run_id = f"run-{(number + offset) % rounds}"
        decision = wb.gate(context(validation_run_id=run_id, target_id=run_id))
        answers.append((run_id, decision.record.seq, decision.replayed))


def _check(wb, answers, runs):
    """G3, L2: every caller had the same answer, each run is one record, and the chain is whole."""
    seqs: dict[str, int] = {}
    for run_id, seq, _ in answers:
        assert seqs.setdefault(run_id, seq) == seq
    made = Counter(run_id for run_id, _, replayed in answers if not replayed)
    assert made == Counter(runs)
    assert sorted(seqs.values()) == list(range(1, len(runs) + 1))
    assert [record.seq for record in wb.reader.records("acme")] == list(range(1, len(runs) + 1))
    assert wb.verify("acme").ok


def test_sixteen_threads_ask_for_the_same_runs(tmp_path):
    """G3: one record per run, also when sixteen callers race for each."""
    answers: list[tuple[str, int, bool]] = []
    with weighbridge(tmp_path / "l.db") as wb:
        threads = [threading.Thread(target=_gate_all, args=(wb, offset * 3, answers)) for offset in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(answers) == 16 * RUNS
        _check(wb, answers, [f"run-{number}" for number in range(RUNS)])


def test_sixteen_threads_race_with_two_requests_for_one_id(tmp_path):
    """G3: the first request wins, the other is a conflict for whoever brings it."""
    outcomes: list[str] = []

    def ask(wb, which):
        try:
            wb.gate(context(validation_run_id="run-1", target_id=which))
            outcomes.append(which)
        except IdempotencyConflict:
            outcomes.append("conflict")

    with weighbridge(tmp_path / "l.db") as wb:
        threads = [threading.Thread(target=ask, args=(wb, "left" if n % 2 else "right")) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wb.reader.head("acme").seq == 1
    assert outcomes.count("conflict") == 8
    assert len({which for which in outcomes if which != "conflict"}) == 1


def _process(path, offset, answers):
    found: list[tuple[str, int, bool]] = []
    with weighbridge(path) as wb:
        _gate_all(wb, offset, found)
    answers.put(found)


def test_four_processes_on_one_file(tmp_path):
    """G3, L2: four processes, the same and different runs, one ledger."""
    path = tmp_path / "l.db"
    with weighbridge(path) as wb:
        wb.reader.tenant_key("acme")
        spawn = multiprocessing.get_context("spawn")
        answers = spawn.Queue()
        processes = [spawn.Process(target=_process, args=(path, offset * 7, answers)) for offset in range(4)]
        for process in processes:
            process.start()
        found = [answer for _ in processes for answer in answers.get(timeout=120)]
        for process in processes:
            process.join()
        assert len(found) == 4 * RUNS
        _check(wb, found, [f"run-{number}" for number in range(RUNS)])
