"""The checks beyond single keys are asked together, for the base and every tenant."""

from __future__ import annotations

from typing import Any

from tests.unit.policy.documents import BASE, mistakes, policy, problems_of, with_tenant


def test_every_section_of_every_tenant_is_checked_when_loading():
    """F3, G5: a mistake in a section nobody uses yet is found all the same."""
    bad = {
        "contradiction": {"rules": [{"id": "w", "rule": "date_window", "field": "d", "earliest": "2d", "latest": "1d"}]}
    }
    found = mistakes(policy(tenants={"a": bad, "b": {}, "c": bad}))
    assert [text.partition(": ")[0] for text in found] == [
        "tenants.a.contradiction.rules[0].earliest",
        "tenants.c.contradiction.rules[0].earliest",
    ]


def test_a_mistake_of_the_base_is_not_repeated_for_every_tenant():
    broken = {"source_types": {"crm": {"soft_ttl": "9d", "hard_ttl": "1d"}}}
    assert len(mistakes(policy(freshness=broken, tenants={"a": {}, "b": {"max_clock_skew": "1s"}}))) == 1


def test_what_is_wrong_only_after_merging_is_found():
    """R4: replacing one half of a pair can leave the other without effect."""
    section: dict[str, Any] = {"sources": {"crm": {"free_text": []}}}
    found = mistakes(with_tenant(section, replaceable=["sources.crm.free_text"]))
    assert len(found) == 1
    assert found[0].startswith("tenants.acme.sources.crm.admitted_text[0]")


def test_a_doubtful_base_says_nothing_about_its_tenants():
    text = """
        weighbridge: 1
        name: x
        compliance:
          allowed_actions: [no, other]
        freshness:
          source_types: {crm: {soft_ttl: soon, hard_ttl: 2d}}
        tenants:
          acme:
            compliance: {allowed_actions: ["no"]}
            freshness: {source_types: {crm: {soft_ttl: 1d}}}
    """
    assert [problem.partition(": ")[0] for problem in problems_of(text)] == ["4:21", "6:34"]


def test_what_is_certain_is_reported_beside_what_is_doubtful():
    text = """
        weighbridge: 1
        name: x
        freshness:
          source_types: {crm: {soft_ttl: 1d, hard_ttl: 2d, zzz: 1}}
        tenants:
          acme:
            freshness: {source_types: {crm: {soft_ttl: 3d}}}
    """
    assert [problem.partition(": ")[0] for problem in problems_of(text)] == ["4:52", "7:48"]


def test_no_mistake_is_reported_that_only_follows_from_another():
    text = """
        weighbridge: 1
        name: x
        sources: {crm: {trust: trusted, free_text: [no], admitted_text: ["no"]}}
        contradiction:
          rules:
            - {id: a, rule: requires_state, snapshot: s.x, values: [open], when: [{snapshot: s.x, equals: [open, no]}]}
            - {id: b, rule: one_of, field: f, values: [a], when: [{field: f, equals: [a, yes]}]}
        compliance:
          restricted_fields: [{path: ssn, action_types: [one]}]
          required_known: [{path: ssn, action_types: [off]}]
    """
    assert [problem.split(": ")[0] for problem in problems_of(text)] == ["3:45", "6:106", "7:82", "10:47"]


def test_a_replaceable_key_with_a_slip_comes_with_the_right_one():
    text = problems_of("weighbridge: 1\nname: x\nreplaceable: [groundin.severity]\n")
    assert text == [
        "3:15: replaceable[0]: `groundin.severity` names nothing that a tenant's section could write (write grounding.severity)"
    ]


def test_the_base_of_these_tests_is_sound():
    assert mistakes(BASE) == []
