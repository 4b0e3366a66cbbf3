-- What the gateway signed about each release.
CREATE TABLE receipts (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    release_id  TEXT COLLATE "C" NOT NULL,
    -- JSON: the receipt with its signature.
    receipt     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, release_id)
);
