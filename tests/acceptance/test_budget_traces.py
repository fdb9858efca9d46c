"""Recorded calls against caps: every published decision, counter and sum, in order, in any order, and through kills."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from collections import Counter

import pytest

from tests.acceptance import budget_traces
from tests.acceptance.budget_traces import Trace, Way
from tests.acceptance.framework import Row, Score, data_root, rows_or_skip

LONG = pytest.mark.skipif(not os.environ.get("WEIGHBRIDGE_SOAK"), reason="minutes; set WEIGHBRIDGE_SOAK=1")
WAYS = (
    *(Way(threads=8), Way(threads=16), Way(threads=64), Way(processes=4), Way(processes=4, threads=4)),
    *(Way(threads=64, postgres=True), Way(processes=4, postgres=True), Way(processes=4, threads=8, postgres=True)),
)

IN_ORDER = ["every decision", "sums and decision file"]
IN_ANY_ORDER = [
    "one cap at a time, from many callers",
    "one cap at a time, killed and asked again",
    "one cap at a time, from many callers, on PostgreSQL",
]
DECISIONS = ["every decision", "every decision, killed and asked again", "every decision, on PostgreSQL"]
STORE = ["final counters", "counters are what the ledger adds up to", "the ledger verifies, one record a call"]


@pytest.fixture(scope="module")
def rows() -> dict[tuple[str, str], Row]:
    return {(row.rule, row.expected): row for row in rows_or_skip(budget_traces)}


@pytest.mark.acceptance
@pytest.mark.parametrize("expected", ["ALLOW", "BLOCK"])
@pytest.mark.parametrize("rule", DECISIONS)
def test_every_decision_is_the_published_one(rows, rule, expected):
    """B3, B4: every call that fits every cap is allowed; every other names each cap it would exceed. B6: also after kills."""
    row = rows[rule, expected]
    assert row.right
    assert not row.wrong, row.wrong_cases
    assert not row.not_expressible


@pytest.mark.acceptance
def test_the_decision_file_and_the_sums_are_the_published_ones(rows):
    """B2: money adds up to the last pico-dollar, and the file of decisions has the published hash."""
    row = rows["sums and decision file", "ALLOW"]
    assert row.right >= 6 * 3  # calls, allowed, denied, by cap, cost, hash; in order, through kills, and on PostgreSQL
    assert not row.wrong, row.wrong_cases


@pytest.mark.acceptance
@pytest.mark.parametrize("rule", IN_ANY_ORDER)
def test_with_one_cap_the_number_allowed_does_not_depend_on_the_order(rows, rule):
    """B5: shuffled over threads and processes, and killed, exactly as many are allowed as in order."""
    row = rows[rule, "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


@pytest.mark.acceptance
@pytest.mark.parametrize("rule", STORE)
def test_counters_and_ledger_agree_afterwards(rows, rule):
    """B3, B4, L2, L3: no counter was moved by a refusal or twice, and folding the ledger gives the counters."""
    row = rows[rule, "ALLOW"]
    assert row.right
    assert not row.wrong, row.wrong_cases


def soak_traces():
    folders = budget_traces.discover(data_root()) if os.environ.get("WEIGHBRIDGE_SOAK") else []
    return [pytest.param(folder, id=folder.name) for folder in folders] or [pytest.param(None, marks=LONG)]


@pytest.mark.soak
@LONG
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("folder", soak_traces())
def test_every_cap_alone_from_every_number_of_callers(folder, way):
    """B5: as above, every cap in every way."""
    trace, score = Trace.read(folder), Score("soak")
    for cap_id in trace.counts["single_cap_allowed_any_order"]:
        budget_traces.one_cap(trace, score, cap_id, way)
    assert wrong(score) == []


@pytest.mark.soak
@LONG
@pytest.mark.parametrize("folder", soak_traces())
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgres"])
def test_killed_forty_times(folder, postgres):
    """B5, B6, G2: killed forty times in order, and thirty times under eight threads."""
    trace, score = Trace.read(folder), Score("soak")
    budget_traces.whole_trace(trace, score, Way(kills=40, postgres=postgres))
    for cap_id in trace.counts["single_cap_allowed_any_order"]:
        budget_traces.one_cap(trace, score, cap_id, Way(threads=8, kills=30, postgres=postgres))
    assert wrong(score) == []


def wrong(score):
    return [case for row in score.rows() for case in row.wrong_cases]


# Of another shape than those that are published: other units, scopes and tiers.
CAPS = [
    {"id": "calls", "scope": ["tenant"], "window": "day", "unit": "calls", "limit": 7},
    {"id": "large", "scope": ["tenant"], "window": "day", "unit": "calls", "tier": ["MEDIUM", "EXPENSIVE"], "limit": 4},
    {"id": "tokens", "scope": ["tenant", "account", "tool"], "window": "month", "unit": "tokens", "limit": 2_500},
    {"id": "euros", "scope": ["tenant"], "window": "month", "unit": "pico_eur", "limit": 10**20},
]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "deep" / "made_up"
    denied = make(folder, CAPS)
    assert len(denied) == len(CAPS)  # otherwise a cap is not tested
    return folder


def make(folder, caps):
    """Write a small trace, over three months, and what a dictionary and a loop make of it; return how often each cap denied."""
    folder.mkdir(parents=True)
    calls = [
        {
            "i": i,
            "ts": f"2025-{1 + i // 50:02}-{1 + i % 3:02}T23:59:5{i % 10}.999999Z",
            "tenant": f"t{i % 2}",
            "account": f"a {i // 2 % 3}",
            "tool": ("crm.read", "llm.draft")[i % 5 == 0],
            "tier": ("CHEAP", "MEDIUM", "EXPENSIVE")[i // 4 % 3],
            "input_tokens": 10 * i,
            "output_tokens": i % 4,
            "cost_pico_eur": i * 10**17,  # beyond what a JSON number keeps exactly
        }
        for i in range(150)
    ]
    decisions, counters, cost = naive(calls, caps)
    text = "".join(f"{decision}\n" for decision in decisions)
    denied = Counter(cap for one in decisions if one != "A" for cap in one[2:].split(","))
    counts = {
        "calls": len(calls),
        "sequential_allowed": decisions.count("A"),
        "denied_by_cap": denied,
        "allowed_cost_pico_eur": cost,
        "single_cap_allowed_any_order": {
            cap["id"]: sum(naive(calls, [cap])[1].values()) for cap in caps if cap["unit"] == "calls"
        },
        "expected_decisions_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    (folder / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls), encoding="utf-8")
    (folder / "caps.json").write_text(json.dumps(caps), encoding="utf-8")
    (folder / "EXPECTED_COUNTS.json").write_text(json.dumps(counts), encoding="utf-8")
    (folder / "expected_decisions.txt.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "expected_final_counters.json").write_text(json.dumps(counters), encoding="utf-8")
    return denied


def naive(calls, caps):
    """Return what a dictionary and a loop decide."""
    used: Counter[str] = Counter()
    decisions, cost = [], 0
    for call in calls:
        moves = {}
        over = []
        for cap in caps:
            if call["tier"] not in cap.get("tier", ["CHEAP", "MEDIUM", "EXPENSIVE"]):
                continue
            window = call["ts"][: 10 if cap["window"] == "day" else 7]
            key = "|".join([cap["id"], window, *(call[name] for name in cap["scope"])])
            tokens = call["input_tokens"] + call["output_tokens"]
            amount = {"calls": 1, "tokens": tokens, "pico_eur": call["cost_pico_eur"]}[cap["unit"]]
            moves[key] = amount
            over += [cap["id"]] if used[key] + amount > cap["limit"] else []
        decisions.append(f"D:{','.join(over)}" if over else "A")
        if not over:
            used.update(moves)
            cost += call["cost_pico_eur"]
    return decisions, dict(used), cost


@pytest.mark.slow
def test_a_trace_of_another_shape_is_found_and_judged(made_up):
    """B2, B3: scope, window, unit, tier and limit are read from the caps, money beyond 2**53 included."""
    assert budget_traces.discover(made_up.parents[1]) == [made_up]
    rows = budget_traces.run(made_up)
    assert {row.rule for row in rows} == {
        *IN_ORDER,
        *DECISIONS,
        *IN_ANY_ORDER,
        *STORE,
    }
    assert [row for row in rows if row.wrong or row.not_expressible or not row.right] == []


@pytest.mark.parametrize(
    ("name", "old", "rule"),
    [
        ("expected_final_counters.json", '"calls|2025-01-01|t0": ', "final counters"),
        ("EXPECTED_COUNTS.json", '"sequential_allowed": ', "sums and decision file"),
        ("EXPECTED_COUNTS.json", '"expected_decisions_sha256": "', "sums and decision file"),
        ("caps.json", '"limit": ', "every decision"),
    ],
)
def test_what_is_not_as_published_is_counted_as_wrong(made_up, tmp_path, name, old, rule):
    for file in made_up.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    text = (tmp_path / name).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / name).write_text(text.replace(old, f"{old}1", 1), encoding="utf-8")
    score = Score("made up")
    budget_traces.whole_trace(Trace.read(tmp_path), score, Way())
    assert rule in {row.rule for row in score.rows() if row.wrong}


def test_a_cap_behind_a_stricter_one_is_judged_all_the_same(tmp_path):
    """B4: a refusal names every cap that would be exceeded, also those that `policy check` calls superfluous."""
    denied = make(tmp_path / "made_up", [CAPS[0] | {"limit": 3}, *CAPS[1:]])
    score = Score("made up")
    budget_traces.whole_trace(Trace.read(tmp_path / "made_up"), score, Way())
    assert denied["calls"]
    assert wrong(score) == []


def test_a_scope_without_the_tenant_is_not_expressible(made_up, tmp_path):
    """L5: no counter crosses tenants, so a cap over all of them cannot be written."""
    for file in made_up.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "caps.json").write_text(json.dumps([CAPS[0] | {"scope": ["tool"]}]), encoding="utf-8")
    rows = budget_traces.run(tmp_path)
    assert sum(row.not_expressible for row in rows) == 150
    assert not any(row.right for row in rows)
