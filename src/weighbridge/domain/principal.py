"""Who asks: the authenticated caller, as opposed to the actor an action is attributed to (Z1, Z5)."""

from __future__ import annotations

import msgspec

from weighbridge.domain.context import Role
from weighbridge.domain.identifiers import ID_LENGTH_MAX
from weighbridge.errors import UsageError


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller. ``tenant_id`` None means that requests name their tenant (a host that serves several).

    Raises `UsageError` where the tenant is no id: an empty one would be no tenant and no choice of one either (L5).

    Only the role ``host`` may state facts: snapshots, data sources and the trust of evidence (Z5). Only a person may
    authorise a retry (G8).
    """

    id: str
    role: Role = Role.HOST
    tenant_id: str | None = None
    person: bool = False

    def __post_init__(self) -> None:
        """Refuse a tenant that is no id."""
        tenant = self.tenant_id
        if tenant is not None and not (isinstance(tenant, str) and 0 < len(tenant) <= ID_LENGTH_MAX):
            raise UsageError(
                f"a principal's tenant is text of 1 to {ID_LENGTH_MAX} characters; leave it out where requests name theirs"
            )
