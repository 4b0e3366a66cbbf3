-- Drafts that the source app was asked to send, what it reported of them, and the copy that shows what it sent.
CREATE TABLE handoffs (
    tenant_id      TEXT COLLATE "C" NOT NULL,
    draft_id       TEXT COLLATE "C" NOT NULL,
    version        BIGINT NOT NULL,
    -- The operation that asked the app, and the event that told it; null: handed off before there were any.
    operation_id   TEXT COLLATE "C",
    event_id       TEXT COLLATE "C",
    thread_id      TEXT COLLATE "C",
    -- By what a copy of the answer is known: the Message-ID that is answered as `copy_keys` has it, keys of all recipients as
    -- a JSON list, and what the words look like.
    answers_key    BYTEA,
    recipients     TEXT COLLATE "C" NOT NULL,
    likeness       BIGINT,
    handed_off_at  BIGINT NOT NULL,
    -- What the app reported.
    outcome        TEXT COLLATE "C" CHECK (outcome IN ('sent', 'discarded')),
    message_id     TEXT COLLATE "C",
    id_key         BYTEA,
    sent_at        BIGINT,
    note           TEXT COLLATE "C",
    -- JSON: who did.
    reported_by    TEXT COLLATE "C",
    reported_at    BIGINT,
    -- The copy: our message, the route, and by what it was known.
    seen_message   TEXT COLLATE "C",
    seen_route     TEXT COLLATE "C",
    seen_at        BIGINT,
    matched_by     TEXT COLLATE "C" CHECK (matched_by IN ('message_id', 'likeness')),
    PRIMARY KEY (tenant_id, draft_id)
);
CREATE INDEX handoffs_by_id ON handoffs (tenant_id, id_key) WHERE id_key IS NOT NULL;
CREATE INDEX handoffs_by_answered ON handoffs (tenant_id, answers_key) WHERE seen_at IS NULL;
CREATE INDEX handoffs_by_thread ON handoffs (tenant_id, thread_id) WHERE seen_at IS NULL;
INSERT INTO handoffs (tenant_id, draft_id, version, thread_id, recipients, handed_off_at)
SELECT tenant_id, draft_id, version, thread_id, '[]', updated_at FROM drafts WHERE state = 'handed_off';

-- What people say to a draft is an outcome as well: of which draft, why not, and with which words it was proposed.
ALTER TABLE outcomes ADD COLUMN draft_id TEXT COLLATE "C";
ALTER TABLE outcomes ADD COLUMN reason TEXT COLLATE "C";
ALTER TABLE outcomes ADD COLUMN template_id TEXT COLLATE "C";
ALTER TABLE outcomes ADD COLUMN template_version BIGINT;
