"""The summary of `weighbridge evaluate`: what it came to, by validator and reason, and where the decisions are."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator

from weighbridge.budgets.sentences import deciding
from weighbridge.cli import output
from weighbridge.cli.evaluate_answers import Decision
from weighbridge.domain.decision import BudgetDecision, GateDecision, OperationDecision
from weighbridge.domain.verdict import Verdict
from weighbridge.errors import Refusal, WeighbridgeError

BUDGET = "budget"
"""The row of what the caps said, below those of the validators."""

Found = tuple[str, str, str]
"""A validator (or the gateway, or the budget), a verdict and a reason."""


class Summary:
    """What a run came to. Nothing in it decides about anything but the exit code, and there WARN does not count (G7)."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, str, str]] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.tenants: set[str] = set()
        self.bad: int = 0
        self.refused: int = 0
        self.replayed: int = 0
        self.elsewhere: int = 0
        self.budgets: int = 0
        self.interrupted = False

    def count(self, answer: Decision | WeighbridgeError, policy_version: str | None) -> None:
        """Count one answer; ``policy_version`` is the one asked for."""
        if isinstance(answer, Refusal):
            self.refused += 1
        elif isinstance(answer, WeighbridgeError):
            self.bad += 1
        else:
            self.verdicts[answer.verdict.value] += 1
            self.tenants.add(answer.record.tenant_id)
            self.replayed += answer.replayed
            self.budgets += isinstance(answer, OperationDecision)
            self.elsewhere += answer.policy_version != policy_version
            self.results.update(_found(answer))

    @property
    def lines(self) -> int:
        """Return how many lines were answered."""
        return self.verdicts.total() + self.bad + self.refused

    @property
    def exit_code(self) -> int:
        """Return how the run ended. G7: a WARN ends it as an ALLOW does."""
        if self.interrupted:
            return output.INTERRUPTED
        if self.refused:  # not everything was judged, so nothing may be concluded
            return output.FAILED
        if self.verdicts["BLOCK"]:
            return output.BLOCKED
        return output.BAD_LINES if self.bad else output.OK

    def summarise(self, store: str) -> None:
        """Print the summary by validator and reason, and where the decisions are."""
        screen = output.console(error=True)
        if self.results:
            made = output.table("Validator", "Result", "Reason")
            made.add_column(f"{self._what.capitalize()}s", justify="right")
            for (validator, result, reason), count in sorted(self.results.items(), key=_defined_order):
                made.add_row(output.safe(validator), result, output.safe(reason), f"{count:,}", style=_style(result))
            screen.print(made)
        for sentence in self._sentences(store):
            screen.print(sentence, soft_wrap=True)

    @property
    def _what(self) -> str:
        """Return what a line is: a request, where some ask for their budget."""
        return "request" if self.budgets else "context"

    def _tenant_option(self) -> str:
        """Return what names the tenant to a command that reads one; where there is but one, it is found."""
        return " --tenant TENANT" if len(self.tenants) > 1 else ""

    def _sentences(self, store: str) -> Iterator[str]:
        total = self.verdicts.total()
        counts = ", ".join(f"{self.verdicts[key]:,} {word}" for key, word in _WORDS)
        bad = f"; {_counted(self.bad, 'bad line')}" if self.bad else ""
        yield f"{_counted(total, self._what)}: {counts}{bad}"
        if self.refused:
            yield f"{_counted(self.refused, self._what)} could not be recorded and so not judged; run the same command again"
        if self.interrupted:
            yield "interrupted; what was answered is on record, and the same command goes on from there"
        if self.elsewhere:
            yield (
                f"{_counted(self.elsewhere, 'decision')} on record under another policy than the one given, shown as recorded; "
                "another --store judges anew"
            )
        if self.refused:
            if total:
                yield (
                    f"{_counted(total, 'decision')} of this run, printed above, had been recorded before the store failed; "
                    f"whether `{output.safe(store)}` still holds them is not known: see to the store first"
                )
        elif total and store != ":memory:":
            new = total - self.replayed
            what = f"{_counted(new, 'new record')}" if new else "all of them on record before; nothing was appended"
            yield f"{output.safe(store)}: {what}"
            option = f"--store {output.safe(shlex.quote(store))}{self._tenant_option()}"
            yield f"explain one: {output.program()} why ID {option}"


def _found(decision: Decision) -> Iterator[Found]:
    gates = (decision,) if isinstance(decision, GateDecision) else decision.gates
    for gate in gates:
        yield from (("gateway", "BLOCK", found.reason) for found in gate.findings)
        yield from ((one.validator, one.result.value, one.reason) for one in gate.results)
    budget = None if isinstance(decision, GateDecision) else decision.budget
    if budget is not None:
        yield from _of_budget(budget)


def _of_budget(budget: BudgetDecision) -> Iterator[Found]:
    """Yield what decided, each reason once however many caps had it."""
    said = [(budget.verdict, budget.reason), *((Verdict.BLOCK, found.reason) for found in budget.findings)]
    said += [(cap.verdict, cap.reason) for cap in deciding(budget)]
    yield from ((BUDGET, verdict.value, reason) for verdict, reason in dict.fromkeys(said))


_WORDS = (("ALLOW", "allowed"), ("WARN", "warned"), ("BLOCK", "blocked"))
_ORDER = ("gateway", "freshness", "grounding", "contradiction", "compliance")
_SEVERITY = ("ALLOW", "WARN", "BLOCK")


def _defined_order(item: tuple[Found, int]) -> tuple[int, str, int, str]:
    """Order rows as they are asked: validators, custom ones after ours, then the budget; by severity."""
    validator, result, reason = item[0]
    asked = len(_ORDER) + (validator == BUDGET)
    place = _ORDER.index(validator) if validator in _ORDER else asked
    return place, validator, _SEVERITY.index(result), reason


def _style(verdict: str) -> str:
    return output.STYLES.get(verdict, "bold red") if verdict != "ALLOW" else ""


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
