"""Sealers die at any moment, and two of them start at once: the log never forks, and no seal that was published is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from itertools import pairwise

import pytest

from tests.command_line import command, environment, run
from tests.sealing import NAME, decide, site
from weighbridge import keys
from weighbridge.verifier.checking import check_checkpoints, open_checkpoints
from weighbridge.witnesses.directory import DirectoryWitness

KILLS = 60 if os.environ.get("WEIGHBRIDGE_SOAK") else 5


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path, postgres):
    """The address of an empty store."""
    with site(request.param, tmp_path, postgres) as at:
        yield at.address


@pytest.fixture
def place(tmp_path, monkeypatch, store):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", store)
    decide(store, "first")
    for folder in ("w1", "w2"):
        (tmp_path / folder).mkdir()
    run("keys", "create", NAME)
    assert run("ledger", "seal", "--to", "w1", "--to", "w2", "--begin").code == 0
    return tmp_path


WORDS = ("ledger", "seal", "--to", "w1", "--to", "w2")


def started(*more):
    return subprocess.Popen(
        command(*WORDS, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(WEIGHBRIDGE_STORE=os.environ["WEIGHBRIDGE_STORE"]),
    )


def require_one_log(place):
    """Require that both witnesses hold one log without gaps, each seal continuing the one before."""
    first, second = DirectoryWitness(place / "w1"), DirectoryWitness(place / "w2")
    assert first.numbers() == second.numbers() == tuple(range(1, len(first.numbers()) + 1))
    assert all(first.read(number) == second.read(number) for number in first.numbers())
    assert check_checkpoints([place / "w1"], place / "weighbridge.keys").ok
    files = sorted((place / "w1").glob("*.checkpoint"))
    sealed = open_checkpoints(files, keys.public_keys(place / "weighbridge.keys"))
    for (before, _), (after, _) in pairwise(sealed):
        assert tuple(peak.hex() for peak in before.signed.log.peaks) == after.signed.before
    return sealed[-1][1].seal


@pytest.mark.slow
def test_two_sealers_at_once_make_one_log(place, store):
    """One process at a time: whoever comes second is told so, and nothing forks."""
    for number in range(3):
        decide(store, f"run-{number}")
        sealers = [started() for _ in range(3)]
        ends = sorted((process.communicate()[1].decode(), process.returncode) for process in sealers)
        assert {code for _, code in ends} <= {0, 1}
        assert all("one at a time" in said for said, code in ends if code == 1)
        assert any(code == 0 for _, code in ends)
    assert require_one_log(place).records == 4


@pytest.mark.slow
def test_a_sealer_that_is_killed_loses_no_seal_and_forks_nothing(place, store):
    """L3: whatever was published is continued; witnesses that fell behind are brought up."""
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    chance, seen = random.Random(seed), 1
    for number in range(KILLS):
        process = started("--every-records", "1", "--every", "10ms")
        deadline = time.monotonic() + chance.uniform(0.2, 1.6)
        written = 0
        while time.monotonic() < deadline:
            decide(store, f"run-{number}-{written}")
            written += 1
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        seen = max([seen, *(json.loads(line)["number"] for line in out.splitlines())])
    assert run(*WORDS).code == 0
    last = require_one_log(place)
    assert last.number >= seen
    assert run("ledger", "verify", "--checkpoint", "w2").code == 0


@pytest.mark.parametrize("after", [0, 1])
def test_a_sealer_that_dies_between_publishing_and_the_next_is_continued(place, store, monkeypatch, after):
    """A crash after the first witness took a seal: the next sealer brings the other up, byte for byte, and goes on."""
    decide(store, "second")
    really = DirectoryWitness.publish
    published: list[str] = []

    def dies(self, number, document):
        if len(published) == after:
            raise KeyboardInterrupt
        really(self, number, document)
        published.append(self.place)

    with monkeypatch.context() as patched:
        patched.setattr(DirectoryWitness, "publish", dies)
        # resuming publishes the last seal again to the second witness, which changes nothing
        patched.setattr("weighbridge.sealer.Sealer._catch_up", lambda *_: None)
        assert run(*WORDS).code == 130
    assert len(DirectoryWitness(place / "w1").numbers()) == 1 + after
    assert len(DirectoryWitness(place / "w2").numbers()) == 1
    decide(store, "third")
    assert run(*WORDS).code == 0
    assert require_one_log(place).records == 3
