"""What a checkpoint proves: a record, growth, and that a ledger is the one that was sealed."""

import itertools
import json

import msgspec
import pytest

from tests.notes import KEY, is_signature
from weighbridge.errors import LedgerCorrupt, NotFound, UsageError
from weighbridge.ledger import chain, record
from weighbridge.ledger.checkpoint import CheckpointError, TenantHead, seal_ledgers
from weighbridge.ledger.merkle import Frontier, ProofError
from weighbridge.ledger.note import NoteError
from weighbridge.ledger.proof import (
    encode,
    growth_faults,
    open_growth_proof,
    open_record_proof,
    prove_growth,
    prove_record,
    tenant_faults,
)

AT = "2026-11-22T10:00:00.000Z"
TENANTS = ("acme", "globex", "initech")


def _body(tenant_id, seq, note=""):
    return record.encode(tenant_id, seq, {"note": note}, [{"type": "OPERATION_COMPLETED"}])


BODIES = {tenant: [_body(tenant, seq) for seq in range(1, 12)] for tenant in TENANTS}
LEAVES = {tenant: [chain.leaf_hash(body) for body in bodies] for tenant, bodies in BODIES.items()}


def _log(*sizes, leaves=LEAVES):
    """Return the checkpoints of one log, sealed at these sizes of the tenants' ledgers."""
    made, log = [], Frontier()
    for at in sizes:
        ledgers = {tenant: Frontier().extended(leaves[tenant][:size]) for tenant, size in at.items()}
        made.append(seal_ledgers(ledgers, log, sealed_at=AT, signers=[KEY]))
        log = made[-1].signed.log
    return made


FIRST, SECOND, THIRD = _log(
    {"acme": 5, "globex": 0},
    {"acme": 9, "globex": 3, "initech": 2},
    {"acme": 11, "globex": 3, "initech": 2},
)
SEALS = [checkpoint.signed.seal.leaf for checkpoint in (FIRST, SECOND, THIRD)]


def _open(line, keys=(KEY.key,)):
    return open_record_proof(line, keys, is_signature)


@pytest.mark.parametrize(("tenant", "seq"), [("acme", 1), ("acme", 9), ("globex", 2), ("initech", 1)])
def test_a_record_that_was_sealed_can_be_proved_with_a_public_key_alone(tenant, seq):
    """L3: from the body to the signature, naming no other tenant (L5)."""
    line = encode(prove_record(SECOND, BODIES[tenant][seq - 1], LEAVES[tenant]))
    proof, opened = _open(line)
    assert proof.body.encode() == BODIES[tenant][seq - 1]
    assert (opened.origin, opened.seal.number) == ("ledger.example/log", 2)
    assert not [other for other in TENANTS if other != tenant and other.encode() in line]
    with pytest.raises(NoteError):
        _open(line, [])


def test_every_changed_byte_of_a_proof_is_found():
    """L3."""
    line = encode(prove_record(SECOND, BODIES["globex"][1], LEAVES["globex"]))
    for place, byte in enumerate(line[:-1]):
        with pytest.raises((LedgerCorrupt, NoteError)):
            _open(line[:place] + bytes([byte ^ 1]) + line[place + 1 :])
        with pytest.raises(CheckpointError):
            _open(line[:place])


def test_a_record_that_was_not_sealed_cannot_be_proved():
    """L3: one that came later, one of an unknown tenant, a changed one, one of a ledger that was changed or cut."""
    for body in (BODIES["acme"][9], BODIES["initech"][0]):
        with pytest.raises(NotFound):
            prove_record(FIRST, body, LEAVES[record.decode(body).tenant_id])
    changed = _body("acme", 2, note="changed")
    leaves = [*LEAVES["acme"][:1], chain.leaf_hash(changed), *LEAVES["acme"][2:]]
    for body, stored in [
        (changed, LEAVES["acme"]),
        (changed, leaves),
        (BODIES["acme"][0], leaves),
        (BODIES["acme"][0], LEAVES["acme"][:4]),
    ]:
        with pytest.raises(ProofError):
            prove_record(FIRST, body, stored)


def test_a_proof_put_together_from_others_is_refused():
    """L3: another record's body, another tenant's head, another seal."""
    one, other = (
        json.loads(encode(prove_record(SECOND, BODIES[tenant][0], LEAVES[tenant]))) for tenant in ("acme", "globex")
    )
    older = json.loads(encode(prove_record(FIRST, BODIES["acme"][0], LEAVES["acme"])))
    for part, source in itertools.product(
        ("body", "path", "head", "forest_index", "forest_path", "signed"), (other, older)
    ):
        mixed = {**one, part: source[part]}
        if mixed == one:
            continue
        line = json.dumps(mixed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        with pytest.raises(LedgerCorrupt):
            _open(line)


def test_a_record_in_the_ledger_of_another_tenant_proves_nothing():
    """L3, L5: even where it was sealed there, its body says whose it is."""
    (moved,) = _log({"acme": 2, "globex": 2}, leaves={"acme": LEAVES["globex"], "globex": LEAVES["globex"]})
    proof = prove_record(moved, BODIES["globex"][0], LEAVES["globex"])
    _open(encode(proof))
    other = (moved.heads[1].leaf.hex(),)
    with pytest.raises(ProofError, match="the record is of tenant `globex`, the proof of `acme`"):
        _open(encode(msgspec.structs.replace(proof, head=moved.heads[0], forest_index=0, forest_path=other)))


@pytest.mark.parametrize("earlier", [FIRST, SECOND, THIRD])
def test_growth_is_shown_from_every_checkpoint_to_the_last(earlier):
    """L3: from no records too, which needs no proof; and from a checkpoint to itself."""
    proof = open_growth_proof(encode(prove_growth(earlier, THIRD, SEALS, LEAVES.__getitem__)))
    assert list(growth_faults(earlier, THIRD, proof)) == []


def _growth(earlier, later, seals, leaves=LEAVES):
    return list(growth_faults(earlier, later, prove_growth(earlier, later, seals, leaves.__getitem__)))


def test_a_ledger_that_lost_its_tail_between_two_checkpoints_is_named():
    """L3: cut, and gone altogether."""
    _, cut = _log({"acme": 5, "globex": 0}, {"acme": 3, "globex": 0})
    (fault,) = _growth(FIRST, cut, [SEALS[0], cut.signed.seal.leaf])
    assert (fault.seq, fault.part) == (4, "checkpoint")
    assert "tenant `acme` ends after record 3, the checkpoint saw 5" in fault.message
    _, gone = _log({"acme": 5, "globex": 0}, {"globex": 1})
    (fault,) = _growth(FIRST, gone, [SEALS[0], gone.signed.seal.leaf])
    assert (fault.seq, fault.part) == (1, "checkpoint")
    _, without_the_empty_one = _log({"acme": 5, "globex": 0}, {"acme": 5})
    assert _growth(FIRST, without_the_empty_one, [SEALS[0], without_the_empty_one.signed.seal.leaf]) == []


def test_a_ledger_that_was_rewritten_between_two_checkpoints_is_named():
    """L3: at the same size and at a larger one."""
    rewritten = {**LEAVES, "acme": [chain.leaf_hash(b"?"), *LEAVES["acme"][1:]]}
    for size in (5, 9):
        made = seal_ledgers(
            {"acme": Frontier().extended(rewritten["acme"][:size]), "globex": Frontier()},
            FIRST.signed.log,
            sealed_at=AT,
            signers=[KEY],
        )
        (fault,) = _growth(FIRST, made, [SEALS[0], made.signed.seal.leaf], rewritten)
        assert fault.seq is None
        assert "tenant `acme`: the first 5 records are not shown to be the same" in fault.message


def test_a_log_that_was_put_back_and_continued_is_named():
    """L3: an old copy seals again: the same number twice, or a longer log that is not the same one."""
    _, fork, longer = _log({"acme": 5, "globex": 0}, {"acme": 6, "globex": 0}, {"acme": 11, "globex": 3, "initech": 2})
    seals = [SEALS[0], fork.signed.seal.leaf, longer.signed.seal.leaf]
    assert [fault.message[:30] for fault in _growth(SECOND, longer, seals)] == ["seal 3 does not continue seal "]
    same = list(growth_faults(SECOND, fork, prove_growth(SECOND, SECOND, SEALS, LEAVES.__getitem__)))
    assert "the log forked" in same[0].message
    assert [fault.seq for fault in same] == [None, 7, 1, 1]


def test_growth_without_its_proof_is_not_taken_for_granted():
    proof = prove_growth(SECOND, THIRD, SEALS, LEAVES.__getitem__)
    for part in ({**json.loads(encode(proof)), "tenants": {}}, {**json.loads(encode(proof)), "log": []}):
        line = json.dumps(part, sort_keys=True, separators=(",", ":")).encode()
        assert len(list(growth_faults(SECOND, THIRD, open_growth_proof(line)))) == 1
    bad = {**json.loads(encode(proof)), "tenants": {"acme": ["no hash"]}}
    line = json.dumps(bad, sort_keys=True, separators=(",", ":")).encode()
    assert len(list(growth_faults(SECOND, THIRD, open_growth_proof(line)))) == 1


def test_growth_cannot_be_proved_backwards_nor_from_a_ledger_that_was_cut():
    with pytest.raises(UsageError, match="in the order"):
        prove_growth(THIRD, FIRST, SEALS, LEAVES.__getitem__)
    with pytest.raises(ProofError, match="ends after record 10"):
        prove_growth(FIRST, THIRD, SEALS, lambda tenant: LEAVES[tenant][:10])
    with pytest.raises(CheckpointError):
        open_growth_proof(encode(prove_record(SECOND, BODIES["acme"][0], LEAVES["acme"])))


def _seen(*sizes):
    return [TenantHead("acme", size, Frontier().extended(LEAVES["acme"][:size]).root.hex()) for size in sizes]


@pytest.mark.parametrize("sizes", [(), (0,), (11,), (9, 5, 0, 5, 11)])
def test_a_ledger_that_was_sealed_and_grew_has_no_fault(sizes):
    assert list(tenant_faults(_seen(*sizes), iter(LEAVES["acme"]))) == []


@pytest.mark.parametrize("size", range(9))
def test_a_cut_tail_and_a_restored_copy_are_found_and_named(size):
    """L3: the first record that is gone."""
    (fault,) = tenant_faults(_seen(5, 9), LEAVES["acme"][:size])
    assert (fault.seq, fault.part) == (size + 1, "checkpoint")
    assert "was cut, or is an old copy" in fault.message


@pytest.mark.parametrize(("place", "named"), [(0, 1), (4, 1), (5, 6), (8, 6), (9, None), (10, None)])
def test_a_chain_computed_anew_is_found_and_narrowed_down(place, named):
    """L3: between two checkpoints; what came after the last one nobody saw."""
    leaves = [*LEAVES["acme"][:place], chain.leaf_hash(b"?"), *LEAVES["acme"][place + 1 :]]
    assert [fault.seq for fault in tenant_faults(_seen(5, 9), leaves)] == ([named] if named else [])


def test_two_checkpoints_that_contradict_each_other_are_a_fault():
    other = TenantHead("acme", 5, chain.leaf_hash(b"?").hex())
    (fault,) = tenant_faults([*_seen(5), other], LEAVES["acme"])
    assert fault.seq == 5
