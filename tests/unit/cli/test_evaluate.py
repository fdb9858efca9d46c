from __future__ import annotations

import io
import itertools
import json
import time

import pytest

from tests import samples
from tests.command_line import run, write_contexts, write_policy
from weighbridge import wiring
from weighbridge.cli import output
from weighbridge.cli.evaluate import AskedAs, default_store
from weighbridge.cli.evaluate_answers import SHOWN_MAX
from weighbridge.errors import Refusal
from weighbridge.recorder import Recorder
from weighbridge.storage.memory import MemoryStore

ALLOWED = samples.context(evaluation_time=samples.NOW)
WARNED = samples.warned_context(evaluation_time=samples.NOW)
BLOCKED = samples.blocked_context(evaluation_time=samples.NOW)
BAD = b'{"choke_point": "NOWHERE"}'
LINES = {"allowed": ALLOWED, "warned": WARNED, "blocked": BLOCKED, "bad": BAD}


@pytest.fixture
def policy(tmp_path):
    return write_policy(tmp_path)


def judge(policy, *contexts, options=()):
    path = write_contexts(policy.parent / "contexts.jsonl", *contexts)
    return run("evaluate", policy, path, *options)


def head_of(store, tenant="acme"):
    opened = wiring.open_store(store, purpose=None, surroundings=samples.surroundings(), create=False)
    try:
        return opened.head(tenant).seq
    finally:
        opened.close()


def test_every_line_is_answered_with_its_decision_in_order(policy):
    ran = judge(policy, ALLOWED, WARNED, BAD, BLOCKED)
    allowed, warned, bad, blocked = ran.lines
    assert [line["line"] for line in ran.lines] == [1, 2, 3, 4]
    assert (allowed["verdict"], allowed["reasons"]) == ("ALLOW", [])
    assert (warned["verdict"], warned["reasons"]) == ("WARN", ["DATA_AGING"])
    assert (blocked["verdict"], blocked["reasons"]) == ("BLOCK", ["CONTRADICTION"])
    assert bad["error"].startswith("`choke_point`: invalid enum value 'NOWHERE'")
    assert (set(bad), bad["file"], bad["line"]) == ({"file", "line", "error"}, allowed["file"], 3)
    assert [line["seq"] for line in (allowed, warned, blocked)] == [1, 2, 3]
    assert set(allowed) == {
        "file", "line", "id", "tenant_id", "choke_point", "verdict", "reasons", "findings", "results", "evaluation_time",
        "policy_version", "engine_version", "seq", "hash", "replayed",
    }  # fmt: skip
    assert [result["validator"] for result in allowed["results"]] == [
        "freshness",
        "grounding",
        "contradiction",
        "compliance",
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
def test_the_exit_code_says_blocked_before_bad_and_nothing_of_warned(policy, count):
    """G7: with a WARN in place of an ALLOW the exit code is the same."""
    for chosen in itertools.combinations(LINES, count):
        code = judge(policy, *(LINES[name] for name in chosen), options=["--store", ":memory:"]).code
        without_warning = [name for name in chosen if name != "warned"]
        assert code == (11 if "blocked" in chosen else 3 if "bad" in chosen else 0)
        assert code == judge(policy, *(LINES[name] for name in without_warning), options=["--store", ":memory:"]).code


def test_a_second_run_appends_nothing_and_prints_the_same_decisions(policy, tmp_path):
    """G3: the same lines are the same requests, answered from the record."""
    store = tmp_path / "store.db"
    contexts = [ALLOWED, WARNED, BAD, BLOCKED, ALLOWED, samples.context()]  # the last is judged at the clock's time
    first = judge(policy, *contexts, options=["--store", store])
    records = head_of(store)
    second = judge(policy, *contexts, options=["--store", store])
    assert head_of(store) == records == 5
    assert second.code == first.code == 11
    again = [line | {"replayed": False} if "verdict" in line else line for line in second.lines]
    assert again == first.lines
    assert all(line["replayed"] for line in second.lines if "verdict" in line)
    assert "nothing was appended" in second.err


def test_an_interrupted_run_is_gone_on_with(policy, tmp_path):
    """G3: whatever was answered before is not judged again."""
    contexts = [samples.context(evaluation_time=samples.NOW, account_id=f"a-{number}") for number in range(6)]
    judge(policy, *contexts[:4], options=["--store", tmp_path / "s.db"])
    ran = judge(policy, *contexts, options=["--store", tmp_path / "s.db"])
    assert [line["replayed"] for line in ran.lines] == [True] * 4 + [False] * 2
    assert [line["seq"] for line in ran.lines] == [1, 2, 3, 4, 5, 6]


def test_the_order_of_keys_and_white_space_do_not_make_another_request(policy, tmp_path):
    judge(policy, json.dumps(ALLOWED).encode(), options=["--store", tmp_path / "s.db"])
    turned = json.dumps(dict(reversed(ALLOWED.items())), indent=None, separators=(" ,  ", " : ")).encode()
    assert judge(policy, turned, options=["--store", tmp_path / "s.db"]).lines[0]["replayed"]


def test_the_same_line_twice_is_two_requests(policy):
    first, second = judge(policy, ALLOWED, ALLOWED).lines
    assert first["id"] != second["id"]
    assert (first["seq"], second["seq"]) == (1, 2)


def test_a_stated_id_that_answers_another_request_is_a_bad_line(policy):
    """G3: another request under a known id is a conflict, never a new verdict."""
    ran = judge(
        policy,
        ALLOWED | {"validation_run_id": "run-1"},
        BLOCKED | {"validation_run_id": "run-1"},
        ALLOWED | {"validation_run_id": "run-1"},
    )
    first, conflict, again = ran.lines
    assert conflict["id"] == "run-1"
    assert "already answers another request" in conflict["error"]
    assert (first["seq"], again["seq"], again["replayed"]) == (1, 1, True)
    assert ran.code == 3


def test_reads_standard_input_and_gzip(policy, tmp_path):
    packed = write_contexts(tmp_path / "contexts.jsonl.gz", ALLOWED, WARNED)
    plain = json.dumps(BLOCKED).encode() + b"\n"
    ran = run("evaluate", policy, packed, "-", "--store", ":memory:", stdin=plain)
    assert [(line["file"], line["line"]) for line in ran.lines] == [(str(packed), 1), (str(packed), 2), ("-", 1)]


def test_the_default_store_lies_beside_the_first_file_one_for_what_judges(policy, tmp_path):
    other = write_policy(
        tmp_path, "other.json", freshness={"source_types": {"crm": {"soft_ttl": "1d", "hard_ttl": "2d"}}}
    )
    path = write_contexts(tmp_path / "contexts.jsonl", WARNED)
    assert run("evaluate", policy, path).lines[0]["verdict"] == "WARN"
    assert run("evaluate", other, path).lines[0]["verdict"] == "BLOCK"  # not the answer of the policy before
    run("evaluate", policy, path, "--as", "agent")
    assert len(list(tmp_path.glob("contexts.jsonl.*.weighbridge.db"))) == 3
    document = wiring.load_document(policy)
    assert default_store("-", document, AskedAs.HOST).startswith("stdin.")
    assert default_store("x", document, AskedAs.HOST) == default_store("x", wiring.load_document(policy), AskedAs.HOST)


def test_says_so_when_a_decision_on_record_is_another_policys(policy, tmp_path):
    """G3: the first record fixes the policy version; nobody is left to think otherwise."""
    other = write_policy(
        tmp_path, "other.json", freshness={"source_types": {"crm": {"soft_ttl": "1d", "hard_ttl": "2d"}}}
    )
    path = write_contexts(tmp_path / "contexts.jsonl", WARNED)
    assert "another policy" not in run("evaluate", policy, path, "--store", tmp_path / "s.db").err
    ran = run("evaluate", other, path, "--store", tmp_path / "s.db")
    assert ran.lines[0]["verdict"] == "WARN"
    assert "1 decision on record under another policy than the one given" in ran.err


def test_an_agent_may_not_state_facts(policy):
    """Z5: from an agent, snapshots, data sources and times are refused and evidence is observed."""
    line = judge(policy, ALLOWED, options=["--as", "agent"]).lines[0]
    assert line["verdict"] == "BLOCK"
    assert "UNTRUSTED_INPUT" in line["findings"]
    assert "UNTRUSTED_EVIDENCE" in line["reasons"]


def test_a_tenant_that_was_chosen_is_the_only_one(policy):
    """L5: a request may repeat its tenant, not choose another."""
    without = {key: value for key, value in ALLOWED.items() if key != "tenant_id"}
    ran = judge(policy, ALLOWED, without, ALLOWED | {"tenant_id": "beta"}, options=["--tenant", "acme"])
    assert [line.get("tenant_id") for line in ran.lines] == ["acme", "acme", None]
    assert "names tenant `beta`" in ran.lines[2]["error"]


def test_contexts_without_a_tenant_are_the_environments(policy, monkeypatch):
    monkeypatch.setenv("WEIGHBRIDGE_TENANT", "beta")
    without = {key: value for key, value in ALLOWED.items() if key != "tenant_id"}
    assert [line["tenant_id"] for line in judge(policy, ALLOWED, without).lines] == ["acme", "beta"]


def test_a_store_that_enforces_is_not_judged_on(policy, tmp_path):
    """B9: supplied times stay out of a store opened for enforcement."""
    samples.weighbridge(tmp_path / "live.db").close()
    ran = judge(policy, ALLOWED, options=["--store", tmp_path / "live.db"])
    assert ran.code in {1, 2}
    assert "enforcement" in ran.err


def test_contexts_without_a_time_are_judged_at_the_clocks(policy):
    line = judge(policy, samples.context()).lines[0]
    assert line["evaluation_time"] != samples.NOW


def test_a_store_that_cannot_record_gives_no_verdict_and_is_asked_no_further(policy, monkeypatch):
    """G2: without a record there is no verdict, and the exit code is not that of a judged run."""

    def refuse(_self, submissions):
        return [Refusal("LEDGER_WRITE_FAILED", "the disk is full") for _ in submissions]

    monkeypatch.setattr(MemoryStore, "commit_many", refuse)
    monkeypatch.setattr("weighbridge.cli.lines.BATCH_LINES", 2)
    ran = judge(policy, BLOCKED, ALLOWED, ALLOWED, ALLOWED, options=["--store", ":memory:"])
    assert ran.code == 1
    assert [line["refused"] for line in ran.lines] == ["LEDGER_WRITE_FAILED"] * 2
    assert not any("verdict" in line for line in ran.lines)
    assert "could not be recorded" in ran.err
    assert "explain one" not in ran.err


def test_after_a_store_failed_its_summary_says_what_is_known(policy, tmp_path, monkeypatch):
    """G2: what was printed had been recorded; whether a store that failed still has it, nobody can promise."""
    monkeypatch.setattr("weighbridge.cli.lines.BATCH_LINES", 2)
    store, record_many, batches = tmp_path / "s.db", Recorder.record_many, itertools.count()

    def deleted(self, submissions):
        if next(batches) == 1:
            store.unlink()
        return record_many(self, submissions)

    monkeypatch.setattr(Recorder, "record_many", deleted)
    ran = judge(policy, *([ALLOWED] * 5), options=["--store", store])
    assert ran.code == 1
    assert [("verdict" in line, "refused" in line) for line in ran.lines] == [(True, False)] * 2 + [(False, True)] * 2
    assert "2 decisions of this run, printed above, had been recorded before the store failed" in ran.err
    assert "explain one" not in ran.err


def test_an_interrupt_leaves_what_was_answered_on_record(policy, tmp_path, monkeypatch):
    """G2: what was printed is on record."""
    monkeypatch.setattr("weighbridge.cli.lines.BATCH_LINES", 2)
    commit_many = Recorder.record_many
    batches = itertools.count()

    def interrupted(self, submissions):
        if next(batches) == 1:
            raise KeyboardInterrupt
        return commit_many(self, submissions)

    monkeypatch.setattr(Recorder, "record_many", interrupted)
    ran = judge(policy, ALLOWED, WARNED, BLOCKED, ALLOWED, options=["--store", tmp_path / "s.db"])
    assert ran.code == output.INTERRUPTED
    assert len(ran.lines) == head_of(tmp_path / "s.db") == 2
    assert "the same command goes on from there" in ran.err


def test_the_summary_counts_by_validator_and_reason(policy):
    ran = judge(policy, ALLOWED, ALLOWED, WARNED, BLOCKED, BAD, options=["--store", ":memory:"])
    rows = [line.split() for line in ran.err.splitlines()]
    assert ["freshness", "ALLOW", "FRESH", "3"] in rows
    assert ["freshness", "WARN", "DATA_AGING", "1"] in rows
    assert ["contradiction", "BLOCK", "CONTRADICTION", "1"] in rows
    assert "4 contexts: 2 allowed, 1 warned, 1 blocked; 1 bad line" in ran.err
    assert not judge(policy, ALLOWED, options=["--store", ":memory:", "--quiet"]).err


def test_the_table_shows_what_was_not_simply_allowed_and_says_how_much_more(policy):
    many = [BLOCKED | {"account_id": f"a-{number}"} for number in range(SHOWN_MAX + 3)]
    ran = judge(policy, ALLOWED, WARNED, *many, options=["--store", ":memory:", "--table"])
    assert "contexts.jsonl:2" in ran.out
    assert "contexts.jsonl:1 " not in ran.out
    assert "`renewal.status` is `closed`" in ran.out
    assert "and 4 more; --json prints every one" in ran.out


@pytest.mark.parametrize("width", [80, 120])
def test_ids_can_be_copied_from_the_table_in_every_width(policy, monkeypatch, width):
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", width)
    identity = "0193a7c2-4b1e-7c3a-9d52-1f6e8a0b4c77"
    line = BLOCKED | {"validation_run_id": identity}
    ran = judge(policy, line, WARNED, b"{}", options=["--store", ":memory:", "--table", "--quiet"])
    assert max(map(len, ran.out.splitlines())) <= width
    assert identity in ran.out
    assert "contexts.jsonl:1 " in ran.out


def test_text_from_agents_does_not_reach_the_terminal_as_it_is(policy):
    hostile = BLOCKED | {"validation_run_id": "\x1b]0;owned\x07 [red]ALLOW[/red]"}
    ran = judge(policy, hostile, b'{"\x7f\\u202e": 1}', options=["--store", ":memory:", "--table"])
    assert "\x1b" not in ran.out + ran.err
    assert "\u202e" not in ran.out + ran.err
    assert "[red]" in ran.out.replace("\n", "").replace(" ", "")


def test_sentences_come_when_they_are_asked_for(policy):
    line = judge(policy, WARNED, options=["--explain", "--store", ":memory:"]).lines[0]
    assert line["explanations"] == [
        "crm data `crm:r-1` is 10 days old; it should be at most 7 days old, and the limit is 14 days"
    ]


def test_lines_are_utf_8_whatever_the_locale(policy, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    output.write_json([{"name": "Zoë"}])
    assert json.loads(raw.getvalue()) == {"name": "Zoë"}


CAPPED = {
    "caps": [
        {"id": "day", "hard_cap": "3/day", "soft_cap": 2},
        {"id": "tokens", "scope": {"account": "each"}, "hard_cap": "1k tokens/month"},
    ],
    "cost_classes": {"MEDIUM": {"maximum": {"tokens": "100 tokens"}}},
}


def spending(account="a-1", **budget):
    asked = {"operation": "crm.note", "amounts": {"tokens": 10}} | budget
    return {"tenant_id": "acme", "account_id": account, "evaluation_time": samples.NOW, "budget": asked}


@pytest.fixture
def capped(tmp_path):
    return write_policy(tmp_path, "capped.json", budgets=CAPPED)


def test_a_budget_line_is_answered_with_every_cap_that_applied(capped):
    """B10: usage before and after, limits, verdict and reason, all of them text that no reader rounds."""
    (line,) = judge(capped, spending()).lines
    assert (line["operation"], line["verdict"], line["reasons"]) == ("crm.note", "ALLOW", [])
    assert line["amounts"] == {"operations": "1", "tokens": "10"}
    assert line["caps"] == [
        {
            "id": "day", "counter": "operations 2026-11-22 any", "unit": "operations", "usage_before": "0",
            "usage_after": "1", "hard_cap": "3", "soft_cap": "2", "verdict": "ALLOW", "reason": "WITHIN_CAPS",
        },
        {
            "id": "tokens", "counter": 'tokens 2026-11 any account="a-1"', "unit": "tokens", "usage_before": "0",
            "usage_after": "10", "hard_cap": "1000", "soft_cap": None, "verdict": "ALLOW", "reason": "WITHIN_CAPS",
        },
    ]  # fmt: skip
    assert line["budget"] == {
        "verdict": "ALLOW", "reason": "WITHIN_CAPS", "findings": [], "cost_class": "CHEAP",
        "period": {"DAY": "2026-11-22", "MONTH": "2026-11"}, "assumed": [],
    }  # fmt: skip
    assert set(line) == {
        "file", "line", "id", "tenant_id", "verdict", "reasons", "operation", "budget", "amounts", "caps",
        "evaluation_time", "policy_version", "engine_version", "seq", "hash", "replayed",
    }  # fmt: skip


def test_a_trace_is_warned_and_then_blocked_and_a_refusal_moves_no_counter(capped):
    """B4: of four accounts' requests three fit; the fourth is refused, and its own cap is untouched by that."""
    ran = judge(capped, *(spending(f"a-{number}") for number in range(4)), spending("a-3", amounts={"tokens": 1}))
    assert [line["verdict"] for line in ran.lines] == ["ALLOW", "ALLOW", "WARN", "BLOCK", "BLOCK"]
    assert [line["reasons"] for line in ran.lines[2:]] == [["SOFT_CAP_EXCEEDED"]] + [["HARD_CAP_EXCEEDED"]] * 2
    assert ran.lines[4]["caps"][1]["usage_before"] == "0"
    assert ran.code == 11


def test_a_second_run_over_a_trace_charges_nothing_twice(capped, tmp_path):
    """B6, G3: every line is its own operation, the same one in every run, also where two lines are alike."""
    lines = [spending(), spending(), spending("a-2"), spending() | {"operation_id": "op-1"}]
    first = judge(capped, *lines, options=["--store", tmp_path / "s.db"])
    second = judge(capped, *lines, options=["--store", tmp_path / "s.db"])
    assert [line | {"replayed": False} for line in second.lines] == first.lines
    assert all(line["replayed"] for line in second.lines)
    assert len({line["id"] for line in first.lines}) == head_of(tmp_path / "s.db") == 4
    assert [line["caps"][0]["usage_before"] for line in first.lines] == ["0", "1", "2", "3"]


def test_an_id_that_was_charged_for_another_request_is_a_bad_line(capped):
    """B6, G3: another body under a known operation id is a conflict, and charges nothing."""
    ran = judge(
        capped,
        spending() | {"operation_id": "op-1"},
        spending(amounts={"tokens": 11}) | {"operation_id": "op-1"},
        spending() | {"operation_id": "op-1"},
        spending(),
    )
    first, conflict, again, other = ran.lines
    assert conflict["id"] == "op-1"
    assert "already answers another request" in conflict["error"]
    assert (first["seq"], again["seq"], again["replayed"]) == (1, 1, True)
    assert other["caps"][0]["usage_before"] == "1"


def test_a_line_can_ask_a_choke_point_and_the_budget_in_one_record(capped, tmp_path):
    """G10, B11: both or neither; where the choke point blocks, the budget is not asked and nothing is spent."""
    budget = {"budget": {"amounts": {"tokens": 7}}}
    ran = judge(capped, ALLOWED | budget, BLOCKED | budget, ALLOWED | budget, options=["--store", tmp_path / "s.db"])
    allowed, blocked, after = ran.lines
    assert (allowed["choke_point"], allowed["operation"]) == ("BEFORE_EXTERNAL_WRITEBACK", "crm.update")
    assert [result["validator"] for result in allowed["results"]] == [
        "freshness", "grounding", "contradiction", "compliance",
    ]  # fmt: skip
    assert allowed["validation_run_id"] == f"{allowed['id']}:BEFORE_EXTERNAL_WRITEBACK"
    assert (allowed["amounts"]["tokens"], allowed["budget"]["reason"]) == ("7", "WITHIN_CAPS")
    assert (blocked["verdict"], blocked["reasons"]) == ("BLOCK", ["CONTRADICTION"])
    assert (blocked["budget"], blocked["amounts"], blocked["caps"]) == (None, {}, [])
    assert [after["caps"][number]["usage_before"] for number in (0, 1)] == ["1", "7"]
    assert head_of(tmp_path / "s.db") == 3


def test_the_strictest_of_choke_point_and_budget_counts(capped):
    """G10, B4."""
    budget = {"budget": {"amounts": {"tokens": 2000}}}
    (line,) = judge(capped, WARNED | budget).lines
    assert (line["verdict"], line["reasons"]) == ("BLOCK", ["DATA_AGING", "NEVER_FITS"])


def test_unknown_cost_is_never_nothing(capped):
    """B12: a class with a maximum reserves it, another is refused."""
    ran = judge(capped, spending(operation="crm.update", amounts={}), spending(amounts={}))
    assumed, unknown = ran.lines
    assert (assumed["budget"]["assumed"], assumed["amounts"]["tokens"]) == (["tokens"], "100")
    assert (unknown["verdict"], unknown["reasons"]) == ("BLOCK", ["COST_UNKNOWN"])
    assert unknown["caps"][1]["usage_after"] is None


def test_a_policy_without_budgets_pays_for_nothing(tmp_path):
    """B8: no cap, no go; a request for a choke point alone needs none."""
    without = write_policy(tmp_path, "without.json", budgets=None)
    assert [(line["verdict"], line["reasons"]) for line in judge(without, spending(), ALLOWED).lines] == [
        ("BLOCK", ["NO_APPLICABLE_CONFIG"]),
        ("ALLOW", []),
    ]


def test_usage_without_a_limit_is_counted_all_the_same(policy):
    """B8: `unlimited` is written down, and what it let through can be read."""
    first, second = judge(policy, spending(), spending()).lines
    assert (first["caps"][0]["hard_cap"], second["caps"][0]["usage_before"]) == ("unlimited", "1")


def test_an_agent_may_ask_and_not_say_what_it_costs(capped):
    """Z5: amounts, tokens and class are facts."""
    (line,) = judge(capped, spending(), options=["--as", "agent"]).lines
    assert (line["verdict"], line["budget"]["findings"]) == ("BLOCK", ["UNTRUSTED_INPUT"])


def test_the_summary_counts_what_the_budget_decided(capped):
    """B10: once for each decision and reason; what was blocked has passed no soft cap."""
    ran = judge(capped, *(spending(f"a-{number}") for number in range(5)), ALLOWED | {"budget": {}})
    rows = [line.split() for line in ran.err.splitlines()]
    assert ["budget", "ALLOW", "WITHIN_CAPS", "2"] in rows
    assert ["budget", "WARN", "SOFT_CAP_EXCEEDED", "1"] in rows
    assert ["budget", "BLOCK", "HARD_CAP_EXCEEDED", "3"] in rows
    assert ["freshness", "ALLOW", "FRESH", "1"] in rows
    assert [row[0] for row in rows if row and row[0] in {"compliance", "budget"}] == ["compliance"] + ["budget"] * 3
    assert "6 requests: 2 allowed, 1 warned, 3 blocked" in ran.err


def test_the_table_says_what_the_cap_said(capped, monkeypatch):
    """B10."""
    monkeypatch.setattr("weighbridge.cli.output.WIDTH_PIPED", 200)
    lines = [spending(f"a-{number}") for number in range(4)]
    ran = judge(capped, *lines, options=["--store", ":memory:", "--table", "--quiet"])
    assert [row.split()[1] for row in ran.out.splitlines() if ".jsonl:" in row] == ["WARN", "BLOCK"]
    assert "cap `day` is at 3 of 3 operations on 2026-11-22, above its soft cap of 2 operations" in ran.out
    assert "cap `day` is used up: 3 of 3 operations on 2026-11-22, no room for 1 operation more" in ran.out
    explained = judge(capped, *lines, options=["--store", ":memory:", "--explain"]).lines
    assert explained[3]["explanations"] == [
        "cap `day` is used up: 3 of 3 operations on 2026-11-22, no room for 1 operation more"
    ]
    assert explained[0]["explanations"] == []


@pytest.mark.slow
def test_a_trace_of_ten_thousand_lines_takes_seconds(capped):
    """B5: the numbers are exact, whatever the batches."""
    lines = [spending(f"a-{number % 500}", amounts={"tokens": 1}) for number in range(10_000)]
    policy = write_policy(capped.parent, "wide.json", budgets={"caps": [{"id": "day", "hard_cap": "7000/day"}]})
    started = time.perf_counter()
    ran = judge(policy, *lines, options=["--store", capped.parent / "s.db"])
    assert [line["verdict"] for line in ran.lines] == ["ALLOW"] * 7000 + ["BLOCK"] * 3000
    assert time.perf_counter() - started < 60  # a few seconds; the rest is for a machine that is busy
