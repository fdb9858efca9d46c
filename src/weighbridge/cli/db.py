"""`weighbridge db init|upgrade|status`: make a store, bring its schema up to date, and say in what state it is."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption, store_or_default

if TYPE_CHECKING:
    from weighbridge.storage.state import StoreState, Upgrade

app: typer.Typer = typer.Typer(
    help="Make a store, bring its schema up to date, and see in what state it is.", no_args_is_help=True
)

StoreArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STORE]",
        help="A path or `postgresql://user@host/database`. Default: WEIGHBRIDGE_STORE, or weighbridge.db.",
        show_default=False,
    ),
]


class Purpose(StrEnum):
    """What a store is made for (B9)."""

    ENFORCEMENT = "enforcement"
    EVALUATION = "evaluation"


class PlanEngineName(StrEnum):
    """Which engine of plans needs something in the store."""

    DBOS = "dbos"


EngineOption = Annotated[
    PlanEngineName | None,
    typer.Option(
        "--engine",
        help="Also make or upgrade what this engine of plans needs: `dbos`, for many workers on PostgreSQL.",
        show_default=False,
    ),
]


@app.command()
def init(
    store: StoreArgument = None,
    *,
    purpose: Annotated[
        Purpose, typer.Option(help="What it is for; an evaluation brings its own times.")
    ] = Purpose.ENFORCEMENT,
    runtime_login: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="PostgreSQL: who runs decisions; made where missing.", show_default=False),
    ] = None,
    auditor_login: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="PostgreSQL: who reads and verifies; made where missing.", show_default=False
        ),
    ] = None,
    engine: EngineOption = None,
    as_json: JsonOption = None,
) -> None:
    """Make a store. In PostgreSQL this is the owner's act: it makes roles, schema, grants and logins, never passwords.

    May be run again: what is there stays, what is missing is added.
    """
    from weighbridge import wiring

    place = store_or_default(store)
    done = wiring.make_store(
        place, purpose=purpose.value, runtime_logins=runtime_login or (), auditor_logins=auditor_login or ()
    )
    _make_engine(place, engine)
    _tell(place, done, as_json)


@app.command()
def upgrade(store: StoreArgument = None, *, engine: EngineOption = None, as_json: JsonOption = None) -> None:
    """Apply the migrations that a store still needs, all or none. Processes that decide on it meanwhile go on."""
    from weighbridge import wiring

    place = store_or_default(store)
    done = wiring.upgrade_store(place)
    _make_engine(place, engine)
    _tell(place, done, as_json)


@app.command()
def status(store: StoreArgument = None, *, as_json: JsonOption = None) -> None:
    """Say in what state a store is. Changes nothing; exit code 1 where something is to be done about it."""
    from weighbridge import wiring
    from weighbridge.storage.addresses import shown

    place = store_or_default(store)
    state = wiring.store_state(place)
    if output.wants_json(as_json):
        told = asdict(state)
        facts = told.pop("facts")
        output.write_json([{"store": shown(place), **told, **facts}])
    else:
        _show(shown(place), state)
    for problem in state.problems:
        output.note(f"to do: {problem}")
    raise typer.Exit(output.FAILED if state.problems else output.OK)


def _make_engine(place: str, engine: PlanEngineName | None) -> None:
    if engine is None:
        return
    from weighbridge import wiring

    wiring.make_dbos_schema(place)
    output.note("the schema of the `dbos` engine is up to date; start workers with `weighbridge worker --engine dbos`")


def _tell(place: str, done: Upgrade, as_json: bool | None) -> None:
    from weighbridge.storage.addresses import shown

    if output.wants_json(as_json):
        output.write_json([{"store": shown(place), **asdict(done)}])
    else:
        what = "was made" if done.before == 0 else "was upgraded" if done.applied else "is up to date"
        names = f" ({', '.join(done.applied)})" if done.applied else ""
        output.console().print(output.safe(f"{shown(place)} {what}: schema {done.after}{names}"), soft_wrap=True)
    for said in done.advice:
        output.note(f"to do: {said}")


def _show(place: str, state: StoreState) -> None:
    rows = {
        "store": place,
        "backend": f"{state.backend} {state.server}",
        "purpose": state.purpose,
        "schema": f"{state.schema}, the latest known is {state.latest}",
        "pending": ", ".join(state.pending) or "none",
        "altered": "\n".join(state.altered) or "nothing",
        **{name.replace("_", " "): _said(value) for name, value in state.facts.items()},
    }
    shown = output.grid()
    for name, value in rows.items():
        shown.add_row(name, "\n".join(output.safe(line) for line in value.splitlines()))
    output.console().print(shown)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_said(held)}" for name, held in value.items())
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)
