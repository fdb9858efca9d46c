"""Effective policies: one form per meaning, which loads again; and sections that never widen."""

from __future__ import annotations

import random
from typing import Any

import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.properties.policies import bases, documents
from weighbridge import canonical
from weighbridge.errors import PolicyError
from weighbridge.policy.compile import compile_effective
from weighbridge.policy.diff import diff_policies
from weighbridge.policy.document import PolicyDocument
from weighbridge.policy.loader import document_from_mapping, load_policy

relaxed = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None)


def shuffled(value: Any, rng: random.Random, key: str = "") -> Any:
    """Return an equal policy with its keys, and its lists whose order means nothing, in another order."""
    if isinstance(value, dict):
        items = [(name, shuffled(inner, rng, name)) for name, inner in value.items()]
        rng.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        made = [shuffled(inner, rng) for inner in value]
        if key not in {"ordering", "validators"}:
            rng.shuffle(made)
        return made
    return value


@relaxed
@given(documents)
def test_the_effective_form_loads_again_and_is_the_same_policy(document):
    """G4: what is recorded as the policy is a policy, for the base and for a tenant, and compiles to the same version."""
    loaded = PolicyDocument.model_validate(document)
    for tenant in (None, "acme"):
        made = loaded.effective(tenant)
        again = PolicyDocument.model_validate(made.document).effective(None)
        assert again.policy_version == made.policy_version
        assert again.document == made.document
        assert (
            compile_effective(canonical.decode(canonical.encode(made.document))).policy_version == made.policy_version
        )


@relaxed
@given(documents)
def test_a_checked_policys_effective_forms_pass_the_checks(document):
    """G4: every effective form of a policy without mistakes is without mistakes."""
    try:
        loaded = document_from_mapping(document)
    except PolicyError:
        assume(False)
        raise
    for tenant in (None, "acme"):
        made = loaded.effective(tenant)
        again = document_from_mapping(made.document)
        assert again.effective(None).policy_version == made.policy_version


@relaxed
@given(documents, st.randoms(use_true_random=False))
def test_order_that_means_nothing_changes_nothing(document, rng):
    """G4: no order of keys or of sets reaches a verdict, because none reaches the effective policy."""
    one, other = PolicyDocument.model_validate(document), PolicyDocument.model_validate(shuffled(document, rng))
    for tenant in (None, "acme"):
        assert one.effective(tenant).policy_version == other.effective(tenant).policy_version


@relaxed
@given(documents)
def test_a_section_never_makes_anything_looser(document):
    """F4, P1: whatever a tenant's section says, and checked or not, no change to the base is a looser one."""
    loaded = PolicyDocument.model_validate(document)
    changes = diff_policies(loaded.effective(None), loaded.effective("acme"))
    assert [change for change in changes if change.effect == "looser"] == []


@relaxed
@given(documents, documents)
def test_a_difference_is_the_opposite_of_its_reverse(one, other):
    """What gets stricter one way gets looser the other way, and what cannot be told cannot be told either way."""
    before, after = (PolicyDocument.model_validate(document).effective("acme") for document in (one, other))
    opposite = {"stricter": "looser", "looser": "stricter", "changed": "changed"}
    forth = sorted((change.where, change.effect) for change in diff_policies(before, after))
    back = sorted((change.where, opposite[change.effect]) for change in diff_policies(after, before))
    assert forth == back
    assert (forth == []) is (before.policy_version == after.policy_version)


@relaxed
@given(bases)
def test_yaml_and_json_of_one_policy_are_one_policy(document):
    """Whatever a dumper makes of a policy, it means the same when read."""
    try:
        version = document_from_mapping(document).effective(None).policy_version
    except PolicyError:
        assume(False)
        raise
    as_yaml = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    assert load_policy(as_yaml, "yaml").effective(None).policy_version == version
    assert load_policy(canonical.encode(document), "json").effective(None).policy_version == version
