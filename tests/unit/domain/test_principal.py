"""Principals: who asks."""

from __future__ import annotations

from typing import Any

import pytest

from weighbridge.domain.context import Role
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.domain.principal import Principal
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
