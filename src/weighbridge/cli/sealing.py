"""`weighbridge ledger seal|prove|prove-growth`: checkpoints, and what they prove."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weighbridge.cli import output
from weighbridge.cli.keys import KeysOption, folder_or_default
from weighbridge.cli.stores import JsonOption, StoreOption, TenantOption, reading, store_or_default, tenant_or_default
from weighbridge.errors import NotFound, StoreError, UsageError

if TYPE_CHECKING:
    from weighbridge.ledger.checkpoint import Checkpoint, OpenedSeal

KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="The public keys, one a line. Default: those in --keys.", show_default=False
    ),
]
CheckpointOption = Annotated[
    list[Path] | None,
    typer.Option("--checkpoint", metavar="FILE", help="A checkpoint, or a folder of them.", show_default=False),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="The file to write. Default: standard output.")
]


def open_checkpoints(
    places: list[Path] | None, key: Path | None, keys: Path | None = None
) -> list[tuple[Checkpoint, OpenedSeal]]:
    """Return the checkpoints in files and folders, signed and of one log, in the order of their numbers.

    Raises:
        UsageError: none is there, or no public key.
        LedgerCorrupt: one does not verify.
    """
    from weighbridge.keys import public_keys
    from weighbridge.verifier.checking import checkpoint_files
    from weighbridge.verifier.checking import open_checkpoints as open_all

    if not places:
        raise UsageError("name a checkpoint, or a folder of them, with --checkpoint")
    return open_all(checkpoint_files(places), public_keys(key or folder_or_default(keys)))


def seal(
    *,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="WITNESS", help="A folder or the URL of a bucket; several are better.", show_default=False
        ),
    ] = None,
    every: Annotated[
        str | None,
        typer.Option(metavar="DURATION", help="Go on, and seal again after this long, as 60s.", show_default=False),
    ] = None,
    every_records: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Go on, and seal again after N records.", show_default=False)
    ] = None,
    witness: Annotated[
        list[str] | None,
        typer.Option(
            "--witness",
            metavar="URL",
            help="A process that cosigns (`witness serve`); may be repeated.",
            show_default=False,
        ),
    ] = None,
    witness_key: Annotated[
        Path | None,
        typer.Option(
            "--witness-key", metavar="FILE", help="The keys of these witnesses, one a line.", show_default=False
        ),
    ] = None,
    cosigned: Annotated[
        Path, typer.Option("--cosigned", metavar="FOLDER", help="Where to put what witnesses cosigned.")
    ] = Path("weighbridge.cosigned"),
    begin: Annotated[bool, typer.Option("--begin", help="There is no seal yet: begin the log.")] = False,
    store: StoreOption = None,
    keys: KeysOption = None,
    as_json: JsonOption = None,
) -> None:
    """Sign where every tenant's ledger stands, and publish it outside the store.

    Exit code 4 where the store is behind or different from the last seal: an old copy, a cut end, a chain computed anew.
    """
    from weighbridge import wiring
    from weighbridge.keys import public_keys, signers
    from weighbridge.sealer import Pace, Sealer, keep_sealing
    from weighbridge.storage.locking import LockLost
    from weighbridge.verifier.checking import signature_check

    folder, check = folder_or_default(keys), signature_check()
    pace = _pace(every, every_records)
    witnesses = [wiring.open_witness(place) for place in to or ()]
    cosigners = [wiring.open_cosigner(place, witness_key) for place in witness or ()]
    with reading(store) as reader, wiring.sealing_lock(store_or_default(store)).held() as still_held:
        sealer = Sealer(
            reader,
            witnesses,
            signers=signers(folder),
            keys=public_keys(folder),
            check=check,
            clock_ms=wiring.system_surroundings().clock_ms,
            still_alone=still_held,
            cosigners=cosigners,
            cosigned=lambda number, note: _keep_cosigned(cosigned, number, note),
        )
        last = sealer.resume(begin=begin)
        made = sealer.seal()
        if made is not None:
            _tell(made, as_json)
        elif last is not None:
            output.note(f"nothing is new since seal {last.signed.seal.number}")
        if isinstance(pace, Pace):
            try:
                keep_sealing(
                    sealer,
                    pace,
                    monotonic_s=wiring.monotonic_s,
                    sleep=time.sleep,
                    told=lambda made: _tell(made, as_json),
                )
            except KeyboardInterrupt:
                raise typer.Exit(output.INTERRUPTED) from None
            except (StoreError, LockLost):
                output.note("sealing has ended; whatever starts this again goes on with what was sealed last")
                raise


def prove(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="A run, operation, plan, step or account id, or a record's number.")
    ],
    *,
    checkpoint: CheckpointOption = None,
    key: KeyOption = None,
    out: OutOption = None,
    store: StoreOption = None,
    tenant: TenantOption = None,
    keys: KeysOption = None,
) -> None:
    """Write the proof that a record is in the ledger as it was sealed: one line that stands for itself.

    Where an id leads to several records, each gets a line. They name no other tenant.
    """
    from weighbridge.ledger import proof
    from weighbridge.ledger.archive import require_kept

    checkpoints = open_checkpoints(checkpoint, key, keys)
    with reading(store) as reader, reader.snapshot() as moment:
        tenant_id = tenant_or_default(tenant, moment)
        seqs = sorted(moment.find(tenant_id, identity)) or (
            [int(identity)] if identity.isascii() and identity.isdecimal() else []
        )
        bodies = [stored.body for seq in seqs if (stored := moment.record(tenant_id, seq)) is not None]
        if not bodies:
            raise NotFound(f"no record of tenant `{tenant_id}` is about `{identity}`")
        for body in bodies:
            require_kept(body)
        newest = checkpoints[-1][0]
        head = newest.head(tenant_id)
        size = head.size if head is not None else 0
        leaves = [stored.leaf_hash for stored in moment.records(tenant_id, 1, size)]
        lines = [proof.encode(proof.prove_record(newest, body, leaves)) for body in bodies]
    _write(out, b"".join(lines))
    output.note(
        f"{len(lines)} proved by seal {newest.signed.seal.number}; check with: weighbridge-verify proof FILE --key KEYS"
    )


def prove_growth(
    earlier: Annotated[int, typer.Argument(metavar="EARLIER", min=1, help="The number of a seal.")],
    later: Annotated[int, typer.Argument(metavar="LATER", min=1, help="The number of a later one.")],
    *,
    checkpoint: CheckpointOption = None,
    key: KeyOption = None,
    out: OutOption = None,
    store: StoreOption = None,
    keys: KeysOption = None,
) -> None:
    """Write the proof that one seal continues another: nothing was cut or changed between them.

    It takes every checkpoint up to the later one: name the folder of a witness.
    """
    from weighbridge.ledger import proof

    opened = open_checkpoints(checkpoint, key, keys)
    by_number = {seal.seal.number: checkpoint for checkpoint, seal in opened}
    missing = [number for number in range(1, later + 1) if number not in by_number]
    if missing:
        raise NotFound(f"checkpoint {missing[0]} is not there; name a folder that holds all of them up to {later}")
    seals = [by_number[number].signed.seal.leaf for number in range(1, later + 1)]
    with reading(store) as reader, reader.snapshot() as moment:

        def leaves(tenant_id: str) -> list[bytes]:
            return [stored.leaf_hash for stored in moment.records(tenant_id)]

        made = proof.prove_growth(by_number[earlier], by_number[later], seals, leaves)
    _write(out, proof.encode(made))


def _keep_cosigned(folder: Path, number: int, note: str) -> None:
    """Keep the signed note of a seal with the cosignatures of its witnesses; what was there of it is replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{number:016d}.partial"
        partial.write_text(note, "utf-8")
        partial.replace(folder / f"{number:016d}.note")
    except OSError as error:
        raise UsageError(f"`{folder}` cannot hold what witnesses cosigned ({error.strerror})") from None


def _pace(every: str | None, records: int | None) -> Any:
    from weighbridge.domain.instant import parse_duration
    from weighbridge.sealer import Pace

    if every is None and records is None:
        return None
    duration_ms = None if every is None else parse_duration(every)
    if every is not None and not duration_ms:
        raise UsageError(f"`{every}` is no duration; write 60s, 15m or 1h")
    return Pace(None if duration_ms is None else duration_ms / 1000, records)


def _tell(checkpoint: Checkpoint, as_json: bool | None) -> None:
    seal = checkpoint.signed.seal
    if output.wants_json(as_json):
        line = {"number": seal.number, "sealed_at": seal.sealed_at, "tenants": seal.tenants, "records": seal.records}
        output.write_json([line])
        return
    output.console().print(
        f"seal {seal.number} of {seal.sealed_at}: {seal.records:,} records of {seal.tenants:,} tenants", soft_wrap=True
    )


def _write(out: Path | None, data: bytes) -> None:
    from weighbridge.cli.ledger import sink

    if out is not None and out.exists():
        raise UsageError(f"`{out}` is there already; name another file")
    with sink(out) as target:
        target.write(data)
