-- By what copies of a version are known when they come back by a route: as `copy_keys` has them. Null: written before.
ALTER TABLE draft_versions ADD COLUMN copy_key BLOB;
ALTER TABLE draft_versions ADD COLUMN id_key BLOB;
CREATE INDEX draft_versions_by_copy ON draft_versions (tenant_id, copy_key) WHERE copy_key IS NOT NULL;
CREATE INDEX draft_versions_by_id ON draft_versions (tenant_id, id_key) WHERE id_key IS NOT NULL;

-- Copies of what left here, one row for each route that showed it: proof that it was sent.
CREATE TABLE sent_copies (
    tenant_id   TEXT    NOT NULL,
    draft_id    TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    route_id    TEXT    NOT NULL,
    -- The first of them, and when it came.
    message_id  TEXT    NOT NULL,
    seen_at     INTEGER NOT NULL,
    copies      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, draft_id, version, route_id)
) STRICT, WITHOUT ROWID;

-- The event of the report by which a recipient came back.
ALTER TABLE transmissions ADD COLUMN returned_by TEXT;
