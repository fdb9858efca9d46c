"""`weighbridge plan run PLAN`: carry out one plan here and now, until it waits for somebody or has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.plan.acts import PlanArgument, host_of, line, standing, why_command
from weighbridge.cli.plan.hosts import AppOption, ConnectorOption, Host, PolicyOption, Where
from weighbridge.cli.stores import StoreOption, TenantOption

if TYPE_CHECKING:
    from weighbridge.orchestrator.interface import Advanced

JsonOrText = Annotated[
    bool | None, typer.Option("--json/--text", help="JSON lines, or words. Default: words on a terminal.")
]


def run(
    plan_id: PlanArgument,
    *,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: JsonOrText = None,
) -> None:
    """Carry out an approved plan until it waits for a person or has ended, and say what it waits for.

    Exit code 11 where a step is blocked. A worker does the same for all plans; beside one, this is refused.
    """
    where = Where(store, tenant, policy, app, tuple(connector or ()))
    with host_of(where) as host:
        lines = output.wants_json(as_json)
        with host.wb.orchestrator.alone.held():
            done = _advanced(host, plan_id, lines=lines)
        if lines:
            output.write_json([line(done.plan) | {"waits_for": done.waits_for}])
        else:
            output.console().print(output.safe(f"plan {plan_id} is {standing(done.plan)}"), soft_wrap=True)
    if done.plan.pause_reason == "STEP_BLOCKED" or _is_aborted_by_block(done):
        raise typer.Exit(output.BLOCKED)


def _is_aborted_by_block(done: Advanced) -> bool:
    return done.plan.status == "ABORTED" and any(step.status == "BLOCKED" for step in done.plan.steps)


def _advanced(host: Host, plan_id: str, *, lines: bool) -> Advanced:
    while True:
        done = host.wb.orchestrator.advance(host.tenant_id, plan_id)
        if done.waits_for is not None:
            return done
        if done.recorded and done.action == "RUN_STEP":
            _say_step(host, done, lines=lines)


def _say_step(host: Host, done: Advanced, *, lines: bool) -> None:
    from rich.text import Text

    from weighbridge.telling import sentences

    decision = done.decision
    if decision is None:
        return
    step = next(one for one in done.plan.steps if one.operation_id == decision.operation_id)
    because, verdict = sentences(decision), decision.verdict.value
    if lines:
        said: dict[str, Any] = {"step_id": step.step_id, "attempt": step.attempts, "operation": decision.operation}
        judged = {"verdict": verdict, "reasons": list(decision.reasons), "because": because}
        ended = {"status": step.status.value, "operation_id": decision.operation_id, "seq": decision.record.seq}
        output.write_json([said | judged | ended])
        return
    screen = output.console()
    head = Text(output.safe(f"{step.step_id}: ")).append(verdict, style=output.STYLES[verdict])
    screen.print(head.append(f", {step.status.value}" if step.status.value != "BLOCKED" else ""), soft_wrap=True)
    for sentence in because:
        screen.print(f"  {output.safe(sentence)}", soft_wrap=True)
    if verdict == "BLOCK":
        screen.print(f"  {why_command(decision.operation_id, host)}", style="dim", soft_wrap=True)
