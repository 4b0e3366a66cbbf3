-- By what an answer without ids finds its conversation. Several conversations may have one subject among the same people:
-- then it joins none of them.
CREATE TABLE thread_subjects (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    scope       TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of base subject and two people.
    subject     BYTEA NOT NULL,
    thread_id   TEXT COLLATE "C" NOT NULL,
    -- When it was last written so.
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, scope, subject, thread_id)
);

-- A report names the Message-ID of what it is about.
CREATE INDEX events_by_source ON events (tenant_id, source_event_id);
