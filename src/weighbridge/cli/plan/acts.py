"""What people do with plans, each one command, one record, and one line about how the plan stands then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.plan.hosts import (
    AppOption,
    AuthorRole,
    ByOption,
    ConnectorOption,
    Host,
    PersonRole,
    PolicyOption,
    ReasonOption,
    Where,
    opened,
    person,
)
from weighbridge.cli.stores import StoreOption, TenantOption
from weighbridge.errors import PlanRefused, UsageError

if TYPE_CHECKING:
    from weighbridge.domain.plan import PlanState
    from weighbridge.domain.principal import Principal
    from weighbridge.plan_acts import PlanApproval

PlanArgument = Annotated[str, typer.Argument(metavar="PLAN", help="A plan's id.")]
StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="A step's id.")]
RevisionOption = Annotated[
    int | None,
    typer.Option("--revision", help="Only if it is at this revision, as it was read.", show_default=False),
]
ApproverOption = Annotated[PersonRole, typer.Option("--role", help="As what; admin where the risk is high.")]
OperatorOption = Annotated[PersonRole, typer.Option("--role", help="As what.")]
AuthorOption = Annotated[AuthorRole, typer.Option("--role", help="As what.")]
OneLine = Annotated[
    bool | None, typer.Option("--json/--text", help="A JSON line, or words. Default: words on a terminal.")
]

EXPIRES_AFTER = "1d"


@contextmanager
def host_of(where: Where, *, create: bool = False) -> Iterator[Host]:
    """Open a Weighbridge, and put what the policy gate says in words.

    Raises:
        UsageError: the gate is against it; every reason on a line.
    """
    from weighbridge.plans.sentences import explain

    with opened(where, create=create) as host:
        try:
            yield host
        except PlanRefused as refused:
            if not refused.reasons:
                raise
            said = "\n".join(f"  {found['reason']}: {explain(found)}" for found in refused.reasons)
            raise UsageError(f"{refused.code}: plan `{refused.plan_id}`; nothing was recorded\n{said}") from None


def new(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The plan, JSON or YAML; - is stdin.")],
    *,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who brings it. Default: its proposer.", show_default=False),
    ] = None,
    role: AuthorOption = AuthorRole.OPERATOR,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Propose a plan: it is a DRAFT, and nothing of it happens before a person approved it. The same again is the same plan.

    Its snapshot, data sources and evidence count as stated by whoever runs this command, also with --role agent: give no file
    whose facts an agent wrote.
    """
    from weighbridge.cli.plan.documents import read_document

    document = read_document(file)
    with host_of(_where(store, tenant, policy, app, connector), create=True) as host:
        # A plan of another tenant is refused, and not quietly recorded there.
        tenant_id = host.tenant_id if tenant is not None or "tenant_id" not in document else None
        author = None if by is None else person(by, role)
        said, grounds = by_role(document, author)
        _say(host.wb.propose_plan(said, by=author, grounds=grounds, tenant_id=tenant_id), as_json)


def edit(
    plan_id: PlanArgument,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="The fields to replace, JSON or YAML; - is stdin. null leaves one out."),
    ],
    *,
    by: ByOption,
    role: AuthorOption = AuthorRole.OPERATOR,
    revision: RevisionOption = None,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Replace whole fields of a draft, or of an approved plan, whose approval that voids."""
    from weighbridge.cli.plan.documents import read_document

    changes, author = read_document(file), person(by, role)
    with host_of(_where(store, tenant, policy, app, connector)) as host:
        said, grounds = by_role(changes, author)
        state = host.wb.edit_plan(
            plan_id, said, by=author, revision=revision, grounds=grounds, tenant_id=host.tenant_id
        )
        _say(state, as_json)


def submit(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    role: AuthorOption = AuthorRole.OPERATOR,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Say that a draft is ready for approval."""
    author = person(by, role)
    with host_of(_where(store, tenant, policy, app, connector)) as host:
        _say(host.wb.submit_plan(plan_id, by=author, tenant_id=host.tenant_id), as_json)


def approve(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    revision: Annotated[
        int, typer.Option("--revision", help="The revision that was read; `plan show` has it. Another is not approved.")
    ],
    role: ApproverOption = PersonRole.APPROVER,
    reason: Annotated[str, typer.Option("--reason", help="Why, if there is something to say.")] = "",
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Have a plan weighed, and approve it unless that says BLOCK. A warning asks for nothing more.

    Exit code 11 where it is blocked: nothing has changed then, and every reason is told.
    """
    approver = person(by, role)
    with host_of(_where(store, tenant, policy, app, connector)) as host:
        done = host.wb.approve_plan(plan_id, by=approver, reason=reason, revision=revision, tenant_id=host.tenant_id)
        _say_approval(host, done, as_json)
    if not done.approved:
        raise typer.Exit(output.BLOCKED)


def reject(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    role: ApproverOption = PersonRole.APPROVER,
    policy: PolicyOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Record that a person does not approve a draft; it stays one, and is submitted anew."""
    _act(
        _where(store, tenant, policy, app), "reject_plan", plan_id, by=person(by, role), reason=reason, as_json=as_json
    )


def activate(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    role: OperatorOption = PersonRole.OPERATOR,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Ask again for an approved plan to become active, after it was refused once. Exit code 11 where it is refused again."""
    who = person(by, role)
    with host_of(_where(store, tenant, policy, app, connector)) as host:
        _started(host, host.wb.activate_plan(plan_id, by=who, tenant_id=host.tenant_id), as_json)


def pause(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    role: OperatorOption = PersonRole.OPERATOR,
    policy: PolicyOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Pause an active plan: what is running ends, and nothing starts."""
    _act(_where(store, tenant, policy, app), "pause_plan", plan_id, by=person(by, role), reason=reason, as_json=as_json)


def resume(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    role: OperatorOption = PersonRole.OPERATOR,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Let a paused plan go on; the step it was paused for gets one attempt more, or its human touch.

    Exit code 11 where the policy gate is against it: it stays paused, and every reason is told.
    """
    who = person(by, role)
    with host_of(_where(store, tenant, policy, app, connector)) as host:
        _started(host, host.wb.resume_plan(plan_id, by=who, reason=reason, tenant_id=host.tenant_id), as_json)


def abort(
    plan_id: PlanArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    role: OperatorOption = PersonRole.OPERATOR,
    policy: PolicyOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """End a plan for good. What an attempt that is running comes to is recorded, and moves nothing."""
    _act(_where(store, tenant, policy, app), "abort_plan", plan_id, by=person(by, role), reason=reason, as_json=as_json)


def skip(
    plan_id: PlanArgument,
    step_id: StepArgument,
    *,
    by: ByOption,
    reason: ReasonOption,
    role: OperatorOption = PersonRole.OPERATOR,
    policy: PolicyOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Leave a step out: it counts as done, and satisfies those dependents that accept it."""
    _act(
        _where(store, tenant, policy, app),
        "skip_step",
        plan_id,
        step_id,
        by=person(by, role),
        reason=reason,
        as_json=as_json,
    )


def authorise_retry(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="A run that was blocked, or an operation with such runs.")
    ],
    *,
    by: ByOption,
    reason: ReasonOption,
    role: ApproverOption = PersonRole.APPROVER,
    expires: Annotated[
        str, typer.Option("--expires", metavar="DURATION", help="For how long, as 4h or 2d.")
    ] = EXPIRES_AFTER,
    policy: PolicyOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    as_json: OneLine = None,
) -> None:
    """Permit one new judgement of what was blocked, with unchanged inputs (G8). It changes no verdict.

    With fresher data, other evidence or another policy none is needed. Of a step, the plan is resumed then.
    """
    who = person(by, role)
    with host_of(_where(store, tenant, policy, app)) as host:
        # The library takes the tenant of whoever authorises.
        owner = _of_tenant(who, host.tenant_id)
        expires_at = _after(expires)
        runs = _blocked_runs(host, identity)
        seqs = [host.wb.authorise_retry(run, by=owner, reason=reason, expires_at=expires_at) for run in runs]
    if output.wants_json(as_json):
        output.write_json(
            {"validation_run_id": run, "seq": seq, "expires_at": expires_at}
            for run, seq in zip(runs, seqs, strict=True)
        )
        return
    for run, seq in zip(runs, seqs, strict=True):
        output.console().print(
            output.safe(f"run {run} may be judged once more until {output.instant(expires_at)} UTC (record {seq})"),
            soft_wrap=True,
        )


def _where(
    store: str | None, tenant: str | None, policy: str | None, app: str | None, connector: list[str] | None = None
) -> Where:
    return Where(store, tenant, policy, app, tuple(connector or ()))


def _act(where: Where, method: str, *about: str, as_json: bool | None, **said: Any) -> None:
    """Do what takes a person and a reason, and say how the plan stands then."""
    with host_of(where) as host:
        act: Callable[..., PlanState] = getattr(host.wb, method)
        _say(act(*about, tenant_id=host.tenant_id, **said), as_json)


def by_role(document: dict[str, Any], author: Principal | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return what somebody brings, and apart from it the facts that an agent cannot state: this command does (Z5)."""
    from weighbridge.plan_acts import GROUNDS

    if author is None or author.person:
        return document, None
    grounds = {name: document[name] for name in GROUNDS if name in document}
    return {name: value for name, value in document.items() if name not in grounds}, grounds


# --- What is said -----------------------------------------------------------------------------------------------------


def line(state: PlanState) -> dict[str, Any]:
    """Return how a plan stands, as a JSON line has it."""
    from weighbridge.domain.instant import format_instant

    return {
        "plan_id": state.plan_id,
        "account_id": state.account_id,
        "plan_type": state.plan_type,
        "status": state.status.value,
        "submitted": state.submitted,
        "risk": state.risk.value,
        "expires_at": format_instant(state.expires_ms),
        "proposers": list(state.proposers),
        "approver": state.approver_id,
        "pause_reason": state.pause_reason,
        "pause_step": state.pause_step,
        "steps_done": sum(step.done for step in state.steps),
        "steps": len(state.steps),
        "revision": state.revision,
        "seq": state.seq,
    }


def standing(state: PlanState) -> str:
    """Return in words how a plan stands."""
    from weighbridge.plans.sentences import waits_for

    if state.pause_reason is not None:
        return f"{state.status} ({waits_for(state.pause_reason, state.pause_step)})"
    if state.status == "DRAFT" and state.submitted:
        return f"{state.status} (submitted for approval)"
    refused = state.status == "APPROVED" and state.refused
    return f"{state.status} (its activation was refused; `plan activate` asks again)" if refused else str(state.status)


def _say(state: PlanState, as_json: bool | None) -> None:
    if output.wants_json(as_json):
        output.write_json([line(state)])
        return
    said = f"plan {state.plan_id} is {standing(state)}: record {state.seq}, revision {state.revision}"
    output.console().print(output.safe(said), soft_wrap=True)


def _say_approval(host: Host, done: PlanApproval, as_json: bool | None) -> None:
    from weighbridge.telling import sentences

    decision, because = done.decision, sentences(done.decision)
    if output.wants_json(as_json):
        judged = {"verdict": decision.verdict.value, "reasons": list(decision.reasons), "because": because}
        output.write_json([line(done.plan) | judged | {"validation_run_id": decision.validation_run_id}])
        return
    from rich.text import Text

    screen, verdict = output.console(), decision.verdict.value
    head = f"plan {done.plan.plan_id} is {standing(done.plan)}: " if done.approved else f"plan {done.plan.plan_id}: "
    screen.print(Text(output.safe(head)).append(verdict, style=output.STYLES[verdict]), soft_wrap=True)
    for sentence in because:
        screen.print(f"  {output.safe(sentence)}", soft_wrap=True)
    if not done.approved:
        screen.print(f"It was not approved, and is {standing(done.plan)} as before.", soft_wrap=True)
    if because:
        screen.print(why_command(decision.validation_run_id, host), style="dim", soft_wrap=True)


def _started(host: Host, state: PlanState, as_json: bool | None) -> None:
    """Say how a plan stands that was to be ACTIVE; where it is not, why."""
    from weighbridge.plans.sentences import explain

    _say(state, as_json)
    refusals = _refusals(host, state)
    for found in refusals:
        output.note(f"  {found['reason']}: {explain(found)}")
    if refusals:
        raise typer.Exit(output.BLOCKED)


def _refusals(host: Host, state: PlanState) -> list[dict[str, Any]]:
    from weighbridge.ledger import record

    stored = host.wb.reader.record(host.tenant_id, state.seq)
    events = record.events(stored.body) if stored is not None else ()
    return [one for event in events if event.type == record.PLAN_ACTIVATION_REFUSED for one in event.fields["reasons"]]


def why_command(identity: str, host: Host) -> str:
    """Return the command that explains a decision, as it can be typed."""
    import shlex

    options = f"--store {shlex.quote(host.store)} --tenant {shlex.quote(host.tenant_id)}"
    return f"{output.program()} why {shlex.quote(identity)} {options}"


# --- Retries ----------------------------------------------------------------------------------------------------------


def _of_tenant(by: Principal, tenant_id: str) -> Principal:
    import msgspec

    return msgspec.structs.replace(by, tenant_id=tenant_id)


def _after(duration: str) -> str:
    from weighbridge import wiring
    from weighbridge.domain.instant import format_instant, parse_duration

    for_ms = parse_duration(duration)
    if not for_ms:
        raise UsageError(f"--expires {duration}: that is no duration; write 4h, 2d or 1d12h")
    return format_instant(wiring.system_surroundings().clock_ms() + for_ms)


def _blocked_runs(host: Host, identity: str) -> list[str]:
    """Return the blocked runs that an id names: itself, or those of an operation."""
    story = host.wb.why(identity, host.tenant_id)
    runs = [block.validation_run_id for block in story.blocks if block.validation_run_id is not None]
    if not {"run", "operation"} & set(story.kinds):
        raise UsageError(f"`{identity}` is no run and no operation; `weighbridge plan show PLAN` names them")
    if not runs:
        raise UsageError(f"nothing of `{identity}` was blocked by a validator; a budget needs room, not a permission")
    return runs
