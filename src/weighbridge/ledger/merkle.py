"""Merkle trees as RFC 6962 defines them: the head of a tree, and the proofs that need only a few hashes of it. Pure.

::

    head of no leaves        = SHA-256()                                            RFC 6962, section 2.1
    leaf(entry)              = SHA-256(0x00 || entry)
    node(left, right)        = SHA-256(0x01 || left || right)
    head of n > 1 leaves     = node(head of the first k, head of the others)        k: the largest power of two below n

Everything here takes leaf hashes; a record's is the one that stands in the ledger (``ledger.chain``), so the tree of a tenant
needs nothing but what is stored. Indices count from 0: record ``seq`` is leaf ``seq - 1``.

An inclusion proof (section 2.1.1) shows that a leaf stands at an index of a tree, a consistency proof (section 2.1.2) that a
tree begins with all of a smaller one. Both are one thing: a proof that a subtree is part of a tree, the subtree being a leaf or
the smaller tree. So one function makes proofs and one checks them, each the recursion of the RFC word by word.

A function that checks raises :class:`ProofError` for whatever a stranger may hand in, and never trusts the length of anything
that is hashed. A root is only compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from weighbridge.errors import LedgerCorrupt, UsageError

_sha256 = hashlib.sha256

NODE_PREFIX = b"\x01"
HASH_BYTES = 32
EMPTY_ROOT = _sha256().digest()
TREE_SIZE_MAX = 2**53 - 1  # what JSON states exactly; keeps the recursion below 54 levels
_ONE_LENGTH = frozenset({HASH_BYTES})

Proof = tuple[bytes, ...]
"""The hashes of a proof in the order of RFC 6962: from the leaves up."""

_Span = tuple[int, int]  # of leaves: the first, and the one after the last


class ProofError(LedgerCorrupt):
    """A proof does not show what it was handed in for (L3)."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 6962, section 2.1)."""
    return _sha256(NODE_PREFIX + left + right).digest()


class Frontier(msgspec.Struct, frozen=True):
    """A tree that can still grow, in as many hashes as its size has bits set.

    ``peaks`` are the heads of the complete subtrees that its leaves fall into, the largest first. Nothing else of a tree is
    needed to append to it or to tell its head. (Both hash their nodes in place: a sealing does little else.)

    Raises:
        ProofError: on construction, where the peaks cannot be those of a tree of that size.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= TREE_SIZE_MAX:
            raise ProofError(f"a tree cannot have {self.size} leaves")
        if len(self.peaks) != self.size.bit_count():
            raise ProofError(f"a tree of {self.size} leaves has {self.size.bit_count()} peaks, not {len(self.peaks)}")
        if not _ONE_LENGTH.issuperset(map(len, self.peaks)):
            raise ProofError(f"a peak is not a hash of {HASH_BYTES} bytes")

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """Return the tree with these leaf hashes appended."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            head, below = leaf, size
            while below & 1:  # the last peak is as high as what is to be appended: both become one node
                head = _sha256(NODE_PREFIX + peaks.pop() + head).digest()
                below >>= 1
            peaks.append(head)
            size += 1
        return Frontier(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """Return the head of the tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = _sha256(NODE_PREFIX + peak + root).digest()
        return root


def tree_head(leaves: Iterable[bytes]) -> bytes:
    """Return the head of the tree over these leaf hashes (RFC 6962, section 2.1)."""
    return Frontier().extended(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> Proof:
    """Return the proof that the leaf at ``index`` is part of the tree over ``leaves`` (RFC 6962, section 2.1.1).

    Raises:
        UsageError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise UsageError(f"a tree of {len(leaves)} leaves has no leaf {index}")
    return subtree_proof(leaves, index, index + 1)


def consistency_proof(leaves: Sequence[bytes], size: int) -> Proof:
    """Return the proof that the tree over ``leaves`` begins with the tree over the first ``size`` (RFC 6962, section 2.1.2).

    Raises:
        UsageError: ``size`` is 0, from which nothing can be proved, or more than there are.
    """
    if not 0 < size <= len(leaves):
        raise UsageError(f"a tree of {len(leaves)} leaves cannot be proved to begin with one of {size}")
    return subtree_proof(leaves, 0, size)


def subtree_proof(leaves: Sequence[bytes], start: int, end: int) -> Proof:
    """Return the proof that the subtree over ``leaves[start:end]`` is part of the tree over ``leaves``.

    A range is a subtree if ``start`` is a multiple of the smallest power of two that is not below its length.

    Raises:
        UsageError: the range is empty, outside or no subtree.
    """
    if not 0 <= start < end <= len(leaves) or not _is_subtree(start, end):
        raise UsageError(f"leaves {start} to {end} are no subtree of a tree of {len(leaves)} leaves")
    return tuple(_path(leaves, (0, len(leaves)), (start, end), known=True))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Require that ``leaf`` stands at ``index`` of the tree of ``size`` leaves with this root (RFC 6962, section 2.1.1).

    Raises:
        ProofError: it does not, or the proof does not show it.
    """
    verify_subtree_inclusion(index, (0, size), leaf, proof, root)


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Require that the tree of ``size2`` begins with all of the tree of ``size1`` (RFC 6962, section 2.1.2).

    From a tree without leaves nothing can be proved; only that both have none.

    Raises:
        ProofError: it does not, or the proof does not show it.
    """
    if size1 == 0 and (size2 != 0 or root2 != root1):
        raise ProofError("growth from a tree without leaves cannot be proved; any tree begins with it")
    verify_subtree_consistency((0, size1), size2, root1, root2, proof)


def verify_subtree_inclusion(
    index: int, subtree: tuple[int, int], leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Require that ``leaf`` stands at ``index``, counted in the whole tree, of the subtree with this root.

    Raises:
        ProofError: it does not, or the proof does not show it.
    """
    start, end = subtree
    _require_subtree(start, end, end)
    if not start <= index < end:
        raise ProofError(f"leaf {index} does not stand in leaves {start} to {end}")
    if len(leaf) != HASH_BYTES:
        raise ProofError(f"a leaf hash has {HASH_BYTES} bytes, not {len(leaf)}")
    _, head = _heads((start, end), (index, index + 1), leaf, proof)
    _require_equal(head, root, "the leaf is not in the tree, or the proof is not its proof")


def verify_subtree_consistency(
    subtree: tuple[int, int], size: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> None:
    """Require that the subtree with ``root1`` is part of the tree of ``size`` leaves with ``root2``.

    The subtree without leaves is part of every tree, whatever its root.

    Raises:
        ProofError: it is not, or the proof does not show it.
    """
    start, end = subtree
    _require_subtree(start, end, size)
    if start == end:
        _require_equal(root1, EMPTY_ROOT, "the root of no leaves is another one")
        _require_used_up(proof)
        return
    part, whole = _heads((0, size), (start, end), root1, proof)
    _require_equal(part, root1, "the smaller tree is not the one the proof is about")
    _require_equal(whole, root2, "the larger tree does not continue the smaller one, or the proof is not theirs")


def _is_subtree(start: int, end: int) -> bool:
    return start == end or start % (1 << (end - start - 1).bit_length()) == 0


def _middle(span: _Span) -> int:
    """Return where a tree of more than one leaf divides: after the largest power of two below its size."""
    low, high = span
    return low + (1 << (high - low - 1).bit_length() - 1)


def _path(leaves: Sequence[bytes], span: _Span, part: _Span, *, known: bool) -> list[bytes]:
    """Return PATH or SUBPROOF of RFC 6962 (sections 2.1.1, 2.1.2): what is needed for the head of ``span`` beside ``part``.

    ``known`` says that whoever checks has the head of ``part``, so that it need not be told.
    """
    if span == part:
        return [] if known else [tree_head(leaves[slice(*span)])]
    (low, high), (start, end), middle = span, part, _middle(span)
    if end <= middle:
        return [*_path(leaves, (low, middle), part, known=known), tree_head(leaves[middle:high])]
    if start < middle:  # it covers the left half, whose head is not known by itself
        part, known = (middle, end), False
    return [*_path(leaves, (middle, high), part, known=known), tree_head(leaves[low:middle])]


def _heads(span: _Span, part: _Span, known: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the heads of ``part`` and of ``span`` that ``known`` and a proof lead to; all of it must be needed."""
    if any(len(item) != HASH_BYTES for item in proof):
        raise ProofError(f"an item of the proof is not a hash of {HASH_BYTES} bytes")
    left_over = list(proof)
    heads = _follow(span, part, known, left_over)
    _require_used_up(left_over)
    return heads


def _follow(span: _Span, part: _Span, known: bytes | None, proof: list[bytes]) -> tuple[bytes, bytes]:
    """Undo `_path`: take from the end of ``proof`` what it appended, and return both heads."""
    if span == part:
        head = _take(proof) if known is None else known
        return head, head
    (low, high), (start, end), middle = span, part, _middle(span)
    sibling = _take(proof)
    if end <= middle:
        inner, left = _follow((low, middle), part, known, proof)
        return inner, node_hash(left, sibling)
    if start >= middle:
        inner, right = _follow((middle, high), part, known, proof)
        return inner, node_hash(sibling, right)
    inner, right = _follow((middle, high), (middle, end), None, proof)
    return node_hash(sibling, inner), node_hash(sibling, right)


def _take(proof: list[bytes]) -> bytes:
    if not proof:
        raise ProofError("the proof is too short for these sizes")
    return proof.pop()


def _require_used_up(proof: Sequence[bytes]) -> None:
    if proof:
        raise ProofError("the proof is too long for these sizes")


def _require_subtree(start: int, end: int, size: int) -> None:
    if not (0 <= start <= end <= size <= TREE_SIZE_MAX and _is_subtree(start, end)):
        raise ProofError(f"leaves {start} to {end} are no subtree of a tree of {size} leaves")


def _require_equal(found: bytes, expected: bytes, message: str) -> None:
    if found != expected:
        raise ProofError(message)
