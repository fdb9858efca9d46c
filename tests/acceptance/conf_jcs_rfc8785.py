"""The published vectors of RFC 8785: what is hashed has the same bytes everywhere.

The rule book is RFC 8785 itself: section 3.2.2.3 (numbers as ECMAScript writes them) and section 3.2.3 (keys in the order of
their UTF-16 code units). A row counts as right when the bytes are equal; there is no verdict and no policy.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from tests.acceptance.framework import Row, Score, read_text
from weighbridge import canonical
from weighbridge.errors import CanonicalError

NAME = "conf_jcs_rfc8785"


def discover(root: Path) -> list[Path]:
    """Return every folder with documents (``input`` beside ``output`` or ``outhex``) or with number vectors."""
    folders = {root, *(path for path in root.rglob("*") if path.is_dir())}
    return sorted(folder for folder in folders if _documents(folder) or _number_files(folder))


def run(folder: Path) -> list[Row]:
    """Encode every document and every number, and compare the bytes."""
    score = Score(NAME)
    for document in _documents(folder):
        encoded = canonical.encode(json.loads(document.read_bytes()))
        plain, hexadecimal = folder / "output" / document.name, folder / "outhex" / f"{document.stem}.txt"
        if plain.is_file():
            score.judged("documents", "ALLOW", document.name, right=encoded == plain.read_bytes())
        if hexadecimal.is_file():
            score.judged(
                "documents in hex", "ALLOW", document.name, right=encoded == bytes.fromhex(hexadecimal.read_text())
            )
    for file in _number_files(folder):
        for number, line in enumerate(read_text(file).split(), start=1):
            score.judged("numbers", "ALLOW", f"{file.name}:{number}", right=_number_is_right(line))
    return score.rows()


def _documents(folder: Path) -> list[Path]:
    if not any((folder / name).is_dir() for name in ("output", "outhex")):
        return []
    return sorted((folder / "input").glob("*.json"))


def _number_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("es6_numbers*.txt*"))


def _number_is_right(line: str) -> bool:
    """Return whether the number with these 64 bits is written as published; ``line`` is ``hex-ieee754,expected``."""
    bits, _, expected = line.partition(",")
    (value,) = struct.unpack(">d", bytes.fromhex(bits.rjust(16, "0")))
    try:
        return canonical.encode(value) == expected.encode()
    except CanonicalError:
        return False
