"""What only somebody who sees past row-level security can say of a store."""

from contextlib import closing

import psycopg
import pytest

from tests.command_line import run
from tests.postgres import AUDITOR
from tests.sealing import make_keys
from weighbridge.storage.audit import verify_store
from weighbridge.storage.postgres import status
from weighbridge.testing.submissions import TENANT, cap, decision, draft, reservation

OTHER = "globex"


@pytest.fixture
def hidden(database):
    """Give a store of two tenants, one of which was taken out of the names, and has a counter that was changed."""
    with closing(database.store()) as store:
        store.commit(reservation("op-1", [cap("day", 9)]))
        store.commit(decision(draft("run-1"), tenant=OTHER))
    with closing(database.owner()) as owner:
        owner.execute("SET search_path = weighbridge")
        owner.execute("ALTER TABLE tenant DISABLE TRIGGER tenant_no_change")
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            owner.execute("DELETE FROM tenant WHERE tenant = 'acme'")
        owner.execute("ALTER TABLE ledger_head DROP CONSTRAINT ledger_head_tenant_fkey")
        owner.execute("DELETE FROM tenant WHERE tenant = 'acme'")
        owner.execute("ALTER TABLE tenant ENABLE ALWAYS TRIGGER tenant_no_change")
        owner.execute("UPDATE counter SET reserved = reserved + 5")
    return database


def test_a_tenant_cannot_lose_its_name_by_one_statement(hidden):
    """L3: the key of its head holds the name; who drops that is told of by `db status`, whoever asks."""
    state = status(hidden.dsn(AUDITOR))
    assert "constraint ledger_head.ledger_head_tenant_fkey is missing" in state.altered
    assert "tenants_unnamed" not in state.facts


def test_a_superuser_sees_who_has_rows_and_no_name(hidden):
    """L3: also where every guard was put back."""
    state = status(hidden.dsn("postgres"))
    assert state.facts["tenants_unnamed"] == [TENANT]
    assert any("tenants have rows, but no name (`acme`)" in problem for problem in state.problems)
    with closing(hidden.owner()) as owner:
        owner.execute("INSERT INTO weighbridge.tenant VALUES ('acme')")
    assert status(hidden.dsn("postgres")).facts["tenants_unnamed"] == []


def test_who_asks_for_a_tenant_without_a_name_is_told(hidden):
    """L3: it is checked as every tenant is, and that nobody lists it is a fault of its own."""
    with closing(hidden.store()) as store:
        assert [one.tenant_id for one in verify_store(store).tenants] == [OTHER]
        (checked,) = verify_store(store, TENANT).tenants
    assert {fault.part for fault in checked.faults} == {"tenant", "counter"}
    done = run("ledger", "verify", "--store", hidden.url(AUDITOR), "--tenant", TENANT, "--table")
    assert (done.code, "does not name tenant `acme` any more" in done.out) == (4, True)
    assert run("ledger", "verify", "--store", hidden.url(AUDITOR), "--tenant", "nobody").code == 2


def test_a_tenant_that_was_sealed_and_has_no_name_any_more_is_a_fault(database, tmp_path):
    """L3: a checkpoint names who was there, so a check that is given one looks, whatever the store lists."""
    keys, witness = make_keys(tmp_path / "keys"), tmp_path / "witness"
    witness.mkdir()
    with closing(database.store()) as store:
        store.commit(decision(draft("run-1")))
        store.commit(decision(draft("run-1"), tenant=OTHER))
    place = ("--store", database.url(AUDITOR))
    assert run("ledger", "seal", "--to", witness, "--begin", "--keys", keys, *place).code == 0
    against = ("ledger", "verify", *place, "--checkpoint", witness, "--key", keys / "public-keys.txt", "--table")
    assert run(*against).code == 0, run(*against).err
    with closing(database.owner()) as owner:
        owner.execute("ALTER TABLE weighbridge.tenant DISABLE TRIGGER ALL")
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM weighbridge.tenant WHERE tenant = 'acme'")
        owner.execute("ALTER TABLE weighbridge.tenant ENABLE TRIGGER ALL")
        owner.execute("ALTER TABLE weighbridge.tenant ENABLE ALWAYS TRIGGER tenant_no_change")
    done = run(*against)
    assert (done.code, "does not name tenant `acme` any more" in done.out) == (4, True)
