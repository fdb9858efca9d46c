"""Judge recorded runs again, from the content they point to, and compare the bytes (G4).

Nothing is guessed: where content was erased, or the engine is another one, the answer says so and compares nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from weighbridge import canonical
from weighbridge.domain.context import OperationFacts, ValidationContext
from weighbridge.domain.decision import ValidatorResult
from weighbridge.domain.verdict import Verdict, strictest
from weighbridge.errors import NotFound
from weighbridge.gateway import ValidatorGateway, run_event, with_facts
from weighbridge.ledger.record import events
from weighbridge.policy.compile import compile_effective
from weighbridge.storage.reading import LedgerReader

_CONTEXT_FIELDS = (
    "account_id", "actor", "attempt", "choke_point", "evaluation_time", "operation_id", "plan_id", "step_id", "target_id",
    "validation_run_id",
)  # fmt: skip
_CONTENT_FIELDS = ("approved", "data_sources", "evidence", "plan", "proposal")

_RUN_FIELDS = ("type", "validator", "result", "reason", "details")


class Replayed(enum.StrEnum):
    """What judging again showed."""

    EQUAL = "EQUAL"
    DIFFERENT = "DIFFERENT"
    DIFFERENT_ENGINE = "DIFFERENT_ENGINE"
    CONTENT_ERASED = "CONTENT_ERASED"


class RunReplay(msgspec.Struct, frozen=True):
    """One run judged again.

    ``differs`` names the validators whose bytes are not those on record; ``content.<name>`` where content is not what its hash
    says; ``order`` and ``verdict`` where those of the run are not what follows from the results.
    """

    validation_run_id: str
    seq: int
    outcome: Replayed
    verdict: str
    differs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def replay(
    reader: LedgerReader, gateway: ValidatorGateway, tenant_id: str, run_id: str | None = None
) -> Iterator[RunReplay]:
    """Yield every recorded run of a tenant judged again, or the runs of one id, in ledger order.

    ``run_id`` may be a run or an operation id.

    Raises:
        NotFound: no run under that id.
    """
    first, last = 1, None
    if run_id is not None:
        known = reader.identity(tenant_id, "run", run_id) or reader.identity(tenant_id, "op", run_id)
        if known is None:
            raise NotFound(f"no run or operation `{run_id}` is on record for tenant `{tenant_id}`")
        first = last = known.seq
    judge = _Judge(reader, gateway, tenant_id, reader.tenant_key(tenant_id))
    for stored in reader.records(tenant_id, first, last):
        recorded: list[dict[str, Any]] = []
        for event in events(stored.body):
            if event.type == "VALIDATOR_RUN":
                recorded.append({"type": event.type} | event.fields)
            elif event.type == "VALIDATOR_RUN_SUMMARY":
                yield judge.again(stored.seq, recorded, event.fields)
                recorded = []


class _Judge(msgspec.Struct, frozen=True):
    """Judges runs of one tenant again."""

    reader: LedgerReader
    gateway: ValidatorGateway
    tenant_id: str
    key: bytes

    def again(self, seq: int, recorded: list[dict[str, Any]], summary: dict[str, Any]) -> RunReplay:
        run_id, verdict = summary["validation_run_id"], summary["result"]
        bodies = {
            name: self.reader.content(self.tenant_id, content_hash) for name, content_hash in summary["content"].items()
        }
        missing = tuple(sorted(name for name, body in bodies.items() if body is None))
        if missing:
            return RunReplay(run_id, seq, Replayed.CONTENT_ERASED, verdict, missing=missing)
        altered = tuple(sorted(f"content.{name}" for name, body in bodies.items() if not self._is(body, summary, name)))
        if altered:  # what was judged is not there any more; `verify` names it too
            return RunReplay(run_id, seq, Replayed.DIFFERENT, verdict, altered)
        content = {name: canonical.decode(body) for name, body in bodies.items() if body is not None}
        engine = self.gateway.engine(compile_effective(content["policy"]), self.key)
        if engine.version != summary["engine_version"]:
            return RunReplay(run_id, seq, Replayed.DIFFERENT_ENGINE, verdict)
        results = self.gateway.judge(_context(content, summary, self.tenant_id), engine)
        differs = _differences(results, [run_event(result, self.key) for result in results], recorded, summary)
        return RunReplay(run_id, seq, Replayed.DIFFERENT if differs else Replayed.EQUAL, verdict, differs)

    def _is(self, body: bytes | None, summary: dict[str, Any], name: str) -> bool:
        """Return whether content is what its hash says."""
        return body is not None and canonical.keyed_hash(self.key, body) == summary["content"][name]


def _differences(
    results: Sequence[ValidatorResult],
    judged: Sequence[dict[str, Any]],
    recorded: Sequence[dict[str, Any]],
    summary: dict[str, Any],
) -> tuple[str, ...]:
    """Return what of a record does not follow from judging again: results by validator, else their order, else the verdict."""
    now = {event["validator"]: canonical.encode(event) for event in judged}
    then = {fields["validator"]: canonical.encode({name: fields[name] for name in _RUN_FIELDS}) for fields in recorded}
    differs = tuple(sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)))
    if differs:
        return differs
    if [event["validator"] for event in judged] != [fields["validator"] for fields in recorded]:
        return ("order",)  # G1: all, once each, in one order
    follows = Verdict.BLOCK if summary["findings"] else strictest(result.result for result in results)
    return () if follows == summary["result"] else ("verdict",)


def _context(content: dict[str, Any], summary: dict[str, Any], tenant_id: str) -> ValidationContext:
    """Return the context that was judged, put together from content and record."""
    document = {name: summary[name] for name in _CONTEXT_FIELDS if name in summary}
    document |= {name: content[name] for name in _CONTENT_FIELDS if name in content}
    if "snapshot" in content:
        document["snapshot"] = {"fields": content["snapshot"]}
    context = msgspec.convert(document | {"tenant_id": tenant_id}, ValidationContext)
    facts = msgspec.convert(content["operations"], dict[str, OperationFacts])
    return with_facts(context, facts.get)
