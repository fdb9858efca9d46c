"""The runtime's own credential, with raw SQL, against the ledger and against other tenants: the database itself refuses.

What such a credential can still do stands in `docs/explanation/threat-model.md`: whoever names a tenant in `weighbridge.tenants`
reads its rows, adds records that no kernel decided, and moves heads and counters forward. `verify` finds what was moved or added
(L3).
"""

from __future__ import annotations

import json
from contextlib import closing

import psycopg
import pytest

from tests.postgres import APP, AUDITOR, BYSTANDER
from weighbridge.domain.plan import Verb
from weighbridge.domain.verdict import Verdict
from weighbridge.storage import migrate
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres.workers import make_engine_schema
from weighbridge.storage.schema import declared
from weighbridge.testing.store_contract_outcomes import BY, WON, capture
from weighbridge.testing.store_contract_plans import mover, of_tenant
from weighbridge.testing.submissions import TENANT, authorisation, cap, decision, draft, reservation, with_content

OTHER = "globex"
CAPS = [cap("day", 9), cap("tok", 99, unit="tokens")]
TABLES = sorted(
    what.partition(" ")[2]
    for what in declared("postgres", migrate.latest_version("postgres")).things
    if what.startswith("table ") and what not in {"table meta", "table tenant"}
)
"""Every table of tenants that the migrations declare; what the server has is held against it."""
ENGINE_TABLES = ("weighbridge_worker", "weighbridge_holding")
REFUSED = (
    psycopg.errors.InsufficientPrivilege,  # not granted, or row-level security
    psycopg.errors.IntegrityConstraintViolation,  # a trigger
    psycopg.errors.UniqueViolation,
    psycopg.errors.CheckViolation,
    psycopg.errors.FeatureNotSupported,
)

UNSEEN = (
    *REFUSED,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
)
"""What a role meets that may not even look into the schema."""


@pytest.fixture
def filled(database):
    with closing(database.store()) as store:
        for tenant in (TENANT, OTHER):
            store.commit(
                with_content("run-1", store.tenant_key(tenant), b"secret of " + tenant.encode(), tenant=tenant)
            )
            blocked = draft("run-2", verdict=Verdict.BLOCK)
            store.commit(decision(blocked, tenant=tenant))
            store.commit(reservation("op-1", CAPS, tenant=tenant, amounts={"operations": 1, "tokens": 5}))
            for plan_id, verb in (("p-1", Verb.SUBMIT), ("p-9", Verb.ABORT)):
                moves = mover(store, plan_id, tenant)
                store.commit(of_tenant(moves.create(), tenant))
                store.commit(of_tenant(moves.act(verb, store.plan(tenant, plan_id)), tenant))
            capture(store).capture(tenant, WON, by=BY)
            store.commit(authorisation(blocked, tenant=tenant))
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
    "a gap inside one statement": (
        "INSERT INTO ledger SELECT tenant, given.seq, leaf_hash, hash, body "
        "FROM ledger, generate_series(10, 12, 2) AS given (seq) WHERE ledger.seq = 2"
    ),
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
    "more given back than was taken": "UPDATE counter SET settled = reserved + 1",
    "consumption that is no amount": """UPDATE consumption SET settled = '{"operations": "x"}'""",
    "consumption below nothing": """UPDATE consumption SET settled = '{"operations": "-1"}'""",
    "consumption as a number": """INSERT INTO consumption VALUES ('acme', 'zzz', '{"operations": 1}', '{}')""",
    "consumption in a list": """INSERT INTO consumption VALUES ('acme', 'zzz', '{}', '{"operations": ["1"]}')""",
    "consumption over two lines": r"""INSERT INTO consumption VALUES ('acme', 'zzz', '{"operations": "1\\n2"}', '{}')""",
    "a head without a name": ("INSERT INTO ledger_head SELECT 'acme2', 0, hash FROM ledger_head"),
    "a counter to no number": "UPDATE counter SET reserved = 'NaN'",
    "a counter away": "DELETE FROM counter",
    "consumption down": """UPDATE consumption SET reserved = '{"operations": "0"}'""",
    "another content": "UPDATE content SET body = 'x'",
    "content away": "DELETE FROM content",
    "another key": "UPDATE tenant_key SET key = decode(repeat('00', 32), 'hex')",
    "a key away": "DELETE FROM tenant_key",
    "a tenant forgotten": "DELETE FROM tenant",
    "an ended plan begun again": "UPDATE plan SET status = 'ACTIVE', revision = 9, seq = 99 WHERE plan_id = 'p-9'",
    "a plan backwards": "UPDATE plan SET status = 'APPROVED', revision = 1 WHERE plan_id = 'p-1'",
    "a plan as it was": "UPDATE plan SET seq = seq, revision = revision",
    "another's plan": "UPDATE plan SET account_id = 'a-2'",
    "a plan of another type": "UPDATE plan SET plan_type = 'X'",
    "a plan made elsewhere": "UPDATE plan SET created_seq = 1",
    "a status that is none": "UPDATE plan SET status = 'DONE', revision = 9, seq = 99 WHERE plan_id = 'p-1'",
    "a plan away": "DELETE FROM plan",
    "all plans away": "TRUNCATE plan",
    "an ended plan inserted over": (
        "INSERT INTO plan SELECT * FROM plan WHERE plan_id = 'p-9' ON CONFLICT (tenant, plan_id) "
        "DO UPDATE SET status = 'DRAFT', revision = 9, seq = 99"
    ),
    "an outcome changed": "UPDATE outcome SET kind = 'LOST'",
    "an outcome away": "DELETE FROM outcome",
    "all outcomes away": "TRUNCATE outcome",
    "an outcome inserted over": (
        "INSERT INTO outcome SELECT * FROM outcome ON CONFLICT (tenant, outcome_id) DO UPDATE SET kind = 'LOST'"
    ),
    "the same outcome again": "INSERT INTO outcome SELECT * FROM outcome",
    "an outcome joined with nothing": (
        "INSERT INTO outcome (tenant, outcome_id, idempotency_key, seq, kind, account_id, at_ms, body) "
        "VALUES ('acme', 'x', 'x', 1, 'WON', 'a-1', 0, '{}')"
    ),
    "a person's outcome of nobody": (
        "INSERT INTO outcome (tenant, outcome_id, idempotency_key, seq, kind, plan_id, event_seq, event_index, at_ms, body) "
        "VALUES ('acme', 'x', 'x', 1, 'APPROVED', 'p-1', 1, 0, 0, '{}')"
    ),
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


STOLEN = (
    "UPDATE ledger_head SET seq = seq + 1",
    "UPDATE counter SET reserved = reserved + 1",
    "UPDATE counter SET settled = reserved",
    """UPDATE consumption SET settled = reserved""",
    "UPDATE identity SET state = 'COMPLETED' WHERE kind = 'op'",
    "INSERT INTO subject VALUES ('acme', 'plan', 'p-9', 1)",
    "UPDATE plan SET status = 'ACTIVE', revision = 9, seq = 99 WHERE plan_id = 'p-1'",
    "INSERT INTO plan SELECT (jsonb_populate_record(held, '{\"plan_id\": \"mine\"}')).* FROM plan AS held WHERE plan_id = 'p-1'",
    """INSERT INTO outcome SELECT (jsonb_populate_record(held, '{"outcome_id": "mine", "idempotency_key": "x"}')).*
       FROM outcome AS held""",
    "DELETE FROM counter_family WHERE family LIKE 'tokens%'",
    "INSERT INTO ledger SELECT tenant, 10, leaf_hash, hash, body FROM ledger WHERE seq = 3",
)
"""What the runtime's credential can do, told in `docs/explanation/threat-model.md`; a check finds each of it."""


def test_no_table_is_forgotten(database, filled):
    """L5: whatever the server holds is asked about here; each table of tenants has rows of both, so that nothing is empty."""
    in_schema = (
        "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') ORDER BY 1"
    )
    with closing(database.owner()) as owner:
        assert [name for (name,) in rows(owner, in_schema, "weighbridge")] == sorted((*TABLES, "meta", "tenant"))
        for table in TABLES:
            held = {tenant for (tenant,) in rows(owner, f"SELECT DISTINCT tenant FROM weighbridge.{table}")}
            assert held == {TENANT, OTHER}, table


def test_the_tables_of_the_engine_are_the_runtimes_and_nobody_elses(database, filled):
    """Z3: they say who may try next, and nothing of what was decided; they name plans of every tenant to whoever runs plans."""
    make_engine_schema(database.dsn("postgres"))
    in_schema = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'weighbridge_engine'::regnamespace AND relkind IN ('r', 'p')"
    )
    with closing(database.owner()) as owner:
        assert {name for (name,) in rows(owner, in_schema)} == {*ENGINE_TABLES}
    for user in (AUDITOR, BYSTANDER):
        with closing(database.connect(user)) as other:
            for table in ENGINE_TABLES:
                for statement in (
                    f"SELECT * FROM weighbridge_engine.{table}",
                    f"DELETE FROM weighbridge_engine.{table}",
                ):
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        other.execute(statement)
    with closing(database.connect(APP)) as runtime:
        for statement in ("DROP TABLE weighbridge_engine.{}", "TRUNCATE weighbridge_engine.{}"):
            for table in ENGINE_TABLES:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    runtime.execute(statement.format(table))


@pytest.mark.parametrize("statement", STOLEN)
def test_a_check_finds_what_a_stolen_credential_moved(attacker, filled, statement):
    """L3: what the runtime may do and no decision did is found, as the threat model says."""
    attacker.execute(statement)
    assert not verify_store(filled, TENANT).ok


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
    "a common table": "WITH seen AS MATERIALIZED (SELECT tenant FROM {table}) SELECT count(*) FROM seen WHERE tenant <> 'acme'",
    "a union": "SELECT count(*) FROM (TABLE tenant INTERSECT SELECT tenant FROM {table}) AS seen WHERE tenant <> 'acme'",
    "a lateral join": (
        "SELECT count(*) FROM tenant AS named, LATERAL (SELECT FROM {table} AS held WHERE held.tenant = named.tenant) AS seen "
        "WHERE named.tenant <> 'acme'"
    ),
    "an outer join": "SELECT count({table}.tenant) FROM tenant LEFT JOIN {table} USING (tenant) WHERE tenant <> 'acme'",
    "the whole row": "SELECT count(*) FROM {table} AS held WHERE strpos(held::text, 'globex') > 0 AND tenant <> 'acme'",
    "another spelling": "SELECT count(*) FROM weighbridge.{table} WHERE lower(tenant) = 'globex'",
    "only the table": "SELECT count(*) FROM ONLY {table} WHERE tenant <> 'acme'",
    "a cast that leaks": "SELECT count(*) FROM {table} WHERE tenant <> 'acme' AND length(tenant) > 0",
}


@pytest.mark.parametrize("how", READS)
@pytest.mark.parametrize("table", TABLES)
def test_no_question_reaches_another_tenant(attacker, table, how):
    """L5: whatever is asked, with a missing condition or a wrong id."""
    assert rows(attacker, READS[how].format(table=table)) == [(0,)]


def test_a_copy_a_cursor_and_a_prepared_statement_hold_one_tenant(attacker):
    """L5: also where the rows do not come back as an answer, or the plan was made for somebody else."""
    with attacker.cursor().copy("COPY (SELECT tenant FROM ledger) TO STDOUT") as copy:
        assert {row for (row,) in copy.rows()} == {TENANT}
    attacker.execute("PREPARE asked AS SELECT DISTINCT tenant FROM ledger")
    assert [rows(attacker, "EXECUTE asked") for _ in range(7)] == [[(TENANT,)]] * 7
    opened(attacker)
    assert rows(attacker, "EXECUTE asked") == []  # the list of now counts, not the one that it was planned under
    opened(attacker, TENANT)
    with attacker.transaction():
        attacker.execute("DECLARE held CURSOR FOR SELECT tenant FROM ledger")
        assert {row for (row,) in rows(attacker, "FETCH ALL FROM held")} == {TENANT}


def test_a_table_of_ones_own_stands_before_nothing(database, filled):
    """L1, L5: what the runtime makes for its session is not what a store reads or writes."""
    with closing(database.connect(APP)) as connection:
        connection.execute("CREATE TEMP TABLE ledger AS SELECT 'acme' AS tenant")
        connection.execute("SELECT set_config('search_path', 'weighbridge, pg_temp', false)")
        opened(connection, TENANT)
        assert rows(connection, "SELECT count(hash) FROM ledger") == [(9,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE weighbridge.mine (a int)")


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
    "probe by a plan": ("INSERT INTO plan SELECT 'globex', 'p-1', account_id, plan_type, status, revision FROM plan",),
    "a plan for another": (
        """INSERT INTO plan SELECT (jsonb_populate_record(held, '{"tenant": "globex", "plan_id": "mine"}')).*
           FROM plan AS held""",
    ),
    "an outcome for another": (
        'INSERT INTO outcome SELECT (jsonb_populate_record(held, \'{"tenant": "globex"}\')).* FROM outcome AS held',
    ),
    "move a plan across": ("UPDATE plan SET tenant = 'globex'",),
    "move a row across": ("UPDATE counter SET tenant = 'globex'",),
    "move an id across": ("UPDATE identity SET tenant = 'globex'",),
    "lock a record": ("SELECT * FROM ledger FOR UPDATE",),
    "another head's record": ("UPDATE ledger_head SET tenant = 'globex'",),
    "another's content": ("UPDATE content SET tenant = 'globex'",),
    "merge across": (
        """MERGE INTO counter USING (SELECT 'globex' AS tenant) AS given ON counter.tenant = given.tenant
           WHEN NOT MATCHED THEN INSERT VALUES ('globex', 'mine', 1, 0)""",
    ),
    "copy across": ("COPY subject FROM STDIN",),
    "a list for the role": ("ALTER ROLE weighbridge_runtime SET weighbridge.tenants = '{\"globex\": 0}'",),
    "a list for the database": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET weighbridge.tenants = 1', current_database()); END $$",
    ),
    "a trigger that looks": ("CREATE TRIGGER looks AFTER INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse('x')",),
    "a large object of the server": ("SELECT lo_import('/etc/passwd')",),
    "read the log": ("SELECT pg_read_file('postgresql.conf')",),
    "a membership": ("GRANT weighbridge_auditor TO bystander",),
}


@pytest.mark.parametrize("how", WAYS_AROUND)
def test_no_way_around_leads_to_another_tenant(attacker, filled, how):
    """L5: each is refused by the database itself."""
    *before, last = WAYS_AROUND[how]
    for statement in before:
        attacker.execute(statement)
    with pytest.raises(REFUSED):
        attempted(attacker, last)
    assert verify_store(filled).ok


def attempted(connection, statement):
    """Run a statement; of a COPY from us, with the row of another tenant."""
    if not statement.endswith("FROM STDIN"):
        connection.execute(statement)
        return
    with connection.cursor().copy(statement) as copy:
        copy.write_row(("globex", "plan", "p-1", 1))


WRITES = (
    "UPDATE counter SET reserved = reserved + 1 WHERE tenant = 'globex'",
    "UPDATE identity SET state = 'FAILED' WHERE tenant = 'globex'",
    "UPDATE ledger_head SET seq = seq + 1 WHERE tenant = 'globex'",
    "UPDATE content SET body = NULL WHERE tenant = 'globex'",
    "DELETE FROM counter_family WHERE tenant = 'globex'",
    "UPDATE blocked_proposal SET seq = 1 WHERE tenant <> 'acme'",
    "UPDATE plan SET status = 'PAUSED', revision = 9, seq = 99 WHERE tenant = 'globex'",
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


@pytest.fixture(params=[AUDITOR, BYSTANDER])
def outsider(request, database, filled):
    """Give a connection as the auditor, and one as a role of nobody, opened for TENANT."""
    with closing(database.connect(request.param)) as connection:
        connection.execute("SET search_path = weighbridge")
        opened(connection, TENANT)
        yield connection


def test_who_may_not_write_changes_nothing(outsider, filled):
    """L1, Z3: everything that the runtime tries in vain, and everything that it may do, is refused the auditor and a stranger."""
    before = [*filled.records(TENANT)]
    for statement in (*APPEND_ONLY.values(), *WRITES, *STOLEN):
        with pytest.raises(UNSEEN):
            outsider.execute(statement.replace("TO app", "TO inspector"))
    assert [*filled.records(TENANT)] == before
    assert verify_store(filled).ok


def test_who_may_only_read_finds_no_way_around(outsider, filled):
    """L5, Z3: the auditor is held to its list of tenants as the runtime is."""
    for *before, last in WAYS_AROUND.values():
        for statement in before:
            outsider.execute(statement)
        with pytest.raises(UNSEEN):
            attempted(outsider, last)
        outsider.execute("RESET row_security")


@pytest.mark.parametrize("how", READS)
def test_no_question_of_the_auditor_reaches_another_tenant(database, filled, how):
    """L5, Z3."""
    with closing(database.connect(AUDITOR)) as auditor:
        auditor.execute("SET search_path = weighbridge")
        for table in TABLES:
            opened(auditor, TENANT)
            assert rows(auditor, READS[how].format(table=table)) == [(0,)]


def test_the_runtime_has_no_privilege_that_it_does_not_need(attacker):
    """Z3: no table can be emptied, and of the ledger, the keys, the ids' bindings and the tenants nothing can be updated."""
    for table in (*TABLES, "tenant", "meta"):
        with pytest.raises(REFUSED):
            attacker.execute(f"TRUNCATE {table}".encode())
        if table != "counter_family":  # what counts now, and no history
            with pytest.raises(REFUSED):
                attacker.execute(f"DELETE FROM {table}".encode())
        with pytest.raises(REFUSED):
            attacker.execute(f"UPDATE {table} SET {'key = key' if table == 'meta' else 'tenant = tenant'}".encode())


def test_a_role_without_membership_reads_nothing(database, filled):
    """Z3: not even that there is something."""
    with closing(database.connect(BYSTANDER)) as stranger:
        for table in (*TABLES, "tenant", "meta"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                stranger.execute(f"SELECT * FROM weighbridge.{table}")


@pytest.mark.parametrize("act", STOLEN)
def test_what_a_stolen_credential_can_move_is_found(attacker, filled, act):
    """L3, Z3: found, not prevented."""
    assert attacker.execute(act).rowcount >= 1
    assert not verify_store(filled, TENANT).ok
    assert verify_store(filled, OTHER).ok
