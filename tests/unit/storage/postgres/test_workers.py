"""Which workers live and what they hold: final where a lease ran out, and never in two hands."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url

from tests.planned import TENANT
from tests.postgres import APP, AUDITOR
from weighbridge.errors import StoreError
from weighbridge.storage.postgres.workers import ENGINE_SCHEMA, PostgresWorkers, engine_url, make_engine_schema

LONG_S, SHORT_S = 60.0, 0.05
PLAN = (TENANT, "p-1")


@pytest.fixture
def workers(database):
    make_engine_schema(database.dsn("postgres"))
    with closing(PostgresWorkers(database.dsn())) as made:
        yield made


def test_a_life_is_renewed_and_ends_for_good(workers):
    """H4: who was found dead and was not is told so, and holds nothing any more."""
    workers.register("a", LONG_S)
    workers.register("b", SHORT_S)
    assert workers.take("b", *PLAN)
    time.sleep(2 * SHORT_S)
    assert workers.living() == {"a", "b"}  # nobody has looked
    assert workers.remove_expired() == ["b"]
    assert not workers.renew("b", LONG_S)
    assert not workers.holds("b", *PLAN)
    assert not workers.take("b", *PLAN)
    assert workers.renew("a", LONG_S)
    assert workers.take("a", *PLAN)
    assert workers.living() == {"a"}


def test_one_that_is_late_and_was_not_found_dead_goes_on(workers):
    workers.register("a", SHORT_S)
    time.sleep(2 * SHORT_S)
    assert workers.renew("a", LONG_S)
    assert workers.remove_expired() == []


def test_a_plan_is_in_one_hand(workers):
    """H4: taken again by the same worker it stays taken; by another one, once it was given back or its holder is gone."""
    for name in ("a", "b"):
        workers.register(name, LONG_S)
    assert workers.take("a", *PLAN)
    assert workers.take("a", *PLAN)
    assert not workers.take("b", *PLAN)
    assert workers.take("b", "other", "p-1")  # of another tenant
    workers.give_back("b", *PLAN)  # which is not b's
    assert workers.holds("a", *PLAN)
    workers.give_back("a", *PLAN)
    assert workers.take("b", *PLAN)
    workers.retire("b")
    assert workers.take("a", *PLAN)


def test_a_race_for_a_plan_has_one_winner(workers):
    names = [f"w-{number}" for number in range(8)]
    for name in names:
        workers.register(name, LONG_S)
    for number in range(20):
        start = threading.Barrier(len(names))

        def take(name, number=number, start=start):
            start.wait()
            return workers.take(name, TENANT, f"p-{number}")

        with ThreadPoolExecutor(len(names)) as pool:
            assert sum(pool.map(take, names)) == 1


def test_a_connection_that_was_cut_is_made_anew(workers, database):
    workers.register("a", LONG_S)
    assert workers.take("a", *PLAN)
    with database.owner() as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s",
            (APP,),
        )
    assert workers.holds("a", *PLAN)
    assert workers.renew("a", LONG_S)


def test_without_its_schema_it_says_who_makes_it(database):
    with closing(PostgresWorkers(database.dsn())) as workers:
        with pytest.raises(StoreError, match="`weighbridge db upgrade --engine dbos`"):
            workers.register("a", LONG_S)
        make_engine_schema(database.dsn("postgres"))
        workers.register("a", LONG_S)
    with (
        closing(PostgresWorkers(database.dsn(AUDITOR))) as workers,
        pytest.raises(StoreError, match="this login may not"),
    ):
        workers.register("b", LONG_S)


def test_the_runtime_makes_no_schema_and_no_table(database):
    """Z3: the owner's act, which may be done again."""
    with pytest.raises(StoreError):
        make_engine_schema(database.dsn())
    make_engine_schema(database.dsn("postgres"))
    make_engine_schema(database.dsn("postgres"))
    with database.connect() as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(f"CREATE TABLE {ENGINE_SCHEMA}.more (x int)".encode())
    with database.owner() as owner:
        sql = b"SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = %s"
        assert owner.execute(sql, (ENGINE_SCHEMA,)).fetchall() == [("weighbridge_owner",)]


def test_a_database_without_a_store_gets_none(postgres):
    empty = postgres.empty()
    with pytest.raises(StoreError, match="`weighbridge db init`"):
        make_engine_schema(empty.dsn("postgres"))
    empty.drop()


def test_the_address_means_the_same_to_sqlalchemy(database):
    """A password or a name with marks in it, a folder of sockets, and what the driver adds by itself."""
    with database.owner() as owner:
        owner.execute('DROP ROLE IF EXISTS "o\'dd@/:%"')
        owner.execute("CREATE ROLE \"o'dd@/:%\" LOGIN PASSWORD 'p@/:% w'")
    try:
        dsn = psycopg.conninfo.make_conninfo(database.dsn("o'dd@/:%"), password="p@/:% w", options="-c jit=off")
        url = make_url(engine_url(dsn, as_owner=True))
        assert (url.username, url.password, url.database) == ("o'dd@/:%", "p@/:% w", database.name)
        assert url.query["options"] == "-c jit=off -c role=weighbridge_owner"
        assert psycopg.conninfo.conninfo_to_dict(dsn)["host"] == url.query["host"]
    finally:
        with database.owner() as owner:
            owner.execute('DROP ROLE "o\'dd@/:%"')


def test_the_database_is_named_where_the_address_leaves_it_out(database, monkeypatch):
    monkeypatch.setenv("PGDATABASE", database.name)
    url = make_url(engine_url(psycopg.conninfo.make_conninfo(database.server.address, user=APP)))
    assert (url.database, url.username) == (database.name, APP)
