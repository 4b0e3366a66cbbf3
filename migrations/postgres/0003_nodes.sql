-- What several nodes over one database share. With SQLite the spool is a log of files, and the tables of the spool stay empty.

-- Bodies as they were accepted: one row, or several of a large one.
CREATE TABLE spool_bodies (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    message_id  TEXT COLLATE "C" NOT NULL,
    part        BIGINT NOT NULL,
    content     BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, message_id, part)
);

-- Accepted mail that no event was recorded for yet. Its size is that of the backlog.
CREATE TABLE spool_queue (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    message_id  TEXT COLLATE "C" NOT NULL,
    -- By tenant; -1: set aside, since it can never be recorded.
    lane        BIGINT NOT NULL,
    size        BIGINT NOT NULL,
    sha256      BYTEA NOT NULL,
    -- Rows of spool_bodies.
    parts       BIGINT NOT NULL,
    -- JSON: envelope, origin, defects of the transfer.
    manifest    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);
CREATE INDEX spool_queue_by_lane ON spool_queue (lane, message_id);

-- Who reads which lane of the queue, and until when.
CREATE TABLE spool_lanes (
    lane         BIGINT NOT NULL PRIMARY KEY,
    lease_owner  TEXT COLLATE "C",
    lease_until  BIGINT NOT NULL
);
INSERT INTO spool_lanes (lane, lease_until)
WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 63)
SELECT number, 0 FROM numbers;

-- Rate limits: how much of a window's quota nodes have taken for themselves.
CREATE TABLE rate_windows (
    policy   TEXT COLLATE "C" NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    -- When the window ends.
    ends_at  BIGINT NOT NULL,
    taken    BIGINT NOT NULL,
    -- The block that was taken last.
    granted  BIGINT NOT NULL,
    PRIMARY KEY (policy, subject, ends_at)
);
CREATE INDEX rate_windows_by_end ON rate_windows (ends_at);

-- Keys are forgotten tenant by tenant.
CREATE INDEX idempotency_keys_by_tenant_and_age ON idempotency_keys (tenant_id, created_at);
DROP INDEX idempotency_keys_by_age;
