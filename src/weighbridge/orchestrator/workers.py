"""The port of an engine with many workers: which of them live, and which plan is in whose hands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Workers(Protocol):
    """Who lives, and who has what in hand, over all processes. Any of it raises `StoreError` where the store is away."""

    def register(self, worker: str, lease_s: float) -> None:
        """Begin a life, under an id that is never used again."""

    def renew(self, worker: str, lease_s: float) -> bool:
        """Prolong a life, and return whether it is still one."""

    def remove_expired(self) -> Sequence[str]:
        """End the lives whose lease ran out, and return whose they were."""

    def retire(self, worker: str) -> None:
        """End a life; what it held is free."""

    def living(self) -> frozenset[str]:
        """Return who lives, or was not found dead yet."""

    def take(self, worker: str, tenant_id: str, plan_id: str) -> bool:
        """Take a plan, and return whether it is this worker's now."""

    def holds(self, worker: str, tenant_id: str, plan_id: str) -> bool:
        """Return whether a worker that lives has a plan in its hands."""

    def give_back(self, worker: str, tenant_id: str, plan_id: str) -> None:
        """Let go of a plan."""

    def close(self) -> None:
        """Release what it needs."""
