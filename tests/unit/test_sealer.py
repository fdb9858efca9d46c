from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

from tests import samples
from tests.sealing import counted, decide, make_keys, opened, reader, sealer, witness
from weighbridge import keys
from weighbridge.errors import UsageError
from weighbridge.ledger.checkpoint import CheckpointError
from weighbridge.ledger.merkle import tree_head
from weighbridge.ledger.note import NoteError
from weighbridge.sealer import Pace, SealRefused, keep_sealing
from weighbridge.storage.locking import LockLost
from weighbridge.storage.sqlite.rows import SqliteRows
from weighbridge.witnesses.interface import WitnessConflict, WitnessError


@pytest.fixture
def place(tmp_path):
    """A store with two tenants, keys, and a witness."""
    make_keys(tmp_path / "keys")
    decide(tmp_path / "s.db", "one", "two", "three")
    decide(tmp_path / "s.db", "theirs", tenant="beta")
    witness(tmp_path / "w")
    return tmp_path


def seal(place, *folders, begin=False):
    """Seal once as a process of its own would, and return the checkpoint."""
    store = reader(place / "s.db")
    try:
        made = sealer(store, place / "keys", *(witness(place / folder) for folder in folders or ("w",)))
        made.resume(begin=begin)
        return made.seal()
    finally:
        store.close()


class Edited:
    """A reader of a store in which somebody changes the records of `acme`, or takes some away."""

    def __init__(self, moment):
        self._moment = moment
        self.body = lambda stored: stored._replace(body=stored.body.replace(b"two", b"ten"))
        self.kept = lambda seq: True

    def __getattr__(self, name):
        return getattr(self._moment, name)

    @contextmanager
    def snapshot(self):
        yield self

    def records_of(self, spans):
        for tenant, records in self._moment.records_of(spans):
            changed = [self.body(stored) for stored in records if self.kept(stored.seq)]
            yield tenant, changed if tenant == "acme" else records


def test_a_seal_is_over_every_tenant_and_every_record(place):
    made = seal(place, begin=True)
    store = reader(place / "s.db")
    for head in made.heads:
        leaves = [stored.leaf_hash for stored in store.records(head.tenant_id)]
        assert (head.size, head.root) == (len(leaves), tree_head(leaves).hex())
    assert [(head.tenant_id, head.size) for head in made.heads] == [("acme", 3), ("beta", 1)]
    checkpoint, found = opened(witness(place / "w"), 1, place / "keys")
    assert checkpoint == made
    assert (found.seal.number, found.seal.sealed_at) == (1, samples.NOW)


def test_the_next_seal_continues_the_last_published_one(place):
    """L3: the log of seals only grows; its size is the seal's number."""
    first = seal(place, begin=True)
    decide(place / "s.db", "four")
    second = seal(place)
    assert second.signed.seal.number == 2
    assert tuple(peak.hex() for peak in first.signed.log.peaks) == second.signed.before
    assert witness(place / "w").numbers() == (1, 2)


def test_nothing_new_is_not_sealed_again(place):
    seal(place, begin=True)
    assert seal(place) is None
    assert witness(place / "w").numbers() == (1,)


def test_one_sealer_goes_on_without_reading_everything_again(place, monkeypatch):
    store, read = reader(place / "s.db"), []
    made = sealer(store, place / "keys", witness(place / "w"))
    made.resume(begin=True)
    assert (made.pending(), made.seal().signed.seal.records) == (4, 4)
    decide(place / "s.db", "four", "five")
    really = SqliteRows.records_of

    def records_of(self, spans):
        read.append(dict(spans))
        return really(self, spans)

    monkeypatch.setattr(SqliteRows, "records_of", records_of)
    assert made.pending() == 2
    decide(place / "s.db", "six")
    assert made.seal().signed.seal.records == 7
    assert read == [{"acme": (4, 5)}, {"acme": (6, 6)}]
    assert (made.seal(), read[2:]) == (None, [{}])


def test_a_store_that_is_put_back_between_two_looks_is_noticed(place):
    """L3: also where nothing of what vanished was sealed yet."""
    store = reader(place / "s.db")
    made = sealer(store, place / "keys", witness(place / "w"))
    made.resume(begin=True)
    made.seal()
    shutil.copy(place / "s.db", place / "old.db")
    decide(place / "s.db", "four", "five")
    assert made.pending() == 2
    store.close()
    shutil.copy(place / "old.db", place / "s.db")
    made._reader = reader(place / "s.db")
    with pytest.raises(SealRefused, match="no longer has the record 5 that was read last"):
        made.pending()


def test_the_first_seal_is_made_on_purpose(place):
    """G5: a witness that was emptied or mistyped looks like a new one; absence is refusal."""
    with pytest.raises(UsageError, match="--begin"):
        seal(place)
    seal(place, begin=True)
    with pytest.raises(UsageError, match="begins once"):
        seal(place, begin=True)
    with pytest.raises(UsageError, match="at least one witness"):
        sealer(None, place / "keys")


def test_a_restored_old_copy_is_not_sealed(place):
    """L3: a sealer that finds the store behind the last seal refuses loudly, and publishes nothing."""
    shutil.copy(place / "s.db", place / "old.db")
    decide(place / "s.db", "four")
    seal(place, begin=True)
    shutil.copy(place / "old.db", place / "s.db")
    with pytest.raises(SealRefused, match=r"ends after record 3, the last seal saw 4; the store is an old copy"):
        seal(place)
    decide(place / "s.db", "another four", "five")
    with pytest.raises(SealRefused, match="are not those of the last seal; the chain was computed anew"):
        seal(place)
    assert witness(place / "w").numbers() == (1,)


def test_a_tenant_that_disappeared_is_not_sealed(place):
    """L3: also where the whole ledger of one is gone."""
    seal(place, begin=True)
    (place / "s.db").unlink()
    decide(place / "s.db", "one", "two", "three")
    with pytest.raises(SealRefused, match="`beta` ends after record 0, the last seal saw 1"):
        seal(place)


def test_a_store_that_is_put_back_while_it_is_sealed_is_noticed(place):
    """L3: not only at the start. The hash of the record that was sealed last commits to all before it."""
    made = sealer(samples.weighbridge(":memory:").reader, place / "keys", witness(place / "w"))
    with samples.weighbridge(":memory:") as one, samples.weighbridge(":memory:") as other:
        one.gate(samples.context(validation_run_id="a"))
        made._reader = one.reader
        made.resume(begin=True)
        made.seal()
        for name in ("x", "y"):
            other.gate(samples.context(validation_run_id=name))
        made._reader = other.reader
        with pytest.raises(SealRefused, match="no longer has the record 1"):
            made.seal()


def test_what_does_not_verify_is_not_sealed(place):
    """L3: a seal over a broken chain would make it look right."""
    store = Edited(reader(place / "s.db"))

    def begun():
        made = sealer(store, place / "keys", witness(place / "w"))
        made.resume(begin=True)
        return made.seal()

    with pytest.raises(SealRefused, match="`acme` does not verify: the body of record 2 does not match its leaf hash"):
        begun()
    store.body = lambda stored: stored
    store.kept = lambda seq: seq != 3
    with pytest.raises(SealRefused, match="its head says that it ends with record 3, its records end with 2"):
        begun()
    store.kept = lambda seq: seq != 2
    with pytest.raises(SealRefused, match="record 2 is missing"):
        begun()
    assert witness(place / "w").numbers() == ()
    store.kept = lambda seq: True
    assert begun().signed.seal.records == 4


@pytest.mark.parametrize(
    ("change", "named"),
    [({"hash": bytes(32)}, "no longer has the record 3 that was read last"), ({"seq": 5}, "record 4 is missing")],
)
def test_a_record_that_does_not_continue_what_was_sealed_is_not_sealed(place, change, named):
    """L3: what was sealed is not read again, and what comes after it must continue it."""
    store = Edited(reader(place / "s.db"))
    store.body = lambda stored: stored
    made = sealer(store, place / "keys", witness(place / "w"))
    made.resume(begin=True)
    made.seal()
    decide(place / "s.db", "four")
    store.body = lambda stored: stored._replace(**change)
    with pytest.raises(SealRefused, match=named):
        made.seal()
    store.body = lambda stored: stored
    assert made.seal().signed.seal.records == 5


def test_a_sealer_that_lost_the_lock_publishes_nothing(place):
    """Another one may be sealing: two would fork the log."""

    def lost():
        raise LockLost("another process may be sealing")

    store = reader(place / "s.db")
    made = sealer(store, place / "keys", witness(place / "w"), still_alone=lost)
    made.resume(begin=True)
    with pytest.raises(LockLost):
        made.seal()
    assert witness(place / "w").numbers() == ()


def test_a_witness_that_fell_behind_is_brought_up(place):
    """A crash between two witnesses leaves one ahead: the next seal continues it, and loses none."""
    seal(place, "w", "v", begin=True)
    decide(place / "s.db", "four")
    seal(place, "w")  # as if the sealer had died after the first witness
    assert seal(place, "v", "w") is None
    assert witness(place / "v").numbers() == (1, 2)
    assert witness(place / "v").read(2) == witness(place / "w").read(2)


def test_a_new_witness_gets_the_whole_log(place):
    seal(place, begin=True)
    decide(place / "s.db", "four")
    seal(place)
    seal(place, "new", "w")
    assert witness(place / "new").numbers() == (1, 2)


def test_a_witness_that_fails_half_way_is_read_again_before_the_next_seal(place):
    class Failing:
        place = "failing"

        def __init__(self):
            self.down = True

        def numbers(self):
            return ()

        def read(self, number):
            raise WitnessError("no")

        def publish(self, number, document):
            if self.down:
                raise WitnessError("no space left")

    failing, store = Failing(), reader(place / "s.db")
    made = sealer(store, place / "keys", witness(place / "w"), failing)
    made.resume(begin=True)
    with pytest.raises(WitnessError):
        made.seal()
    assert witness(place / "w").numbers() == (1,)
    failing.down = False
    assert made.seal() is None  # what the first witness took is the seal
    decide(place / "s.db", "four")
    assert made.seal().signed.seal.number == 2


def test_witnesses_that_disagree_are_refused(place):
    """L3: two seals of one number are two logs, and a person must find out which is true."""
    seal(place, "w", begin=True)
    decide(place / "s.db", "four")
    seal(place, "v", begin=True)
    with pytest.raises(WitnessConflict, match="another checkpoint 1"):
        seal(place, "v", "w")


def test_a_checkpoint_under_another_number_is_refused(place):
    seal(place, begin=True)
    shutil.copy(place / "w" / "0000000000000001.checkpoint", place / "w" / "0000000000000002.checkpoint")
    with pytest.raises(WitnessConflict, match="it was renamed"):
        seal(place)


def test_a_damaged_checkpoint_is_refused(place):
    seal(place, begin=True)
    file = place / "w" / "0000000000000001.checkpoint"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b'"size":3', b'"size":2'))
    with pytest.raises(CheckpointError):
        seal(place)


def test_the_log_of_another_name_is_not_continued(place):
    seal(place, begin=True)
    shutil.rmtree(place / "keys")
    keys.create(place / "keys", "other.example/log", counted())
    with pytest.raises(NoteError, match="no listed key signed"):
        seal(place)


def test_a_rotated_key_continues_the_log(place):
    """Old keys keep verifying: whoever has only the old one reads the next seal, whoever has the new one too."""
    (old,) = keys.public_keys(place / "keys")
    seal(place, begin=True)
    entropy = counted()
    entropy(1)
    new = keys.rotate(place / "keys", entropy)
    decide(place / "s.db", "four")
    seal(place)
    _, found = opened(witness(place / "w"), 2, place / "keys")
    assert set(found.signed_by) == {old, new}
    keys.rotate(place / "keys", entropy, at_once=True)
    decide(place / "s.db", "five")
    assert seal(place).signed.seal.number == 3


@pytest.mark.parametrize(
    ("pace", "pending", "since_s", "due"),
    [
        (Pace(seconds=60), 1, 59.9, False),
        (Pace(seconds=60), 1, 60, True),
        (Pace(seconds=60), 0, 600, False),
        (Pace(records=10), 9, 1e9, False),
        (Pace(records=10), 10, 0, True),
        (Pace(seconds=60, records=10), 10, 0, True),
        (Pace(seconds=60, records=10), 1, 60, True),
    ],
)
def test_when_a_seal_is_due(pace, pending, since_s, due):
    assert pace.due(pending, since_s) is due


@pytest.mark.parametrize("limits", [{}, {"seconds": 0}, {"records": -1}])
def test_a_pace_has_a_limit_above_zero(limits):
    with pytest.raises(UsageError):
        Pace(**limits)


def test_sealing_goes_on_every_so_many_records_or_seconds(place):
    store = reader(place / "s.db")
    made = sealer(store, place / "keys", witness(place / "w"))
    made.resume(begin=True)
    now_s, told, turns = [0.0], [], []

    def sleep(seconds):
        now_s[0] += seconds
        turns.append(seconds)
        if len(turns) == 12:
            decide(place / "s.db", "four")

    keep_sealing(
        made,
        Pace(seconds=10, records=4),
        monotonic_s=lambda: now_s[0],
        sleep=sleep,
        told=lambda checkpoint: told.append((now_s[0], checkpoint.signed.seal.number)),
        going_on=lambda: len(turns) < 30,
    )
    assert told == [(0.0, 1), (12.0, 2)]  # four records at once; then one record, ten seconds after the last seal
