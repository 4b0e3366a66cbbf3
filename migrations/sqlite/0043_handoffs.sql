-- Drafts that the source app was asked to send, what it reported of them, and the copy that shows what it sent.
CREATE TABLE handoffs (
    tenant_id      TEXT    NOT NULL,
    draft_id       TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    -- The operation that asked the app, and the event that told it; null: handed off before there were any.
    operation_id   TEXT,
    event_id       TEXT,
    thread_id      TEXT,
    -- By what a copy of the answer is known: the Message-ID that is answered as `copy_keys` has it, keys of all recipients as
    -- a JSON list, and what the words look like.
    answers_key    BLOB,
    recipients     TEXT    NOT NULL,
    likeness       INTEGER,
    handed_off_at  INTEGER NOT NULL,
    -- What the app reported.
    outcome        TEXT    CHECK (outcome IN ('sent', 'discarded')),
    message_id     TEXT,
    id_key         BLOB,
    sent_at        INTEGER,
    note           TEXT,
    -- JSON: who did.
    reported_by    TEXT,
    reported_at    INTEGER,
    -- The copy: our message, the route, and by what it was known.
    seen_message   TEXT,
    seen_route     TEXT,
    seen_at        INTEGER,
    matched_by     TEXT    CHECK (matched_by IN ('message_id', 'likeness')),
    PRIMARY KEY (tenant_id, draft_id)
) STRICT;
CREATE INDEX handoffs_by_id ON handoffs (tenant_id, id_key) WHERE id_key IS NOT NULL;
CREATE INDEX handoffs_by_answered ON handoffs (tenant_id, answers_key) WHERE seen_at IS NULL;
CREATE INDEX handoffs_by_thread ON handoffs (tenant_id, thread_id) WHERE seen_at IS NULL;
INSERT INTO handoffs (tenant_id, draft_id, version, thread_id, recipients, handed_off_at)
SELECT tenant_id, draft_id, version, thread_id, '[]', updated_at FROM drafts WHERE state = 'handed_off';

-- What people say to a draft is an outcome as well: of which draft, why not, and with which words it was proposed.
ALTER TABLE outcomes ADD COLUMN draft_id TEXT;
ALTER TABLE outcomes ADD COLUMN reason TEXT;
ALTER TABLE outcomes ADD COLUMN template_id TEXT;
ALTER TABLE outcomes ADD COLUMN template_version INTEGER;
