"""Whoever passes a bundle on changes it, in every way there is: found and named, or it says less than before and never more (L3).

The careless one changes bytes, lines or files. The careful one writes the sums and the zip anew, so that both fit: then the
chain shows it, the events beside the records, the names of the policies, and in the end the seal. Nothing vouches for the README
and for the keys that lie beside: nobody who checks reads them.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import samples
from tests.sealing import make_keys, opened, reader, sealer, site, witness
from weighbridge import keys
from weighbridge.ledger import bundle
from weighbridge.parcel import Parcel
from weighbridge.storage.bundling import write_bundle
from weighbridge.verifier.bundle import check_bundle

EXAMPLES = 3_000 if os.environ.get("WEIGHBRIDGE_SOAK") else 150
WORDS = (bundle.README, bundle.KEYS)
RECORDS, SEALS = 5, (2, 4)


class Original(NamedTuple):
    """Where a bundle is checked, with the keys, and what it is."""

    folder: Path
    data: bytes

    def __repr__(self):
        return f"<{len(self.data)} bytes>"


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def original(request, tmp_path_factory, postgres):
    """A bundle of five records, of which two and then four were sealed; a folder to check in, and the keys."""
    folder = tmp_path_factory.mktemp("bundle")
    make_keys(folder / "keys")
    with site(request.param, folder, postgres) as at:
        for number in range(1, RECORDS + 1):
            with samples.weighbridge(at.address) as wb:
                wb.gate(samples.context(validation_run_id=f"run-{number}", account_id=f"account-{number}"))
            if number in SEALS:
                store = reader(at.address)
                sealing = sealer(store, folder / "keys", witness(folder / "w"))
                sealing.resume(begin=number == SEALS[0])
                sealing.seal()
                store.close()
        store, out = reader(at.address), io.BytesIO()
        checkpoints = [opened(witness(folder / "w"), number, folder / "keys")[0] for number in (1, 2)]
        write_bundle(store, "acme", out.write, checkpoints=checkpoints, keys=keys.public_keys(folder / "keys"))
        store.close()
    return Original(folder, out.getvalue())


def files_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def packed(files, *, summed=True):
    """Return a zip of these files as we would write it; ``summed``: with sums that fit."""
    out = io.BytesIO()
    parcel = Parcel(out.write)
    for name, data in files:
        if name != bundle.SUMS or not summed:
            with parcel.file(name) as write:
                write(data)
    if summed:
        sums = bundle.sums(parcel.digests)
        with parcel.file(bundle.SUMS) as write:
            write(sums)
    parcel.close()
    return out.getvalue()


def checked(folder, data):
    file = folder / "changed.zip"
    file.write_bytes(data)
    return check_bundle(file, folder / "keys")


def variants(data):
    """Yield what one change makes of the lines of a file: which change, which line, and the file."""
    lines = data.splitlines(keepends=True)
    for at in range(len(lines)):
        before, line, after = lines[:at], lines[at], lines[at + 1 :]
        yield "drop", at, b"".join([*before, *after])
        yield "insert", at, b"".join([*before, line, line, *after])
        yield "truncate", at, b"".join(before)
        middle = len(line) // 2
        yield "flip", at, b"".join([*before, line[:middle], bytes([line[middle] ^ 1]), line[middle + 1 :], *after])
        if after and after[0] != line:
            yield "swap", at, b"".join([*before, after[0], line, *after[1:]])


def test_an_untouched_bundle_verifies_and_is_written_again_byte_for_byte(original):
    """L3: packing the same files again gives the same bytes; otherwise nothing below would show anything."""
    folder, data = original
    found = checked(folder, data)
    assert found.ok
    assert "records 1 to 4 are those that seal 2 saw" in found.said
    assert packed(files_of(data).items()) == data


def test_every_line_that_is_changed_is_found_by_the_sums(original):
    """L3: by the careless, in whichever file, the sums themselves included."""
    folder, data = original
    files = files_of(data)
    for name, content in files.items():
        for change, at, changed in variants(content):
            found = checked(folder, packed((files | {name: changed}).items(), summed=False))
            assert not found.ok, (name, change, at)
            # A line that the sums lack names the file that is not listed.
            assert name == bundle.SUMS or any(name in said for said in found.said), (name, change, at, found.said)


@pytest.mark.parametrize("name", [bundle.LEDGER, bundle.EVENTS])
def test_every_line_that_is_changed_is_found_with_sums_that_fit(original, name):
    """L3: by the careful: the chain names the record, and the events must be those of the records."""
    folder, data = original
    files = files_of(data)
    for change, at, changed in variants(files[name]):
        found = checked(folder, packed((files | {name: changed}).items()))
        assert not found.ok, (name, change, at)
        if name == bundle.LEDGER and 1 <= at <= RECORDS:
            # A record twice is itself the first time; what is wrong is the one after it.
            named = at + (change == "insert")
            assert f"the first bad record is {named}" in found.said[0], (change, at, found.said)


def test_a_policy_that_is_changed_is_found_and_one_that_is_gone_is_said(original):
    """L3: a policy is named after its hash, and every event repeats that."""
    folder, data = original
    files = files_of(data)
    (policy,) = (name for name in files if name.startswith(bundle.POLICIES))
    for change, at, changed in variants(files[policy]):
        assert not checked(folder, packed((files | {policy: changed}).items())).ok, (change, at)
    found = checked(folder, packed((name, content) for name, content in files.items() if name != policy))
    assert found.ok
    assert any("the text of these policies is not in it" in limit for limit in found.limits)


def test_seals_that_are_changed_are_found_and_without_one_less_is_said(original):
    """L3: a seal cannot be made; one that is left out vouches for nothing."""
    folder, data = original
    files, whole = files_of(data), checked(folder, data)
    for change, at, changed in variants(files[bundle.SEALS]):
        found = checked(folder, packed((files | {bundle.SEALS: changed}).items()))
        assert found.ok is (change != "flip"), (change, at)
        if found.ok:
            assert set(found.said) <= set(whole.said)
    without = checked(folder, packed((files | {bundle.SEALS: b""}).items()))
    assert "there are none in it" in without.limits[0]


def test_a_tail_that_is_cut_is_found_as_far_as_it_was_sealed(original):
    """L3: everything made to fit. What no seal covers may go without a trace, and the verifier says so beforehand."""
    folder, data = original
    files, whole = files_of(data), checked(folder, data)
    assert any("from record 5 on the chain alone was checked" in limit for limit in whole.limits)
    lines = files[bundle.LEDGER].splitlines(keepends=True)
    events = files[bundle.EVENTS].splitlines(keepends=True)
    for last in range(1, RECORDS):
        kept = lines[: last + 1]
        hash_ = kept[-1].split(b'"hash":"')[1][:64]
        kept.append(b'{"contents":0,"end":true,"hash":"%s","seq":%d}\n' % (hash_, last))
        cut = {
            bundle.LEDGER: b"".join(kept),
            bundle.EVENTS: b"".join(event for event in events if json.loads(event)["seq"] <= last),
        }
        found = checked(folder, packed((files | cut).items()))
        assert found.ok is (last >= SEALS[-1]), (last, found.said)


def test_files_that_come_go_or_change_places(original):
    """L3: a file nobody listed, one that is missing, one twice, and another order."""
    folder, data = original
    files = files_of(data)
    required = [name for name in files if name in bundle.REQUIRED and name != bundle.SUMS]
    for name in required:
        assert not checked(folder, packed((each, content) for each, content in files.items() if each != name)).ok, name
    assert not checked(folder, packed([*files.items(), ("more.txt", b"x")], summed=False)).ok
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = packed([*files.items(), (bundle.LEDGER, files[bundle.LEDGER])])
    assert not checked(folder, twice).ok


def test_nothing_vouches_for_what_is_only_words(original):
    """L3: the documentation claims no more: README and keys inside are not what is checked, and change nothing of it."""
    folder, data = original
    files, whole = files_of(data), checked(folder, data)
    for name in WORDS:
        found = checked(folder, packed((files | {name: files[name] + b"\n# trust me\n"}).items()))
        assert found.said == whole.said


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.tuples(st.integers(0, 1 << 20), st.integers(1, 200)),
    change=st.sampled_from(["cut out", "exchange", "double", "turn round", "flip", "cut off"]),
    noise=st.binary(min_size=1, max_size=20),
    bit=st.integers(0, 7),
)
def test_any_bytes_that_are_changed_are_found(original, place, change, noise, bit):
    """L3: of the zip as it lies."""
    folder, whole = original
    at, length = place[0] % len(whole), place[1]
    before, span, after = whole[:at], whole[at : at + length], whole[at + length :]
    changed = {
        "cut out": before + after,
        "exchange": before + noise + after,
        "double": before + span + span + after,
        "turn round": before + span[::-1] + after,
        "flip": before + bytes([span[0] ^ (1 << bit)]) + span[1:] + after,
        "cut off": before,
    }[change]
    if changed != whole and changed[:2] == b"PK":
        assert not checked(folder, changed).ok
