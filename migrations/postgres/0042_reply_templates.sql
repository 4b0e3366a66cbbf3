-- Words of answers that decisions propose, for one status in one language. Never changed: other words are a further version,
-- and no words end them.
CREATE TABLE reply_templates (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    template_id  TEXT COLLATE "C" NOT NULL,
    version      BIGINT NOT NULL,
    -- The app that they are for; empty: every app of the tenant.
    app_id       TEXT COLLATE "C" NOT NULL,
    status       TEXT COLLATE "C" NOT NULL,
    language     TEXT COLLATE "C" NOT NULL,
    -- Null: that of the message that is answered.
    subject      TEXT COLLATE "C",
    body         TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, template_id, version)
);
CREATE UNIQUE INDEX reply_templates_by_place ON reply_templates (tenant_id, app_id, status, language, version);

-- The words that a decision proposed a draft with.
ALTER TABLE drafts ADD COLUMN template_id TEXT COLLATE "C";
ALTER TABLE drafts ADD COLUMN template_version BIGINT;
