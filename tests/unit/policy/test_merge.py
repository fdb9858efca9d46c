"""A tenant's section can only make things stricter; anything that widens is a mistake at its place."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.documents import BASE, advice, effective, mistakes, policy, problems_of, with_tenant
from weighbridge.domain.evidence import Trust
from weighbridge.domain.verdict import Verdict
from weighbridge.policy.diff import diff_policies
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.effective import BudgetPolicy
from weighbridge.policy.merge import is_key, merge

DAY_MS = 86_400_000


def acme(section, **changes):
    return effective(with_tenant(section, **changes), "acme")


# --- What gets stricter -----------------------------------------------------------------------------------------------


def test_a_tenant_without_a_section_has_the_base():
    assert effective(with_tenant({"max_clock_skew": "1s"}), "other").policy_version == effective(BASE).policy_version
    assert effective(with_tenant({"max_clock_skew": "1s"}), None).policy_version == effective(BASE).policy_version


def test_an_empty_section_changes_nothing():
    assert acme({}).policy_version == effective(BASE).policy_version


def test_limits_the_lower():
    """F4: a tenant's section can lower TTLs, one or both, per type and per id."""
    section = {
        "max_clock_skew": "1s",
        "freshness": {
            "source_types": {"crm": {"soft_ttl": "3d"}},
            "source_ids": {"crm:1": {"soft_ttl": "1h", "hard_ttl": "2h"}},
        },
    }
    made = acme(section)
    assert made.max_clock_skew_ms == 1000
    assert (made.freshness.source_types["crm"].soft_ms, made.freshness.source_types["crm"].hard_ms) == (
        3 * DAY_MS,
        14 * DAY_MS,
    )
    assert (made.freshness.source_ids["crm:1"].soft_ms, made.freshness.source_ids["crm:1"].hard_ms) == (
        3_600_000,
        7_200_000,
    )


def test_a_tenant_names_source_ids_of_its_own():
    """F4: narrower limits for one source, no higher than those of any source type."""
    made = acme({"freshness": {"source_ids": {"crm:9": {"soft_ttl": "1d", "hard_ttl": "14d"}}}})
    assert made.freshness.source_ids["crm:9"].hard_ms == 14 * DAY_MS
    assert made.freshness.source_ids["crm:1"].hard_ms == 2 * DAY_MS


def test_severities_the_stricter():
    """R3, C3: WARN may become BLOCK, of the section and of a rule that says nothing else."""
    rule = {"id": "limit", "rule": "at_most", "field": "discount", "value": 20, "severity": "BLOCK"}
    made = acme({"grounding": {"severity": "BLOCK"}, "contradiction": {"rules": [rule]}})
    assert made.grounding.severity is Verdict.BLOCK
    assert made.grounding.values[0].severity is Verdict.BLOCK
    assert {rule.id: rule.severity for rule in made.contradiction.rules} == {
        "limit": Verdict.BLOCK,
        "open": Verdict.BLOCK,
    }


def test_trust_the_lower():
    """R4: a tenant can lower trust, and add third-party text."""
    section = {
        "sources": {
            "crm": {"trust": "trusted", "free_text": ["subject"], "admitted_text": []},
            "new": {"trust": "observed"},
        }
    }
    made = acme(section)
    assert made.sources["crm"].trust is Trust.TRUSTED
    assert [pattern.text for pattern in made.sources["crm"].free_text] == ["notes", "subject"]
    assert made.sources["crm"].admitted_text == ()
    assert made.sources["erp"].trust is Trust.TRUSTED
    assert made.trust_of("new") is Trust.OBSERVED


def test_denials_and_rules_the_union():
    """P1, C1, R5: what a section forbids comes on top."""
    section = {
        "grounding": {"values": [{"id": "amount", "field": "amount"}]},
        "contradiction": {"rules": [{"id": "more", "rule": "at_least", "field": "discount", "value": 1}]},
        "compliance": {
            "unknown_values": ["tbd"],
            "restricted_fields": ["iban"],
            "personal_fields": {"PHONE": ["mobile"], "EMAIL": ["mail"]},
            "prohibited_actions": ["refund"],
            "prohibited_targets": ["fax"],
            "prohibited_values": [{"path": "role", "values": ["root"]}],
            "required_known": ["account_id"],
            "value_patterns": [{"id": "iban", "class": "IBAN", "fields": ["**"], "checksum": "iban"}],
        },
        "validators": [{"id": "acme.second"}],
    }
    made = acme(section)
    assert [value.id for value in made.grounding.values] == ["amount", "to"]
    assert [rule.id for rule in made.contradiction.rules] == ["limit", "more", "open"]
    guard = made.compliance
    assert set(guard.unknown_values) == {"n/a", "tbd"}
    assert {(rule.personal_class, rule.id) for rule in guard.field_rules} == {
        (None, "ssn"),
        (None, "iban"),
        (None, "internal.margin"),
        ("PHONE", "phone"),
        ("PHONE", "mobile"),
        ("EMAIL", "mail"),
    }
    assert guard.prohibited_actions == {"delete", "refund"}
    assert guard.prohibited_targets == {"ftp", "fax"}
    assert {rule.id for rule in guard.prohibited_values} == {"owner", "role"}
    assert {rule.id for rule in guard.required_known} == {"deal_id", "account_id"}
    assert {rule.id for rule in guard.value_patterns} == {"card", "iban"}
    assert [entry.id for entry in made.custom_validators] == ["acme.credit", "acme.second"]


def test_allow_lists_the_intersection():
    """P1: a section can shorten an allow list, or bring the first one."""
    section = {
        "compliance": {"allowed_actions": ["note"], "allowed_targets": []},
        "contradiction": {"unknown_values": [""]},
    }
    made = acme(section)
    assert made.compliance.allowed_actions == {"note"}
    assert made.compliance.allowed_targets == frozenset()
    assert made.contradiction.unknown_values == ("",)
    first = acme(section, compliance={"restricted_fields": []})
    assert first.compliance.allowed_actions == {"note"}


def test_repeating_the_base_changes_nothing():
    """F4: as low as the base is not lower, and no widening either."""
    same = {
        key: BASE[key] for key in BASE if key not in {"weighbridge", "name", "contradiction", "grounding", "compliance"}
    }
    section = {**same, "max_clock_skew": "5s", "contradiction": BASE["contradiction"], "grounding": BASE["grounding"]}
    assert acme(section).policy_version == effective(BASE).policy_version


def test_an_exception_the_base_does_not_have_widens_also_without_any():
    """G5: fewer inputs than everybody needs."""
    section = {"required_inputs": {"not_needed": [{"inputs": ["snapshot"], "action_types": ["note"]}]}}
    assert len(mistakes(with_tenant(section, required_inputs=None))) == 1


# --- What widens ------------------------------------------------------------------------------------------------------

WIDENING: dict[str, tuple[dict[str, Any], str]] = {
    "max_clock_skew": ({"max_clock_skew": "6s"}, "max_clock_skew"),
    "trust": ({"sources": {"erp": {"trust": "system_of_record"}}}, "sources.erp.trust"),
    "trust switched off": ({"sources": {"crm": {"trust": "observed"}}}, "sources.crm.trust"),
    "trust of a new source": ({"sources": {"new": {"trust": "trusted"}}}, "sources.new.trust"),
    "admitted text": ({"sources": {"erp": {"admitted_text": ["notes"]}}}, "sources.erp.admitted_text[0]"),
    "a new operation": ({"operations": {"x": {"kind": "read", "cost_class": "CHEAP"}}}, "operations.x"),
    "a changed operation": ({"operations": {"note": {"kind": "read", "cost_class": "CHEAP"}}}, "operations.note"),
    "an exception": (
        {"required_inputs": {"not_needed": [{"inputs": ["evidence"], "action_types": ["note"]}]}},
        "required_inputs.not_needed[0]",
    ),
    "a soft limit": (
        {"freshness": {"source_types": {"crm": {"soft_ttl": "8d"}}}},
        "freshness.source_types.crm.soft_ttl",
    ),
    "a hard limit": (
        {"freshness": {"source_types": {"crm": {"hard_ttl": "15d"}}}},
        "freshness.source_types.crm.hard_ttl",
    ),
    "a limit of an id": (
        {"freshness": {"source_ids": {"crm:1": {"hard_ttl": "3d"}}}},
        "freshness.source_ids.crm:1.hard_ttl",
    ),
    "a new source type": (
        {"freshness": {"source_types": {"erp": {"soft_ttl": "1s", "hard_ttl": "1s"}}}},
        "freshness.source_types.erp",
    ),
    "a new id above a type": (
        {"freshness": {"source_ids": {"crm:9": {"soft_ttl": "1d", "hard_ttl": "15d"}}}},
        "freshness.source_ids.crm:9",
    ),
    "a rule's severity": (
        {"contradiction": {"rules": [{**BASE["contradiction"]["rules"][0], "severity": "WARN"}]}},
        "contradiction.rules[0]",
    ),
    "a rule of the same id": (
        {"contradiction": {"rules": [{"id": "limit", "rule": "at_most", "field": "discount", "value": 5}]}},
        "contradiction.rules[0]",
    ),
    "a grounded field of the same id": (
        {"grounding": {"values": [{"id": "to", "field": "cc"}]}},
        "grounding.values[0]",
    ),
    "a restricted field of the same id": (
        {"compliance": {"restricted_fields": [{"path": "ssn", "action_types": ["note"]}]}},
        "compliance.restricted_fields[0]",
    ),
    "a personal field of the same id": (
        {"compliance": {"personal_fields": {"PHONE": [{"path": "phone", "action_types": ["note"]}]}}},
        "compliance.personal_fields.PHONE[0]",
    ),
    "an unknown value": ({"contradiction": {"unknown_values": ["", "tbd"]}}, "contradiction.unknown_values[1]"),
    "an allowed action": ({"compliance": {"allowed_actions": ["note", "refund"]}}, "compliance.allowed_actions[1]"),
    "an allowed target": ({"compliance": {"allowed_targets": ["fax"]}}, "compliance.allowed_targets[0]"),
    "a validator's configuration": ({"validators": [{"id": "acme.credit", "config": {"limit": 9}}]}, "validators[0]"),
}


@pytest.mark.parametrize("case", WIDENING)
def test_anything_that_widens_is_a_mistake_at_its_place(case):
    """G5: what would widen the base does not load, and says where."""
    section, place = WIDENING[case]
    found = mistakes(with_tenant(section))
    assert [text.partition(": ")[0] for text in found] == [f"tenants.acme.{place}"]
    assert "replaceable" in advice(with_tenant(section))[0]


@pytest.mark.parametrize("case", WIDENING)
def test_merging_keeps_the_base_where_a_section_would_widen_it(case):
    """Even a document that nobody checked never widens."""
    section, _ = WIDENING[case]
    document = PolicyDocument.model_validate(with_tenant(section))
    assert merge(document.written(), "acme").mistakes
    changes = diff_policies(document.effective(None), document.effective("acme"))
    assert [change for change in changes if change.effect == "looser"] == []


@pytest.mark.parametrize("section", ["freshness", "grounding", "contradiction", "compliance"])
def test_a_section_the_base_lacks_widens(section):
    """G5: without it everybody is CONFIG_MISSING; a tenant's own would be a judgement."""
    own = {
        "freshness": {"source_types": {}},
        "grounding": {},
        "contradiction": {"rules": []},
        "compliance": {"allowed_actions": []},
    }
    found = mistakes(with_tenant({section: own[section]}, **{section: None}))
    assert len(found) == 1
    assert f"the base has no `{section}`" in found[0]
    assert mistakes(with_tenant({section: own[section]}, **{section: None}, replaceable=[section])) == []


def test_what_widens_is_reported_with_its_line():
    (problem,) = problems_of(
        """
        weighbridge: 1
        name: x
        freshness:
          source_types: {crm: {soft_ttl: 7d, hard_ttl: 14d}}
        tenants:
          acme:
            freshness:
              source_types:
                crm:
                  hard_ttl: 30d
        """
    )
    place = "freshness.source_types.crm.hard_ttl"
    assert problem == (
        f"10:21: tenants.acme.{place}: `30d` is above the base's `14d`; a tenant can only lower it"
        f" (write 14d or less, or declare `{place}` replaceable in the base)"
    )


def test_a_lowered_hard_limit_below_the_soft_one_is_a_mistake():
    """F3: also when the two meet only after merging."""
    found = mistakes(with_tenant({"freshness": {"source_types": {"crm": {"hard_ttl": "5d"}}}}))
    assert found == ["tenants.acme.freshness.source_types.crm.hard_ttl: the soft limit 7d is above the hard limit 5d"]


# --- Replaceable keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "section", "check"),
    [
        ("max_clock_skew", {"max_clock_skew": "1h"}, lambda p: p.max_clock_skew_ms == 3_600_000),
        (
            "sources.erp.trust",
            {"sources": {"erp": {"trust": "system_of_record"}}},
            lambda p: p.trust_of("erp") is Trust.SYSTEM_OF_RECORD,
        ),
        ("operations.x", {"operations": {"x": {"kind": "read", "cost_class": "CHEAP"}}}, lambda p: "x" in p.operations),
        (
            "operations",
            {"operations": {"note": {"kind": "read", "cost_class": "CHEAP"}}},
            lambda p: set(p.operations) == {"note"},
        ),
        ("required_inputs.not_needed", {"required_inputs": {"not_needed": []}}, lambda p: p.not_needed == ()),
        (
            "freshness.source_types.erp",
            {"freshness": {"source_types": {"erp": {"soft_ttl": "1d", "hard_ttl": "99d"}}}},
            lambda p: p.freshness.source_types["erp"].hard_ms == 99 * DAY_MS and "crm" in p.freshness.source_types,
        ),
        (
            "freshness",
            {"freshness": {"source_types": {"erp": {"soft_ttl": "1d", "hard_ttl": "99d"}}}},
            lambda p: set(p.freshness.source_types) == {"erp"},
        ),
        (
            "grounding.values.to",
            {"grounding": {"values": [{"id": "to", "field": "cc"}]}},
            lambda p: p.grounding.values[0].path.text == "cc",
        ),
        (
            "contradiction.rules.limit",
            {"contradiction": {"rules": [{"id": "limit", "rule": "at_most", "field": "discount", "value": 50}]}},
            lambda p: p.contradiction.rules[0].literal == 50 and len(p.contradiction.rules) == 2,
        ),
        (
            "compliance.allowed_actions",
            {"compliance": {"allowed_actions": ["refund"]}},
            lambda p: p.compliance.allowed_actions == {"refund"},
        ),
        (
            'compliance.restricted_fields."internal.margin"',
            {"compliance": {"restricted_fields": [{"path": "internal.margin", "action_types": ["note"]}]}},
            lambda p: (
                {r.action_types for r in p.compliance.field_rules if r.id == "internal.margin"} == {frozenset({"note"})}
            ),
        ),
        (
            "compliance.personal_fields.PHONE",
            {"compliance": {"personal_fields": {"PHONE": []}}},
            lambda p: len(p.compliance.field_rules) == 2,
        ),
        (
            'validators."acme.credit"',
            {"validators": [{"id": "acme.credit", "config": {"limit": 9}}]},
            lambda p: p.custom_validators[0].config == {"limit": 9},
        ),
    ],
)
def test_a_replaceable_key_is_replaced_outright(key, section, check):
    document = with_tenant(section, replaceable=[key], grounding={"values": [{"id": "to", "field": "to"}]})
    document["compliance"].pop("required_known")
    document["compliance"]["restricted_fields"] = ["ssn", "internal.margin"]
    document["required_inputs"] = {"not_needed": [{"inputs": ["snapshot"]}]}
    assert mistakes(document) == []
    assert check(effective(document, "acme"))


def test_replacing_is_limited_to_the_key():
    section = {"grounding": {"severity": "WARN", "values": [{"id": "to", "field": "cc"}]}}
    assert len(mistakes(with_tenant(section, replaceable=["grounding.severity"]))) == 1


def test_what_replaces_must_be_whole():
    section = {"freshness": {"source_types": {"erp": {"soft_ttl": "1d"}}}}
    assert mistakes(with_tenant(section, replaceable=["freshness.source_types.erp"])) == [
        "tenants.acme.freshness.source_types.erp.hard_ttl: `hard_ttl` is missing"
    ]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("grounding", True),
        ("grounding.severity", True),
        ("freshness.source_types.anything", True),
        ("freshness.source_types.anything.soft_ttl", True),
        ("sources.crm", True),
        ("contradiction.rules.limit", True),
        ('validators."acme.credit"', True),
        ("compliance.personal_fields.PHONE.phone", True),
        ("contradiction.rules.unheard", False),
        ("grounding.colour", False),
        ("groundin.severity", False),
        ("tenants", False),
        ("name", False),
        ("weighbridge", False),
        ("freshness.source_types.crm.soft_ttl.x", False),
        ("contradiction.rules[*].severity", False),
    ],
)
def test_only_keys_that_a_section_can_write_are_replaceable(key, known):
    found = mistakes(policy(replaceable=[key]))
    assert (found == []) is known
    assert known or found[0].startswith("replaceable[0]: ")


def test_a_key_is_a_key_by_its_steps():
    assert is_key(("contradiction", "rules", "limit"), BASE)
    assert not is_key(("contradiction", "rules", "limit", "value"), BASE)


# --- Budgets ----------------------------------------------------------------------------------------------------------

DAY = {"id": "day", "hard_cap": "50/day", "soft_cap": 40, "settlement": True}
MONEY = {"id": "money", "hard_cap": "$25/month", "scope": {"account": "each"}, "cost_classes": ["EXPENSIVE"]}
BUDGETS = {"caps": [DAY, MONEY], "cost_classes": {"EXPENSIVE": {"maximum": {"USD": "$2"}}}}


def of_acme(*caps: Any, base: Any = None, replaceable: Any = (), **section: Any) -> dict[str, Any]:
    return with_tenant(
        {"budgets": {"caps": list(caps), **section}}, budgets=base or BUDGETS, replaceable=list(replaceable)
    )


def unchecked(document: dict[str, Any]) -> BudgetPolicy:
    """Return what merging makes of a section that widens."""
    made = PolicyDocument.model_validate(document).effective("acme").budgets
    assert made is not None
    return made


def test_caps_the_lower():
    """B2: a tenant lowers limits, demands a justification, gives nothing back; what it leaves out is the base's."""
    changes = {"hard_cap": "30/day", "soft_cap": 20, "settlement": False, "justification": True}
    made = {cap.id: cap for cap in effective(of_acme({"id": "day", **changes}), "acme").budgets.caps}
    day = made["day"]
    assert (day.hard_cap, day.soft_cap, day.settles, day.requires_justification) == (30, 20, False, True)
    lower = {cap.id: cap for cap in effective(of_acme({"id": "money", "hard_cap": "$5/month"}), "acme").budgets.caps}
    assert (lower["money"].hard_cap, lower["money"].scope) == (5 * 10**12, (("account", None),))
    assert lower["money"].cost_classes == {"EXPENSIVE"}
    assert (lower["day"].hard_cap, lower["day"].soft_cap, lower["day"].settles) == (50, 40, True)


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"hard_cap": "51/day", "soft_cap": 40}, "hard_cap", "51 operations is above the base's 50 operations"),
        ({"hard_cap": "unlimited/day"}, "hard_cap", "unlimited is above the base's 50 operations"),
        ({"hard_cap": "50/day", "soft_cap": 41}, "soft_cap", "41 operations is above the base's 40 operations"),
        ({"hard_cap": "30/day"}, "hard_cap", "the base's soft cap 40 operations is above this hard cap 30 operations"),
        ({"hard_cap": "50 tokens/day"}, "hard_cap", "the base has a cap `day` with another `unit`"),
        ({"hard_cap": "50/month"}, "hard_cap", "the base has a cap `day` with another `period`"),
        ({"hard_cap": "50/day", "scope": {"account": "x"}}, "scope", "the base has a cap `day` with another `scope`"),
        ({"hard_cap": "50/day", "cost_classes": ["CHEAP"]}, "cost_classes", "with another `cost_classes`"),
    ],
)
def test_a_cap_of_the_base_only_gets_lower(change, place, message):
    """B2, B8: whatever a section says, no limit of the base is lifted."""
    document = of_acme({"id": "day", **change})
    (mistake,) = mistakes(document)
    assert mistake.startswith(f"tenants.acme.budgets.caps[0].{place}: ")
    assert message in mistake
    made = {cap.id: cap for cap in unchecked(document).caps}
    assert (made["day"].hard_cap or 51) <= 50
    assert (made["day"].soft_cap or 41) <= 40
    assert made["day"].unit == "operations"


def test_flags_of_a_cap_only_get_stricter():
    """B7, B13: what is given back, and what needs no reason, is the base's to say."""
    base = {"caps": [{"id": "a", "hard_cap": "5/day", "justification": True}]}
    flags = {"justification": False, "settlement": True}
    assert mistakes(of_acme({"id": "a", "hard_cap": "5/day", **flags}, base=base)) == [
        "tenants.acme.budgets.caps[0].justification: `justification: false` widens the base's; a tenant can only turn it on",
        "tenants.acme.budgets.caps[0].settlement: `settlement: true` widens the base's; a tenant can only turn it off",
    ]


def test_more_caps_for_what_falls_under_a_cap_already():
    """B3, B8: one more cap for the same requests is stricter; for others it lets through what no cap let through."""
    more = {"id": "more", "hard_cap": "5/day", "scope": {"tool": "note"}}
    assert len(effective(of_acme(more), "acme").budgets.caps) == 3
    narrow = {"caps": [{"id": "one", "hard_cap": "5/month", "scope": {"account": "x"}, "cost_classes": ["CHEAP"]}]}
    document = of_acme({"id": "more", "hard_cap": "1/day"}, base=narrow)
    (mistake,) = mistakes(document)
    assert "requests of `CHEAP`, `EXPENSIVE`, `MEDIUM` can fall under this cap and under none of the base" in mistake
    assert [cap.id for cap in unchecked(document).caps] == ["one"]
    assert mistakes(of_acme({"id": "m", "hard_cap": "1/day", "scope": {"account": "x"}}, base=narrow)) != []
    inside = {"id": "m", "hard_cap": "1/day", "scope": {"account": "x", "plan": "each"}, "cost_classes": ["CHEAP"]}
    assert mistakes(of_acme(inside, base=narrow)) == []


def test_maxima_the_higher():
    """B12: a tenant assumes more of unknown cost, never less, and nothing where the base knows nothing."""
    raised = effective(of_acme(cost_classes={"EXPENSIVE": {"maximum": {"USD": "$3"}}}), "acme").budgets.maxima
    assert raised == {"EXPENSIVE": {"pico_USD": 3 * 10**12}}
    (below,) = mistakes(of_acme(cost_classes={"EXPENSIVE": {"maximum": {"USD": "$1"}}}))
    assert below.startswith(
        "tenants.acme.budgets.cost_classes.EXPENSIVE.maximum.USD: 1.00 USD is below the base's 2.00 USD"
    )
    unknown = {"caps": [MONEY, DAY]}
    (mistake,) = mistakes(of_acme(base=unknown, cost_classes={"EXPENSIVE": {"maximum": {"USD": "$3"}}}))
    assert "the base assumes nothing of unknown USD, which is BLOCK COST_UNKNOWN" in mistake
    own = {"id": "eur", "hard_cap": "5 EUR/day"}
    assert mistakes(of_acme(own, cost_classes={"EXPENSIVE": {"maximum": {"EUR": "1 EUR"}}})) == []


def test_prices_are_the_bases():
    """B2: what a call costs is no tenant's to say, unless it is declared."""
    prices = {"currency": "USD", "models": {"m": {"input": "$1/token", "output": "$1/token"}}}
    base = {**BUDGETS, "prices": prices}
    cheaper = {"currency": "USD", "models": {"m": {"input": "$0/token", "output": "$1/token"}}}
    assert "the base has no prices" in mistakes(of_acme(prices=prices))[0]
    assert mistakes(of_acme(base=base, prices=prices)) == []
    assert mistakes(of_acme(base=base, prices=cheaper)) == [
        "tenants.acme.budgets.prices.models.m: changing it for one tenant widens the base"
    ]
    for key in ("budgets.prices.models.m", "budgets.prices", "budgets"):
        section = of_acme(DAY, base=base, prices=cheaper, replaceable=[key])
        assert effective(section, "acme").budgets.prices.models["m"].input == 0


def test_the_time_zone_is_the_tenants_own():
    """B9: a zone is neither stricter nor wider."""
    assert effective(of_acme(time_zone="Asia/Tokyo"), "acme").budgets.time_zone == "Asia/Tokyo"


def test_budgets_for_a_tenant_alone_widen():
    """G5, B8: for everybody else every operation is BLOCK."""
    document = with_tenant({"budgets": "unlimited"}, budgets=None)
    assert "BLOCK NO_APPLICABLE_CONFIG for everybody" in mistakes(document)[0]
    assert PolicyDocument.model_validate(document).effective("acme").budgets is None


def test_a_cap_that_is_declared_replaceable():
    document = of_acme({"id": "day", "hard_cap": "90 tokens/month"}, replaceable=["budgets.caps.day"])
    assert effective(document, "acme").budgets.caps[0].hard_cap == 90
    assert mistakes(of_acme(replaceable=["budgets.caps.other"])) != []
    assert mistakes(of_acme(replaceable=["budgets.time_zone"], time_zone="UTC")) == []


def test_a_section_that_replaces_all_caps_has_some():
    """G5, B8: replacing everything by nothing is no configuration."""
    document = with_tenant({"budgets": {"time_zone": "UTC"}}, budgets=BUDGETS, replaceable=["budgets"])
    (mistake,) = mistakes(document)
    assert mistake.startswith("tenants.acme.budgets: has no caps, and without a cap every operation is BLOCK")
