-- The ledger and the rows that follow from it. Everything but tenant_key and meta can be rebuilt by folding the ledger.
--
-- STRICT: a wrong type is an error, not a surprise. The ledger is a rowid table: clustering it by tenant halves the rate.
-- The triggers hold for whoever opens this file with SQLite, our own connections included (L1). The owner of the file can
-- drop them; opening the store then fails, because the schema is not the one written here.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    tenant    TEXT    NOT NULL,
    seq       INTEGER NOT NULL CHECK (seq > 0),
    leaf_hash BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    hash      BLOB    NOT NULL CHECK (length(hash) = 32),
    body      BLOB    NOT NULL,
    UNIQUE (tenant, seq)
) STRICT;

-- Where each tenant's chain ends; the row a writer extends.
CREATE TABLE ledger_head (
    tenant         TEXT    PRIMARY KEY,
    seq            INTEGER NOT NULL,
    hash           BLOB    NOT NULL CHECK (length(hash) = 32),
    last_time_ms   INTEGER,
    policy_version TEXT,
    zones          TEXT
) STRICT, WITHOUT ROWID;

-- G3: what an id is bound to. It points to the record; the answer is read from there, so there is no second copy of a verdict.
CREATE TABLE identity (
    tenant       TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('run', 'op', 'end', 'use')),
    id           TEXT    NOT NULL,
    request_hash TEXT    NOT NULL,
    seq          INTEGER NOT NULL,
    state        TEXT CHECK (state IN ('BLOCKED', 'PENDING', 'COMPLETED', 'FAILED')),
    PRIMARY KEY (tenant, id, kind)
) STRICT, WITHOUT ROWID;

-- G8: the latest BLOCK of a proposal, and the latest authorisation to ask again.
CREATE TABLE blocked_proposal (
    tenant            TEXT    NOT NULL,
    choke_point       TEXT    NOT NULL,
    proposal_hash     TEXT    NOT NULL,
    validation_run_id TEXT    NOT NULL,
    inputs_hash       TEXT    NOT NULL,
    policy_version    TEXT    NOT NULL,
    seq               INTEGER NOT NULL,
    PRIMARY KEY (tenant, choke_point, proposal_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE retry_authorisation (
    tenant        TEXT    NOT NULL,
    choke_point   TEXT    NOT NULL,
    proposal_hash TEXT    NOT NULL,
    inputs_hash   TEXT    NOT NULL,
    expires_ms    INTEGER NOT NULL,
    given_by      TEXT    NOT NULL,
    seq           INTEGER NOT NULL,
    used_seq      INTEGER,
    PRIMARY KEY (tenant, choke_point, proposal_hash)
) STRICT, WITHOUT ROWID;

-- B3: everything that fell under a counter, and what of it was given back. Decimal text, because amounts pass 2**63.
CREATE TABLE counter (
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    reserved TEXT NOT NULL CHECK (reserved = '0' OR (reserved GLOB '[1-9]*' AND reserved NOT GLOB '*[^0-9]*')),
    settled  TEXT NOT NULL CHECK (settled = '0' OR (settled GLOB '[1-9]*' AND settled NOT GLOB '*[^0-9]*')),
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

-- B14: the finest grain of what was consumed, of which every counter is a sum: amounts by unit, {"tokens": "4818"}.
CREATE TABLE consumption (
    tenant   TEXT NOT NULL,
    cell     TEXT NOT NULL,
    reserved TEXT NOT NULL CHECK (json_type(reserved) IS 'object'),
    settled  TEXT NOT NULL CHECK (json_type(settled) IS 'object'),
    PRIMARY KEY (tenant, cell)
) STRICT, WITHOUT ROWID;

-- B14: what the counters count now. The counters of a family that left stand still.
CREATE TABLE counter_family (
    tenant TEXT NOT NULL,
    family TEXT NOT NULL,
    PRIMARY KEY (tenant, family)
) STRICT, WITHOUT ROWID;

-- L4: which records tell of a plan, step, account or earlier run.
CREATE TABLE subject (
    tenant TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    seq    INTEGER NOT NULL,
    PRIMARY KEY (tenant, id, seq, kind)
) STRICT, WITHOUT ROWID;

-- L6: what decisions were made from, outside the chain. A row whose body is NULL was erased and stays, so that the body is
-- never inserted again.
CREATE TABLE content (
    tenant TEXT NOT NULL,
    hash   TEXT NOT NULL,
    body   BLOB,
    UNIQUE (tenant, hash)
) STRICT;

-- L6: content is addressed by a hash under this key.
CREATE TABLE tenant_key (
    tenant TEXT PRIMARY KEY,
    key    BLOB NOT NULL CHECK (length(key) = 32)
) STRICT, WITHOUT ROWID;

-- L1: append-only. REPLACE deletes without firing a DELETE trigger, so an INSERT is checked against what it would replace:
-- the same (tenant, seq), and the same rowid.
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: a record cannot be changed');
END;

CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: a record cannot be removed');
END;

CREATE TRIGGER ledger_only_append BEFORE INSERT ON ledger BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only: a record must be the next of its tenant')
    WHERE new.seq IS NOT coalesce((SELECT max(seq) FROM ledger WHERE tenant = new.tenant), 0) + 1
       OR EXISTS (SELECT 1 FROM ledger WHERE rowid = new.rowid);
END;

CREATE TRIGGER ledger_head_only_forward BEFORE UPDATE ON ledger_head BEGIN
    SELECT RAISE(ABORT, 'a ledger head only moves forward')
    WHERE new.tenant IS NOT old.tenant OR new.seq <= old.seq;
END;

CREATE TRIGGER ledger_head_no_delete BEFORE DELETE ON ledger_head BEGIN
    SELECT RAISE(ABORT, 'a ledger head cannot be removed');
END;

CREATE TRIGGER identity_only_state BEFORE UPDATE ON identity BEGIN
    SELECT RAISE(ABORT, 'an id stays bound to its request')
    WHERE (new.tenant, new.kind, new.id, new.request_hash, new.seq)
          IS NOT (old.tenant, old.kind, old.id, old.request_hash, old.seq);
END;

CREATE TRIGGER identity_no_delete BEFORE DELETE ON identity BEGIN
    SELECT RAISE(ABORT, 'an id stays bound to its request');
END;

-- B7: what was reserved stays reserved, and what was given back is never taken again: both sums only grow. A counter that is
-- computed anew (B14) is no exception: it is a sum of cells, and they only grow.
CREATE TRIGGER counter_only_up BEFORE UPDATE ON counter BEGIN
    SELECT RAISE(ABORT, 'a counter never goes down')
    WHERE (new.tenant, new.name) IS NOT (old.tenant, old.name)
       OR (length(new.reserved), new.reserved) < (length(old.reserved), old.reserved)
       OR (length(new.settled), new.settled) < (length(old.settled), old.settled);
END;

CREATE TRIGGER counter_no_delete BEFORE DELETE ON counter BEGIN
    SELECT RAISE(ABORT, 'a counter cannot be removed');
END;

CREATE TRIGGER consumption_only_up BEFORE UPDATE ON consumption BEGIN
    SELECT RAISE(ABORT, 'what was consumed never goes down')
    WHERE (new.tenant, new.cell) IS NOT (old.tenant, old.cell)
       OR EXISTS (SELECT 1 FROM json_each(old.reserved) AS was
                  WHERE (length(was.value), was.value) >
                        (length(new.reserved ->> was.key), new.reserved ->> was.key) IS NOT FALSE)
       OR EXISTS (SELECT 1 FROM json_each(old.settled) AS was
                  WHERE (length(was.value), was.value) >
                        (length(new.settled ->> was.key), new.settled ->> was.key) IS NOT FALSE);
END;

CREATE TRIGGER consumption_no_delete BEFORE DELETE ON consumption BEGIN
    SELECT RAISE(ABORT, 'what was consumed cannot be removed');
END;

CREATE TRIGGER content_only_erase BEFORE UPDATE ON content BEGIN
    SELECT RAISE(ABORT, 'content can be erased, not changed')
    WHERE (new.tenant, new.hash) IS NOT (old.tenant, old.hash) OR new.body IS NOT NULL;
END;

CREATE TRIGGER content_no_delete BEFORE DELETE ON content BEGIN
    SELECT RAISE(ABORT, 'content can be erased, not removed');
END;

CREATE TRIGGER tenant_key_no_update BEFORE UPDATE ON tenant_key BEGIN
    SELECT RAISE(ABORT, 'a tenant key cannot be changed');
END;

CREATE TRIGGER tenant_key_no_delete BEFORE DELETE ON tenant_key BEGIN
    SELECT RAISE(ABORT, 'a tenant key cannot be removed');
END;
