from __future__ import annotations

import fsspec
import pytest

from weighbridge.errors import UsageError
from weighbridge.wiring import open_witness
from weighbridge.witnesses.bucket import BucketWitness
from weighbridge.witnesses.interface import WitnessConflict, WitnessError


@pytest.fixture
def url():
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    yield "memory://bucket/log"
    filesystem.store.clear()


def test_what_was_published_is_read_back_in_order(url):
    witness = BucketWitness(url)
    assert witness.numbers() == ()
    for number in (2, 1):
        witness.publish(number, f"checkpoint {number}".encode())
    assert witness.numbers() == (1, 2)
    assert BucketWitness(url + "/").read(2) == b"checkpoint 2"
    assert witness.place == url


def test_the_same_again_is_no_mistake_and_another_is_a_conflict(url):
    """A witness never overwrites."""
    witness = BucketWitness(url)
    witness.publish(1, b"true")
    witness.publish(1, b"true")
    with pytest.raises(WitnessConflict):
        witness.publish(1, b"false")
    assert witness.read(1) == b"true"


def test_who_comes_second_in_a_race_is_told(url):
    """Where both saw nothing there, the service refuses the second, or what is read back differs."""
    witness = BucketWitness(url)
    witness.publish(1, b"true")
    really = witness._filesystem

    class Racing:
        def __getattr__(self, name):
            return getattr(really, name)

        def exists(self, path):
            return False

    witness._filesystem = Racing()
    with pytest.raises(WitnessConflict):
        witness.publish(1, b"false")


def test_a_service_that_does_not_keep_what_it_took_is_found(url, monkeypatch):
    witness = BucketWitness(url)
    monkeypatch.setattr(type(witness._filesystem), "pipe_file", lambda *_, **__: None)
    with pytest.raises(WitnessError, match="cannot be read"):
        witness.publish(1, b"true")


def test_a_service_that_is_down_is_said(url, monkeypatch):
    witness = BucketWitness(url)

    def down(*_args, **_options):
        raise ConnectionError("down")

    for name in ("ls", "exists"):
        monkeypatch.setattr(type(witness._filesystem), name, down)
    for use in (witness.numbers, lambda: witness.read(1), lambda: witness.publish(1, b"")):
        with pytest.raises(WitnessError):
            use()


def test_who_speaks_to_what(tmp_path):
    assert open_witness(str(tmp_path)).place == str(tmp_path)
    assert open_witness("memory://x").place == "memory://x"
    with pytest.raises(UsageError, match="cannot be a witness"):
        open_witness("nonsense://x")
    with pytest.raises(UsageError, match="name it with --witness"):
        open_witness("https://ledger.example")
