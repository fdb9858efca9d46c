"""What left the building is edited, or the store behind it is: found and named, with what a stranger has (L3).

The intruder owns the store, knows the format, and makes everything fit that can be made to fit: sums, heads, the whole chain.
What they cannot change is what a witness already holds.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.sealing import decide, make_keys, opened, reader, sealer, site, witness
from weighbridge import keys
from weighbridge.errors import LedgerCorrupt, StoreError
from weighbridge.ledger import bundle
from weighbridge.storage.audit import export_ledger, verify_store, verify_tenant
from weighbridge.storage.bundling import write_bundle
from weighbridge.verifier.bundle import check_bundle
from weighbridge.verifier.checking import check_export, check_proofs
from weighbridge.verify import verify_export

SOAK = bool(os.environ.get("WEIGHBRIDGE_SOAK"))
EXPORT_STEP = 1 if SOAK else 5
BUNDLE_STEP = 1 if SOAK else 97
STORE_FLIPS = 5_000 if SOAK else 150
RUNS = ("a", "b", "c", "d", "e")


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def original(request, tmp_path_factory, postgres):
    """A store of two tenants whose first four records are sealed, with everything that is handed out."""
    folder = tmp_path_factory.mktemp("seal")
    with site(request.param, folder, postgres) as at:
        make_keys(folder / "keys")
        decide(at.address, "theirs", tenant="beta")
        decide(at.address, *RUNS[:4])
        store = reader(at.address)
        sealing = sealer(store, folder / "keys", witness(folder / "w"))
        sealing.resume(begin=True)
        checkpoint = sealing.seal()
        store.close()
        decide(at.address, *RUNS[4:])
        store = reader(at.address)
        (folder / "acme.export").write_bytes(b"".join(export_ledger(store, "acme")))
        out = io.BytesIO()
        write_bundle(store, "acme", out.write, checkpoints=[checkpoint], keys=keys.public_keys(folder / "keys"))
        (folder / "acme.zip").write_bytes(out.getvalue())
        store.close()
        at.save("original")
        yield folder, at


@pytest.fixture
def at(original):
    """The store, as it was."""
    _, site_ = original
    site_.restore("original")
    return site_


@pytest.fixture
def place(original, tmp_path):
    """A folder with everything else."""
    folder, _ = original
    shutil.copytree(folder, tmp_path / "place")
    return tmp_path / "place"


def heads(place):
    return opened(witness(place / "w"), 1, place / "keys")[0].heads


def faults(place, at):
    """Return every fault of both tenants, against the checkpoint; a store that does not open is one."""
    try:
        store = reader(at.address)
    except (StoreError, LedgerCorrupt) as error:
        return [str(error)]
    try:
        return [
            fault
            for tenant in sorted({*store.tenants(), *(head.tenant_id for head in heads(place))})
            for fault in verify_tenant(store, tenant, seen=heads(place)).faults
        ]
    except (StoreError, LedgerCorrupt) as error:
        return [str(error)]
    finally:
        store.close()


def another(at, tenants):
    """Put another history in the store's place: every record, head and row of it fits."""
    at.empty()
    for tenant, runs in tenants:
        decide(at.address, *runs, tenant=tenant)
    store = reader(at.address)
    assert verify_store(store).ok  # the store alone shows nothing
    store.close()


THEIRS = ("beta", ("theirs",))


def test_nothing_is_wrong_with_the_original(place, at):
    assert faults(place, at) == []


@pytest.mark.parametrize(
    ("history", "named"),
    [
        ([THEIRS, ("acme", ("a", "x", "c", "d", "e"))], "of records 1 to 4 one is not what the checkpoint saw"),
        ([THEIRS, ("acme", ("a", "c", "d", "e"))], "of records 1 to 4 one is not what"),
        ([THEIRS, ("acme", ("a", "b", "b2", "c", "d", "e"))], "of records 1 to 4 one is not what"),
        ([THEIRS, ("acme", ("b", "a", "c", "d", "e"))], "of records 1 to 4 one is not what"),
        ([THEIRS, ("acme", ("a", "b", "c"))], "`acme` ends after record 3, the checkpoint saw 4"),
        ([("acme", RUNS)], "`beta` ends after record 0, the checkpoint saw 1"),
    ],
    ids=["change", "drop", "insert", "swap", "truncate", "remove a tenant"],
)
def test_a_history_that_was_computed_anew_is_found_and_named(place, at, history, named):
    """L3: against a checkpoint kept elsewhere, and only so."""
    another(at, history)
    assert named in "\n".join(fault.message for fault in faults(place, at))


def test_what_came_after_the_seal_is_not_shown_by_it(place, at):
    """L3: the documentation claims exactly this, and no more."""
    another(at, [THEIRS, ("acme", RUNS[:4])])
    assert faults(place, at) == []


def test_an_old_copy_is_found(place, at):
    """L3: roll back."""
    at.save("old")
    decide(at.address, "f", "g")
    store = reader(at.address)
    sealing = sealer(store, place / "keys", witness(place / "w"))
    sealing.resume()
    sealing.seal()
    store.close()
    at.restore("old")
    store = reader(at.address)
    assert verify_store(store).ok
    found = verify_tenant(store, "acme", seen=opened(witness(place / "w"), 2, place / "keys")[0].heads)
    store.close()
    assert found.first_bad
    assert (found.first_bad.seq, found.first_bad.part) == (6, "checkpoint")


@pytest.mark.parametrize("original", ["sqlite"], indirect=True)  # a database lies in many files: `test_store_mutation`
def test_a_byte_of_the_store_that_is_flipped_is_found_or_says_nothing(place, at):
    """L3: bytes that hold no record, row or setting may change; whatever is read then is what was written."""
    data = Path(at.address).read_bytes()
    expected = (place / "acme.export").read_bytes()
    chance, found = random.Random(4), 0
    for _ in range(STORE_FLIPS):
        spot = chance.randrange(len(data))
        changed = bytearray(data)
        changed[spot] ^= 1 << chance.randrange(8)
        Path(at.address).write_bytes(changed)
        if faults(place, at):
            found += 1
            continue
        store = reader(at.address)
        assert b"".join(export_ledger(store, "acme")) == expected, spot
        store.close()
    assert found > STORE_FLIPS // 10


def test_a_byte_of_an_export_that_is_flipped_is_found(place):
    """L3: any byte, and the first bad record is named where it is one's."""
    data = (place / "acme.export").read_bytes()
    ends = [at for at, byte in enumerate(data) if byte == 10]
    for at in range(0, len(data), EXPORT_STEP):
        changed = bytearray(data)
        changed[at] ^= 1
        report = verify_export(bytes(changed).splitlines(keepends=True), seen=heads(place))
        assert not report.ok, at
        line = sum(end < at for end in ends)
        assert report.first_bad
        if 1 <= line <= len(RUNS) and data[at] != 10:
            assert report.first_bad.seq == line, at


@pytest.mark.parametrize("keep", range(1, len(RUNS) + 2))
def test_an_export_that_is_cut_is_found(place, at, keep):
    """L3: cut as a file, and cut by somebody who writes the last line anew."""
    lines = (place / "acme.export").read_bytes().splitlines(keepends=True)
    assert not verify_export(lines[:keep]).ok
    store = reader(at.address)
    (place / "cut.export").write_bytes(b"".join(export_ledger(store, "acme", last_seq=max(1, keep - 1))))
    store.close()
    found = check_export(place / "cut.export", [place / "w"], place / "keys", None)
    assert found.ok is (keep - 1 >= 4)


@pytest.mark.slow
def test_a_byte_of_a_bundle_that_is_flipped_is_found(place):
    """L3: any byte, those of the zip around the files included."""
    data = (place / "acme.zip").read_bytes()
    assert check_bundle(place / "acme.zip", place / "keys").ok
    for at in range(0, len(data), BUNDLE_STEP):
        changed = bytearray(data)
        changed[at] ^= 1
        (place / "acme.zip").write_bytes(changed)
        found = check_bundle(place / "acme.zip", place / "keys")
        assert not found.ok, at
        assert "acme.zip" in found.said[0]


@pytest.mark.parametrize("cut", [1, 50, 1000])
def test_a_bundle_that_is_cut_or_grew_is_found(place, cut):
    """L3."""
    data = (place / "acme.zip").read_bytes()
    for changed in (data[:-cut], data + b"\0" * cut):
        (place / "acme.zip").write_bytes(changed)
        assert not check_bundle(place / "acme.zip", place / "keys").ok


def test_a_bundle_of_another_history_with_the_old_seal_is_found(place, at):
    """L3: everything in it was made anew, and fits, but for the seal."""
    with zipfile.ZipFile(place / "acme.zip") as packed:
        seal = packed.read(bundle.SEALS)
    another(at, [THEIRS, ("acme", ("a", "b", "c", "x", "e"))])
    store, out = reader(at.address), io.BytesIO()
    write_bundle(store, "acme", out.write, keys=keys.public_keys(place / "keys"))
    store.close()
    (place / "anew.zip").write_bytes(out.getvalue())
    assert check_bundle(place / "anew.zip", place / "keys").ok
    assert "there are none in it" in check_bundle(place / "anew.zip", place / "keys").limits[0]
    from weighbridge.parcel import Parcel

    with zipfile.ZipFile(place / "anew.zip") as packed:
        files = {name: packed.read(name) for name in packed.namelist()} | {bundle.SEALS: seal}
    del files[bundle.SUMS]
    out = io.BytesIO()
    parcel = Parcel(out.write)
    for name, data in files.items():
        with parcel.file(name) as write:
            write(data)
    sums = bundle.sums(parcel.digests)
    with parcel.file(bundle.SUMS) as write:
        write(sums)
    parcel.close()
    (place / "anew.zip").write_bytes(out.getvalue())
    found = check_bundle(place / "anew.zip", place / "keys")
    assert "of records 1 to 4 one is not what seal 1 saw" in "\n".join(found.said)


def test_a_proof_is_no_proof_of_another_record(place, at):
    """L3: nor in the name of another key."""
    from weighbridge.ledger import proof

    store = reader(at.address)
    leaves = [stored.leaf_hash for stored in store.records("acme", 1, 4)]
    checkpoint = opened(witness(place / "w"), 1, place / "keys")[0]
    line = proof.encode(proof.prove_record(checkpoint, store.record("acme", 2).body, leaves))
    store.close()
    (place / "p").write_bytes(line)
    assert check_proofs(place / "p", place / "keys").ok
    (place / "p").write_bytes(line.replace(b"ALLOW", b"BLOCK"))
    assert not check_proofs(place / "p", place / "keys").ok
    make_keys(place / "others")
    (place / "p").write_bytes(line)
    keys.rotate(place / "others", os.urandom, at_once=True)
    text = (place / "others" / keys.PUBLIC).read_text().splitlines()[-1]
    (place / "other.txt").write_text(text)
    assert not check_proofs(place / "p", place / "other.txt").ok
