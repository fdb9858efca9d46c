"""Weighbridge: every action of an agent is weighed before it may cross.

The public names, nothing else. What needs a driver, YAML or the command line is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weighbridge.domain.choke_point import ChokePoint
from weighbridge.domain.context import ValidationContext
from weighbridge.domain.decision import (
    AlreadyExecuted,
    Blocked,
    BudgetDecision,
    CapUsage,
    GateDecision,
    OperationDecision,
    Sealed,
    ValidatorResult,
)
from weighbridge.domain.principal import Principal
from weighbridge.domain.spending import Tokens
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import IdempotencyConflict, PolicyError, Refusal, StoreError, UsageError, WeighbridgeError
from weighbridge.operations import in_scope, scope
from weighbridge.runtime import Weighbridge

if TYPE_CHECKING:
    from weighbridge.telling import explain as explain
    from weighbridge.wiring import open as open  # noqa: A004 - the public name

__version__ = "0.1.0"

__all__ = [
    "AlreadyExecuted",
    "Blocked",
    "BudgetDecision",
    "CapUsage",
    "ChokePoint",
    "GateDecision",
    "IdempotencyConflict",
    "OperationDecision",
    "PolicyError",
    "Principal",
    "Refusal",
    "Sealed",
    "StoreError",
    "Tokens",
    "UsageError",
    "ValidationContext",
    "ValidatorResult",
    "Verdict",
    "Weighbridge",
    "WeighbridgeError",
    "explain",
    "in_scope",
    "open",
    "scope",
]


if not TYPE_CHECKING:  # a type checker that saw this would believe in every name

    def __getattr__(name: str) -> Any:
        if name == "open":
            from weighbridge.wiring import open as open_weighbridge

            return open_weighbridge
        if name == "explain":
            from weighbridge.telling import explain

            return explain
        message = f"module `weighbridge` has no attribute `{name}`"
        raise AttributeError(message)
