-- Until when a route learns by what marks its copies can be told, and the marks that were confirmed (JSON list).
ALTER TABLE routes ADD COLUMN learning_until BIGINT;
ALTER TABLE routes ADD COLUMN marks TEXT COLLATE "C";
-- Until then the route's copies are decided on and shown, and nothing is emitted.
ALTER TABLE routes ADD COLUMN observe_until BIGINT;

-- Copies from networks that are everybody's, which are held until somebody confirms whose marks they carry.
CREATE TABLE held_copies (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    message_id   TEXT COLLATE "C" NOT NULL,
    route_id     TEXT COLLATE "C" NOT NULL,
    received_at  BIGINT NOT NULL,
    -- JSON list, sorted: equal marks are equal texts.
    marks        TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('held', 'confirmed', 'decided')),
    PRIMARY KEY (tenant_id, message_id, route_id)
);
CREATE INDEX held_copies_by_route ON held_copies (tenant_id, route_id, received_at);
CREATE INDEX held_copies_confirmed ON held_copies (received_at) WHERE state = 'confirmed';

-- What would have followed from the events of a route that is observed.
CREATE TABLE observed_events (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    event_id    TEXT COLLATE "C" NOT NULL,
    route_id    TEXT COLLATE "C" NOT NULL,
    observed_at BIGINT NOT NULL,
    status      TEXT COLLATE "C" NOT NULL,
    -- JSON list of operation types.
    operations  TEXT COLLATE "C" NOT NULL,
    tasks       BIGINT NOT NULL,
    approvals   BIGINT NOT NULL,
    drafts      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX observed_events_by_route ON observed_events (tenant_id, route_id, observed_at);
