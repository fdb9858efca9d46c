"""`weighbridge evaluate POLICY CONTEXTS…`: judge recorded requests, one JSON object a line, and put every decision on record.

A line asks a choke point, the budget, or both (a ``budget`` beside a choke point). Promise: one answer for every line that is
not blank, in order, on record before it is printed; a line that is no context is answered with what is wrong with it, and the
rest is done; a second run over the same lines appends nothing, counts nothing twice and prints the same decisions. Contexts
are judged at the time they bring along, or at the clock's where they bring none.
"""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import require_no_folder, tenant_or_default
from weighbridge.errors import WeighbridgeError

if TYPE_CHECKING:
    from weighbridge.cli.evaluate_answers import Decision, Lines, Rows
    from weighbridge.cli.lines import Line, Source
    from weighbridge.policy.document import PolicyDocument
    from weighbridge.runtime import Weighbridge

TAG_LENGTH = 8


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
    from weighbridge.cli.evaluate_answers import Lines, Rows
    from weighbridge.cli.lines import Source
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal
    from weighbridge.storage.addresses import shown

    document = wiring.load_document(policy)
    place = store or default_store(contexts[0], document, asked_as)
    require_no_folder(place)
    principal = Principal(id=wiring.LOCAL_HOST.id, role=Role(asked_as.value), tenant_id=tenant)
    lines = output.wants_json(as_json)
    show = Lines(explain=explain) if lines else Rows()
    with contextlib.ExitStack() as opened:
        sources = [opened.enter_context(contextlib.closing(Source(name))) for name in contexts]
        wb = opened.enter_context(wiring.open(document, place, principal=principal, purpose="evaluation"))
        salt = "" if asked_as is AskedAs.HOST else asked_as.value
        run = _Evaluation(wb, document, tenant=None if tenant else tenant_or_default(None), salt=salt)
        # On a terminal the lines themselves show how far it is.
        run.over(sources, show, watched=not quiet and not (lines and sys.stdout.isatty()))
    show.close()
    if not quiet:
        run.tally.summarise(shown(place))
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


class _Evaluation:
    """One run over all sources, a batch at a time."""

    def __init__(self, wb: Weighbridge, document: PolicyDocument, *, tenant: str | None, salt: str) -> None:
        """``tenant`` is for contexts that name none; ``salt`` is `Identifier`'s."""
        from weighbridge.cli.evaluate_summary import Summary
        from weighbridge.cli.lines import Identifier

        self.tally = Summary()
        self._wb = wb
        self._document = document
        self._tenant = tenant
        self._identifier = Identifier(salt)
        self._versions: dict[str, str] = {}

    def over(self, sources: Sequence[Source], show: Lines | Rows, *, watched: bool) -> None:
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

    def _judge(self, source: Source, batch: list[Line], show: Lines | Rows) -> None:
        from weighbridge.cli.lines import identity_of, read

        documents = [self._named(read(self._identifier, line)) for line in batch]
        judged = iter(self._wb.answer_many([one for one in documents if isinstance(one, dict)]))
        answered = []
        for line, document in zip(batch, documents, strict=True):
            if isinstance(document, dict):
                answer, identity = next(judged), identity_of(document)
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

    def _version(self, answer: Decision | WeighbridgeError) -> str | None:
        """Return the policy version that judges the answer's tenant today."""
        if isinstance(answer, WeighbridgeError):
            return None
        tenant_id = answer.record.tenant_id
        if tenant_id not in self._versions:
            self._versions[tenant_id] = self._document.effective(tenant_id).policy_version
        return self._versions[tenant_id]
