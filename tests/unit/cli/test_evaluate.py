from __future__ import annotations

import io
import itertools
import json

import pytest

from tests import samples
from tests.command_line import run, write_contexts, write_policy
from weighbridge import wiring
from weighbridge.cli import output
from weighbridge.cli.evaluate import SHOWN_MAX, AskedAs, decision_line, default_store
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


def test_a_decision_line_names_what_it_retries():
    with samples.weighbridge(purpose="evaluation") as wb:
        first = wb.gate(BLOCKED | {"validation_run_id": "one"})
        second = wb.gate(BLOCKED | {"validation_run_id": "two"})
    assert "retry_of" not in decision_line(first)
    assert decision_line(second)["retry_of"] == "one"
    assert decision_line(second)["findings"] == ["RETRY_NOT_AUTHORISED"]
