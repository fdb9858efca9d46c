import msgspec
import pytest

from tests.unit.validators.builders import (
    EXPENSIVE,
    NOW,
    PLAN,
    STEP,
    WRITEBACK,
    field,
    judge,
    plain,
    policy,
    rules,
    with_rule_changed,
)
from weighbridge.domain.decision import Sealed

STATUS_OPEN = {"rule": "requires_state", "snapshot": "renewal.status", "values": ["open"]}
STAGE = {"rule": "eq", "field": "stage", "snapshot": "renewal.stage"}


def test_only_what_a_rule_names_is_compared():
    """C1: everything else is ignored."""
    fields = {"renewal": field({"stage": "won", "owner": "dana"})}
    result = judge("contradiction", rules(STAGE), fields=fields, arguments={"stage": "won", "owner": "kim"})
    assert plain(result) == {"result": "ALLOW", "reason": "CONSISTENT", "details": {"checked": 1}}


def test_a_contradiction_names_field_rule_and_both_values():
    """C3: one detail entry per field, with rule, snapshot value and proposed value."""
    fields = {"renewal": field({"stage": "won"})}
    result = judge("contradiction", rules(STAGE), fields=fields, arguments={"stage": "lost"})
    assert plain(result) == {
        "result": "BLOCK",
        "reason": "CONTRADICTION",
        "details": {
            "contradictions": [
                {
                    "field": "stage",
                    "rule": "rule-0",
                    "kind": "eq",
                    "reason": "CONTRADICTION",
                    "result": "BLOCK",
                    "snapshot_value": "won",
                    "proposed_value": "lost",
                }
            ]
        },
    }


@pytest.mark.parametrize(
    ("source_type", "reason"), [("web", "CONSISTENT"), ("nobody", "CONSISTENT"), ("billing", "CONTRADICTION")]
)
def test_only_trusted_fields_are_compared(source_type, reason):
    """C1: only where the snapshot field's source is system_of_record or trusted."""
    fields = {"renewal": field({"stage": "won"}, source_type), "other": field(1)}
    assert judge("contradiction", rules(STAGE), fields=fields, arguments={"stage": "lost"}).reason == reason


def test_severity_is_the_rules_and_the_worst_gives_the_reason():
    """C3: WARN or BLOCK per rule, default BLOCK."""
    warn, block = {**STAGE, "severity": "WARN"}, {"rule": "at_most", "field": "discount", "value": 20}
    arguments, fields = {"stage": "lost", "discount": "many"}, {"renewal": field({"stage": "won"})}
    only = judge("contradiction", rules(warn), fields=fields, arguments=arguments)
    assert (only.result, only.reason) == ("WARN", "CONTRADICTION")
    both = judge("contradiction", rules(warn, block), fields=fields, arguments=arguments)
    assert (both.result, both.reason) == ("BLOCK", "INCOMPARABLE_VALUE")
    assert [entry["result"] for entry in both.details["contradictions"]] == ["WARN", "BLOCK"]


def test_personal_and_restricted_values_are_kept_apart():
    """C3: by content hash where the field is personal or restricted."""
    under = policy(
        contradiction={"rules": [{"id": "mail", "rule": "eq", "field": "email", "snapshot": "contact.email"}]},
        compliance={"personal_fields": {"EMAIL": ["email"]}},
    )
    fields = {"contact": field({"email": "kim@example.org"})}
    result = judge("contradiction", under, fields=fields, arguments={"email": "eve@example.org"})
    entry = result.details["contradictions"][0]
    assert entry["snapshot_value"] == Sealed("kim@example.org")
    assert entry["proposed_value"] == Sealed("eve@example.org")


@pytest.mark.parametrize("value", ["x" * 201, ["a"], {"a": 1}])
def test_long_text_and_containers_are_kept_apart(value):
    """L6: free text by people, and what may hold personal fields, stays out of the record."""
    fields = {"renewal": field({"stage": "won"})}
    result = judge("contradiction", rules(STAGE), fields=fields, arguments={"stage": value})
    assert result.details["contradictions"][0]["proposed_value"] == Sealed(value)


def test_rules_are_limited_to_action_types():
    """C1: rules can be limited to action types; an unknown operation has none."""
    under = rules({**STAGE, "action_types": ["update"]})
    given = {"fields": {"renewal": field({"stage": "won"})}, "arguments": {"stage": "lost"}}
    assert judge("contradiction", under, **given).reason == "CONTRADICTION"
    assert judge("contradiction", under, operation="crm.note", **given).reason == "CONSISTENT"
    assert judge("contradiction", under, operation="crm.unheard_of", **given).reason == "CONSISTENT"


def test_every_step_of_a_plan_is_judged_and_named():
    """C1, C3: at plan approval each step is a proposal."""
    steps = [
        {"step_id": "s1", "operation": "crm.update", "arguments": {"stage": "won"}},
        {"step_id": "s2", "operation": "crm.update", "arguments": {"stage": "lost"}},
        {"operation": "crm.update", "arguments": {"stage": "lost"}},
    ]
    plan, fields = {"plan_id": "p", "steps": steps}, {"renewal": field({"stage": "won"})}
    result = judge("contradiction", rules(STAGE), choke_point=PLAN, plan=plan, fields=fields)
    assert [entry.get("step_id") for entry in result.details["contradictions"]] == ["s2", None]


def test_the_snapshot_in_the_request_is_all_that_counts():
    """C4: evidence and data sources say other things; nobody reads them here."""
    fields = {"renewal": field({"stage": "won"})}
    evidence = [{"reference": {"source_type": "crm", "source_id": "r-1"}, "content": {"stage": "lost"}}]
    arguments = {"stage": "won"}
    assert (
        judge("contradiction", rules(STAGE), fields=fields, evidence=evidence, arguments=arguments).reason
        == "CONSISTENT"
    )


# --- G5: absence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choke_point", [STEP, WRITEBACK])
@pytest.mark.parametrize("snapshot", [None, {"fields": {}}])
def test_a_required_snapshot_that_is_missing_blocks(choke_point, snapshot):
    """G5: INPUT_MISSING, before missing configuration; a snapshot without fields says nothing."""
    for under in (policy(), rules(STATUS_OPEN)):
        result = judge("contradiction", under, snapshot=snapshot, choke_point=choke_point)
        assert (result.result, result.reason, result.details) == ("BLOCK", "INPUT_MISSING", {"missing": ["snapshot"]})


def test_a_missing_proposal_blocks():
    """G5: all that is missing is named."""
    result = judge("contradiction", rules(), proposal=None, snapshot=None)
    assert result.details == {"missing": ["proposal", "snapshot"]}
    assert judge("contradiction", rules(), proposal=None).details == {"missing": ["proposal"]}


def test_a_missing_section_blocks_a_present_snapshot():
    """G5: CONFIG_MISSING; an empty rule list counts as configuration where it is written out."""
    assert judge("contradiction", policy()).reason == "CONFIG_MISSING"
    assert plain(judge("contradiction", rules())) == {
        "result": "ALLOW",
        "reason": "CONSISTENT",
        "details": {"checked": 0},
    }


def test_without_a_snapshot_that_is_not_needed_only_rules_that_need_none_apply():
    """G5: NOT_APPLICABLE where nothing can be judged; a literal limit holds all the same."""
    limit = {"rule": "at_most", "field": "discount", "value": 20}
    asked = {"operation": "web.enrich", "choke_point": EXPENSIVE, "snapshot": None, "arguments": {"discount": 30}}
    assert judge("contradiction", policy(), **asked).reason == "NOT_APPLICABLE"
    assert judge("contradiction", rules(STATUS_OPEN), **asked).reason == "NOT_APPLICABLE"
    assert judge("contradiction", rules(STATUS_OPEN, limit), **asked).reason == "CONTRADICTION"
    waived = {"not_needed": [{"inputs": ["snapshot"], "action_types": ["note"]}]}
    under = policy(contradiction={"rules": [{"id": "open", **STATUS_OPEN}]}, required_inputs=waived)
    assert judge("contradiction", under, operation="crm.note", snapshot=None).reason == "NOT_APPLICABLE"
    assert judge("contradiction", under, operation="crm.update", snapshot=None).reason == "INPUT_MISSING"


def test_a_rule_of_a_kind_nobody_knows_fails_closed():
    """G6: an error, which the gateway makes a BLOCK, and never a rule that is skipped."""
    with pytest.raises(KeyError, match="unheard_of"):
        judge("contradiction", with_rule_changed(rules(STAGE), rule="unheard_of"))


def test_a_rules_own_texts_about_a_personal_field_are_sealed():
    """C3, L6: a name that the policy compares with is no less a name; bounds and instants stay readable."""
    own: list[dict] = [
        {"rule": "eq", "field": "owner", "value": "dana"},
        {"rule": "one_of", "field": "owner", "values": ["dana"]},
        {"rule": "requires_state", "snapshot": "renewal.owner", "values": ["dana"]},
        {"rule": "date_window", "field": "owner", "latest": "1d"},
    ]
    under = rules(*own)
    section = under.contradiction
    assert section is not None
    personal = tuple(msgspec.structs.replace(rule, personal=True) for rule in section.rules)
    sealed = msgspec.structs.replace(under, contradiction=msgspec.structs.replace(section, rules=personal))
    fields = {"renewal": field({"owner": "kim"})}
    asked = {"fields": fields, "arguments": {"owner": "kim"}}
    shown = judge("contradiction", sealed, **asked).details["contradictions"]
    assert [entry.get("limit", entry.get("allowed")) for entry in shown[:3]] == [
        Sealed("dana"),
        [Sealed("dana")],
        [Sealed("dana")],
    ]
    assert (shown[3]["latest_ms"], shown[3]["evaluation_time"]) == (86_400_000, NOW)
    assert judge("contradiction", under, **asked).details["contradictions"][0]["limit"] == "dana"
