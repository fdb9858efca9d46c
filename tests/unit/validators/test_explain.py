import itertools

import pytest

from tests.unit.validators.builders import NOW_MS, PLAN, REFERENCE, field, judge, policy, rules
from weighbridge import canonical
from weighbridge.domain.decision import Finding, Sealed, ValidatorResult
from weighbridge.domain.instant import DAY_MS, format_instant
from weighbridge.domain.verdict import Verdict
from weighbridge.gateway import run_event
from weighbridge.validators.explain import duration_text, explain

HOUR_MS = 3_600_000
LIMITS = {"source_types": {"crm_opportunity": {"soft_ttl": "7d", "hard_ttl": "14d"}}}


def source(age_ms, source_id="crm:opp:77", source_type="crm_opportunity"):
    return {"source_id": source_id, "source_type": source_type, "last_updated": format_instant(NOW_MS - age_ms)}


SHAPES = "name a source, a ledger event or a record locator"


def freshness(*sources):
    return judge("freshness", policy(freshness=LIMITS), data_sources=list(sources))


def said(result):
    """Explain a result, and the same result decoded from a record; both must read the same."""
    live = explain(result)
    assert explain(canonical.decode(canonical.encode(run_event(result, b"key")))) == live
    return live


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([source(47 * DAY_MS)], "crm opportunity data `crm:opp:77` is 47 days old; the limit is 14 days"),
        ([source(47 * DAY_MS + HOUR_MS)], "crm opportunity data `crm:opp:77` is 47 days old; the limit is 14 days"),
        (
            [source(14 * DAY_MS + 1)],
            "crm opportunity data `crm:opp:77` is 14 days 1 millisecond old; the limit is 14 days",
        ),
        (
            [source(20 * DAY_MS), source(9 * DAY_MS, "b"), source(8 * DAY_MS, "c"), source(0, "d")],
            "crm opportunity data `crm:opp:77` is 20 days old; the limit is 14 days (and 2 more sources)",
        ),
        (
            [source(9 * DAY_MS)],
            "crm opportunity data `crm:opp:77` is 9 days old; it should be at most 7 days old, and the limit is 14 days",
        ),
        (
            [source(36 * HOUR_MS)],
            "crm opportunity data `crm:opp:77` is 1 day 12 hours old; it may be 7 days old",
        ),
        (
            [source(0, "a"), source(HOUR_MS, "b")],
            "all 2 sources are fresh; the oldest, crm opportunity data `b`, is 1 hour old",
        ),
        (
            [{**source(0), "last_updated": "yesterday"}],
            "crm opportunity data `crm:opp:77` has no valid timestamp; write RFC 3339 with an offset",
        ),
        (
            [source(-DAY_MS)],
            "crm opportunity data `crm:opp:77` is dated 1 day after the evaluation time, more than clocks may disagree",
        ),
        ([source(0, source_type="web_page")], "the policy sets no age limit for web page data `crm:opp:77`"),
    ],
)
def test_freshness(sources, sentence):
    """F1, F2: one sentence with the arithmetic in it."""
    assert said(freshness(*sources)) == sentence


def test_an_age_is_cut_only_where_it_is_already_seen_to_be_too_old():
    """F1: the sentence never shows an age that looks younger than the limit it passed."""
    assert duration_text(47 * HOUR_MS, beyond_ms=36 * HOUR_MS) == "1 day 23 hours"
    assert duration_text(100 * HOUR_MS + 1, beyond_ms=36 * HOUR_MS) == "4 days"
    assert duration_text(90_061_001) == "1 day 1 hour 1 minute 1 second 1 millisecond"
    assert duration_text(0) == "0 milliseconds"


def grounding(references, arguments=None, **changes):
    under = policy(grounding={"values": [{"id": "recipient", "field": "to"}]})
    return judge("grounding", under, references=references, arguments=arguments or {}, **changes)


@pytest.mark.parametrize(
    ("references", "sentence"),
    [
        ([], "`crm.update` carries no evidence reference; it needs at least one"),
        (
            ["a", "b"],
            f"evidence reference 1 of `crm.update` has no allowed shape; {SHAPES} (and 1 more failure)",
        ),
        (
            [{"source_type": "crm_contact", "source_id": "c-1"}],
            "`crm.update` refers to crm contact `c-1`, which is not in the evidence set",
        ),
        ([{"ledger_event_id": "9:1"}], "`crm.update` refers to ledger event `9:1`, which is not in the evidence set"),
        (
            [{"record_locator": {"system": "crm", "object": "renewal", "id": "r-9"}}],
            "`crm.update` refers to renewal `r-9` of `crm`, which is not in the evidence set",
        ),
        ([REFERENCE], "1 evidence reference stands in trusted evidence"),
    ],
)
def test_grounding(references, sentence):
    """R3: what does not hold, by name."""
    assert said(grounding(references)) == sentence


def test_grounding_of_values_and_steps():
    """R1, R4, R5: the field is named, never the value; at plan approval the step is."""
    ungrounded = said(grounding([REFERENCE], {"to": "eve@evil.example"}))
    assert ungrounded == "the value of `to` in `crm.update` stands in no trusted evidence (rule `recipient`)"
    held = grounding([REFERENCE, REFERENCE], {"to": "open"})
    assert said(held) == "2 evidence references and 1 value stand in trusted evidence"
    observed = grounding([REFERENCE], evidence=[{"reference": REFERENCE, "trust": "observed"}])
    assert said(observed) == "`crm.update` refers to crm `r-1`, whose source is not trusted"
    plan = {"plan_id": "p", "steps": [{"step_id": "s-1", "operation": "crm.note"}]}
    step = grounding([], choke_point=PLAN, plan=plan)
    assert said(step) == "step `s-1` (`crm.note`) carries no evidence reference; it needs at least one"


S = "s"


@pytest.mark.parametrize(
    ("rule", "state", "proposed", "sentence"),
    [
        ({"rule": "eq", "snapshot": S}, "won", "lost", "`v` is to be `lost`, but the snapshot says `won`"),
        ({"rule": "eq", "value": "won"}, None, "lost", "`v` is to be `lost`, but the policy says `won`"),
        (
            {"rule": "differs", "snapshot": S},
            "won",
            "won",
            "`v` is to be `won`, which is what the snapshot says already",
        ),
        ({"rule": "differs", "value": 1}, None, 1, "`v` is to be 1, which the policy excludes"),
        ({"rule": "one_of", "values": ["a", "b"]}, None, "c", "`v` is to be `c`; it may be `a` or `b`"),
        ({"rule": "member_of", "snapshot": S}, ["a"], "c", "`v` is to be `c`, which the snapshot does not hold"),
        ({"rule": "at_most", "value": 20}, None, 30, "`v` is to be 30; the limit is 20"),
        ({"rule": "at_least", "snapshot": S}, 20, 10, "`v` is to be 10; the snapshot's limit is 20"),
        ({"rule": "at_most", "value": 20}, None, "30", "`v` is to be `30`, which cannot be placed beside 20"),
        (
            {"rule": "no_backward", "snapshot": S, "ordering": ["a", "b"]},
            "b",
            "a",
            "`v` is to be `a`, which is before `b`",
        ),
        (
            {"rule": "transitions", "snapshot": S, "allowed": {"a": ["b"]}},
            "b",
            "a",
            "`v` may not go from `b` to `a`",
        ),
        (
            {"rule": "max_delta", "snapshot": S, "percent": 10},
            100,
            120,
            "`v` is to be 120, the snapshot says 100, and it may move by at most 10 percent",
        ),
        (
            {"rule": "max_delta", "snapshot": S, "absolute": 5},
            100,
            120,
            "`v` is to be 120, the snapshot says 100, and it may move by at most 5",
        ),
        ({"rule": "count_max", "max": 1}, None, [1, 2], "`v` has 2 elements; the limit is 1"),
        (
            {"rule": "date_window", "snapshot": S, "earliest": "-30d", "latest": "90d"},
            "2026-01-01",
            "2026-05-01",
            "`v` is `2026-05-01`, 120 days after `2026-01-01`; it may be 30 days before to 90 days after",
        ),
        (
            {"rule": "date_window", "earliest": "0d"},
            None,
            "2026-11-20T10:00:00Z",
            "`v` is `2026-11-20T10:00:00Z`, 2 days before the evaluation time; it may be at the same time at the earliest",
        ),
    ],
)
def test_contradiction(rule, state, proposed, sentence):
    """C3: field, rule and both values, with the arithmetic."""
    fields = {S: field(state if state is not None else 0)}
    result = judge("contradiction", rules({"field": "v", **rule}), arguments={"v": proposed}, fields=fields)
    assert said(result) == f"{sentence} (rule `rule-0`)"


def test_contradiction_of_states_and_steps():
    """C2, C3: an unknown state, and the step it stops."""
    rule = {"rule": "requires_state", "snapshot": "renewal.status", "values": ["open", "negotiation", "new"]}
    lost = judge("contradiction", rules(rule), fields={"renewal": field({"status": "lost"})})
    needed = "the action needs `negotiation`, `new` or `open`"
    assert said(lost) == f"`renewal.status` is `lost`, and {needed} (rule `rule-0`)"
    plan = {"plan_id": "p", "steps": [{"step_id": "s-1", "operation": "crm.update"}, {"operation": "crm.update"}]}
    unknown = judge("contradiction", rules(rule), choke_point=PLAN, plan=plan, fields={"renewal": field({})})
    assert said(unknown) == (
        f"in step `s-1`, the state of `renewal.status` is unknown, and {needed} (rule `rule-0`) (and 1 more contradiction)"
    )
    late = {"rule": "date_window", "snapshot": "renewal.at", "latest": "24h"}
    window = judge("contradiction", rules(late), fields={"renewal": field({"at": "2026-11-20T10:00:00Z"})})
    assert said(window) == (
        "the evaluation time is 2 days after `renewal.at`, `2026-11-20T10:00:00Z`; "
        "it may be 1 day after at the latest (rule `rule-0`)"
    )


def test_values_kept_apart_stay_apart():
    """L6: sealed before the record, a hash after it; the sentence shows neither."""
    under = policy(
        contradiction={"rules": [{"id": "r", "rule": "eq", "field": "email", "snapshot": "s"}]},
        compliance={"personal_fields": {"EMAIL": ["email"]}},
    )
    result = judge("contradiction", under, arguments={"email": "eve@x.example"}, fields={"s": field("kim@x.example")})
    assert said(result) == "`email` is to be a value kept apart, but the snapshot says a value kept apart (rule `r`)"


@pytest.mark.parametrize(
    ("section", "arguments", "sentence"),
    [
        (
            {"restricted_fields": ["ssn"]},
            {"ssn": 1, "x": {"ssn": 1}},
            "`ssn` is a restricted field (rule `ssn`) (and 1 more violation)",
        ),
        (
            {"personal_fields": {"EMAIL": ["mail"]}},
            {"mail": 1},
            "`mail` holds personal data of class EMAIL (rule `mail`)",
        ),
        ({"prohibited_actions": ["update"]}, {}, "the action type `update` is prohibited"),
        ({"allowed_actions": ["note"]}, {}, "the action type `update` is not on the list of allowed ones"),
        ({"prohibited_targets": ["crm"]}, {}, "the target `crm` is not allowed"),
        (
            {"prohibited_values": [{"path": "owner", "values": ["admin"]}]},
            {"owner": "admin"},
            "`owner` has a value that rule `owner` prohibits",
        ),
        ({"required_known": ["renewal_id"]}, {}, "`renewal_id` must be known (rule `renewal_id`) and is not"),
        (
            {"value_patterns": [{"id": "card", "class": "CARD", "fields": ["**"], "checksum": "luhn"}]},
            {"note": "4111111111111111"},
            "the value of `note` looks like personal data of class CARD (rule `card`)",
        ),
        (
            {},
            {"a": [0] * 100_000},
            "the arguments have more than 64 levels or 100,000 values, too many to look through",
        ),
        ({}, {"a": 1}, "1 field keeps to the rules"),
        ({}, {"a": 1, "b": 2}, "2 fields keep to the rules"),
    ],
)
def test_compliance(section, arguments, sentence):
    """P1, P2, P3: path and rule, never the value."""
    assert said(judge("compliance", policy(compliance=section), arguments=arguments)) == sentence


def test_compliance_of_what_is_not_registered():
    """Z5, P1: an operation nobody knows, a writeback to nowhere."""
    unknown = judge("compliance", policy(), operation="crm.drop")
    assert said(unknown) == "nobody registered an operation `crm.drop`"
    under = policy(
        operations={"p": {"kind": "writeback", "cost_class": "CHEAP"}}, compliance={"allowed_targets": ["crm"]}
    )
    assert said(judge("compliance", under, operation="p")) == "the writeback names no target"


def test_absence():
    """G5: what is missing, and where."""
    missing = judge("contradiction", rules(), proposal=None, snapshot=None)
    assert said(missing) == "the request lacks its proposal and snapshot, which this choke point requires"
    assert said(judge("freshness", policy())) == "the policy has no section `freshness`"
    waived = judge("freshness", policy(), choke_point="BEFORE_EXPENSIVE_READ", data_sources=None)
    assert said(waived) == "there is nothing here that this validator has to judge"


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        (
            Finding("RETRY_NOT_AUTHORISED", {"retry_of": "run-1"}),
            "the same proposal was blocked in run `run-1`, nothing changed since, and nobody authorised a retry",
        ),
        (
            Finding("NOT_AS_APPROVED", {"differs": ["plan", "snapshot"]}),
            "the plan and snapshot are not what was approved",
        ),
        (Finding("NOT_AS_APPROVED", {"differs": ["step"]}), "the step is not what was approved"),
        (
            Finding("UNTRUSTED_INPUT", {"inputs": ["snapshot", "data_sources"], "role": "agent"}),
            "a principal with role `agent` may not state snapshot and data sources; only a host may",
        ),
        (
            Finding("CLOCK_STEPPED_BACK", {"behind_ms": 7000, "max_clock_skew_ms": 5000}),
            "the evaluation time is 7 seconds behind the last record; the limit is 5 seconds",
        ),
        (Finding("SOMETHING_ELSE", {}), "refused with reason SOMETHING_ELSE"),
    ],
)
def test_findings_of_the_gateway(finding, sentence):
    """G8, G11, Z5, B9: also as they stand in a record."""
    assert explain(finding) == sentence
    assert explain({"reason": finding.reason, "details": finding.details}) == sentence


def test_what_failed():
    """G6: VALIDATOR_ERROR of any validator, with the exception's type."""
    failed = ValidatorResult("acme.credit", Verdict.BLOCK, "VALIDATOR_ERROR", {"error": "KeyError"})
    assert explain(failed) == "the validator failed with `KeyError`"
    nothing = ValidatorResult("acme.credit", Verdict.BLOCK, "VALIDATOR_ERROR", {"error": "NotAResult"})
    assert explain(nothing) == "the validator answered something that is not a result"


def test_what_nobody_knows_is_named_and_nothing_fails():
    """G6: a custom validator's reasons, and details of another shape."""
    custom = ValidatorResult("acme.credit", Verdict.WARN, "CREDIT_HOLD", {"days": 3})
    assert explain(custom) == "`acme.credit` answered WARN with reason CREDIT_HOLD"
    borrowed = ValidatorResult("acme.credit", Verdict.BLOCK, "DATA_STALE", {"x": 1})
    assert explain(borrowed) == "`acme.credit` answered BLOCK with reason DATA_STALE"
    validators = ["freshness", "grounding", "contradiction", "compliance"]
    reasons = ["FRESH", "GROUNDED", "CONTRADICTION", "PII_FIELD", "INPUT_MISSING"]
    shapes: list[dict] = [
        {},
        {"missing": 1},
        {"failures": []},
        {"violations": [{}]},
        {"contradictions": [{"kind": "eq"}]},
    ]
    for validator, reason, details in itertools.product(validators, reasons, shapes):
        strange = ValidatorResult(validator, Verdict.BLOCK, reason, details)
        assert explain(strange) == f"`{validator}` answered BLOCK with reason {reason}"


def test_every_value_can_be_shown():
    """Short text as it is, longer text cut, everything else as JSON."""

    def sentence(value):
        entry = {
            "field": "v",
            "rule": "r",
            "kind": "eq",
            "reason": "CONTRADICTION",
            "result": "BLOCK",
            "snapshot_value": value,
            "proposed_value": 1,
        }
        return explain(ValidatorResult("contradiction", Verdict.BLOCK, "CONTRADICTION", {"contradictions": [entry]}))

    assert "`a`" in sentence("a")
    assert f"`{'x' * 200}…`" in sentence("x" * 300)
    assert "true" in sentence(True)
    assert "1.5" in sentence(1.5)
    assert "a value kept apart" in sentence(Sealed("x"))
    assert "a value" in sentence(float("nan"))
