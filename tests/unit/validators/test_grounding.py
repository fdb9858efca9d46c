import pytest

from tests.unit.validators.builders import EXPENSIVE, OPERATIONS, PLAN, REFERENCE, STEP, WRITEBACK, judge, plain, policy
from weighbridge.domain.decision import Sealed

LOCATOR = {"system": "crm", "object": "renewal", "id": "r-1"}
CONTACT = {"source_type": "billing", "source_id": "c-1"}


def grounded(**changes):
    return judge("grounding", policy(grounding={}), **changes)


def with_values(*values, **section):
    return policy(grounding={"values": [{"id": f"v{n}", **value} for n, value in enumerate(values)], **section})


def reasons(result):
    return [failure["reason"] for failure in result.details.get("failures", [])]


@pytest.mark.parametrize("choke_point", [STEP, WRITEBACK])
def test_an_action_without_a_reference_is_not_grounded(choke_point):
    """R1: every action or writeback carries at least one reference; R3: none at all is MISSING_EVIDENCE."""
    result = grounded(references=[], choke_point=choke_point)
    assert plain(result) == {
        "result": "BLOCK",
        "reason": "MISSING_EVIDENCE",
        "details": {"failures": [{"operation": "crm.update", "reason": "MISSING_EVIDENCE", "result": "BLOCK"}]},
    }


def test_an_action_whose_reference_holds_is_grounded():
    """R1, R2: one reference that stands in the evidence set."""
    assert plain(grounded()) == {"result": "ALLOW", "reason": "GROUNDED", "details": {"checked": 1, "values": 0}}


def test_at_plan_approval_every_step_is_named_that_is_not_grounded():
    """R1: at plan approval that means every step."""
    steps = [
        {"step_id": "s1", "operation": "crm.note", "evidence": []},
        {"step_id": "s2", "operation": "crm.update", "evidence": [REFERENCE]},
        {"step_id": "s3", "operation": "crm.update", "evidence": []},
    ]
    result = grounded(choke_point=PLAN, plan={"plan_id": "p", "steps": steps})
    assert [failure["step_id"] for failure in result.details["failures"]] == ["s1", "s3"]
    assert result.reason == "MISSING_EVIDENCE"


def test_an_expensive_read_needs_evidence_only_where_it_declares_a_proposal():
    """R1: NOT_APPLICABLE at the expensive choke point unless the operation declares a proposal."""
    asked: dict = {"choke_point": EXPENSIVE, "references": [], "evidence": None}
    assert grounded(operation="web.enrich", **asked).reason == "NOT_APPLICABLE"
    assert grounded(operation="crm.unheard_of", **asked).reason == "NOT_APPLICABLE"
    declared = grounded(operation="crm.export", **asked)
    assert (declared.result, declared.reason) == ("BLOCK", "INPUT_MISSING")
    held = grounded(operation="crm.export", choke_point=EXPENSIVE)
    assert held.reason == "GROUNDED"


@pytest.mark.parametrize(
    ("wanted", "given", "covered"),
    [
        ({"source_type": "crm", "source_id": "r-1"}, {"source_type": "crm", "source_id": "r-1"}, True),
        ({"source_type": "crm", "source_id": "r-1"}, {"source_type": "crm", "source_id": "r-2"}, False),
        ({"source_type": "crm", "source_id": "r-1"}, {"source_type": "billing", "source_id": "r-1"}, False),
        ({"record_locator": LOCATOR}, {"record_locator": LOCATOR}, True),
        ({"record_locator": {**LOCATOR, "fields": ["a"]}}, {"record_locator": LOCATOR}, True),
        ({"record_locator": {**LOCATOR, "fields": ["a"]}}, {"record_locator": {**LOCATOR, "fields": ["b", "a"]}}, True),
        (
            {"record_locator": {**LOCATOR, "fields": ["b", "a"]}},
            {"record_locator": {**LOCATOR, "fields": ["a", "b"]}},
            True,
        ),
        (
            {"record_locator": {**LOCATOR, "fields": ["a", "c"]}},
            {"record_locator": {**LOCATOR, "fields": ["a"]}},
            False,
        ),
        ({"record_locator": LOCATOR}, {"record_locator": {**LOCATOR, "fields": ["a"]}}, False),
        ({"record_locator": {**LOCATOR, "id": "r-2"}}, {"record_locator": LOCATOR}, False),
        ({"source_type": "crm", "source_id": "r-1"}, {"record_locator": LOCATOR}, False),
    ],
)
def test_a_reference_resolves_by_structure(wanted, given, covered):
    """R2: structural match; a locator with fields is covered by one without, or with a superset."""
    result = grounded(references=[wanted], evidence=[{"reference": given}])
    assert result.reason == ("GROUNDED" if covered else "UNKNOWN_EVIDENCE")


def test_a_ledger_event_grounds_where_its_source_does():
    """R2, R4: an event has no source of its own; the item says it."""
    event = {"ledger_event_id": "17:2"}
    assert grounded(references=[event], evidence=[{"reference": event, "source_type": "crm"}]).reason == "GROUNDED"
    assert grounded(references=[event], evidence=[{"reference": event}]).reason == "UNTRUSTED_EVIDENCE"


@pytest.mark.parametrize(
    "shapeless",
    [
        "crm:r-1",
        "because the customer asked for it",
        None,
        17,
        [],
        {},
        {"source_type": "crm"},
        {"source_type": "crm", "source_id": ""},
        {"source_type": "crm", "source_id": 7},
        {"source_type": "crm", "source_id": "r-1", "trust": "system_of_record"},
        {"ledger_event_id": ""},
        {"ledger_event_id": "1", "source_type": "crm"},
        {"record_locator": "r-1"},
        {"record_locator": {"system": "crm", "object": "renewal"}},
        {"record_locator": {**LOCATOR, "system": ""}},
        {"record_locator": {**LOCATOR, "object": 7}},
        {"record_locator": {**LOCATOR, "id": None}},
        {"record_locator": {**LOCATOR, "fields": []}},
        {"record_locator": {**LOCATOR, "fields": ["a", 1]}},
        {"record_locator": {**LOCATOR, "fields": "a"}},
        {"record_locator": {**LOCATOR, "note": "x"}},
        {"record_locator": {**LOCATOR, "fields": ["a"], "note": "x"}},
        {"record_locator": LOCATOR, "source_id": "r-1"},
    ],
)
def test_what_has_no_allowed_shape_is_invalid(shapeless):
    """R3: INVALID_EVIDENCE; a bare string never is a reference. L6: it is kept apart, and named by its position."""
    result = grounded(references=[REFERENCE, shapeless], evidence=[{"reference": REFERENCE}, {"reference": shapeless}])
    assert result.reason == "INVALID_EVIDENCE"
    assert result.details["failures"] == [
        {
            "operation": "crm.update",
            "reason": "INVALID_EVIDENCE",
            "result": "BLOCK",
            "position": 1,
            "reference": Sealed(shapeless),
        }
    ]


def test_each_reference_must_hold_and_the_details_name_every_one_that_does_not():
    """R3: any failure counts, one valid reference does not excuse another."""
    untrusted = {"source_type": "web", "source_id": "page"}
    unknown = {"source_type": "crm", "source_id": "r-9"}
    result = grounded(
        references=[REFERENCE, untrusted, unknown], evidence=[{"reference": REFERENCE}, {"reference": untrusted}]
    )
    assert reasons(result) == ["UNTRUSTED_EVIDENCE", "UNKNOWN_EVIDENCE"]
    assert [failure["reference"] for failure in result.details["failures"]] == [untrusted, unknown]


def test_failures_are_as_severe_as_the_policy_says():
    """R3: WARN or BLOCK, default BLOCK; a WARN stays a WARN for every kind of failure."""
    under = policy(grounding={"severity": "WARN"})
    assert judge("grounding", under, references=[]).result == "WARN"
    assert judge("grounding", under, references=["x"]).result == "WARN"
    assert judge("grounding", policy(grounding={}), references=["x"]).result == "BLOCK"


def test_the_worst_failure_gives_the_reason():
    """R3, R5: severities differ per value; the first of the worst is the reason."""
    under = with_values({"field": "recipient", "severity": "BLOCK"}, severity="WARN")
    result = judge("grounding", under, references=[], arguments={"recipient": "eve@example.org"})
    assert (result.result, result.reason) == ("BLOCK", "UNGROUNDED_VALUE")
    assert reasons(result) == ["MISSING_EVIDENCE", "UNGROUNDED_VALUE"]


@pytest.mark.parametrize(
    ("source_type", "label", "grounds"),
    [
        ("crm", None, True),
        ("billing", None, True),
        ("web", None, False),
        ("undeclared", None, False),
        ("crm", "trusted", True),
        ("crm", "observed", False),
        ("web", "system_of_record", False),
        ("undeclared", "trusted", False),
    ],
)
def test_trust_follows_the_source_and_a_label_only_lowers_it(source_type, label, grounds):
    """R4: as the policy declares per source type, else observed."""
    reference = {"source_type": source_type, "source_id": "x"}
    item = {"reference": reference} | ({"trust": label} if label else {})
    result = grounded(references=[reference], evidence=[item])
    assert result.reason == ("GROUNDED" if grounds else "UNTRUSTED_EVIDENCE")


def test_a_second_name_for_a_source_cannot_raise_its_trust():
    """R4: trust follows the source that was read, not who asks."""
    page = {"source_type": "web", "source_id": "page"}
    assert (
        grounded(references=[page], evidence=[{"reference": page, "source_type": "crm"}]).reason == "UNTRUSTED_EVIDENCE"
    )
    nobody = {"source_type": "undeclared", "source_id": "x"}
    assert (
        grounded(references=[nobody], evidence=[{"reference": nobody, "source_type": "crm"}]).reason
        == "UNTRUSTED_EVIDENCE"
    )
    lowered = grounded(evidence=[{"reference": REFERENCE, "source_type": "web"}])
    assert lowered.reason == "UNTRUSTED_EVIDENCE"


def test_one_trusted_item_is_enough_among_several_of_the_same_record():
    """R2: a reference resolves if it is in the set; that the same record was also copied elsewhere takes nothing away."""
    items = [{"reference": REFERENCE, "trust": "observed"}, {"reference": REFERENCE}]
    assert grounded(evidence=items).reason == "GROUNDED"
    assert grounded(evidence=items[::-1]).reason == "GROUNDED"


# --- R5: values ---------------------------------------------------------------------------------------------------------


def value_result(value, content, *, field="to", source="crm", reference=REFERENCE, **rule):
    return judge(
        "grounding",
        with_values({"field": field, **rule}),
        arguments={"to": value},
        references=[reference],
        evidence=[{"reference": reference, "source_type": source, "content": content}],
    )


@pytest.mark.parametrize(
    ("value", "content", "stands"),
    [
        ("kim@example.org", {"mail": "kim@example.org"}, True),
        ("kim@example.org", {"deep": [{"list": ["x", "kim@example.org"]}]}, True),
        ("kim@example.org", "kim@example.org", True),
        ("kim@example.org", {"kim@example.org": 1}, False),
        ("kim@example.org", {"mail": "Kim@example.org"}, False),
        ("kim@example.org", {"mail": "kim@example.org "}, False),
        ("kim@example.org", {"text": "write to kim@example.org today"}, False),
        (120, {"amount": 120}, True),
        (120, {"amount": 120.0}, True),
        (120.5, {"amount": 120.5}, True),
        (120, {"amount": "120"}, False),
        ("120", {"amount": 120}, False),
        (1, {"flag": True}, False),
        (True, {"count": 1}, False),
        (True, {"flag": True}, True),
        (0, {"flag": False}, False),
        ("", {"text": "anything"}, False),
        ("", {"text": ""}, True),
        ("x", None, False),
    ],
)
def test_a_value_must_equal_a_trusted_leaf_in_type_and_value(value, content, stands):
    """R5: equal in type and value to a leaf of an item's content."""
    result = value_result(value, content)
    assert result.reason == ("GROUNDED" if stands else "UNGROUNDED_VALUE")


def test_an_ungrounded_value_is_named_by_its_path_and_never_shown():
    """R5: details name the path, never the value."""
    result = value_result(["kim@example.org", "eve@evil.example"], {"mail": "kim@example.org"}, field="to[*]")
    assert plain(result)["details"] == {
        "failures": [
            {
                "operation": "crm.update",
                "reason": "UNGROUNDED_VALUE",
                "result": "BLOCK",
                "field": "to[1]",
                "rule": "v0",
            }
        ]
    }
    assert "eve" not in str(plain(result))


def test_every_leaf_of_a_named_field_must_stand_in_evidence():
    """R5: a list or an object is as grounded as its leaves; null names no value."""
    value = {"b": ["eve", "kim", None, "eve", "eve"], "a": {"x": "mallory"}, "c": "kim"}
    result = value_result(value, ["kim"])
    assert [failure["field"] for failure in result.details["failures"]] == ["to.a.x", "to.b[0]", "to.b[3]", "to.b[4]"]


def test_a_field_that_is_absent_or_null_names_no_value():
    """R5: only values must stand in evidence; required-known fields are compliance's."""
    assert judge("grounding", with_values({"field": "to"})).details == {"checked": 1, "values": 0}
    assert value_result(None, {}).reason == "GROUNDED"


@pytest.mark.parametrize(
    "item",
    [
        {"reference": {"source_type": "web", "source_id": "p"}, "content": {"mail": "kim"}},
        {"reference": REFERENCE, "trust": "observed", "content": {"mail": "kim"}},
        {"reference": "crm:r-1", "source_type": "crm", "content": {"mail": "kim"}},
        {"reference": {"source_type": "mail", "source_id": "m"}, "content": {"body": "kim"}},
        {"reference": {"source_type": "mail", "source_id": "m"}, "content": {"mail": {"Body": [["kim"]]}}},
        {"reference": {"source_type": "mail", "source_id": "m"}, "content": {"notes": {"raw": "kim"}}},
    ],
)
def test_what_is_observed_grounds_no_value(item):
    """R4: untrusted sources, lowered labels, shapeless references, and third parties' free text in a trusted source."""
    evidence = [{"reference": REFERENCE, "content": {}}, item]
    result = judge("grounding", with_values({"field": "to"}), arguments={"to": "kim"}, evidence=evidence)
    assert result.reason == "UNGROUNDED_VALUE"


@pytest.mark.parametrize(
    "content", [{"subject": "kim"}, {"notes": {"reviewed": "kim"}}, {"notes": [{"reviewed": ["kim"]}]}]
)
def test_other_fields_and_admitted_ones_of_the_same_source_do(content):
    """R4: unless the policy admits that field."""
    mail = {"source_type": "mail", "source_id": "m"}
    assert value_result("kim", content, reference=mail, source="mail").reason == "GROUNDED"


def test_free_text_everywhere_leaves_only_what_is_admitted():
    """R4: `**` is the whole content; a narrower entry decides for its own field."""
    sources = {"crm": {"trust": "trusted", "free_text": ["**"], "admitted_text": ["owner"]}}
    under = policy(grounding={"values": [{"id": "to", "field": "to"}]}, sources=sources)

    def reason(content):
        return judge(
            "grounding", under, arguments={"to": "kim"}, evidence=[{"reference": REFERENCE, "content": content}]
        ).reason

    assert reason({"owner": "kim"}) == "GROUNDED"
    assert reason({"owner": {"name": "kim"}}) == "GROUNDED"
    assert reason({"subject": "kim"}) == "UNGROUNDED_VALUE"
    assert reason("kim") == "UNGROUNDED_VALUE"


def test_any_trusted_item_counts_unless_the_rule_names_sources():
    """R5: the values stand in trusted evidence, cited or not; the policy may name the sources that count."""
    evidence = [{"reference": REFERENCE, "content": {}}, {"reference": CONTACT, "content": {"mail": "kim"}}]
    arguments = {"to": "kim"}
    assert judge("grounding", with_values({"field": "to"}), arguments=arguments, evidence=evidence).reason == "GROUNDED"
    limited = with_values({"field": "to", "source_types": ["crm"]})
    assert judge("grounding", limited, arguments=arguments, evidence=evidence).reason == "UNGROUNDED_VALUE"


def test_a_value_rule_holds_for_its_action_types_only():
    """R5: per action type."""
    under = with_values({"field": "to", "action_types": ["note"]})
    assert judge("grounding", under, arguments={"to": "kim"}).reason == "GROUNDED"
    assert judge("grounding", under, arguments={"to": "kim"}, operation="crm.note").reason == "UNGROUNDED_VALUE"


@pytest.mark.parametrize(
    ("normalise", "value", "leaf", "stands"),
    [
        ([], "Kim", "kim", False),
        (["case_folded"], "Kim", "kim", True),
        (["case_folded"], "STRASSE", "straße", True),
        (["case_folded"], " Kim", "kim", False),
        (["trimmed"], " kim\n", "kim", True),
        (["trimmed"], "kim", "\tkim ", True),
        (["trimmed"], "Kim", "kim", False),
        (["case_folded", "trimmed"], " KIM", "kim ", True),
    ],
)
def test_values_are_normalised_only_as_the_policy_names(normalise, value, leaf, stands):
    """R5: none, case-folded, trimmed."""
    result = value_result(value, {"name": leaf}, normalise=normalise)
    assert result.reason == ("GROUNDED" if stands else "UNGROUNDED_VALUE")


def test_text_is_searched_only_where_the_rule_admits_it():
    """R5: where the policy admits text for that field."""
    content = {"text": "Write to Kim@Example.org, please."}
    assert value_result("Kim@Example.org", content).reason == "UNGROUNDED_VALUE"
    assert value_result("Kim@Example.org", content, text=True).reason == "GROUNDED"
    assert (
        value_result(" kim@example.org", content, text=True, normalise=["case_folded", "trimmed"]).reason == "GROUNDED"
    )


def test_numbers_match_structured_leaves_only():
    """R5: a number never stands in a text."""
    assert value_result(120, {"text": "it costs 120 today"}, text=True).reason == "UNGROUNDED_VALUE"
    assert value_result("120", {"text": "it costs 120 today"}, text=True).reason == "GROUNDED"


def test_two_rules_for_the_same_leaves_are_kept_apart():
    """R5: one rule's admitting of text is not another's."""
    under = with_values({"field": "a"}, {"field": "b", "text": True})
    evidence = [{"reference": REFERENCE, "content": "to kim today"}]
    result = judge("grounding", under, arguments={"a": "kim", "b": "kim"}, evidence=evidence)
    assert [failure["field"] for failure in result.details["failures"]] == ["a"]


# --- G5: absence --------------------------------------------------------------------------------------------------------


def test_a_missing_evidence_set_blocks_and_names_who_carries_no_reference():
    """G5: INPUT_MISSING, whatever the severity of failing references."""
    under = policy(grounding={"severity": "WARN"})
    result = judge("grounding", under, evidence=None, references=[])
    assert (result.result, result.reason) == ("BLOCK", "INPUT_MISSING")
    assert result.details["missing"] == ["evidence"]
    assert reasons(result) == ["MISSING_EVIDENCE"]


def test_an_empty_evidence_set_is_a_set_in_which_nothing_resolves():
    """R3: given references are judged against it."""
    assert reasons(grounded(evidence=[])) == ["UNKNOWN_EVIDENCE"]


def test_a_missing_proposal_or_plan_blocks():
    """G5: INPUT_MISSING; what else is missing is named too."""
    result = grounded(proposal=None, evidence=None)
    assert (result.reason, result.details) == ("INPUT_MISSING", {"missing": ["proposal", "evidence"]})
    assert grounded(proposal=None, choke_point=PLAN, plan={"plan_id": "p"}).details == {"missing": ["plan"]}


def test_configuration_that_is_absent_blocks_what_is_present():
    """G5: CONFIG_MISSING; a required input that is absent comes first."""
    assert judge("grounding", policy()).reason == "CONFIG_MISSING"
    assert judge("grounding", policy(), evidence=None).reason == "INPUT_MISSING"


def test_what_the_policy_waives_may_be_absent():
    """G5: NOT_APPLICABLE for inputs the policy declares not needed; what is brought all the same is judged."""
    waived = {"not_needed": [{"inputs": ["evidence"], "action_types": ["note"]}]}
    either: list[dict] = [{}, {"grounding": {}}]
    for sections in either:
        under = policy(required_inputs=waived, **sections)
        assert judge("grounding", under, operation="crm.note", evidence=None, references=[]).reason == "NOT_APPLICABLE"
    under = policy(required_inputs=waived, grounding={"values": [{"id": "to", "field": "to"}]})
    assert judge("grounding", under, operation="crm.note", references=[]).reason == "NOT_APPLICABLE"
    assert judge("grounding", under, operation="crm.note", references=["x"], evidence=None).reason == "INVALID_EVIDENCE"
    assert judge("grounding", under, operation="crm.note", evidence=None).reason == "UNKNOWN_EVIDENCE"
    named = judge("grounding", under, operation="crm.note", evidence=None, references=[], arguments={"to": "kim"})
    assert named.reason == "UNGROUNDED_VALUE"
    assert judge("grounding", under, operation="crm.update", references=[]).reason == "MISSING_EVIDENCE"
    waived_without_section = policy(required_inputs=waived)
    assert judge("grounding", waived_without_section, operation="crm.note", evidence=None).reason == "CONFIG_MISSING"


def test_a_locator_of_a_known_system_is_not_raised_by_a_label():
    """R4: a record read from a system that the policy declares observed does not ground under another name."""
    grounds = []
    for system in ("web", "crm", "salesforce"):
        reference = {"record_locator": {"system": system, "object": "page", "id": "1"}}
        evidence = [{"reference": reference, "source_type": "crm"}]
        result = judge("grounding", policy(grounding={}), references=[reference], evidence=evidence)
        grounds.append(result.reason)
    assert grounds == ["UNTRUSTED_EVIDENCE", "GROUNDED", "GROUNDED"]


def test_a_text_does_not_stand_in_a_number():
    """R5: text is looked for in text leaves, never in what a number or a truth value would print as."""
    for leaf in (120, 120.5, True, [120]):
        assert value_result(str(leaf), {"amount": leaf}, text=True).reason == "UNGROUNDED_VALUE"


def test_two_operations_of_one_action_type_owe_what_each_declares():
    """R1: whether an expensive operation declares a proposal is its own fact, not its action type's."""
    document = {name: dict(facts) for name, facts in OPERATIONS.items()}
    document["web.enrich"]["action_type"] = document["crm.export"]["action_type"]
    under = policy(grounding={}, operations=document)
    found = [
        judge("grounding", under, operation=name, references=[], choke_point=EXPENSIVE).reason
        for name in ("web.enrich", "crm.export", "web.enrich")
    ]
    assert found == ["NOT_APPLICABLE", "MISSING_EVIDENCE", "NOT_APPLICABLE"]
