"""Runtime settings: frozen, and the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults for the command line: which policy, which store, which tenant."""

    policy: str | None
    store: str
    tenant: str


def from_environment() -> Settings:
    """Return settings from ``WEIGHBRIDGE_POLICY``, ``WEIGHBRIDGE_STORE`` and ``WEIGHBRIDGE_TENANT``."""
    return Settings(
        policy=os.environ.get("WEIGHBRIDGE_POLICY"),
        store=os.environ.get("WEIGHBRIDGE_STORE", "weighbridge.db"),
        tenant=os.environ.get("WEIGHBRIDGE_TENANT", "default"),
    )
