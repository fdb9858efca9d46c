"""`weighbridge demo`: three renewals and a budget on a store of their own, told in a screen, and how to look closer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import require_no_folder, tenant_or_default
from weighbridge.errors import LedgerCorrupt

if TYPE_CHECKING:
    from weighbridge.examples.renewals import Told
    from weighbridge.ledger.story import Story

STORE = "weighbridge-demo.db"
FIRST_RENEWAL = 1001


def demo(
    *,
    store: Annotated[str, typer.Option(help="Where it is recorded; kept, and added to the next time.")] = STORE,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a screen to read.")] = False,
) -> None:
    """Let an agent work on three renewals: one offer is allowed, one warned of, one blocked, and a budget runs out.

    Everything happens on this machine, with made-up accounts. Running it again adds to the same ledger, because a ledger is
    not something one starts anew.
    """
    from weighbridge import wiring
    from weighbridge.examples import renewals
    from weighbridge.policy.loader import load_policy

    require_no_folder(store)
    tenant = tenant_or_default(None)
    around = wiring.system_surroundings()
    document = load_policy(renewals.policy_text(), "renewals.yaml")
    with wiring.open(document, store, surroundings=around) as wb:
        # A proposal that was blocked before is not judged again without leave (G8): another run, other renewals and another plan.
        first = FIRST_RENEWAL + wb.reader.head(tenant).seq
        told = renewals.tell(wb, tenant=tenant, now_ms=around.clock_ms(), first_number=first)
        checked = wb.verify(tenant)
        blocked = wb.why(told[-1].decision.operation_id, tenant)
    if not checked.ok:
        raise LedgerCorrupt(f"`{store}` does not verify; see `weighbridge ledger verify {store}`")
    if as_json:
        output.write_json(_line(one, store) for one in told)
    else:
        _show(told, store, blocked, checked.records)


def _line(told: Told, store: str) -> dict[str, Any]:
    return {
        "account": told.account.name,
        "renewal_id": told.renewal_id,
        "operation": told.decision.operation,
        "wish": told.wish,
        "verdict": told.decision.verdict.value,
        "reasons": list(told.decision.reasons),
        "done": told.done,
        "operation_id": told.decision.operation_id,
        "seq": told.decision.record.seq,
        "store": store,
    }


def _show(told: list[Told], store: str, blocked: Story, records: int) -> None:
    from rich.text import Text

    from weighbridge.cli.why import show_answer

    screen = output.console()
    screen.print("Three renewals, one agent, one policy. Every call is weighed, and paid for, before it is made.")
    made = output.table("Account", "The agent wants", "Verdict", "Because", "Done")
    account = None
    for one in told:
        verdict = one.decision.verdict.value
        name, account = "" if one.account.name == account else one.account.name, one.account.name
        made.add_row(
            name, one.wish, Text(verdict, style=output.STYLES[verdict]), _because(one), "yes" if one.done else "no"
        )
    screen.print(made)
    option = f"--store {shlex.quote(store)}"
    call = output.program()
    screen.print(Text(f"$ {call} why {blocked.asked} {option}", style="bold"), soft_wrap=True)
    show_answer(screen, blocked)
    screen.print(
        f"\nAll of it is on record in {store}: {records} records, and they verify. Ask it yourself:", soft_wrap=True
    )
    for one in told:
        if one.decision.verdict.value != "ALLOW" and one.decision.operation_id != blocked.asked:
            screen.print(f"  {call} why {one.decision.operation_id} {option}", soft_wrap=True)
    screen.print(f"  {call} budget show {option}", soft_wrap=True)
    screen.print(f"  {call} ledger tail {option}", soft_wrap=True)


def _because(told: Told) -> str:
    """Return the sentences of what stands out; where nothing does, how far its caps are used."""
    from weighbridge.budgets.sentences import of_text
    from weighbridge.cli.evaluate_answers import sentences

    said = sentences(told.decision)
    if not said and told.decision.budget is not None:
        caps = told.decision.budget.caps
        said = [f"cap `{cap.cap}`: {of_text(cap.usage_after or 0, cap.hard_cap, cap.unit)} used" for cap in caps]
    return "\n".join(said)
