-- The ledger and the rows that follow from it. Everything but tenant, tenant_key and meta can be rebuilt by folding the ledger.
--
-- Run as the owner's role inside the schema `weighbridge`; the roles are there already. Text is compared byte by byte, so that
-- every process sorts and locks in the same order, whatever the locale. Amounts are exact: numeric, or decimal text in JSON.

CREATE TABLE meta (
    key   text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

-- The names of the tenants: all that anybody sees of a tenant the transaction was not opened for.
CREATE TABLE tenant (
    tenant text COLLATE "C" PRIMARY KEY
);

CREATE TABLE ledger (
    tenant    text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL CHECK (seq > 0),
    leaf_hash bytea  NOT NULL CHECK (octet_length(leaf_hash) = 32),
    hash      bytea  NOT NULL CHECK (octet_length(hash) = 32),
    body      bytea  NOT NULL,
    PRIMARY KEY (tenant, seq)
) WITH (toast_tuple_target = 8160);
-- A record is a few kilobytes: in the row, as it is. Compressing it, or keeping it elsewhere, costs more than it saves.
ALTER TABLE ledger ALTER body SET STORAGE EXTERNAL;

-- Where each tenant's chain ends; the one row that a writer locks. Updated in place: half of every page is kept free for that. It
-- holds on to the tenant's name: what lists no tenant would be looked at by nobody.
CREATE TABLE ledger_head (
    tenant         text COLLATE "C" PRIMARY KEY REFERENCES tenant,
    seq            bigint NOT NULL,
    hash           bytea  NOT NULL CHECK (octet_length(hash) = 32),
    last_time_ms   bigint,
    policy_version text COLLATE "C",
    zones          text COLLATE "C"
) WITH (fillfactor = 50);

-- G3: what an id is bound to. It points to the record; the answer is read from there, so there is no second copy of a verdict.
CREATE TABLE identity (
    tenant       text COLLATE "C" NOT NULL,
    kind         text COLLATE "C" NOT NULL CHECK (kind IN ('run', 'op', 'end', 'use')),
    id           text COLLATE "C" NOT NULL,
    request_hash text COLLATE "C" NOT NULL,
    seq          bigint NOT NULL,
    state        text COLLATE "C" CHECK (state IN ('BLOCKED', 'PENDING', 'COMPLETED', 'FAILED')),
    PRIMARY KEY (tenant, id, kind)
) WITH (fillfactor = 90);

-- G8: the latest BLOCK of a proposal, and the latest authorisation to ask again.
CREATE TABLE blocked_proposal (
    tenant            text COLLATE "C" NOT NULL,
    choke_point       text COLLATE "C" NOT NULL,
    proposal_hash     text COLLATE "C" NOT NULL,
    validation_run_id text COLLATE "C" NOT NULL,
    inputs_hash       text COLLATE "C" NOT NULL,
    policy_version    text COLLATE "C" NOT NULL,
    seq               bigint NOT NULL,
    PRIMARY KEY (tenant, choke_point, proposal_hash)
);

CREATE TABLE retry_authorisation (
    tenant        text COLLATE "C" NOT NULL,
    choke_point   text COLLATE "C" NOT NULL,
    proposal_hash text COLLATE "C" NOT NULL,
    inputs_hash   text COLLATE "C" NOT NULL,
    expires_ms    bigint NOT NULL,
    given_by      text COLLATE "C" NOT NULL,
    seq           bigint NOT NULL,
    used_seq      bigint,
    PRIMARY KEY (tenant, choke_point, proposal_hash)
);

-- B3: everything that fell under a counter, and what of it was given back. NaN is greater than every number.
CREATE TABLE counter (
    tenant   text COLLATE "C" NOT NULL,
    name     text COLLATE "C" NOT NULL,
    reserved numeric(60, 0) NOT NULL CHECK (reserved >= 0 AND reserved <> 'NaN'),
    settled  numeric(60, 0) NOT NULL CHECK (settled >= 0 AND settled <> 'NaN'),
    PRIMARY KEY (tenant, name),
    CONSTRAINT counter_settled_of_reserved CHECK (settled <= reserved)
) WITH (fillfactor = 50);

-- B14: the finest grain of what was consumed, of which every counter is a sum: amounts by unit, {"tokens": "4818"}.
CREATE TABLE consumption (
    tenant   text COLLATE "C" NOT NULL,
    cell     text COLLATE "C" NOT NULL,
    reserved jsonb NOT NULL CHECK (jsonb_typeof(reserved) = 'object'),
    settled  jsonb NOT NULL CHECK (jsonb_typeof(settled) = 'object'),
    PRIMARY KEY (tenant, cell),
    -- Read as text, digit by digit: what is no amount would stop whoever reads it.
    CONSTRAINT consumption_of_digits CHECK (NOT (
        reserved @? 'strict $.* ? (!(@.type() == "string" && @ like_regex "^(0|[1-9][0-9]*)$"))'
        OR settled @? 'strict $.* ? (!(@.type() == "string" && @ like_regex "^(0|[1-9][0-9]*)$"))'))
) WITH (fillfactor = 50);

-- B14: what the counters count now. The counters of a family that left stand still.
CREATE TABLE counter_family (
    tenant text COLLATE "C" NOT NULL,
    family text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, family)
);

-- L4: which records tell of a plan, step, account or earlier run.
CREATE TABLE subject (
    tenant text COLLATE "C" NOT NULL,
    kind   text COLLATE "C" NOT NULL,
    id     text COLLATE "C" NOT NULL,
    seq    bigint NOT NULL,
    PRIMARY KEY (tenant, id, seq, kind)
);

-- L6: what decisions were made from, outside the chain. A row whose body is NULL was erased and stays, so that the body is
-- never inserted again.
CREATE TABLE content (
    tenant text COLLATE "C" NOT NULL,
    hash   text COLLATE "C" NOT NULL,
    body   bytea,
    PRIMARY KEY (tenant, hash)
);

-- L6: content is addressed by a hash under this key.
CREATE TABLE tenant_key (
    tenant text COLLATE "C" PRIMARY KEY,
    key    bytea NOT NULL CHECK (octet_length(key) = 32)
);

-- L5: a transaction sees the tenants it was opened for, and nobody else's rows, the owner included. Unset means none. The list
-- is a JSON object with the tenants as keys, read once per statement: in an object a name is found by bisection.
DO $$
DECLARE
    held text;
BEGIN
    FOREACH held IN ARRAY ARRAY['ledger', 'ledger_head', 'identity', 'blocked_proposal', 'retry_authorisation', 'counter',
                                'consumption', 'counter_family', 'subject', 'content', 'tenant_key', 'tenant'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', held);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', held);
        EXECUTE format(
            'CREATE POLICY opened_for ON %I USING '
            '((SELECT nullif(current_setting(''weighbridge.tenants'', true), '''')::jsonb) ? tenant)', held);
    END LOOP;
END
$$;

CREATE POLICY names_are_known ON tenant FOR SELECT USING (true);

-- L1, Z3: what the runtime can do: add, read, and move what has to move. Nothing of it changes or removes a record.
GRANT USAGE ON SCHEMA weighbridge TO weighbridge_runtime, weighbridge_auditor;
GRANT SELECT ON ALL TABLES IN SCHEMA weighbridge TO weighbridge_runtime, weighbridge_auditor;
GRANT INSERT ON tenant, ledger, ledger_head, identity, blocked_proposal, retry_authorisation, counter, consumption,
    counter_family, subject, content, tenant_key TO weighbridge_runtime;
GRANT UPDATE (seq, hash, last_time_ms, policy_version, zones) ON ledger_head TO weighbridge_runtime;
GRANT UPDATE (state) ON identity TO weighbridge_runtime;
GRANT UPDATE (validation_run_id, inputs_hash, policy_version, seq) ON blocked_proposal TO weighbridge_runtime;
GRANT UPDATE (inputs_hash, expires_ms, given_by, seq, used_seq) ON retry_authorisation TO weighbridge_runtime;
GRANT UPDATE (reserved, settled) ON counter, consumption TO weighbridge_runtime;
GRANT UPDATE (body) ON content TO weighbridge_runtime;
GRANT DELETE ON counter_family TO weighbridge_runtime; -- what counts now, and no history: that is in the records

-- L1: and the triggers hold for whoever has the privilege, the owner included. They fire always, also where a session says that
-- it replicates. The conditions are part of the trigger, so that a row that may pass calls no function.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- Whether a record says what only the owner may say: that bodies were archived, or that it is one of those. A body is JSON, in
-- which every letter can be written as an escape; so whatever could hold the name is parsed. No text can hold a NUL, and no name of
-- an event does. The backslash is named by number: how a session writes its strings is its own choice.
CREATE FUNCTION tells_of_archive(body bytea) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said text := convert_from(body, 'UTF8');
    escape text := chr(92) || 'u';
BEGIN
    IF starts_with(said, '{"archived":') THEN
        RETURN true;
    END IF;
    IF position('LEDGER_ARCHIVED' IN said) = 0 AND position(escape IN said) = 0 THEN
        RETURN false;
    END IF;
    RETURN EXISTS (
        SELECT FROM jsonb_path_query(replace(said, escape || '0000', escape || '0001')::jsonb, '$.events[*].type') AS type
        WHERE type = '"LEDGER_ARCHIVED"');
END
$$;

-- The record before the first one must be there. So the numbers are dense, as they were before; that none comes twice, and none
-- before the first, is what the key and the check of the table are for. A subquery, not EXISTS: that one may be planned once, over
-- an empty table, to read all of it.
CREATE FUNCTION require_next() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT tenant, min(seq) AS first, max(seq) AS last, count(*) AS many FROM added GROUP BY tenant) AS given
        WHERE last - first + 1 <> many
           OR first > 1 AND (SELECT kept.seq FROM weighbridge.ledger AS kept
                             WHERE kept.tenant = given.tenant AND kept.seq = given.first - 1) IS NULL
    ) THEN
        RAISE EXCEPTION 'the ledger is append-only: a record must be the next of its tenant'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NOT pg_has_role('weighbridge_owner', 'MEMBER')
       AND EXISTS (SELECT FROM added WHERE weighbridge.tells_of_archive(body)) THEN
        RAISE EXCEPTION 'only the owner archives'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END
$$;

-- The one change of a record: its body gives way to what says in which archive it is, once a later record of the tenant tells of
-- that. Only the owner has the privilege to update at all.
CREATE FUNCTION require_archived() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stub jsonb;
BEGIN
    IF substring(new.body FOR 12) = '{"archived":' AND substring(old.body FOR 12) <> '{"archived":'
       AND (new.tenant, new.seq, new.leaf_hash, new.hash) = (old.tenant, old.seq, old.leaf_hash, old.hash) THEN
        stub := convert_from(new.body, 'UTF8')::jsonb -> 'archived';
        IF (stub ->> 'seq')::bigint > new.seq
           AND new.seq BETWEEN (stub ->> 'first_seq')::bigint AND (stub ->> 'last_seq')::bigint
           AND EXISTS (
               SELECT FROM weighbridge.ledger AS told, jsonb_array_elements(convert_from(told.body, 'UTF8')::jsonb -> 'events') AS event
               WHERE told.tenant = new.tenant AND told.seq = (stub ->> 'seq')::bigint
                 AND event @> (stub - 'seq' || '{"type": "LEDGER_ARCHIVED"}') AND NOT event -> 'kept' @> to_jsonb(new.seq))
        THEN
            RETURN new;
        END IF;
    END IF;
    RAISE EXCEPTION 'the ledger is append-only: a record cannot be changed or removed'
        USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE FUNCTION shrinks(was jsonb, becomes jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unit text;
    amount text;
BEGIN
    FOR unit, amount IN SELECT key, value FROM jsonb_each_text(was) LOOP
        IF becomes ->> unit IS NULL OR (becomes ->> unit)::numeric < amount::numeric THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END
$$;

CREATE TRIGGER ledger_no_change BEFORE DELETE OR TRUNCATE ON ledger FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('the ledger is append-only: a record cannot be changed or removed');
CREATE TRIGGER ledger_only_archive BEFORE UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION require_archived();
CREATE TRIGGER ledger_only_append AFTER INSERT ON ledger REFERENCING NEW TABLE AS added FOR EACH STATEMENT
    EXECUTE FUNCTION require_next();
CREATE TRIGGER head_only_forward BEFORE UPDATE ON ledger_head FOR EACH ROW
    WHEN (new.tenant <> old.tenant OR new.seq <= old.seq)
    EXECUTE FUNCTION refuse('a ledger head only moves forward');
CREATE TRIGGER identity_only_state BEFORE UPDATE ON identity FOR EACH ROW
    WHEN ((new.tenant, new.kind, new.id, new.request_hash, new.seq)
          IS DISTINCT FROM (old.tenant, old.kind, old.id, old.request_hash, old.seq))
    EXECUTE FUNCTION refuse('an id stays bound to its request');
-- B7: what was reserved stays reserved, and what was given back is never taken again: both sums only grow.
CREATE TRIGGER counter_only_up BEFORE UPDATE ON counter FOR EACH ROW
    WHEN (new.tenant <> old.tenant OR new.name <> old.name OR new.reserved < old.reserved OR new.settled < old.settled)
    EXECUTE FUNCTION refuse('a counter never goes down');
CREATE TRIGGER consumption_only_up BEFORE UPDATE ON consumption FOR EACH ROW
    WHEN (new.tenant <> old.tenant OR new.cell <> old.cell
          OR shrinks(old.reserved, new.reserved) OR shrinks(old.settled, new.settled))
    EXECUTE FUNCTION refuse('what was consumed never goes down');
CREATE TRIGGER content_only_erase BEFORE UPDATE ON content FOR EACH ROW
    WHEN (new.tenant <> old.tenant OR new.hash <> old.hash OR new.body IS NOT NULL)
    EXECUTE FUNCTION refuse('content can be erased, not changed');
CREATE TRIGGER key_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON tenant_key FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('a tenant key cannot be changed or removed');
CREATE TRIGGER head_no_delete BEFORE DELETE OR TRUNCATE ON ledger_head FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('a ledger head cannot be removed');
CREATE TRIGGER identity_no_delete BEFORE DELETE OR TRUNCATE ON identity FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('an id stays bound to its request');
CREATE TRIGGER counter_no_delete BEFORE DELETE OR TRUNCATE ON counter FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('a counter cannot be removed');
CREATE TRIGGER consumption_no_delete BEFORE DELETE OR TRUNCATE ON consumption FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('what was consumed cannot be removed');
CREATE TRIGGER content_no_delete BEFORE DELETE OR TRUNCATE ON content FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('content can be erased, not removed');
CREATE TRIGGER tenant_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON tenant FOR EACH STATEMENT
    EXECUTE FUNCTION refuse('a tenant is not forgotten');

DO $$
DECLARE
    held record;
BEGIN
    FOR held IN SELECT tgrelid::regclass AS "table", tgname AS name FROM pg_trigger
                WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'weighbridge'::regnamespace)
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', held."table", held.name);
    END LOOP;
END
$$;
