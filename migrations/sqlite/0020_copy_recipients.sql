-- Recipients whom only a later copy of an event's message named.
CREATE TABLE copy_recipients (
    tenant_id      TEXT    NOT NULL,
    event_id       TEXT    NOT NULL,
    -- The address in the form for comparison.
    recipient_key  TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, event_id, recipient_key)
) STRICT, WITHOUT ROWID;
