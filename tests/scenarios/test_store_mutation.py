"""Whoever owns the store changes it, in every way there is, on both stores: found and named (L3).

Three kinds of intruder. The careless one edits rows: the chain and the fold show it, and the first bad record is named. The
careful one computes everything anew, so that it fits: only a checkpoint kept elsewhere shows that, and only up to the record it
covers. Whoever restores an old copy is a careful one that had no work.
"""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.intruder import OTHER, REFUSED, PostgresIntruder, SqliteIntruder, fill
from tests.sealing import decide, make_keys, opened, reader, sealer, site, witness
from weighbridge.errors import LedgerCorrupt
from weighbridge.ledger import chain
from weighbridge.ledger.checkpoint import TenantHead
from weighbridge.ledger.merkle import tree_head
from weighbridge.sealer import SealRefused
from weighbridge.storage.audit import verify_store, verify_tenant
from weighbridge.storage.sqlite import SqliteStore
from weighbridge.testing.submissions import TENANT

SOAK = bool(os.environ.get("WEIGHBRIDGE_SOAK"))
BYTE_STEP = 1 if SOAK else 61
EXAMPLES = 2_000 if SOAK else 60
KINDS = ("sqlite", "postgres")


# --- the careless intruder ---


@pytest.fixture(scope="module", params=KINDS)
def intruder(request, tmp_path_factory, postgres):
    """The owner of a store with everything in it."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("mutation") / "s.db"
        store = SqliteStore(path, entropy=os.urandom)
        fill(store)
        store.close()
        made = SqliteIntruder(path)
        yield made
        made.close()
    else:
        database = postgres.database()
        filled = database.store()
        fill(filled)
        filled.close()
        owner = PostgresIntruder(database)
        yield owner
        owner.close()
        database.drop()


@pytest.fixture(scope="module")
def seen(intruder):
    """What a checkpoint over all but the last record of `acme` says."""
    return sealed_heads(intruder.reader)


def sealed_heads(moment):
    leaves = [stored.leaf_hash for stored in moment.records(TENANT)][:-1]
    return [TenantHead(TENANT, len(leaves), tree_head(leaves).hex())]


def found(moment, heads=()):
    """Return what verifying says of both tenants, the worst of each first."""
    checked = [verify_tenant(moment, tenant, seen=heads) for tenant in (TENANT, OTHER)]
    return [fault for one in checked for fault in ((one.first_bad, *one.faults) if one.first_bad else ())]


def rows(intruder, table):
    """Return every row of a table, as what names it: all of its columns."""
    columns = intruder.tables()[table]
    return columns, intruder.run(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns)}")


def where(columns, row):
    """Return a condition that only this row meets, and its values."""
    kept = [(column, value) for column, value in zip(columns, row, strict=True) if value is not None]
    return " AND ".join(f"{column} = ?" for column, _ in kept), [value for _, value in kept]


def flipped(value, at, bit):
    """Return a value of which one bit, or one character, is another."""
    if isinstance(value, bytes):
        changed = bytearray(value)
        changed[at % len(value)] ^= 1 << bit
        return bytes(changed)
    if isinstance(value, int):
        return value ^ (1 << bit)
    if value == "":
        return "x"
    at %= len(value)
    return value[:at] + chr(ord(value[at]) ^ (1 << bit % 4)) + value[at + 1 :]


def test_an_untouched_store_verifies(intruder, seen):
    """L3: looking on through the intruder's transaction, triggers off and all, finds nothing."""
    assert found(intruder.reader) == []
    assert found(intruder.reader, seen) == []


def test_a_byte_of_a_record_that_is_flipped_names_the_record(intruder):
    """L3: the chain alone shows it, in whichever column, and says which record is the first that is not what was written."""
    count = 0
    for tenant, seq, leaf, hash_, body in intruder.run("SELECT tenant, seq, leaf_hash, hash, body FROM ledger"):
        columns = {"leaf_hash": (leaf, 31), "hash": (hash_, 31), "body": (body, BYTE_STEP)}
        for column, (value, step) in columns.items():
            for at in range((7 * seq) % step if step > 1 else 0, len(value), step):
                with intruder.undone():
                    sql = f"UPDATE ledger SET {column} = ? WHERE tenant = ? AND seq = ?"
                    intruder.run(sql, flipped(value, at, at % 8), tenant, seq)
                    first = verify_tenant(intruder.reader, tenant).first_bad
                    assert first, (tenant, seq, column, at)
                    assert first.seq == seq, (tenant, seq, column, at)
                    count += 1
    assert count > 100


def test_every_field_of_every_row_that_is_changed_is_found(intruder):
    """L3: chain, heads, ids, blocks, authorisations, subjects, counters, cells, families, contents and keys."""
    looked = dict.fromkeys(intruder.tables(), 0)
    for table in looked:
        columns, every = rows(intruder, table)
        for row, (number, column) in itertools.product(every, enumerate(columns)):
            condition, values = where(columns, row)
            new = b"x" if row[number] is None and column == "body" else row[number]
            new = 1 if new is None else flipped(new, 0, 0)
            with intruder.undone():
                try:
                    intruder.run(f"UPDATE {table} SET {column} = ? WHERE {condition}", new, *values)
                except REFUSED:
                    continue  # it cannot even be written down
                assert found(intruder.reader), (table, column, row)
                looked[table] += 1
    assert all(looked.values()), looked


def test_every_row_that_is_dropped_is_found(intruder):
    """L3."""
    for table in intruder.tables():
        columns, every = rows(intruder, table)
        assert every, table
        for row in every:
            condition, values = where(columns, row)
            with intruder.undone():
                intruder.run(f"DELETE FROM {table} WHERE {condition}", *values)
                assert found(intruder.reader), (table, row)


def length(intruder):
    return intruder.run("SELECT count(*) FROM ledger WHERE tenant = ?", TENANT)[0][0]


def moved(intruder, first, last, by):
    """Give the records from ``first`` to ``last`` other numbers, those that are in the way first."""
    order = range(last, first - 1, -1) if by > 0 else range(first, last + 1)
    for seq in order:
        intruder.run("UPDATE ledger SET seq = ? WHERE tenant = ? AND seq = ?", seq + by, TENANT, seq)


def drop(intruder, seq):
    """Take a record out; the later ones move up."""
    many = length(intruder)
    intruder.run("DELETE FROM ledger WHERE tenant = ? AND seq = ?", TENANT, seq)
    moved(intruder, seq + 1, many, -1)


def insert(intruder, seq):
    """Put a copy of a record before it; the later ones move down."""
    moved(intruder, seq, length(intruder), 1)
    sql = "INSERT INTO ledger (tenant, seq, leaf_hash, hash, body) SELECT tenant, ?, leaf_hash, hash, body FROM ledger "
    intruder.run(sql + "WHERE tenant = ? AND seq = ?", seq, TENANT, seq + 1)


def swap(intruder, seq):
    """Put a record and the next one into each other's place."""
    for before, after in ((seq, 1_000), (seq + 1, seq), (1_000, seq + 1)):
        intruder.run("UPDATE ledger SET seq = ? WHERE tenant = ? AND seq = ?", after, TENANT, before)


def truncate(intruder, seq):
    """Cut off everything from a record on."""
    intruder.run("DELETE FROM ledger WHERE tenant = ? AND seq >= ?", TENANT, seq)


@pytest.mark.parametrize("change", [drop, insert, swap, truncate])
def test_records_out_of_their_place_are_named(intruder, change):
    """L3: at every place of the ledger, by the chain alone."""
    many = length(intruder)
    for seq in range(1, many + (change is not swap)):
        with intruder.undone():
            change(intruder, seq)
            first = verify_tenant(intruder.reader, TENANT).first_bad
            assert first, seq
            # A copy of a record is itself in its place; what is wrong is the one after it.
            assert first.seq == seq + (change is insert), (seq, first)


def relinked(intruder):
    """Compute the chain of `acme` anew over the bodies that are there, and the head with it."""
    seq, hash_ = 0, chain.genesis(TENANT)
    for stored_seq, body in intruder.run("SELECT seq, body FROM ledger WHERE tenant = ? ORDER BY seq", TENANT):
        seq, leaf = stored_seq, chain.leaf_hash(body)
        hash_ = chain.link(hash_, seq, leaf)
        sql = "UPDATE ledger SET leaf_hash = ?, hash = ? WHERE tenant = ? AND seq = ?"
        intruder.run(sql, leaf, hash_, TENANT, seq)
    intruder.run("UPDATE ledger_head SET seq = ?, hash = ? WHERE tenant = ?", seq, hash_, TENANT)


@pytest.mark.parametrize("change", [drop, insert, swap, truncate])
def test_a_chain_that_was_computed_anew_leaves_rows_that_do_not_follow(intruder, seen, change):
    """L3: whoever makes the chain fit has still the rows against them, and the checkpoint."""
    many = length(intruder)
    for seq in range(1, many + (change is not swap)):
        with intruder.undone():
            change(intruder, seq)
            relinked(intruder)
            assert not verify_tenant(intruder.reader, TENANT).ok, seq
            if seq < many - 1:
                parts = {fault.part for fault in verify_tenant(intruder.reader, TENANT, seen=seen).faults}
                assert parts & {"checkpoint", "record"}, (seq, parts)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_edited_is_found(intruder, seen, data):
    """L3: several edits at once, of any table, any row, any column, any bit."""
    with intruder.undone():
        before = snapshot_of(intruder)
        for _ in range(data.draw(st.integers(1, 4), label="edits")):
            table = data.draw(st.sampled_from(sorted(before)), label="table")
            columns, every = rows(intruder, table)
            if not every:
                continue
            row = data.draw(st.sampled_from(every), label="row")
            condition, values = where(columns, row)
            kind = data.draw(st.sampled_from(["flip", "drop", "copy"]), label="kind")
            number = data.draw(st.integers(0, len(columns) - 1), label="column")
            value = row[number]
            at, bit = data.draw(st.integers(0, 4_000), label="byte"), data.draw(st.integers(0, 7), label="bit")
            new = (
                flipped(b"x" if columns[number] == "body" else 0, 0, bit) if value is None else flipped(value, at, bit)
            )
            other = (*row[:number], new, *row[number + 1 :])
            marks = ", ".join("?" * len(columns))
            statements = {
                "flip": (f"UPDATE {table} SET {columns[number]} = ? WHERE {condition}", (new, *values)),
                "drop": (f"DELETE FROM {table} WHERE {condition}", tuple(values)),
                "copy": (f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", other),
            }
            run_if_allowed(intruder, *statements[kind])
        changed = [table for table, kept in snapshot_of(intruder).items() if kept != before[table]]
        event("changed" if changed else "refused by the tables")
        # A key that nothing is addressed by belongs to nobody: what the tenants of this ledger own is what verifies.
        theirs = [table for table in changed if not only_strangers(intruder, before, table)]
        assert bool(found(intruder.reader, seen)) == bool(theirs)


def run_if_allowed(intruder, sql, values):
    """Run a statement; what keys and checks refuse did not happen."""
    try:
        with savepoint(intruder):
            intruder.run(sql, *values)
    except REFUSED:
        pass


def savepoint(intruder):
    class Savepoint:
        def __enter__(self):
            intruder.run("SAVEPOINT one")

        def __exit__(self, kind, *_):
            intruder.run("ROLLBACK TO one" if kind else "RELEASE one")

    return Savepoint()


def snapshot_of(intruder):
    return {table: set(rows(intruder, table)[1]) for table in intruder.tables()}


def only_strangers(intruder, before, table):
    """Return whether what changed is only of tenants that this ledger does not have."""
    columns = intruder.tables()[table]
    at = columns.index("tenant")
    return all(row[at] not in {TENANT, OTHER} for row in before[table] ^ set(rows(intruder, table)[1]))


# --- the careful intruder, and old copies ---

RUNS = ("a", "b", "c", "d", "e")
SEALED = 3


@pytest.fixture(scope="module", params=KINDS)
def sealed(request, tmp_path_factory, postgres):
    """A store of five records of which the first three are sealed; and a copy from before that."""
    folder = tmp_path_factory.mktemp("sealed")
    with site(request.param, folder, postgres) as at:
        make_keys(folder / "keys")
        for number, run in enumerate(RUNS, 1):
            decide(at.address, run)
            at.save(f"after_{number}")
            if number == SEALED:
                store = reader(at.address)
                sealing = sealer(store, folder / "keys", witness(folder / "w"))
                sealing.resume(begin=True)
                sealing.seal()
                store.close()
        yield folder, at


def require_found_only_by_the_checkpoint(folder, at, history):
    """Require that the store alone verifies, and that checkpoint and sealer tell it apart exactly if what was sealed differs."""
    heads = opened(witness(folder / "w"), 1, folder / "keys")[0].heads
    differs = tuple(history[:SEALED]) != RUNS[:SEALED]
    store = reader(at.address)
    try:
        assert verify_store(store).ok
        checked = verify_tenant(store, "acme", seen=heads)
        assert checked.ok is not differs, history
        sealing = sealer(store, folder / "keys", witness(folder / "w"))
        if not differs:
            sealing.resume()
            return
        first = checked.first_bad
        assert first
        cut = len(history) < SEALED
        assert (first.part, first.seq) == ("checkpoint", len(history) + 1 if cut else 1)
        assert ("ends after record" if cut else "computed anew") in first.message
        with pytest.raises(SealRefused, match="old copy" if cut else "computed anew"):
            sealing.resume()
    finally:
        store.close()


def histories():
    """Return every history that one change makes of the true one."""
    runs = list(RUNS)
    for at in range(len(runs)):
        yield [*runs[:at], "x", *runs[at + 1 :]]
        yield [*runs[:at], *runs[at + 1 :]]
        yield [*runs[:at], "x", *runs[at:]]
        yield runs[:at]
    for at in range(len(runs) - 1):
        yield [*runs[:at], runs[at + 1], runs[at], *runs[at + 2 :]]
    yield runs
    yield [*runs, "f"]


@pytest.mark.slow
def test_every_small_history_that_was_computed_anew(sealed):
    """L3: change, drop, insert, truncate and swap, at every place: found against a checkpoint kept elsewhere, and only so."""
    folder, at = sealed
    for history in histories():
        at.empty()
        decide(at.address, *history)
        require_found_only_by_the_checkpoint(folder, at, history)


@pytest.mark.slow
@settings(max_examples=10 * EXAMPLES // 60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.sampled_from("abcdefg"), max_size=6, unique=True))
def test_any_history_that_was_computed_anew(sealed, history):
    """L3."""
    folder, at = sealed
    at.empty()
    decide(at.address, *history)
    require_found_only_by_the_checkpoint(folder, at, history)


@pytest.mark.parametrize("number", range(1, len(RUNS) + 1))
def test_an_old_copy_that_is_put_back(sealed, number):
    """L3: roll back. A copy from before the seal is found by the seal; one from after it shows nothing."""
    folder, at = sealed
    at.restore(f"after_{number}")
    require_found_only_by_the_checkpoint(folder, at, RUNS[:number])


def test_an_old_copy_that_went_on_is_found(sealed):
    """L3: more records than were sealed, but others."""
    folder, at = sealed
    at.restore("after_2")
    decide(at.address, "x", "y", "z")
    require_found_only_by_the_checkpoint(folder, at, ["a", "b", "x", "y", "z"])


# --- PostgreSQL, as its superuser ---


def test_a_superuser_must_switch_the_guards_off_and_is_found_all_the_same(database):
    """L1, L3: `session_replication_role` passes no trigger by; without triggers we do not open; with them again, it is found."""
    store = database.store()
    fill(store)
    store.close()
    change = "UPDATE weighbridge.ledger SET body = convert_to(replace(convert_from(body, 'UTF8'), 'agent-1', 'agent-2'), 'UTF8')"
    with database.owner() as owner:
        owner.execute("SET session_replication_role = replica")
        with pytest.raises(REFUSED, match="append-only"):
            owner.execute(f"{change} WHERE tenant = 'acme' AND seq = 3")
        owner.execute("ALTER TABLE weighbridge.ledger DISABLE TRIGGER ALL")
        owner.execute(f"{change} WHERE tenant = 'acme' AND seq = 3")
    with pytest.raises((LedgerCorrupt, Exception), match="guards"):
        database.store(read_only=True)
    with database.owner() as owner:
        for name in ("ledger_no_change", "ledger_only_append", "ledger_only_archive"):
            if owner.execute("SELECT FROM pg_trigger WHERE tgname = %s", (name,)).fetchall():
                owner.execute(f"ALTER TABLE weighbridge.ledger ENABLE ALWAYS TRIGGER {name}".encode())
    store = database.store(read_only=True)
    checked = verify_tenant(store, TENANT)
    store.close()
    assert checked.first_bad
    assert checked.first_bad.seq == 3
