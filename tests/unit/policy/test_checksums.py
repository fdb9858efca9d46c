from tests.unit.policy.documents import BASE, mistakes, policy
from weighbridge.policy.checksums import CHECKSUMS
from weighbridge.validators.checksums import checksum


def pattern(name):
    return policy(
        compliance={
            **BASE["compliance"],
            "value_patterns": [{"id": "x", "class": "X", "fields": ["x"], "checksum": name}],
        }
    )


def test_every_name_a_policy_may_use_has_an_implementation():
    """P3: checksums are exact, listed and versioned."""
    for name in CHECKSUMS:
        assert mistakes(pattern(name)) == []
        assert checksum(name)("") is False


def test_an_unknown_checksum_is_refused_with_the_nearest_name():
    assert "`lhun` is none of" in mistakes(pattern("lhun"))[0]
