"""The runtime's own credential, with raw SQL, against the ledger and against other tenants: the database itself refuses.

What such a credential can still do stands in `docs/reference/storage.md`: whoever names a tenant in `weighbridge.tenants` reads
its rows, adds records that no kernel decided, and moves heads and counters forward. `verify` finds what was moved or added (L3).
"""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest

from tests.postgres import APP, AUDITOR, BYSTANDER
from weighbridge.domain.verdict import Verdict
from weighbridge.storage.audit import verify_store
from weighbridge.testing.submissions import TENANT, cap, decision, draft, reservation, with_content

OTHER = "globex"
CAPS = [cap("day", 9), cap("tok", 99, unit="tokens")]
TABLES = (
    *("ledger", "ledger_head", "identity", "blocked_proposal", "retry_authorisation", "counter", "consumption"),
    *("counter_family", "subject", "content", "tenant_key"),
)
REFUSED = (
    psycopg.errors.InsufficientPrivilege,  # not granted, or row-level security
    psycopg.errors.IntegrityConstraintViolation,  # a trigger
    psycopg.errors.UniqueViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.FeatureNotSupported,
)


@pytest.fixture
def filled(database):
    with closing(database.store()) as store:
        for tenant in (TENANT, OTHER):
            store.commit(
                with_content("run-1", store.tenant_key(tenant), b"secret of " + tenant.encode(), tenant=tenant)
            )
            store.commit(decision(draft("run-2", verdict=Verdict.BLOCK), tenant=tenant))
            store.commit(reservation("op-1", CAPS, tenant=tenant, amounts={"operations": 1, "tokens": 5}))
        yield store


@pytest.fixture
def attacker(database, filled):
    """Give a connection as the runtime, opened for TENANT as the runtime opens one."""
    with closing(database.connect(APP)) as connection:
        connection.execute("SET search_path = weighbridge")
        opened(connection, TENANT)
        yield connection


def opened(connection, *tenants):
    connection.execute("SELECT set_config('weighbridge.tenants', %s, false)", (json.dumps(dict.fromkeys(tenants, 0)),))


ROW = "SELECT tenant, 3, leaf_hash, hash, body FROM ledger WHERE seq = 2"

APPEND_ONLY = {
    "change a body": "UPDATE ledger SET body = 'x' WHERE seq = 1",
    "change nothing": "UPDATE ledger SET body = body WHERE false",
    "remove a record": "DELETE FROM ledger WHERE seq = 3",
    "empty the ledger": "TRUNCATE ledger",
    "insert over a record": f"INSERT INTO ledger {ROW} ON CONFLICT (tenant, seq) DO UPDATE SET body = excluded.body",
    "merge over a record": (
        f"MERGE INTO ledger USING ({ROW}) AS given (tenant, seq) ON ledger.tenant = given.tenant AND ledger.seq = given.seq "
        "WHEN MATCHED THEN UPDATE SET body = 'x'"
    ),
    "the same number again": f"INSERT INTO ledger {ROW}",
    "a number that is not the next": f"INSERT INTO ledger {ROW.replace('3,', '5,')}",
    "a number before the first": f"INSERT INTO ledger {ROW.replace('3,', '0,')}",
    "copy into it": "COPY ledger FROM PROGRAM 'true'",
    "drop it": "DROP TABLE ledger",
    "drop the trigger": "DROP TRIGGER ledger_no_change ON ledger",
    "disable the trigger": "ALTER TABLE ledger DISABLE TRIGGER ALL",
    "act as a replica": "SET session_replication_role = replica",
    "replace the trigger's function": (
        "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'"
    ),
    "add a rule": "CREATE RULE quiet AS ON INSERT TO ledger DO INSTEAD NOTHING",
    "become the owner": "SET ROLE weighbridge_owner",
    "be made the owner": "GRANT weighbridge_owner TO app",
    "take it": "ALTER TABLE ledger OWNER TO app",
    "grant oneself more": "DO $$ BEGIN GRANT UPDATE ON ledger TO app; UPDATE ledger SET body = 'x'; END $$",
    "inherit from it": "CREATE TABLE weighbridge.mine () INHERITS (ledger)",
    "a head backwards": "UPDATE ledger_head SET seq = seq - 1",
    "a head away": "DELETE FROM ledger_head",
    "an id to another request": "UPDATE identity SET request_hash = 'x'",
    "an id to another record": "UPDATE identity SET seq = 1",
    "an id free again": "DELETE FROM identity",
    "a counter down": "UPDATE counter SET reserved = 0",
    "a counter to no number": "UPDATE counter SET reserved = 'NaN'",
    "a counter away": "DELETE FROM counter",
    "consumption down": """UPDATE consumption SET reserved = '{"operations": "0"}'""",
    "another content": "UPDATE content SET body = 'x'",
    "content away": "DELETE FROM content",
    "another key": "UPDATE tenant_key SET key = decode(repeat('00', 32), 'hex')",
    "a key away": "DELETE FROM tenant_key",
    "a tenant forgotten": "DELETE FROM tenant",
    "another purpose": "UPDATE meta SET value = 'evaluation'",
}


@pytest.mark.parametrize("what", APPEND_ONLY)
def test_the_runtime_cannot_change_what_was_recorded(attacker, filled, what):
    """L1, Z3: refused, and the ledger is as it was."""
    before = [*filled.records(TENANT)]
    with pytest.raises(REFUSED):
        attacker.execute(APPEND_ONLY[what])
    assert [*filled.records(TENANT)] == before
    assert verify_store(filled).ok


def test_the_owner_is_stopped_by_the_triggers(database, filled):
    """L1: a slip of the owner's hand changes no record either; disabling the trigger is an act of its own."""
    with closing(database.owner()) as owner:
        for change in (
            "UPDATE weighbridge.ledger SET body = 'x'",
            "DELETE FROM weighbridge.ledger",
            "TRUNCATE weighbridge.ledger",
        ):
            for mode in ("origin", "replica"):
                owner.execute(f"SET session_replication_role = {mode}")
                with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                    owner.execute(change)


def rows(connection, sql, *values):
    return connection.execute(sql, values).fetchall()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("given", ["unset", "reset", "empty", "nobody"])
def test_a_transaction_that_was_opened_for_nobody_sees_nothing(database, filled, table, given):
    """L5: unset means none; so does what SET LOCAL leaves behind."""
    with closing(database.connect(APP)) as connection:
        if given == "reset":
            with connection.transaction():
                connection.execute("SELECT set_config('weighbridge.tenants', '{\"globex\": 0}', true)")
        if given == "empty":
            connection.execute("SET weighbridge.tenants = ''")
        if given == "nobody":
            opened(connection)
        assert rows(connection, f"SELECT * FROM weighbridge.{table}") == []


MARK = "secret of globex"
READS = {
    "no condition": "SELECT count(*) FROM {table} WHERE tenant = 'globex'",
    "always true": "SELECT count(*) FROM {table} WHERE tenant = 'globex' AND (tenant = 'acme' OR true)",
    "a wrong id": "SELECT count(*) FROM {table} WHERE tenant <> 'acme'",
    "by row number": "SELECT count(*) FROM {table} WHERE ctid IS NOT NULL AND tenant <> 'acme'",
    "a subquery": "SELECT count(*) FROM (SELECT tenant FROM {table}) AS seen WHERE tenant <> 'acme'",
    "a join": "SELECT count(*) FROM tenant JOIN {table} USING (tenant) WHERE tenant <> 'acme'",
    "a sample": "SELECT count(*) FROM {table} TABLESAMPLE SYSTEM (100) WHERE tenant <> 'acme'",
    "a cast that leaks": "SELECT count(*) FROM {table} WHERE tenant <> 'acme' AND length(tenant) > 0",
}


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("table", TABLES)
def test_no_question_reaches_another_tenant(attacker, table, how):
    """L5: whatever is asked, with a missing condition or a wrong id."""
    assert rows(attacker, READS[how].format(table=table)) == [(0,)]


WAYS_AROUND = {
    "row security off": ("SET row_security = off", "SELECT * FROM ledger"),
    "drop the policy": ("DROP POLICY opened_for ON ledger",),
    "add a policy": ("CREATE POLICY mine ON ledger USING (true)",),
    "change the policy": ("ALTER POLICY opened_for ON ledger USING (true)",),
    "disable it": ("ALTER TABLE ledger DISABLE ROW LEVEL SECURITY",),
    "not for the owner": ("ALTER TABLE ledger NO FORCE ROW LEVEL SECURITY",),
    "as the owner": ("SET ROLE weighbridge_owner",),
    "as a superuser": ("SET SESSION AUTHORIZATION postgres",),
    "past it": ("ALTER ROLE app BYPASSRLS",),
    "a definer's function": (
        "CREATE FUNCTION weighbridge.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM ledger'",
    ),
    "a view": ("CREATE VIEW weighbridge.peek AS SELECT * FROM ledger",),
    "statistics": ("SELECT 1 / count(*) FROM pg_statistic",),
    "the file": ("SELECT pg_read_binary_file('base/1/1259')",),
    "the pages": ("COPY ledger TO PROGRAM 'cat'",),
    "insert for another": ("INSERT INTO ledger SELECT 'globex', 4, leaf_hash, hash, body FROM ledger WHERE seq = 3",),
    "probe by a conflict": ("INSERT INTO identity VALUES ('globex', 'run', 'run-1', 'x', 1) ON CONFLICT DO NOTHING",),
    "probe by uniqueness": ("INSERT INTO counter VALUES ('globex', 'operations 2026-11-22 any', 0, 0)",),
    "probe by a key": (
        "INSERT INTO tenant_key VALUES ('globex', decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING",
    ),
    "a content for another": ("INSERT INTO content VALUES ('globex', 'x', 'x')",),
    "a head for another": ("INSERT INTO ledger_head VALUES ('third', 9, decode(repeat('00', 32), 'hex'))",),
    "move a row across": ("UPDATE counter SET tenant = 'globex'",),
    "move an id across": ("UPDATE identity SET tenant = 'globex'",),
    "lock a record": ("SELECT * FROM ledger FOR UPDATE",),
}


@pytest.mark.parametrize("how", WAYS_AROUND)
def test_no_way_around_leads_to_another_tenant(attacker, filled, how):
    """L5: each is refused by the database itself."""
    *before, last = WAYS_AROUND[how]
    for statement in before:
        attacker.execute(statement)
    with pytest.raises(REFUSED):
        attacker.execute(last)
    assert verify_store(filled).ok


WRITES = (
    "UPDATE counter SET reserved = reserved + 1 WHERE tenant = 'globex'",
    "UPDATE identity SET state = 'FAILED' WHERE tenant = 'globex'",
    "UPDATE ledger_head SET seq = seq + 1 WHERE tenant = 'globex'",
    "UPDATE content SET body = NULL WHERE tenant = 'globex'",
    "DELETE FROM counter_family WHERE tenant = 'globex'",
    "UPDATE blocked_proposal SET seq = 1 WHERE tenant <> 'acme'",
)


@pytest.mark.parametrize("write", WRITES)
def test_no_write_touches_another_tenant(attacker, filled, write):
    """L5: there is nothing there to write to."""
    assert attacker.execute(write).rowcount == 0
    assert verify_store(filled).ok


def test_a_function_that_tells_what_it_sees_is_shown_nothing(attacker):
    """L5: the policy is asked before whatever the question brings along."""
    attacker.execute(
        "CREATE FUNCTION pg_temp.tells(seen text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS "
        "$$ BEGIN RAISE NOTICE '%', seen; RETURN true; END $$"
    )
    told = []
    attacker.add_notice_handler(lambda notice: told.append(notice.message_primary))
    attacker.execute("SELECT count(*) FROM identity WHERE pg_temp.tells(tenant)")
    assert set(told) == {TENANT}


def test_a_list_of_two_is_two_and_no_more(attacker, filled):
    """L5: a transaction sees the tenants that it was opened for."""
    filled.commit(decision(draft("run-1"), tenant="third"))
    opened(attacker, TENANT, "third")
    assert rows(attacker, "SELECT DISTINCT tenant FROM ledger ORDER BY 1") == [(TENANT,), ("third",)]
    opened(attacker, "third' OR true --")
    assert rows(attacker, "SELECT * FROM ledger") == []
    attacker.execute("SET weighbridge.tenants = 'acme'")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        attacker.execute("SELECT * FROM ledger")


def test_the_auditor_reads_and_nothing_else(database, filled):
    """Z3: the same list of tenants, and no write at all."""
    with closing(database.connect(AUDITOR)) as auditor:
        assert rows(auditor, "SELECT * FROM weighbridge.ledger") == []
        opened(auditor, OTHER)
        assert rows(auditor, "SELECT DISTINCT tenant FROM weighbridge.ledger") == [(OTHER,)]
        for table in (*TABLES, "tenant", "meta"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute(f"INSERT INTO weighbridge.{table} DEFAULT VALUES")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                auditor.execute(f"DELETE FROM weighbridge.{table}")


def test_a_role_without_membership_reads_nothing(database, filled):
    """Z3: not even that there is something."""
    with closing(database.connect(BYSTANDER)) as stranger:
        for table in (*TABLES, "tenant", "meta"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                stranger.execute(f"SELECT * FROM weighbridge.{table}")


@pytest.mark.parametrize(
    "act",
    [
        "UPDATE ledger_head SET seq = seq + 1",
        "UPDATE counter SET reserved = reserved + 1",
        "UPDATE identity SET state = 'COMPLETED' WHERE kind = 'op'",
        "INSERT INTO subject VALUES ('acme', 'plan', 'p-9', 1)",
        "DELETE FROM counter_family WHERE family LIKE 'tokens%'",
        "INSERT INTO ledger SELECT tenant, 4, leaf_hash, hash, body FROM ledger WHERE seq = 3",
    ],
)
def test_what_a_stolen_credential_can_move_is_found(attacker, filled, act):
    """L3, Z3: found, not prevented."""
    assert attacker.execute(act).rowcount >= 1
    assert not verify_store(filled, TENANT).ok
    assert verify_store(filled, OTHER).ok
