"""`weighbridge why ID`: the whole story of a run, operation, plan, step or account, the answer first (L4).

Everything told here is read from the ledger; the sentences are derived from the recorded reasons and details.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, reading, tenant_or_default
from weighbridge.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.ledger.story import Entry, Story
    from weighbridge.storage.reading import LedgerReader

TENANTS_NAMED_MAX = 5
HASH_LENGTH, HASH_SHOWN = 64, 12  # enough of a hash to recognise it; --json has all of it
WORDS = {"ALLOW": "ALLOWED", "WARN": "WARNED", "BLOCK": "BLOCKED"}
STATES = {
    "BLOCKED": "The call was not made. Its id is used up: to try with fresher data, take a new id.",
    "COMPLETED": "The call was made, and completed.",
    "FAILED": "The call was made, and failed.",
    "PENDING": "The call was allowed; how it ended is not on record (OUTCOME_UNKNOWN).",
}
ASKED = "Weighbridge was asked; acting on the answer was the host's."


def why(
    identity: Annotated[str, typer.Argument(metavar="ID", help="A run, operation, plan, step or account id.")],
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Tell why something was allowed, warned of or blocked, and everything on record about it."""
    with reading(store) as reader:
        story = told(reader, tenant_or_default(tenant, reader), identity)
    if output.wants_json(as_json):
        output.write_json([story.document() | {"because": because(story)}])
    else:
        screen = output.console()
        show_answer(screen, story)
        screen.print(timeline(story.entries, screen.width))


def told(reader: LedgerReader, tenant_id: str, identity: str) -> Story:
    """Return the story of an id.

    Raises:
        NotFound: no record knows it; the message says where else to look.
    """
    from weighbridge.ledger.story import tell

    try:
        with reader.snapshot() as moment:
            return tell(moment, tenant_id, identity)
    except NotFound as error:
        others = [name for name in reader.tenants() if name != tenant_id]
        more = ", …" if len(others) > TENANTS_NAMED_MAX else ""
        named = ", ".join(f"`{name}`" for name in others[:TENANTS_NAMED_MAX])
        hint = f"; the store also holds {named}{more}: choose one with --tenant" if others else ""
        raise NotFound(f"{error}{hint}") from None


def because(story: Story) -> list[str]:
    """Return the sentences that answer "why": of the blocks where there are some, else of the warnings."""
    from weighbridge.validators.explain import explain

    stated: list[Mapping[str, Any]] = [said for block in story.blocks for said in (*block.findings, *block.results)]
    if not stated:
        runs = (entry for entry in story.entries if entry.type == "VALIDATOR_RUN")
        stated = [_result(entry) for entry in runs if entry.verdict == "WARN"]
    return list(dict.fromkeys(explain(said) for said in stated))


def show_answer(screen: Console, story: Story) -> None:
    """Print the verdict, why, and what became of it."""
    from rich.text import Text

    reasons = because(story)
    verdict = story.verdict
    head = Text()
    head.append(WORDS.get(verdict or "", "ON RECORD"), style=output.STYLES.get(verdict or "", "bold"))
    total = sum(story.runs.values())
    if total > 1 and story.state is None:  # a plan, a step, an account: many runs, of which some are the answer
        head.append(f", {story.runs.get(verdict or '', 0)} of {total} runs,")
    points = dict.fromkeys(entry.fields["choke_point"] for entry in _judging(story, verdict))
    head.append(f" at {' and '.join(points)}" if points else "")
    head.append(" because" if reasons else "")
    screen.print(head)
    for reason in reasons:
        screen.print(f"  {output.safe(reason)}")
    for line in _circumstances(story):
        screen.print(output.safe(line), style="dim")


def timeline(entries: Iterable[Entry], width: int) -> Table:
    """Return a table of events in order, one row each; in a narrow one, time and verdict have no columns of their own."""
    wide = width >= output.WIDTH_WIDE
    columns = (
        ("Record", "Time (UTC)", "Event", "Verdict", "What it says") if wide else ("Record", "Event", "What it says")
    )
    made = output.table(*columns)
    previous = None
    for entry in entries:
        first = entry.seq != previous
        previous = entry.seq
        verdict = entry.verdict or ""
        seq, at = (str(entry.seq), output.instant(entry.at)) if first else ("", "")
        event, said = output.safe(_event(entry)), [output.safe(sentence) for sentence in _said(entry)]
        style = output.STYLES[verdict] if verdict in {"WARN", "BLOCK"} else ""
        if wide:
            made.add_row(seq, at, event, verdict, "\n".join(said), style=style)
            continue
        if first:
            made.add_row(seq, at, "")
        beside = (
            "  " if entry.type == "VALIDATOR_RUN" else "\n"
        )  # a summary says ids, which stay whole on lines of their own
        made.add_row("", event, beside.join(part for part in (verdict, "\n".join(said)) if part), style=style)
    return made


def _judging(story: Story, verdict: str | None) -> Iterator[Entry]:
    """Yield the summaries that have the story's verdict."""
    return (entry for entry in story.entries if entry.type == "VALIDATOR_RUN_SUMMARY" and entry.verdict == verdict)


def _circumstances(story: Story) -> Iterator[str]:
    """Yield who asked for what, and what became of it."""
    first = next((entry for entry in story.entries if entry.type == "VALIDATOR_RUN_SUMMARY"), None)
    if first is not None:
        said = first.fields
        actor = f"{first.actor.get('id', 'unknown')} ({first.actor.get('role', 'unknown')})"
        parts = [f"{said.get('operation', said.get('target_id', ''))} by {actor}"]
        parts += [f"{name} {said[key]}" for name, key in _SUBJECTS if key in said and said[key] != story.asked]
        parts.append(f"policy {said['policy_version'][:HASH_SHOWN]}")
        yield ", ".join(parts)
    if story.state is not None:
        yield STATES.get(story.state, story.state)
    elif first is not None and len(story.runs) == 1 and first.fields.get("enforcement") == "asked":
        yield ASKED


_SUBJECTS = (("account", "account_id"), ("plan", "plan_id"), ("step", "step_id"), ("operation", "operation_id"))


def _result(entry: Entry) -> dict[str, Any]:
    reason = entry.reasons[0] if entry.reasons else ""
    validator = entry.fields.get("validator", "")
    return {"validator": validator, "result": entry.verdict, "reason": reason, "details": entry.details}


def _event(entry: Entry) -> str:
    if entry.type == "VALIDATOR_RUN":
        return f"  {entry.fields.get('validator', '')}"
    if entry.type == "VALIDATOR_RUN_SUMMARY":
        return f"{entry.fields.get('choke_point', '')}"
    return entry.type


def _said(entry: Entry) -> Iterator[str]:
    from weighbridge.validators.explain import explain

    match entry.type:
        case "VALIDATOR_RUN":
            yield explain(_result(entry))
        case "VALIDATOR_RUN_SUMMARY":
            yield from (explain(finding) for finding in entry.findings)
            run_id, operation_id = entry.fields.get("validation_run_id", ""), entry.fields.get("operation_id")
            if operation_id is None or not run_id.startswith(f"{operation_id}:"):  # those follow from the operation's
                yield f"run {run_id}"
            if "retry_of" in entry.fields:
                yield f"the same proposal was blocked before, in run {entry.fields['retry_of']}"
        case _:
            yield from (f"{key} {_short(entry.fields[key])}" for key in _TELLING if entry.fields.get(key) is not None)


_TELLING = ("operation", "outcome", "error", "policy_version", "previous", "retry_of", "expires_at", "counts")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    text = str(value)
    return text[:HASH_SHOWN] if len(text) == HASH_LENGTH else text
