import pytest

from weighbridge.ledger import bundle


def test_sums_are_read_back():
    digests = {"b": "1" * 64, "a/with space": "2" * 64}
    assert bundle.parse_sums(bundle.sums(digests)) == digests
    assert bundle.sums(digests).startswith(b"2222")


@pytest.mark.parametrize("data", [b"x", b"\xff", b"1" * 64 + b" a\n", b"1" * 64 + b"  b\n" + b"1" * 64 + b"  a\n"])
def test_what_is_no_list_of_sums_is_none(data):
    assert bundle.parse_sums(data) is None


def test_a_policy_is_named_after_its_hash():
    assert bundle.policy_name("ab") == "policies/ab.json"
