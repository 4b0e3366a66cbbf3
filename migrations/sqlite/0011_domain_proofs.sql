-- Many may claim a domain, and one alone can prove it: a claim must not keep its owner out.
CREATE TABLE claimed_domains (
    tenant_id   TEXT    NOT NULL REFERENCES tenants (tenant_id),
    domain      TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'verified', 'failing', 'suspended')),
    created_at  INTEGER NOT NULL,
    -- What the domain's TXT record must hold.
    proof       TEXT    NOT NULL,
    state_since INTEGER NOT NULL,
    -- When the record was last seen.
    proven_at   INTEGER,
    PRIMARY KEY (tenant_id, domain)
) STRICT;
INSERT INTO claimed_domains SELECT tenant_id, domain, state, created_at, '', created_at, NULL FROM domains;
DROP TABLE domains;
ALTER TABLE claimed_domains RENAME TO domains;
CREATE UNIQUE INDEX domains_by_owner ON domains (domain) WHERE state <> 'pending';
