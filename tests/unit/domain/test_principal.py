"""Principals: who asks."""

from __future__ import annotations

from typing import Any

import pytest

from weighbridge.domain.context import Role
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.principal import Principal, alias_key, is_among
from weighbridge.errors import UsageError


@pytest.mark.parametrize("tenant_id", ["", "x" * (ID_LENGTH_MAX + 1), 5, b"acme"])
def test_a_tenant_that_is_no_id_is_refused(tenant_id: Any):
    """L5, Z1: an empty tenant is neither one nor the choice of one."""
    with pytest.raises(UsageError, match="tenant"):
        Principal("host", tenant_id=tenant_id)


def test_a_principal_is_a_host_of_any_tenant_unless_it_says_otherwise():
    """Z5: and of exactly one tenant where it names it."""
    assert (Principal("host").role, Principal("host").tenant_id, Principal("host").person) == (Role.HOST, None, False)
    assert Principal("agent", Role.AGENT, "x" * ID_LENGTH_MAX).tenant_id == "x" * ID_LENGTH_MAX


@pytest.mark.parametrize("name", ["", " ", "x" * (ID_LENGTH_MAX + 1), "a\nb", "ada\u200b", "\ud800", "a\x00", 7, None])
def test_an_id_is_text_that_can_be_seen(name):
    """Z1: two people never look the same on record."""
    with pytest.raises(UsageError, match="principal's id") as error:
        Principal(name)
    assert str(error.value).encode()


def test_one_person_however_the_id_is_written():
    """H3, G8."""
    assert (
        len({alias_key(name) for name in ("ada", "Ada", " ada ", "\uff21\uff44\uff41", "a\u00adda", "ada\u200b")}) == 1
    )
    assert len({alias_key(name) for name in ("ann-li", "annli", "ann li")}) == 3
    assert is_among("Ada", ["bob", None, "ada"])
    assert not is_among(None, [None])
    assert not is_among("ada", ["bob"])
