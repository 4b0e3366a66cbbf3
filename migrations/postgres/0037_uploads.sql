-- Files that wait to go along with a draft. What a version has of them is in its message; here they are for a day.
CREATE TABLE uploads (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    upload_id   TEXT COLLATE "C" NOT NULL,
    -- The API key that brought it.
    key_id      TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    media_type  TEXT COLLATE "C" NOT NULL,
    -- Octets, and their SHA-256 in hexadecimal, before they were sealed.
    size        BIGINT NOT NULL,
    sha256      TEXT COLLATE "C" NOT NULL,
    sealed_key  BYTEA NOT NULL,
    content     BYTEA NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, upload_id)
);
CREATE INDEX uploads_by_expiry ON uploads (tenant_id, expires_at);
