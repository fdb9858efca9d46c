"""`weighbridge witness serve|show`: witness the logs of others, so that they cannot be put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weighbridge.cli import output
from weighbridge.cli.keys import KeysOption, folder_or_default
from weighbridge.errors import UsageError

PORT_MAX = 65_535

app: typer.Typer = typer.Typer(no_args_is_help=True, help="Witness the logs of others: cosign only what grew.")


@app.command()
def serve(
    *,
    state: Annotated[Path, typer.Option(metavar="FOLDER", help="Where it keeps what it cosigned last; never lose it.")],
    key: Annotated[
        list[Path], typer.Option("--key", metavar="FILE", help="The public keys of a log to witness; may be repeated.")
    ],
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens.")] = "127.0.0.1:8791",
    keys: KeysOption = None,
) -> None:
    """Cosign checkpoints of logs over HTTP (c2sp.org/tlog-witness), each only if it continues the last one.

    The witness signs with a key of its own (`keys create`), which has no other use. A log that was put back, cut or forked is
    refused. Put TLS before it where others can listen.
    """
    from weighbridge import wiring
    from weighbridge.keys import public_keys, signers
    from weighbridge.ledger.cosignature import cosigner_key

    host, port = _address(listen)
    signer = signers(folder_or_default(keys))[0]
    logs = [found for file in key for found in public_keys(file)]
    if signer.key in logs:
        raise UsageError("a witness signs with a key of its own, not with that of a log; make one with `keys create`")
    with wiring.witness_server(state, signer, logs, host, port) as server:
        place = f"http://{host}:{server.server_address[1]}"
        for name in sorted({found.name for found in logs}):
            output.note(f"witnessing {name}")
        output.note(f"give this to whoever seals: --witness {place} --witness-key FILE with")
        print(cosigner_key(signer), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            raise typer.Exit(output.INTERRUPTED) from None  # serving ends like this, and in no other way


@app.command()
def show(*, keys: KeysOption = None) -> None:
    """Print the public key under which this witness cosigns."""
    from weighbridge.keys import signers
    from weighbridge.ledger.cosignature import cosigner_key

    print(cosigner_key(signers(folder_or_default(keys))[0]))


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise UsageError(f"`{listen}` is no place to listen; write HOST:PORT, as 127.0.0.1:8791")
    return host.removeprefix("[").removesuffix("]"), int(port)
