"""Somebody with the file edits it: every change is found and the first bad record named, except what needs a witness (L3).

The intruder owns the file, so the triggers do not stop them: they drop them, edit, and put them back.
"""

import os
import random
import shutil

import apsw
import pytest

from tests.intruder import OTHER, fill
from weighbridge.errors import StoreError
from weighbridge.ledger import chain, fold, record
from weighbridge.storage.audit import verify_store, verify_tenant
from weighbridge.storage.rows import OUTCOME_COLUMNS, PLAN_COLUMNS
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.submissions import (
    EXPENSIVE,
    TENANT,
    decision,
    draft,
    hashed,
)

COLUMNS = [
    (table, column)
    for table, columns in {
        "ledger": ("tenant", "seq", "leaf_hash", "hash", "body"),
        "ledger_head": ("tenant", "seq", "hash", "last_time_ms", "policy_version", "zones"),
        "identity": ("tenant", "kind", "id", "request_hash", "seq", "state"),
        "blocked_proposal": (
            "tenant", "choke_point", "proposal_hash", "validation_run_id", "inputs_hash", "policy_version", "seq",
        ),
        "retry_authorisation": (
            "tenant", "choke_point", "proposal_hash", "inputs_hash", "expires_ms", "given_by", "seq", "used_seq",
        ),
        "subject": ("tenant", "kind", "id", "seq"),
        "counter": ("tenant", "name", "reserved", "settled"),
        "consumption": ("tenant", "cell", "reserved", "settled"),
        "counter_family": ("tenant", "family"),
        "content": ("tenant", "hash", "body"),
        "plan": ("tenant", *PLAN_COLUMNS),
        "outcome": ("tenant", *OUTCOME_COLUMNS),
        "tenant_key": ("tenant", "key"),
        "meta": ("key", "value"),
    }.items()
    for column in columns
]  # fmt: skip
ROWS_OF_PLANS = {
    "status": ("PAUSED", "EXPIRED"),
    "risk": ("HIGH", "LOW"),
    "proposers": ('["eve"]',),
    "steps": ("[]",),
    "submitted": (0, 1),
    "refused": (0, 1),
}
"""Values that the checks of the table let through."""
TABLES = sorted({table for table, _ in COLUMNS})


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """A store with everything in it."""
    path = tmp_path_factory.mktemp("tamper") / "original.db"
    store = SqliteStore(path, entropy=os.urandom)
    fill(store)
    store.close()
    return path


@pytest.fixture
def path(original, tmp_path):
    return shutil.copy(original, tmp_path / "ledger.db")


def edit(path, *statements):
    """Do what the owner of the file can: drop the triggers, run the statements, put the triggers back."""
    connection = apsw.Connection(str(path))
    triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement, *values in statements:
        connection.execute(statement, values)
        assert connection.changes(), f"changed nothing: {statement}"
    for _, sql in triggers:
        connection.execute(str(sql))
    connection.close()


def faults(path, **options):
    """Return every fault that `verify` finds; a store that does not open is a fault too."""
    try:
        store = SqliteStore(path, purpose=None, entropy=os.urandom, create=False)
    except StoreError as error:
        return [chain.Fault(None, "store", str(error))]
    try:
        if options:
            return list(verify_tenant(store, TENANT, **options).faults)
        return [fault for checked in verify_store(store).tenants for fault in checked.faults]
    finally:
        store.close()


def query(path, sql, *values):
    connection = apsw.Connection(str(path))
    rows = connection.execute(sql, values).fetchall()
    connection.close()
    return rows


def other(value, column):  # noqa: PLR0911 - one line for each kind of column
    """Return another value that the column's checks let through."""
    swaps = {
        "PENDING": "COMPLETED",
        "COMPLETED": "PENDING",
        "BLOCKED": "PENDING",
        "run": "op",
        "op": "run",
        "end": "run",
        "use": "run",
        "APPROVED": "REJECTED",
        "STEP_SUCCEEDED": "STEP_FAILED",
        "ABORTED": "EXPIRED",
        "WON": "LOST",
        "enforcement": "evaluation",
    }
    match value:
        case _ if column in ROWS_OF_PLANS:
            return next(one for one in ROWS_OF_PLANS[column] if one != value)
        case None:
            return {"state": "PENDING", "body": b"x"}.get(column, 1)
        case int():
            return value + 1000
        case bytes():
            return value[:-1] + bytes([value[-1] ^ 1])
        case str() if column in {"state", "kind", "value"} and value in swaps:
            return swaps[value]
        case str() if column == "body":
            return '{"late":true}'
        case str() if column in {"reserved", "settled"}:
            return str(int(value) + 1) if value.isdecimal() else '{"operations":"9"}'
    return value + "x"


def rows_of(path, table):
    return [rowid for (rowid,) in query(path, f"SELECT rowid FROM {table}")]


def primary_key(path, table):
    """Return the columns that name a row."""
    if table in {"ledger", "content"}:
        return ["rowid"]
    return [name for name, pk in query(path, f"SELECT name, pk FROM pragma_table_info('{table}')") if pk]


def places(path, table):
    """Return a WHERE clause and its values for every row of a table."""
    key = primary_key(path, table)
    where = " AND ".join(f"{name} IS ?" for name in key)
    return [(where, row) for row in query(path, f"SELECT {', '.join(key)} FROM {table}")]


def test_nothing_edited_nothing_found(path):
    """L3: dropping and restoring triggers, without an edit, is no change."""
    edit(path)
    assert faults(path) == []


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_every_field_of_every_row(path, tmp_path, table, column):
    """L3: change any column of any row of any table: found."""
    for number, (where, values) in enumerate(places(path, table)):
        copy = shutil.copy(path, tmp_path / f"{number}.db")
        (before,) = query(copy, f"SELECT {column} FROM {table} WHERE {where}", *values)[0]
        edit(copy, (f"UPDATE {table} SET {column} = ? WHERE {where}", other(before, column), *values))
        assert faults(copy), f"{column} of {values} was {before!r}"


def test_the_columns_above_are_all_there_are(path):
    """L3: the list of the test before is complete."""
    tables = [name for (name,) in query(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {
        (table, name) for table in tables for (name,) in query(path, f"SELECT name FROM pragma_table_info('{table}')")
    }
    assert set(COLUMNS) == found


@pytest.mark.parametrize("table", TABLES)
def test_every_row_dropped(path, tmp_path, table):
    """L3: drop any row of any table: found; a record in the middle is named."""
    for number, (where, values) in enumerate(places(path, table)):
        copy = shutil.copy(path, tmp_path / f"{number}.db")
        edit(copy, (f"DELETE FROM {table} WHERE {where}", *values))
        assert faults(copy), values


EVIL_PLAN = (
    *("evil", "a-1", "T", "DRAFT", 1, 1, 1, "h", "s", 9, "LOW", "[]", "r", "[]", 0),
    *(None, None, None, None, 0, None, None),
)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("ledger_head", ("evil", 1, b"h" * 32, 0, "p", None)),
        ("identity", (TENANT, "run", "evil", "h", 1, None)),
        ("identity", ("evil", "run", "evil", "h", 1, None)),
        ("identity", (TENANT, "op", "evil", "h", 1, "COMPLETED")),
        ("blocked_proposal", (TENANT, EXPENSIVE, "h", "run-1", "h", "p", 1)),
        ("retry_authorisation", (TENANT, EXPENSIVE, "h", "h", 2**50, "p", 1, None)),
        ("subject", (TENANT, "plan", "evil", 1)),
        ("content", (TENANT, "evil", b"made up")),
        ("identity", (TENANT, "use", "op-b0", "h", 9, None)),
        ("counter", (TENANT, "operations 2026-11-23 any", "0", "0")),
        ("counter", ("evil", "operations 2026-11-22 any", "1", "0")),
        ("consumption", (TENANT, '["2026-11-22","2026-11","a","p","t","CHEAP"]', "{}", "{}")),
        ("consumption", ("evil", "[]", "{}", "{}")),
        ("counter_family", (TENANT, "operations DAY any")),
        ("plan", (TENANT, *EVIL_PLAN)),
        ("plan", ("evil", *EVIL_PLAN)),
        ("outcome", (TENANT, "evil", "crm:o-9:WON", 25, "WON", None, "a-1", "o-9", None, None, None, 0, "{}")),
        ("outcome", ("evil", "evil", "crm:o-9:WON", 1, "WON", None, "a-1", "o-9", None, None, None, 0, "{}")),
        ("counter_family", ("evil", "operations DAY any")),
    ],
)
def test_a_row_made_up(path, table, row):
    """L3: a row that no record gives is found."""
    edit(path, (f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", *row))
    assert faults(path)


def records(path, tenant=TENANT):
    return query(path, "SELECT seq, leaf_hash, hash, body FROM ledger WHERE tenant = ? ORDER BY seq", tenant)


@pytest.mark.parametrize("seq", [1, 3, 8])
def test_the_first_bad_record_is_named(path, seq):
    """L3: a changed body, with or without its own hash made to fit, names the record."""
    body = records(path)[seq - 1][3].replace(b"agent-1", b"agent-2").replace(b"person-1", b"person-2")
    edit(path, ("UPDATE ledger SET body = ? WHERE tenant = ? AND seq = ?", body, TENANT, seq))
    assert min(fault.seq for fault in faults(path) if fault.seq) == seq
    edit(path, ("UPDATE ledger SET leaf_hash = ? WHERE tenant = ? AND seq = ?", chain.leaf_hash(body), TENANT, seq))
    assert min(fault.seq for fault in faults(path) if fault.seq) == seq


def test_a_record_dropped_from_the_middle_is_named(path):
    """L3: also where the later ones move up."""
    edit(path, ("DELETE FROM ledger WHERE tenant = ? AND seq = 4", TENANT))
    assert faults(path)[0].seq == 4
    for seq in range(5, len(records(path)) + 2):
        edit(path, ("UPDATE ledger SET seq = seq - 1 WHERE tenant = ? AND seq = ?", TENANT, seq))
    assert faults(path)[0].seq == 4


def test_a_record_slipped_in_is_named(path):
    """L3: at the end, correctly linked, but without the rows it implies."""
    seq, _, hash_, body = records(path)[-1]
    forged = body.replace(b'"seq":%d' % seq, b'"seq":%d' % (seq + 1))
    leaf = chain.leaf_hash(forged)
    row = (TENANT, seq + 1, leaf, chain.link(hash_, seq + 1, leaf), forged)
    edit(path, ("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", *row))
    assert faults(path)[0].seq == seq + 1


def test_swapped_records_are_named(path):
    """L3: two records in each other's place, with everything but the number."""
    edit(
        path,
        ("UPDATE ledger SET seq = 1003 WHERE tenant = ? AND seq = 3", TENANT),
        ("UPDATE ledger SET seq = 3 WHERE tenant = ? AND seq = 5", TENANT),
        ("UPDATE ledger SET seq = 5 WHERE tenant = ? AND seq = 1003", TENANT),
    )
    assert faults(path)[0].seq == 3


def test_a_record_of_another_tenant_is_named(path):
    """L5: a record moved to another tenant's chain, hashes made to fit, does not say that tenant."""
    _, _, hash_, _ = records(path, OTHER)[-1]
    leaf, body = records(path)[2][1], records(path)[2][3]
    row = (OTHER, 3, leaf, chain.link(hash_, 3, leaf), body)
    edit(path, ("INSERT INTO ledger VALUES (?, ?, ?, ?, ?)", *row))
    assert faults(path)[0][:2] == (3, "record")


def test_a_cut_tail_is_found_by_the_head(path):
    """L3: cutting only the records leaves a head that knows of more."""
    edit(path, ("DELETE FROM ledger WHERE tenant = ? AND seq > 6", TENANT))
    assert faults(path)[0].seq == 7


def test_a_verdict_edited_outside_the_ledger_is_found(path):
    """L3: the only copy of a verdict outside the records is an operation's state."""
    edit(path, ("UPDATE identity SET state = 'PENDING' WHERE tenant = ? AND id = 'op-1'", TENANT))
    (fault,) = faults(path)
    assert (fault.seq, fault.part) == (1, "identity")


@pytest.mark.parametrize(
    ("statement", "seq", "part"),
    [
        ("UPDATE counter SET reserved = '1' WHERE name = 'operations 2026-11 any'", 13, "counter"),
        (
            "UPDATE counter SET reserved = '1' WHERE name = 'operations 2026-11-22 any'",
            10,
            "counter",
        ),  # it stands still
        ("UPDATE counter SET settled = '18' WHERE name LIKE 'tokens%'", 13, "counter"),
        ("DELETE FROM counter WHERE name LIKE 'tokens%'", 13, "counter"),
        ('UPDATE consumption SET settled = \'{"tokens":"18"}\'', 13, "consumption"),
        ('UPDATE consumption SET reserved = \'{"operations":"0","tokens":"18"}\'', 13, "consumption"),
        ("DELETE FROM counter_family WHERE family = 'operations MONTH any'", 13, "counter family"),
        ("UPDATE ledger_head SET zones = '[[\"UTC\",0,0]]' WHERE tenant = 'acme'", 25, "head"),
        ("UPDATE ledger_head SET zones = NULL WHERE tenant = 'acme'", 25, "head"),
        ("DELETE FROM identity WHERE kind = 'use'", 12, "identity"),
    ],
)
def test_room_made_under_a_cap_is_found(path, statement, seq, part):
    """L3: whatever would let more be reserved: a lower counter, more given back, a cap that counts nothing, another zone."""
    edit(path, (statement,))
    (fault,) = faults(path)
    assert (fault.seq, fault.part) == (seq, part)


def test_a_reservation_made_up_to_fit_its_rows_is_found(path):
    """L3, B5: a record in a recomputed chain, its counters made to fit: it still passes the cap that it states."""
    seq, _, _, body = next(row for row in records(path) if b"BUDGET_BLOCK" in row[3])
    forged = body.replace(b"BUDGET_BLOCK", b"BUDGET_RESERVE").replace(b"HARD_CAP_EXCEEDED", b"WITHIN_CAPS")
    forged = forged.replace(b'"BLOCK"', b'"ALLOW"')
    state = fold.Fold(TENANT)
    found = []
    for number, _, _, told in records(path)[:seq]:
        text = forged if number == seq else told
        leaf = chain.leaf_hash(text)
        found.append(state.add(number, leaf, chain.link(state.head.hash, number, leaf), text))
    assert [fault and fault.seq for fault in found] == [*[None] * (seq - 1), seq]
    assert found[-1] is not None
    assert "does not follow" in found[-1].message


def test_what_cannot_be_read_is_named(path):
    """L3: a cell that holds no amounts ends the check, and says so; nothing is reserved over it."""
    edit(path, ('UPDATE consumption SET reserved = \'{"tokens":"-1"}\'',))
    assert [fault.part for fault in faults(path)] == ["store"]


def test_what_cannot_be_read_hides_nothing_else(path):
    """L3: a row that is no row costs the rest of its table; every other one is compared, and no record is called bad for it."""
    edit(
        path,
        ('UPDATE consumption SET reserved = \'{"operations":"x"}\'',),
        ("UPDATE counter SET reserved = CAST(reserved + 1 AS TEXT) WHERE name LIKE 'operations %'",),
        ("UPDATE plan SET steps = replace(steps, '\"x.brief\"', '1') WHERE plan_id = 'p-1'",),
        ("DELETE FROM outcome WHERE kind = 'APPROVED'",),
        ("UPDATE content SET body = ? WHERE body IS NULL", b"first"),
    )
    found = faults(path)
    assert {fault.part for fault in found} == {"store", "counter", "outcome row", "content"}
    unread = [fault for fault in found if fault.part == "store"]
    assert [fault.seq for fault in unread] == [None, None]
    assert not any("run `weighbridge ledger verify`" in fault.message for fault in unread)
    assert "what was consumed cannot be read" in unread[0].message + unread[1].message


@pytest.mark.parametrize(
    ("statement", "named", "part"),
    [
        ("UPDATE plan SET status = 'PAUSED' WHERE plan_id = 'p-1'", "plan `p-1`", "plan row"),
        ("UPDATE plan SET status = 'DRAFT', approved_hash = NULL WHERE plan_id = 'p-9'", "plan `p-9`", "plan row"),
        ("UPDATE plan SET steps = replace(steps, 'COMPLETED', 'FAILED')", "plan `p-1`", "plan row"),
        ('UPDATE plan SET steps = replace(steps, \'"attempts":1\', \'"attempts":1,"x":1\')', "plan `p-1`", "store"),
        ("UPDATE plan SET steps = replace(steps, '\"x.brief\"', '1') WHERE plan_id = 'p-1'", "plan `p-1`", "store"),
        ("DELETE FROM plan WHERE plan_id = 'p-9'", "plan `p-9`", "plan row"),
        ("UPDATE outcome SET kind = 'LOST' WHERE kind = 'WON'", "outcome `outcome-004`", "outcome row"),
        ("UPDATE outcome SET body = '{}' WHERE kind = 'WON'", "outcome `outcome-004`", "outcome row"),
        ("DELETE FROM outcome WHERE kind = 'APPROVED'", "outcome `outcome-001`", "outcome row"),
    ],
)
def test_a_plan_or_an_outcome_that_is_edited_is_named(path, statement, named, part):
    """L3, H1, O1: whatever it is about, by its id; also a row that cannot be read any more."""
    edit(path, (statement,))
    (fault,) = faults(path)
    assert named in fault.message
    assert fault.part == part


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE identity SET request_hash = CAST(x'ff' AS TEXT) WHERE id = 'op-b1'",
        "UPDATE consumption SET cell = CAST(x'ff' AS TEXT)",
        "UPDATE meta SET value = CAST(x'ff' AS TEXT) WHERE key = 'purpose'",
    ],
)
def test_text_that_is_none_any_more_is_named(path, statement):
    """L3: bytes that are no UTF-8, where text belongs, are a damaged file, and not a crash of the check."""
    edit(path, (statement,))
    assert [fault.part for fault in faults(path)] == ["store"]
    assert "damaged" in faults(path)[0].message


def test_erased_content_put_back_is_found(path):
    """L6: erasing is on record, so what comes back is found."""
    edit(path, ("UPDATE content SET body = ? WHERE body IS NULL", b"first"))
    (fault,) = faults(path)
    assert (fault.seq, fault.part) == (7, "content")


def test_an_emptied_file_is_no_store(path):
    """L3: neither for reading nor for writing: nothing silently starts anew where a ledger was."""
    path.write_bytes(b"")
    for options in ({"purpose": None, "create": False}, {"purpose": "enforcement"}):
        with pytest.raises(StoreError, match="is empty"):
            SqliteStore(path, entropy=os.urandom, **options)


def test_a_dropped_or_changed_trigger_is_found(path):
    """L1: a store whose guards are not ours does not open."""
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER ledger_no_update")
    connection.close()
    with pytest.raises(StoreError, match="ledger_no_update"):
        SqliteStore(path, entropy=os.urandom)


def test_records_of_a_head_that_is_gone_are_still_checked(path):
    """L3: a tenant cannot be hidden by dropping its head."""
    edit(path, ("DELETE FROM ledger_head WHERE tenant = ?", TENANT))
    assert faults(path)[0][:2] == (1, "chain")


# --- what only a witness shows ----------------------------------------------------------------------------------------


BEGUN_LATER = ("counter", "consumption", "counter_family", "plan", "outcome")


def cut_consistently(path, seq):
    """Cut the tail and every row that follows from it: what somebody who knows this program would do."""
    tenant = ("tenant = ?", TENANT)
    stored = records(path)[seq - 1]
    left = b"".join(body for _, _, _, body in records(path)[:seq] + records(path, OTHER))
    gone = [name for (name,) in query(path, "SELECT hash FROM content") if name.encode() not in left]
    edit(
        path,
        (f"DELETE FROM ledger WHERE {tenant[0]} AND seq > ?", TENANT, seq),
        (f"DELETE FROM identity WHERE {tenant[0]} AND seq > ?", TENANT, seq),
        (f"DELETE FROM subject WHERE {tenant[0]} AND seq > ?", TENANT, seq),
        (f"DELETE FROM blocked_proposal WHERE {tenant[0]} AND seq > ?", TENANT, seq),
        # The budgets began after it, and the plans.
        *((f"DELETE FROM {table} WHERE {tenant[0]}", TENANT) for table in BEGUN_LATER),
        *(("DELETE FROM content WHERE hash = ?", content_hash) for content_hash in gone),
        (
            f"UPDATE ledger_head SET seq = ?, hash = ?, policy_version = ?, zones = NULL WHERE {tenant[0]}",
            *(seq, stored[2], hashed("policy-1"), TENANT),
        ),
    )


def test_a_cut_that_fits_needs_a_witness(path):
    """L3: without one it is not seen, and we say so; with a head kept elsewhere it is."""
    last = records(path)[-1]
    cut_consistently(path, 7)
    assert faults(path) == []
    assert faults(path, witness=(last[0], last[2].hex()))[0].part == "witness"


def test_an_old_copy_needs_a_witness(path, original, tmp_path):
    """L3: a copy of an earlier moment is a ledger like any other."""
    store = SqliteStore(path, entropy=os.urandom)
    witness = store.commit(decision(draft("later")))
    store.close()
    old = shutil.copy(original, tmp_path / "old.db")
    assert faults(old) == []
    assert faults(old, witness=(witness.seq, witness.hash.hex()))[0].part == "witness"
    assert faults(path, witness=(witness.seq, witness.hash.hex())) == []


def test_a_chain_computed_anew_needs_a_witness(path):
    """L3: whoever recomputes every hash makes another ledger that verifies."""
    seen = records(path)[4]
    hash_ = chain.genesis(TENANT)
    statements = []
    for seq, _, _, body in records(path):
        forged = body.replace(b"agent-1", b"nobody!")
        leaf = chain.leaf_hash(forged)
        hash_ = chain.link(hash_, seq, leaf)
        change = "UPDATE ledger SET body = ?, leaf_hash = ?, hash = ? WHERE tenant = ? AND seq = ?"
        statements.append((change, forged, leaf, hash_, TENANT, seq))
    proposers = "UPDATE plan SET proposers = '[\"nobody!\"]'"
    edit(path, *statements, (proposers,), ("UPDATE ledger_head SET hash = ? WHERE tenant = ?", hash_, TENANT))
    assert faults(path) == []
    assert faults(path, witness=(seen[0], seen[2].hex()))[0][:2] == (5, "witness")


# --- below SQL --------------------------------------------------------------------------------------------------------


def dump(path):
    return {table: sorted(map(repr, query(path, f"SELECT * FROM {table}"))) for table in TABLES}


@pytest.mark.slow
def test_flipped_bytes_are_found_or_change_nothing(path, original, tmp_path):
    """L3: any byte of the file, flipped: found, or it stood where nothing is read."""
    chance = random.Random(7)
    content = bytearray(path.read_bytes())
    before = dump(original)
    found = 0
    for number in range(150):
        at, bit = chance.randrange(100, len(content)), 1 << chance.randrange(8)
        content[at] ^= bit
        copy = tmp_path / f"flip-{number}.db"
        copy.write_bytes(content)
        content[at] ^= bit
        if faults(copy):
            found += 1
        else:
            assert dump(copy) == before, f"byte {at} bit {bit}"
        copy.unlink()
    assert found > 10


# --- the guards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET body = x'00'",
        "DELETE FROM ledger",
        "INSERT OR REPLACE INTO ledger SELECT * FROM ledger WHERE seq = 2",
        "REPLACE INTO ledger (tenant, seq, leaf_hash, hash, body) SELECT tenant, 1, leaf_hash, hash, x'00' FROM ledger",
        "REPLACE INTO ledger (rowid, tenant, seq, leaf_hash, hash, body) VALUES (1, 'acme', 9, zeroblob(32), zeroblob(32), x'')",
        "UPDATE OR REPLACE ledger SET seq = 1",
        "INSERT INTO ledger SELECT tenant, seq + 2, leaf_hash, hash, body FROM ledger WHERE tenant = 'acme' AND seq = 8",
        "INSERT INTO ledger SELECT 'new', 2, leaf_hash, hash, body FROM ledger LIMIT 1",
        "INSERT INTO ledger SELECT * FROM ledger WHERE true ON CONFLICT DO UPDATE SET body = x'00'",
        "UPDATE ledger_head SET seq = seq - 1",
        "UPDATE ledger_head SET tenant = 'other' WHERE tenant = 'acme'",
        "DELETE FROM ledger_head",
        "UPDATE identity SET request_hash = 'x'",
        "UPDATE identity SET seq = 1",
        "DELETE FROM identity",
        "UPDATE content SET body = x'00'",
        "UPDATE content SET hash = hash || 'x'",
        "DELETE FROM content",
        "UPDATE tenant_key SET key = zeroblob(32)",
        "DELETE FROM tenant_key",
        "DELETE FROM counter",
        "UPDATE counter SET reserved = '1' WHERE name LIKE 'operations%'",
        "UPDATE counter SET reserved = '9' WHERE name LIKE 'tokens%'",
        "UPDATE counter SET settled = '4' WHERE name LIKE 'tokens%'",
        "UPDATE counter SET name = name || 'x'",
        "DELETE FROM consumption",
        "UPDATE consumption SET reserved = '{}'",
        'UPDATE consumption SET reserved = \'{"operations":"3","tokens":"9"}\'',
        'UPDATE consumption SET settled = \'{"tokens":"4"}\'',
        "UPDATE consumption SET settled = '{\"tokens\":null}'",
        "UPDATE consumption SET cell = '[]'",
        "UPDATE plan SET status = 'DRAFT', revision = 99, seq = 99 WHERE plan_id = 'p-9'",  # it has ended
        "UPDATE plan SET status = 'PAUSED' WHERE plan_id = 'p-1'",
        "UPDATE plan SET account_id = 'a-1', revision = 99, seq = 99 WHERE plan_id = 'p-1'",
        "INSERT OR REPLACE INTO plan SELECT * FROM plan WHERE plan_id = 'p-9'",
        "REPLACE INTO plan SELECT * FROM plan WHERE plan_id = 'p-1'",
        "DELETE FROM plan",
        "UPDATE outcome SET kind = 'LOST' WHERE kind = 'WON'",
        "INSERT OR REPLACE INTO outcome SELECT * FROM outcome WHERE kind = 'WON'",
        "DELETE FROM outcome",
    ],
)
def test_the_database_refuses_for_everybody(path, statement):
    """L1: append-only holds for whoever opens the file with SQLite and leaves the triggers alone."""
    before = dump(path)
    connection = apsw.Connection(str(path))
    with pytest.raises(
        apsw.ConstraintError, match=r"append-only|forward|removed|bound|erased|key|down|cannot be changed"
    ):
        connection.execute(statement)
    connection.close()
    assert dump(path) == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET body = x'00'",
        "DELETE FROM ledger",
        "DELETE FROM identity",
        "DELETE FROM content",
        "DELETE FROM counter",
        "DELETE FROM consumption",
        "DELETE FROM plan",
        "UPDATE outcome SET kind = 'LOST'",
        "DELETE FROM outcome",
        "UPDATE tenant_key SET key = zeroblob(32)",
        "UPDATE meta SET value = 'evaluation'",
        "INSERT INTO meta VALUES ('a', 'b')",
        "DROP TABLE ledger",
        "DROP TRIGGER ledger_no_update",
        "ALTER TABLE ledger RENAME TO gone",
        "CREATE TABLE more (a)",
        "CREATE TEMP TRIGGER t BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END",
        "CREATE VIEW v AS SELECT 1",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "PRAGMA writable_schema = ON",
        "PRAGMA synchronous = OFF",
        "PRAGMA journal_mode = DELETE",
        "DELETE FROM sqlite_schema",
        "VACUUM",
    ],
)
def test_our_own_connections_cannot_even_ask(path, statement):
    """L1: what the writer and the readers may do is listed, and this is not on it."""
    store = SqliteStore(path, entropy=os.urandom)
    with store._reader() as reader:
        for connection in (store._writer, reader):
            with pytest.raises((apsw.AuthError, apsw.SQLError)):
                connection.execute(statement).fetchall()
    store.close()
    assert faults(path) == []


def test_a_reader_cannot_write(path):
    """L1: reading connections insert nothing either."""
    store = SqliteStore(path, entropy=os.urandom)
    with store._reader() as reader, pytest.raises(apsw.AuthError):
        reader.execute("INSERT INTO subject VALUES ('a', 'b', 'c', 1)")
    store.close()


def test_a_body_that_says_another_number_is_named(path):
    """L3: body and place must agree, however well the hashes fit."""
    seq, _, _, body = records(path)[-1]
    forged = record.encode(TENANT, seq + 1, {"time_source": "clock", "evaluation_time": "2026-01-01T00:00:00Z"}, [])
    previous = records(path)[-2][2]
    leaf = chain.leaf_hash(forged)
    hash_ = chain.link(previous, seq, leaf)
    change = "UPDATE ledger SET body = ?, leaf_hash = ?, hash = ? WHERE tenant = ? AND seq = ?"
    edit(path, (change, forged, leaf, hash_, TENANT, seq))
    assert body != forged
    assert faults(path)[0][:2] == (seq, "record")
