-- A route that was retired, and one whose marks are being learned, are neither active nor paused.
ALTER TABLE routes RENAME COLUMN state TO state_before;
ALTER TABLE routes ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'learning', 'paused', 'retired', 'deleted'));
UPDATE routes SET state = state_before;
ALTER TABLE routes DROP COLUMN state_before;
-- Octets that one message may have; null: as the configuration has it for routes of its kind.
ALTER TABLE routes ADD COLUMN size_cap BIGINT;

-- Former tokens of routes, so that mail systems have time to learn the new address.
CREATE TABLE retired_tokens (
    tenant_id       TEXT COLLATE "C" NOT NULL,
    token_hash      BYTEA  NOT NULL UNIQUE,
    route_id        TEXT COLLATE "C" NOT NULL,
    -- The whole address, encrypted with the instance key: no app may see it.
    address_sealed  TEXT COLLATE "C" NOT NULL,
    -- Until then mail to it is taken as to the new address.
    accepted_until  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
);

-- What an operator should look at, by route: one row for each kind of trouble.
CREATE TABLE route_alarms (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    route_id   TEXT COLLATE "C" NOT NULL,
    alarm      TEXT COLLATE "C" NOT NULL CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended')),
    first_at   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, route_id, alarm),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
);

-- Copies of one route in one hour, by what became of them.
CREATE TABLE route_hours (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    route_id   TEXT COLLATE "C" NOT NULL,
    -- Begin of the hour.
    hour       BIGINT NOT NULL,
    received   BIGINT NOT NULL,
    folded     BIGINT NOT NULL,
    untrusted  BIGINT NOT NULL,
    -- Answered 4xx or 5xx at RCPT, each time that it was tried.
    refused    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, route_id, hour),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
);
