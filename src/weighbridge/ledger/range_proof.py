"""Some records of a ledger, shown to be those that a checkpoint sealed, without the others. Pure.

An inclusion proof is about one record; an auditor has a month of them. The tree over all records falls into three parts: what
stands before the range (the peaks of a tree of that size), the leaves of the range, one by one, and what stands after it, as
the fewest complete subtrees::

    before   sizes(0, first - 1)      leaves first .. last      after   sizes(last, size)

Sizes and places follow from ``first_seq``, ``last_seq`` and the size of the sealed tree alone, so nothing in a proof chooses its
own shape. Put together they give one root (`joined`), which must be the one that was sealed. The tenant's line in the forest is
shown the same way: a range of one. The proof names no other tenant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from weighbridge import canonical
from weighbridge.errors import NotFound
from weighbridge.ledger.chain import Fault
from weighbridge.ledger.checkpoint import (
    VERSION,
    Checkpoint,
    CheckpointError,
    OpenedSeal,
    SignedSeal,
    TenantHead,
    parse_document,
    require_format,
    root_bytes,
)
from weighbridge.ledger.merkle import EMPTY_ROOT, TREE_SIZE_MAX, Frontier, ProofError, node_hash, tree_head
from weighbridge.ledger.note import SignatureCheck, VerifierKey

FORMAT = "weighbridge-range"

_Hex = tuple[str, ...]


class RangeProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the records ``first_seq`` to ``last_seq`` of a tenant are those that a checkpoint sealed; hashes are hex."""

    format: str
    version: int
    first_seq: int
    last_seq: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    head: TenantHead
    forest_index: int
    forest_before: tuple[str, ...]
    forest_after: tuple[str, ...]
    signed: SignedSeal


def sizes(start: int, end: int) -> Iterator[int]:
    """Yield the sizes of the fewest complete subtrees over the leaves ``start`` to ``end``, in order."""
    while start < end:
        size = 1 << (end - start).bit_length() - 1
        if start:
            size = min(size, start & -start)
        yield size
        start += size


def joined(parts: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the head of the tree of complete subtrees side by side, each ``(size, head)`` (RFC 6962, section 2.1)."""
    peaks: list[tuple[int, bytes]] = []
    for part_size, part_head in parts:
        size, head = part_size, part_head
        while peaks and peaks[-1][0] == size:
            size, head = 2 * size, node_hash(peaks.pop()[1], head)
        peaks.append((size, head))
    if not peaks:
        return EMPTY_ROOT
    root = peaks.pop()[1]
    while peaks:
        root = node_hash(peaks.pop()[1], root)
    return root


def prove_range(
    checkpoint: Checkpoint, tenant_id: str, first_seq: int, last_seq: int, leaves: Iterable[bytes]
) -> RangeProof:
    """Return the proof for those records of a range that were sealed. ``leaves`` are all of the tenant's, read once.

    Raises:
        NotFound: the checkpoint is older than the range.
        ProofError: the ledger is not the one that was sealed.
    """
    head = checkpoint.head(tenant_id)
    number = checkpoint.signed.seal.number
    if head is None or head.size < first_seq:
        raise NotFound(f"seal {number} is older than record {first_seq} of tenant `{tenant_id}`")
    last_seq, index = min(last_seq, head.size), checkpoint.heads.index(head)
    before, within, after = _around(leaves, first_seq - 1, last_seq, head.size)
    forest = (each.leaf for each in checkpoint.heads)
    forest_before, _, forest_after = _around(forest, index, index + 1, len(checkpoint.heads))
    proof = RangeProof(
        format=FORMAT,
        version=VERSION,
        first_seq=first_seq,
        last_seq=last_seq,
        before=before,
        after=after,
        head=head,
        forest_index=index,
        forest_before=forest_before,
        forest_after=forest_after,
        signed=checkpoint.signed,
    )
    fault = range_fault(proof, within)
    if fault is not None:
        raise ProofError(fault.message)
    return proof


def open_range_proof(line: bytes, keys: Iterable[VerifierKey], check: SignatureCheck) -> tuple[RangeProof, OpenedSeal]:
    """Return a proof whose seal is signed and covers its tenant's head; the records are for `range_fault` to compare.

    Raises:
        NoteError: no listed key signed it, or a signature is false.
        CheckpointError: it is malformed (also ProofError).
    """
    proof = parse_document(line.removesuffix(b"\n"), RangeProof)
    require_format(proof.format, proof.version, FORMAT)
    opened = proof.signed.opened(keys, check)
    index, tenants = proof.forest_index, opened.seal.tenants
    if not 0 <= index < tenants <= TREE_SIZE_MAX:
        raise ProofError(f"a forest of {tenants} ledgers has none at {index}")
    root = _root((index, index + 1, tenants), proof.forest_before, (proof.head.leaf,), proof.forest_after)
    if root.hex() != opened.seal.forest:
        raise ProofError(
            f"seal {opened.seal.number} is over other ledgers than the one of tenant `{proof.head.tenant_id}`"
        )
    return proof, opened


def range_fault(proof: RangeProof, leaves: Sequence[bytes]) -> Fault | None:
    """Return what is wrong with records, by their leaf hashes from ``first_seq`` on, if they are not the sealed ones (L3)."""
    first, last, size = proof.first_seq, proof.last_seq, proof.head.size
    if not 1 <= first <= last <= size <= TREE_SIZE_MAX:
        return Fault(None, "checkpoint", f"a proof of records {first} to {last} of {size} cannot be")
    if len(leaves) < last - first + 1:
        missing = first + len(leaves)
        return Fault(missing, "checkpoint", f"record {missing} is missing; the seal saw records up to {last}")
    try:
        root = _root((first - 1, last, size), proof.before, leaves[: last - first + 1], proof.after)
    except (CheckpointError, ProofError) as error:
        return Fault(None, "checkpoint", f"the proof of records {first} to {last} is none: {error}")
    if root.hex() != proof.head.root:
        saw = f"of records {first} to {last} one is not what seal {proof.signed.seal.number} saw"
        return Fault(first, "checkpoint", f"{saw}: the chain was computed anew")
    return None


def encode(proof: RangeProof) -> bytes:
    """Return the line that a proof is, newline included."""
    return canonical.encode(msgspec.to_builtins(proof)) + b"\n"


def _around(leaves: Iterable[bytes], start: int, end: int, size: int) -> tuple[_Hex, list[bytes], _Hex]:
    """Return what stands before and after a range of a tree, in hex, and its leaves between. Reads ``leaves`` once."""
    stream = iter(leaves)
    before = Frontier().extended(itertools.islice(stream, start)).peaks
    within = list(itertools.islice(stream, end - start))
    after = [tree_head(itertools.islice(stream, part)) for part in sizes(end, size)]
    return tuple(peak.hex() for peak in before), within, tuple(part.hex() for part in after)


def _root(span: tuple[int, int, int], before: _Hex, leaves: Sequence[bytes], after: _Hex) -> bytes:
    """Return the root that a range and what stands around it give. ``span`` is where it starts and ends, and the tree's size."""
    start, end, size = span
    wanted = (*sizes(0, start), *sizes(end, size))
    if len(wanted) != len(before) + len(after) or len(before) != start.bit_count():
        raise ProofError("it has not the hashes that it needs")
    heads = [root_bytes(head) for head in (*before, *after)]
    known = list(zip(wanted, heads, strict=True))
    return joined((*known[: len(before)], *((1, leaf) for leaf in leaves), *known[len(before) :]))


# Understood here and not at its first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(RangeProof)
