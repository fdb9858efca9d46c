"""Runtime settings: frozen, and the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults for the command line: which policy, which store, which tenant, which keys."""

    policy: str | None
    store: str
    tenant: str
    keys: str


def from_environment() -> Settings:
    """Return settings from ``WEIGHBRIDGE_POLICY``, ``_STORE``, ``_TENANT`` and ``_KEYS``."""
    return Settings(
        policy=os.environ.get("WEIGHBRIDGE_POLICY"),
        store=os.environ.get("WEIGHBRIDGE_STORE", "weighbridge.db"),
        tenant=os.environ.get("WEIGHBRIDGE_TENANT", "default"),
        keys=os.environ.get("WEIGHBRIDGE_KEYS", "weighbridge.keys"),
    )
