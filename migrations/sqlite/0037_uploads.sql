-- Files that wait to go along with a draft. What a version has of them is in its message; here they are for a day.
CREATE TABLE uploads (
    tenant_id   TEXT    NOT NULL,
    upload_id   TEXT    NOT NULL,
    -- The API key that brought it.
    key_id      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    media_type  TEXT    NOT NULL,
    -- Octets, and their SHA-256 in hexadecimal, before they were sealed.
    size        INTEGER NOT NULL,
    sha256      TEXT    NOT NULL,
    sealed_key  BLOB    NOT NULL,
    content     BLOB    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, upload_id)
) STRICT;
CREATE INDEX uploads_by_expiry ON uploads (tenant_id, expires_at);
