"""Trees of any size: proofs hold, what is false is refused, and another implementation says the same."""

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.ledger import chain
from weighbridge.ledger.merkle import (
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    subtree_proof,
    tree_head,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
)

BODIES = st.lists(st.binary(max_size=8), min_size=1, max_size=140)
HASHES = st.binary(min_size=32, max_size=32)


@st.composite
def trees(draw):
    bodies = draw(BODIES)
    index = draw(st.integers(0, len(bodies) - 1))
    return SimpleNamespace(bodies=bodies, leaves=[chain.leaf_hash(body) for body in bodies], index=index)


@given(trees(), st.data())
def test_a_proof_of_inclusion_holds_for_its_leaf_alone(tree, data):
    """L3."""
    size, root = len(tree.leaves), tree_head(tree.leaves)
    proof = inclusion_proof(tree.leaves, tree.index)
    verify_inclusion(tree.index, size, tree.leaves[tree.index], proof, root)
    assert len(proof) <= size.bit_length()
    other = data.draw(HASHES)
    if other != tree.leaves[tree.index]:
        with pytest.raises(ProofError):
            verify_inclusion(tree.index, size, other, proof, root)


@given(trees(), st.data())
def test_a_proof_of_growth_holds_unless_an_earlier_leaf_changed(tree, data):
    """L3: rewriting any record that was sealed is found, whatever was appended after it."""
    size1, size2 = tree.index + 1, len(tree.leaves)
    root1, root2 = tree_head(tree.leaves[:size1]), tree_head(tree.leaves)
    verify_consistency(size1, size2, root1, root2, consistency_proof(tree.leaves, size1))
    rewritten = list(tree.leaves)
    place = data.draw(st.integers(0, tree.index))
    rewritten[place] = chain.leaf_hash(tree.bodies[place] + b"!")
    with pytest.raises(ProofError):
        verify_consistency(size1, size2, root1, tree_head(rewritten), consistency_proof(rewritten, size1))


@given(trees(), st.integers(0, 8))
def test_a_proof_of_a_subtree_holds(tree, levels):
    start = tree.index >> levels << levels
    end = min(start + (1 << levels), len(tree.leaves))
    part, root = tree_head(tree.leaves[start:end]), tree_head(tree.leaves)
    proof = subtree_proof(tree.leaves, start, end)
    verify_subtree_consistency((start, end), len(tree.leaves), part, root, proof)


@given(st.integers(-2, 40), st.integers(-2, 40), st.lists(HASHES, max_size=8), HASHES, HASHES)
def test_whatever_a_stranger_hands_in_is_a_proof_or_is_refused(size1, size2, proof, root1, root2):
    """L3: never another error; and hashes made up prove nothing."""
    with pytest.raises(ProofError):
        verify_inclusion(size1, size2, root1, [*proof, root1], root2)
    try:
        verify_consistency(size1, size2, root1, root2, proof)
    except ProofError:
        return
    assert (size1, root1, proof) == (size2, root2, [])


@given(trees(), st.lists(st.integers(0, 9), max_size=30))
def test_a_frontier_that_grows_in_pieces_is_the_tree(tree, pieces):
    """L3: what a sealer keeps does not depend on when it looked."""
    frontier, stream = Frontier(), iter(tree.leaves)
    for piece in pieces:
        frontier = frontier.extended(itertools.islice(stream, piece))
        assert frontier.root == tree_head(tree.leaves[: frontier.size])


@given(trees())
def test_another_implementation_makes_the_same_trees_and_proofs(tree):
    """L3: `pymerkle` by another author, from the records' bodies."""
    pymerkle = pytest.importorskip("pymerkle", reason="pymerkle is not installed; trees are compared with nothing")
    other = pymerkle.InmemoryTree(algorithm="sha256")
    for body in tree.bodies:
        other.append_entry(body)
    size, size1 = len(tree.leaves), tree.index + 1
    assert other.get_root(size) == tree_head(tree.leaves)
    inclusion = other.prove_inclusion(size1, size)  # counts from 1
    root1, root2 = tree_head(tree.leaves[:size1]), tree_head(tree.leaves)
    assert tuple(inclusion.path[1:]) == inclusion_proof(tree.leaves, tree.index)
    pymerkle.verify_inclusion(tree.leaves[tree.index], root2, inclusion)
    pymerkle.verify_consistency(root1, root2, other.prove_consistency(size1, size))
