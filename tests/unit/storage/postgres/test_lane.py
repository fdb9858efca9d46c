"""One writer among others: what is certain, what is unknown, and what becomes of those who wait."""

import os
import signal
import threading
import time
from contextlib import closing
from types import SimpleNamespace
from typing import cast

import msgspec
import psycopg
import pytest

from tests.postgres import running
from weighbridge.budgets.decide import Counter
from weighbridge.errors import CanonicalError, IdempotencyConflict, Refusal
from weighbridge.ledger.submission import Committed
from weighbridge.storage.audit import verify_store
from weighbridge.storage.batching import Batch
from weighbridge.storage.postgres import connection, lane
from weighbridge.storage.postgres.ahead import Ahead
from weighbridge.storage.postgres.statements import writes
from weighbridge.testing.store_contract_outcomes import BY, WON, capture
from weighbridge.testing.store_contract_plans import mover
from weighbridge.testing.submissions import TENANT, cap, decision, draft, reservation, usage

OTHER = "globex"


@pytest.fixture
def store(database):
    with closing(database.store()) as store:
        yield store


def backend(store):
    """Return the process on the other side of the store's writer."""
    return store._lanes[0]._connected().info.backend_pid


def kill(database, process):
    with closing(database.owner()) as owner:
        owner.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))


def refused(store, submission):
    with pytest.raises(Refusal) as caught:
        store.commit(submission)
    return caught.value.code


def codes(outcomes):
    return [one.seq if isinstance(one, Committed) else getattr(one, "code", type(one)) for one in outcomes]


class Lost(psycopg.OperationalError):
    """The connection broke."""


def lose_answer(store, monkeypatch, *, times=1):
    """Let COMMIT happen, and its answer get lost."""
    one, left = store._lanes[0], [times]
    transact = one._transact

    def lossy(held, items, attempt):
        transact(held, items, attempt)
        if left[0] and attempt.committing:
            left[0] -= 1
            held.close()
            raise Lost

    monkeypatch.setattr(one, "_transact", lossy)


def lose_commit(database, store, monkeypatch, *, times=1):
    """Let the server's side die before COMMIT gets there."""
    left = [times]

    def dying(changes):
        yield from writes(changes)
        if left[0]:
            left[0] -= 1
            kill(database, backend(store))

    monkeypatch.setattr(lane, "writes", dying)


def test_a_commit_whose_answer_was_lost_is_read_back(store, monkeypatch):
    """G2: the caller gets the truth, as the first answer and not as a replay; nothing is written twice."""
    lose_answer(store, monkeypatch)
    answer = store.commit(decision(draft("run-1"), operation="op-1"))
    assert (answer.seq, answer.replayed, answer.state) == (1, False, "PENDING")
    assert store.head(TENANT).seq == 1
    assert verify_store(store).ok


def test_after_an_answer_was_read_back_everything_goes_on(store, monkeypatch):
    """G2: the connection that found out what became of a batch writes the next ones."""
    lose_answer(store, monkeypatch)
    assert codes(store.commit_many([decision(draft("run-1"))])) == [1]
    assert [store.commit(decision(draft(f"run-{number}"))).seq for number in (2, 3, 1, 4)] == [2, 3, 1, 4]
    assert verify_store(store).ok


@pytest.mark.slow
def test_what_no_standby_confirmed_is_unknown():
    """G2: COMMIT whose wait for a standby is cut short is done here and vouched for by nobody; asked again, it is what it was."""
    with running() as server:
        database = server.database()
        with closing(database.store()) as store, closing(database.owner()) as owner:
            store.commit(decision(draft("run-0")))
            owner.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody_has_this_name'")
            owner.execute("SELECT pg_reload_conf()")
            answers = []
            asking = threading.Thread(target=lambda: answers.extend(store.commit_many([decision(draft("run-1"))])))
            asking.start()
            waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            while not (found := owner.execute(waiting).fetchall()):
                time.sleep(0.02)
            assert answers == []  # nobody is told before a standby has it
            owner.execute("ALTER SYSTEM RESET synchronous_standby_names")
            owner.execute("SELECT pg_cancel_backend(%s)", found[0])
            asking.join(30)
            assert codes(answers) == ["COMMIT_UNKNOWN"]
            assert "no standby confirmed it" in str(answers[0])
            owner.execute("SELECT pg_reload_conf()")
            answer = store.commit(decision(draft("run-1")))
            assert (answer.seq, answer.replayed) == (2, True)
            assert store.commit(decision(draft("run-2"))).seq == 3
            assert verify_store(store).ok


def test_a_row_that_holds_no_amount_stops_with_a_clear_refusal(database, store):
    """G2, B5: nothing is decided over what cannot be read; whoever asks is told what cannot, and what to do."""
    store.commit_many(_reservations("op", 2))
    with closing(database.owner()) as owner, owner.transaction():
        owner.execute("ALTER TABLE weighbridge.consumption DISABLE TRIGGER ALL")
        with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
            owner.execute("""UPDATE weighbridge.consumption SET reserved = '{"tokens": "-5"}'""")
        owner.execute("ALTER TABLE weighbridge.consumption DROP CONSTRAINT consumption_of_digits")
        owner.execute("""UPDATE weighbridge.consumption SET reserved = '{"tokens": "-5"}'""")
        owner.execute("ALTER TABLE weighbridge.consumption ENABLE ALWAYS TRIGGER consumption_only_up")
    store._lanes[0]._kept.clear()  # as after a restart
    (outcome,) = store.commit_many(_reservations("more", 1))
    assert isinstance(outcome, Refusal)
    assert outcome.code == "LEDGER_WRITE_FAILED"
    assert "what was consumed cannot be read" in str(outcome)
    assert "run `weighbridge ledger verify`" in str(outcome)
    (fault,) = verify_store(store).tenants[0].faults
    assert (fault.seq, "what was consumed cannot be read" in fault.message) == (None, True)
    assert "run `weighbridge" not in fault.message


def test_what_is_prepared_stays_so_after_a_batch_that_wrote_nothing(store):
    """Planning is half of what the server does for a small batch, and replays end by taking back what they did."""

    def prepared():
        counted = b"SELECT count(*) FROM pg_prepared_statements"
        return store._lanes[0]._connected().execute(counted, prepare=False).fetchall()[0][0]

    store.commit(decision(draft("run-1")))
    before = prepared()
    assert store.commit(decision(draft("run-1"))).replayed
    assert prepared() >= before > 1


def test_everybody_in_a_batch_whose_answer_was_lost_hears_the_same(store, monkeypatch):
    """G3: the ones who asked again inside it, and the ones who conflict with it, too."""
    lose_answer(store, monkeypatch)
    given = [decision(draft("run-1")), decision(draft("run-1")), decision(draft("run-1", request="other"))]
    first, again, conflict = store.commit_many(given)
    assert (first.seq, first.replayed, again.seq, again.replayed) == (1, False, 1, True)
    assert isinstance(conflict, IdempotencyConflict)


def test_a_commit_that_never_arrived_is_tried_once_more(database, store, monkeypatch):
    """G2: that nothing is recorded is certain, because the head was locked again; the second try is answered."""
    lose_commit(database, store, monkeypatch)
    assert store.commit(decision(draft("run-1"))).seq == 1
    assert store.head(TENANT).seq == 1


def test_a_commit_that_never_arrives_is_refused(database, store, monkeypatch):
    """G2: LEDGER_WRITE_FAILED is certain; the id is free."""
    lose_commit(database, store, monkeypatch, times=2)
    assert refused(store, decision(draft("run-1"))) == "LEDGER_WRITE_FAILED"
    assert store.head(TENANT).seq == 0
    assert not store.commit(decision(draft("run-1"))).replayed


def test_an_outcome_that_nobody_can_read_back_is_unknown(store, monkeypatch):
    """G2: COMMIT_UNKNOWN, never a guess; asked again under the same id, the recorded answer."""
    monkeypatch.setattr(lane, "RESOLVE_PAUSES_S", (0.0, 0.0))
    lose_answer(store, monkeypatch)
    with monkeypatch.context() as down:

        def unreachable(dsn, **_options):
            raise Lost

        store._lanes[0]._connected()
        down.setattr(lane, "connect", unreachable)
        assert refused(store, decision(draft("run-1"))) == "COMMIT_UNKNOWN"
    assert store.commit(decision(draft("run-1"))).replayed


def test_the_outcome_waits_for_the_lost_transaction_to_end(database, store, monkeypatch):
    """G2: while it may still commit, its absence says nothing; the lock of the head says when it has ended."""
    store.commit(decision(draft("run-0")))
    one = store._lanes[0]
    attempt = lane._Attempt()

    with closing(database.connect()) as limbo:
        limbo.execute("BEGIN")
        limbo.execute(connection.OPEN, (connection.opened_for([TENANT]),))
        limbo.execute("SELECT FROM ledger_head WHERE tenant = %s FOR UPDATE", (TENANT,))
        stored = store.record(TENANT, 1)

        written = SimpleNamespace(tenant_id=TENANT, head=store.head(TENANT))
        attempt.batch = cast("Batch", SimpleNamespace(pending=[(None, written)]))
        committing = threading.Timer(0.4, lambda: limbo.execute("COMMIT"))
        committing.start()
        started = time.monotonic()
        assert one._read_back(attempt) is True
        assert time.monotonic() - started > 0.3
        assert stored.hash == written.head.hash
        committing.join()


def test_a_connection_that_died_while_idle_costs_nobody_anything(database, store):
    """G2: a restart of the server or a pooler between two batches."""
    store.commit(decision(draft("run-1")))
    kill(database, backend(store))
    assert store.commit(decision(draft("run-2"))).seq == 2
    for reader in store._readers:
        kill(database, reader.info.backend_pid)
    assert store.head(TENANT).seq == 2


def test_one_poisonous_submission_harms_no_other(database, store):
    """G2: a batch that the database refuses is retried one by one."""
    with closing(database.owner()) as owner:
        owner.execute(
            "CREATE FUNCTION public.poison() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN IF position('run-3' IN convert_from(new.body, 'UTF8')) > 0 THEN RAISE 'poison'; END IF; RETURN new; END $$"
        )
        owner.execute(
            "CREATE TRIGGER poison BEFORE INSERT ON weighbridge.ledger FOR EACH ROW EXECUTE FUNCTION public.poison()"
        )
    outcomes = store.commit_many([decision(draft(f"run-{number}")) for number in range(5)])
    assert codes(outcomes) == [1, 2, 3, "LEDGER_WRITE_FAILED", 4]
    assert verify_store(store).ok


def test_a_wait_for_another_process_ends_and_other_tenants_do_not_wait_with_it(database, store):
    """G2: OVERLOADED, in bounded time, for those of the tenant that is held."""
    store.commit_many([decision(draft("run-0")), decision(draft("run-0"), tenant=OTHER)])
    with closing(database.connect()) as other:
        other.execute("BEGIN")
        other.execute(connection.OPEN, (connection.opened_for([TENANT]),))
        other.execute("SELECT FROM ledger_head WHERE tenant = %s FOR UPDATE", (TENANT,))
        started = time.monotonic()
        given = [decision(draft("run-1")), decision(draft("run-1"), tenant=OTHER), decision(draft("run-2"))]
        assert codes(store.commit_many(given)) == ["OVERLOADED", 2, "OVERLOADED"]
        assert time.monotonic() - started < 3 * connection.LOCK_WAIT_MS_MAX / 1000
        other.execute("ROLLBACK")
    assert store.commit(decision(draft("run-1"))).seq == 2


@pytest.mark.slow
def test_a_process_that_stands_still_in_the_middle_of_a_batch_is_thrown_out(database, store):
    """G2: it holds its tenants no longer than `IDLE_MS_MAX`."""
    store.commit(decision(draft("run-0")))
    with closing(database.connect()) as frozen:
        frozen.execute("BEGIN")
        frozen.execute(connection.OPEN, (connection.opened_for([TENANT]),))
        frozen.execute("SELECT FROM ledger_head WHERE tenant = %s FOR UPDATE", (TENANT,))
        until = time.monotonic() + 2 * connection.IDLE_MS_MAX / 1000
        answered = None
        while answered is None and time.monotonic() < until:
            (outcome,) = store.commit_many([decision(draft("run-1"))])
            answered = outcome if isinstance(outcome, Committed) else None
        assert answered is not None
        assert answered.seq == 2
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("COMMIT")


def test_a_server_that_says_nothing_is_an_error_in_bounded_time(store, monkeypatch):
    """G2: nobody waits for ever."""
    monkeypatch.setattr(connection, "ANSWER_S_MAX", 0.5)
    store.commit(decision(draft("run-1")))
    process = backend(store)
    os.kill(process, signal.SIGSTOP)
    try:
        started = time.monotonic()
        (outcome,) = store.commit_many([decision(draft("run-2"))])
        assert time.monotonic() - started < 10
    finally:
        os.kill(process, signal.SIGCONT)
    assert isinstance(outcome, (Committed, Refusal))
    assert store.commit(decision(draft("run-2"))).seq == 2


def test_an_interrupted_leader_leaves_no_transaction_behind(store, monkeypatch):
    """G2: Ctrl-C in the middle of a write: no half record, and no lock that outlives it."""
    store.commit(decision(draft("run-0")))
    with monkeypatch.context() as interrupted:

        def interrupt(changes):
            raise KeyboardInterrupt

        interrupted.setattr(lane, "writes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.commit(decision(draft("run-1")))
    assert store.head(TENANT).seq == 1
    assert store.commit(decision(draft("run-1"))).seq == 2


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_what_no_text_column_can_hold_is_an_error_of_its_own(store, name):
    """L2: nobody else in the batch notices, and readers find nothing under it."""
    good, bad = decision(draft("run-1")), decision(msgspec.structs.replace(draft("run-x"), validation_run_id=name))
    first, second = store.commit_many([bad, good])
    assert isinstance(first, CanonicalError)
    assert second.seq == 1
    assert store.identity(TENANT, "run", name) is None
    with store.snapshot() as moment:
        assert moment.find(TENANT, name) == ()


def test_what_no_column_of_plans_and_outcomes_can_hold_is_an_error_of_its_own(store):
    """L2: the same for what stands in their rows, also within JSON."""
    step = {"step_id": "a\0b", "operation": "x.brief"}
    with pytest.raises(CanonicalError, match="NUL"):
        store.commit(mover(store, steps=(step,)).create())
    with pytest.raises(CanonicalError, match="NUL"):
        capture(store).capture(TENANT, msgspec.structs.replace(WON, opportunity_id="a\0b"), by=BY)
    assert store.head(TENANT).seq == 0
    assert store.commit(mover(store).create()).seq == 1


def test_a_server_that_could_lose_an_answer_decides_nothing(database, store):
    """G2: also where it was made so while we were connected."""
    store.commit(decision(draft("run-1")))
    store._lanes[0]._connected().execute("SET synchronous_commit = off")
    assert refused(store, decision(draft("run-2"))) == "LEDGER_WRITE_FAILED"
    assert store.head(TENANT).seq == 1


def test_a_statement_is_planned_once_however_small_the_batch(store):
    """Of a small batch, planning with its values every time would be a quarter of what the server does."""
    for number in range(8):
        store.commit(decision(draft(f"run-{number}")))
    planned = b"SELECT max(generic_plans) >= 8, max(custom_plans) = 0 FROM pg_prepared_statements"
    assert store._lanes[0]._connected().execute(planned, prepare=False).fetchall() == [(True, True)]


@pytest.fixture
def passes(monkeypatch):
    """Give a list that grows whenever a batch reads, by a round trip."""
    made, read = [], Ahead.complete

    def counted(self):
        made.append(1)
        read(self)

    monkeypatch.setattr(Ahead, "complete", counted)
    return made


_CAPS = [cap("day", None), cap("tok", None, unit="tokens", settles=True)]


def _reservations(prefix, count):
    amounts = {"operations": 1, "tokens": 5}
    return [reservation(f"{prefix}-{number}", _CAPS, amounts=amounts) for number in range(count)]


def test_what_a_batch_needs_is_read_at_once(database, store, passes):
    """B5: one more round trip where a report follows from what was reserved; none of them for each item."""
    store.commit_many(_reservations("op", 64))
    passes.clear()
    store.commit_many(_reservations("more", 64))
    assert len(passes) == 1
    with closing(database.store()) as other:
        other.commit_many([usage(f"op-{number}", {"tokens": 1}) for number in range(64)])
    assert len(passes) == 3
    assert verify_store(store).ok


def test_what_is_kept_of_a_budget_is_used_only_under_the_head_it_was_true_with(database, store, passes):
    """B5: who wrote alone need not read; where others write too, everything is read under the lock, and at once."""
    with closing(database.store()) as other:
        for number in range(4):
            for writer in (store, other):
                passes.clear()
                writer.commit_many(_reservations(f"op-{number}-{id(writer)}", 8))
                assert len(passes) <= (2 if number < 2 else 1), number  # a first surprise costs a round trip
        assert {name.split()[0]: counter.reserved for name, counter in store.counters(TENANT)} == {
            "operations": 64,
            "tokens": 320,
        }
        assert verify_store(other).ok


def test_what_a_pass_that_came_to_nothing_made_up_is_not_kept(store):
    """B5: a counter that is not kept is read before anything is decided over it, also where the guess was wrong."""
    store.commit_many(_reservations("op", 4))
    kept = store._lanes[0]._kept[TENANT]
    tokens = next(name for name in kept.counters if name.startswith("tokens"))
    del kept.counters[tokens]
    store.commit(usage("op-0", {"tokens": 1}))
    assert store.counter(TENANT, tokens) == Counter(20, 4)
    assert verify_store(store).ok
