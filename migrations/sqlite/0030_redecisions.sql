-- Why a copy is not believed at its route; null where it is, or was left out.
ALTER TABLE kept_copies ADD COLUMN held TEXT;
UPDATE kept_copies SET held = (
    SELECT m.reason FROM messages AS m
    WHERE m.tenant_id = kept_copies.tenant_id AND m.message_id = kept_copies.message_id AND m.state = 'held'
);
CREATE INDEX kept_copies_held ON kept_copies (tenant_id, route_id, received_at) WHERE held IS NOT NULL;

-- Held copies that somebody wants to have decided on again.
CREATE TABLE redecisions (
    tenant_id    TEXT    NOT NULL,
    message_id   TEXT    NOT NULL,
    route_id     TEXT    NOT NULL,
    asked_at     INTEGER NOT NULL,
    -- `operator`, or the id of a key.
    asked_by     TEXT    NOT NULL,
    -- When to look at it; later than it was asked after trouble.
    due_at       INTEGER NOT NULL,
    -- Whether the operator lets it pass although it came back in a delivery report.
    released     INTEGER NOT NULL CHECK (released IN (0, 1)),
    PRIMARY KEY (tenant_id, message_id, route_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX redecisions_due ON redecisions (due_at);
