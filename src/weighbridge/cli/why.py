"""`weighbridge why ID`: the whole story of a run, operation, plan, step or account, the answer first (L4).

Everything told here is read from the ledger; the sentences are derived from the recorded reasons and details.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import typer

from weighbridge.cli import output
from weighbridge.cli.stores import (
    EMPTY,
    ArchiveOption,
    JsonOption,
    StoreOption,
    TenantOption,
    other_tenants,
    reading_with,
    tenant_or_default,
)
from weighbridge.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.ledger.story import Block, BudgetBlock, Entry, Pending, Story
    from weighbridge.storage.reading import LedgerReader

REASONS_SHOWN_MAX = 10  # of a plan, a step, an account; --all prints every one
PENDING_SHOWN_MAX = 5
SAYS_WIDTH = 38  # an id and its word in one piece
HASH_LENGTH, HASH_SHOWN = 64, 12  # enough of a hash to recognise it; --json has all of it
WORDS = {"ALLOW": "ALLOWED", "WARN": "WARNED", "BLOCK": "BLOCKED"}
STATES = {
    "BLOCKED": "The call was not made. Its id is used up: to try with fresher data, take a new id.",
    "COMPLETED": "The call was made, and completed.",
    "FAILED": "The call was made, and failed.",
    "PENDING": "The call was allowed; how it ended is not on record (OUTCOME_UNKNOWN).",
}
BLOCKED_BY_BUDGET = "was reserved, under any cap. Its id is used up: to ask again, take a new id."
BUDGET_EVENTS = ("BUDGET_RESERVE", "BUDGET_WARN", "BUDGET_BLOCK")
JUDGING = frozenset({"VALIDATOR_RUN_SUMMARY", *BUDGET_EVENTS})
IDLE = "not applicable"
SETTLES_NOT = "no report of use gives any of it back"
NOT_STORED = "The call was made, and its target stores something else than was asked."
READ_BACK_FAILED = "its read-back failed, so it may be stored or not: look at the target before it is done again"
ASKED = "Weighbridge was asked; acting on the answer was the host's."


def why(
    identity: Annotated[str, typer.Argument(metavar="ID", help="A run, operation, plan, step or account id.")],
    *,
    plan: Annotated[
        str | None,
        typer.Option("--plan", help="The plan that a step is of; its id is unique there alone.", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every reason, and every validator, also where it had nothing to judge.")
    ] = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Tell why something was allowed, warned of or blocked, and everything on record about it."""
    with reading_with(store, archive) as reader:
        story = told(reader, tenant_or_default(tenant, reader), identity, plan)
    if output.wants_json(as_json):
        output.write_json([story.document() | {"because": because(story)}])
    else:
        screen = output.console()
        show_answer(screen, story, everything=everything)
        screen.print(timeline(story.entries, screen.width, folded=not everything))


def told(reader: LedgerReader, tenant_id: str, identity: str, plan_id: str | None = None) -> Story:
    """Return the story of an id; of a step's, in one plan.

    Raises:
        NotFound: no record knows it; the message says where else to look.
    """
    from weighbridge.ledger.story import tell

    try:
        with reader.snapshot() as moment:
            return tell(moment, tenant_id, identity, within=plan_id)
    except NotFound as error:
        others = other_tenants(reader, tenant_id)
        if not others and not reader.head(tenant_id).seq:
            raise NotFound(EMPTY) from None
        hint = f"; the store also holds {others}: choose one with --tenant" if others else ""
        raise NotFound(f"{error}{hint}") from None


class Reason(NamedTuple):
    """Why one decision is the story's verdict."""

    at: str
    operation: str
    identity: str
    sentences: list[str]


def because(story: Story) -> list[str]:
    """Return the sentences that answer "why": of the blocks where there are some, else of the warnings; the newest first."""
    return list(dict.fromkeys(sentence for reason in reasons(story) for sentence in reason.sentences))


def reasons(story: Story) -> list[Reason]:
    """Return the decisions that answer "why": the blocks where there are some, else the warnings.

    Of one operation or run in order; of a plan, a step or an account the newest first.
    """
    found = [
        _reason(story, block.seq, block.at, block.operation_id or block.validation_run_id, _of_block(story, block))
        for block in story.blocks
    ]
    if not story.blocks and story.verdict == "WARN":
        judging = [entry for entry in story.entries if entry.type in {"VALIDATOR_RUN", *BUDGET_EVENTS}]
        found = [
            _reason(story, entry.seq, entry.at, _id_of(entry), _warned(story, entry))
            for entry in judging
            if entry.verdict == "WARN"
        ]
    found = [reason for reason in found if reason.sentences]
    return found[::-1] if is_of_many(story) else found


def is_of_many(story: Story) -> bool:
    """Return whether the story is of many decisions: of a plan, a step, an account."""
    return sum((*story.runs.values(), *story.budgets.values())) > 1 and not {"run", "operation"} & set(story.kinds)


def _reason(story: Story, seq: int, at: str, identity: str | None, sentences: Iterator[str]) -> Reason:
    decided = (entry for entry in story.entries if entry.seq == seq and entry.type in JUDGING)
    return Reason(at, next((_what(entry) for entry in decided), ""), identity or "", list(sentences))


def _id_of(entry: Entry) -> str | None:
    found: str | None = entry.fields.get("operation_id") or entry.fields.get("validation_run_id")
    return found


def _what(entry: Entry) -> str:
    return str(entry.fields.get("operation", entry.fields.get("target_id", "")))


def _of_block(story: Story, block: Block) -> Iterator[str]:
    from weighbridge.validators.explain import explain

    if block.budget is None:
        yield from (explain(said) for said in (*block.findings, *block.results))
        return
    entry = next(one for one in story.entries if one.seq == block.seq and one.type == "BUDGET_BLOCK")
    yield from _budget_sentences(entry)
    if story.state is not None:  # of one operation; for an account, the days of long ago are no answer
        yield from _room_again(block.budget)


def _warned(story: Story, entry: Entry) -> Iterator[str]:
    from weighbridge.validators.explain import explain

    if entry.type == "VALIDATOR_RUN":
        yield explain(_result(entry))
    elif story.asked == entry.fields.get("operation_id") or "run" not in story.kinds:  # a run's warnings are its own
        yield from _budget_sentences(entry)


def _budget_sentences(entry: Entry) -> list[str]:
    from weighbridge.budgets import sentences
    from weighbridge.ledger.story import budget_of

    return sentences.explain(budget_of(entry))


def _room_again(budget: BudgetBlock) -> Iterator[str]:
    """Yield when the period of a cap that is used up ends; what can never fit fits no better then."""
    from weighbridge.domain.caps import parse_counter

    if any(cap["reason"] == "NEVER_FITS" for cap in budget.caps):
        return
    full = [cap for cap in budget.caps if cap["reason"] == "HARD_CAP_EXCEEDED"]
    for kind, key in sorted(budget.period.items()):
        named = [f"`{cap['cap']}`" for cap in full if parse_counter(cap["counter"]).period == key]
        if named and kind in budget.ends_at:
            ends = output.instant(budget.ends_at[kind])
            yield f"the {kind.lower()} that {' and '.join(named)} count{'s' if len(named) == 1 else ''} in ends {ends} UTC"


def show_answer(screen: Console, story: Story, *, everything: bool = False) -> None:
    """Print the verdict, why, and what became of it."""
    from rich.text import Text

    found, many = reasons(story), is_of_many(story)
    verdict = story.verdict
    head = Text()
    head.append(WORDS.get(verdict or "", "ON RECORD"), style=output.STYLES.get(verdict or "", "bold"))
    if many:
        head.append(_how_many(story, verdict or ""))  # a plan, a step, an account: some of many are the answer
    points = [*dict.fromkeys(entry.fields["choke_point"] for entry in _judging(story, verdict))]
    if verdict is not None and story.budgets.get(verdict):
        points.append("the budget")
    head.append(f" at {' and '.join(points)}" if points else "")
    head.append(" because" if found else "")
    screen.print(head)
    for line in _each_reason(found, everything=everything) if many else because(story):
        screen.print(f"  {output.safe(line)}")
    if story.pending and story.state is None:
        screen.print(output.safe(_without_outcome(story.pending)), style=output.STYLES["WARN"])
    for line in _circumstances(story):
        screen.print(output.safe(line), style="dim")
    for archived in story.archived:
        said = f"records of it are archived in {archived.place}; --archive FILE tells of them, too"
        screen.print(output.safe(said), style=output.STYLES["WARN"], soft_wrap=True)


def _each_reason(found: list[Reason], *, everything: bool) -> Iterator[str]:
    shown = found if everything else found[:REASONS_SHOWN_MAX]
    last = None
    for reason in shown:
        whose = " ".join(part for part in (output.instant(reason.at), reason.operation, reason.identity) if part)
        if whose != last:  # two warnings of one run
            yield f"{whose}:"
        last = whose
        yield from (f"  {sentence}" for sentence in reason.sentences)
    if len(found) > len(shown):
        yield f"and {len(found) - len(shown):,} before: --all"


def _without_outcome(pending: Sequence[Pending]) -> str:
    """Return which calls may or may not have happened, and what stays reserved for them."""
    calls = [f"{one.operation_id} ({_reserved(one)})" for one in pending[:PENDING_SHOWN_MAX]]
    more = ", …" if len(pending) > PENDING_SHOWN_MAX else ""
    count = "1 call has" if len(pending) == 1 else f"{len(pending):,} calls have"
    return f"{count} no outcome on record: {', '.join(calls)}{more}"


def _reserved(one: Pending) -> str:
    from weighbridge.budgets.sentences import amounts_text
    from weighbridge.domain.amounts import from_text

    return f"{amounts_text(from_text(one.reserved))} stay{'' if len(one.reserved) > 1 else 's'} reserved"


def _how_many(story: Story, verdict: str) -> str:
    parts = [
        f"{counts.get(verdict, 0):,} of {sum(counts.values()):,} {what}"
        for counts, what in ((story.runs, "runs"), (story.budgets, "budget decisions"))
        if counts
    ]
    return f", {' and '.join(parts)},"


def timeline(entries: Iterable[Entry], width: int, *, folded: bool = False) -> Table:
    """Return a table of events in order, one row each; in a narrow one, time and verdict have no columns of their own.

    ``folded`` tells of all the validators of a run that had nothing to judge in one row.
    """
    rows = [*(_folded(entries) if folded else entries)]
    return output.best(width, [partial(_timeline, rows, wide=wide) for wide in (True, False)])


def _folded(entries: Iterable[Entry]) -> Iterator[Entry]:
    for (_, idle), group in groupby(entries, lambda one: (one.seq, one.reasons == ("NOT_APPLICABLE",))):
        same = [*group]
        if not idle or len(same) == 1:
            yield from same
            continue
        names = ", ".join(entry.fields.get("validator", "") for entry in same)
        yield msgspec.structs.replace(same[0], fields=same[0].fields | {"validator": IDLE, "idle": names})


def _timeline(entries: Iterable[Entry], *, wide: bool) -> Table:
    columns = (
        ("Record", "Time (UTC)", "Event", "Verdict", "What it says") if wide else ("Record", "Event", "What it says")
    )
    made = output.table(*columns)
    made.columns[-1].min_width = SAYS_WIDTH if wide else None
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
    """Yield who asked for what, as far as it is the same in all of the story, and what became of it."""
    judged = [entry for entry in story.entries if entry.type in JUDGING]
    first = next(iter(judged), None)
    if first is not None:
        actor = _same(f"{one.actor.get('id', 'unknown')} ({one.actor.get('role', 'unknown')})" for one in judged)
        what = _same(_what(one) for one in judged)
        asked = " ".join(part for part in (what, f"by {actor}" if actor else "") if part)
        about = {name: _same(str(one.fields.get(key, "")) for one in judged) for name, key in _SUBJECTS}
        parts = [asked, *(f"{name} {value}" for name, value in about.items() if value and value != story.asked)]
        version = _same(one.fields["policy_version"] for one in judged)
        parts.append(f"policy {version[:HASH_SHOWN]}" if version else "")
        yield ", ".join(part for part in parts if part)
    if story.state is not None:
        yield from dict.fromkeys(_stated(entry) for entry in judged if entry.justification is not None)
        yield from _state(story, first)
    elif first is not None and "run" in story.kinds and first.fields.get("enforcement") == "asked":
        yield ASKED
    if "run" in story.kinds:
        yield from _budget_of_run(story)


def _same(values: Iterable[str]) -> str:
    """Return what all of them are; nothing where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _stated(entry: Entry) -> str:
    text = (entry.justification or {}).get("text")
    return f"stated reason: {'(erased)' if text is None else text}"


def _state(story: Story, first: Entry | None) -> Iterator[str]:
    """Yield what became of an operation; where the host acts itself, that is the host's to say."""
    budget_alone = bool(story.blocks) and all(block.budget is not None for block in story.blocks)
    if story.state == "BLOCKED" and budget_alone:
        executed = first is not None and first.fields.get("enforcement") == "executed"
        yield f"{'The call was not made, and nothing' if executed else 'Nothing'} {BLOCKED_BY_BUDGET}"
    elif story.state == "PENDING" and first is not None and first.fields.get("enforcement") == "asked":
        yield ASKED
    elif unconfirmed := _unconfirmed(story):
        yield from unconfirmed
    else:
        yield STATES.get(story.state or "", story.state or "")
        for one in story.pending:
            caps = " and ".join(f"`{cap}`" for cap in one.settles)
            settles = f"a report of use gives back what was not used of it to {caps}" if caps else SETTLES_NOT
            yield f"{_reserved(one)}; {settles}"


def _unconfirmed(story: Story) -> list[str]:
    """Return what became of a writeback that its read-back does not confirm; nothing of any other."""
    ended = next((one for one in story.entries if one.type == "OPERATION_COMPLETED" and one.reasons), None)
    if ended is None:
        return []
    made = NOT_STORED if ended.reasons == ("WRITE_NOT_STORED",) else "The call was made."
    return [made, *_said_of_writing(ended)]


def _budget_of_run(story: Story) -> Iterator[str]:
    """Yield where to look on, where a run was let through and the budget of its operation was not."""
    for entry in story.entries:
        if entry.type == "BUDGET_BLOCK" and entry.fields.get("operation_id") != story.asked:
            yield f"The budget of its operation {entry.fields.get('operation_id')} said BLOCK ({', '.join(entry.reasons)})."


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
    from weighbridge.plans.sentences import told as told_of_plan
    from weighbridge.validators.explain import explain

    match entry.type:
        case "VALIDATOR_RUN" if "idle" in entry.fields:
            yield f"{entry.fields['idle']}: nothing to judge"
        case "VALIDATOR_RUN":
            yield explain(_result(entry))
        case "VALIDATOR_RUN_SUMMARY":
            yield from (explain(finding) for finding in entry.findings)
            run_id, operation_id = entry.fields.get("validation_run_id", ""), entry.fields.get("operation_id")
            if operation_id is None or not run_id.startswith(f"{operation_id}:"):  # those follow from the operation's
                yield f"run {run_id}"
            if "retry_of" in entry.fields:
                yield f"the same proposal was blocked before, in run {entry.fields['retry_of']}"
        case "BUDGET_RESERVE" | "BUDGET_WARN" | "BUDGET_BLOCK":
            yield from _said_of_budget(entry)
        case "USAGE_REPORTED" | "BUDGET_SETTLE":
            yield from _said_of_use(entry)
        case "OPERATION_COMPLETED":
            yield from _said_by_entry(entry)
            yield from _said_of_writing(entry)
        case type_ if type_.startswith(_OF_PLANS):
            yield told_of_plan(type_, entry.fields | {"details": entry.details}, next(iter(entry.reasons), None))
            yield from _given(entry)
        case _:
            yield from _said_by_entry(entry)
            yield from _given(entry)


def _given(entry: Entry) -> Iterator[str]:
    """Yield who did what a person does, and the reason that was given."""
    if entry.words is not None:
        text = entry.words.get("text")
        yield f"{entry.actor.get('id', 'somebody')}: {'(erased)' if text is None else text}"


_OF_PLANS = ("PLAN_", "STEP_")


def _said_by_entry(entry: Entry) -> Iterator[str]:
    yield from (f"{key} {_short(entry.fields[key])}" for key in _TELLING if entry.fields.get(key) is not None)


def _said_of_writing(entry: Entry) -> Iterator[str]:
    """Yield what the read-back of a writeback found, with the values where they are still kept."""
    if entry.fields.get("compared") and not entry.fields.get("differs"):
        yield f"read back, and stored as asked: {', '.join(entry.fields['compared'])}"
    if "READ_BACK_FAILED" in entry.reasons:
        yield READ_BACK_FAILED
    values = (entry.read_back or {}).get("values")
    for field in entry.fields.get("differs", ()):
        if values is None:
            yield f"`{field}` is stored otherwise than asked (the values were erased)"
            continue
        stored = json.dumps(values["stored"][field], ensure_ascii=False) if field in values["stored"] else "nothing"
        yield f"`{field}` was asked as {json.dumps(values['asked'][field], ensure_ascii=False)}, and {stored} is stored"


def _said_of_budget(entry: Entry) -> Iterator[str]:
    from weighbridge.budgets import sentences
    from weighbridge.ledger.story import budget_of

    decision = budget_of(entry)
    operation, classes = decision.operation, f" ({decision.cost_class})" if decision.cost_class else ""
    yield f"{operation}{classes}: {sentences.summary(decision)}"
    if entry.justification is not None:
        yield _stated(entry)
    yield from sentences.explain(decision)


def _said_of_use(entry: Entry) -> Iterator[str]:
    from weighbridge.budgets.sentences import amounts_text, of_text
    from weighbridge.domain.amounts import from_text

    said = {name: from_text(entry.fields[name]) for name in _AMOUNTS if name in entry.fields}
    reserved = said.get("reserved", {})
    if "consumed" in said:
        used = (of_text(amount, reserved.get(unit), unit) for unit, amount in sorted(said["consumed"].items()))
        yield f"used {', '.join(used)}"
    if "overrun" in said:
        yield f"{amounts_text(said['overrun'])} more than was reserved"
    if "released" in said:
        yield f"gives back {amounts_text(said['released'])} to the periods it was reserved in"


_AMOUNTS = ("consumed", "overrun", "released", "reserved")


_TELLING = ("operation", "outcome", "error", "policy_version", "previous", "retry_of", "expires_at", "counts")


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    text = str(value)
    return text[:HASH_SHOWN] if len(text) == HASH_LENGTH else text
