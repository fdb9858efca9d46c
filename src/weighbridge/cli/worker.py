"""`weighbridge worker`: carry out the plans of a store until it is stopped."""

from __future__ import annotations

import enum
from contextlib import ExitStack
from typing import Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.plan.hosts import AppOption, ConnectorOption, PolicyOption, Where, opened
from weighbridge.cli.stores import StoreOption, TenantOption


class EngineName(enum.StrEnum):
    """What drives plans."""

    LOCAL = "local"
    DBOS = "dbos"


def worker(
    *,
    engine: Annotated[
        EngineName, typer.Option("--engine", help="One worker of a store, or many on PostgreSQL.")
    ] = EngineName.LOCAL,
    policy: PolicyOption = None,
    connector: ConnectorOption = None,
    app: AppOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
) -> None:
    """Carry out all approved plans of a store, step by step, until SIGTERM or SIGINT; then the running attempt ends first.

    What is approved or resumed meanwhile is found by itself. Killed at any point, the next worker goes on where it was. With
    `local`, a second worker of the same store is refused; `dbos` shares the plans of a PostgreSQL store among many.
    """
    from weighbridge import wiring

    with opened(Where(store, tenant, policy, app, tuple(connector or ()))) as host, ExitStack() as held:
        made = wiring.local_engine(host.wb) if engine is EngineName.LOCAL else wiring.dbos_engine(host.wb)
        if engine is EngineName.LOCAL:  # before it is said that we work
            held.enter_context(host.wb.orchestrator.alone.held())
        output.note(f"carrying out the plans of {host.store}; SIGTERM or Ctrl-C stops it after the running step")
        made.serve()
    output.note("stopped; every plan stands where its records say")
