-- Servers of customers that take what is sent for a domain, to whomever it goes.
CREATE TABLE domain_relays (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    domain           TEXT COLLATE "C" NOT NULL,
    host             TEXT COLLATE "C" NOT NULL,
    port             BIGINT NOT NULL,
    tls              TEXT COLLATE "C" NOT NULL CHECK (tls IN ('starttls', 'implicit', 'never')),
    -- Both, or neither; the password sealed for this tenant, domain, server and user.
    user_name        TEXT COLLATE "C",
    password_sealed  TEXT COLLATE "C",
    set_at           BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, domain),
    -- Who gives the domain up has no relay for it any more.
    FOREIGN KEY (tenant_id, domain) REFERENCES domains (tenant_id, domain) ON DELETE CASCADE
);

-- The one route by which a release lets its content out, as its receipt says it; null where there is no receipt.
ALTER TABLE releases ADD COLUMN route TEXT COLLATE "C";
UPDATE releases SET route = (
    SELECT r.receipt::jsonb #>> '{receipt,route}' FROM receipts AS r
    WHERE r.tenant_id = releases.tenant_id AND r.release_id = releases.release_id
);
