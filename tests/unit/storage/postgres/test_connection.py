"""What an error of the driver means, said once and to the point."""

import logging
from contextlib import closing

import psycopg
import pytest
from psycopg import conninfo

from weighbridge.errors import StoreError
from weighbridge.storage.postgres.connection import connect, pipelined, translated


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "nobody_at_all"}, 'role "nobody_at_all" does not exist'),
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
    ],
)
def test_whom_the_server_does_not_let_in_is_told_why(database, given, said):
    """An unknown role or database is no server that is down."""
    with pytest.raises(StoreError, match="the server answers, but does not let us in") as refused, translated():
        connect(conninfo.make_conninfo(database.dsn(), **given))
    assert said in str(refused.value)
    assert "cannot be reached" not in str(refused.value)


def test_the_application_is_named_unless_the_address_names_one(database):
    asked = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    for more, name in (("", "weighbridge"), (" application_name=mine", "mine")):
        with closing(connect(database.dsn() + more)) as connection:
            assert connection.execute(asked).fetchall() == [(name,)]


def end(connection, *, late):
    with pipelined(connection):
        cursor = connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        connection.execute("SELECT 1")
        if not late:
            cursor.fetchall()


@pytest.mark.parametrize("late", [False, True])
def test_an_error_in_a_pipeline_is_raised_and_logged_nowhere(database, caplog, late):
    """M3: the caller tells of it; a server that is away would fill the log otherwise."""
    with caplog.at_level(logging.DEBUG, logger="psycopg"), closing(connect(database.dsn())) as connection:
        with pytest.raises(KeyError), pipelined(connection):
            raise KeyError
        with pytest.raises(psycopg.Error):
            end(connection, late=late)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
