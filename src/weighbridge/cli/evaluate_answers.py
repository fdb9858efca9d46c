"""What `weighbridge evaluate` answers for each line: JSON lines for programs, a table for people.

`docs/reference/cli.md` describes the lines. Sentences are derived from the recorded reasons and details, never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge import telling
from weighbridge.cli import output
from weighbridge.domain.amounts import as_text
from weighbridge.domain.decision import BudgetDecision, CapUsage, GateDecision, OperationDecision
from weighbridge.errors import IdempotencyConflict, Refusal, WeighbridgeError

if TYPE_CHECKING:
    from rich.table import Table

SHOWN_MAX = 20  # rows of a table for people; whoever wants all of them takes JSON lines
ID_WIDTH = 36  # of a UUID
PLACE_WIDTH = 24

Decision = GateDecision | OperationDecision
Answers = Sequence[tuple[int, Any, Decision | WeighbridgeError]]
"""The answers of a batch: the line's number, its id, and the decision or what is wrong."""


class Lines:
    """Answers for programs: one JSON line each, as `docs/reference/cli.md` describes it."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain

    def answers(self, name: str, answered: Answers) -> None:
        """Print a batch of answers."""
        output.write_json(
            {"file": name, "line": number} | self._answer(identity, answer) for number, identity, answer in answered
        )

    def close(self) -> None:
        """Have nothing left to print."""

    def _answer(self, identity: Any, answer: Decision | WeighbridgeError) -> dict[str, Any]:
        if isinstance(answer, WeighbridgeError):
            known = {"id": output.safe(str(identity))} if isinstance(answer, IdempotencyConflict | Refusal) else {}
            code = {"refused": answer.code} if isinstance(answer, Refusal) else {}
            return known | code | {"error": output.safe(error_text(answer))}
        return decision_line(answer) | ({"explanations": sentences(answer)} if self._explain else {})


class Rows:
    """Answers for people: a table of what was not simply allowed, the first ones of it."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []
        self._more = 0

    def answers(self, name: str, answered: Answers) -> None:
        """Keep the answers worth a look."""
        for number, _, answer in answered:
            if isinstance(answer, WeighbridgeError):
                self._row(name, number, "ERROR", error_text(answer), "")
            elif answer.verdict.value != "ALLOW":
                self._row(name, number, answer.verdict.value, "\n".join(sentences(answer)), identity_of(answer))

    def close(self) -> None:
        """Print the table."""
        screen = output.console()
        if self._rows:
            screen.print(self._table(screen.width))
        if self._more:
            screen.print(f"and {self._more:,} more; --json prints every one", style="dim")

    def _row(self, name: str, number: int, verdict: str, why: str, identity: str) -> None:
        if len(self._rows) >= SHOWN_MAX:
            self._more += 1
            return
        shown = "\n".join(output.safe(part) for part in why.splitlines())
        self._rows.append((f"{output.safe(Path(name).name)}:{number}", verdict, shown, output.safe(identity)))

    def _table(self, width: int) -> Table:
        """Return the rows, the id in a column of its own, or below the reasons where it would not be in one piece."""
        apart = width >= output.WIDTH_WIDE and all(len(row[-1]) <= ID_WIDTH for row in self._rows)
        made = output.table("Line", "Verdict", "Why", *(["Id"] if apart else []))
        made.columns[0].max_width = PLACE_WIDTH
        for place, verdict, why, identity in self._rows:
            cells = (why, identity) if apart else ("\n".join(part for part in (why, identity) if part),)
            made.add_row(place, verdict, *cells, style=output.STYLES.get(verdict, "bold red"))
        return made


def error_text(error: WeighbridgeError) -> str:
    """Return what is wrong with a line. Nothing runs here, so a conflict says the same of every id, and in every run (G3)."""
    if isinstance(error, IdempotencyConflict) and error.kind == "op":
        return (
            f"operation id `{error.identity}` already answers another request (record {error.seq}); "
            "use a new id for a new request"
        )
    return str(error)


def identity_of(decision: Decision) -> str:
    """Return the id that `weighbridge why` takes: the operation's, or the run's that was asked alone."""
    return decision.operation_id if isinstance(decision, OperationDecision) else decision.validation_run_id


def decision_line(decision: Decision) -> dict[str, Any]:
    """Return what a decision line says of a decision."""
    if isinstance(decision, GateDecision):
        return _begun(decision) | _gate(decision) | _ended(decision)
    gate = _gate(decision.gates[0]) if decision.gates else {}
    if gate:
        gate["validation_run_id"] = decision.gates[0].validation_run_id
    return _begun(decision) | {"operation": decision.operation} | gate | _budget(decision.budget) | _ended(decision)


def _begun(decision: Decision) -> dict[str, Any]:
    return {
        "id": identity_of(decision),
        "tenant_id": decision.record.tenant_id,
        "verdict": decision.verdict.value,
        "reasons": list(decision.reasons),
    }


def _gate(decision: GateDecision) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "choke_point": decision.choke_point.value,
        "findings": [found.reason for found in decision.findings],
        "results": [
            {"validator": one.validator, "result": one.result.value, "reason": one.reason} for one in decision.results
        ],
    }
    return stated | ({"retry_of": decision.retry_of} if decision.retry_of else {})


def _budget(budget: BudgetDecision | None) -> dict[str, Any]:
    """Return what the budget said. Amounts are text: they may lie beyond what JSON readers hold as numbers."""
    if budget is None:  # B11: what is not safe is not asked of the budget
        return {"budget": None, "amounts": {}, "caps": []}
    return {
        "budget": {
            "verdict": budget.verdict.value,
            "reason": budget.reason,
            "findings": [found.reason for found in budget.findings],
            "cost_class": budget.cost_class,
            "period": budget.period,
            "assumed": list(budget.assumed),
        },
        "amounts": as_text(budget.amounts),
        "caps": [_cap(cap) for cap in budget.caps],
    }


def _cap(cap: CapUsage) -> dict[str, Any]:
    return {
        "id": cap.cap,
        "counter": cap.counter,
        "unit": cap.unit,
        "usage_before": str(cap.usage_before),
        "usage_after": None if cap.usage_after is None else str(cap.usage_after),
        "hard_cap": "unlimited" if cap.hard_cap is None else str(cap.hard_cap),
        "soft_cap": None if cap.soft_cap is None else str(cap.soft_cap),
        "verdict": cap.verdict.value,
        "reason": cap.reason,
    }


def _ended(decision: Decision) -> dict[str, Any]:
    return {
        "evaluation_time": decision.evaluation_time,
        "policy_version": decision.policy_version,
        "engine_version": decision.engine_version,
        "seq": decision.record.seq,
        "hash": decision.record.hash,
        "replayed": decision.replayed,
    }


def sentences(decision: Decision) -> list[str]:
    """Return one sentence for every reason that is not an ALLOW: the gateway's own, the validators', the caps'.

    What two choke points found is said once.
    """
    return telling.sentences(decision)
