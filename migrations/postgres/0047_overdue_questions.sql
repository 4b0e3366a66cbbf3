-- When a question goes to the next role up, as nobody answered; and when it did.
ALTER TABLE approvals ADD COLUMN escalate_at BIGINT;
ALTER TABLE approvals ADD COLUMN escalated_at BIGINT;
CREATE INDEX approvals_escalating ON approvals (escalate_at) WHERE state = 'pending';
-- Questions of decisions had no end: they have two weeks from now on.
UPDATE approvals SET expires_at = CAST(EXTRACT(EPOCH FROM now()) * 1000000 AS BIGINT) + 1209600000000
WHERE expires_at IS NULL AND state = 'pending';
-- Of a draft whose release was asked for and that only a pause or a quota holds: when it is looked at again.
ALTER TABLE drafts ADD COLUMN held_until BIGINT;
CREATE INDEX drafts_held ON drafts (held_until) WHERE held_until IS NOT NULL;
