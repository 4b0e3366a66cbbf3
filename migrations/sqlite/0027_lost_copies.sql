-- A journal report that came back in a delivery report without the original is an alarm, too.
ALTER TABLE route_alarms RENAME TO route_alarms_before;
CREATE TABLE route_alarms (
    tenant_id  TEXT    NOT NULL,
    route_id   TEXT    NOT NULL,
    alarm      TEXT    NOT NULL CHECK (alarm IN ('retired_address', 'too_large', 'not_authorised', 'unverified', 'silent', 'learning_ended', 'journal_lost')),
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, route_id, alarm),
    FOREIGN KEY (tenant_id, route_id) REFERENCES routes (tenant_id, route_id)
) STRICT, WITHOUT ROWID;
INSERT INTO route_alarms SELECT * FROM route_alarms_before;
DROP TABLE route_alarms_before;
