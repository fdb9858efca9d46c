from __future__ import annotations

import hashlib
import io
import zipfile

import pytest

from weighbridge.parcel import Parcel, first_difference

FILES = {"a.txt": b"first\n", "folder/b.bin": bytes(range(256)) * 300, "empty": b""}


def packed(files=FILES):
    out = io.BytesIO()
    parcel = Parcel(out.write)
    for name, data in files.items():
        with parcel.file(name) as write:
            for at in range(0, len(data), 1000):
                write(data[at : at + 1000])
    parcel.close()
    return out.getvalue(), parcel.digests


def difference(data):
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return first_difference(io.BytesIO(data), found)


def test_any_program_unpacks_it():
    data, digests = packed()
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        assert {name: found.read(name) for name in found.namelist()} == FILES
    assert digests == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def test_the_same_files_give_the_same_bytes():
    assert packed() == packed()
    assert difference(packed()[0]) is None


def test_the_bytes_are_these():
    """A zip that other machines write differently would be another bundle: this is its hash everywhere."""
    data, _ = packed({"a.txt": b"first\n"})
    assert hashlib.sha256(data).hexdigest() == "5d1fc09070e22929a9b1b07a4c0faba5121e8f54884b6270cfcc31544d3222a6"


def test_a_change_of_any_byte_is_found():
    data, _ = packed({"a.txt": b"first\n", "b.txt": b"second\n"})
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            found = difference(bytes(changed))
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, ValueError, OverflowError):
            continue
        assert found is not None, at


@pytest.mark.parametrize("more", [b"\0", b"PK"])
def test_bytes_after_the_end_or_before_the_beginning_are_found(more):
    data, _ = packed()
    assert difference(more + data) is not None
    with pytest.raises(zipfile.BadZipFile):
        difference(data[:-1])


def test_another_way_to_write_the_same_files_is_another_parcel():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.txt", b"first\n")
    assert difference(out.getvalue()) is not None
