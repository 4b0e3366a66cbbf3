-- A mail provider that asks whether it may forward to a route is told to the operator.
ALTER TABLE route_alarms RENAME TO route_alarms_before;
CREATE TABLE route_alarms (
    tenant_id  TEXT    NOT NULL,
    route_id   TEXT    NOT NULL,
    alarm      TEXT    NOT NULL CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended', 'journal_lost', 'forward_confirmation')),
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, route_id, alarm),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
) STRICT, WITHOUT ROWID;
INSERT INTO route_alarms SELECT * FROM route_alarms_before;
DROP TABLE route_alarms_before;
