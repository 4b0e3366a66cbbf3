-- Until when a route learns by what marks its copies can be told, and the marks that were confirmed (JSON list).
ALTER TABLE routes ADD COLUMN learning_until INTEGER;
ALTER TABLE routes ADD COLUMN marks TEXT;
-- Until then the route's copies are decided on and shown, and nothing is emitted.
ALTER TABLE routes ADD COLUMN observe_until INTEGER;

-- Copies from networks that are everybody's, which are held until somebody confirms whose marks they carry.
CREATE TABLE held_copies (
    tenant_id    TEXT    NOT NULL,
    message_id   TEXT    NOT NULL,
    route_id     TEXT    NOT NULL,
    received_at  INTEGER NOT NULL,
    -- JSON list, sorted: equal marks are equal texts.
    marks        TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('held', 'confirmed', 'decided')),
    PRIMARY KEY (tenant_id, message_id, route_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_copies_by_route ON held_copies (tenant_id, route_id, received_at);
CREATE INDEX held_copies_confirmed ON held_copies (received_at) WHERE state = 'confirmed';

-- What would have followed from the events of a route that is observed.
CREATE TABLE observed_events (
    tenant_id   TEXT    NOT NULL,
    event_id    TEXT    NOT NULL,
    route_id    TEXT    NOT NULL,
    observed_at INTEGER NOT NULL,
    status      TEXT    NOT NULL,
    -- JSON list of operation types.
    operations  TEXT    NOT NULL,
    tasks       INTEGER NOT NULL,
    approvals   INTEGER NOT NULL,
    drafts      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
) STRICT;
CREATE INDEX observed_events_by_route ON observed_events (tenant_id, route_id, observed_at);
