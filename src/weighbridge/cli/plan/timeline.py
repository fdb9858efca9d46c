"""The life of a plan as moments, one for each record: what happened, who did it, the verdict, and why (B10, L4).

Everything comes from one story, that of the plan's id. Sentences are derived from recorded codes and details.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from weighbridge.ledger.story import Entry, Story

APPROVAL = "BEFORE_PLAN_APPROVAL"
REFUSED = "APPROVAL_BLOCKED"
"""Stands for the event that an approval that was blocked does not have."""

AS_BEFORE = "the same as before"


class Moment(NamedTuple):
    """One record of a plan.

    ``type`` is its event; ``what`` says it in words. ``verdict`` and ``because`` are of what was judged in it, and ``why`` the id
    to ask on with. ``acted``: ``who`` did it, and it did not follow by itself. ``words`` is the reason that was given; None where
    there is none, or it was erased.
    """

    seq: int
    at: str
    type: str
    what: str
    who: str
    verdict: str | None = None
    because: tuple[str, ...] = ()
    why: str | None = None
    acted: bool = False
    words: str | None = None
    step_id: str | None = None
    attempt: int | None = None

    def document(self) -> dict[str, Any]:
        """Return it as a JSON line has it."""
        return self._asdict()


def moments(story: Story) -> list[Moment]:
    """Return what happened to a plan, in order."""
    grouped = groupby(story.entries, lambda entry: entry.seq)
    return [moment for _, entries in grouped for moment in _moment(list(entries))]


def _moment(entries: Sequence[Entry]) -> Iterator[Moment]:
    judged = [entry for entry in entries if entry.type == "VALIDATOR_RUN_SUMMARY" or entry.type.startswith(_DECIDED)]
    telling = next((entry for entry in reversed(entries) if entry.type.startswith(("PLAN_", "STEP_"))), None)
    if telling is None and judged:
        yield _without_event(entries, judged)
        return
    telling = telling or next((entry for entry in entries if entry.type in _ALONE), None)
    if telling is not None:
        yield _of(telling, entries, judged, telling.type, _words(telling))


_ACTS = frozenset({"PLAN_CREATED", "PLAN_UPDATED", "PLAN_SUBMITTED", "PLAN_APPROVED", "PLAN_REJECTED", "STEP_SKIPPED"})
_DECIDED = ("BUDGET_RESERVE", "BUDGET_WARN", "BUDGET_BLOCK")
_ALONE = {
    "RETRY_AUTHORISED": "a retry is authorised",
    "CONTENT_ERASED": "content is erased",
    "OPERATION_COMPLETED": "what was called inside ended",
}


def _words(entry: Entry) -> str:
    from weighbridge.plans.sentences import told

    if entry.type in _ALONE:
        return _ALONE[entry.type]
    return told(entry.type, entry.fields | {"details": entry.details}, next(iter(entry.reasons), None))


def _without_event(entries: Sequence[Entry], judged: Sequence[Entry]) -> Moment:
    """Return what was judged and is no event of the plan: an approval that was blocked, or what a step called inside."""
    first = judged[0]
    if first.fields.get("choke_point") == APPROVAL:
        return _of(first, entries, judged, REFUSED, "approval refused: nothing changes")
    operation = first.fields.get("operation", first.fields.get("target_id", ""))
    return _of(first, entries, judged, "OPERATION", f"inside step `{first.fields.get('step_id', '')}`: {operation}")


def _of(entry: Entry, entries: Sequence[Entry], judged: Sequence[Entry], type_: str, what: str) -> Moment:
    said = entry.fields
    named = judged[0].fields if judged else {}
    return Moment(
        seq=entry.seq,
        at=entry.at,
        type=type_,
        what=what,
        who=str(entry.actor.get("id", "")),
        verdict=strictest_of(judged),
        because=tuple(dict.fromkeys(_because(entries))),
        why=named.get("operation_id") or named.get("validation_run_id"),
        acted=type_ in _ACTS or entry.words is not None,
        words=(entry.words or {}).get("text"),
        step_id=said.get("step_id"),
        attempt=said.get("attempt"),
    )


def strictest_of(judged: Iterable[Entry]) -> str | None:
    """Return the verdict of what was judged together; None where nothing was."""
    from weighbridge.domain.verdict import Verdict, strictest

    found = [Verdict(entry.verdict) for entry in judged if entry.verdict is not None]
    return strictest(found).value if found else None


def _because(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield a sentence for every reason that is no ALLOW."""
    from weighbridge.budgets import sentences
    from weighbridge.ledger.story import budget_of
    from weighbridge.validators.explain import explain

    for entry in entries:
        if entry.type == "VALIDATOR_RUN" and entry.verdict != "ALLOW":
            reason = next(iter(entry.reasons), "")
            said = {"validator": entry.fields.get("validator", ""), "result": entry.verdict}
            yield explain(said | {"reason": reason, "details": entry.details})
        elif entry.type == "VALIDATOR_RUN_SUMMARY":
            yield from (explain(finding) for finding in entry.findings)
        elif entry.type.startswith(_DECIDED):
            yield from sentences.explain(budget_of(entry))
