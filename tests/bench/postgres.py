"""Reservations per second on PostgreSQL: beside flushes alone, the best statement per decision, and an event store.

The server is one of our own, with its data in memory; in the mode to quote every one of its flushes takes a millisecond. The
work is that of group `reserve`: four caps with a counter each, an operation id that is looked up and bound, one record in the
chain, handed to the store as a finished submission. Callers are threads.

- `a statement a decision` is what a host would write without a queue: a function does the four counters, the operation id and
  the chained row in one call, with a commit and a connection for every caller. It is given the record's bytes ready made; its
  tables have no guards, keep no tenants apart and hold no rows to find a story by.
- `eventsourcing` is the recorder of that library in its faster form, one event a call with a state of the same size, an
  aggregate and a connection for every caller. It has no counters, decides nothing, and nothing chains its events.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import multiprocessing
import os
import random
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo

from tests.bench.flush import FIXED, Place, flush_seconds
from tests.bench.measure import Row, Scale, ratio, settle, take_turns
from tests.bench.reserve import TENANTS, Crowd, Submissions, together
from tests.server import Database, Server, running
from weighbridge.ledger.submission import Committed
from weighbridge.storage.postgres import PostgresStore

GROUP = "postgres"
ONE, HOT, MANY, CROWD = Crowd(1, 1, 0.38), Crowd(32, 1, 7), Crowd(32, TENANTS, None), Crowd(128, 1, 15)
PROCESSES = 2
STATEMENT_TARGET, PROCESSES_TARGET, GROWTH_TARGET, P99_MS_MAX = 15.0, 0.9, 0.7, 15.0
TO_A_FLUSH = 32
_MANY_IN_SHORT = 20_000
_FILL = 512
_PER_SECOND_MAX = 15_000
_OTHERS_PER_SECOND_MAX = 3_000


def run(place: Place, scale: Scale) -> list[Row]:
    """Return the comparisons on one server. A peer that is not installed is left out (`make bench` installs them)."""
    with served(place) as server:
        rows = _rates(server, place, scale)
        return [*rows, _processes(server, place, scale), growth(server, place, scale, GROUP, _MANY_IN_SHORT)]


@contextmanager
def served(place: Place) -> Iterator[Server]:
    """Give a server whose data lies at ``place``, and which flushes as that place does."""
    for folder in (place.folder, place.folder.parent):
        folder.chmod(
            0o711
        )  # the server may be somebody else than we are, and must find its data and the preloaded library
    with running(place.folder) as server:
        yield server


# --- one process ---


def _rates(server: Server, place: Place, scale: Scale) -> list[Row]:
    seconds, rounds = scale.seconds / 4, max(3, scale.rounds // 6)
    with ExitStack() as stack:
        store = stack.enter_context(closing(server.database().store()))
        ours = Submissions(store)
        ours.know(TENANTS if scale.seconds >= 1 else 10)
        waits: dict[str, list[float]] = {}
        contenders: dict[str, Callable[[int], float]] = {
            crowd.words: partial(_ours, ours, crowd, seconds, waits) for crowd in (ONE, HOT, MANY, CROWD)
        }
        statements = stack.enter_context(_statements(server.database(), HOT.callers))
        contenders["statement"] = partial(_asked, statements, seconds, waits, "statement")
        peers = {1: _event_store(server, stack, 1), HOT.callers: _event_store(server, stack, HOT.callers)}
        contenders |= {
            f"eventsourcing, {callers}": partial(_asked, peer, seconds, waits, "eventsourcing")
            for callers, peer in peers.items()
            if peer is not None
        }
        contenders["flush"] = partial(_flushes, place.folder, int(50 * scale.seconds))
        settle()
        took = take_turns(contenders, rounds)
    judged = place.name == FIXED

    def row(name: str, words: str, other: str, beside: str, target: float | None) -> Row:
        rates, others = took[name], took[other]
        typical, compared = statistics.median(rates), statistics.median(others)
        aim = target if judged else None
        return Row(GROUP, f"{words}, {place.name}", typical, "/s", beside, compared, ratio(rates, others), aim, "high")

    rows = [
        row(crowd.words, f"reserve, {crowd.words}", "flush", "flushes alone", crowd.target)
        for crowd in (ONE, HOT, MANY, CROWD)
    ]
    rows.append(row(HOT.words, f"reserve, {HOT.words}", "statement", "a statement a decision", STATEMENT_TARGET))
    for callers, words in ((1, ONE.words), (HOT.callers, HOT.words)):
        if f"eventsourcing, {callers}" in took:
            rows.append(row(words, f"reserve, {words}", f"eventsourcing, {callers}", "eventsourcing, an event", None))
    return [*rows, _p99(place, waits)]


def _p99(place: Place, waits: dict[str, list[float]]) -> Row:
    slow = {name: statistics.median(found[1:]) * 1e3 for name, found in waits.items()}  # the first round does not count
    return Row(
        GROUP,
        f"99th percentile of {HOT.words}, {place.name}",
        slow[HOT.words],
        "ms",
        "allowed",
        P99_MS_MAX,
        slow[HOT.words] / P99_MS_MAX,
        1.0 if place.name == FIXED else None,
        note=f"99th percentile with a statement a decision: {slow['statement']:.0f} ms",
    )


def _ours(ours: Submissions, crowd: Crowd, seconds: float, waits: dict[str, list[float]], number: int) -> float:
    chance = random.Random(number)
    count = int(seconds * _PER_SECOND_MAX / max(1, 12 / crowd.callers)) + crowd.callers
    requests = [ours.request("reserve", ours.tenant(crowd, chance)) for _ in range(count)]
    shares = [requests[caller :: crowd.callers] for caller in range(crowd.callers)]
    return _timed(ours.ask, shares, seconds, waits.setdefault(crowd.words, []))


def _asked(
    asks: Sequence[Callable[[], object]], seconds: float, waits: dict[str, list[float]], name: str, _round: int
) -> float:
    """Return the answers per second of one caller each, who ask over and over."""
    shares = [[ask] * int(seconds * _OTHERS_PER_SECOND_MAX + 1) for ask in asks]
    return _timed(lambda ask: ask(), shares, seconds, waits.setdefault(name, []))


def _timed(ask: Callable[[Any], object], shares: Sequence[Sequence[Any]], seconds: float, slow: list[float]) -> float:
    """Return the answers per second, and add the 99th percentile of the waits to ``slow``."""
    waits: list[float] = []

    def timed(request: Any) -> None:
        start = time.perf_counter()
        ask(request)
        waits.append(time.perf_counter() - start)

    rate = together(timed, shares, seconds)
    slow.append(sorted(waits)[len(waits) * 99 // 100])
    return rate


def _flushes(folder: Path, times: int, _round: int) -> float:
    return 1 / statistics.median(flush_seconds(folder, times))


# --- a statement a decision ---

_TABLES = """
    CREATE TABLE head (tenant text PRIMARY KEY, seq bigint NOT NULL, hash bytea NOT NULL) WITH (fillfactor = 50);
    CREATE TABLE counter (tenant text, name text, used bigint NOT NULL, cap bigint NOT NULL, PRIMARY KEY (tenant, name))
        WITH (fillfactor = 50);
    CREATE TABLE operation (tenant text, id text, request_hash text NOT NULL, seq bigint NOT NULL, state text NOT NULL,
        PRIMARY KEY (tenant, id));
    CREATE TABLE ledger (tenant text, seq bigint, leaf bytea NOT NULL, hash bytea NOT NULL, body bytea NOT NULL,
        PRIMARY KEY (tenant, seq)) WITH (toast_tuple_target = 8160);
    ALTER TABLE ledger ALTER body SET STORAGE EXTERNAL;
    INSERT INTO head VALUES ('t-0', 0, sha256('\\x02'));
    INSERT INTO counter SELECT 't-0', name, 0, 900000000000000 FROM unnest('{tenant,tool,plan,account}'::text[]) AS name;

    CREATE FUNCTION spend(whose text, names text[], amount bigint, op text, request text, said bytea) RETURNS text
    LANGUAGE plpgsql AS $$
    DECLARE
        before head;
        known operation;
        leaf_hash bytea := sha256('\\x00' || said);
        verdict text;
    BEGIN
        SELECT * INTO before FROM head WHERE tenant = whose FOR UPDATE;
        SELECT * INTO known FROM operation WHERE tenant = whose AND id = op;
        IF FOUND THEN
            RETURN CASE WHEN known.request_hash = request THEN known.state ELSE 'CONFLICT' END;
        END IF;
        PERFORM FROM counter WHERE tenant = whose AND name = ANY (names) AND used + amount > cap;
        verdict := CASE WHEN FOUND THEN 'BLOCKED' ELSE 'PENDING' END;
        IF verdict = 'PENDING' THEN
            UPDATE counter SET used = used + amount WHERE tenant = whose AND name = ANY (names);
        END IF;
        INSERT INTO ledger VALUES (whose, before.seq + 1, leaf_hash,
            sha256(before.hash || int8send(before.seq + 1) || leaf_hash), said);
        INSERT INTO operation VALUES (whose, op, request, before.seq + 1, verdict);
        UPDATE head SET seq = before.seq + 1, hash = sha256(before.hash || int8send(before.seq + 1) || leaf_hash)
            WHERE tenant = whose;
        RETURN verdict;
    END $$;
"""
_SPEND = b"SELECT spend('t-0', '{tenant,tool,plan,account}', 1, %s, %s, %b)"


@contextmanager
def _statements(database: Database, callers: int) -> Iterator[list[Callable[[], object]]]:
    """Give so many callers of the function, with a connection each."""
    with closing(database.owner()) as owner:
        owner.execute("CREATE SCHEMA plain; SET search_path = plain; " + _TABLES)
    dsn = conninfo.make_conninfo(database.dsn("postgres"), options="-c search_path=plain")
    numbers, body = itertools.count(), _body(database.server)

    def spend(connection: psycopg.Connection[Any]) -> None:
        operation = f"op-{next(numbers):09d}"
        request = hashlib.sha256(operation.encode()).hexdigest()
        answers = connection.execute(_SPEND, (operation, request, body), prepare=True).fetchall()
        assert answers == [("PENDING",)], answers

    with ExitStack() as stack:
        connections = [stack.enter_context(closing(psycopg.connect(dsn, autocommit=True))) for _ in range(callers)]
        yield [partial(spend, connection) for connection in connections]


def _body(server: Server) -> bytes:
    """Return the body of one of our records: what the others are given to store."""
    with closing(server.database().store()) as store:
        ours = Submissions(store)
        ours.know(1)
        return store.commit(ours.request("reserve", "t-0")).body


# --- an event store ---


def _event_store(server: Server, stack: ExitStack, callers: int) -> list[Callable[[], object]] | None:
    """Return so many callers of the recorder of `eventsourcing`; None where it is not installed."""
    try:
        library = importlib.import_module("eventsourcing.postgres")
    except ImportError:
        return None
    persistence = importlib.import_module("eventsourcing.persistence")
    database = server.empty()
    host = conninfo.conninfo_to_dict(server.address)
    datastore = library.PostgresDatastore(
        database.name, str(host["host"]), str(host["port"]), "postgres", "", pool_size=callers, enable_db_functions=True
    )
    stack.callback(datastore.close)
    recorder = library.PostgresApplicationRecorder(datastore)
    recorder.create_table()
    body = _body(server)

    def record(aggregate: uuid.UUID, versions: Iterator[int]) -> None:
        event = persistence.StoredEvent(aggregate, next(versions), "reserved", body)
        assert recorder.insert_events([event])

    return [partial(record, uuid.uuid4(), itertools.count(1)) for _ in range(callers)]


# --- two processes ---


def _processes(server: Server, place: Place, scale: Scale) -> Row:
    """Return what `PROCESSES` get together of one hot tenant, beside what one gets alone."""
    seconds, rounds = scale.seconds / 4, max(3, scale.rounds // 6)
    database = server.database()
    with closing(database.store()) as store:
        Submissions(store, "first-").know(1)
    spawn = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        ends: list[Connection] = []
        for number in range(PROCESSES):
            mine, other = spawn.Pipe()
            process = spawn.Process(target=_alone, args=(other, database.dsn(), number, seconds), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(mine.send, None)
            ends.append(mine)
        took = take_turns({"one": partial(_told, ends[:1]), "all": partial(_told, ends)}, rounds)
    return Row(
        GROUP,
        f"reserve, {PROCESSES} processes, {HOT.words} each, {place.name}",
        statistics.median(took["all"]),
        "/s",
        "1 process",
        statistics.median(took["one"]),
        ratio(took["all"], took["one"]),
        PROCESSES_TARGET if place.name == FIXED else None,
        better="high",
    )


def _told(ends: Sequence[Connection], _round: int) -> float:
    """Let these processes ask at once, and return what they get together."""
    for word in ("make", "go"):  # what they ask is made before the clock starts
        for end in ends:
            end.send(word)
        answers = [end.recv() for end in ends]
    return sum(answers)


def _alone(parent: Connection, dsn: str, number: int, seconds: float) -> None:
    """Be one process: reserve for the hot tenant whenever the parent says so, and tell it the rate."""
    with closing(PostgresStore(dsn, entropy=os.urandom)) as store:
        ours, requests = Submissions(store, f"p{number}-"), []
        while (word := parent.recv()) is not None:
            if word == "make":
                requests = [ours.request("reserve", "t-0") for _ in range(int(seconds * _PER_SECOND_MAX))]
                parent.send(0)
            else:
                shares = [requests[caller :: HOT.callers] for caller in range(HOT.callers)]
                parent.send(together(ours.ask, shares, seconds))


# --- growth ---


def growth(server: Server, place: Place, scale: Scale, group: str, many: int) -> Row:
    """Return the rate on a ledger of so many records beside the rate on a small one, `TO_A_FLUSH` to a flush."""
    many, few = max(1, many * scale.events_many // 1_000_000), scale.events_few
    rates: dict[str, list[float]] = {"large": [], "small": []}
    database = server.database()
    with closing(database.store()) as store:
        large = Submissions(store)
        _fill(store, large, many)
        settle()
        for number in range(max(3, scale.rounds // 3)):
            beside = server.database()
            with closing(beside.store()) as other:
                small = Submissions(other)
                _fill(other, small, few)
                turns = [("small", other, small), ("large", store, large)]
                for name, one, made in turns if number % 2 else turns[::-1]:
                    rates[name].append(_bursts(one, made, scale))
            beside.drop()
    database.drop()
    return Row(
        group,
        f"reserve at {many:,} records, {TO_A_FLUSH} to a flush, {place.name}",
        statistics.median(rates["large"]),
        "/s",
        f"at {few:,} records",
        statistics.median(rates["small"]),
        ratio(rates["large"], rates["small"]),
        GROWTH_TARGET if place.name == FIXED else None,
        better="high",
    )


def _fill(store: PostgresStore, made: Submissions, count: int) -> None:
    for first in range(0, count, _FILL):
        answers = store.commit_many([made.request("reserve", "t-0") for _ in range(min(_FILL, count - first))])
        assert all(isinstance(answer, Committed) for answer in answers), answers[:3]


def _bursts(store: PostgresStore, made: Submissions, scale: Scale) -> float:
    bursts = [[made.request("reserve", "t-0") for _ in range(TO_A_FLUSH)] for _ in range(scale.decisions)]
    start = time.perf_counter()
    for burst in bursts:
        store.commit_many(burst)
    return len(bursts) * TO_A_FLUSH / (time.perf_counter() - start)
