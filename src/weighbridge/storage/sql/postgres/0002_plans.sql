-- Plans and outcomes: both follow from the records, and are rows to be found quickly. Adds, and changes nothing that is there.

-- H1: a plan as it stands; its document is content. The steps are JSON, because a plan moves as a whole. Updated in place.
CREATE TABLE plan (
    tenant        text COLLATE "C" NOT NULL,
    plan_id       text COLLATE "C" NOT NULL,
    account_id    text COLLATE "C" NOT NULL,
    plan_type     text COLLATE "C" NOT NULL,
    status        text COLLATE "C" NOT NULL
                  CHECK (status IN ('DRAFT', 'APPROVED', 'ACTIVE', 'PAUSED', 'COMPLETED', 'ABORTED', 'EXPIRED')),
    revision      bigint  NOT NULL CHECK (revision > 0),
    seq           bigint  NOT NULL,
    created_seq   bigint  NOT NULL,
    plan_hash     text COLLATE "C" NOT NULL,
    snapshot_id   text COLLATE "C" NOT NULL,
    expires_ms    bigint  NOT NULL,
    risk          text COLLATE "C" NOT NULL CHECK (risk IN ('LOW', 'MEDIUM', 'HIGH')),
    proposers     jsonb   NOT NULL CHECK (jsonb_typeof(proposers) = 'array'),
    request_hash  text COLLATE "C" NOT NULL,
    steps         jsonb   NOT NULL CHECK (jsonb_typeof(steps) = 'array'),
    submitted     boolean NOT NULL,
    approved_hash text COLLATE "C",
    approved_seq  bigint,
    approver_id   text COLLATE "C",
    approver_role text COLLATE "C",
    refused       boolean NOT NULL,
    pause_reason  text COLLATE "C",
    pause_step    text COLLATE "C",
    PRIMARY KEY (tenant, plan_id)
) WITH (fillfactor = 50);

-- H3: at most one ACTIVE plan for each account and plan type.
CREATE UNIQUE INDEX plan_one_active ON plan (tenant, account_id, plan_type) WHERE status = 'ACTIVE';
CREATE INDEX plan_by_status ON plan (tenant, status, plan_id);

-- O1, O4: what became of it; written once, and never looked at by what decides, but for its key. O3: one that could be joined with
-- nothing cannot be written.
CREATE TABLE outcome (
    tenant          text COLLATE "C" NOT NULL,
    outcome_id      text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    seq             bigint NOT NULL,
    kind            text COLLATE "C" NOT NULL
                    CHECK (kind IN ('APPROVED', 'REJECTED', 'EDITED', 'STEP_SUCCEEDED', 'STEP_FAILED',
                                    'COMPLETED', 'ABORTED', 'EXPIRED', 'WON', 'LOST')),
    plan_id         text COLLATE "C",
    account_id      text COLLATE "C",
    opportunity_id  text COLLATE "C",
    actor_id        text COLLATE "C",
    event_seq       bigint,
    event_index     bigint,
    at_ms           bigint NOT NULL,
    body            jsonb  NOT NULL CHECK (jsonb_typeof(body) = 'object'),
    PRIMARY KEY (tenant, outcome_id),
    UNIQUE (tenant, idempotency_key),
    CONSTRAINT outcome_joinable CHECK (
        CASE WHEN kind IN ('WON', 'LOST') THEN account_id IS NOT NULL AND opportunity_id IS NOT NULL
             ELSE plan_id IS NOT NULL AND event_seq IS NOT NULL AND event_index IS NOT NULL END),
    CONSTRAINT outcome_actor CHECK (kind NOT IN ('APPROVED', 'REJECTED', 'EDITED') OR actor_id IS NOT NULL)
);

-- L5: as every table of a tenant.
ALTER TABLE plan ENABLE ROW LEVEL SECURITY;
ALTER TABLE plan FORCE ROW LEVEL SECURITY;
CREATE POLICY opened_for ON plan USING ((SELECT nullif(current_setting('weighbridge.tenants', true), '')::jsonb) ? tenant);
ALTER TABLE outcome ENABLE ROW LEVEL SECURITY;
ALTER TABLE outcome FORCE ROW LEVEL SECURITY;
CREATE POLICY opened_for ON outcome USING ((SELECT nullif(current_setting('weighbridge.tenants', true), '')::jsonb) ? tenant);

-- Z3: a plan moves, and stays what and whose it is; an outcome is only added.
GRANT SELECT ON plan, outcome TO weighbridge_runtime, weighbridge_auditor;
GRANT INSERT ON plan, outcome TO weighbridge_runtime;
GRANT UPDATE (status, revision, seq, plan_hash, snapshot_id, expires_ms, risk, proposers, request_hash, steps, submitted,
    approved_hash, approved_seq, approver_id, approver_role, refused, pause_reason, pause_step) ON plan TO weighbridge_runtime;

CREATE TRIGGER plan_only_forward BEFORE UPDATE ON plan FOR EACH ROW
    WHEN ((new.tenant, new.plan_id, new.account_id, new.plan_type, new.created_seq)
          IS DISTINCT FROM (old.tenant, old.plan_id, old.account_id, old.plan_type, old.created_seq)
          OR new.revision <= old.revision OR new.seq <= old.seq
          OR old.status IN ('COMPLETED', 'ABORTED', 'EXPIRED'))
    EXECUTE FUNCTION refuse('a plan only moves forward');
CREATE TRIGGER plan_no_delete BEFORE DELETE OR TRUNCATE ON plan FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('a plan cannot be removed');
CREATE TRIGGER outcome_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON outcome FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('an outcome cannot be changed or removed');
ALTER TABLE plan ENABLE ALWAYS TRIGGER plan_only_forward;
ALTER TABLE plan ENABLE ALWAYS TRIGGER plan_no_delete;
ALTER TABLE outcome ENABLE ALWAYS TRIGGER outcome_no_change;
