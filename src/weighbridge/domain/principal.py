"""Who asks: the authenticated caller, as opposed to the actor an action is attributed to (Z1, Z5)."""

from __future__ import annotations

import msgspec

from weighbridge.domain.context import Role


class Principal(msgspec.Struct, frozen=True):
    """An authenticated caller. ``tenant_id`` None means that requests name their tenant (a host that serves several).

    Only the role ``host`` may state facts: snapshots, data sources and the trust of evidence (Z5). Only a person may
    authorise a retry (G8).
    """

    id: str
    role: Role = Role.HOST
    tenant_id: str | None = None
    person: bool = False
