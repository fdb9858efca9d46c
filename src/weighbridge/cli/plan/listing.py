"""`weighbridge plan list`: the plans there are, and what each waits for."""

from __future__ import annotations

from typing import Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.plan.acts import line, standing
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, reading, tenant_or_default
from weighbridge.domain.plan import PlanStatus


def list_plans(
    *,
    status: Annotated[
        list[PlanStatus] | None,
        typer.Option("--status", case_sensitive=False, help="Only these; may be repeated.", show_default=False),
    ] = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = None,
) -> None:
    """Show the plans of a tenant, by id: how each stands, how far it is, and until when it has time."""
    with reading(store) as reader, reader.snapshot() as moment:
        tenant_id = tenant_or_default(tenant, moment)
        states = list(moment.plans(tenant_id, tuple(one.value for one in status or ())))
    if output.wants_json(as_json):
        output.write_json(line(state) for state in states)
        return
    if not states:
        output.note(f"tenant `{tenant_id}` has no plans{' of that status' if status else ''}")
        return
    made = output.table("Plan", "Account", "Type", "Status", "Steps", "Risk", "Expires (UTC)")
    for state in states:
        said = line(state)
        cells = (said["plan_id"], said["account_id"], said["plan_type"], standing(state))
        done = f"{said['steps_done']} of {said['steps']}"
        made.add_row(*map(output.safe, cells), done, said["risk"], output.instant(said["expires_at"])[:16])
    output.console().print(made)
