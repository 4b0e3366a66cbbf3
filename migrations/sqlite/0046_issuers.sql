-- Issuers whose users a tenant lets decide about drafts.
CREATE TABLE issuers (
    tenant_id   TEXT    NOT NULL REFERENCES tenants (tenant_id),
    issuer_id   TEXT    NOT NULL,
    url         TEXT    NOT NULL,
    audience    TEXT    NOT NULL,
    role        TEXT    NOT NULL CHECK (role IN ('viewer', 'agent', 'approver')),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, issuer_id),
    UNIQUE (tenant_id, url, audience)
) STRICT;

-- Tokens by which somebody decided: each decides once. Kept until the token has expired.
CREATE TABLE spent_tokens (
    tenant_id   TEXT    NOT NULL,
    -- SHA-256 of the token.
    token_hash  BLOB    NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, token_hash)
) STRICT;
