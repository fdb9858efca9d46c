from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import zipfile

import pytest

from tests import samples
from tests.sealing import decide, make_keys, opened, reader, sealer, witness
from weighbridge import keys
from weighbridge.errors import NotFound, UsageError
from weighbridge.ledger import bundle, forms
from weighbridge.ledger.merkle import ProofError
from weighbridge.storage.bundling import range_of, write_bundle

HOUR_MS = 3_600_000


@pytest.fixture
def place(tmp_path):
    """A store with three hours of records and two seals, the second after the fourth record."""
    make_keys(tmp_path / "keys")
    clock = samples.Clock()
    with samples.weighbridge(tmp_path / "s.db", clock) as wb:
        wb.gate(samples.context(tenant_id="beta"))
        for number in range(6):
            if number == 4:
                _seal(tmp_path, begin=False)
            wb.gate(samples.context(validation_run_id=f"run-{number}"))
            if number == 1:
                _seal(tmp_path, begin=True)
            clock.now_ms += HOUR_MS // 2
    return tmp_path


def _seal(place, *, begin):
    store = reader(place / "s.db")
    made = sealer(store, place / "keys", witness(place / "w"))
    made.resume(begin=begin)
    made.seal()
    store.close()


def write(place, **options):
    store, out = reader(place / "s.db"), io.BytesIO()
    checkpoints = [opened(witness(place / "w"), number, place / "keys")[0] for number in (1, 2)]
    given = {"checkpoints": checkpoints, "keys": keys.public_keys(place / "keys")} | options
    try:
        return write_bundle(store, "acme", out.write, **given), out.getvalue()
    finally:
        store.close()


def unpacked(data, folder):
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        packed.extractall(folder)
    return folder


def blocks(folder):
    """Return the Python of the README, block by block."""
    return re.findall(r"^```python\n(.*?)^```$", (folder / bundle.README).read_text(), re.MULTILINE | re.DOTALL)


def ran(code, folder):
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue().splitlines()


def test_what_is_in_it(place):
    made, data = write(place)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        (policy,) = [name for name in packed.namelist() if name.startswith(bundle.POLICIES)]
        assert packed.namelist() == [
            bundle.README, bundle.LEDGER, bundle.EVENTS, policy, bundle.SEALS, bundle.KEYS, bundle.SUMS,
        ]  # fmt: skip
        assert hashlib.sha256(packed.read(policy)).hexdigest() == policy.removeprefix("policies/").removesuffix(".json")
        assert len(packed.read(bundle.EVENTS).splitlines()) == sum(
            len(json.loads(json.loads(line)["body"])["events"])
            for line in packed.read(bundle.LEDGER).splitlines()[1:-1]
        )
    assert (made.first_seq, made.last_seq, made.sealed_to, made.seals) == (1, 6, 4, (1, 2))
    assert made.missing == ()


def test_the_same_range_gives_the_same_bytes(place):
    assert write(place) == write(place)


def test_nothing_of_another_tenant_is_in_it(place):
    """L5: not even its name."""
    _, data = write(place)
    assert b"beta" not in data


@pytest.mark.parametrize(
    ("hours", "expected", "seals"),
    [
        ((None, None), (1, 6), (1, 2)),
        ((1, None), (3, 6), (2,)),
        ((None, 1), (1, 2), (1, 2)),
        ((1, 2), (3, 4), (2,)),
        ((2, 9), (5, 6), ()),
    ],
)
def test_a_span_of_time_is_a_range_of_records(place, hours, expected, seals):
    start, end = (None if hour is None else samples.NOW_MS + hour * HOUR_MS for hour in hours)
    made, data = write(place, from_ms=start, to_ms=end)
    assert ((made.first_seq, made.last_seq), made.seals) == (expected, seals)
    folder = unpacked(data, place / "x")
    assert len(ran(blocks(folder)[0], folder)) == len(seals)


def test_a_span_without_records_is_said(place):
    with pytest.raises(NotFound, match="no records in this span"):
        write(place, from_ms=samples.NOW_MS + 99 * HOUR_MS)
    with samples.weighbridge() as wb, pytest.raises(NotFound):
        range_of(wb.reader, "acme", None, None)


@pytest.mark.parametrize("hours", [None, 1])
def test_the_readers_own_python_checks_it(place, hours):
    """L3: an export can be verified offline by someone who has only the export and a public key; here is their program."""
    _, data = write(place, from_ms=None if hours is None else samples.NOW_MS + hours * HOUR_MS)
    folder = unpacked(data, place / "x")
    check, signature = blocks(folder)
    assert len([line for line in check.splitlines() if line.strip()]) <= 40
    assert ran(check, folder)[-1].endswith("to 4 are those of seal 2, " + "2026-11-22T10:00:00.000Z")
    assert ran(signature, folder)[-1] == "signed: ['ledger.example/log', '2']"


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="no sha256sum here")
def test_the_readers_shell_checks_it(place):
    folder = unpacked(write(place)[1], place / "x")
    done = subprocess.run(["sha256sum", "-c", bundle.SUMS], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.count(": OK") == 6
    first = json.loads((folder / bundle.LEDGER).read_text().splitlines()[1])
    body = b"\0" + first["body"].encode()
    summed = subprocess.run(["sha256sum"], input=body, capture_output=True, check=True).stdout
    assert summed.split()[0].decode() == first["leaf"]


@pytest.mark.parametrize(
    ("file", "old", "new", "wrong"),
    [
        (bundle.LEDGER, "run-2", "run-9", "record 3 was changed"),
        (bundle.SEALS, '"records":5', '"records":6', "the note signs another log"),
        (bundle.SEALS, '"size":2', '"size":1', "not the sealed records"),
    ],
)
def test_the_readers_own_python_finds_a_change(place, file, old, new, wrong):
    """L3: a test that cannot fail is none."""
    folder = unpacked(write(place)[1], place / "x")
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises((AssertionError, ValueError), match=wrong):
        ran(blocks(folder)[0], folder)


def test_the_readers_own_python_finds_a_false_signature(place):
    from cryptography.exceptions import InvalidSignature

    folder = unpacked(write(place)[1], place / "x")
    text = (folder / bundle.SEALS).read_text()
    (folder / bundle.SEALS).write_text(text.replace("ledger.example/log\\n", "ledger.example/lag\\n", 1))
    with pytest.raises(InvalidSignature):
        ran(blocks(folder)[1], folder)


def test_a_ledger_that_was_computed_anew_gets_no_bundle_with_old_seals(place):
    """L3."""
    (place / "s.db").unlink()
    decide(place / "s.db", "a", "b", "c", "d", "e")
    with pytest.raises(ProofError, match="computed anew"):
        write(place)


@pytest.mark.parametrize("form", forms.FORMS)
def test_events_come_in_the_form_that_is_asked_for(place, form):
    _, data = write(place, form=form)
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        first = json.loads(packed.read(bundle.EVENTS).splitlines()[0])
    key = {"weighbridge": "seq", "ocsf": "class_uid", "cloudevents": "specversion"}[form]
    assert key in first


def test_an_unknown_form_is_refused(place):
    with pytest.raises(UsageError, match="`weighbridge`, `ocsf`, `cloudevents`"):
        write(place, form="xml")


def test_a_bundle_without_seals_says_what_it_cannot_show(place):
    made, data = write(place, checkpoints=(), keys=())
    folder = unpacked(data, place / "x")
    assert made.sealed_to is None
    assert "No checkpoint is in here" in (folder / bundle.README).read_text()
    assert ran(blocks(folder)[0], folder) == []
