"""A witness in a process of its own: it cosigns what grew and refuses what was put back, over HTTP, also after it was killed."""

from __future__ import annotations

import http.client
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import command, environment, run
from tests.sealing import NAME, decide
from weighbridge import keys
from weighbridge.ledger.checkpoint import LogHead, leaf_of
from weighbridge.ledger.cosignature import CosignerKey, cosigned_by
from weighbridge.ledger.ed25519 import is_signature
from weighbridge.ledger.merkle import consistency_proof, tree_head
from weighbridge.ledger.note import open_note, sign_note
from weighbridge.ledger.witnessing import Request

WITNESS = "witness.example/w1"


class Witness:
    """A running witness."""

    def __init__(self, folder, *logs):
        self.folder, self.logs = folder, logs or (folder.parent / "weighbridge.keys" / keys.PUBLIC,)
        self.process: Any = None
        self.port = 0

    def start(self):
        listen = ("--listen", f"127.0.0.1:{self.port}")
        named = [word for log in self.logs for word in ("--key", log)]
        words = command(
            "witness", "serve", "--state", self.folder / "state", "--keys", self.folder / "keys", *named, *listen
        )
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(COLUMNS="200")
        )
        vkey = self.process.stdout.readline().strip()
        if not vkey:
            pytest.fail(self.process.stderr.read())
        (self.folder / "key.txt").write_text(f"# the witness\n{vkey}\n")
        said = ""
        while "--witness " not in said:
            said += self.process.stderr.readline()
        self.port = int(said.split("--witness http://127.0.0.1:")[1].split()[0])
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    @property
    def options(self):
        return ("--witness", f"http://127.0.0.1:{self.port}", "--witness-key", self.folder / "key.txt")

    def ask(self, body, path="/add-checkpoint", method="POST"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.getheader("Content-Type")
        finally:
            connection.close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHBRIDGE_STORE", "s.db")
    decide("s.db", "one")
    (tmp_path / "w").mkdir()
    assert run("keys", "create", NAME).code == 0
    return tmp_path


@pytest.fixture
def witness(place):
    for folder in ("state", "keys"):
        (place / "witness" / folder).mkdir(parents=True)
    assert run("keys", "create", WITNESS, "--keys", "witness/keys").code == 0
    made = Witness(place / "witness").start()
    yield made
    made.kill()


def seal(*options):
    return run("ledger", "seal", "--to", "w", *options)


def cosigned(number, place):
    """Return which witnesses cosigned a seal, after the log's own signature was checked."""
    note = (place / "weighbridge.cosigned" / f"{number:016d}.note").read_text()
    open_note(note, keys.public_keys(place / "weighbridge.keys"), is_signature)
    listed = [CosignerKey.parse(line) for line in (place / "witness" / "key.txt").read_text().splitlines()[1:]]
    return cosigned_by(note, listed, is_signature)


def note_of(number, place):
    """Return the note of a published seal."""
    from weighbridge.ledger.checkpoint import open_checkpoint

    lines = (place / "w" / f"{number:016d}.checkpoint").read_bytes().splitlines(keepends=True)
    return open_checkpoint(lines, keys.public_keys(place / "weighbridge.keys"), is_signature)[0].signed.note


def leaves(place):
    return [leaf_of(path.read_bytes()) for path in sorted((place / "w").iterdir())]


@pytest.mark.slow
def test_a_log_that_grows_is_cosigned_also_after_the_witness_was_killed(place, witness):
    """L3: seal by seal, over a gap, and from what it kept on disk before it was killed."""
    assert seal("--begin", *witness.options).code == 0
    decide("s.db", "two")
    assert seal(*witness.options).code == 0
    for name in ("three", "four", "five"):
        decide("s.db", name)
        assert seal().code == 0  # the witness is not asked: it is shown the growth later
    witness.kill()
    witness.start()
    decide("s.db", "six")
    assert seal(*witness.options).code == 0
    assert seal(*witness.options).code == 0  # nothing is new, and the last seal is cosigned again
    assert [len(cosigned(number, place)) for number in (1, 2, 5, 6)] == [1] * 4
    assert not (place / "weighbridge.cosigned" / f"{4:016d}.note").exists()
    assert witness.ask(Request(0, (), note_of(6, place)).encode()) == (409, "6\n", "text/x.tlog.size")


@pytest.mark.slow
def test_a_log_that_was_put_back_with_all_its_checkpoints_is_refused(place, witness):
    """L3: the store and the folder of checkpoints are both an old copy, and fit; only the witness remembers."""
    assert seal("--begin", *witness.options).code == 0
    shutil.copytree("w", "w.old")
    shutil.copy("s.db", "old.db")
    decide("s.db", "two")
    assert seal(*witness.options).code == 0
    shutil.rmtree("w")
    shutil.move("w.old", "w")
    shutil.copy("old.db", "s.db")
    decide("s.db", "another two")
    refused = seal(*witness.options)
    assert refused.code == 4
    assert "cosigned seal 2 of this log, and this is seal 1: the log was put back" in refused.err
    assert len(list(Path("w").iterdir())) == 1
    assert seal().code == 0  # without the witness nothing shows, and the next time it says that the log forked
    forked = seal(*witness.options)
    assert forked.code == 4
    assert "the log forked" in forked.err


@pytest.mark.slow
def test_a_witness_that_is_down_loses_nothing(place, witness):
    """The seal is published, the command says what is missing, and the next one has it cosigned."""
    assert seal("--begin", *witness.options).code == 0
    decide("s.db", "two")
    witness.kill()
    down = seal(*witness.options)
    assert down.code == 1
    assert "cannot be asked" in down.err
    assert "what was sealed stays sealed" in down.err
    witness.start()
    assert seal(*witness.options).code == 0
    assert [len(cosigned(number, place)) for number in (1, 2)] == [1, 1]


@pytest.mark.slow
def test_what_the_protocol_refuses(place, witness):
    """C2SP tlog-witness: 400, 403, 404, 409 and 422, each for its reason; nothing of it changes what is remembered."""
    for name in ("two", "three"):
        assert seal(*(("--begin",) if name == "two" else ())).code == 0
        decide("s.db", name)
    assert seal().code == 0
    notes = {number: note_of(number, place) for number in (1, 2, 3)}
    log = leaves(place)

    def status(old, proof, note):
        return witness.ask(Request(old, tuple(proof), note).encode())[0]

    assert status(1, (), notes[1]) == 409  # nothing was cosigned yet
    assert status(0, consistency_proof(log[:2], 1), notes[2]) == 422  # from nothing, nothing is proved
    assert status(0, (), notes[1]) == 200
    assert status(3, (), notes[2]) == 400  # an old size above the new one
    assert status(0, (), notes[2]) == 409
    assert status(1, (), notes[3]) == 422
    assert status(1, consistency_proof(log, 2), notes[3]) == 422
    assert status(1, consistency_proof(log, 1), notes[3]) == 200
    assert status(1, consistency_proof(log[:2], 1), notes[2]) == 409  # a smaller one after a larger one
    assert status(3, (), notes[3]) == 200
    assert status(3, consistency_proof(log, 1), notes[3]) == 422
    # another head of the same size, signed by the log: a fork
    fork = sign_note(str(LogHead(NAME, 3, tree_head(log[::-1]))), keys.signers(place / "weighbridge.keys"))
    assert witness.ask(Request(3, (), fork).encode()) == (409, "3\n", "text/x.tlog.size")
    # a key that is not the log's, a log that nobody listed, and what is no request
    keys.create(place / "others", NAME, lambda size: b"\7" * size)
    assert status(3, (), sign_note(str(LogHead(NAME, 3, tree_head(log))), keys.signers(place / "others"))) == 403
    keys.create(place / "strangers", "stranger.example/log", lambda size: b"\7" * size)
    stranger = sign_note(str(LogHead("stranger.example/log", 1, log[0])), keys.signers(place / "strangers"))
    assert status(0, (), stranger) == 404
    good = Request(3, (), notes[3]).encode()
    for bad in (
        b"", b"old 3\n", good[1:], good.replace(b"old 3", b"old 03"), good.replace(b"old 3\n", b"old 3\nAAAA\n"), b"\xff" + good,
        good.replace(b"old 3\n", b"old 3\n" + b"x\n" * 64), b"old 3\n\nno note\n", good + b"\0" * (1 << 17),
    ):  # fmt: skip
        try:
            assert witness.ask(bad)[0] == 400, bad[:40]
        except (BrokenPipeError, ConnectionResetError):
            assert len(bad) > 1 << 16  # it was not read to its end
    assert witness.ask(good, "/other")[0] == 404
    assert witness.ask(None, "/add-checkpoint", "GET")[0] == 501
    assert witness.ask(good)[0] == 200


@pytest.mark.slow
def test_many_at_once_never_take_it_back(place, witness):
    """C2SP tlog-witness: checking and keeping are one step, so a slow request never wins over a larger head."""
    assert seal("--begin").code == 0
    for name in ("two", "three", "four"):
        decide("s.db", name)
        assert seal().code == 0
    log, notes = leaves(place), [note_of(number, place) for number in (1, 2, 3, 4)]
    assert witness.ask(Request(0, (), notes[0]).encode())[0] == 200
    said = []

    def ask(size):
        body = Request(1, consistency_proof(log[:size], 1) if size > 1 else (), notes[size - 1]).encode()
        said.append((size, witness.ask(body)[0]))

    threads = [threading.Thread(target=ask, args=(size,)) for size in (2, 3, 4) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((won, _),) = [one for one in said if one[1] == 200]
    assert sum(code == 409 for _, code in said) == len(said) - 1
    assert witness.ask(Request(0, (), notes[0]).encode())[1] == f"{won}\n"


@pytest.mark.slow
def test_two_logs_are_told_apart_and_a_folder_has_one_witness(place, witness):
    """Each log has a head of its own; and a second process on the same folder would forget what the first one saw."""
    keys.create(place / "others", "other.example/log", lambda size: b"\7" * size)
    witness.kill()
    witness.logs = (*witness.logs, place / "others" / keys.PUBLIC)
    witness.start()
    assert seal("--begin", *witness.options).code == 0
    (place / "w2").mkdir()
    decide("other.db", "x")
    second = ("--to", "w2", "--store", "other.db", "--keys", "others", "--cosigned", "cosigned2", *witness.options)
    assert run("ledger", "seal", "--begin", *second).code == 0
    decide("other.db", "y")
    assert run("ledger", "seal", *second).code == 0
    decide("s.db", "two")
    assert seal(*witness.options).code == 0
    files = sorted(path.suffix for path in (place / "witness" / "state").iterdir())
    assert files == [".cosigned", ".cosigned", ".lock"]
    given = ("witness", "serve", "--state", "witness/state", "--keys", "witness/keys", "--key", "weighbridge.keys")
    again = run(*given, "--listen", "127.0.0.1:0")
    assert (again.code, "one at a time" in again.err) == (1, True)


@pytest.mark.slow
def test_a_witness_under_another_key_is_not_believed(place, witness):
    """Whoever answers in its place has not its key."""
    assert run("keys", "create", WITNESS, "--keys", "impostor").code == 0
    other = run("witness", "show", "--keys", "impostor").out
    (place / "witness" / "key.txt").write_text(other)
    refused = seal("--begin", *witness.options)
    assert (refused.code, "another key" in refused.err) == (1, True)
    assert len(list(Path("w").iterdir())) == 1  # what was published stays


def test_what_was_cosigned_and_was_damaged_is_no_beginning(tmp_path):
    """G5: a witness that cannot read what it kept refuses; it does not begin anew."""
    from weighbridge.witnesses.interface import WitnessError
    from weighbridge.witnesses.service import WitnessState

    state = WitnessState(tmp_path)
    assert state.last(NAME) is None
    keys.create(tmp_path / "keys", NAME, lambda size: b"\7" * size)
    note = sign_note(str(LogHead(NAME, 1, bytes(32))), keys.signers(tmp_path / "keys"))
    state.keep(NAME, note)
    assert state.last(NAME) == LogHead(NAME, 1, bytes(32))
    (file,) = tmp_path.glob("*.cosigned")
    for wrong in ("", "nonsense", note.replace(NAME, "other.example/log")):
        file.write_text(wrong)
        with pytest.raises(WitnessError, match="what was cosigned for"):
            state.last(NAME)
    with pytest.raises(WitnessError, match="one at a time"):
        WitnessState(tmp_path)
    state.close()
    with pytest.raises(WitnessError, match="make the folder"):
        WitnessState(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--witness", "http://127.0.0.1:1"), "is not known; name it with --witness-key"),
        (("--witness", "ftp://x", "--witness-key", "k"), "is not the address of a witness"),
        (("--to", "http://127.0.0.1:1"), "name it with --witness"),
        (("--witness", "http://127.0.0.1:1", "--witness-key", "bad"), "is not the key of a witness"),
        (("--witness", "http://127.0.0.1:1", "--witness-key", "none"), "cannot be read"),
    ],
)
def test_bad_words_are_said(place, words, said):
    run("keys", "create", WITNESS, "--keys", "wk")
    Path("k").write_text(run("witness", "show", "--keys", "wk").out)
    Path("bad").write_text(str(keys.public_keys(Path("wk"))[0]))
    refused = seal("--begin", *words)
    assert (refused.code, said in refused.err.replace("\n", " ")) == (2, True), refused.err
    assert not list(Path("w").iterdir())
    for listen in ("x", "127.0.0.1:99999", ":1"):
        given = ("witness", "serve", "--state", ".", "--keys", "wk", "--key", "weighbridge.keys", "--listen", listen)
        assert run(*given).code == 2
    assert run("witness", "serve", "--state", ".", "--keys", "wk", "--key", "wk").code == 2
