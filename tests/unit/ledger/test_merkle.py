"""RFC 6962 trees: the published examples, every proof of small trees, and every way a proof can be false."""

import hashlib
import itertools

import pytest

from weighbridge.errors import UsageError
from weighbridge.ledger import chain
from weighbridge.ledger.merkle import (
    EMPTY_ROOT,
    TREE_SIZE_MAX,
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    node_hash,
    subtree_proof,
    tree_head,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)

LEAVES = [chain.leaf_hash(bytes([number])) for number in range(20)]
SMALL = range(1, 20)


def _head(leaves):
    """The definition of RFC 6962, section 2.1, word by word."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + _head(leaves[:k]) + _head(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(20))
def test_the_head_is_the_one_of_the_definition(size):
    """L3: and a tree without leaves has the hash of nothing."""
    assert tree_head(LEAVES[:size]) == _head(LEAVES[:size])


def test_the_head_of_no_leaves_is_the_hash_of_nothing():
    assert Frontier().root == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_leaves_and_nodes_cannot_be_mistaken_for_each_other():
    """A node's two hashes handed in as a record's body give another hash."""
    left, right = LEAVES[:2]
    assert node_hash(left, right) != chain.leaf_hash(left + right)


def test_the_example_of_the_rfc():
    """RFC 6962, section 2.1.3: seven leaves, named as there."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l = node_hash(g, h), node_hash(i, j)  # noqa: E741 - the name in the RFC
    assert tree_head(LEAVES[:7]) == node_hash(k, l)
    proofs = [inclusion_proof(LEAVES[:7], index) for index in (0, 3, 4, 6)]
    assert proofs == [(b, h, l), (c, g, l), (f, j, k), (i, k)]
    assert consistency_proof(LEAVES[:7], 3) == (c, d, g, l)
    assert consistency_proof(LEAVES[:7], 4) == (l,)
    assert consistency_proof(LEAVES[:7], 6) == (i, j, k)


@pytest.mark.parametrize("size", SMALL)
def test_every_leaf_of_a_tree_can_be_proved_and_no_other(size):
    """L3: wrong index, wrong leaf, wrong size, wrong root."""
    leaves, root = LEAVES[:size], tree_head(LEAVES[:size])
    for index, leaf in enumerate(leaves):
        proof = inclusion_proof(leaves, index)
        verify_inclusion(index, size, leaf, proof, root)
        for other in range(size + 1):
            if other != index:
                with pytest.raises(ProofError):
                    verify_inclusion(other, size, leaf, proof, root)
        for wrong in ((LEAVES[19], proof, root), (leaf, proof, LEAVES[19]), (leaf, (*proof, root), root)):
            with pytest.raises(ProofError):
                verify_inclusion(index, size, *wrong)


@pytest.mark.parametrize("size", SMALL)
def test_every_growth_can_be_proved_and_no_other(size):
    """L3: of every tree into this one; and not that it began with another one."""
    root = tree_head(LEAVES[:size])
    for earlier in range(1, size + 1):
        proof, start = consistency_proof(LEAVES[:size], earlier), tree_head(LEAVES[:earlier])
        verify_consistency(earlier, size, start, root, proof)
        wrong = [(earlier, size, LEAVES[19], root, proof), (earlier, size, start, LEAVES[19], proof)]
        wrong += [(earlier, size, start, root, (*proof, root)), (earlier, size, start, root, (root, *proof))]
        wrong += [(earlier - 1, size, start, root, proof), (size + 1, size, start, root, proof)]
        wrong += [(earlier, size, start, root, proof[:-1]), (earlier, size, start, root, proof[1:])] if proof else []
        for arguments in wrong:
            with pytest.raises(ProofError):
                verify_consistency(*arguments)


@pytest.mark.parametrize("size", SMALL)
def test_every_flipped_bit_of_a_proof_is_found(size):
    leaves, root = LEAVES[:size], tree_head(LEAVES[:size])
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        for place, item in enumerate(proof):
            flipped = (*proof[:place], bytes([item[0] ^ 1]) + item[1:], *proof[place + 1 :])
            with pytest.raises(ProofError):
                verify_inclusion(index, size, leaves[index], flipped, root)


@pytest.mark.parametrize("size", SMALL)
def test_every_subtree_can_be_proved(size):
    root = tree_head(LEAVES[:size])
    for start, end in itertools.combinations(range(size + 1), 2):
        if start % (1 << (end - start - 1).bit_length()):
            with pytest.raises(UsageError):
                subtree_proof(LEAVES[:size], start, end)
            continue
        part = tree_head(LEAVES[start:end])
        verify_subtree_consistency((start, end), size, part, root, subtree_proof(LEAVES[:size], start, end))
        for index in range(start, end):
            proof = inclusion_proof(LEAVES[start:end], index - start)
            verify_subtree_inclusion(index, (start, end), LEAVES[index], proof, part)


def test_a_hash_of_another_length_is_refused():
    """Otherwise a byte could move from one hash to its neighbour without changing what is hashed."""
    left, right = LEAVES[:2]
    root, moved = node_hash(left, right), left + right[:1]
    assert node_hash(moved, right[1:]) == root
    with pytest.raises(ProofError):
        verify_inclusion(0, 2, moved, (right[1:],), root)
    with pytest.raises(ProofError):
        verify_inclusion(1, 2, right[1:], (moved,), root)
    with pytest.raises(ProofError):
        verify_consistency(1, 2, moved, root, (right[1:],))


def test_nothing_is_proved_about_a_tree_without_leaves():
    """L3: a zero-size tree holds no leaf, and any tree begins with it."""
    verify_consistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, ())
    for arguments in [
        (0, 0, LEAVES[0], LEAVES[0], ()),
        (0, 0, EMPTY_ROOT, LEAVES[0], ()),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, (EMPTY_ROOT,)),
        (0, 1, EMPTY_ROOT, LEAVES[0], ()),
        (1, 0, LEAVES[0], EMPTY_ROOT, ()),
    ]:
        with pytest.raises(ProofError):
            verify_consistency(*arguments)
    with pytest.raises(ProofError):
        verify_inclusion(0, 0, LEAVES[0], (), EMPTY_ROOT)
    with pytest.raises(UsageError):
        inclusion_proof([], 0)
    with pytest.raises(UsageError):
        consistency_proof(LEAVES, 0)


@pytest.mark.parametrize(("index", "size"), [(-1, 2), (2, 2), (0, -1), (0, TREE_SIZE_MAX + 1), (2**200, 2**200 + 1)])
def test_impossible_numbers_are_refused(index, size):
    with pytest.raises(ProofError):
        verify_inclusion(index, size, LEAVES[0], (LEAVES[1],), LEAVES[2])
    with pytest.raises(UsageError):
        inclusion_proof(LEAVES[:2], index if index != 0 else 7)


@pytest.mark.parametrize(("start", "end", "size"), [(1, 3, 4), (2, 6, 8), (2, 1, 4), (-1, 1, 4), (0, 5, 4)])
def test_a_range_that_is_no_subtree_is_refused_whatever_the_hashes(start, end, size):
    with pytest.raises(ProofError, match="no subtree"):
        verify_subtree_consistency((start, end), size, LEAVES[0], LEAVES[1], LEAVES[:3])
    with pytest.raises(ProofError, match="no subtree"):
        verify_inclusion(0, TREE_SIZE_MAX + 1, LEAVES[0], LEAVES[:54], LEAVES[1])


def test_the_largest_tree_is_checked_without_running_out_of_stack():
    with pytest.raises(ProofError, match="not in the tree"):
        verify_inclusion(0, TREE_SIZE_MAX, LEAVES[0], LEAVES[:1] * 53, LEAVES[0])


@pytest.mark.parametrize("size", range(20))
def test_a_frontier_grows_to_the_same_tree_from_any_size(size):
    """L3: what a sealer keeps: as many hashes as the size has bits set."""
    frontier = Frontier().extended(LEAVES[:size])
    assert len(frontier.peaks) == size.bit_count()
    assert frontier.extended(LEAVES[size:]) == Frontier().extended(LEAVES)
    assert Frontier(frontier.size, frontier.peaks).root == _head(LEAVES[:size])


@pytest.mark.parametrize(
    ("size", "peaks"), [(-1, (LEAVES[0],)), (2, ()), (1, (b"short",)), (TREE_SIZE_MAX + 1, (LEAVES[0],))]
)
def test_a_frontier_that_cannot_be_is_refused(size, peaks):
    with pytest.raises(ProofError):
        Frontier(size, peaks)
