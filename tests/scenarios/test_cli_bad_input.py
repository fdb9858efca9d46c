"""Bad input on the command line: every bad line is reported by number, the rest is done, and no mistake ends in a traceback."""

from __future__ import annotations

import gzip
import json

import pytest

from tests import samples
from tests.command_line import run, shell, write_contexts, write_policy

SECRET = "hunter2"  # stands in values only; no message may repeat it
GOOD = samples.context(evaluation_time=samples.NOW)


def text(**changes):
    return json.dumps(samples.context(evaluation_time=samples.NOW, **changes)).encode()


def proposal(**arguments):
    return {"proposal": GOOD["proposal"] | {"arguments": arguments}}


BAD_LINES = {
    "not json": (b'{"choke_point": ', "is not JSON"),
    "two values on a line": (b'{"a": 1} {"b": "hunter2"}', "is not JSON: extra data"),
    "not an object": (b'["hunter2"]', "is a list, not an object"),
    "a number": (b"12", "is a number, not an object"),
    "a key twice": (b'{"choke_point": "hunter2", "choke_point": "x"}', "holds the key `choke_point` twice"),
    "a key twice, deep inside": (
        text(**proposal(a=1)).replace(b'{"a": 1}', b'{"a": {"b": 1, "b": 2}}'),
        "holds the key `b` twice",
    ),
    "NaN": (text(**proposal(a=float("nan"))), "holds `NaN`, which is no JSON number"),
    "an infinity": (text(**proposal(a=float("-inf"))), "holds `-Infinity`"),
    "a number no double holds": (text(**proposal(a=1)).replace(b'"a": 1', b'"a": 1e400'), "too large for a double"),
    "a huge integer": (text(**proposal(a=10**40)), "integer beyond 2**53 - 1"),
    "an integer of thousands of digits": (
        text(**proposal(a=1)).replace(b'"a": 1', b'"a": ' + b"9" * 5000),
        "integer beyond 2**53 - 1",
    ),
    "a lone surrogate": (text(**proposal(a="\ud800hunter2")), "lone surrogate"),
    "a lone surrogate in a key": (text(**proposal(**{"\udfff": 1})), "lone surrogate"),
    "bytes that are no text": (b'{"password": "hunter2 \xff\xfe"}', "is not UTF-8 text"),
    "another encoding": ('{"a": 1}'.encode("utf-16"), "is not UTF-8 text"),
    "nesting too deep": (b'{"a":' * 300 + b"1" + b"}" * 300, "nested more than 200 levels"),
    "nesting without end": (b"[" * 200_000, "nested more than 200 levels"),
    "no choke point": (b'{"tenant_id": "acme"}', "missing required field `choke_point`"),
    "an unknown choke point": (text(choke_point="BEFORE_LUNCH"), "`choke_point`"),
    "an unknown key": (text(colour="hunter2"), "unknown field `colour`"),
    "an id that is no text": (text(tenant_id=12), "`tenant_id`"),
    "an empty id": (text(account_id=""), "`account_id`: has 0 characters"),
    "an id that is too long": (text(plan_id="p" * 201), "`plan_id`: has 201 characters"),
    "a time without an offset": (
        json.dumps(GOOD | {"evaluation_time": "2026-11-22T10:00:00"}).encode(),
        "`evaluation_time`: names no instant",
    ),
    "a time that is no day": (
        json.dumps(GOOD | {"evaluation_time": "2026-02-30T10:00:00Z"}).encode(),
        "names no instant",
    ),
    "stated facts": (
        text(proposal=GOOD["proposal"] | {"facts": {"target": "crm"}}),
        "`proposal.facts`: cannot be stated",
    ),
    "arguments that are a list": (text(proposal=GOOD["proposal"] | {"arguments": ["hunter2"]}), "`proposal.arguments`"),
    "a snapshot without fields": (text(snapshot={"value": "hunter2"}), "`snapshot`"),
    "a source without a name": (text(data_sources=[{"source_type": "crm"}]), "`data_sources[0]`"),
    "an unknown trust": (text(evidence=[{"reference": {}, "trust": "absolute"}]), "`evidence[0].trust`"),
}


@pytest.fixture
def policy(tmp_path):
    return write_policy(tmp_path)


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_reported_by_number_and_the_rest_is_done(policy, tmp_path, name):
    """G5: what is no request is no verdict either."""
    line, words = BAD_LINES[name]
    path = write_contexts(tmp_path / "c.jsonl", GOOD, line, samples.warned_context(evaluation_time=samples.NOW))
    ran = run("evaluate", policy, path, "--store", ":memory:")
    assert ran.code == 3
    assert [one.get("verdict", "bad") for one in ran.lines] == ["ALLOW", "bad", "WARN"]
    assert ran.lines[1]["line"] == 2
    assert words in ran.lines[1]["error"]
    assert SECRET not in ran.out + ran.err
    assert "1 bad line" in ran.err


def test_all_of_them_at_once_with_something_blocked(policy, tmp_path):
    lines = [line for line, _ in BAD_LINES.values()]
    path = write_contexts(tmp_path / "c.jsonl", *lines, samples.blocked_context(evaluation_time=samples.NOW))
    ran = run("evaluate", policy, path, "--store", ":memory:")
    assert ran.code == 11
    assert [one["line"] for one in ran.lines] == list(range(1, len(lines) + 2))
    assert f"{len(lines)} bad lines" in ran.err


RECORDED = {
    "missing inputs": ({"snapshot": None, "data_sources": None, "evidence": None}, "INPUT_MISSING"),
    "a source's time without an offset": (
        {"data_sources": [{"source_id": "1", "source_type": "crm", "last_updated": "2026-11-20T10:00:00"}]},
        "TIMESTAMP_MISSING",
    ),
    "a source's time that is a number": (
        {"data_sources": [{"source_id": "1", "source_type": "crm", "last_updated": 1795341600}]},
        "TIMESTAMP_MISSING",
    ),
    "a source from the future": (
        {"data_sources": [{"source_id": "1", "source_type": "crm", "last_updated": "2026-12-24T10:00:00Z"}]},
        "TIMESTAMP_IN_FUTURE",
    ),
    "a source nobody set limits for": (
        {"data_sources": [{"source_id": "1", "source_type": "rumour", "last_updated": "2026-11-22T10:00:00Z"}]},
        "CONFIG_MISSING",
    ),
    "an operation nobody registered": (
        {"proposal": GOOD["proposal"] | {"operation": "crm.erase"}},
        "UNKNOWN_OPERATION",
    ),
    "evidence that is a string": ({"proposal": GOOD["proposal"] | {"evidence": ["see the CRM"]}}, "INVALID_EVIDENCE"),
    "no evidence at all": ({"proposal": GOOD["proposal"] | {"evidence": []}}, "MISSING_EVIDENCE"),
    "arguments nested beyond what is looked through": (
        proposal(a=json.loads('{"a":' * 80 + "1" + "}" * 80)),
        "TOO_COMPLEX",
    ),
}


@pytest.mark.parametrize("name", RECORDED)
def test_a_request_that_cannot_be_allowed_is_blocked_with_its_reason_on_record(policy, tmp_path, name):
    """G5, F3, R3, P2: absence, and what cannot be placed, is a recorded BLOCK and no lost line."""
    changes, reason = RECORDED[name]
    path = write_contexts(tmp_path / "c.jsonl", samples.context(evaluation_time=samples.NOW, **changes))
    ran = run("evaluate", policy, path, "--store", ":memory:")
    assert ran.code == 11
    assert reason in ran.lines[0]["reasons"]


def test_damaged_and_empty_files(policy, tmp_path):
    whole = gzip.compress(b"".join(text(account_id=f"a-{number}") + b"\n" for number in range(50)))
    (tmp_path / "cut.gz").write_bytes(whole[:-30])
    (tmp_path / "empty.jsonl").write_bytes(b"\n\n")
    ran = run("evaluate", policy, tmp_path / "cut.gz", tmp_path / "empty.jsonl", "--store", ":memory:")
    assert ran.code == 3
    assert "damaged" in ran.lines[-1]["error"]
    nothing = run("evaluate", policy, tmp_path / "empty.jsonl", "--store", ":memory:")
    assert (nothing.code, nothing.out) == (0, "")
    assert "0 contexts" in nothing.err


WRONG_CALLS = {
    "no such policy": (["evaluate", "nowhere.yaml", "c.jsonl"], 2, "cannot be read"),
    "no such contexts": (["evaluate", "policy.json", "nowhere.jsonl"], 2, "cannot be read"),
    "a folder of contexts": (["evaluate", "policy.json", "."], 2, "cannot be read"),
    "a policy with mistakes": (["evaluate", "wrong.json", "c.jsonl"], 2, "wrong.json:"),
    "a policy that is no text": (["evaluate", "binary.yaml", "c.jsonl"], 2, "UTF-8"),
    "no contexts": (["evaluate", "policy.json"], 2, "CONTEXTS"),
    "an unknown role": (["evaluate", "policy.json", "c.jsonl", "--as", "king"], 2, "king"),
    "an unknown store": (["evaluate", "policy.json", "c.jsonl", "--store", "redis://x"], 2, "no store speaks"),
    "a store that is none": (["evaluate", "policy.json", "c.jsonl", "--store", "policy.json"], 1, "policy.json"),
    "a store nowhere": (["evaluate", "policy.json", "c.jsonl", "--store", "no/where.db"], 1, "no/where.db"),
    "an export that is none": (["ledger", "verify", "c.jsonl"], 2, "`c.jsonl` is no export and no store"),
    "a ledger nowhere": (["ledger", "tail", "--store", "nowhere.db"], 2, "there is no store"),
    "a ledger that is none": (["ledger", "tail", "--store", "c.jsonl"], 1, "c.jsonl"),
    "an unknown id": (["why", "nobody", "--store", "live.db"], 2, "nobody"),
    "a demo nowhere": (["demo", "--store", "no/where.db"], 1, "no/where.db"),
}


@pytest.mark.parametrize("name", WRONG_CALLS)
def test_a_wrong_call_ends_in_a_clear_line_and_no_traceback(tmp_path, name):
    words, code, said = WRONG_CALLS[name]
    write_policy(tmp_path)
    write_policy(tmp_path, "wrong.json", freshness={"source_types": {"crm": {"soft_ttl": "9d", "hard_ttl": "1d"}}})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    write_contexts(tmp_path / "c.jsonl", GOOD)
    with samples.weighbridge(tmp_path / "live.db") as wb:
        wb.gate(samples.context())
    ran = shell(*words, cwd=tmp_path)
    assert (ran.code, "Traceback" in ran.out + ran.err) == (code, False), ran.err
    assert said in ran.out + ran.err
