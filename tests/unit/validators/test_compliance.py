import pytest

from tests.unit.validators.builders import EXPENSIVE, OPERATIONS, PLAN, judge, plain, policy


def guarded(arguments=None, *, operation="crm.update", **section):
    return judge("compliance", policy(compliance=section), arguments=arguments or {}, operation=operation)


def violations(result):
    return [
        tuple(entry.get(key) for key in ("reason", "path", "rule")) for entry in result.details.get("violations", [])
    ]


def test_what_keeps_the_rules_is_compliant():
    """P1: an empty section is configuration where it is written out (G5)."""
    result = guarded({"a": [1, {"b": 2}]})
    assert plain(result) == {"result": "ALLOW", "reason": "COMPLIANT", "details": {"checked": 4}}


def test_restricted_fields_and_personal_data_block():
    """P1: RESTRICTED_FIELD, PII_FIELD; details name path and rule, and the class, never the value (P2)."""
    result = guarded(
        {"ssn": "536-90-4399", "contact": {"email": "kim@example.org"}},
        restricted_fields=["ssn"],
        personal_fields={"EMAIL": ["contact.email"]},
    )
    assert plain(result) == {
        "result": "BLOCK",
        "reason": "PII_FIELD",
        "details": {
            "violations": [
                {"reason": "PII_FIELD", "path": "contact.email", "rule": "contact.email", "class": "EMAIL"},
                {"reason": "RESTRICTED_FIELD", "path": "ssn", "rule": "ssn"},
            ]
        },
    }


def test_a_restricted_field_blocks_whatever_it_holds():
    """P1: the field itself must not occur."""
    values: list = [None, "", [], {}, 0, False]
    for value in values:
        assert guarded({"ssn": value}, restricted_fields=["ssn"]).reason == "RESTRICTED_FIELD"


def test_prohibited_and_not_allowed_actions_block():
    """P1: PROHIBITED_ACTION, and ACTION_NOT_ALLOWED where there is an allow list."""
    assert guarded(prohibited_actions=["update"]).reason == "PROHIBITED_ACTION"
    assert guarded(prohibited_actions=["note"]).reason == "COMPLIANT"
    assert guarded(allowed_actions=["note"]).reason == "ACTION_NOT_ALLOWED"
    assert guarded(allowed_actions=["update"]).reason == "COMPLIANT"
    both = guarded(prohibited_actions=["update"], allowed_actions=["note"])
    assert [entry[0] for entry in violations(both)] == ["PROHIBITED_ACTION", "ACTION_NOT_ALLOWED"]


def test_targets_that_are_not_allowed_block():
    """P1: TARGET_NOT_ALLOWED, by denial or by an allow list; a writeback without a target is on no list."""
    assert guarded(prohibited_targets=["crm"]).details["violations"] == [
        {"reason": "TARGET_NOT_ALLOWED", "target": "crm"}
    ]
    assert guarded(allowed_targets=["erp"]).reason == "TARGET_NOT_ALLOWED"
    assert guarded(allowed_targets=["crm"]).reason == "COMPLIANT"
    assert guarded(operation="crm.note", allowed_targets=["erp"]).reason == "COMPLIANT"
    homeless = {"crm.push": {"kind": "writeback", "cost_class": "CHEAP"}}
    under = policy(operations=homeless, compliance={"allowed_targets": ["crm"]})
    result = judge("compliance", under, operation="crm.push")
    assert result.details == {"violations": [{"reason": "TARGET_NOT_ALLOWED"}]}
    assert judge("compliance", policy(operations=homeless, compliance={}), operation="crm.push").reason == "COMPLIANT"


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({}, "renewal.id"),
        ({"renewal": {}}, "renewal.id"),
        ({"renewal": "r-1"}, "renewal.id"),
        ({"renewal": {"id": None}}, "renewal.id"),
        ({"renewal": {"id": "unknown"}}, "renewal.id"),
        ({"renewal": {"id": 0}}, None),
        ({"renewal": {"id": ""}}, None),
    ],
)
def test_required_known_fields_must_be_known(arguments, place):
    """P1: UNKNOWN_VALUE for fields that are null, absent or one of the unknown values."""
    result = guarded(arguments, required_known=["renewal.id"], unknown_values=["unknown"])
    assert violations(result) == ([("UNKNOWN_VALUE", place, "renewal.id")] if place else [])


def test_required_known_holds_for_every_element():
    """P1: with [*] each element must know it; a list that is not there knows nothing, an empty one lacks nothing."""
    required = {"required_known": ["lines[*].sku"]}
    missing = guarded({"lines": [{"sku": "a"}, {}, {"sku": None}]}, **required)
    assert [path for _, path, _ in violations(missing)] == ["lines[1].sku", "lines[2].sku"]
    assert [path for _, path, _ in violations(guarded({}, **required))] == ["lines[*].sku"]
    assert [path for _, path, _ in violations(guarded({"lines": {"y": {}, "x": {}}}, **required))] == [
        "lines.x.sku",
        "lines.y.sku",
    ]
    assert guarded({"lines": []}, **required).reason == "COMPLIANT"


def test_rules_are_limited_to_action_types():
    """P1: each kind of rule about fields can be limited; an unknown operation has no action type."""
    limited = {"action_types": ["note"]}
    section = {
        "restricted_fields": [{"path": "a", **limited}],
        "personal_fields": {"EMAIL": [{"path": "b", **limited}]},
        "prohibited_values": [{"path": "c", "values": [1], **limited}],
        "required_known": [{"path": "d", **limited}],
        "value_patterns": [{"id": "p", "class": "X", "fields": ["e"], "regex": "x", **limited}],
    }
    arguments = {"a": 1, "b": 1, "c": 1, "e": "x"}
    assert guarded(arguments, **section).reason == "COMPLIANT"
    found = [entry[0] for entry in violations(guarded(arguments, operation="crm.note", **section))]
    assert found == ["UNKNOWN_VALUE", "RESTRICTED_FIELD", "PII_FIELD", "PROHIBITED_VALUE", "PII_VALUE"]
    unknown = guarded(arguments, operation="crm.unheard_of", **section)
    assert violations(unknown) == [("UNKNOWN_OPERATION", None, None)]


def test_an_unknown_operation_blocks_also_without_a_section():
    """Z5: UNKNOWN_OPERATION; what its fields hold is judged all the same."""
    result = guarded({"ssn": 1}, operation="crm.unheard_of", restricted_fields=["ssn"])
    assert result.details["violations"][0] == {"reason": "UNKNOWN_OPERATION", "operation": "crm.unheard_of"}
    assert [entry["reason"] for entry in result.details["violations"]] == ["UNKNOWN_OPERATION", "RESTRICTED_FIELD"]
    bare = judge("compliance", policy(), operation="crm.unheard_of")
    assert (bare.result, bare.reason, bare.details["missing"]) == ("BLOCK", "UNKNOWN_OPERATION", ["compliance"])


def test_every_step_of_a_plan_is_guarded_and_named():
    """P1: at plan approval each step is a proposal."""
    steps = [
        {"step_id": "s1", "operation": "crm.note", "arguments": {"a": 1}},
        {"step_id": "s2", "operation": "crm.note", "arguments": {"ssn": 1}},
    ]
    under = policy(compliance={"restricted_fields": ["ssn"]})
    result = judge("compliance", under, choke_point=PLAN, plan={"plan_id": "p", "steps": steps})
    assert result.details["violations"] == [
        {"step_id": "s2", "reason": "RESTRICTED_FIELD", "path": "ssn", "rule": "ssn"}
    ]


def test_absence():
    """G5: INPUT_MISSING without a proposal, CONFIG_MISSING without the section."""
    assert judge("compliance", policy(), proposal=None).details == {"missing": ["proposal"]}
    assert judge("compliance", policy(), proposal=None, choke_point=EXPENSIVE).reason == "INPUT_MISSING"
    assert judge("compliance", policy(), choke_point=PLAN).details == {"missing": ["plan"]}
    missing = judge("compliance", policy())
    assert (missing.result, missing.reason, missing.details) == ("BLOCK", "CONFIG_MISSING", {"missing": ["compliance"]})


def test_an_allow_list_without_entries_allows_nothing():
    """G5, P1: written out and empty is configuration; it never means that everything is allowed."""
    assert guarded(allowed_actions=[]).reason == "ACTION_NOT_ALLOWED"
    assert guarded(allowed_targets=[]).reason == "TARGET_NOT_ALLOWED"


def test_operations_of_one_action_type_have_targets_of_their_own():
    """P1: what was found of one target is not remembered of another."""
    crm = OPERATIONS["crm.update"]
    under = policy(
        operations={"crm.update": crm, "web.update": crm | {"target": "web"}}, compliance={"allowed_targets": ["crm"]}
    )
    found = [judge("compliance", under, operation=name).reason for name in ("crm.update", "web.update", "crm.update")]
    assert found == ["COMPLIANT", "TARGET_NOT_ALLOWED", "COMPLIANT"]
