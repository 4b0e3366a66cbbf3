-- Servers of customers that take what is sent for a domain, to whomever it goes.
CREATE TABLE domain_relays (
    tenant_id        TEXT    NOT NULL,
    domain           TEXT    NOT NULL,
    host             TEXT    NOT NULL,
    port             INTEGER NOT NULL,
    tls              TEXT    NOT NULL CHECK (tls IN ('starttls', 'implicit', 'never')),
    -- Both, or neither; the password sealed for this tenant, domain, server and user.
    user_name        TEXT,
    password_sealed  TEXT,
    set_at           INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, domain),
    -- Who gives the domain up has no relay for it any more.
    FOREIGN KEY (tenant_id, domain) REFERENCES domains (tenant_id, domain) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The one route by which a release lets its content out, as its receipt says it; null where there is no receipt.
ALTER TABLE releases ADD COLUMN route TEXT;
UPDATE releases SET route = (
    SELECT json_extract(r.receipt, '$.receipt.route') FROM receipts AS r
    WHERE r.tenant_id = releases.tenant_id AND r.release_id = releases.release_id
);
