import gc
import hashlib
import json
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import (
    callers,
    cap_race,
    decision,
    evaluate,
    flush,
    growth,
    imports,
    measure,
    plans,
    postgres,
    postgres_growth,
    reserve,
    reserve_growth,
    sealing,
    verifying,
    workload,
)
from tests.bench.flush import Place
from tests.bench.measure import Row, Scale
from weighbridge.canonical import encode
from weighbridge.ledger import chain
from weighbridge.wiring import open as open_weighbridge

TINY = Scale(
    rounds=2, calls=2, decisions=2, seconds=0.02, events_few=10, events_many=20, processes=1
)  # says nothing about speed


@pytest.fixture(autouse=True)
def _thaw():
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    "module", [evaluate, decision, callers, growth, imports, reserve, reserve_growth, sealing, verifying]
)
def test_every_group_measures_what_it_says(module, tmp_path):
    rows = module.run(Place(flush.DISK, tmp_path, {}), TINY)
    assert rows
    for row in rows:
        assert row.group == module.GROUP
        assert row.value > 0
        assert row.beside_value > 0
        assert row.ratio > 0


@pytest.mark.slow
@pytest.mark.parametrize("module", [plans, postgres, postgres_growth])
def test_every_group_on_postgresql_measures_what_it_says(module):
    with tempfile.TemporaryDirectory() as folder:  # the server is somebody else, who cannot enter pytest's own folder
        rows = module.run(Place(flush.DISK, Path(folder), {}), TINY)
    assert rows
    for row in rows:
        assert row.group == module.GROUP
        assert min(row.value, row.beside_value, row.ratio) > 0


def test_a_statement_a_decision_does_what_ours_does(database):
    """The other side of the comparison moves four counters, binds the operation once, and extends a chain that holds."""
    with postgres._statements(database, 2) as asks:
        for ask in asks * 3:
            ask()
    with closing(database.owner()) as owner:
        assert owner.execute("SELECT used FROM plain.counter").fetchall() == [(6,)] * 4
        assert owner.execute("SELECT count(*), max(seq) FROM plain.operation").fetchall() == [(6, 6)]
        rows = owner.execute("SELECT seq, leaf, hash, body FROM plain.ledger ORDER BY seq").fetchall()
        before = hashlib.sha256(b"\2").digest()
        for number, (seq, leaf, hash_, body) in enumerate(rows, start=1):
            assert (seq, leaf) == (number, chain.leaf_hash(body))
            assert hash_ == chain.link(before, seq, leaf)
            before = hash_
        assert len(rows) == 6
        spend = "SET search_path = plain; UPDATE counter SET cap = 6 WHERE name = 'plan'"
        owner.execute(spend)
        names = ["tenant", "tool", "plan", "account"]
        asked = ("t-0", names, 1, "op-last", "request", b"body")
        for request, said in (("request", "BLOCKED"), ("request", "BLOCKED"), ("other", "CONFLICT")):
            answer = owner.execute("SELECT spend(%s, %s, %s, %s, %s, %b)", (*asked[:4], request, asked[5])).fetchall()
            assert answer == [(said,)]
        assert owner.execute("SELECT max(used), max(seq) FROM counter, head").fetchall() == [(6, 7)]


def test_the_floor_appends_the_same_bytes(tmp_path):
    """L1: what the floor is charged for is what the decisions were charged for, in the same order."""
    with open_weighbridge(workload.POLICY, tmp_path / "decisions.db") as wb:
        decisions = decision.Decisions(wb)
        decisions.block(3)
        appended = decisions.appended()
        floor = decision.Floor(tmp_path / "floor.db")
        for one in appended:
            floor.append(one)
        floor.close()
        with open_weighbridge(workload.POLICY, tmp_path / "floor.db") as copy:
            stored = [(record.seq, record.body, record.hash) for record in copy.reader.records(decision.TENANT)]
            mine = [(record.seq, record.body, record.hash) for record in wb.reader.records(decision.TENANT)]
            bodies = sorted(body for _, body in copy.reader.contents(decision.TENANT) if body)
            assert bodies == sorted(body for _, body in wb.reader.contents(decision.TENANT) if body)
    assert stored == mine
    assert len(stored) == 4  # three, and the one that looks at the verdict


def test_the_peers_answer_the_same_questions_and_one_rule_matches():
    assert len(evaluate.AGT_SAME_KINDS) == len(evaluate.AGT_EQUALITIES) == workload.RULES
    policy = workload.POLICY
    ours = [
        *policy["freshness"]["source_types"],
        *policy["grounding"]["values"],
        *policy["contradiction"]["rules"],
        *policy["compliance"]["restricted_fields"],
        *policy["compliance"]["prohibited_values"],
        "allowed_actions",
    ]
    assert len(ours) == workload.RULES


def test_requests_are_about_a_kilobyte_and_all_different():
    requests = [encode(workload.request(number)) for number in range(50)]
    assert len(set(requests)) == 50
    assert all(900 < len(request) < 1_200 for request in requests)


@pytest.mark.parametrize(
    ("better", "ratio", "target", "met"),
    [("low", 1.5, 1.5, True), ("low", 1.51, 1.5, False), ("high", 0.74, 0.75, False), ("low", 9.0, None, None)],
)
def test_a_target_is_kept_or_missed(better, ratio, target, met):
    row = Row("g", "what", 3.0, "us", "beside", 2.0, ratio, target, better)
    assert row.met is met
    assert ("MISSED" in measure.table([row])) is (met is False)


def test_ratios_are_taken_within_a_round():
    """A round in which the machine was slow for both says the same as a quick one."""
    assert measure.ratio([10.0, 100.0, 30.0], [5.0, 50.0, 10.0]) == 2.0


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_the_rows(tmp_path, capsys):
    output = tmp_path / "bench.json"
    assert bench.main(["--quick", "--group", "evaluate", "--output", str(output)]) == 0
    written = json.loads(output.read_text())
    assert written["quick"] is True
    assert {row["group"] for row in written["rows"]} == {"evaluate"}
    assert "judge: 4 validators, 10 rules" in capsys.readouterr().out


@pytest.mark.slow
def test_the_race_for_a_cap_counts_calls_that_happened(tmp_path):
    """B5: ours is exact in every race; what peers are installed is measured, and what is not is left out."""
    rows = cap_race.run(Place(flush.DISK, tmp_path, {}), TINY)
    ours = [row for row in rows if row.what.startswith(cap_race.OURS)]
    assert [row.value for row in ours] == [100, 100, 0]
    assert all(row.met for row in ours)
    assert len(rows) % len(ours) == 0
