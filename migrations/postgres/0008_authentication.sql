-- What a mailbox does with mail that fails DMARC.
ALTER TABLE mailboxes ADD COLUMN authentication_policy TEXT COLLATE "C" NOT NULL DEFAULT 'mark'
    CHECK (authentication_policy IN ('mark', 'quarantine', 'reject'));
-- JSON: Return-Path, Received and Authentication-Results as header text, and the results themselves.
ALTER TABLE messages ADD COLUMN trace TEXT COLLATE "C";
