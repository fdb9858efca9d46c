"""Plan types that no plan can be of: what is found only together with the rest of the policy."""

from tests.unit.policy.documents import mistakes, policy

TYPE = {"actions": {"update": {"risk": "LOW"}, "note": {"risk": "LOW"}}, "max_retries": 0, "lifetime": "1d"}


def test_a_tenants_order_closes_a_circle_with_the_bases():
    """H3: each order is right by itself; together no plan can have both action types."""
    base = TYPE | {"order": [{"before": "note", "after": "update"}]}
    section = {"plan_types": {"T": {"order": [{"before": "update", "after": "note"}]}}}
    (mistake,) = mistakes(policy(plan_types={"T": base}, tenants={"acme": section}))
    assert mistake.startswith("tenants.acme.plan_types.T.order[0]: `note` also comes before `update`")


def test_nothing_is_concluded_from_what_could_not_be_read():
    """An operation that could not be read may be of this action type."""
    kind = TYPE | {"actions": {"note": {"risk": "LOW", "operations": ["broken"]}}}
    found = mistakes(policy(plan_types={"T": kind}, operations={"broken": {"kind": "no kind", "cost_class": "CHEAP"}}))
    assert all("plan_types" not in mistake for mistake in found)
