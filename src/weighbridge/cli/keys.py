"""`weighbridge keys create|rotate|record|show`: the keys that seal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.stores import JsonOption, StoreOption, reading, store_or_default

KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        metavar="FOLDER",
        help="The folder of keys. Default: WEIGHBRIDGE_KEYS, or weighbridge.keys.",
        show_default=False,
    ),
]

_RECORD = "put it on record in the ledgers that it seals: weighbridge keys record --by PERSON --reason TEXT"

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
    output.note(_RECORD)


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
    output.note(_RECORD)
    if at_once:
        output.note("whoever knows the old key can still sign with it: tell them to take it out of their file")


@app.command("record")
def record_change(
    *,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who changed the key.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    store: StoreOption = None,
    keys: KeysOption = None,
    as_json: JsonOption = None,
) -> None:
    """Put on record which key seals from now on, in every ledger of a store that does not say so yet.

    One record (`KEY_CHANGED`) for each tenant: the public key, the ids of all keys that sign, who and why. Run again after an
    interruption, it goes on where it was.
    """
    from weighbridge import wiring
    from weighbridge.domain.context import Role
    from weighbridge.domain.principal import Principal
    from weighbridge.keys import signers

    found = signers(folder_or_default(keys))
    key, signing = str(found[0].key), tuple(signer.key.id.hex() for signer in found)
    person = Principal(id=by, role=Role.ADMIN, person=True)
    with reading(store) as reader:
        tenants = reader.tenants()
    with wiring.open_acts(store_or_default(store)) as (acts, _):
        seqs = {tenant: acts.change_key(tenant, key, signing, person, reason) for tenant in tenants}
    made = [{"tenant_id": tenant, "seq": seq, "key": key} for tenant, seq in seqs.items() if seq is not None]
    if output.wants_json(as_json):
        output.write_json(made)
    output.note(f"{len(made):,} ledgers now say that {signing[0]} seals them; {len(seqs) - len(made):,} said so before")


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
