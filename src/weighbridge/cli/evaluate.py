"""`weighbridge evaluate POLICY CONTEXTS…`: judge recorded requests, one JSON object a line, and put every decision on record.

Promise: one answer for every line that is not blank, in order, on record before it is printed; a line that is no context is
answered with what is wrong with it, and the rest is done; a second run over the same lines appends nothing and prints the
same decisions. Contexts are judged at the time they bring along, or at the clock's where they bring none.
"""

from __future__ import annotations

import contextlib
import enum
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import tenant_or_default
from weighbridge.errors import IdempotencyConflict, Refusal, WeighbridgeError

if TYPE_CHECKING:
    from rich.table import Table

    from weighbridge.cli.lines import Line, Source
    from weighbridge.domain.decision import GateDecision
    from weighbridge.policy.document import PolicyDocument
    from weighbridge.runtime import Weighbridge

SHOWN_MAX = 20  # rows of a table for people; whoever wants all of them takes JSON lines
TAG_LENGTH = 8
ID_WIDTH = 36  # of a UUID
PLACE_WIDTH = 24


class AskedAs(enum.StrEnum):
    """Who states the contexts (Z5)."""

    HOST = "host"
    AGENT = "agent"


def evaluate(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="The policy, YAML or JSON.")],
    contexts: Annotated[
        list[str],
        typer.Argument(metavar="CONTEXTS…", help="Files, one JSON object a line, gzipped or not; - is stdin."),
    ],
    *,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where decisions are recorded: a file, or `:memory:`. Default: beside the first file, one per policy."
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Judge for this tenant alone. Default: the tenant each context names.")
    ] = None,
    asked_as: Annotated[
        AskedAs, typer.Option("--as", help="Who states the contexts: a host states facts, an agent may not.")
    ] = AskedAs.HOST,
    as_json: Annotated[
        bool | None, typer.Option("--json/--table", help="JSON lines, or tables. Default: tables on a terminal.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add a sentence for every reason to the JSON lines.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar and no summary.")] = False,
) -> None:
    """Judge contexts under a policy, one decision a line, all of them on record.

    Exit code 0 when nothing is blocked, 11 when something is, 3 when lines were bad and none blocked, 2 for usage.
    """
    from weighbridge import wiring
    from weighbridge.cli.lines import Source
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal

    document = wiring.load_document(policy)
    place = store or default_store(contexts[0], document, asked_as)
    principal = Principal(id=wiring.LOCAL_HOST.id, role=Role(asked_as.value), tenant_id=tenant)
    lines = output.wants_json(as_json)
    show = _Lines(explain=explain) if lines else _Rows()
    with contextlib.ExitStack() as opened:
        sources = [opened.enter_context(contextlib.closing(Source(name))) for name in contexts]
        wb = opened.enter_context(wiring.open(document, place, principal=principal, purpose="evaluation"))
        salt = "" if asked_as is AskedAs.HOST else asked_as.value
        run = _Evaluation(wb, document, tenant=None if tenant else tenant_or_default(None), salt=salt)
        # On a terminal the lines themselves show how far it is.
        run.over(sources, show, watched=not quiet and not (lines and sys.stdout.isatty()))
    show.close()
    if not quiet:
        run.tally.summarise(place)
    raise typer.Exit(run.tally.exit_code)


def default_store(first: str, document: PolicyDocument, asked_as: AskedAs) -> str:
    """Return the store beside the first file, named for what judges: policy, engine and whose word counts.

    A record answers for its id whatever the policy says later (G3), so another policy gets another file, and an edit of the
    policy is never answered with what the old one said.
    """
    from weighbridge import canonical, wiring

    engine = wiring.make_gateway().engine(document.effective(None), b"").version
    judged_by = canonical.encode([document.written(), engine, asked_as.value])
    name = "stdin" if first == "-" else first
    return f"{name}.{canonical.sha256_hex(judged_by)[:TAG_LENGTH]}.weighbridge.db"


class _Tally:
    """What a run came to. Nothing in it decides about anything but the exit code, and there WARN does not count (G7)."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, str, str]] = Counter()
        self.verdicts: Counter[str] = Counter()
        self.tenants: set[str] = set()
        self.bad = self.refused = self.replayed = self.elsewhere = 0
        self.interrupted = False

    def count(self, answer: GateDecision | WeighbridgeError, policy_version: str | None) -> None:
        """Count one answer; ``policy_version`` is the one asked for."""
        if isinstance(answer, Refusal):
            self.refused += 1
        elif isinstance(answer, WeighbridgeError):
            self.bad += 1
        else:
            self.verdicts[answer.verdict.value] += 1
            self.tenants.add(answer.record.tenant_id)
            self.replayed += answer.replayed
            self.elsewhere += answer.policy_version != policy_version
            self.results.update(("gateway", "BLOCK", found.reason) for found in answer.findings)
            self.results.update((one.validator, one.result.value, one.reason) for one in answer.results)

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
            made.add_column("Contexts", justify="right")
            for (validator, result, reason), count in sorted(self.results.items(), key=_defined_order):
                made.add_row(output.safe(validator), result, output.safe(reason), f"{count:,}", style=_style(result))
            screen.print(made)
        for sentence in self._sentences(store):
            screen.print(sentence, soft_wrap=True)

    def _tenant_option(self) -> str:
        """Return what names the tenant to a command that reads one; where there is but one, it is found."""
        return " --tenant TENANT" if len(self.tenants) > 1 else ""

    def _sentences(self, store: str) -> Iterator[str]:
        total = self.verdicts.total()
        counts = ", ".join(f"{self.verdicts[key]:,} {word}" for key, word in _WORDS)
        bad = f"; {_counted(self.bad, 'bad line')}" if self.bad else ""
        yield f"{_counted(total, 'context')}: {counts}{bad}"
        if self.refused:
            yield f"{_counted(self.refused, 'context')} could not be recorded and so not judged; run the same command again"
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


class _Evaluation:
    """One run over all sources, a batch at a time."""

    def __init__(self, wb: Weighbridge, document: PolicyDocument, *, tenant: str | None, salt: str) -> None:
        """``tenant`` is for contexts that name none; ``salt`` is `Identifier`'s."""
        from weighbridge.cli.lines import Identifier

        self.tally = _Tally()
        self._wb = wb
        self._document = document
        self._tenant = tenant
        self._identifier = Identifier(salt)
        self._versions: dict[str, str] = {}

    def over(self, sources: Sequence[Source], show: _Lines | _Rows, *, watched: bool) -> None:
        """Judge every line of every source; stop where the store cannot record, or at an interrupt."""
        try:
            size = sum(source.size for source in sources) if all(source.size for source in sources) else 0
            with output.progress(size, "contexts", wanted=watched) as advance:
                for source in sources:
                    for batch in source.batches():
                        self._judge(source, batch, show)
                        advance(sum(source.position for source in sources), self.tally.lines)
                        if self.tally.refused:  # a store that cannot record is asked no further
                            return
        except KeyboardInterrupt:
            self.tally.interrupted = True

    def _judge(self, source: Source, batch: list[Line], show: _Lines | _Rows) -> None:
        from weighbridge.cli.lines import read

        documents = [self._named(read(self._identifier, line)) for line in batch]
        judged = iter(self._wb.gate_many([one for one in documents if isinstance(one, dict)]))
        answered = []
        for line, document in zip(batch, documents, strict=True):
            if isinstance(document, dict):
                answer, identity = next(judged), document["validation_run_id"]
            else:
                answer, identity = document, None
            self.tally.count(answer, self._version(answer))
            answered.append((line.number, identity, answer))
        show.answers(source.name, answered)

    def _named(self, document: dict[str, Any] | WeighbridgeError) -> dict[str, Any] | WeighbridgeError:
        """Return a context with the tenant it is judged for, where the line leaves that open."""
        if isinstance(document, dict) and self._tenant is not None and document.get("tenant_id") is None:
            document["tenant_id"] = self._tenant
        return document

    def _version(self, answer: GateDecision | WeighbridgeError) -> str | None:
        """Return the policy version that judges the answer's tenant today."""
        if isinstance(answer, WeighbridgeError):
            return None
        tenant_id = answer.record.tenant_id
        if tenant_id not in self._versions:
            self._versions[tenant_id] = self._document.effective(tenant_id).policy_version
        return self._versions[tenant_id]


_Answers = Sequence[tuple[int, Any, "GateDecision | WeighbridgeError"]]


class _Lines:
    """Answers for programs: one JSON line each, as `docs/reference/cli.md` describes it."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain

    def answers(self, name: str, answered: _Answers) -> None:
        """Print a batch of answers."""
        output.write_json(
            {"file": name, "line": number} | self._answer(identity, answer) for number, identity, answer in answered
        )

    def close(self) -> None:
        """Have nothing left to print."""

    def _answer(self, identity: Any, answer: GateDecision | WeighbridgeError) -> dict[str, Any]:
        if isinstance(answer, WeighbridgeError):
            known = {"id": output.safe(str(identity))} if isinstance(answer, IdempotencyConflict | Refusal) else {}
            code = {"refused": answer.code} if isinstance(answer, Refusal) else {}
            return known | code | {"error": output.safe(str(answer))}
        return decision_line(answer) | ({"explanations": sentences(answer)} if self._explain else {})


class _Rows:
    """Answers for people: a table of what was not simply allowed, the first ones of it."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []
        self._more = 0

    def answers(self, name: str, answered: _Answers) -> None:
        """Keep the answers worth a look."""
        for number, _, answer in answered:
            if isinstance(answer, WeighbridgeError):
                self._row(name, number, "ERROR", str(answer), "")
            elif answer.verdict.value != "ALLOW":
                self._row(name, number, answer.verdict.value, "\n".join(sentences(answer)), answer.validation_run_id)

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
            made.add_row(place, verdict, *cells, style=_style(verdict))
        return made


def decision_line(decision: GateDecision) -> dict[str, Any]:
    """Return what a decision line says of a decision."""
    stated: dict[str, Any] = {
        "id": decision.validation_run_id,
        "tenant_id": decision.record.tenant_id,
        "choke_point": decision.choke_point.value,
        "verdict": decision.verdict.value,
        "reasons": list(decision.reasons),
        "findings": [found.reason for found in decision.findings],
        "results": [
            {"validator": one.validator, "result": one.result.value, "reason": one.reason} for one in decision.results
        ],
        "evaluation_time": decision.evaluation_time,
        "policy_version": decision.policy_version,
        "engine_version": decision.engine_version,
        "seq": decision.record.seq,
        "hash": decision.record.hash,
        "replayed": decision.replayed,
    }
    return stated | ({"retry_of": decision.retry_of} if decision.retry_of else {})


def sentences(decision: GateDecision) -> list[str]:
    """Return one sentence for every reason that is not an ALLOW, the gateway's own first."""
    from weighbridge.validators.explain import explain

    worth_saying: list[Any] = [*decision.findings]
    worth_saying += [result for result in decision.results if result.result.value != "ALLOW"]
    return [explain(one) for one in worth_saying]


_WORDS = (("ALLOW", "allowed"), ("WARN", "warned"), ("BLOCK", "blocked"))
_ORDER = ("gateway", "freshness", "grounding", "contradiction", "compliance")
_SEVERITY = ("ALLOW", "WARN", "BLOCK")


def _defined_order(item: tuple[tuple[str, str, str], int]) -> tuple[int, str, int, str]:
    """Order rows as validators run, custom ones last, then by severity."""
    validator, result, reason = item[0]
    place = _ORDER.index(validator) if validator in _ORDER else len(_ORDER)
    return place, validator, _SEVERITY.index(result), reason


def _style(verdict: str) -> str:
    return output.STYLES.get(verdict, "bold red") if verdict != "ALLOW" else ""


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
