from __future__ import annotations

import io
import json
import zipfile

import pytest

from tests.sealing import counted, decide, make_keys, reader, sealer, witness
from weighbridge import keys
from weighbridge.errors import UsageError
from weighbridge.ledger import bundle
from weighbridge.parcel import Parcel
from weighbridge.storage.bundling import write_bundle
from weighbridge.verifier.bundle import check_bundle


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    make_keys(folder / "keys")
    decide(folder / "s.db", "theirs", tenant="beta")
    decide(folder / "s.db", "a", "b", "c")
    store = reader(folder / "s.db")
    sealing = sealer(store, folder / "keys", witness(folder / "w"))
    sealing.resume(begin=True)
    checkpoint = sealing.seal()
    store.close()
    decide(folder / "s.db", "d")
    store = reader(folder / "s.db")
    for name, given in (("sealed.zip", [checkpoint]), ("bare.zip", [])):
        out = io.BytesIO()
        write_bundle(store, "acme", out.write, checkpoints=given, keys=keys.public_keys(folder / "keys"))
        (folder / name).write_bytes(out.getvalue())
    store.close()
    return folder


def files(place):
    with zipfile.ZipFile(place / "sealed.zip") as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def again(place, tmp_path, contents, *, honest=False):
    """Write a bundle of these files as somebody would who knows how; ``honest``: with sums that are right."""
    out = io.BytesIO()
    parcel = Parcel(out.write)
    contents = dict(contents)
    stated = contents.pop(bundle.SUMS, None)
    for name, data in contents.items():
        with parcel.file(name) as write:
            write(data)
    stated = bundle.sums(parcel.digests) if honest else stated
    if stated is not None:
        with parcel.file(bundle.SUMS) as write:
            write(stated)
    parcel.close()
    (tmp_path / "changed.zip").write_bytes(out.getvalue())
    return check_bundle(tmp_path / "changed.zip", place / "keys")


def test_all_of_it_holds(place):
    found = check_bundle(place / "sealed.zip", place / "keys")
    assert found.ok
    assert found.said[0] == "tenant `acme`: records 1 to 4 verify"
    assert "records 1 to 3 are those that seal 1 saw" in found.said
    (limit,) = found.limits
    assert limit.startswith("from record 4 on the chain alone")


def test_without_keys_from_elsewhere_seals_count_for_nothing(place):
    """The keys inside could be anybody's."""
    found = check_bundle(place / "sealed.zip", None)
    assert found.ok
    assert "no seals were checked: name the public keys that you were given" in found.limits[0]
    assert "there are none in it" in check_bundle(place / "bare.zip", place / "keys").limits[0]


def test_somebody_elses_keys_do_not_vouch_for_it(place, tmp_path):
    keys.create(tmp_path / "k", "other.example/log", counted())
    assert "no listed key" in "\n".join(check_bundle(place / "sealed.zip", tmp_path / "k").said)


def test_the_same_files_written_again_are_the_same_bundle(place, tmp_path):
    assert again(place, tmp_path, files(place)).ok
    assert again(place, tmp_path, files(place), honest=True).ok


@pytest.mark.parametrize("name", [bundle.README, bundle.LEDGER, bundle.EVENTS, bundle.SEALS, bundle.KEYS])
def test_a_file_that_was_changed_is_named(place, tmp_path, name):
    contents = files(place)
    contents[name] = contents[name].replace(b"a", b"b", 1)
    found = again(place, tmp_path, contents)
    assert not found.ok
    assert any(name in line for line in found.said[1:])


@pytest.mark.parametrize("name", bundle.REQUIRED)
def test_a_file_that_was_taken_out_is_named(place, tmp_path, name):
    contents = files(place)
    del contents[name]
    found = again(place, tmp_path, contents)
    assert not found.ok
    assert name in "\n".join(found.said)


def test_a_file_that_was_put_in_is_named(place, tmp_path):
    found = again(place, tmp_path, {**files(place), "extra.txt": b"hello"})
    assert "extra.txt: it is in the bundle, but not in its list" in "\n".join(found.said)


def records(place, change):
    lines = files(place)[bundle.LEDGER].splitlines(keepends=True)
    return {**files(place), bundle.LEDGER: b"".join(change(lines))}


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        (lambda lines: [*lines[:2], lines[2].replace(b"ALLOW", b"BLOCK"), *lines[3:]], 2),
        (lambda lines: [*lines[:2], *lines[3:]], 2),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 3),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 1),
        (lambda lines: lines[:-2], 4),
        (lambda lines: lines[:-1], 5),
    ],
)
def test_a_record_that_was_changed_dropped_inserted_swapped_or_cut_is_named(place, tmp_path, change, bad):
    """L3: also by somebody who makes the sums right again."""
    found = again(place, tmp_path, records(place, change), honest=True)
    assert not found.ok
    assert found.said[0].endswith(f"does not verify; the first bad record is {bad}")


def test_a_chain_that_was_computed_anew_is_found_by_the_seal(place, tmp_path):
    """L3: everything is right but that it is not what was sealed."""
    decide(tmp_path / "s.db", "a", "b", "x", "d")
    store, out = reader(tmp_path / "s.db"), io.BytesIO()
    write_bundle(store, "acme", out.write)
    store.close()
    with zipfile.ZipFile(out) as packed:
        anew = {name: packed.read(name) for name in packed.namelist()}
    anew |= {name: files(place)[name] for name in (bundle.SEALS, bundle.KEYS)}
    found = again(place, tmp_path, anew, honest=True)
    assert "of records 1 to 3 one is not what seal 1 saw: the chain was computed anew" in "\n".join(found.said)


def test_events_that_are_not_those_of_the_records_are_found(place, tmp_path):
    """What people read must be what is proved."""
    contents = files(place)
    lines = contents[bundle.EVENTS].splitlines(keepends=True)
    for told in (lines[:-1], [*lines, lines[0]], [lines[0], lines[1].replace(b"ALLOW", b"BLOCK"), *lines[2:]]):
        found = again(place, tmp_path, {**contents, bundle.EVENTS: b"".join(told)}, honest=True)
        assert bundle.EVENTS in "\n".join(found.said[1:])
        assert not found.ok


def test_a_policy_that_is_another_one_is_found_and_one_that_lacks_is_said(place, tmp_path):
    contents = files(place)
    (name,) = [each for each in contents if each.startswith(bundle.POLICIES)]
    found = again(place, tmp_path, {**contents, name: contents[name].replace(b"UTC", b"GMT")}, honest=True)
    assert "it is not the policy that it is named after" in "\n".join(found.said)
    del contents[name]
    found = again(place, tmp_path, contents, honest=True)
    assert found.ok
    assert found.limits[0].startswith("the text of these policies is not in it")


def test_a_seal_of_other_records_or_of_fewer_is_found(place, tmp_path):
    contents = files(place)
    seal = json.loads(contents[bundle.SEALS])
    for changed in (
        {**seal, "first_seq": 2},
        {**seal, "last_seq": 2},
        {**seal, "head": {**seal["head"], "tenant_id": "beta"}},
    ):
        line = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        found = again(place, tmp_path, {**contents, bundle.SEALS: line}, honest=True)
        assert not found.ok


def test_what_is_no_bundle_is_a_wrong_call(place, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"hello")
    with pytest.raises(UsageError, match="is no bundle"):
        check_bundle(tmp_path / "x.zip", None)
    with pytest.raises(UsageError, match="cannot be read"):
        check_bundle(tmp_path / "none.zip", None)
    (tmp_path / "x.zip").write_bytes((place / "sealed.zip").read_bytes()[:-100])
    assert not check_bundle(tmp_path / "x.zip", None).ok
