"""`weighbridge budget show|forecast|simulate|reconcile`: how far caps are used, by whom, until when, and whether it adds up.

Nothing here writes. Everything reads one tenant at one moment; the caps are those of the policy in force, which the ledger
holds, or of one that is given.
"""

from __future__ import annotations

import typer

from weighbridge.cli.budget import forecast, reconcile, show, simulate

app: typer.Typer = typer.Typer(
    no_args_is_help=True, help="See what budgets are used for, and what other caps would do."
)

app.command("show")(show.show)
app.command("forecast")(forecast.forecast)
app.command("simulate")(simulate.simulate)
app.command("reconcile")(reconcile.reconcile)
