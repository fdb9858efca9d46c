"""The decision vectors as they were thought out: a policy, a request, and what each validator must answer, and why.

What stands here is written by hand from the contract. `python -m tests.vectors.generate` turns each case into a file with
the exact bytes, and refuses where verdict or reason differ from what is written here.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

NOW = "2026-11-22T10:00:00.000Z"

Answer = tuple[str, str]

FRESH, GROUNDED = ("ALLOW", "FRESH"), ("ALLOW", "GROUNDED")
CONSISTENT, COMPLIANT = ("ALLOW", "CONSISTENT"), ("ALLOW", "COMPLIANT")
NOT_APPLICABLE = ("ALLOW", "NOT_APPLICABLE")


class Case(NamedTuple):
    """One vector to be. ``answers`` are those of freshness, grounding, contradiction and compliance."""

    name: str
    why: str
    policy: dict[str, Any]
    context: dict[str, Any]
    answers: tuple[Answer, Answer, Answer, Answer]


def block(reason: str) -> Answer:
    return "BLOCK", reason


def warn(reason: str) -> Answer:
    return "WARN", reason


POLICY: dict[str, Any] = {
    "weighbridge": 1,
    "name": "vectors",
    "max_clock_skew": "5s",
    "sources": {
        "crm_renewal": {"trust": "system_of_record", "free_text": ["notes"]},
        "billing": {"trust": "trusted"},
        "mailbox": {"trust": "trusted", "free_text": ["body", "body.signature"], "admitted_text": ["body.signature"]},
        "web_page": {"trust": "observed"},
    },
    "operations": {
        "crm.update_renewal": {
            "kind": "writeback",
            "action_type": "update_renewal",
            "target": "crm",
            "cost_class": "MEDIUM",
        },
        "crm.log_note": {"kind": "action", "action_type": "log_note", "cost_class": "CHEAP"},
        "mail.send": {"kind": "writeback", "action_type": "send_email", "target": "smtp", "cost_class": "CHEAP"},
        "enrich.company": {"kind": "read", "cost_class": "EXPENSIVE"},
        "crm.export": {"kind": "read", "cost_class": "EXPENSIVE", "declares_proposal": True},
    },
    "freshness": {
        "source_types": {
            "crm_renewal": {"soft_ttl": "7d", "hard_ttl": "14d"},
            "billing": {"soft_ttl": "1h", "hard_ttl": "1d12h"},
        },
        "source_ids": {"crm:opp:77": {"soft_ttl": "1d", "hard_ttl": "2d"}},
    },
    "grounding": {},
    "contradiction": {"rules": []},
    "compliance": {"restricted_fields": []},
}

REFERENCE = {"source_type": "crm_renewal", "source_id": "r-7"}
LOCATOR = {"system": "billing", "object": "invoice", "id": "i-1"}

CONTEXT: dict[str, Any] = {
    "choke_point": "BEFORE_STEP_EXECUTION",
    "tenant_id": "acme",
    "validation_run_id": "run-1",
    "actor": {"id": "renewal-agent", "role": "agent"},
    "proposal": {
        "operation": "crm.update_renewal",
        "arguments": {"renewal_id": "r-7", "stage": "proposal"},
        "evidence": [REFERENCE],
    },
    "snapshot": {
        "fields": {
            "renewal": {
                "value": {"status": "open", "stage": "prospect", "price": 1000, "end_date": "2026-11-30"},
                "source_type": "crm_renewal",
                "source_id": "r-7",
            }
        }
    },
    "data_sources": [{"source_id": "crm:r-7", "source_type": "crm_renewal", "last_updated": "2026-11-20T10:00:00Z"}],
    "evidence": [{"reference": REFERENCE, "content": {"status": "open", "owner": "Dana Diaz", "price": 1000}}],
    "evaluation_time": NOW,
}

ALL: list[Case] = []


def case(
    name: str,
    why: str,
    *,
    policy: dict[str, Any] | None = None,
    freshness: Answer = FRESH,
    grounding: Answer = GROUNDED,
    contradiction: Answer = CONSISTENT,
    compliance: Answer = COMPLIANT,
    **context: Any,
) -> None:
    """Add a case: what differs from the base policy and context (None leaves a key out) and from four times ALLOW."""
    arguments, operation = context.pop("arguments", None), context.pop("operation", None)
    references, state = context.pop("references", None), context.pop("state", None)
    written, request = copy.deepcopy(POLICY) | (policy or {}), copy.deepcopy(CONTEXT)
    for key, value in (("arguments", arguments), ("operation", operation), ("evidence", references)):
        if value is not None:
            request["proposal"][key] = value
    if state is not None:
        request["snapshot"]["fields"] = {
            name: value
            if isinstance(value, dict) and "source_type" in value
            else {"value": value, "source_type": "billing"}
            for name, value in state.items()
        }
    request |= context
    ALL.append(
        Case(
            name,
            why,
            {key: value for key, value in written.items() if value is not None},
            {key: value for key, value in request.items() if value is not None},
            (freshness, grounding, contradiction, compliance),
        )
    )


def sources(*entries: tuple[str, str, Any]) -> list[dict[str, Any]]:
    return [{"source_id": i, "source_type": kind, "last_updated": updated} for i, kind, updated in entries]


def rule(kind: str, **parts: Any) -> dict[str, Any]:
    """Return the policy's contradiction section with one rule."""
    return {"contradiction": {"unknown_values": ["unknown"], "rules": [{"id": "rule", "rule": kind, **parts}]}}


def value_rule(**parts: Any) -> dict[str, Any]:
    """Return the policy's grounding section with one grounded value."""
    return {"grounding": {"values": [{"id": "value", **parts}]}}


# --- All four -----------------------------------------------------------------------------------------------------------

case("all-allow", "G1: each of the four answers, and each allows.")
case(
    "all-block",
    "G1: a BLOCK stops none of the others; every validator says its own.",
    policy={
        **rule("requires_state", snapshot="renewal.status", values=["open"]),
        "compliance": {"restricted_fields": ["ssn"]},
    },
    arguments={"ssn": "536-90-4399"},
    references=[],
    state={"renewal": {"status": "lost"}},
    data_sources=sources(("crm:r-7", "crm_renewal", "2026-10-06T10:00:00Z")),
    freshness=block("DATA_STALE"),
    grounding=block("MISSING_EVIDENCE"),
    contradiction=block("CONTRADICTION"),
    compliance=block("RESTRICTED_FIELD"),
)
case(
    "nothing-given",
    "G5: at a step's choke point every input is required, and each validator names what it lacks.",
    proposal=None,
    snapshot=None,
    data_sources=None,
    evidence=None,
    freshness=block("INPUT_MISSING"),
    grounding=block("INPUT_MISSING"),
    contradiction=block("INPUT_MISSING"),
    compliance=block("INPUT_MISSING"),
)
case(
    "nothing-configured",
    "G5: no section says anything about inputs that are present; nothing defaults to allow.",
    policy={"freshness": None, "grounding": None, "contradiction": None, "compliance": None},
    freshness=block("CONFIG_MISSING"),
    grounding=block("CONFIG_MISSING"),
    contradiction=block("CONFIG_MISSING"),
    compliance=block("CONFIG_MISSING"),
)
case(
    "waived-inputs",
    "G5: the policy declares that a note needs neither snapshot nor sources nor evidence, and none is given.",
    policy={
        "required_inputs": {
            "not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"], "action_types": ["log_note"]}]
        }
    },
    operation="crm.log_note",
    references=[],
    snapshot=None,
    data_sources=None,
    evidence=None,
    freshness=NOT_APPLICABLE,
    grounding=NOT_APPLICABLE,
    contradiction=NOT_APPLICABLE,
)
case(
    "waived-for-another-action",
    "G5: what is waived for a note is required for an update.",
    policy={
        "required_inputs": {
            "not_needed": [{"inputs": ["snapshot", "data_sources", "evidence"], "action_types": ["log_note"]}]
        }
    },
    references=[],
    snapshot=None,
    data_sources=None,
    evidence=None,
    freshness=block("INPUT_MISSING"),
    grounding=block("INPUT_MISSING"),
    contradiction=block("INPUT_MISSING"),
)
case(
    "expensive-read",
    "R1, G5: an expensive read needs operation and arguments only; it is grounded only where it declares a proposal.",
    choke_point="BEFORE_EXPENSIVE_READ",
    operation="enrich.company",
    references=[],
    snapshot=None,
    data_sources=None,
    evidence=None,
    freshness=NOT_APPLICABLE,
    grounding=NOT_APPLICABLE,
    contradiction=NOT_APPLICABLE,
)
case(
    "writeback-without-sources",
    "G5: data sources are optional before a writeback.",
    choke_point="BEFORE_EXTERNAL_WRITEBACK",
    data_sources=None,
    freshness=NOT_APPLICABLE,
)
case(
    "plan-with-three-steps",
    "R1, C3, P1: at plan approval every step is judged, and each finding names its step.",
    policy={
        **rule("at_most", field="discount_percent", value=20),
        "compliance": {"prohibited_actions": ["send_email"]},
    },
    choke_point="BEFORE_PLAN_APPROVAL",
    proposal=None,
    plan={
        "plan_id": "p-1",
        "steps": [
            {"step_id": "s1", "operation": "crm.log_note", "evidence": []},
            {
                "step_id": "s2",
                "operation": "crm.update_renewal",
                "arguments": {"discount_percent": 25},
                "evidence": [REFERENCE],
            },
            {"step_id": "s3", "operation": "mail.send", "depends_on": ["s2"], "evidence": []},
        ],
    },
    grounding=block("MISSING_EVIDENCE"),
    contradiction=block("CONTRADICTION"),
    compliance=block("PROHIBITED_ACTION"),
)
case(
    "plan-without-steps",
    "G5: a plan without steps is no plan.",
    choke_point="BEFORE_PLAN_APPROVAL",
    proposal=None,
    plan={"plan_id": "p-1", "steps": []},
    grounding=block("INPUT_MISSING"),
    contradiction=block("INPUT_MISSING"),
    compliance=block("INPUT_MISSING"),
)

# --- Freshness ----------------------------------------------------------------------------------------------------------

for _name, _updated, _answer, _why in (
    ("soft-limit", "2026-11-15T10:00:00.000Z", FRESH, "F1: exactly 7 days old is fresh."),
    ("past-soft-limit", "2026-11-15T09:59:59.999Z", warn("DATA_AGING"), "F1: a millisecond more is aging."),
    ("hard-limit", "2026-11-08T10:00:00.000Z", warn("DATA_AGING"), "F1: exactly 14 days old is aging."),
    ("past-hard-limit", "2026-11-08T09:59:59.999Z", block("DATA_STALE"), "F1: a millisecond more is stale."),
    ("clock-skew", "2026-11-22T11:00:05.000+01:00", FRESH, "F3: 5 s ahead is within max_clock_skew; the age is 0."),
    ("future", "2026-11-22T10:00:05.001Z", block("TIMESTAMP_IN_FUTURE"), "F3: a millisecond more is in the future."),
    (
        "no-offset",
        "2026-11-20T10:00:00",
        block("TIMESTAMP_MISSING"),
        "G5: a timestamp without an offset names no instant.",
    ),
    ("no-timestamp", None, block("TIMESTAMP_MISSING"), "G5: a source without a valid timestamp."),
    ("number-as-timestamp", 1795168800000, block("TIMESTAMP_MISSING"), "G5: a number names no instant."),
):
    case(f"freshness-{_name}", _why, data_sources=sources(("crm:r-7", "crm_renewal", _updated)), freshness=_answer)
case(
    "freshness-source-id",
    "F4: the limit of a source id wins over its type's: 3 days are too old for this one.",
    data_sources=sources(("crm:opp:77", "crm_renewal", "2026-11-19T10:00:00Z")),
    freshness=block("DATA_STALE"),
)
case(
    "freshness-worst-of-four",
    "F2: the worst source wins; among equals the first in the order of ids; every one is in the details, in that order.",
    data_sources=sources(
        ("z", "billing", "2026-11-20T10:00:00Z"),
        ("b", "crm_renewal", "2026-11-01T10:00:00Z"),
        ("a", "crm_renewal", "2026-11-14T10:00:00Z"),
        ("a", "billing", "2026-11-22T09:30:00Z"),
    ),
    freshness=block("DATA_STALE"),
)
case(
    "freshness-no-limit",
    "G5: nobody set a limit for this source.",
    data_sources=sources(("page", "web_page", "2026-11-22T10:00:00Z")),
    freshness=block("CONFIG_MISSING"),
)
case(
    "freshness-no-sources",
    "G5: an empty list of sources says nothing.",
    data_sources=[],
    freshness=block("INPUT_MISSING"),
)

# --- Grounding ----------------------------------------------------------------------------------------------------------

case(
    "grounding-shapes",
    "R3: every reference without an allowed shape is named by its position, and kept apart (L6).",
    references=[REFERENCE, "crm:r-7", {"source_type": "crm_renewal"}, {"record_locator": {**LOCATOR, "fields": []}}],
    grounding=block("INVALID_EVIDENCE"),
)
case(
    "grounding-unknown",
    "R3: a reference that the evidence set does not hold.",
    references=[REFERENCE, {"source_type": "crm_renewal", "source_id": "r-8"}, {"ledger_event_id": "9:1"}],
    grounding=block("UNKNOWN_EVIDENCE"),
)
case(
    "grounding-empty-set",
    "R3: an empty evidence set resolves nothing.",
    evidence=[],
    grounding=block("UNKNOWN_EVIDENCE"),
)
case(
    "grounding-missing-set",
    "G5: without an evidence set INPUT_MISSING comes first; who carries no reference is named beside it.",
    evidence=None,
    references=[],
    grounding=block("INPUT_MISSING"),
)
case(
    "grounding-untrusted",
    "R4: an observed source, an undeclared one, and a trusted one whose label is lowered.",
    references=[{"source_type": t, "source_id": "x"} for t in ("web_page", "nobody", "billing")],
    evidence=[
        {"reference": {"source_type": "web_page", "source_id": "x"}, "trust": "system_of_record"},
        {"reference": {"source_type": "nobody", "source_id": "x"}},
        {"reference": {"source_type": "billing", "source_id": "x"}, "trust": "observed"},
    ],
    grounding=block("UNTRUSTED_EVIDENCE"),
)
case(
    "grounding-second-name",
    "R4: trust follows the source that was read; calling a web page a billing record raises nothing.",
    references=[{"source_type": "web_page", "source_id": "x"}],
    evidence=[{"reference": {"source_type": "web_page", "source_id": "x"}, "source_type": "billing"}],
    grounding=block("UNTRUSTED_EVIDENCE"),
)
case(
    "grounding-locator-covered",
    "R2: a locator with fields is covered by one without, and by one with more of them.",
    references=[
        {"record_locator": {**LOCATOR, "fields": ["total"]}},
        {"record_locator": {**LOCATOR, "id": "i-2", "fields": ["a"]}},
    ],
    evidence=[
        {"reference": {"record_locator": LOCATOR}},
        {"reference": {"record_locator": {**LOCATOR, "id": "i-2", "fields": ["b", "a"]}}},
    ],
)
case(
    "grounding-locator-not-covered",
    "R2: one without fields, or with others, is not covered by one with these.",
    references=[{"record_locator": LOCATOR}, {"record_locator": {**LOCATOR, "fields": ["total"]}}],
    evidence=[{"reference": {"record_locator": {**LOCATOR, "fields": ["due"]}}}],
    grounding=block("UNKNOWN_EVIDENCE"),
)
case(
    "grounding-warns",
    "R3: failing references are as severe as the policy says.",
    policy={"grounding": {"severity": "WARN"}},
    references=[],
    grounding=warn("MISSING_EVIDENCE"),
)
case(
    "grounding-worst-failure",
    "R3, R5: a value may be graver than the references; the first of the worst is the reason.",
    policy={"grounding": {"severity": "WARN", "values": [{"id": "owner", "field": "owner", "severity": "BLOCK"}]}},
    references=[],
    arguments={"owner": "Eve"},
    grounding=block("UNGROUNDED_VALUE"),
)
case(
    "grounding-expensive-proposal",
    "R1: an expensive operation that declares a proposal is grounded like one.",
    choke_point="BEFORE_EXPENSIVE_READ",
    operation="crm.export",
    references=[],
    grounding=block("MISSING_EVIDENCE"),
)
case(
    "grounding-value-stands",
    "R5: equal in type and value to leaves of trusted content; 1000.0 is 1000; null names no value.",
    policy={"grounding": {"values": [{"id": "v1", "field": "owner"}, {"id": "v2", "field": "lines[*]"}]}},
    arguments={"owner": "Dana Diaz", "lines": [{"price": 1000.0}, None]},
)
case(
    "grounding-value-missing",
    "R5: the text 1000 is not the number 1000; each path is named, no value is.",
    policy=value_rule(field="lines[*]"),
    arguments={"lines": [{"price": "1000", "owner": "Dana Diaz"}, {"price": 1000, "owner": "dana diaz"}]},
    grounding=block("UNGROUNDED_VALUE"),
)
case(
    "grounding-value-in-observed-text",
    "R4, R5: third parties' free text inside a trusted source grounds nothing.",
    policy=value_rule(field="to"),
    arguments={"to": "kim@example.org"},
    evidence=[{"reference": REFERENCE, "content": {"notes": [{"text": "kim@example.org"}]}}],
    grounding=block("UNGROUNDED_VALUE"),
)
case(
    "grounding-value-in-admitted-text",
    "R4: unless the policy admits that field.",
    policy=value_rule(field="to"),
    arguments={"to": "kim@example.org"},
    references=[{"source_type": "mailbox", "source_id": "m"}],
    evidence=[
        {
            "reference": {"source_type": "mailbox", "source_id": "m"},
            "content": {"body": {"signature": "kim@example.org"}},
        }
    ],
)
case(
    "grounding-text-boundaries",
    "R5: in a text, between boundaries; a longer address that begins alike is another address.",
    policy=value_rule(field="to[*]", text=True),
    arguments={"to": ["kim@example.org", "lee@example.org", "kim@example", "example.org"]},
    evidence=[{"reference": REFERENCE, "content": "Ask <kim@example.org>, or \u201clee@example.org\u201d!"}],
    grounding=block("UNGROUNDED_VALUE"),
)
case(
    "grounding-text-number",
    "R5: numbers match structured leaves only.",
    policy=value_rule(field="amount", text=True),
    arguments={"amount": 120},
    evidence=[{"reference": REFERENCE, "content": "it costs 120 today"}],
    grounding=block("UNGROUNDED_VALUE"),
)
case(
    "grounding-normalised",
    "R5: case-folded and trimmed, because the policy names both.",
    policy=value_rule(field="city", normalise=["case_folded", "trimmed"]),
    arguments={"city": " GRO\u00dfSTADT\n"},
    evidence=[{"reference": REFERENCE, "content": {"city": "grossstadt"}}],
)
case(
    "grounding-value-of-named-sources",
    "R5: the policy may name the sources that count.",
    policy=value_rule(field="owner", source_types=["billing"]),
    arguments={"owner": "Dana Diaz"},
    grounding=block("UNGROUNDED_VALUE"),
)

# --- Contradiction ------------------------------------------------------------------------------------------------------

BROKEN, UNPLACED = block("CONTRADICTION"), block("INCOMPARABLE_VALUE")

for _name, _kind, _parts, _state, _proposed, _answer, _why in (
    ("eq-holds", "eq", {"snapshot": "s"}, 1, 1.0, CONSISTENT, "C1: 1 equals 1.0."),
    ("eq-breaks", "eq", {"snapshot": "s"}, True, 1, BROKEN, "C1: true is not 1."),
    ("eq-literal", "eq", {"value": "EUR"}, 0, "USD", BROKEN, "C1: beside a value of the rule."),
    ("differs-holds", "differs", {"snapshot": "s"}, "p-1", "p-2", CONSISTENT, "C1: differs."),
    ("differs-breaks", "differs", {"snapshot": "s"}, "p-1", "p-1", BROKEN, "C1: differs."),
    ("one-of-holds", "one_of", {"values": ["a", 2]}, 0, 2, CONSISTENT, "C1: an enumeration."),
    ("one-of-breaks", "one_of", {"values": ["a", 2]}, 0, "b", BROKEN, "C1: an enumeration."),
    ("member-of-list", "member_of", {"snapshot": "s"}, ["a", "b"], "b", CONSISTENT, "C1: stands in a list."),
    ("member-of-keys", "member_of", {"snapshot": "s"}, {"a": 1}, "a", CONSISTENT, "C1: or among an object's keys."),
    (
        "member-of-each",
        "member_of",
        {"snapshot": "s[*].id"},
        [{"id": "a"}],
        "b",
        BROKEN,
        "C1: or in what [*] finds; values are kept apart where there are many.",
    ),
    (
        "member-of-empty",
        "member_of",
        {"snapshot": "s"},
        [],
        "b",
        BROKEN,
        "C1: an empty collection is known, and holds nothing.",
    ),
    ("member-of-scalar", "member_of", {"snapshot": "s"}, "b", "b", UNPLACED, "C3: a text is no collection."),
    ("at-most-edge", "at_most", {"value": 20}, 0, 20, CONSISTENT, "C1: the limit itself holds."),
    ("at-most-breaks", "at_most", {"snapshot": "s"}, 20, 20.5, BROKEN, "C1: beside a snapshot field."),
    ("at-least-breaks", "at_least", {"snapshot": "s"}, 20, 19.999, BROKEN, "C1: at_least."),
    ("at-most-text", "at_most", {"value": 20}, 0, "15", UNPLACED, "C3: a text is no number."),
    ("count-max-holds", "count_max", {"snapshot": "s"}, 2, ["x", "y"], CONSISTENT, "C1: as many as the snapshot says."),
    ("count-max-breaks", "count_max", {"max": 1}, 0, ["x", "y"], BROKEN, "C1: one more than there may be."),
    (
        "count-max-collection",
        "count_max",
        {"snapshot": "s[*]"},
        [1, 2],
        ["x", "y", "z"],
        BROKEN,
        "C1: beside the size of a collection.",
    ),
    ("count-max-unplaced", "count_max", {"snapshot": "s"}, 1.5, ["x"], UNPLACED, "C3: no whole number."),
    (
        "max-delta-edge",
        "max_delta",
        {"snapshot": "s", "absolute": "0.1"},
        0.2,
        0.3,
        CONSISTENT,
        "C1: 0.3 is one tenth more than 0.2, exactly.",
    ),
    (
        "max-delta-breaks",
        "max_delta",
        {"snapshot": "s", "percent": 10},
        1000,
        1100.01,
        BROKEN,
        "C1: more than 10 percent.",
    ),
    (
        "max-delta-of-zero",
        "max_delta",
        {"snapshot": "s", "percent": 10},
        0,
        0.01,
        BROKEN,
        "C1: nothing but 0 is within percent of 0.",
    ),
    (
        "no-backward-holds",
        "no_backward",
        {"snapshot": "s", "ordering": ["a", "b", "c"]},
        "b",
        "b",
        CONSISTENT,
        "C1: staying is not going back.",
    ),
    (
        "no-backward-breaks",
        "no_backward",
        {"snapshot": "s", "ordering": ["a", "b", "c"]},
        "c",
        "a",
        BROKEN,
        "C1: back in the ordering.",
    ),
    (
        "no-backward-unplaced",
        "no_backward",
        {"snapshot": "s", "ordering": ["a", "b", "c"]},
        "c",
        "d",
        UNPLACED,
        "C3: not in the ordering.",
    ),
    (
        "transitions-holds",
        "transitions",
        {"snapshot": "s", "allowed": {"a": ["b"]}},
        "a",
        "b",
        CONSISTENT,
        "C1: an allowed pair.",
    ),
    (
        "transitions-breaks",
        "transitions",
        {"snapshot": "s", "allowed": {"a": ["b"]}},
        "b",
        "a",
        BROKEN,
        "C1: no pair leads there.",
    ),
    (
        "transitions-unplaced",
        "transitions",
        {"snapshot": "s", "allowed": {"a": ["b"]}},
        "a",
        "z",
        UNPLACED,
        "C3: the table does not know it.",
    ),
    (
        "date-window-edge",
        "date_window",
        {"snapshot": "s", "latest": "90d"},
        "2026-11-30",
        "2027-02-28",
        CONSISTENT,
        "C1: the end belongs to the window.",
    ),
    (
        "date-window-breaks",
        "date_window",
        {"snapshot": "s", "earliest": "-30d"},
        "2026-11-30",
        "2026-10-30T23:59:59.999Z",
        BROKEN,
        "C1: a millisecond before it.",
    ),
    (
        "date-window-now",
        "date_window",
        {"earliest": "0s", "latest": "1d"},
        0,
        "2026-11-23T10:00:00.001Z",
        BROKEN,
        "C1: against the evaluation time.",
    ),
    (
        "date-window-unplaced",
        "date_window",
        {"snapshot": "s", "latest": "90d"},
        "2026-11-30",
        "soon",
        UNPLACED,
        "C3: not a date.",
    ),
    (
        "unknown-proposal",
        "at_most",
        {"value": 20},
        0,
        "unknown",
        CONSISTENT,
        "C2: an unknown value contradicts nothing.",
    ),
    ("null-proposal", "eq", {"snapshot": "s"}, 1, None, CONSISTENT, "C2: null contradicts nothing."),
    ("unknown-state", "eq", {"snapshot": "s"}, "unknown", 1, CONSISTENT, "C2: nor does an unknown state."),
    ("absent-state", "eq", {"snapshot": "s.x"}, {}, 1, CONSISTENT, "C2: nor an absent one."),
):
    case(
        f"contradiction-{_name}",
        _why,
        policy=rule(_kind, field="v", **_parts),
        state={"s": _state},
        arguments={"v": _proposed},
        contradiction=_answer,
    )
_STATES: tuple[tuple[str, dict[str, Any], Answer, str], ...] = (
    ("holds", {"status": "open"}, CONSISTENT, "C1: the state has one of the listed values."),
    ("breaks", {"status": "lost"}, BROKEN, "C1: it has another."),
    ("null", {"status": None}, UNPLACED, "C2: an unknown state is refused here."),
    ("absent", {}, UNPLACED, "C2: as is an absent one."),
    (
        "untrusted",
        {"value": {"status": "open"}, "source_type": "web_page"},
        UNPLACED,
        "C1, C2: an observed field says nothing.",
    ),
)
for _name, _state, _answer, _why in _STATES:
    case(
        f"contradiction-requires-state-{_name}",
        _why,
        policy=rule("requires_state", snapshot="renewal.status", values=["open", "negotiation"]),
        state={"renewal": _state},
        contradiction=_answer,
    )
case(
    "contradiction-booking-too-old",
    "C1: with no field it is the evaluation time that is placed.",
    policy=rule("date_window", snapshot="booking.created_at", latest="24h"),
    state={"booking": {"created_at": "2026-11-21T09:59:59Z"}},
    contradiction=BROKEN,
)
case(
    "contradiction-keyed-by-element",
    "C1: each payment beside its own balance; one that nobody knows contradicts nothing.",
    policy=rule("at_most", field="payments[*].amount", snapshot="methods.{id}.balance"),
    state={"methods": {"gift-1": {"balance": 50}, "card-1": {"balance": 500}}},
    arguments={
        "payments": [{"id": "gift-1", "amount": 51}, {"id": "card-1", "amount": 500}, {"id": "card-9", "amount": 1}]
    },
    contradiction=BROKEN,
)
case(
    "contradiction-conditions",
    "C1: a rule limited to cases by equality on the snapshot and on the proposal.",
    policy=rule(
        "count_max",
        field="payments[*]",
        max=1,
        when=[
            {"snapshot": "methods.{id}.kind", "equals": "certificate"},
            {"field": "payments[*].used", "equals": True},
        ],
    ),
    state={"methods": {"c1": {"kind": "certificate"}, "c2": {"kind": "certificate"}, "g": {"kind": "gift"}}},
    arguments={
        "payments": [{"id": "c1", "used": True}, {"id": "c2", "used": True}, {"id": "g", "used": True}, {"id": "c1"}]
    },
    contradiction=BROKEN,
)
case(
    "contradiction-condition-not-met",
    "C1: typed equality: the text true is not true, so the rule is about another case.",
    policy=rule("at_most", field="discount", value=20, when=[{"field": "applied", "equals": True}]),
    arguments={"discount": 90, "applied": "true"},
)
case(
    "contradiction-warns",
    "C3: a contradiction is as severe as its rule; the worst gives the reason.",
    policy={
        "contradiction": {
            "rules": [
                {"id": "price", "rule": "at_most", "field": "price", "snapshot": "renewal.price", "severity": "WARN"},
                {
                    "id": "stage",
                    "rule": "no_backward",
                    "field": "stage",
                    "snapshot": "renewal.stage",
                    "ordering": ["proposal", "won"],
                    "severity": "WARN",
                },
            ]
        }
    },
    arguments={"price": 1001, "stage": "won"},
    contradiction=warn("CONTRADICTION"),
)
case(
    "contradiction-kept-apart",
    "C3, L6: personal values, long text and collections stand in details by content hash only.",
    policy={
        "contradiction": {
            "rules": [
                {"id": "email", "rule": "eq", "field": "contact.email", "snapshot": "contact.email"},
                {"id": "text", "rule": "eq", "field": "text", "snapshot": "contact.text"},
                {"id": "tags", "rule": "member_of", "field": "tag", "snapshot": "contact.tags"},
            ]
        },
        "compliance": {"personal_fields": {"EMAIL": [{"path": "email", "action_types": ["send_email"]}]}},
    },
    state={"contact": {"email": "kim@example.org", "text": "a", "tags": ["x", "y"]}},
    arguments={"contact": {"email": "eve@evil.example"}, "text": "z" * 201, "tag": "z"},
    contradiction=BROKEN,
)
case(
    "contradiction-literal-without-snapshot",
    "G5: where the snapshot is optional and absent, a rule that needs none still holds.",
    policy=rule("at_most", field="pages", value=100),
    choke_point="BEFORE_EXPENSIVE_READ",
    operation="enrich.company",
    references=[],
    arguments={"pages": 101},
    snapshot=None,
    data_sources=None,
    evidence=None,
    freshness=NOT_APPLICABLE,
    grounding=NOT_APPLICABLE,
    contradiction=BROKEN,
)

# --- Compliance ---------------------------------------------------------------------------------------------------------

for _name, _section, _arguments, _reason, _why in (
    (
        "restricted-field",
        {"restricted_fields": ["internal.margin"]},
        {"x": [{"Internal": {"_margin": 1}}]},
        "RESTRICTED_FIELD",
        "P2: any suffix, indices ignored, names in one form.",
    ),
    (
        "restricted-in-text",
        {"restricted_fields": ["ssn"]},
        {"note": '{"a": 1, "a": {"SSN": 1}}'},
        "RESTRICTED_FIELD",
        "P2: JSON in a text is walked; of two equal names neither hides the other.",
    ),
    (
        "personal-field",
        {"personal_fields": {"EMAIL": ["contact.mail"], "PHONE": ["phone"]}},
        {"contact": {"mail": None}, "Phone": 1},
        "PII_FIELD",
        "P1: fields classified as personal data, by path.",
    ),
    ("prohibited-action", {"prohibited_actions": ["update_renewal"]}, {}, "PROHIBITED_ACTION", "P1."),
    (
        "action-not-allowed",
        {"allowed_actions": ["log_note"]},
        {},
        "ACTION_NOT_ALLOWED",
        "P1: an allow list that lacks it.",
    ),
    ("target-not-allowed", {"allowed_targets": ["smtp"]}, {}, "TARGET_NOT_ALLOWED", "P1: an allow list that lacks it."),
    ("target-prohibited", {"prohibited_targets": ["crm"]}, {}, "TARGET_NOT_ALLOWED", "P1: a denial."),
    (
        "prohibited-value",
        {"prohibited_values": [{"path": "owner", "values": ["admin", 1]}]},
        {"owner": ["x", "admin", True, 1.0]},
        "PROHIBITED_VALUE",
        "P1: equal in type and value; in a list, each element.",
    ),
    (
        "unknown-value",
        {"required_known": ["lines[*].sku"], "unknown_values": ["?"]},
        {"lines": [{"sku": "A"}, {}, {"sku": "?"}]},
        "UNKNOWN_VALUE",
        "P1: absent, null or unknown where it must be known.",
    ),
    (
        "value-pattern",
        {
            "value_patterns": [
                {
                    "id": "card",
                    "class": "CREDIT_CARD",
                    "fields": ["**"],
                    "regex": "[0-9](?:[ -]?[0-9]){12,18}",
                    "checksum": "luhn",
                    "normalise": ["strip_separators"],
                }
            ]
        },
        {"a": "4111 1111 1111 1112", "b": "pay 4111-1111-1111-1111 now"},
        "PII_VALUE",
        "P3: a candidate that checks.",
    ),
    (
        "value-checksum",
        {"value_patterns": [{"id": "iban", "class": "IBAN", "fields": ["account"], "checksum": "iban"}]},
        {"account": "DE89 3704 0044 0532 0130 00", "other": "DE89370400440532013000"},
        "PII_VALUE",
        "P3: a checksum alone, limited to the fields it names.",
    ),
    (
        "number-pattern",
        {"value_patterns": [{"id": "n", "class": "NUMBER", "fields": ["**"], "regex": "^12\\.5$"}]},
        {"x": [12.5, "12.50"]},
        "PII_VALUE",
        "P3: a number in its canonical form.",
    ),
    (
        "too-deep",
        {"restricted_fields": ["ssn"]},
        {"ssn": 1, "x": "[" * 65 + "]" * 65},
        "TOO_COMPLEX",
        "P2: deeper than 64, so nothing else is named.",
    ),
):
    case(f"compliance-{_name}", _why, policy={"compliance": _section}, arguments=_arguments, compliance=block(_reason))
case(
    "compliance-unknown-operation",
    "Z5: an operation nobody registered; rules limited to action types are not about it.",
    policy={
        **rule("at_most", field="n", value=1, action_types=["update_renewal"]),
        "compliance": {"restricted_fields": [{"path": "n", "action_types": ["update_renewal"]}]},
    },
    operation="crm.drop_everything",
    arguments={"n": 2},
    compliance=block("UNKNOWN_OPERATION"),
)
case(
    "compliance-clean",
    "P1 to P3: every kind of rule, and nothing to find: names that only look alike, other types, no check digits.",
    policy={
        "compliance": {
            "restricted_fields": ["ssn", "internal.margin"],
            "personal_fields": {"EMAIL": ["email"]},
            "prohibited_actions": ["send_email"],
            "allowed_actions": ["update_renewal"],
            "allowed_targets": ["crm"],
            "prohibited_targets": ["smtp"],
            "prohibited_values": [{"path": "owner", "values": [1]}],
            "required_known": ["renewal_id"],
            "unknown_values": ["unknown"],
            "value_patterns": [
                {
                    "id": "ssn",
                    "class": "US_SSN",
                    "fields": ["**"],
                    "regex": "\\b[0-9]{3}-[0-9]{2}-[0-9]{4}\\b",
                    "checksum": "us_ssn",
                }
            ],
        }
    },
    arguments={
        "renewal_id": "r-7",
        "ssns": 1,
        "margin": 1,
        "owner": True,
        "note": "case 666-12-3456",
        "text": "{not json}",
    },
)
