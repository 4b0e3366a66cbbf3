-- People with an account, where they are signed in, and the links by which they got in.
CREATE TABLE users (
    tenant_id            TEXT    NOT NULL REFERENCES tenants (tenant_id),
    user_id              TEXT    NOT NULL,
    email                TEXT    NOT NULL,
    -- Form for comparison, as of mailboxes: no letter case, NFC, domain as A-label.
    email_key            TEXT    NOT NULL,
    name                 TEXT    NOT NULL,
    role                 TEXT    NOT NULL CHECK (role IN ('viewer', 'agent', 'approver', 'admin', 'owner')),
    state                TEXT    NOT NULL CHECK (state IN ('active', 'disabled')),
    -- PHC string of argon2id; none: nobody can sign in with a password.
    password_hash        TEXT,
    password_changed_at  INTEGER,
    created_at           INTEGER NOT NULL,
    last_signed_in_at    INTEGER,
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (tenant_id, email_key)
) STRICT;

CREATE TABLE sign_ins (
    tenant_id      TEXT    NOT NULL,
    sign_in_id     TEXT    NOT NULL,
    user_id        TEXT    NOT NULL,
    -- SHA-256 of the cookie's token: the token itself is nowhere.
    token_hash     BLOB    NOT NULL UNIQUE,
    created_at     INTEGER NOT NULL,
    last_used_at   INTEGER NOT NULL,
    -- When the password was given last.
    stepped_up_at  INTEGER NOT NULL,
    user_agent     TEXT,
    address        TEXT,
    PRIMARY KEY (tenant_id, sign_in_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id)
) STRICT;
CREATE INDEX sign_ins_by_user ON sign_ins (tenant_id, user_id);

CREATE TABLE invitations (
    tenant_id      TEXT    NOT NULL REFERENCES tenants (tenant_id),
    invitation_id  TEXT    NOT NULL,
    -- SHA-256 of the link's token.
    token_hash     BLOB    NOT NULL UNIQUE,
    email          TEXT    NOT NULL,
    email_key      TEXT    NOT NULL,
    -- Of the account that is made by it.
    role           TEXT    NOT NULL CHECK (role IN ('viewer', 'agent', 'approver', 'admin', 'owner')),
    -- Whose password it sets, where the account is there already.
    user_id        TEXT,
    -- Who made it; none: the operator.
    invited_by     TEXT,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, invitation_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, user_id),
    FOREIGN KEY (tenant_id, invited_by) REFERENCES users (tenant_id, user_id)
) STRICT;
