-- Plans and outcomes: both follow from the records, and are rows to be found quickly. Adds, and changes nothing that is there.

-- H1: a plan as it stands; its document is content. The steps are JSON, because a plan moves as a whole.
CREATE TABLE plan (
    tenant        TEXT    NOT NULL,
    plan_id       TEXT    NOT NULL,
    account_id    TEXT    NOT NULL,
    plan_type     TEXT    NOT NULL,
    status        TEXT    NOT NULL
                  CHECK (status IN ('DRAFT', 'APPROVED', 'ACTIVE', 'PAUSED', 'COMPLETED', 'ABORTED', 'EXPIRED')),
    revision      INTEGER NOT NULL CHECK (revision > 0),
    seq           INTEGER NOT NULL,
    created_seq   INTEGER NOT NULL,
    plan_hash     TEXT    NOT NULL,
    snapshot_id   TEXT    NOT NULL,
    expires_ms    INTEGER NOT NULL,
    risk          TEXT    NOT NULL CHECK (risk IN ('LOW', 'MEDIUM', 'HIGH')),
    proposers     TEXT    NOT NULL CHECK (json_type(proposers) IS 'array'),
    request_hash  TEXT    NOT NULL,
    steps         TEXT    NOT NULL CHECK (json_type(steps) IS 'array'),
    submitted     INTEGER NOT NULL CHECK (submitted IN (0, 1)),
    approved_hash TEXT,
    approved_seq  INTEGER,
    approver_id   TEXT,
    approver_role TEXT,
    refused       INTEGER NOT NULL CHECK (refused IN (0, 1)),
    pause_reason  TEXT,
    pause_step    TEXT,
    PRIMARY KEY (tenant, plan_id)
) STRICT, WITHOUT ROWID;

-- H3: at most one ACTIVE plan for each account and plan type.
CREATE UNIQUE INDEX plan_one_active ON plan (tenant, account_id, plan_type) WHERE status = 'ACTIVE';
CREATE INDEX plan_by_status ON plan (tenant, status, plan_id);

-- H1: an ended plan has no way out, and whose plan it is stays. REPLACE deletes without firing a DELETE trigger, so an INSERT is
-- checked against what it would replace: the plan of its name, and the one that is ACTIVE in its place.
CREATE TRIGGER plan_only_forward BEFORE UPDATE ON plan BEGIN
    SELECT RAISE(ABORT, 'a plan only moves forward')
    WHERE (new.tenant, new.plan_id, new.account_id, new.plan_type, new.created_seq)
          IS NOT (old.tenant, old.plan_id, old.account_id, old.plan_type, old.created_seq)
       OR new.revision <= old.revision OR new.seq <= old.seq
       OR old.status IN ('COMPLETED', 'ABORTED', 'EXPIRED');
END;

CREATE TRIGGER plan_no_replace BEFORE INSERT ON plan BEGIN
    SELECT RAISE(ABORT, 'a plan only moves forward')
    WHERE EXISTS (
        SELECT 1 FROM plan AS old WHERE old.tenant = new.tenant AND old.plan_id = new.plan_id
            AND ((new.account_id, new.plan_type, new.created_seq) IS NOT (old.account_id, old.plan_type, old.created_seq)
                 OR new.revision <= old.revision OR new.seq <= old.seq
                 OR old.status IN ('COMPLETED', 'ABORTED', 'EXPIRED')));
    SELECT RAISE(ABORT, 'another plan of this account and type is ACTIVE')
    WHERE new.status = 'ACTIVE' AND EXISTS (
        SELECT 1 FROM plan AS other WHERE other.tenant = new.tenant AND other.account_id = new.account_id
            AND other.plan_type = new.plan_type AND other.status = 'ACTIVE' AND other.plan_id <> new.plan_id);
END;

CREATE TRIGGER plan_no_delete BEFORE DELETE ON plan BEGIN
    SELECT RAISE(ABORT, 'a plan cannot be removed');
END;

-- O1, O4: what became of it; written once, and never looked at by what decides, but for its key. O3: one that could be joined with
-- nothing cannot be written.
CREATE TABLE outcome (
    tenant          TEXT    NOT NULL,
    outcome_id      TEXT    NOT NULL,
    idempotency_key TEXT    NOT NULL,
    seq             INTEGER NOT NULL,
    kind            TEXT    NOT NULL
                    CHECK (kind IN ('APPROVED', 'REJECTED', 'EDITED', 'STEP_SUCCEEDED', 'STEP_FAILED',
                                    'COMPLETED', 'ABORTED', 'EXPIRED', 'WON', 'LOST')),
    plan_id         TEXT,
    account_id      TEXT,
    opportunity_id  TEXT,
    actor_id        TEXT,
    event_seq       INTEGER,
    event_index     INTEGER,
    at_ms           INTEGER NOT NULL,
    body            TEXT    NOT NULL CHECK (json_type(body) IS 'object'),
    PRIMARY KEY (tenant, outcome_id),
    UNIQUE (tenant, idempotency_key),
    CHECK (CASE WHEN kind IN ('WON', 'LOST') THEN account_id IS NOT NULL AND opportunity_id IS NOT NULL
                ELSE plan_id IS NOT NULL AND event_seq IS NOT NULL AND event_index IS NOT NULL END),
    CHECK (kind NOT IN ('APPROVED', 'REJECTED', 'EDITED') OR actor_id IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER outcome_no_update BEFORE UPDATE ON outcome BEGIN
    SELECT RAISE(ABORT, 'an outcome cannot be changed');
END;

CREATE TRIGGER outcome_no_replace BEFORE INSERT ON outcome BEGIN
    SELECT RAISE(ABORT, 'an outcome cannot be changed')
    WHERE EXISTS (SELECT 1 FROM outcome WHERE tenant = new.tenant
                  AND (outcome_id = new.outcome_id OR idempotency_key = new.idempotency_key));
END;

CREATE TRIGGER outcome_no_delete BEFORE DELETE ON outcome BEGIN
    SELECT RAISE(ABORT, 'an outcome cannot be removed');
END;
