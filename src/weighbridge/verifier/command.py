"""`weighbridge-verify`: the command line of the verifier. Words on standard output; exit code 0, 4 or 2.

0: all of it holds. 4: something does not; the first line says what, and names the first bad record. 2: a wrong call, or a file
that cannot be read.
"""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from weighbridge.errors import LedgerCorrupt, UsageError, WeighbridgeError
from weighbridge.verifier import checking
from weighbridge.verifier.bundle import check_bundle

OK, USAGE, NOT_PROVED = 0, 2, 4
_WITNESS = re.compile(r"(\d{1,15}):([0-9a-f]{64})", re.ASCII)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Check what the arguments name, say what was found, and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        finding = _check(options)
    except LedgerCorrupt as error:
        finding = checking.Finding(ok=False, said=(f"does not verify: {error}",))
    except (WeighbridgeError, OSError) as error:
        _say(f"error: {error}", sys.stderr)
        return USAGE
    for line in finding.said:
        _say(line, sys.stdout)
    for line in finding.limits:
        _say(f"not shown: {line}", sys.stdout)
    return OK if finding.ok else NOT_PROVED


def _check(options: argparse.Namespace) -> checking.Finding:
    match options.what:
        case "export":
            if bool(options.checkpoint) is not (options.key is not None):
                raise UsageError("a checkpoint and the public keys go together: --checkpoint FILE --key FILE")
            return checking.check_export(options.file, options.checkpoint, options.key, _witness(options.witness))
        case "bundle":
            return check_bundle(options.file, options.key)
        case "proof":
            return checking.check_proofs(options.file, options.key)
        case "growth":
            return checking.check_growth(options.earlier, options.later, options.proof, options.key)
        case _:
            return checking.check_checkpoints(options.files, options.key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="weighbridge-verify",
        description="Check what a Weighbridge ledger handed out, with nothing but the files and its public keys.",
        epilog="Exit code 0: all of it holds; 4: something does not; 2: a wrong call.",
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    export = kinds.add_parser("export", help="an export of a ledger (`weighbridge ledger export`)")
    export.add_argument("file", type=Path)
    export.add_argument(
        "--checkpoint", type=Path, action="append", default=[], metavar="FILE", help="also a folder of them"
    )
    export.add_argument("--witness", metavar="SEQ:HASH", help="a record's number and hash, kept elsewhere")
    bundle = kinds.add_parser("bundle", help="an auditor's bundle")
    bundle.add_argument("file", type=Path)
    proof = kinds.add_parser("proof", help="the proof of a record (`weighbridge ledger prove`)")
    proof.add_argument("file", type=Path)
    growth = kinds.add_parser("growth", help="that a later checkpoint continues an earlier one")
    growth.add_argument("earlier", type=Path)
    growth.add_argument("later", type=Path)
    growth.add_argument("proof", type=Path)
    checkpoint = kinds.add_parser("checkpoint", help="checkpoints themselves: signed, and of one log")
    checkpoint.add_argument("files", type=Path, nargs="+")
    for kind, required in ((export, False), (bundle, False), (proof, True), (growth, True), (checkpoint, True)):
        kind.add_argument("--key", type=Path, required=required, metavar="FILE", help="the public keys, one a line")
    return parser


def _witness(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    found = _WITNESS.fullmatch(text.lower())
    if found is None:
        raise UsageError("a witness is written SEQ:HASH: number, colon, 64 hex digits")
    return int(found[1]), found[2]


def _say(line: str, stream: object) -> None:
    """Print a line with everything escaped that a terminal would obey: ids in it come from strangers."""
    shown = "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _HIDDEN else char for char in line
    )
    print(shown, file=stream)  # type: ignore[call-overload]


def run() -> None:
    """Run the command line (the entry point)."""
    sys.exit(main())
