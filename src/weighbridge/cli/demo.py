"""`weighbridge demo`: three renewals on a store of their own, told in about a screen, and the commands to look closer."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import tenant_or_default
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
    """Let an agent work on three renewals: one offer is allowed, one warned of, one blocked.

    Everything happens on this machine, with made-up accounts. Running it again adds to the same ledger, because a ledger is
    not something one starts anew.
    """
    from weighbridge import wiring
    from weighbridge.examples import renewals
    from weighbridge.policy.loader import load_policy

    tenant = tenant_or_default(None)
    around = wiring.system_surroundings()
    document = load_policy(renewals.policy_text(), "renewals.yaml")
    with wiring.open(document, store, surroundings=around) as wb:
        # A proposal that was blocked before is not judged again without leave (G8): another run, other renewals.
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
        "discount_percent": told.account.discount_percent,
        "verdict": told.decision.verdict.value,
        "reasons": list(told.decision.reasons),
        "offer_made": told.offer_made,
        "operation_id": told.decision.operation_id,
        "seq": told.decision.record.seq,
        "store": store,
    }


def _show(told: list[Told], store: str, blocked: Story, records: int) -> None:
    from rich.text import Text

    from weighbridge.cli.why import show_answer

    screen = output.console()
    screen.print("Three renewals, one agent, one policy. Every call is weighed before it is made.\n")
    made = output.table("Account", "The agent offers", "Verdict", "Because", "CRM")
    for one in told:
        verdict = one.decision.verdict.value
        offer = f"{one.account.discount_percent} % on {one.renewal_id}"
        written = "offer made" if one.offer_made else "not called"
        made.add_row(one.account.name, offer, Text(verdict, style=output.STYLES[verdict]), _because(one), written)
    screen.print(made)
    option = f"--store {shlex.quote(store)}"
    call = output.program()
    screen.print(Text(f"$ {call} why {blocked.asked} {option}", style="bold"), soft_wrap=True)
    show_answer(screen, blocked)
    screen.print(
        f"\nAll of it is on record in {store}: {records} records, and they verify. Ask it yourself:", soft_wrap=True
    )
    for one in told:
        screen.print(f"  {call} why {one.decision.operation_id} {option}", soft_wrap=True)
    screen.print(f"  {call} ledger tail {option}", soft_wrap=True)


def _because(told: Told) -> str:
    """Return the sentences of what stands out, each once, though two choke points found it."""
    from weighbridge.cli.evaluate import sentences

    found = dict.fromkeys(sentence for gate in told.decision.gates for sentence in sentences(gate))
    return "\n".join(found) or "the data is fresh, the renewal is open, the offer within the limit"
