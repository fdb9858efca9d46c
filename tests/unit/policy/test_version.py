"""The name of a policy in the ledger."""

import hashlib

import pytest
import rfc8785

from tests.unit.policy.documents import BASE, effective, policy
from weighbridge.errors import CanonicalError
from weighbridge.policy.version import policy_version


def test_the_version_is_the_sha256_of_the_rfc_8785_form():
    """G4: the same effective policy has the same name on every machine."""
    document = effective(BASE).document
    assert effective(BASE).policy_version == hashlib.sha256(rfc8785.dumps(document)).hexdigest()
    assert policy_version(document) == effective(BASE).policy_version


def test_spelling_and_order_that_mean_nothing_change_no_version():
    reordered = dict(reversed(policy(max_clock_skew="5000ms").items()))
    reordered["sources"] = dict(reversed(reordered["sources"].items()))
    reordered["compliance"]["allowed_actions"].reverse()
    reordered["contradiction"]["rules"].reverse()
    reordered["freshness"]["source_types"]["crm"] = {"hard_ttl": "2w", "soft_ttl": "168h"}
    assert effective(reordered).policy_version == effective(BASE).policy_version


def test_what_counts_changes_the_version():
    assert effective(policy(max_clock_skew="6s")).policy_version != effective(BASE).policy_version


def test_what_has_no_canonical_form_has_no_version():
    with pytest.raises(CanonicalError):
        policy_version({"x": float("nan")})
