-- By what copies of a version are known when they come back by a route: as `copy_keys` has them. Null: written before.
ALTER TABLE draft_versions ADD COLUMN copy_key BYTEA;
ALTER TABLE draft_versions ADD COLUMN id_key BYTEA;
CREATE INDEX draft_versions_by_copy ON draft_versions (tenant_id, copy_key) WHERE copy_key IS NOT NULL;
CREATE INDEX draft_versions_by_id ON draft_versions (tenant_id, id_key) WHERE id_key IS NOT NULL;

-- Copies of what left here, one row for each route that showed it: proof that it was sent.
CREATE TABLE sent_copies (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    draft_id    TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    route_id    TEXT COLLATE "C" NOT NULL,
    -- The first of them, and when it came.
    message_id  TEXT COLLATE "C" NOT NULL,
    seen_at     BIGINT NOT NULL,
    copies      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, draft_id, version, route_id)
);

-- The event of the report by which a recipient came back.
ALTER TABLE transmissions ADD COLUMN returned_by TEXT COLLATE "C";
