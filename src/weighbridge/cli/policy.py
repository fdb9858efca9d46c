"""`weighbridge policy check | schema | diff | init`: write a policy, have it checked, see what a change does.

Reads files and prints; what a policy may say is `weighbridge.policy`'s business. Mistakes are answers, so they go to standard
output, one a line in the form editors and CI systems know: ``FILE:LINE:COLUMN: where: what is wrong (write what instead)``.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption
from weighbridge.errors import PolicyError, UsageError

if TYPE_CHECKING:
    from weighbridge.policy.diff import Change
    from weighbridge.policy.document import PolicyDocument

MISTAKES = 3  # the policy has mistakes: the same code as bad lines, because the input is what is wrong
STANDARD_INPUT = "-"
DEFAULT_FILE = "policy.yaml"

app: typer.Typer = typer.Typer(help="Write a policy, have it checked, see what a change does.", no_args_is_help=True)

PolicyFile = Annotated[str, typer.Argument(help="The policy, YAML or JSON; - is standard input.", metavar="FILE")]


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(help="Policies, YAML or JSON; - is standard input.", metavar="FILE…")],
    as_json: JsonOption = None,
) -> None:
    """Report every mistake in a policy at once, each with its line and column, what is wrong and what to write.

    Exit code 0 when there is none, 3 when there are mistakes, 2 when a file cannot be read; the others are checked.
    """
    lines = output.wants_json(as_json)
    mistakes, unread = 0, 0
    for name in files:
        try:
            mistakes += _check(name, _read(name), as_json=lines)
        except UsageError as error:
            unread = output.report(error)
    if unread or mistakes:
        raise typer.Exit(unread or MISTAKES)


def _check(name: str, text: bytes, *, as_json: bool) -> int:
    """Report on one policy and return the number of mistakes."""
    from weighbridge.policy.budget_notes import budget_notes
    from weighbridge.policy.loader import load_policy

    try:
        document = load_policy(text, _source(name))
    except PolicyError as error:
        _print_mistakes(error, as_json=as_json)
        return len(error.problems)
    tenants = (None, *(document.tenants or ()))
    versions = {tenant: document.effective(tenant).policy_version for tenant in tenants}
    if as_json:
        output.write_json({"file": _source(name), "tenant": t, "policy_version": v} for t, v in versions.items())
        return 0
    _say(f"{_source(name)}: no mistakes")
    for tenant, version in versions.items():
        _say(f"  policy_version {version}  {'base' if tenant is None else f'tenant {tenant}'}")
    for note in budget_notes(document.effective(None)):
        _say(f"  note: {note}")
    return 0


def _print_mistakes(error: PolicyError, *, as_json: bool) -> None:
    if as_json:
        keys = ("line", "column", "where", "message", "write")
        output.write_json({"file": error.source, **{key: getattr(p, key) for key in keys}} for p in error.problems)
        return
    for problem in error.problems:
        _say(f"{error.source}:{problem}")
    count = len(error.problems)
    output.note(f"{error.source}: {count} mistake{'s' if count != 1 else ''}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of policies, for completion and checks in an editor.

    Point your editor's YAML or JSON support at it, or put this first into the policy:
    `# yaml-language-server: $schema=policy.schema.json`
    """
    import json

    from weighbridge.policy.document import json_schema

    _say(json.dumps(json_schema(), indent=2, ensure_ascii=True), raw=True)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="The policy as it was.", metavar="A")],
    after: Annotated[str, typer.Argument(help="The policy as it will be.", metavar="B")],
    tenant: Annotated[
        str | None, typer.Option(help="Compare what counts for this tenant. Default: the base, and every tenant.")
    ] = None,
    as_json: JsonOption = None,
) -> None:
    """Say what gets stricter and what looser from A to B, and what changed where that cannot be told.

    Effective policies are compared, so that spelling, order and comments make no difference. Exit code 0 with and without
    changes, 3 when a policy has mistakes, 2 when a file cannot be read.
    """
    lines = output.wants_json(as_json)
    old, new = _load(before, as_json=lines), _load(after, as_json=lines)
    if tenant is not None and tenant not in {**(old.tenants or {}), **(new.tenants or {})}:
        raise UsageError(
            f"neither policy has a section for the tenant `{tenant}`; leave --tenant out to compare the bases"
        )
    found = _differences(old, new, tenant)
    if lines:
        for scope, changes in found:
            keys = ("where", "effect", "what")
            output.write_json({"tenant": scope, **{key: getattr(c, key) for key in keys}} for c in changes)
        return
    if not any(changes for _, changes in found):
        _say("no change in what counts")
    for scope, changes in found:
        if changes and scope is not None:
            _say(f"for tenant {scope}{'' if tenant is not None else ', besides'}:")
        for change in changes:
            _say(f"{'' if scope is None else '  '}{change}")


def _differences(old: PolicyDocument, new: PolicyDocument, tenant: str | None) -> list[tuple[str | None, list[Change]]]:
    """Return the changes for a tenant; or for the base and, for each tenant, those that the base has not."""
    from weighbridge.policy.diff import diff_policies

    if tenant is not None:
        return [(tenant, diff_policies(old.effective(tenant), new.effective(tenant)))]
    base = diff_policies(old.effective(None), new.effective(None))
    tenants = sorted({**(old.tenants or {}), **(new.tenants or {})})
    own = {name: diff_policies(old.effective(name), new.effective(name)) for name in tenants}
    return [
        (None, base),
        *((name, [change for change in changes if change not in base]) for name, changes in own.items()),
    ]


@app.command()
def init(
    file: Annotated[
        str, typer.Argument(help="Where to write it; - is standard output.", metavar="[FILE]")
    ] = DEFAULT_FILE,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented policy to start from.

    Exit code 0 when written, 2 when the file is there already (see --force) or cannot be written.
    """
    starter = resources.files("weighbridge.policy").joinpath("starter.yaml").read_text(encoding="utf-8")
    if file == STANDARD_INPUT:
        _say(starter.rstrip("\n"), raw=True)
        return
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8", newline="\n") as target:
            target.write(starter)
    except FileExistsError:
        raise UsageError(f"`{file}` is there already; name another file, or say --force to overwrite it") from None
    except OSError as error:
        raise UsageError(f"`{file}` cannot be written ({error.strerror})") from None
    _say(f"{file} written; change it, then run: weighbridge policy check {file}")


# --- Files in, text out -----------------------------------------------------------------------------------------------


def _source(name: str) -> str:
    return "<stdin>" if name == STANDARD_INPUT else name


def _read(name: str) -> bytes:
    """Return what stands in a file, or a little more than a policy can be long."""
    from weighbridge.policy.yaml_text import SIZE_MAX

    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read(SIZE_MAX + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(SIZE_MAX + 1)
    except OSError as error:
        message = f"`{name}` cannot be read ({error.strerror}); `weighbridge policy init` writes a policy to start from"
        raise UsageError(message) from None


def _load(name: str, *, as_json: bool) -> PolicyDocument:
    from weighbridge.policy.loader import load_policy

    try:
        return load_policy(_read(name), _source(name))
    except PolicyError as error:
        _print_mistakes(error, as_json=as_json)
        raise typer.Exit(MISTAKES) from None


def _say(text: str, *, raw: bool = False) -> None:
    """Print text, escaped where a terminal would obey it; ``raw`` keeps the line ends of what we wrote ourselves."""
    with output.writing():
        typer.echo(text if raw else output.safe(text))
