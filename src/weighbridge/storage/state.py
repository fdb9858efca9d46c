"""In what state a store is, and what an upgrade of it did: plain values, the same for every backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoreState:
    """What `db status` tells of a store.

    ``problems`` say what somebody has to do, one sentence each; empty where nothing is to be done. ``facts`` is what only this
    kind of store has: JSON values by name.
    """

    backend: str
    server: str
    purpose: str
    schema: int
    latest: int
    pending: tuple[str, ...]
    altered: tuple[str, ...]
    problems: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What making or upgrading a store did: from which schema (0: there was none) to which, and by which files.

    ``advice`` says what is left for a person to do.
    """

    before: int
    after: int
    applied: tuple[str, ...]
    advice: tuple[str, ...] = ()
