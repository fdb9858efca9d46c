"""What the verifier checks, each as one function from files to a finding."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from weighbridge.errors import LedgerCorrupt, UsageError
from weighbridge.keys import public_keys
from weighbridge.ledger import record
from weighbridge.ledger.chain import Fault, bad_order
from weighbridge.ledger.checkpoint import Checkpoint, CheckpointError, OpenedSeal, open_checkpoint
from weighbridge.ledger.note import SignatureCheck, VerifierKey
from weighbridge.ledger.proof import growth_faults, open_growth_proof, open_record_proof
from weighbridge.verify import verify_export
from weighbridge.witnesses.interface import SUFFIX

GZIP_MAGIC = b"\x1f\x8b"
_LINE_MAX = 1 << 26  # of a proof: a record of 64 MiB


class Finding(msgspec.Struct, frozen=True):
    """What was found: whether all of it holds, and sentences. ``limits`` say what was not looked at, or cannot be seen."""

    ok: bool
    said: tuple[str, ...]
    limits: tuple[str, ...] = ()


def signature_check() -> SignatureCheck:
    """Return what checks signatures.

    Raises:
        UsageError: its library is not installed.
    """
    try:
        from weighbridge.ledger.ed25519 import is_signature  # noqa: PLC0415 - the extra `proofs`
    except ImportError:
        raise UsageError("signatures are checked with `cryptography`: pip install 'weighbridge[proofs]'") from None
    return is_signature


def checkpoint_files(places: Iterable[Path]) -> list[Path]:
    """Return the files that were named, and those of checkpoints in folders that were named, in the order of their names.

    Raises:
        UsageError: a folder holds none.
    """
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not found:
            raise UsageError(f"no checkpoints are in `{place}`")
        files += found
    return files


def open_checkpoints(files: Sequence[Path], keys: Sequence[VerifierKey]) -> list[tuple[Checkpoint, OpenedSeal]]:
    """Return checkpoints in the order of their numbers, signed and of one log.

    Raises:
        UsageError: a file cannot be read.
        LedgerCorrupt: one is not signed by these keys, was changed, or is of another log than the others.
    """
    check = signature_check()
    opened = []
    for file in files:
        try:
            opened.append(open_checkpoint(_read(file).splitlines(keepends=True), keys, check))
        except LedgerCorrupt as error:
            raise CheckpointError(f"`{file.name}`: {error}") from None
    opened.sort(key=lambda each: each[1].seal.number)
    for (one, first), (other, second) in pairwise(opened):
        if first.origin != second.origin:
            raise CheckpointError(f"the checkpoints are of two logs, `{first.origin}` and `{second.origin}`")
        same = first.seal.number == second.seal.number
        if same and list(one.lines())[1:] != list(other.lines())[1:]:
            raise CheckpointError(f"two checkpoints are seal {first.seal.number} and differ: the log forked")
        if second.seal.number == first.seal.number + 1 and other.signed.before != tuple(
            peak.hex() for peak in first.log.peaks
        ):
            raise CheckpointError(
                f"seal {second.seal.number} does not continue seal {first.seal.number}: the log forked"
            )
    return opened


def check_checkpoints(places: Sequence[Path], key: Path) -> Finding:
    """Check that checkpoints are signed and belong to one log."""
    opened = open_checkpoints(checkpoint_files(places), public_keys(key))
    return Finding(ok=True, said=tuple(describe(seal) for _, seal in opened))


def describe(opened: OpenedSeal) -> str:
    """Return what a signature vouches for, in a sentence."""
    seal, by = opened.seal, ", ".join(key.id.hex() for key in opened.signed_by)
    over = f"{seal.records:,} records of {seal.tenants:,} {'tenant' if seal.tenants == 1 else 'tenants'}"
    return f"seal {seal.number} of {opened.origin}, {seal.sealed_at}, is over {over}; signed by {by}"


def check_export(file: Path, checkpoints: Sequence[Path], key: Path | None, witness: tuple[int, str] | None) -> Finding:
    """Check an export, gzipped or not; against checkpoints, if there are any."""
    opened = open_checkpoints(checkpoint_files(checkpoints), public_keys(key)) if checkpoints and key else []
    seen = [head for checkpoint, _ in opened for head in checkpoint.heads]
    try:
        with open_lines(file) as lines:
            report = verify_export(lines, witness=witness, seen=seen)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return Finding(ok=False, said=(f"`{file}`: its compressed data is damaged or cut",))
    if not report.ok:
        return refuted(f"the export of tenant `{report.tenant_id or 'unknown'}`", report.faults)
    said = [f"tenant `{report.tenant_id}`: records {report.first_seq} to {report.last_seq} verify"]
    said += [describe(seal) for _, seal in opened]
    sealed = max((head.size for head in seen if head.tenant_id == report.tenant_id), default=0)
    limits = []
    if opened:
        said.append(f"records 1 to {sealed} are those that were sealed")
    if sealed < report.last_seq and witness is None:
        limits.append(unsealed(sealed + 1))
    return Finding(ok=True, said=tuple(said), limits=tuple(limits))


def unsealed(first_seq: int) -> str:
    """Return what the chain alone does not show."""
    return (
        f"from record {first_seq} on the chain alone was checked: it does not show that the end was cut off, that an old copy "
        "was put back, or that it was computed anew"
    )


def check_proofs(file: Path, key: Path) -> Finding:
    """Check the proofs in a file, one a line."""
    keys, check, said = public_keys(key), signature_check(), []
    lines = [line for line in _read(file).splitlines() if line]
    if not lines:
        raise UsageError(f"`{file}` holds no proof")
    for number, line in enumerate(lines, 1):
        try:
            proof, opened = open_record_proof(line, keys, check)
        except LedgerCorrupt as error:
            where = f"the proof in line {number}" if len(lines) > 1 else "the proof"
            return Finding(ok=False, said=(f"{where} does not hold: {error}",))
        decoded = record.decode(proof.body.encode())
        types = ", ".join(dict.fromkeys(str(event["type"]) for event in decoded.events))
        said.append(
            f"record {decoded.seq} of tenant `{decoded.tenant_id}` ({types}) was in the ledger when it was sealed"
        )
        said.append(describe(opened))
    return Finding(ok=True, said=tuple(said))


def check_growth(earlier: Path, later: Path, proof: Path, key: Path) -> Finding:
    """Check that a later checkpoint continues an earlier one."""
    keys = public_keys(key)
    ((first, seal1),), ((second, seal2),) = open_checkpoints([earlier], keys), open_checkpoints([later], keys)
    if seal1.origin != seal2.origin:
        return Finding(ok=False, said=(f"the checkpoints are of two logs, `{seal1.origin}` and `{seal2.origin}`",))
    if seal1.seal.number > seal2.seal.number:
        raise UsageError("the first checkpoint is the later one; name them in the order they were sealed")
    try:
        faults = tuple(growth_faults(first, second, open_growth_proof(_read(proof))))
    except CheckpointError as error:
        return Finding(ok=False, said=(f"the proof of growth is none: {error}",))
    if faults:
        return refuted(f"seal {seal2.seal.number}", faults)
    grown = f"every ledger in seal {seal1.seal.number} is the beginning of the one in seal {seal2.seal.number}"
    return Finding(
        ok=True, said=(describe(seal1), describe(seal2), f"{grown}: nothing was cut or changed between them")
    )


def refuted(what: str, faults: Sequence[Fault]) -> Finding:
    """Return a finding of what does not verify, the first bad record first."""
    ordered = sorted(faults, key=bad_order)
    place = f"; the first bad record is {ordered[0].seq}" if ordered[0].seq else ""
    return Finding(
        ok=False, said=(f"{what} does not verify{place}", *(f"  {fault.part}: {fault.message}" for fault in ordered))
    )


def open_lines(file: Path) -> BinaryIO:
    """Open a file for its lines, unpacking it where it is gzipped.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with file.open("rb") as probe:
            packed = probe.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        return cast("BinaryIO", gzip.open(file) if packed else file.open("rb"))
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read ({error.strerror})") from None


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LINE_MAX:
            raise UsageError(f"`{file}` is too large to be what it should")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read ({error.strerror})") from None
