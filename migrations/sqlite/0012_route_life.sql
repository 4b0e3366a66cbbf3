-- A route that was retired, and one whose marks are being learned, are neither active nor paused.
ALTER TABLE routes RENAME COLUMN state TO state_before;
ALTER TABLE routes ADD COLUMN state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'learning', 'paused', 'retired', 'deleted'));
UPDATE routes SET state = state_before;
ALTER TABLE routes DROP COLUMN state_before;
-- Octets that one message may have; null: as the configuration has it for routes of its kind.
ALTER TABLE routes ADD COLUMN size_cap INTEGER;

-- Former tokens of routes, so that mail systems have time to learn the new address.
CREATE TABLE retired_tokens (
    tenant_id       TEXT    NOT NULL,
    token_hash      BLOB    NOT NULL UNIQUE,
    route_id        TEXT    NOT NULL,
    -- The whole address, encrypted with the instance key: no app may see it.
    address_sealed  TEXT    NOT NULL,
    -- Until then mail to it is taken as to the new address.
    accepted_until  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
) STRICT;

-- What an operator should look at, by route: one row for each kind of trouble.
CREATE TABLE route_alarms (
    tenant_id  TEXT    NOT NULL,
    route_id   TEXT    NOT NULL,
    alarm      TEXT    NOT NULL CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended')),
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, route_id, alarm),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
) STRICT, WITHOUT ROWID;

-- Copies of one route in one hour, by what became of them.
CREATE TABLE route_hours (
    tenant_id  TEXT    NOT NULL,
    route_id   TEXT    NOT NULL,
    -- Begin of the hour.
    hour       INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    folded     INTEGER NOT NULL,
    untrusted  INTEGER NOT NULL,
    -- Answered 4xx or 5xx at RCPT, each time that it was tried.
    refused    INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, route_id, hour),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
) STRICT, WITHOUT ROWID;
