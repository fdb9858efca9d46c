"""`weighbridge demo`: three renewals to defend, a plan for each from draft to end, told in a screen, and how to look closer."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from weighbridge.cli import output
from weighbridge.cli.plan.timeline import AS_BEFORE
from weighbridge.cli.stores import require_no_folder, tenant_or_default
from weighbridge.errors import LedgerCorrupt

if TYPE_CHECKING:
    from weighbridge.cli.plan.show import Looked
    from weighbridge.cli.plan.timeline import Moment
    from weighbridge.examples.renewals import Told

STORE = "weighbridge-demo.db"
FIRST_RENEWAL = 1001
INTRODUCTION = (
    "Three renewals are due. An agent drafts a plan for each, Maria decides, and every step is weighed, and paid for,\n"
    "before it is done. An approval weighs all steps at once: what contradicts the CRM by then never starts."
)
ACTS = frozenset({"STEP_SKIPPED", "PLAN_RESUMED", "PLAN_ABORTED"})
"""What is told of besides decisions."""


class Line(NamedTuple):
    """One thing that happened to one plan."""

    account: str
    what: str
    moment: Moment
    because: tuple[str, ...]
    done: bool | None
    """Whether a step was carried out; None where it is no step."""


def demo(
    *,
    store: Annotated[str, typer.Option(help="Where it is recorded; kept, and added to the next time.")] = STORE,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a screen to read.")] = False,
) -> None:
    """Defend three renewals: one goes as planned, one is warned of and runs out of budget, one is blocked.

    Everything happens on this machine, with made-up accounts. Running it again adds to the same ledger, because a ledger is
    not something one starts anew.
    """
    from weighbridge import wiring
    from weighbridge.cli.plan.show import look
    from weighbridge.examples import renewals
    from weighbridge.policy.loader import load_policy
    from weighbridge.storage.addresses import shown

    require_no_folder(store)
    tenant = tenant_or_default(None)
    around = wiring.system_surroundings()
    document = load_policy(renewals.policy_text(), "renewal_defense.yaml")
    place = shown(store)
    with wiring.open(document, store, surroundings=around) as wb:
        # What is on record about a plan stays (G8): another run, other renewals and other plans.
        first = FIRST_RENEWAL + wb.reader.head(tenant).seq
        told = renewals.tell(wb, tenant=tenant, now_ms=around.clock_ms(), first_number=first)
        plans = [(one, look(wb.reader, tenant, one.plan_id)) for one in told]
        checked = wb.verify(tenant)
    if not checked.ok:
        raise LedgerCorrupt(f"`{place}` does not verify; see `weighbridge ledger verify {place}`")
    lines = [line for one, found in plans for line in _lines(one, found)]
    if as_json:
        output.write_json(_document(line, place) for line in lines)
    else:
        _show(plans, lines, place, checked.records)


def _lines(told: Told, found: Looked) -> Iterator[Line]:
    """Yield what was decided about a plan and what a person did, each reason once."""
    ended = {(one.step_id, one.attempt): one.type for one in found.moments if one.type == "STEP_COMPLETED"}
    said: set[str] = set()
    for moment in found.moments:
        if moment.verdict is None and moment.type not in ACTS:
            continue
        of_step = moment.type in {"STEP_STARTED", "STEP_BLOCKED"}
        what = f"step {moment.step_id}" if of_step else moment.what.replace("`", "")
        by = f", by {moment.who}" if moment.type in ACTS | {"PLAN_APPROVED"} else ""
        because = tuple(one for one in moment.because if one not in said) or (AS_BEFORE,) * bool(moment.because)
        said.update(moment.because)
        done = (moment.step_id, moment.attempt) in ended if of_step else None
        yield Line(told.account.name, what + by, moment, because, done)


def _document(line: Line, store: str) -> dict[str, Any]:
    return {
        "account": line.account,
        "what": line.what,
        "type": line.moment.type,
        "step_id": line.moment.step_id,
        "verdict": line.moment.verdict,
        "because": list(line.moment.because),
        "words": line.moment.words,
        "done": line.done,
        "why": line.moment.why,
        "seq": line.moment.seq,
        "store": store,
    }


def _show(plans: list[tuple[Told, Looked]], lines: list[Line], store: str, records: int) -> None:
    from rich.text import Text

    screen = output.console()
    screen.print(INTRODUCTION)
    made = output.table("Account", "What happened", "Verdict", "Because", "Done")
    for told, found in plans:
        own = [line for line in lines if line.account == told.account.name]
        names = iter([told.account.name, told.plan_id, found.state.status.value])
        for line in own:
            verdict = line.moment.verdict or ""
            because = "\n".join(
                (*line.because, *([f"“{line.moment.words}”"] if line.moment.words and not verdict else []))
            )
            done = "" if line.done is None else "yes" if line.done else "no"
            made.add_row(next(names, ""), line.what, Text(verdict, style=output.STYLES.get(verdict, "")), because, done)
    screen.print(made)
    screen.print(
        f"All of it is on record in {store}: {records} records, and they verify. Ask it yourself:", soft_wrap=True
    )
    for command in _commands(lines, plans):
        screen.print(f"  {output.program()} {command} --store {shlex.quote(store)}", soft_wrap=True)


def _commands(lines: list[Line], plans: list[tuple[Told, Looked]]) -> Iterator[str]:
    """Yield the commands that explain: of each account the strictest decision, then everything."""
    for told, _ in plans:
        own = [line.moment for line in lines if line.account == told.account.name]
        for verdict in ("WARN", "BLOCK"):
            asked = [one.why for one in own if one.verdict == verdict and one.why is not None]
            yield from (f"why {identity}" for identity in asked[-1:])
    yield f"plan show {plans[1][0].plan_id}"
    yield "budget show"
    yield "ledger tail"
