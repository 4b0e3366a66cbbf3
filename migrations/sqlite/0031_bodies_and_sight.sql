-- Which keys see what a route took: the tenant's, those of its app alone, or those of its participants' mailboxes alone.
ALTER TABLE routes ADD COLUMN visible_to TEXT NOT NULL DEFAULT 'tenant' CHECK (visible_to IN ('tenant', 'team', 'owners'));

-- Bodies that nobody may read any more: a worker erases them in the spool. What was erased stays here without its place.
CREATE TABLE body_erasures (
    tenant_id   TEXT    NOT NULL,
    message_id  TEXT    NOT NULL,
    -- SHA-256 of where the bytes are: a message that was handed in twice under one id has two bodies.
    place       BLOB    NOT NULL,
    -- JSON: where the bytes are; null once they are erased.
    body        TEXT,
    -- When to try (again); under a lease until then.
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    erased_at   INTEGER,
    PRIMARY KEY (tenant_id, message_id, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX body_erasures_due ON body_erasures (due_at) WHERE erased_at IS NULL;

-- Those that were unreadable before.
INSERT INTO body_erasures (tenant_id, message_id, place, body, due_at)
SELECT m.tenant_id, m.message_id, X'', m.body, 0 FROM messages AS m
WHERE EXISTS (SELECT 1 FROM kept_copies AS k WHERE k.tenant_id = m.tenant_id AND k.message_id = m.message_id)
AND NOT EXISTS (SELECT 1 FROM kept_copies AS k WHERE k.tenant_id = m.tenant_id AND k.message_id = m.message_id AND k.kept = 'raw');
