"""What a decision says, in words: gates and budget together, and the exception that stops a call.

Sentences are derived from what a decision carries (`validators.explain`, `budgets.sentences`), never stored. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from weighbridge.budgets import sentences as budget_sentences
from weighbridge.domain.decision import (
    Blocked,
    BudgetDecision,
    CapUsage,
    Finding,
    GateDecision,
    OperationDecision,
    ReadBackFailed,
    ValidatorResult,
    WriteNotStored,
    WriteUnconfirmed,
)
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import UsageError
from weighbridge.read_back import Ending
from weighbridge.validators import explain as validator_sentences

MEMORY = ":memory:"

Explained = ValidatorResult | Finding | CapUsage | BudgetDecision | GateDecision | OperationDecision | Mapping[str, Any]
"""What can be explained: a decision, a part of one, or a result or finding as it stands in a record."""


def explain(said: Explained) -> str:
    """Return what a decision, or a part of one, says, in words: without a capital or a full stop.

    Of a decision: a sentence for every reason that is no ALLOW, joined by semicolons; that it is allowed, where there is none.
    A result or finding may also be one decoded from a record.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(said, CapUsage):
        return budget_sentences.explain_cap(said)
    if isinstance(said, BudgetDecision):
        return "; ".join(budget_sentences.explain(said)) or _allowed(said.operation, said)
    if isinstance(said, OperationDecision):
        return "; ".join(sentences(said)) or _allowed(said.operation, said.budget)
    if isinstance(said, GateDecision):
        return "; ".join(sentences(said)) or f"allowed at {said.choke_point}"
    if isinstance(said, (ValidatorResult, Finding, Mapping)):
        return _of_part(said)
    raise UsageError(
        f"a `{type(said).__name__}` explains nothing; pass a decision, or one of its results, findings or caps"
    )


def sentences(decision: GateDecision | OperationDecision) -> list[str]:
    """Return a sentence for every reason that is no ALLOW: the gateway's own, the validators', the caps'.

    What two choke points found is said once.
    """
    gates = (decision,) if isinstance(decision, GateDecision) else decision.gates
    said: list[str] = []
    for gate in gates:
        said += [validator_sentences.explain(finding) for finding in gate.findings]
        said += [validator_sentences.explain(one) for one in gate.results if one.result is not Verdict.ALLOW]
    if isinstance(decision, OperationDecision) and decision.budget is not None:
        said += budget_sentences.explain(decision.budget)
    return list(dict.fromkeys(said))


def blocked(decision: OperationDecision, store: str | None = None, hint: str = "") -> Blocked:
    """Return the exception for a decision: what decided, if it was the budget, ``hint``, and where to read on.

    What validators found is not in it, because an exception ends up in logs, and values of the request stand in those sentences.
    """
    budget = decision.budget
    said = budget_sentences.explain(budget) if budget is not None and budget.verdict is Verdict.BLOCK else []
    return Blocked(decision, said[0] if said else "", hint + _where(decision, store))


def unconfirmed(
    decision: OperationDecision, ending: Ending, value: object, store: str | None = None
) -> WriteUnconfirmed:
    """Return the exception for a call that returned and that its read-back does not confirm. It names fields, no values (L6)."""
    again = f"it is not run again, and what it reserved stays spent; {_where(decision, store)}"
    if ending.differs:
        fields = ", ".join(f"`{name}`" for name in ending.differs)
        said = f"was called, and the target stores something else than was asked: {fields}; {again}"
        return WriteNotStored(decision, said, ending.differs, value)
    why = f" ({ending.error})" if ending.error else ""
    said = f"was called and returned, and its read-back failed{why}: it may be stored or not, so look at the target; {again}"
    return ReadBackFailed(decision, said, value=value)


def _where(decision: OperationDecision, store: str | None) -> str:
    if store == MEMORY:
        return (
            f"the store is `{MEMORY}`, so nothing can be looked up later: print `weighbridge.explain(blocked.decision)`"
        )
    tenant, place = decision.record.tenant_id, "..." if store is None else shlex.quote(store)
    return f"see `weighbridge why {shlex.quote(decision.operation_id)} --tenant {shlex.quote(tenant)} --store {place}`"


def _allowed(operation: str, budget: BudgetDecision | None) -> str:
    return f"`{operation}` is allowed" + (f": {budget_sentences.summary(budget)}" if budget is not None else "")


def _of_part(said: ValidatorResult | Finding | Mapping[str, Any]) -> str:
    """Return the sentence of a part; a finding that no choke point makes is the budget's."""
    found = validator_sentences.explain(said)
    if isinstance(said, ValidatorResult) or not found.startswith("refused with reason "):
        return found
    return budget_sentences.explain_finding(said)
