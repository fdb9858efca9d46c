"""`weighbridge plan show PLAN`: how a plan stands, its whole life as a timeline, what it spent, and how to ask on."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from weighbridge.cli import output
from weighbridge.cli.plan.acts import PlanArgument, line, standing
from weighbridge.cli.plan.timeline import AS_BEFORE, REFUSED, Moment, moments
from weighbridge.cli.stores import (
    ArchiveOption,
    JsonOption,
    StoreOption,
    TenantOption,
    other_tenants,
    reading_with,
    store_or_default,
    tenant_or_default,
)
from weighbridge.errors import NotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from weighbridge.domain.plan import Plan, PlanState, StepState
    from weighbridge.ledger.story import Story
    from weighbridge.storage.reading import LedgerReader

ASKED_ON_MAX = 6  # commands that explain; the timeline and --json have all ids
WAYS_OUT: dict[str, tuple[str, ...]] = {
    "STEP_BLOCKED": ("authorise", "resume", "skip", "abort"),
    "BY_PERSON": ("resume", "abort"),
    "HUMAN_TOUCH_REQUIRED": ("resume", "skip", "abort"),
    "DEPENDENCY_UNMET": ("skip", "abort"),
}
_WAYS_OUT = ("resume", "skip", "abort")


class Spend(NamedTuple):
    """What a plan reserved in one unit, less what was given back, and what was reported as really used."""

    unit: str
    reserved: int
    used: int | None


class CapStand(NamedTuple):
    """How far a cap of this plan alone is used, as its last decision said."""

    cap: str
    unit: str
    usage: int
    hard_cap: int | None
    verdict: str


class Looked(NamedTuple):
    """A plan as the ledger has it at one moment. ``plan`` None: its document was erased."""

    state: PlanState
    plan: Plan | None
    story: Story
    moments: list[Moment]
    spends: list[Spend]
    caps: list[CapStand]


def show(
    plan_id: PlanArgument,
    *,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Draw the timeline of a plan: every transition, decision and act of a person, why, and what it spent.

    JSON lines are one `{"plan": …}`, an `{"event": …}` for each record, and a `{"spend": …}` for each unit.
    """
    with reading_with(store, archive) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        found = look(reader, tenant_id, plan_id)
    if output.wants_json(as_json):
        output.write_json(_lines(found))
        return
    options = f"--store {shlex.quote(store_or_default(store))} --tenant {shlex.quote(tenant_id)}"
    _show(output.console(), found, options)


def look(reader: LedgerReader, tenant_id: str, plan_id: str) -> Looked:
    """Return a plan with its story.

    Raises:
        NotFound: there is none; the message says where else to look.
    """
    from weighbridge.ledger.story import tell

    with reader.snapshot() as moment:
        state = moment.plan(tenant_id, plan_id)
        if state is None:
            others = other_tenants(moment, tenant_id)
            hint = f"; the store also holds {others}: choose one with --tenant" if others else ""
            raise NotFound(
                f"tenant `{tenant_id}` has no plan `{plan_id}`; `weighbridge plan list` shows those there are{hint}"
            )
        story = tell(moment, tenant_id, plan_id)
        spends = list(_spends(moment, tenant_id, plan_id, story))
        return Looked(state, _document(moment, tenant_id, state), story, moments(story), spends, _caps(story, plan_id))


def _document(reader: LedgerReader, tenant_id: str, state: PlanState) -> Plan | None:
    from weighbridge.plans.document import open_plan

    try:
        return open_plan(lambda name: reader.content(tenant_id, name), state.plan_hash, reader.tenant_key(tenant_id))
    except NotFound:
        return None


# --- What it spent ----------------------------------------------------------------------------------------------------


def _spends(reader: LedgerReader, tenant_id: str, plan_id: str, story: Story) -> Iterator[Spend]:
    from weighbridge.domain.amounts import from_text
    from weighbridge.ledger.reserving import parse_cell

    reserved: dict[str, int] = {}
    for name, consumption in reader.consumption(tenant_id):
        if parse_cell(name).plan == plan_id:
            for unit, amount in consumption.reserved.items():
                reserved[unit] = reserved.get(unit, 0) + amount - consumption.settled.get(unit, 0)
    used: dict[str, int] = {}
    for entry in story.entries:
        if entry.type == "USAGE_REPORTED":
            for unit, amount in from_text(entry.fields["consumed"]).items():
                used[unit] = used.get(unit, 0) + amount
    for unit in sorted(reserved):
        yield Spend(unit, reserved[unit], used.get(unit))


def _caps(story: Story, plan_id: str) -> list[CapStand]:
    """Return how far the caps are used that count this plan alone; every decision under them is in its story."""
    from weighbridge.domain.caps import parse_counter
    from weighbridge.ledger.story import budget_of

    found: dict[str, CapStand] = {}
    for entry in story.entries:
        if not entry.type.startswith("BUDGET_") or entry.type == "BUDGET_SETTLE":
            continue
        for cap in budget_of(entry).caps:
            if ("plan", plan_id) not in parse_counter(cap.counter).scope:
                continue
            moved = entry.verdict != "BLOCK" and cap.usage_after is not None
            usage = cap.usage_after if moved and cap.usage_after is not None else cap.usage_before
            worst = (
                "BLOCK"
                if "BLOCK" in {cap.verdict.value, getattr(found.get(cap.cap), "verdict", "")}
                else cap.verdict.value
            )
            found[cap.cap] = CapStand(cap.cap, cap.unit, usage, cap.hard_cap, worst)
    return list(found.values())


# --- JSON -------------------------------------------------------------------------------------------------------------


def _lines(found: Looked) -> Iterator[dict[str, Any]]:
    import msgspec

    steps = [msgspec.to_builtins(step) | {"status": step.status.value} for step in found.state.steps]
    objective = None if found.plan is None else found.plan.objective
    yield {"plan": line(found.state) | {"objective": objective, "steps": steps}}
    for moment in found.moments:
        yield {"event": moment.document()}
    for spend in found.spends:
        used = None if spend.used is None else str(spend.used)
        yield {"spend": {"unit": spend.unit, "reserved": str(spend.reserved), "used": used}}


# --- Tables -----------------------------------------------------------------------------------------------------------


def _show(screen: Console, found: Looked, options: str) -> None:
    from rich.text import Text

    state = found.state
    head = Text(f"{output.safe(state.plan_id)}  ", style="bold")
    screen.print(head.append(output.safe(standing(state)), style=_style_of(state)), soft_wrap=True)
    for said in _headlines(found):
        screen.print(output.safe(said), style="dim", soft_wrap=True)
    screen.print(_steps_table(screen, found))
    screen.print(timeline(screen, found.moments))
    for said in _spent(found):
        screen.print(output.safe(said), soft_wrap=True)
    for archived in found.story.archived:
        said = f"records of it are archived in {archived.place}; --archive FILE tells of them, too"
        screen.print(output.safe(said), style=output.STYLES["WARN"], soft_wrap=True)
    for title, commands in (("Why", _asking_on(found, options)), ("What a person can do", _ways_out(found, options))):
        if commands:
            screen.print(f"\n{title}:")
            for command in commands:
                screen.print(f"  {command}", soft_wrap=True)


def _style_of(state: PlanState) -> str:
    styles = {"COMPLETED": output.STYLES["ALLOW"], "PAUSED": output.STYLES["WARN"], "ABORTED": output.STYLES["BLOCK"]}
    return styles.get(state.status.value, "bold")


def _headlines(found: Looked) -> Iterator[str]:
    from weighbridge.domain.instant import format_instant

    state = found.state
    goal = "(its document was erased)" if found.plan is None else found.plan.objective
    expires = output.instant(format_instant(state.expires_ms))[:16]
    about = f"{state.plan_type} for account {state.account_id}, risk {state.risk}"
    yield f"{goal}: {about}, expires {expires} UTC, revision {state.revision}"
    approved = f", approved by {state.approver_id} ({state.approver_role})" if state.approver_id is not None else ""
    yield f"proposed by {' and '.join(state.proposers)}{approved}"


def _steps_table(screen: Console, found: Looked) -> Table:
    return output.best(screen.width, [partial(_steps, found, wide=wide) for wide in (True, False)])


def _steps(found: Looked, *, wide: bool) -> Table:
    from rich.text import Text

    made = output.table(
        *(("Step", "Operation", "Class", "Risk", "Verdict", "Status") if wide else ("Step", "Verdict", "Status"))
    )
    for step in found.state.steps:
        verdict = _verdict_of(step, found.moments)
        between = (output.safe(step.operation), step.cost_class or "", step.risk.value) if wide else ()
        made.add_row(
            output.safe(step.step_id), *between, Text(verdict, style=output.STYLES.get(verdict, "")), _status_of(step)
        )
    return made


def _verdict_of(step: StepState, told: Iterable[Moment]) -> str:
    own = (one.verdict for one in told if one.step_id == step.step_id and one.attempt == step.attempts and one.verdict)
    return next(own, "")


def _status_of(step: StepState) -> str:
    tries = f", attempt {step.attempts}" if step.attempts > 1 else ""
    reason = f" ({step.reason})" if step.reason not in {None, step.status.value} else ""
    return f"{step.status}{reason}{tries}"


def timeline(screen: Console, told: Sequence[Moment]) -> Table:
    """Return a table of moments in order: when, what, by whom, the verdict, and why."""
    return output.best(screen.width, [partial(_timeline, told, wide=wide) for wide in (True, False)])


def _timeline(told: Sequence[Moment], *, wide: bool) -> Table:
    from rich.text import Text

    made = output.table(
        *(("Time (UTC)", "What happened", "Verdict", "Because") if wide else ("What happened", "Because"))
    )
    said_before: set[str] = set()
    for moment in told:
        new = [said for said in moment.because if said not in said_before]
        said_before.update(new)
        sentences = new or [AS_BEFORE] * bool(moment.because)
        because = "\n".join(output.safe(said) for said in (*sentences, *_in_words(moment)))
        what = output.safe(moment.what) + (f", by {output.safe(moment.who)}" if moment.acted else "")
        style = output.STYLES.get(moment.verdict or "", "")
        if wide:
            made.add_row(output.instant(moment.at), what, Text(moment.verdict or "", style=style), because)
        else:
            verdict = f"{moment.verdict} " if moment.verdict else ""
            made.add_row(f"{output.instant(moment.at)}\n{what}", f"{verdict}{because}")
    return made


def _in_words(moment: Moment) -> tuple[str, ...]:
    return () if moment.words is None else (f"“{moment.words}”",)


def _spent(found: Looked) -> Iterator[str]:
    from weighbridge.budgets.sentences import of_text
    from weighbridge.domain.amounts import shown

    for spend in found.spends:
        used = "" if spend.used is None else f", of which {shown(spend.used, spend.unit)} were used"
        yield f"spent: {shown(spend.reserved, spend.unit)} reserved{used}"
    for cap in found.caps:
        yield f"cap {cap.cap}: {of_text(cap.usage, cap.hard_cap, cap.unit)} used" + (
            ", and something did not fit" if cap.verdict == "BLOCK" else ""
        )


# --- How to go on -----------------------------------------------------------------------------------------------------


def _asking_on(found: Looked, options: str) -> list[str]:
    """Return the commands that explain the blocks, then the warnings, the newest first."""
    asked: dict[str, str] = {}
    for verdict in ("BLOCK", "WARN"):
        for moment in reversed(found.moments):
            if moment.verdict == verdict and moment.why is not None:
                asked.setdefault(moment.why, f"{verdict.lower()}, {_about(moment)}")
    shown = [
        f"{output.program()} why {shlex.quote(output.safe(identity))} {options}   # {output.safe(about)}"
        for identity, about in list(asked.items())[:ASKED_ON_MAX]
    ]
    left = len(asked) - len(shown)
    return shown + (
        [f"# and {left} more: `weighbridge why {shlex.quote(output.safe(found.state.plan_id))} --all`"] if left else []
    )


def _about(moment: Moment) -> str:
    return "the approval" if moment.type in {REFUSED, "PLAN_APPROVED"} else f"step {moment.step_id}"


def _ways_out(found: Looked, options: str) -> list[str]:
    """Return the commands that a person can go on with where a plan is paused."""
    state = found.state
    if state.status.value != "PAUSED":
        return []
    call, plan = f"{output.program()} plan", shlex.quote(output.safe(state.plan_id))
    said = f"--by NAME --reason TEXT {options}"
    waiting = state.step(state.pause_step)
    step = None if waiting is None or waiting.done else shlex.quote(output.safe(waiting.step_id))
    commands = {
        "authorise": _authorise(found, f"{call} authorise-retry", said),
        "resume": f"{call} resume {plan} {said}",
        "skip": None if step is None else f"{call} skip {plan} {step} {said}",
        "abort": f"{call} abort {plan} {said}",
    }
    ways = WAYS_OUT.get(state.pause_reason or "", _WAYS_OUT)
    return [command for way in ways if (command := commands[way]) is not None]


def _authorise(found: Looked, call: str, said: str) -> str | None:
    """Return the command that permits another judgement of the step that is in the way, where validators blocked it."""
    step = found.state.step(found.state.pause_step)
    by_validators = [block for block in found.story.blocks if block.validation_run_id is not None]
    if step is None or step.operation_id not in {block.operation_id for block in by_validators}:
        return None
    return f"{call} {shlex.quote(output.safe(str(step.operation_id)))} {said}"
