"""What a checkpoint proves: that a record is in a ledger, that ledgers only grew, that a ledger is the one that was sealed. Pure.

A proof of a record is one line of canonical JSON that stands for itself beside a public key. It leads, hash by hash, from the
record's body over its tenant's tree, the forest and the log of seals to the signed note (``ledger.checkpoint``), and names no
other tenant. A proof of growth is one line that stands beside two checkpoints.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from weighbridge import canonical
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger import chain, merkle, record
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
from weighbridge.ledger.merkle import Frontier, Proof, ProofError
from weighbridge.ledger.note import SignatureCheck, VerifierKey

RECORD_FORMAT = "weighbridge-proof"
GROWTH_FORMAT = "weighbridge-growth"

_Hex = tuple[str, ...]


class RecordProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That a record, by its body, is in its tenant's ledger as a checkpoint sealed it.

    ``path`` leads from the record to the root in ``head``, ``forest_path`` from there, as leaf ``forest_index``, to the seal.
    """

    format: str
    version: int
    body: str
    path: _Hex
    head: TenantHead
    forest_index: int
    forest_path: _Hex
    signed: SignedSeal


class GrowthProof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That of two checkpoints the later one continues the earlier one: the log of seals, and each ledger that grew."""

    format: str
    version: int
    log: _Hex
    tenants: dict[str, _Hex]


def prove_record(checkpoint: Checkpoint, body: bytes, leaves: Sequence[bytes]) -> RecordProof:
    """Return the proof that a record was sealed. ``leaves`` are the leaf hashes of its tenant's records, from the first.

    Raises:
        NotFound: the checkpoint is older than the record.
        ProofError: the record or the ledger is not the one that was sealed.
    """
    decoded = record.decode(body)
    head = checkpoint.head(decoded.tenant_id)
    if head is None or decoded.seq > head.size:
        raise NotFound(
            f"seal {checkpoint.signed.seal.number} is older than record {decoded.seq}; wait for the next one"
        )
    path = merkle.inclusion_proof(_sealed(leaves, head), decoded.seq - 1)
    merkle.verify_inclusion(decoded.seq - 1, head.size, chain.leaf_hash(body), path, root_bytes(head.root))
    index = checkpoint.heads.index(head)
    forest_path = merkle.inclusion_proof([each.leaf for each in checkpoint.heads], index)
    return RecordProof(
        RECORD_FORMAT, VERSION, body.decode(), _hex(path), head, index, _hex(forest_path), checkpoint.signed
    )


def open_record_proof(
    line: bytes, keys: Iterable[VerifierKey], check: SignatureCheck
) -> tuple[RecordProof, OpenedSeal]:
    """Return a proof that holds and what its signature vouches for.

    Raises:
        NoteError: no listed key signed it, or a signature is false.
        CheckpointError: it is malformed (also ProofError, LedgerCorrupt).
        ProofError: the record is not in the ledger that was sealed.
    """
    proof = parse_document(line.removesuffix(b"\n"), RecordProof)
    require_format(proof.format, proof.version, RECORD_FORMAT)
    opened = proof.signed.opened(keys, check)
    body, head, seal = proof.body.encode(), proof.head, opened.seal
    decoded = record.decode(body)
    if decoded.tenant_id != head.tenant_id:
        raise ProofError(f"the record is of tenant `{decoded.tenant_id}`, the proof of `{head.tenant_id}`")
    forest_path, path = _proof(proof.forest_path), _proof(proof.path)
    merkle.verify_inclusion(proof.forest_index, seal.tenants, head.leaf, forest_path, root_bytes(seal.forest))
    merkle.verify_inclusion(decoded.seq - 1, head.size, chain.leaf_hash(body), path, root_bytes(head.root))
    return proof, opened


def prove_growth(
    earlier: Checkpoint, later: Checkpoint, seals: Sequence[bytes], leaves: Callable[[str], Sequence[bytes]]
) -> GrowthProof:
    """Return the proof that ``later`` continues ``earlier``.

    ``seals`` are the leaf hashes of the log up to the later seal, ``leaves`` gives those of a tenant's records; both from the
    first. What did not only grow gets no proof: `growth_faults` names it.

    Raises:
        UsageError: the checkpoints are not in order.
        ProofError: a ledger ends before what the later one sealed.
    """
    if earlier.signed.seal.number > later.signed.seal.number:
        raise UsageError("the earlier checkpoint has the larger number; hand them in in the order they were sealed")
    log = merkle.consistency_proof(seals[: later.signed.seal.number], earlier.signed.seal.number)
    then = {head.tenant_id: head.size for head in earlier.heads}
    grown = {
        head.tenant_id: _hex(merkle.consistency_proof(_sealed(leaves(head.tenant_id), head), then[head.tenant_id]))
        for head in later.heads
        if 0 < then.get(head.tenant_id, 0) < head.size
    }
    return GrowthProof(GROWTH_FORMAT, VERSION, _hex(log), grown)


def open_growth_proof(line: bytes) -> GrowthProof:
    """Return the proof of growth that a line is; what it shows, `growth_faults` tells.

    Raises:
        CheckpointError: it is none.
    """
    proof = parse_document(line.removesuffix(b"\n"), GrowthProof)
    require_format(proof.format, proof.version, GROWTH_FORMAT)
    return proof


def growth_faults(earlier: Checkpoint, later: Checkpoint, proof: GrowthProof) -> Iterator[Fault]:
    """Yield where ``later`` does not continue ``earlier``, both opened before (L3): the log first, then by tenant.

    A cut tail is named by its first missing record; where a proof does not hold, any record may be another one.
    """
    first, second = earlier.signed, later.signed
    try:
        merkle.verify_consistency(
            first.seal.number, second.seal.number, first.log.root, second.log.root, _proof(proof.log)
        )
    except (CheckpointError, ProofError) as error:
        numbers = f"seal {second.seal.number} does not continue seal {first.seal.number}"
        yield Fault(None, "checkpoint", f"{numbers}: the log forked or was put back ({error})")
    now = {head.tenant_id: head for head in later.heads}
    for head in earlier.heads:
        fault = _growth_fault(head, now.get(head.tenant_id), proof.tenants.get(head.tenant_id, ()))
        if fault is not None:
            yield fault


def tenant_faults(seen: Iterable[TenantHead], leaves: Iterable[bytes]) -> Iterator[Fault]:
    """Yield the first place where a tenant's ledger is not the one that checkpoints saw (L3).

    ``seen`` is where checkpoints say it stood, in any order; ``leaves`` are the leaf hashes of its records, from the first, read
    once. The more checkpoints, the closer the range that a recomputed chain is narrowed down to.
    """
    tree, stream, good = Frontier(), iter(leaves), 0
    for head in sorted(seen, key=lambda head: head.size):
        tree = tree.extended(itertools.islice(stream, head.size - tree.size))
        if tree.size < head.size:
            yield _cut(tree.size, head)
            return
        if tree.root.hex() != head.root:
            place = f"of records {min(good + 1, head.size)} to {head.size} one is not what the checkpoint saw"
            yield Fault(min(good + 1, head.size), "checkpoint", f"{place}: the chain was computed anew")
            return
        good = head.size


def unexplained_faults(seen: Sequence[TenantHead], leaves: Iterable[bytes], bad: Sequence[int]) -> Iterator[Fault]:
    """Yield what `tenant_faults` does, but for a difference that is known already, by the number of a ``bad`` record in it.

    A changed record differs from what was sealed as well; the first bad record is that one, not the first of its checkpoint.
    """
    for fault in tenant_faults(seen, leaves):
        first = fault.seq or 0
        last = min((head.size for head in seen if head.size >= first), default=0)
        if not any(first <= seq <= last for seq in bad):
            yield fault


def encode(proof: RecordProof | GrowthProof) -> bytes:
    """Return the line that a proof is, newline included."""
    return canonical.encode(msgspec.to_builtins(proof)) + b"\n"


def _sealed(leaves: Sequence[bytes], head: TenantHead) -> Sequence[bytes]:
    if len(leaves) < head.size:
        raise ProofError(_cut(len(leaves), head).message)
    return leaves[: head.size]


def _growth_fault(then: TenantHead, now: TenantHead | None, path: _Hex) -> Fault | None:
    size = now.size if now is not None else 0
    if now is None or size < then.size:
        return _cut(size, then) if then.size else None
    if then.size == 0:
        return None  # any ledger begins with none
    try:
        merkle.verify_consistency(then.size, size, root_bytes(then.root), root_bytes(now.root), _proof(path))
    except (CheckpointError, ProofError) as error:
        message = f"tenant `{then.tenant_id}`: the first {then.size} records are not shown to be the same ({error})"
        return Fault(None, "checkpoint", message)
    return None


def _cut(size: int, seen: TenantHead) -> Fault:
    ends = f"tenant `{seen.tenant_id}` ends after record {size}, the checkpoint saw {seen.size}"
    return Fault(size + 1, "checkpoint", f"{ends}: it was cut, or is an old copy")


def _hex(path: Proof) -> _Hex:
    return tuple(item.hex() for item in path)


def _proof(path: _Hex) -> Proof:
    return tuple(root_bytes(item) for item in path)


# Understood here and not at their first use, which two threads must not make at the same time: msgspec would crash.
msgspec.json.Decoder(RecordProof)
msgspec.json.Decoder(GrowthProof)
