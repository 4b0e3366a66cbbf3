-- Issuers whose users a tenant lets decide about drafts.
CREATE TABLE issuers (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    issuer_id   TEXT COLLATE "C" NOT NULL,
    url         TEXT COLLATE "C" NOT NULL,
    audience    TEXT COLLATE "C" NOT NULL,
    role        TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'agent', 'approver')),
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, issuer_id),
    UNIQUE (tenant_id, url, audience)
);

-- Tokens by which somebody decided: each decides once. Kept until the token has expired.
CREATE TABLE spent_tokens (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the token.
    token_hash  BYTEA NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, token_hash)
);
