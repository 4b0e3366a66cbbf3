-- When what a draft held of persons was erased: of its versions there are hashes and times from then on.
ALTER TABLE drafts ADD COLUMN erased_at INTEGER;
CREATE INDEX drafts_kept ON drafts (tenant_id, updated_at) WHERE erased_at IS NULL;

-- Events that tell of steps of drafts: what they say of persons is erased with the draft.
CREATE TABLE draft_events (
    tenant_id  TEXT NOT NULL,
    draft_id   TEXT NOT NULL,
    event_id   TEXT NOT NULL,
    PRIMARY KEY (tenant_id, draft_id, event_id)
) STRICT, WITHOUT ROWID;
INSERT INTO draft_events (tenant_id, draft_id, event_id)
SELECT tenant_id, json_extract(content, '$.draftId'), event_id FROM events
WHERE (kind LIKE 'draft.%' OR kind LIKE 'approval.%') AND json_extract(content, '$.draftId') IS NOT NULL;

-- What people said to a draft, in words of their own, is found by the draft.
CREATE INDEX outcomes_by_draft ON outcomes (tenant_id, draft_id) WHERE draft_id IS NOT NULL;
