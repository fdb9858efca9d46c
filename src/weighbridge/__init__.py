"""Weighbridge: every action of an agent is weighed before it may cross.

The public names, nothing else. Each is loaded when it is first used, so that whoever needs one part loads no other: the
stranger's verifier none of the code that judges or writes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weighbridge.domain.choke_point import ChokePoint as ChokePoint
    from weighbridge.domain.context import Role as Role
    from weighbridge.domain.context import ValidationContext as ValidationContext
    from weighbridge.domain.decision import AlreadyExecuted as AlreadyExecuted
    from weighbridge.domain.decision import Blocked as Blocked
    from weighbridge.domain.decision import BudgetDecision as BudgetDecision
    from weighbridge.domain.decision import CapUsage as CapUsage
    from weighbridge.domain.decision import GateDecision as GateDecision
    from weighbridge.domain.decision import OperationDecision as OperationDecision
    from weighbridge.domain.decision import ReadBackFailed as ReadBackFailed
    from weighbridge.domain.decision import Sealed as Sealed
    from weighbridge.domain.decision import ValidatorResult as ValidatorResult
    from weighbridge.domain.decision import WriteNotStored as WriteNotStored
    from weighbridge.domain.decision import WriteUnconfirmed as WriteUnconfirmed
    from weighbridge.domain.plan import Plan as Plan
    from weighbridge.domain.plan import PlanState as PlanState
    from weighbridge.domain.plan import PlanStatus as PlanStatus
    from weighbridge.domain.plan import StepState as StepState
    from weighbridge.domain.plan import StepStatus as StepStatus
    from weighbridge.domain.principal import Principal as Principal
    from weighbridge.domain.spending import Tokens as Tokens
    from weighbridge.domain.verdict import Verdict as Verdict
    from weighbridge.errors import IdempotencyConflict as IdempotencyConflict
    from weighbridge.errors import NotRegistered as NotRegistered
    from weighbridge.errors import PlanRefused as PlanRefused
    from weighbridge.errors import PolicyError as PolicyError
    from weighbridge.errors import Refusal as Refusal
    from weighbridge.errors import StoreError as StoreError
    from weighbridge.errors import UsageError as UsageError
    from weighbridge.errors import WeighbridgeError as WeighbridgeError
    from weighbridge.orchestrator.interface import Advanced as Advanced
    from weighbridge.plan_acts import PlanApproval as PlanApproval
    from weighbridge.runtime import Weighbridge as Weighbridge
    from weighbridge.scopes import in_scope as in_scope
    from weighbridge.scopes import scope as scope
    from weighbridge.telling import explain as explain
    from weighbridge.wiring import open as open  # noqa: A004 - the public name

__version__ = "0.1.0"

__all__ = [
    "Advanced",
    "AlreadyExecuted",
    "Blocked",
    "BudgetDecision",
    "CapUsage",
    "ChokePoint",
    "GateDecision",
    "IdempotencyConflict",
    "NotRegistered",
    "OperationDecision",
    "Plan",
    "PlanApproval",
    "PlanRefused",
    "PlanState",
    "PlanStatus",
    "PolicyError",
    "Principal",
    "ReadBackFailed",
    "Refusal",
    "Role",
    "Sealed",
    "StepState",
    "StepStatus",
    "StoreError",
    "Tokens",
    "UsageError",
    "ValidationContext",
    "ValidatorResult",
    "Verdict",
    "Weighbridge",
    "WeighbridgeError",
    "WriteNotStored",
    "WriteUnconfirmed",
    "explain",
    "in_scope",
    "open",
    "scope",
]

_HOMES = {
    "Advanced": "weighbridge.orchestrator.interface",
    "AlreadyExecuted": "weighbridge.domain.decision",
    "Blocked": "weighbridge.domain.decision",
    "BudgetDecision": "weighbridge.domain.decision",
    "CapUsage": "weighbridge.domain.decision",
    "ChokePoint": "weighbridge.domain.choke_point",
    "GateDecision": "weighbridge.domain.decision",
    "IdempotencyConflict": "weighbridge.errors",
    "NotRegistered": "weighbridge.errors",
    "OperationDecision": "weighbridge.domain.decision",
    "Plan": "weighbridge.domain.plan",
    "PlanApproval": "weighbridge.plan_acts",
    "PlanRefused": "weighbridge.errors",
    "PlanState": "weighbridge.domain.plan",
    "PlanStatus": "weighbridge.domain.plan",
    "PolicyError": "weighbridge.errors",
    "Principal": "weighbridge.domain.principal",
    "ReadBackFailed": "weighbridge.domain.decision",
    "Refusal": "weighbridge.errors",
    "Role": "weighbridge.domain.context",
    "Sealed": "weighbridge.domain.decision",
    "StepState": "weighbridge.domain.plan",
    "StepStatus": "weighbridge.domain.plan",
    "StoreError": "weighbridge.errors",
    "Tokens": "weighbridge.domain.spending",
    "UsageError": "weighbridge.errors",
    "ValidationContext": "weighbridge.domain.context",
    "ValidatorResult": "weighbridge.domain.decision",
    "Verdict": "weighbridge.domain.verdict",
    "Weighbridge": "weighbridge.runtime",
    "WeighbridgeError": "weighbridge.errors",
    "WriteNotStored": "weighbridge.domain.decision",
    "WriteUnconfirmed": "weighbridge.domain.decision",
    "explain": "weighbridge.telling",
    "in_scope": "weighbridge.scopes",
    "open": "weighbridge.wiring",
    "scope": "weighbridge.scopes",
}


if not TYPE_CHECKING:  # a type checker that saw this would believe in every name

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            message = f"module `weighbridge` has no attribute `{name}`"
            raise AttributeError(message)
        found = globals()[name] = getattr(import_module(home), name)
        return found
