from __future__ import annotations

import os
import stat

import pytest

from weighbridge.witnesses.directory import DirectoryWitness
from weighbridge.witnesses.interface import WitnessConflict, WitnessError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


def test_what_was_published_is_read_back_in_order(folder):
    witness = DirectoryWitness(folder)
    for number in (2, 1, 10):
        witness.publish(number, f"checkpoint {number}".encode())
    (folder / "notes.txt").write_text("not a checkpoint")
    assert witness.numbers() == (1, 2, 10)
    assert witness.read(10) == b"checkpoint 10"
    assert max(path.name for path in folder.glob("*.checkpoint")) == "0000000000000010.checkpoint"


def test_the_same_again_is_no_mistake_and_another_is_a_conflict(folder):
    """A witness never overwrites: what was published stays, byte for byte."""
    witness = DirectoryWitness(folder)
    witness.publish(1, b"true")
    witness.publish(1, b"true")
    with pytest.raises(WitnessConflict, match="another checkpoint 1"):
        witness.publish(1, b"false")
    assert witness.read(1) == b"true"
    assert [path.name for path in folder.iterdir()] == ["0000000000000001.checkpoint"]
    assert stat.S_IMODE((folder / "0000000000000001.checkpoint").stat().st_mode) == 0o444


def test_a_file_appears_whole_or_not_at_all(folder, monkeypatch):
    """A crash while it is written leaves no checkpoint; what it left does not stand in the way."""
    witness = DirectoryWitness(folder)

    def dies(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", dies)
        with pytest.raises(WitnessError, match="No space left"):
            witness.publish(1, b"true")
    assert witness.numbers() == ()
    (folder / f".0000000000000001.checkpoint.{os.getpid()}.partial").write_bytes(b"half")
    witness.publish(1, b"true")
    assert witness.read(1) == b"true"


def test_both_the_file_and_the_folder_are_flushed_before_it_returns(folder, monkeypatch):
    flushed = []
    really = os.fsync

    def fsync(descriptor):
        flushed.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    DirectoryWitness(folder).publish(1, b"true")
    assert flushed == [False, True]


def test_a_folder_that_is_not_there_is_no_new_witness(tmp_path):
    witness = DirectoryWitness(tmp_path / "typo")
    for use in (witness.numbers, lambda: witness.read(1), lambda: witness.publish(1, b"")):
        with pytest.raises(WitnessError):
            use()
    assert not (tmp_path / "typo").exists()
