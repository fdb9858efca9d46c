"""`weighbridge keys create|rotate|show`: the keys that seal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption

KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        help="The folder of keys. Default: WEIGHBRIDGE_KEYS, or weighbridge.keys.",
        show_default=False,
    ),
]

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Make and change the keys that seal.")


def folder_or_default(folder: Path | None) -> Path:
    """Return the folder asked for, or the one the environment names."""
    from weighbridge.settings import from_environment

    return folder or Path(from_environment().keys)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What this log is called, as in ledger.example.com/production.")],
    *,
    keys: KeysOption = None,
) -> None:
    """Make the first key of a log, and print its public half. Nothing is ever overwritten."""
    from weighbridge import wiring
    from weighbridge.keys import PUBLIC
    from weighbridge.keys import create as make

    folder = folder_or_default(keys)
    print(make(folder, name, wiring.system_surroundings().entropy))
    output.note(f"keep {folder} to yourself; give {folder / PUBLIC} to whoever is to check")


@app.command()
def rotate(
    *,
    keys: KeysOption = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="The key before stops signing now: somebody else may know it.")
    ] = False,
) -> None:
    """Make the key that signs from now on, and print its public half.

    The key before signs beside it until the next rotation, so that whoever has either can check. What older keys signed goes on
    being verified by their public halves, which stay listed.
    """
    from weighbridge import wiring
    from weighbridge.keys import PUBLIC
    from weighbridge.keys import rotate as renew

    folder = folder_or_default(keys)
    print(renew(folder, wiring.system_surroundings().entropy, at_once=at_once))
    output.note(f"give {folder / PUBLIC} again to whoever is to check")
    if at_once:
        output.note("whoever knows the old key can still sign with it: tell them to take it out of their file")


@app.command()
def show(*, keys: KeysOption = None, as_json: JsonOption = None) -> None:
    """Show the public keys, the newest last, and which of them sign."""
    from weighbridge.keys import public_keys, signers

    folder = folder_or_default(keys)
    known = public_keys(folder)
    signing = {signer.key for signer in signers(folder)} if folder.is_dir() else set()
    if output.wants_json(as_json):
        output.write_json(
            {"key": str(key), "id": key.id.hex(), "name": key.name, "signs": key in signing} for key in known
        )
        return
    screen = output.console()
    for key in known:
        screen.print(output.safe(f"{key}  {'signs' if key in signing else 'verifies what it signed'}"), soft_wrap=True)
