"""`weighbridge plan …`: plans from draft to end, and how each came to stand where it does."""

from __future__ import annotations

import typer

from weighbridge.cli.plan import acts, listing, running, show

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Propose, decide about, carry out and look at plans.")

app.command("new")(acts.new)
app.command("edit")(acts.edit)
app.command("submit")(acts.submit)
app.command("approve")(acts.approve)
app.command("reject")(acts.reject)
app.command("run")(running.run)
app.command("pause")(acts.pause)
app.command("resume")(acts.resume)
app.command("skip")(acts.skip)
app.command("abort")(acts.abort)
app.command("activate")(acts.activate)
app.command("authorise-retry")(acts.authorise_retry)
app.command("show")(show.show)
app.command("list")(listing.list_plans)
