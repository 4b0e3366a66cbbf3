-- People with an account, where they are signed in, and the links by which they got in.
CREATE TABLE users (
    tenant_id            TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    user_id              TEXT COLLATE "C" NOT NULL,
    email                TEXT COLLATE "C" NOT NULL,
    -- Form for comparison, as of mailboxes: no letter case, NFC, domain as A-label.
    email_key            TEXT COLLATE "C" NOT NULL,
    name                 TEXT COLLATE "C" NOT NULL,
    role                 TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'agent', 'approver', 'admin', 'owner')),
    state                TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'disabled')),
    -- PHC string of argon2id; none: nobody can sign in with a password.
    password_hash        TEXT COLLATE "C",
    password_changed_at  BIGINT,
    created_at           BIGINT NOT NULL,
    last_signed_in_at    BIGINT,
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, email_key)
);

CREATE TABLE sign_ins (
    tenant_id      TEXT COLLATE "C" NOT NULL,
    sign_in_id     TEXT COLLATE "C" NOT NULL,
    user_id        TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the cookie's token: the token itself is nowhere.
    token_hash     BYTEA NOT NULL UNIQUE,
    created_at     BIGINT NOT NULL,
    last_used_at   BIGINT NOT NULL,
    -- When the password was given last.
    stepped_up_at  BIGINT NOT NULL,
    user_agent     TEXT COLLATE "C",
    address        TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, sign_in_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
);
CREATE INDEX sign_ins_by_user ON sign_ins (tenant_id, user_id);

CREATE TABLE invitations (
    tenant_id      TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    invitation_id  TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the link's token.
    token_hash     BYTEA NOT NULL UNIQUE,
    email          TEXT COLLATE "C" NOT NULL,
    email_key      TEXT COLLATE "C" NOT NULL,
    -- Of the account that is made by it.
    role           TEXT COLLATE "C" NOT NULL CHECK (role IN ('viewer', 'agent', 'approver', 'admin', 'owner')),
    -- Whose password it sets, where the account is there already.
    user_id        TEXT COLLATE "C",
    -- Who made it; none: the operator.
    invited_by     TEXT COLLATE "C",
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, invitation_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id),
    FOREIGN KEY (tenant_id, invited_by) REFERENCES users (tenant_id, user_id)
);
