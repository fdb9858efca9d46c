"""The `plan_types` section: what can be written, its one form, how a tenant narrows it, and what a change of it does (H3)."""

from __future__ import annotations

import copy

import pytest

from tests.unit.policy.documents import BASE, effective, mistakes, policy, with_tenant
from weighbridge.domain.plan import Risk
from weighbridge.policy.diff import diff_policies
from weighbridge.policy.effective import PlanAction
from weighbridge.policy.loader import document_from_mapping

UPDATE = {"risk": "MEDIUM", "operations": ["update", "fix"]}
TYPE = {
    "actions": {"update": UPDATE, "note": {"risk": "LOW"}},
    "order": [{"before": "note", "after": "update"}],
    "objective": [{"snapshot": "deal.status", "equals": "won"}],
    "max_retries": 2,
    "lifetime": "30d",
}
NAME = "RENEWAL_DEFENSE"


def kind(**changes):
    """Return the plan type with other keys; a change to None leaves the key out."""
    made = copy.deepcopy(TYPE) | changes
    return {key: value for key, value in made.items() if value is not None}


def planning(tenant=None, **changes):
    """Return the base with the plan type, and with a tenant's section about it."""
    section = {} if tenant is None else {"tenants": {"acme": {"plan_types": {NAME: tenant}}}}
    return policy(plan_types={NAME: kind(**changes)}, **section)


def wrong(document):
    """Return what is wrong, without the way to the plan type."""
    return [
        mistake.replace(f"plan_types.{NAME}", "T").replace("tenants.acme.", "acme ") for mistake in mistakes(document)
    ]


def test_what_is_compiled():
    """H3, H4: everything a plan type says, with its defaults."""
    made = effective(planning()).plan_types[NAME]
    assert made.actions["update"] == PlanAction(Risk.MEDIUM, operations=frozenset({"update", "fix"}))
    assert made.actions["note"] == PlanAction(Risk.LOW)
    assert (made.max_retries, made.lifetime_ms, made.order) == (2, 30 * 86_400_000, (("note", "update"),))
    assert (made.abort_on_block, made.elevated_risk) == (False, Risk.HIGH)
    assert made.objective[0].values == ("won",)


def test_without_the_section_there_are_no_plans():
    """G5, H3: absence is refusal, and the version of a policy without plans is what it was."""
    assert effective(BASE).plan_types == {}
    assert "plan_types" not in effective(BASE).document


def test_one_form_per_meaning():
    """Two spellings of one plan type are one policy, and its effective form loads as a policy."""
    spelt = kind(
        order=[{"after": "update", "before": "note"}],
        objective=[{"snapshot": "deal.status", "equals": ["won"]}],
        lifetime="720h",
        on_block="pause",
        elevated_risk="HIGH",
        disabled=False,
        actions={
            "note": {"risk": "LOW", "human_touch": False},
            "update": {"risk": "MEDIUM", "operations": ["fix", "update"], "disabled": False},
        },
    )
    one, other = effective(planning()), effective(policy(plan_types={NAME: spelt}))
    assert one.policy_version == other.policy_version
    assert document_from_mapping(one.document).effective(None).policy_version == one.policy_version


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"max_retries": None}, "T.max_retries: `max_retries` is missing"),
        ({"lifetime": None}, "T.lifetime: `lifetime` is missing"),
        ({"actions": None}, "T.actions: `actions` is missing"),
        ({"actions": {}, "order": None}, "T.actions: is empty, so that no plan can be of this type"),
        ({"actions": {"note": {}}, "order": None}, "T.actions.note.risk: `risk` is missing"),
        ({"max_retries": -1}, "T.max_retries: `-1` is no number of retries"),
        ({"max_retries": True}, "T.max_retries: `True` is no number of retries"),
        ({"max_retries": 101}, "T.max_retries: `101` is no number of retries"),
        ({"lifetime": "0s"}, "T.lifetime: is no time at all: every plan would be expired"),
        ({"on_block": "retry"}, "T.on_block: `retry` is none of `pause`, `abort`"),
        ({"elevated_risk": "NONE"}, "T.elevated_risk: `NONE` is none of `LOW`, `MEDIUM`, `HIGH`"),
        ({"retries": 2}, "T.retries: unknown key `retries`"),
        ({"objective": []}, "T.objective: is empty"),
        (
            {"objective": [{"snapshot": "deals.{id}.status", "equals": 1}]},
            "T.objective[0].snapshot: `deals.{id}.status` is keyed by a proposal, and an objective has none",
        ),
        (
            {"order": [{"before": "call", "after": "update"}]},
            "T.order[0].before: `call` is no action type of this plan type",
        ),
        (
            {"order": [{"before": "note", "after": "note"}]},
            "T.order[0]: `note` also comes before `note`, so that no plan can have both",
        ),
        (
            {"actions": {"note": {"risk": "LOW", "operations": ["mail"]}}, "order": None},
            "T.actions.note.operations[0]: `mail` has the action type `mail`, so that no step of `note` is it",
        ),
    ],
)
def test_what_cannot_be_meant(changes, mistake):
    """A mistake is told at its place, before any plan meets it."""
    assert mistake in wrong(planning(**changes))


def test_a_circle_of_orders():
    """H3: every rule in the circle is named."""
    order = [{"before": "note", "after": "update"}, {"before": "update", "after": "note"}]
    assert [text.partition(":")[0] for text in wrong(planning(order=order))] == ["T.order[0]", "T.order[1]"]


# --- Tenants ----------------------------------------------------------------------------------------------------------


def acme(section, **changes):
    assert mistakes(planning(section, **changes)) == []
    return effective(planning(section, **changes), "acme").plan_types


def test_a_tenant_narrows():
    """H3: everything a section can say makes fewer plans possible, or needs more people."""
    made = acme(
        {
            "actions": {"update": {"operations": ["update"], "risk": "HIGH"}, "note": {"human_touch": True}},
            "order": [],
            "max_retries": 0,
            "lifetime": "7d",
            "on_block": "abort",
            "elevated_risk": "MEDIUM",
        }
    )[NAME]
    assert made.actions["update"] == PlanAction(Risk.HIGH, operations=frozenset({"update"}))
    assert made.actions["note"] == PlanAction(Risk.LOW, human_touch=True)
    assert (made.max_retries, made.lifetime_ms, made.abort_on_block, made.elevated_risk) == (
        0,
        7 * 86_400_000,
        True,
        Risk.MEDIUM,
    )
    assert made.order == (("note", "update"),)


def test_a_tenant_takes_away():
    """H3: a disabled action type is no step of a plan, a disabled type no plan at all."""
    assert set(acme({"actions": {"note": {"disabled": True}}}, order=None)[NAME].actions) == {"update"}
    assert acme({"disabled": True}) == {}


def test_a_tenant_adds_order():
    """H3: orders are added to."""
    assert acme({"order": [{"before": "note", "after": "update"}]}, order=None)[NAME].order == (("note", "update"),)


@pytest.mark.parametrize(
    ("section", "place"),
    [
        ({"actions": {"call": {"risk": "LOW"}}}, "acme T.actions.call"),
        ({"actions": {"update": {"risk": "LOW"}}}, "acme T.actions.update.risk"),
        ({"actions": {"update": {"operations": ["other"]}}}, "acme T.actions.update.operations[0]"),
        ({"max_retries": 3}, "acme T.max_retries"),
        ({"lifetime": "31d"}, "acme T.lifetime"),
        ({"objective": [{"snapshot": "deal.status", "equals": "lost"}]}, "acme T.objective"),
    ],
)
def test_what_widens(section, place):
    """H3: what lets more happen than the base does is a mistake, and does not count."""
    document = planning(section)
    assert [text.partition(":")[0] for text in wrong(document)] == [place]


@pytest.mark.parametrize(
    ("base", "section", "place"),
    [
        ({"on_block": "abort"}, {"on_block": "pause"}, "acme T.on_block"),
        ({"elevated_risk": "MEDIUM"}, {"elevated_risk": "HIGH"}, "acme T.elevated_risk"),
        ({"disabled": True}, {"disabled": False}, "acme T.disabled"),
        ({"objective": None}, {"objective": [{"snapshot": "a.b", "equals": 1}]}, "acme T.objective"),
    ],
)
def test_what_widens_a_strict_base(base, section, place):
    """H3: what the base turned on or lowered stays so."""
    assert [text.partition(":")[0] for text in wrong(planning(section, **base))] == [place]


def test_a_type_or_a_section_of_a_tenants_own():
    """H3: a type the base does not have is INVALID_PLAN_TYPE for everybody else."""
    other = policy(plan_types={NAME: kind()}, tenants={"acme": {"plan_types": {"OTHER": {"disabled": False}}}})
    assert "the base has no such plan type" in mistakes(other)[0]
    assert "INVALID_PLAN_TYPE for everybody" in mistakes(with_tenant({"plan_types": {NAME: {}}}))[0]


def test_what_is_replaceable_is_replaced():
    """A key that the base declares replaceable is the tenant's."""
    section = {"acme": {"plan_types": {NAME: {"max_retries": 5}}}}
    document = policy(plan_types={NAME: kind()}, replaceable=[f"plan_types.{NAME}.max_retries"], tenants=section)
    assert effective(document, "acme").plan_types[NAME].max_retries == 5


# --- What a change does -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "effect"),
    [
        ({"max_retries": 3}, "looser"),
        ({"lifetime": "7d"}, "stricter"),
        ({"on_block": "abort"}, "stricter"),
        ({"elevated_risk": "LOW"}, "stricter"),
        ({"disabled": True}, "stricter"),
        ({"order": None}, "looser"),
        ({"objective": None}, "changed"),
        ({"actions": {"note": {"risk": "LOW"}, "update": {"risk": "MEDIUM"}}}, "looser"),
        ({"actions": {"note": {"risk": "HIGH"}, "update": UPDATE}}, "stricter"),
        ({"actions": {"note": {"risk": "LOW", "human_touch": True}, "update": UPDATE}}, "stricter"),
        ({"actions": {"note": {"risk": "LOW", "disabled": True}, "update": UPDATE}}, "stricter"),
        ({"actions": {"update": UPDATE}, "order": None}, "stricter looser"),
    ],
)
def test_what_a_change_does(changes, effect):
    """`policy diff` says in which direction."""
    found = diff_policies(effective(planning()), effective(planning(**changes)))
    assert " ".join(change.effect for change in found) == effect
    back = diff_policies(effective(planning(**changes)), effective(planning()))
    opposite = {"looser": "stricter", "stricter": "looser", "changed": "changed"}
    assert [change.effect for change in back] == [opposite[change.effect] for change in found]


def test_a_type_that_comes_or_goes():
    """H3: a new type makes plans possible."""
    without, with_it = effective(BASE), effective(planning())
    assert [(change.where, change.effect) for change in diff_policies(without, with_it)] == [
        (f"plan_types.{NAME}", "looser")
    ]
    assert [change.effect for change in diff_policies(with_it, without)] == ["stricter"]
