from __future__ import annotations

import msgspec
import pytest

from tests.notes import KEY, is_signature
from weighbridge import canonical
from weighbridge.errors import LedgerCorrupt, NotFound
from weighbridge.ledger import chain
from weighbridge.ledger.checkpoint import CheckpointError, seal_ledgers
from weighbridge.ledger.merkle import Frontier, ProofError, tree_head
from weighbridge.ledger.note import NoteError
from weighbridge.ledger.range_proof import (
    RangeProof,
    encode,
    joined,
    open_range_proof,
    prove_range,
    range_fault,
    sizes,
)

LEAVES = [chain.leaf_hash(b"%d" % number) for number in range(13)]
SIZES = range(1, len(LEAVES) + 1)


def sealed(size=13, tenants=("acme", "beta", "gamma")):
    trees = {tenant: Frontier().extended(LEAVES[: size if tenant == "acme" else 3]) for tenant in tenants}
    log = Frontier().extended(LEAVES[:5])
    return seal_ledgers(trees, log, sealed_at="2026-11-22T10:00:00.000Z", signers=[KEY])


def wrong(proof, leaves):
    found = range_fault(proof, leaves)
    assert found
    return found


def changed(proof, **fields):
    return encode(msgspec.structs.replace(proof, **fields))


@pytest.mark.parametrize("end", SIZES)
@pytest.mark.parametrize("start", [0, *SIZES])
def test_the_fewest_complete_subtrees_give_the_root(start, end):
    """RFC 6962, section 2.1: whatever the place, parts side by side are the tree."""
    parts = [*sizes(0, start), *[1] * max(0, end - start), *sizes(max(start, end), len(LEAVES))]
    assert sum(parts) == len(LEAVES)
    at, known = 0, []
    for size in parts:
        known.append((size, tree_head(LEAVES[at : at + size])))
        at += size
    assert joined(known) == tree_head(LEAVES)


def test_a_tree_without_leaves_has_its_root():
    assert joined([]) == tree_head([])


@pytest.mark.parametrize("size", SIZES)
def test_every_range_of_every_ledger_is_proved(size):
    """L3: the records of a range, and no others, are those that were sealed."""
    checkpoint = sealed(size)
    for first in range(1, size + 1):
        for last in range(first, size + 1):
            made = prove_range(checkpoint, "acme", first, last, LEAVES)
            proof, opened = open_range_proof(encode(made), [KEY.key], is_signature)
            assert opened.seal.number == 6
            assert range_fault(proof, LEAVES[first - 1 : last]) is None
            assert wrong(proof, LEAVES[first - 1 : last - 1]).seq == last
            other = [*LEAVES[first - 1 : last]]
            other[-1] = chain.leaf_hash(b"another")
            assert "computed anew" in wrong(proof, other).message


@pytest.mark.parametrize("tenants", [("acme",), ("acme", "z"), ("a", "acme"), ("a", "acme", "b", "c", "d", "e")])
def test_the_place_among_the_tenants_is_proved(tenants):
    proof, _ = open_range_proof(encode(prove_range(sealed(5, tenants), "acme", 2, 4, LEAVES)), [KEY.key], is_signature)
    assert range_fault(proof, LEAVES[1:4]) is None


def test_it_names_no_other_tenant():
    """L5: what an auditor of one tenant is given tells nothing of another but that there are some."""
    line = encode(prove_range(sealed(), "acme", 2, 9, LEAVES))
    assert b"beta" not in line
    assert b"gamma" not in line


def test_what_was_sealed_later_is_left_out_and_what_was_not_sealed_is_said():
    assert prove_range(sealed(5), "acme", 3, 9, LEAVES).last_seq == 5
    with pytest.raises(NotFound, match="older than record 6"):
        prove_range(sealed(5), "acme", 6, 9, LEAVES)
    with pytest.raises(NotFound):
        prove_range(sealed(5), "nobody", 1, 1, LEAVES)


def test_a_ledger_that_is_not_the_sealed_one_gets_no_proof():
    other = [chain.leaf_hash(b"x"), *LEAVES[1:]]
    with pytest.raises(ProofError, match="computed anew"):
        prove_range(sealed(), "acme", 2, 5, other)
    with pytest.raises(ProofError, match="is missing"):
        prove_range(sealed(), "acme", 2, 13, LEAVES[:8])


def test_a_change_of_any_field_is_refused():
    """L3: no part of a proof can be another one."""
    proof = prove_range(sealed(), "acme", 4, 9, LEAVES)
    flip = "0" * 64
    edits: dict[str, list] = {
        "format": ["x"],
        "version": [2],
        "first_seq": [0, 3, 5, 14, 2**53 - 1],
        "last_seq": [0, 3, 8, 10, 14],
        "before": [(), (*proof.before, flip), (flip, *proof.before[1:]), ("zz", *proof.before[1:])],
        "after": [(), (*proof.after, flip), (flip, *proof.after[1:])],
        "head": [
            msgspec.structs.replace(proof.head, size=12),
            msgspec.structs.replace(proof.head, tenant_id="beta"),
            msgspec.structs.replace(proof.head, root=flip),
        ],
        "forest_index": [-1, 1, 3],
        "forest_before": [(flip,)],
        "forest_after": [(), (flip, *proof.forest_after[1:]), tuple(reversed(proof.forest_after))],
        "signed": [
            msgspec.structs.replace(proof.signed, note=proof.signed.note.replace("\n6\n", "\n7\n")),
            msgspec.structs.replace(proof.signed, seal=msgspec.structs.replace(proof.signed.seal, records=1)),
            msgspec.structs.replace(proof.signed, before=(flip, *proof.signed.before[1:])),
        ],
    }
    assert set(edits) == set(RangeProof.__struct_fields__)
    for field, values in edits.items():
        for value in values:
            try:
                found, _ = open_range_proof(changed(proof, **{field: value}), [KEY.key], is_signature)
            except LedgerCorrupt:
                continue
            assert range_fault(found, LEAVES[3:9]) is not None, (field, value)


def test_a_line_that_is_none_or_is_not_signed_is_refused():
    line = encode(prove_range(sealed(), "acme", 1, 2, LEAVES))
    with pytest.raises(CheckpointError):
        open_range_proof(line[:-5], [KEY.key], is_signature)
    with pytest.raises(CheckpointError):
        open_range_proof(line.replace(b'":', b'" :', 1), [KEY.key], is_signature)
    with pytest.raises(NoteError):
        open_range_proof(line, [], is_signature)
    assert canonical.decode(line)["format"] == "weighbridge-range"
