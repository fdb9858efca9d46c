-- A small customer system, as a connector finds one: four tables with the time of their last change, and two habits of its own.

CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    tier       TEXT NOT NULL CHECK (tier IN ('gold', 'silver', 'bronze')),
    health     INTEGER NOT NULL CHECK (health BETWEEN 0 AND 100),
    contact    TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE opportunities (
    opportunity_id TEXT PRIMARY KEY,
    account_id     TEXT NOT NULL REFERENCES accounts,
    stage          TEXT NOT NULL CHECK (stage IN ('prospect', 'proposal', 'won', 'lost')),
    amount_usd     INTEGER NOT NULL CHECK (amount_usd >= 0),
    updated_at     TEXT NOT NULL
) STRICT;

CREATE TABLE renewals (
    renewal_id       TEXT PRIMARY KEY,
    account_id       TEXT NOT NULL UNIQUE REFERENCES accounts,
    status           TEXT NOT NULL CHECK (status IN ('open', 'negotiation', 'renewed', 'lost')),
    price_usd        INTEGER NOT NULL CHECK (price_usd >= 0),
    discount_percent INTEGER NOT NULL DEFAULT 0,
    next_step        TEXT NOT NULL DEFAULT '',
    due_on           TEXT NOT NULL,
    updated_at       TEXT NOT NULL
) STRICT;

CREATE TABLE tickets (
    ticket_id  TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts,
    body       TEXT NOT NULL,
    severity   TEXT NOT NULL CHECK (severity IN ('low', 'normal', 'urgent')),
    status     TEXT NOT NULL CHECK (status IN ('open', 'solved')),
    updated_at TEXT NOT NULL
) STRICT;

CREATE TABLE meetings (
    meeting_id TEXT PRIMARY KEY,
    renewal_id TEXT NOT NULL REFERENCES renewals,
    held_on    TEXT NOT NULL,
    updated_at TEXT NOT NULL
) STRICT;

-- Systems like this one say yes and store something else. This one gives no more than thirty percent, and cuts what is long.
CREATE TRIGGER renewals_are_kept_its_own_way AFTER UPDATE OF discount_percent, next_step ON renewals
WHEN new.discount_percent > 30 OR length(new.next_step) > 80
BEGIN
    UPDATE renewals
    SET discount_percent = min(new.discount_percent, 30), next_step = substr(new.next_step, 1, 80)
    WHERE renewal_id = new.renewal_id;
END;
