-- Recipients whom only a later copy of an event's message named.
CREATE TABLE copy_recipients (
    tenant_id      TEXT COLLATE "C" NOT NULL,
    event_id       TEXT COLLATE "C" NOT NULL,
    -- The address in the form for comparison.
    recipient_key  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, event_id, recipient_key)
);
