-- What a route takes notice of (JSON lists of rules; null: everything, nothing), how much it keeps and for how many days
-- (null: for ever), and whether all of it must stay.
ALTER TABLE routes ADD COLUMN include_rules TEXT COLLATE "C";
ALTER TABLE routes ADD COLUMN exclude_rules TEXT COLLATE "C";
ALTER TABLE routes ADD COLUMN keep TEXT COLLATE "C" NOT NULL DEFAULT 'raw' CHECK (keep IN ('none', 'text', 'raw'));
ALTER TABLE routes ADD COLUMN keep_days BIGINT;
ALTER TABLE routes ADD COLUMN legal_hold BIGINT NOT NULL DEFAULT 0 CHECK (legal_hold IN (0, 1));

-- Whether an endpoint is told the blind recipients of journal reports.
ALTER TABLE webhook_endpoints ADD COLUMN show_bcc BIGINT NOT NULL DEFAULT 0 CHECK (show_bcc IN (0, 1));

-- A copy that its route takes no notice of is neither believed nor doubted.
ALTER TABLE messages RENAME COLUMN state TO state_before;
ALTER TABLE messages ADD COLUMN state TEXT COLLATE "C" NOT NULL DEFAULT 'spooled' CHECK (state IN ('spooled', 'parsed', 'decided', 'emitted', 'duplicate', 'excluded', 'held', 'quarantined', 'poisoned'));
UPDATE messages SET state = state_before;
ALTER TABLE messages DROP COLUMN state_before;

-- The messages that reached a route, and how much of each can be read.
CREATE TABLE kept_copies (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    message_id   TEXT COLLATE "C" NOT NULL,
    route_id     TEXT COLLATE "C" NOT NULL,
    received_at  BIGINT NOT NULL,
    kept         TEXT COLLATE "C" NOT NULL CHECK (kept IN ('none', 'text', 'raw')),
    PRIMARY KEY (tenant_id, message_id, route_id)
);
CREATE INDEX kept_copies_by_route ON kept_copies (tenant_id, route_id, kept, received_at) WHERE kept <> 'none';

-- Those that were recorded before, and their later copies.
INSERT INTO kept_copies (tenant_id, message_id, route_id, received_at, kept)
SELECT e.tenant_id, e.message_id, e.scope, MIN(e.occurred_at), 'raw' FROM events AS e
WHERE e.message_id IS NOT NULL AND e.scope LIKE 'rte\_%' ESCAPE '\' GROUP BY e.tenant_id, e.message_id, e.scope;
INSERT INTO kept_copies (tenant_id, message_id, route_id, received_at, kept)
SELECT m.tenant_id, m.message_id, k.route_id, m.received_at, 'raw' FROM messages AS m
JOIN kept_copies AS k ON k.tenant_id = m.tenant_id AND k.message_id = m.duplicate_of
WHERE m.duplicate_of IS NOT NULL AND m.message_id <> m.duplicate_of ON CONFLICT DO NOTHING;
