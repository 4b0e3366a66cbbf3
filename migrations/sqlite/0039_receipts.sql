-- What the gateway signed about each release.
CREATE TABLE receipts (
    tenant_id   TEXT    NOT NULL,
    release_id  TEXT    NOT NULL,
    -- JSON: the receipt with its signature.
    receipt     TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, release_id)
) STRICT;
