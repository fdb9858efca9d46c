"""What an address shows, and which ones a driver could misread."""

import pytest

from weighbridge.storage.addresses import is_plain, scheme_of, shown

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("ledger.db", "ledger.db"),
        ("sqlite:///a@b:c/ledger.db", "sqlite:///a@b:c/ledger.db"),
        (":memory:", ":memory:"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://app@host:5432/db", "postgresql://app@host:5432/db"),
        ("postgresql://app:s3cret@host/db", "postgresql://app:***@host/db"),
        ("postgres://app:s3cret@host/db?sslmode=require", "postgres://app:***@host/db?sslmode=require"),
        ("postgresql://host/db?user=app&password=s3cret", "postgresql://host/db?user=app&password=***"),
        (
            "postgresql://host/db?sslpassword=s3cret&options=-cx=s3cret",
            "postgresql://host/db?sslpassword=***&options=***",
        ),
        ("postgresql:///db?host=/tmp/x&s3cret", "postgresql:///db?host=/tmp/x&***"),
        ("postgresql://app:a/s3cret@host/db", "postgresql://app:***@host/db"),
        ("postgresql://app:a@s3cret@host/db", "postgresql://app:***@host/db"),
        ("postgresql://app:a?s3cret@host/db", "postgresql://app:***@host/db"),
        ("postgresql://app:s3cret", "postgresql://app:***"),
        ("postgresql://app:s3cret/db", "postgresql://app:***/db"),
        ("postgresql://[2001:db8::1]:5432,b:1/db", "postgresql://[2001:db8::1]:5432,b:1/db"),
    ],
)
def test_an_address_is_shown_without_its_secrets(place, expected):
    assert shown(place) == expected
    assert SECRET not in shown(place)


@pytest.mark.parametrize(
    ("dsn", "plain"),
    [
        ("postgresql://app:s3cret@host/db?user=x", True),
        ("postgresql://app:s3cret@host:5432,other:5433/db", True),
        ("postgresql://[2001:db8::1]:5432/db", True),
        ("postgresql://[::1]/db", True),
        ("postgresql://app:s3cret", False),
        ("postgresql://app:s3cret/db", False),
        ("postgresql://app:12s3cret,b/db", False),
        ("postgresql:///db?host=%2Ftmp", True),
        ("host=x password=a@b/c", True),
        ("postgresql://app:s3@cret@host/db", False),
        ("postgresql://app:s3/cret@host/db", False),
    ],
)
def test_an_address_that_can_be_misread_is_found(dsn, plain):
    assert is_plain(dsn) is plain


def test_the_scheme_of_a_path_is_none():
    assert (scheme_of("a/b.db"), scheme_of("postgresql://x"), scheme_of("sqlite:///x")) == ("", "postgresql", "sqlite")
