"""`weighbridge replay`: judge recorded runs again from what is on record, and say whether the bytes are the same (G4)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import ArchiveOption, JsonOption, StoreOption, TenantOption, reading_with, tenant_or_default
from weighbridge.errors import UsageError

if TYPE_CHECKING:
    from weighbridge.replay import RunReplay

SHOWN_MAX = 20
MEANINGS = {
    "EQUAL": "judged again, byte for byte the same",
    "DIFFERENT": "judged again, and it came out differently",
    "DIFFERENT_ENGINE": "judged by another engine; run this with the version it was judged by",
    "CONTENT_ERASED": "what it was judged from has been erased; nothing is guessed",
}


def replay(
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="A run or operation id.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every run of the tenant.")] = False,
    store: StoreOption = None,
    tenant: TenantOption = None,
    archive: ArchiveOption = None,
    as_json: JsonOption = None,
) -> None:
    """Judge recorded runs again and compare the bytes.

    Exit code 0 when every run whose content is still there came out equal, 4 otherwise.
    """
    from weighbridge import wiring
    from weighbridge.replay import replay as judge_again

    if (identity is None) is not everything:
        raise UsageError("say which run or operation to judge again, or --all")
    lines = output.wants_json(as_json)
    outcomes: Counter[str] = Counter()
    shown = output.table("Run", "Record", "Verdict", "Outcome", "Which")
    with reading_with(store, archive) as reader:
        tenant_id = tenant_or_default(tenant, reader)
        total = reader.head(tenant_id).seq if everything else 0
        with output.progress(total, "runs") as advance:
            for one in judge_again(reader, wiring.make_gateway(), tenant_id, identity):
                outcomes[one.outcome.value] += 1
                if lines:
                    output.write_json([line(one)])
                elif one.outcome.value != "EQUAL" and shown.row_count < SHOWN_MAX:
                    shown.add_row(*_row(one), style="bold red" if one.outcome.value == "DIFFERENT" else "yellow")
                advance(one.seq, outcomes.total())
    if not lines and shown.row_count:
        output.console().print(shown)
    _summarise(outcomes, tenant_id, identity, to_error=lines)
    raise typer.Exit(output.NOT_PROVED if outcomes["DIFFERENT"] or outcomes["DIFFERENT_ENGINE"] else output.OK)


def line(one: RunReplay) -> dict[str, Any]:
    """Return what a JSON line says of one run."""
    return {
        "id": one.validation_run_id,
        "seq": one.seq,
        "verdict": one.verdict,
        "outcome": one.outcome.value,
        "differs": list(one.differs),
        "missing": list(one.missing),
    }


def _row(one: RunReplay) -> tuple[str, ...]:
    which = ", ".join((*one.differs, *one.missing))
    return output.safe(one.validation_run_id), str(one.seq), one.verdict, one.outcome.value, output.safe(which)


def _summarise(outcomes: Counter[str], tenant_id: str, identity: str | None, *, to_error: bool) -> None:
    screen = output.console(error=to_error)
    if not outcomes and identity is not None:
        screen.print(
            output.safe(f"operation {identity} asked for its budget alone, and no run is to be judged again; ")
            + "`weighbridge budget reconcile` checks budgets",
            soft_wrap=True,
        )
    elif not outcomes:
        screen.print(output.safe(f"no runs are on record for tenant {tenant_id}"))
    for outcome, meaning in MEANINGS.items():
        if outcomes[outcome]:
            screen.print(f"{outcomes[outcome]:,} {outcome}: {meaning}", soft_wrap=True)
