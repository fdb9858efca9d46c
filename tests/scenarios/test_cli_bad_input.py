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


def budget(text='{"operation": "crm.note"}', **about):
    """Return a line that asks the budget, which is written as text: JSON itself cannot say everything that logs say."""
    asked = {"tenant_id": "acme", "evaluation_time": samples.NOW} | about
    return (json.dumps(asked).removesuffix("}") + f', "budget": {text}}}').encode()


def amounts(text):
    return budget(f'{{"operation": "crm.note", "amounts": {text}}}')


BAD_LINES |= {
    "a budget of nothing": (budget("null"), "`budget`"),
    "a budget that is a number": (budget("12"), "`budget`"),
    "a budget without an operation": (budget("{}"), "`budget.operation`: is missing"),
    "an unknown key of a budget": (budget('{"operation": "x", "price": "hunter2"}'), "unknown field `price`"),
    "an unknown key beside a budget": (budget(colour="hunter2"), "unknown field `colour`"),
    "an operation id that is no text": (budget(operation_id=12), "`operation_id`"),
    "an operation id that is too long": (budget(operation_id="o" * 161), "`operation_id`: has 161 characters"),
    "a budget at a time without an offset": (
        budget(evaluation_time="2026-11-22T10:00:00"),
        "`evaluation_time`: names no instant",
    ),
    "amounts that are a list": (amounts('["hunter2"]'), "`budget.amounts`"),
    "an unknown unit": (amounts('{"bananas": 1}'), "`budget.amounts.bananas`: is no unit"),
    "a negative amount": (amounts('{"tokens": -1}'), "is negative"),
    "a negative amount as text": (amounts('{"USD": "-0.01"}'), "is negative"),
    "an amount that is a float": (amounts('{"tokens": 1.5}'), "is not exact"),
    "money that is a float": (amounts('{"USD": 0.1}'), "is not exact"),
    "half a token": (amounts('{"tokens": "1.5"}'), "no whole number of the smallest unit"),
    "money below the smallest unit": (amounts('{"USD": "0.0000000000001"}'), "no whole number of the smallest unit"),
    "an amount that is no number": (amounts('{"tokens": "many"}'), "is no number"),
    "an amount that is true": (amounts('{"tokens": true}'), "is not exact"),
    "an amount that is null": (amounts('{"tokens": null}'), "is not exact"),
    "an amount with an exponent": (amounts('{"tokens": "1e3"}'), "is no number"),
    "an amount that is not a number": (amounts('{"tokens": NaN}'), "holds `NaN`"),
    "an amount of a thousand digits as text": (amounts('{"tokens": "' + "9" * 1000 + '"}'), "more than 40 digits"),
    "no operations at all": (amounts('{"operations": 0}'), "`budget.amounts.operations`: is 0"),
    "one unit twice": (amounts('{"USD": "1", "pico_USD": 1}'), "a second time"),
    "tokens twice": (
        budget('{"operation": "crm.note", "amounts": {"tokens": 1}, "tokens": {"input": 1, "output": 1}}'),
        "beside `budget.tokens`",
    ),
    "tokens below none": (
        budget('{"operation": "crm.note", "tokens": {"input": -1, "output": 1}}'),
        "`budget.tokens.input`",
    ),
    "a class below the operation's": (
        budget('{"operation": "crm.update", "cost_class": "CHEAP"}'),
        "a call can only cost more",
    ),
    "a class that is none": (budget('{"operation": "crm.note", "cost_class": "FREE"}'), "`budget.cost_class`"),
    "a reason that is blank": (budget('{"operation": "crm.note", "justification": " "}'), "is blank"),
    "a reason that is a book": (
        budget('{"operation": "crm.note", "justification": "' + "x" * 2001 + '"}'),
        "`budget.justification`: has 2001 characters",
    ),
    "another operation than is proposed": (text(budget={"operation": "crm.note"}), "the proposal is `crm.update`"),
}


@pytest.fixture
def policy(tmp_path):
    return write_policy(tmp_path)


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_reported_by_number_and_the_rest_is_done(policy, tmp_path, name):
    """B2, G5: what is no request is no verdict either, and charges nothing."""
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


NOT_PAID_FOR = {
    "more than any counter holds": (amounts('{"tokens": 1000000000000000000000000000}'), "AMOUNT_OUT_OF_RANGE"),
    "more than any counter holds, as money": (amounts('{"USD": "1000000000000000"}'), "AMOUNT_OUT_OF_RANGE"),
    "more than a cap holds": (amounts('{"tokens": 1001, "USD": "0.10"}'), "NEVER_FITS"),
    "a cost that nobody knows": (amounts('{"tokens": 1}'), "COST_UNKNOWN"),
    "another currency": (amounts('{"tokens": 1, "EUR": "0.10"}'), "CURRENCY_MISMATCH"),
    "an operation that nobody registered": (budget('{"operation": "crm.erase"}'), "UNKNOWN_OPERATION"),
    "a model that has no price": (
        budget('{"operation": "crm.note", "tokens": {"input": 1, "output": 1, "model": "unheard-of"}}'),
        "COST_UNKNOWN",
    ),
    "an operation that no cap is about": (budget('{"operation": "crm.update"}'), "NO_APPLICABLE_CONFIG"),
    "an operation that needs a reason": (budget('{"operation": "enrich"}'), "JUSTIFICATION_MISSING"),
}


@pytest.mark.parametrize("name", NOT_PAID_FOR)
def test_what_cannot_be_paid_for_is_blocked_on_record_and_moves_no_counter(tmp_path, name):
    """B2, B4, B8, B12, B13: every amount that is one, however odd, has a verdict with its reason."""
    line, reason = NOT_PAID_FOR[name]
    caps = [
        {"id": "tokens", "cost_classes": ["CHEAP"], "hard_cap": "1k tokens/day"},
        {"id": "money", "cost_classes": ["CHEAP"], "hard_cap": "$1/day"},
        {"id": "asked", "scope": {"tool": "enrich"}, "hard_cap": "5/day", "justification": True},
    ]
    prices = {"currency": "USD", "models": {"known": {"input": "$1/1M tokens", "output": "$1/1M tokens"}}}
    policy = write_policy(tmp_path, budgets={"caps": caps, "prices": prices})
    fits = amounts('{"tokens": 1000, "USD": "1"}')
    ran = run("evaluate", policy, write_contexts(tmp_path / "c.jsonl", line, fits), "--store", tmp_path / "s.db")
    assert (ran.code, ran.lines[0]["reasons"][0], ran.lines[0]["seq"]) == (11, reason, 1)
    assert (ran.lines[1]["verdict"], ran.lines[1]["caps"][0]["usage_before"]) == ("ALLOW", "0")
    assert "Traceback" not in ran.err


def test_nothing_is_a_known_cost(tmp_path):
    """B2, B12: 0 tokens are an amount; what is left out is not."""
    policy = write_policy(tmp_path, budgets={"caps": [{"id": "tokens", "hard_cap": "0 tokens/day"}]})
    path = write_contexts(tmp_path / "c.jsonl", amounts('{"tokens": 0}'), amounts('{"tokens": "0"}'), budget())
    ran = run("evaluate", policy, path, "--store", ":memory:")
    assert [line["reasons"] for line in ran.lines] == [[], [], ["COST_UNKNOWN"]]


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
