"""The published vectors of RFC 6962 trees: proofs that must hold, and many more that must be refused.

The rule book is RFC 6962, sections 2.1.1 (inclusion) and 2.1.2 (consistency), and the same for subtrees. A vector is `ALLOW`
where its proof must hold and `BLOCK` where it must be refused; there is no policy.
"""

from __future__ import annotations

import base64
from pathlib import Path

from tests.acceptance.framework import Document, Row, Score, find, folders_with, read_lines
from weighbridge.ledger import merkle

NAME = "conf_merkle_rfc6962"

_STEM = "vectors"


def discover(root: Path) -> list[Path]:
    """Return every folder whose vectors are proofs over trees."""
    return [folder for folder in folders_with(root, _STEM) if _is_ours(folder)]


def run(folder: Path) -> list[Row]:
    """Check every proof, and compare with whether it must hold."""
    score = Score(NAME)
    for vector in _vectors(folder):
        must_hold = not vector["wantErr"]
        expected = "ALLOW" if must_hold else "BLOCK"
        score.judged(_kind(vector) or "unknown", expected, vector["path"], right=_holds(vector) == must_hold)
    return score.rows()


def _is_ours(folder: Path) -> bool:
    try:
        return _kind(next(iter(_vectors(folder)), {})) is not None
    except ValueError:
        return False  # other records of that name


def _vectors(folder: Path) -> list[Document]:
    path = find(folder, _STEM)
    return [] if path is None else [line for line in read_lines(path) if isinstance(line, dict)]


def _kind(vector: Document) -> str | None:
    """Return which proof a vector is of, by its fields; None where it is of none."""
    of_subtree = "subtree " if {"start", "end"} <= vector.keys() else ""
    if {"leafIdx", "leafHash", "root", "wantErr"} <= vector.keys():
        return f"{of_subtree}inclusion"
    if {"root1", "root2", "proof", "wantErr"} <= vector.keys():
        return f"{of_subtree}consistency"
    return None


def _holds(vector: Document) -> bool:
    proof = [_hash(item) for item in vector["proof"] or ()]
    try:
        _check(vector, proof)
    except merkle.ProofError:
        return False
    return True


def _check(vector: Document, proof: list[bytes]) -> None:
    match _kind(vector):
        case "inclusion":
            leaf, root = _hash(vector["leafHash"]), _hash(vector["root"])
            merkle.verify_inclusion(vector["leafIdx"], vector["treeSize"], leaf, proof, root)
        case "subtree inclusion":
            leaf, root, subtree = _hash(vector["leafHash"]), _hash(vector["root"]), (vector["start"], vector["end"])
            merkle.verify_subtree_inclusion(vector["leafIdx"], subtree, leaf, proof, root)
        case "consistency":
            root1, root2 = _hash(vector["root1"]), _hash(vector["root2"])
            merkle.verify_consistency(vector["size1"], vector["size2"], root1, root2, proof)
        case "subtree consistency":
            root1, root2, subtree = _hash(vector["root1"]), _hash(vector["root2"]), (vector["start"], vector["end"])
            merkle.verify_subtree_consistency(subtree, vector["size"], root1, root2, proof)
        case unknown:
            message = f"{vector['path']} is {unknown or 'no proof'}"
            raise ValueError(message)


def _hash(text: str) -> bytes:
    return base64.b64decode(text)
