-- What the gateway itself tells people by mail: one row for each notice to each person, sent at most once.
CREATE TABLE notices (
    tenant_id        TEXT    NOT NULL,
    notice_id        TEXT    NOT NULL,
    kind             TEXT    NOT NULL CHECK (kind IN ('invitation', 'sign_in', 'approval_waits', 'approval_escalated', 'transmission_unknown')),
    -- The account; null for an invitation.
    user_id          TEXT,
    -- The address in its form for comparison: by it notices are counted.
    address_key      TEXT    NOT NULL,
    -- Id of what it tells of.
    subject          TEXT    NOT NULL,
    -- JSON: what is nowhere else; null once the notice came to its end.
    detail           TEXT,
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'in_flight', 'accepted', 'deferred', 'rejected', 'unknown')),
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    lease_owner      TEXT,
    lease_until      INTEGER,
    -- Committed before the end of data is written: from then on it is not sent again.
    eod_started_at   INTEGER,
    host             TEXT,
    reply            TEXT,
    finished_at      INTEGER,
    PRIMARY KEY (tenant_id, notice_id)
) STRICT;
CREATE INDEX notices_waiting ON notices (next_attempt_at) WHERE state IN ('pending', 'deferred');
CREATE INDEX notices_in_flight ON notices (lease_until) WHERE state = 'in_flight';
CREATE INDEX notices_by_address ON notices (tenant_id, address_key, created_at);
CREATE INDEX notices_by_age ON notices (created_at);

-- Whether the person wants mail about drafts that wait.
ALTER TABLE users ADD COLUMN approval_notices INTEGER NOT NULL DEFAULT 1 CHECK (approval_notices IN (0, 1));

-- SHA-256 of the token of the same link as it was mailed: made when the mail is.
ALTER TABLE invitations ADD COLUMN mail_token_hash BLOB;
CREATE UNIQUE INDEX invitations_by_mail_token ON invitations (mail_token_hash) WHERE mail_token_hash IS NOT NULL;
