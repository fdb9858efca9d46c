import pytest

from weighbridge.policy.checksums import CHECKSUMS
from weighbridge.validators.checksums import checksum


def test_every_name_a_policy_may_use_has_its_function():
    """P3: the two lists are one."""
    for name in CHECKSUMS:
        assert checksum(name)("") is False
    with pytest.raises(KeyError):
        checksum("unheard_of")


@pytest.mark.parametrize(
    ("name", "valid", "invalid"),
    [
        ("luhn", "4111111111111111", "4111111111111112"),
        ("iban", "DE89370400440532013000", "DE89370400440532013001"),
        ("iban", "GB29 NWBK 6016 1331 9268 19", "XX29NWBK60161331926819"),
        ("us_ssn", "536-90-4399", "000-90-4399"),
        ("us_ssn", "536904399", "987-65-4321"),
        ("verhoeff", "2363", "2364"),
        ("ip_address", "192.168.0.1", "192.168.0.256"),
        ("ip_address", "2001:db8::1", "2001:db8:::1"),
        ("isin", "US0378331005", "US0378331006"),
    ],
)
def test_checksums_accept_and_refuse(name, valid, invalid):
    """P3: each is the published arithmetic; the numbers are published examples."""
    assert checksum(name)(valid) is True
    assert checksum(name)(invalid) is False


@pytest.mark.parametrize("name", sorted(CHECKSUMS))
@pytest.mark.parametrize(
    "text", ["x" * 5_000, "\u0661\u0662\u0663", "\x00", "4111-1111", "é", "-", "1" * 5_000, "GB", "ES91"]
)
def test_no_text_makes_a_checksum_raise(name, text):
    """G6: a value that is no candidate is no error."""
    assert checksum(name)(text) in {True, False}
