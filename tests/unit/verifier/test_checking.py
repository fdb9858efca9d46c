from __future__ import annotations

import gzip
from typing import Any

import pytest

from tests import samples
from tests.sealing import counted, decide, make_keys, reader, sealer, witness
from weighbridge import keys
from weighbridge.errors import UsageError
from weighbridge.ledger import proof
from weighbridge.ledger.checkpoint import CheckpointError
from weighbridge.storage.audit import export_ledger
from weighbridge.verifier import checking


@pytest.fixture
def place(tmp_path):
    """Three seals of a growing store, an export of it, and a proof of one record."""
    make_keys(tmp_path / "keys")
    decide(tmp_path / "s.db", "theirs", tenant="beta")
    store: Any = None
    made: list[Any] = []
    for number, names in enumerate([("a", "b"), ("c",), ("d", "e")]):
        decide(tmp_path / "s.db", *names)
        store = reader(tmp_path / "s.db")
        sealing = sealer(store, tmp_path / "keys", witness(tmp_path / "w"))
        sealing.resume(begin=number == 0)
        made.append(sealing.seal())
        if number < 2:
            store.close()
    (tmp_path / "acme.export").write_bytes(b"".join(export_ledger(store, "acme")))
    leaves = {name: [stored.leaf_hash for stored in store.records(name)] for name in ("acme", "beta")}
    line = proof.encode(proof.prove_record(made[2], store.record("acme", 3).body, leaves["acme"]))
    (tmp_path / "record.proof").write_bytes(line)
    seals = [checkpoint.signed.seal.leaf for checkpoint in made]
    grown = proof.prove_growth(made[0], made[2], seals, leaves.__getitem__)
    (tmp_path / "growth.proof").write_bytes(proof.encode(grown))
    store.close()
    return tmp_path


def file(place, number):
    return place / "w" / f"{number:016d}.checkpoint"


def forked(place):
    """Seal another history of the same name, and return its folder."""
    other = place / "other"
    other.mkdir()
    decide(other / "s.db", "theirs", tenant="beta")
    decide(other / "s.db", "a", "x", "y")
    store = reader(other / "s.db")
    for number in range(2):
        sealing = sealer(store, place / "keys", witness(other / "w"))
        sealing.resume(begin=number == 0)
        sealing.seal()
        store.close()
        decide(other / "s.db", "z")
        store = reader(other / "s.db")
    store.close()
    return other


def export(place, *numbers, **options):
    given = {
        "checkpoints": [file(place, number) for number in numbers],
        "key": place / "keys",
        "witness": None,
    } | options
    return checking.check_export(
        options.pop("file", place / "acme.export"), **{k: v for k, v in given.items() if k != "file"}
    )


def test_an_export_is_what_was_sealed(place):
    found = export(place, 3)
    assert found.ok
    assert found.said[0] == "tenant `acme`: records 1 to 5 verify"
    assert "records 1 to 5 are those that were sealed" in found.said
    assert found.limits == ()


def test_what_no_seal_covers_is_said(place):
    assert export(place, 2).limits[0].startswith("from record 4 on the chain alone was checked")
    found = export(place)
    assert found.ok
    assert found.limits[0].startswith("from record 1 on the chain alone")


def test_a_cut_export_is_found_against_a_checkpoint_and_only_so(place):
    """L3: the chain of a shorter ledger verifies."""
    store = reader(place / "s.db")
    (place / "short.export").write_bytes(b"".join(export_ledger(store, "acme", last_seq=3)))
    store.close()
    assert export(place, file=place / "short.export").ok
    found = export(place, 3, file=place / "short.export")
    assert not found.ok
    assert found.said[0].endswith("does not verify; the first bad record is 4")
    assert "ends after record 3, the checkpoint saw 5: it was cut, or is an old copy" in found.said[1]


def test_a_chain_that_was_computed_anew_is_narrowed_down_by_more_checkpoints(place):
    """L3: a folder of checkpoints tells between which two the other history begins."""
    other = place / "anew.db"
    decide(other, "theirs", tenant="beta")
    for names in (("a", "b"), ("c",), ("another", "e")):
        decide(other, *names)
    store = reader(other)
    (place / "anew.export").write_bytes(b"".join(export_ledger(store, "acme")))
    store.close()
    assert export(place, file=place / "anew.export").ok
    found = export(place, checkpoints=[place / "w"], file=place / "anew.export")
    assert "of records 4 to 5 one is not what the checkpoint saw: the chain was computed anew" in found.said[1]


def test_an_export_of_another_tenant_or_of_a_part_is_not_shown_by_a_checkpoint(place):
    decide(place / "s.db", "late", tenant="zeta")
    store = reader(place / "s.db")
    (place / "zeta.export").write_bytes(b"".join(export_ledger(store, "zeta")))
    (place / "part.export").write_bytes(b"".join(export_ledger(store, "acme", after_seq=2)))
    store.close()
    assert "says anything of tenant `zeta`" in export(place, 3, file=place / "zeta.export").said[1]
    assert "or a bundle" in export(place, 3, file=place / "part.export").said[1]


def test_a_packed_export_and_one_that_was_cut(place):
    data = gzip.compress((place / "acme.export").read_bytes())
    (place / "acme.gz").write_bytes(data)
    assert export(place, 3, file=place / "acme.gz").ok
    (place / "acme.gz").write_bytes(data[:-20])
    assert not export(place, 3, file=place / "acme.gz").ok


def test_a_record_is_proved_by_one_line(place):
    found = checking.check_proofs(place / "record.proof", place / "keys")
    assert found.ok
    assert found.said[0].startswith("record 3 of tenant `acme` (")
    assert "seal 3 of ledger.example/log" in found.said[1]


def test_a_proof_that_was_changed_does_not_hold(place):
    """L3: whatever byte."""
    data = (place / "record.proof").read_bytes()
    for at in range(0, len(data) - 1, 7):
        changed = bytearray(data)
        changed[at] ^= 1
        (place / "record.proof").write_bytes(changed)
        assert not checking.check_proofs(place / "record.proof", place / "keys").ok, at
    (place / "record.proof").write_bytes(data * 2 + data.replace(b"acme", b"acne"))
    found = checking.check_proofs(place / "record.proof", place / "keys")
    assert found.said[0].startswith("the proof in line 3 does not hold")
    (place / "record.proof").write_bytes(b"\n")
    with pytest.raises(UsageError, match="no proof"):
        checking.check_proofs(place / "record.proof", place / "keys")


def growth(place, earlier, later, line=None):
    return checking.check_growth(earlier, later, line or place / "growth.proof", place / "keys")


def test_growth_between_two_checkpoints_is_shown(place):
    found = growth(place, file(place, 1), file(place, 3))
    assert found.ok
    assert found.said[2].endswith("nothing was cut or changed between them")
    with pytest.raises(UsageError, match="in the order they were sealed"):
        growth(place, file(place, 3), file(place, 1))


def test_a_history_that_forked_is_found(place):
    """L3: two signed checkpoints of two histories under one name."""
    found = growth(place, file(place, 1), file(forked(place), 2))
    assert not found.ok
    assert "seal 2 does not continue seal 1: the log forked or was put back" in "\n".join(found.said)


def test_a_proof_of_other_checkpoints_shows_nothing(place):
    assert not growth(place, file(place, 2), file(place, 3)).ok
    found = growth(place, file(place, 1), file(place, 3), place / "record.proof")
    assert found.said[0].startswith("the proof of growth is none")


def test_checkpoints_are_of_one_log(place):
    found = checking.check_checkpoints([place / "w"], place / "keys" / keys.PUBLIC)
    assert [line.partition(" of ")[0] for line in found.said] == ["seal 1", "seal 2", "seal 3"]
    other = forked(place)
    with pytest.raises(CheckpointError, match="two checkpoints are seal 1 and differ"):
        checking.check_checkpoints([place / "w", other / "w"], place / "keys")
    with pytest.raises(CheckpointError, match="seal 2 does not continue seal 1: the log forked"):
        checking.check_checkpoints([file(place, 1), file(other, 2)], place / "keys")


def test_a_checkpoint_of_somebody_else_is_refused_and_named(place):
    keys.create(place / "mine", "mine.example/log", counted())
    with pytest.raises(CheckpointError, match=r"`0000000000000001\.checkpoint`: no listed key"):
        checking.check_checkpoints([place / "w"], place / "mine")


def test_what_is_not_there_is_said(place):
    (place / "empty").mkdir()
    with pytest.raises(UsageError, match="no checkpoints are in"):
        checking.check_checkpoints([place / "empty"], place / "keys")
    with pytest.raises(UsageError, match="cannot be read"):
        checking.check_checkpoints([place / "none"], place / "keys")
    with pytest.raises(UsageError, match="cannot be read"):
        export(place, file=place / "none")


def test_a_rotated_key_goes_on_verifying(place):
    entropy = counted()
    entropy(1)
    keys.rotate(place / "keys", entropy, at_once=True)
    assert export(place, 3).ok
    assert checking.check_proofs(place / "record.proof", place / "keys").ok
    assert samples.NOW in checking.check_checkpoints([place / "w"], place / "keys").said[0]
