-- Peers that a route did not name, by their network: since when they are asked to try again.
CREATE TABLE route_refusals (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    route_id   TEXT COLLATE "C" NOT NULL,
    -- Address range, or 'local'.
    network    TEXT COLLATE "C" NOT NULL,
    first_at   BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, route_id, network),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
);
