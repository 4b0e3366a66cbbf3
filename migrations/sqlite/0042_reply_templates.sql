-- Words of answers that decisions propose, for one status in one language. Never changed: other words are a further version,
-- and no words end them.
CREATE TABLE reply_templates (
    tenant_id    TEXT    NOT NULL,
    template_id  TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    -- The app that they are for; empty: every app of the tenant.
    app_id       TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    language     TEXT    NOT NULL,
    -- Null: that of the message that is answered.
    subject      TEXT,
    body         TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, template_id, version)
) STRICT;
CREATE UNIQUE INDEX reply_templates_by_place ON reply_templates (tenant_id, app_id, status, language, version);

-- The words that a decision proposed a draft with.
ALTER TABLE drafts ADD COLUMN template_id TEXT;
ALTER TABLE drafts ADD COLUMN template_version INTEGER;
