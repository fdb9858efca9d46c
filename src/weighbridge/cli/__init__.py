"""The command line: `weighbridge …`.

Commands parse and print; what they do is the library's. Each one loads what it needs when it is called, so that `--help`
answers at once.

Exit codes: 0 done, 1 the world is bad (a store, a disk), 2 usage, 3 some lines were bad, 4 does not verify or add up, 11
something is blocked, 130 interrupted, 141 the reader has gone.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from weighbridge.cli import (
    archive,
    budget,
    content,
    db,
    db_copy,
    demo,
    evaluate,
    keys,
    ledger,
    outcomes,
    output,
    plan,
    policy,
    prices,
    replay,
    sealing,
    why,
    witness,
    worker,
)
from weighbridge.errors import WeighbridgeError


class _Commands(TyperGroup):
    """Commands whose errors end in one clear line and an exit code, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            try:
                return super().invoke(ctx)
            finally:
                output.flush()  # here, where a reader that has gone is no surprise
        except output.OutputError as error:
            output.leave_pipe()
            raise typer.Exit(output.report(error)) from None
        except WeighbridgeError as error:
            raise typer.Exit(output.report(error)) from None
        except KeyboardInterrupt:
            output.note("interrupted; what was answered is on record")
            raise typer.Exit(output.INTERRUPTED) from None
        except BrokenPipeError:
            output.leave_pipe()
            raise typer.Exit(output.PIPE_CLOSED) from None
        except OSError as error:
            raise typer.Exit(output.report(WeighbridgeError(str(error)))) from None

    def main(self, *args: Any, **options: Any) -> Any:
        try:
            return super().main(*args, **options)
        except OSError as error:  # help and version, which are printed before any command is invoked
            output.leave_pipe()
            sys.exit(output.report(output.unwritable(error)))


app: typer.Typer = typer.Typer(
    name="weighbridge",
    cls=_Commands,
    help="Weigh every action of an agent before it may cross: judge, explain, prove.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its pages of locals could show what must not be shown
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"weighbridge {version('weighbridge')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and leave.")
    ] = False,
) -> None:
    """Weigh every action of an agent before it may cross: judge, explain, prove."""


app.command("demo")(demo.demo)
app.command("evaluate")(evaluate.evaluate)
app.command("why")(why.why)
app.command("replay")(replay.replay)
app.add_typer(plan.app, name="plan")
app.command("worker")(worker.worker)
app.add_typer(budget.app, name="budget")
app.add_typer(policy.app, name="policy")
app.add_typer(prices.app, name="prices")
app.add_typer(ledger.app, name="ledger")
ledger.app.command("seal")(sealing.seal)
ledger.app.command("archive")(archive.archive)
ledger.app.command("prove")(sealing.prove)
ledger.app.command("prove-growth")(sealing.prove_growth)
app.add_typer(keys.app, name="keys")
app.add_typer(witness.app, name="witness")
app.add_typer(content.app, name="content")
app.add_typer(outcomes.app, name="outcomes")
app.add_typer(db.app, name="db")
db.app.command("copy")(db_copy.copy)


def main() -> None:
    """Run the command line."""
    app()
