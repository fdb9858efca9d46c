"""What must hold before a store is used: nothing of what guards its rows is missing, hollow or more than was made."""

import os
from contextlib import closing

import pytest

from tests.postgres import AUDITOR
from weighbridge.errors import StoreError
from weighbridge.storage import migrate
from weighbridge.storage.postgres import PostgresStore, status, upgrade
from weighbridge.storage.postgres.guards import changed_guards
from weighbridge.storage.postgres.owner import owned

HOLLOW = "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN new; END'"


def change(database, *statements):
    with closing(database.owner()) as owner:
        owner.execute("SET search_path = weighbridge")
        for statement in statements:
            owner.execute(statement)


def opened(database, user="app", **given):
    return PostgresStore(database.dsn(user), entropy=os.urandom, **given)


def test_a_store_as_it_was_made_has_every_guard(database):
    """L1, L5: at every version of the server."""
    with closing(database.connect(AUDITOR)) as connection:
        assert changed_guards(connection, migrate.latest_version("postgres")) == ()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE POLICY more ON ledger USING (true)", "policy ledger.more was added"),
        (
            "CREATE POLICY more ON content FOR SELECT TO weighbridge_auditor USING (true)",
            "policy content.more was added",
        ),
        ("ALTER POLICY opened_for ON identity USING (true)", "policy identity.opened_for was changed"),
        ("DROP POLICY opened_for ON plan", "policy plan.opened_for is missing"),
        (f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger {HOLLOW}", "function refuse() was changed"),
        (
            f"CREATE OR REPLACE FUNCTION require_archived() RETURNS trigger {HOLLOW}",
            "function require_archived() was changed",
        ),
        (
            f"CREATE OR REPLACE FUNCTION require_next() RETURNS trigger {HOLLOW.replace('new', 'NULL')}",
            "function require_next() was changed",
        ),
        ("CREATE RULE quiet AS ON INSERT TO ledger DO INSTEAD NOTHING", "rule ledger.quiet was added"),
        (
            "CREATE TRIGGER early BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse('x')",
            "trigger ledger.early was added",
        ),
    ],
)
def test_what_guards_rows_is_compared_not_counted(database, statement, named):
    """L1, L5: a policy more shows more, and a trigger whose function is hollow stops nothing: nobody opens such a store."""
    change(database, statement)
    for given in ({}, {"user": AUDITOR, "read_only": True}):
        with pytest.raises(StoreError, match="taken away or changed") as refused:
            opened(database, **given)
        assert named in str(refused.value)


def test_an_index_of_somebodys_own_is_no_guard(database):
    """It changes what nobody sees and nobody may write; `db status` tells of it all the same."""
    change(database, "CREATE INDEX mine ON ledger (seq)")
    opened(database).close()
    assert "index mine was added" in status(database.dsn(AUDITOR)).altered


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DELETE FROM meta", "which schema"),
        ("DELETE FROM meta WHERE key = 'schema_version'", "which schema"),
        ("UPDATE meta SET value = 'x' WHERE key = 'schema_version'", "which schema"),
        ("UPDATE meta SET value = '-1' WHERE key = 'schema_version'", "which schema"),
        ("UPDATE meta SET value = '' WHERE key = 'schema_version'", "which schema"),
        ("UPDATE meta SET value = '٣' WHERE key = 'schema_version'", "which schema"),
        ("UPDATE meta SET value = repeat('9', 5000) WHERE key = 'schema_version'", "which schema"),
        ("DELETE FROM meta WHERE key = 'purpose'", "made for"),
        ("UPDATE meta SET value = 'fun' WHERE key = 'purpose'", "made for"),
    ],
)
def test_a_store_that_does_not_say_what_it_is_is_left_alone(database, statement, what):
    """B9: whoever comes is told what is wrong, whatever they came for; nothing is made anew over what is there."""
    change(database, statement)
    for act in (
        lambda: opened(database),
        lambda: opened(database, AUDITOR, read_only=True),
        lambda: status(database.dsn(AUDITOR)),
        lambda: upgrade(database.dsn("postgres")),
        lambda: owned(database.dsn("postgres"), ()).__enter__(),
    ):
        with pytest.raises(StoreError, match=f"meta` does not say .*{what}"):
            act()


def test_a_superuser_who_reads_is_sent_to_the_auditors(database):
    """Z3: each to the role that is for what they came for."""
    with pytest.raises(StoreError, match=r"must not read a store.*member of `weighbridge_auditor`"):
        opened(database, "postgres", read_only=True)
    with pytest.raises(StoreError, match=r"must not run decisions.*member of `weighbridge_runtime`"):
        opened(database, "postgres")
