-- Times are microseconds since 1970 UTC, ids are text with a prefix, JSON is text, flags are 0 or 1.
-- Every table of customers' data begins its key with the tenant. Additive changes only, in new files.

CREATE TABLE tenants (
    tenant_id     TEXT    NOT NULL PRIMARY KEY,
    name          TEXT    NOT NULL UNIQUE,
    -- Position of the tenant's newest event; counted up in the event's own transaction, so that it has no gaps.
    event_cursor  INTEGER NOT NULL DEFAULT 0,
    created_at    INTEGER NOT NULL,
    suspended_at  INTEGER
) STRICT;

CREATE TABLE domains (
    tenant_id   TEXT    NOT NULL REFERENCES tenants (tenant_id),
    domain      TEXT    NOT NULL UNIQUE,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'verified', 'failing', 'suspended')),
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, domain)
) STRICT;

CREATE TABLE apps (
    tenant_id   TEXT    NOT NULL REFERENCES tenants (tenant_id),
    app_id      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    -- JSON: statusMap, allowedStatuses, inboxes, synonyms, industry.
    profile     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, app_id),
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE mailboxes (
    tenant_id           TEXT    NOT NULL REFERENCES tenants (tenant_id),
    mailbox_id          TEXT    NOT NULL,
    address             TEXT    NOT NULL,
    -- Form for comparison: no letter case, NFC, domain as A-label. Unique over all tenants: an address has one owner.
    address_key         TEXT    NOT NULL UNIQUE,
    app_id              TEXT,
    identity_owner      TEXT    NOT NULL CHECK (identity_owner IN ('connex', 'source_app', 'customer_domain')),
    reply_policy        TEXT    NOT NULL CHECK (reply_policy IN ('source_app_only', 'human_approval', 'policy_auto', 'never')),
    external_reply_url  TEXT,
    state               TEXT    NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    state_since         INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, mailbox_id)
) STRICT;

CREATE TABLE routes (
    tenant_id       TEXT    NOT NULL REFERENCES tenants (tenant_id),
    route_id        TEXT    NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind IN ('bcc')),
    -- SHA-256 of the token: the address is a secret and is looked up by its hash only.
    token_hash      BLOB    NOT NULL UNIQUE,
    -- The whole address, encrypted with the instance key, for administrators.
    address_sealed  TEXT    NOT NULL,
    app_id          TEXT,
    -- JSON list of address ranges whose peers are authorised for this route.
    peers           TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('active', 'paused', 'deleted')),
    state_since     INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, route_id)
) STRICT;

CREATE TABLE api_keys (
    tenant_id     TEXT    NOT NULL REFERENCES tenants (tenant_id),
    key_id        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    environment   TEXT    NOT NULL CHECK (environment IN ('live', 'test')),
    -- HMAC-SHA-256 of the key under the instance's pepper; the key itself is nowhere.
    hash          BLOB    NOT NULL UNIQUE,
    last4         TEXT    NOT NULL,
    scopes        TEXT    NOT NULL,
    -- JSON: apps, mailboxes, agent.
    bindings      TEXT    NOT NULL,
    -- JSON list of address ranges from which the key may be used; empty means everywhere.
    networks      TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    revoked_at    INTEGER,
    last_used_at  INTEGER,
    last_used_ip  TEXT,
    PRIMARY KEY (tenant_id, key_id)
) STRICT;

-- How far each node's index has read its spool.
CREATE TABLE spool_cursors (
    node        TEXT    NOT NULL PRIMARY KEY,
    segment     INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE messages (
    tenant_id     TEXT    NOT NULL,
    message_id    TEXT    NOT NULL,
    received_at   INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    state         TEXT    NOT NULL CHECK (state IN ('spooled', 'parsed', 'decided', 'emitted', 'duplicate', 'held', 'quarantined', 'poisoned')),
    -- Why it is held, quarantined or poisoned; public words.
    reason        TEXT,
    -- For a duplicate, the message that was taken instead.
    duplicate_of  TEXT,
    -- JSON: envelope, origin, defects of the transfer.
    manifest      TEXT    NOT NULL,
    -- JSON: where the bytes are, their size and SHA-256.
    body          TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
) STRICT;

-- De-duplication: one row per (mailbox or route, message). The bucket is the month of arrival: new rows go to one end of
-- the index whatever its size, and old months are dropped whole.
CREATE TABLE copy_keys (
    tenant_id   TEXT    NOT NULL,
    bucket      INTEGER NOT NULL,
    scope       TEXT    NOT NULL,
    copy_key    BLOB    NOT NULL,
    message_id  TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, bucket, scope, copy_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE threads (
    tenant_id   TEXT    NOT NULL,
    thread_id   TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    -- Number of the thread's newest event.
    sequence    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, thread_id)
) STRICT;

CREATE TABLE thread_references (
    tenant_id   TEXT    NOT NULL,
    scope       TEXT    NOT NULL,
    -- SHA-256 of a Message-ID of the thread.
    reference   BLOB    NOT NULL,
    thread_id   TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, scope, reference)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    tenant_id        TEXT    NOT NULL,
    event_id         TEXT    NOT NULL,
    -- Place in the tenant's stream: 1, 2, 3 … without gaps.
    cursor           INTEGER NOT NULL,
    kind             TEXT    NOT NULL,
    source_kind      TEXT    NOT NULL,
    source_event_id  TEXT,
    app_id           TEXT,
    -- Mailbox or route, for mail.
    scope            TEXT,
    message_id       TEXT,
    thread_id        TEXT,
    sequence         INTEGER,
    occurred_at      INTEGER NOT NULL,
    recorded_at      INTEGER NOT NULL,
    -- JSON: the canonical event, version 1.
    content          TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, event_id),
    UNIQUE (tenant_id, cursor)
) STRICT;
CREATE INDEX events_by_message ON events (tenant_id, message_id);

CREATE TABLE decisions (
    tenant_id          TEXT    NOT NULL,
    decision_id        TEXT    NOT NULL,
    event_id           TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    area               TEXT    NOT NULL,
    priority           TEXT    NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    approval_required  INTEGER NOT NULL CHECK (approval_required IN (0, 1)),
    abstained          INTEGER NOT NULL CHECK (abstained IN (0, 1)),
    engine_version     TEXT    NOT NULL,
    -- JSON: the whole answer as it was given.
    answer             TEXT    NOT NULL,
    decided_at         INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, decision_id)
) STRICT;
CREATE INDEX decisions_by_event ON decisions (tenant_id, event_id);

CREATE TABLE operations (
    tenant_id        TEXT    NOT NULL,
    operation_id     TEXT    NOT NULL,
    event_id         TEXT    NOT NULL,
    position         INTEGER NOT NULL,
    kind             TEXT    NOT NULL,
    idempotency_key  TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('proposed', 'applied', 'rejected', 'expired')),
    -- JSON: the operation as it was given.
    content          TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, operation_id)
) STRICT;
CREATE INDEX operations_by_event ON operations (tenant_id, event_id, position);

CREATE TABLE tasks (
    tenant_id    TEXT    NOT NULL,
    task_id      TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    app_id       TEXT,
    title        TEXT    NOT NULL,
    priority     TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('open', 'done', 'cancelled')),
    due_at       TEXT,
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, task_id)
) STRICT;
CREATE INDEX tasks_by_event ON tasks (tenant_id, event_id);

CREATE TABLE approvals (
    tenant_id    TEXT    NOT NULL,
    approval_id  TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    draft_id     TEXT,
    -- JSON list of public codes.
    reasons      TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'void')),
    created_at   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, approval_id)
) STRICT;
CREATE INDEX approvals_by_event ON approvals (tenant_id, event_id);

CREATE TABLE drafts (
    tenant_id           TEXT    NOT NULL,
    draft_id            TEXT    NOT NULL,
    event_id            TEXT    NOT NULL,
    identity_owner      TEXT    NOT NULL CHECK (identity_owner IN ('connex', 'source_app', 'customer_domain')),
    state               TEXT    NOT NULL CHECK (state IN ('draft', 'pending_approval', 'approved', 'released', 'sending', 'sent', 'partly_sent', 'bounced', 'failed', 'unknown', 'handed_off', 'denied', 'cancelled', 'withdrawn', 'expired')),
    external_reply_url  TEXT,
    -- JSON: what is known of the text so far.
    content             TEXT    NOT NULL,
    created_at          INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, draft_id)
) STRICT;
CREATE INDEX drafts_by_event ON drafts (tenant_id, event_id);

-- integration-event: the source's id of an event names it for ever.
CREATE TABLE source_events (
    tenant_id        TEXT    NOT NULL,
    app_id           TEXT    NOT NULL,
    source_system    TEXT    NOT NULL,
    source_event_id  TEXT    NOT NULL,
    -- SHA-256 of the canonical body of the first call.
    fingerprint      BLOB    NOT NULL,
    event_id         TEXT    NOT NULL,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, app_id, source_system, source_event_id)
) STRICT;
CREATE INDEX source_events_by_source ON source_events (tenant_id, source_system, source_event_id);

-- The Idempotency-Key header: the stored answer of a call, for a day.
CREATE TABLE idempotency_keys (
    tenant_id        TEXT    NOT NULL,
    principal        TEXT    NOT NULL,
    idempotency_key  TEXT    NOT NULL,
    fingerprint      BLOB    NOT NULL,
    -- Null while the first call is still at work.
    status           INTEGER,
    body             TEXT,
    created_at       INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, principal, idempotency_key)
) STRICT;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE outcomes (
    tenant_id       TEXT    NOT NULL,
    outcome_id      TEXT    NOT NULL,
    event_id        TEXT    NOT NULL,
    operation_id    TEXT,
    app_id          TEXT,
    key_id          TEXT,
    outcome         TEXT    NOT NULL CHECK (outcome IN ('applied', 'approved', 'rejected', 'advanced', 'won', 'lost', 'spam', 'override', 'ignored', 'failed')),
    applied_status  TEXT,
    note            TEXT,
    amount          REAL,
    currency        TEXT,
    workflow        TEXT,
    agent_id        TEXT,
    occurred_at     INTEGER NOT NULL,
    recorded_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, outcome_id)
) STRICT;
CREATE INDEX outcomes_by_event ON outcomes (tenant_id, event_id);

CREATE TABLE webhook_endpoints (
    tenant_id      TEXT    NOT NULL REFERENCES tenants (tenant_id),
    endpoint_id    TEXT    NOT NULL,
    -- Null: events of every app of the tenant.
    app_id         TEXT,
    url            TEXT    NOT NULL,
    -- JSON list of signing secrets, newest first, encrypted with the instance key.
    secrets        TEXT    NOT NULL,
    -- JSON list of exact types or `prefix.*`.
    event_types    TEXT    NOT NULL,
    mode           TEXT    NOT NULL CHECK (mode IN ('operations', 'thin', 'full')),
    schedule       TEXT    NOT NULL CHECK (schedule IN ('default', 'short')),
    -- JSON object of extra request headers.
    headers        TEXT    NOT NULL,
    state          TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    state_reason   TEXT,
    -- JSON: consecutive failures, breaker, first and last failure.
    health         TEXT    NOT NULL,
    -- The breaker: no claims before this time.
    blocked_until  INTEGER NOT NULL DEFAULT 0,
    -- The breaker again: how many attempts may be under way at once; 1 while it is only probed.
    flight_limit   INTEGER NOT NULL DEFAULT 1000000,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id)
) STRICT;

-- The exact bytes of one event in one rendering, so that every replay is the same to the byte.
CREATE TABLE payloads (
    tenant_id    TEXT    NOT NULL,
    event_id     TEXT    NOT NULL,
    mode         TEXT    NOT NULL,
    api_version  TEXT    NOT NULL,
    body         TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, event_id, mode, api_version)
) STRICT;

CREATE TABLE deliveries (
    tenant_id        TEXT    NOT NULL,
    delivery_id      TEXT    NOT NULL,
    endpoint_id      TEXT    NOT NULL,
    event_id         TEXT    NOT NULL,
    event_type       TEXT    NOT NULL,
    mode             TEXT    NOT NULL,
    api_version      TEXT    NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'in_flight', 'succeeded', 'retry_wait', 'exhausted', 'held', 'cancelled')),
    -- Attempts that were finished.
    attempts         INTEGER NOT NULL DEFAULT 0,
    next_attempt_at  INTEGER NOT NULL,
    lease_owner      TEXT,
    lease_until      INTEGER,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER,
    PRIMARY KEY (tenant_id, delivery_id)
) STRICT;
-- Only work that waits is in the queue's index, so that its size is that of the backlog.
CREATE INDEX deliveries_due ON deliveries (tenant_id, endpoint_id, next_attempt_at) WHERE state IN ('pending', 'retry_wait');
CREATE INDEX deliveries_leased ON deliveries (tenant_id, endpoint_id, lease_until) WHERE state = 'in_flight';
CREATE INDEX deliveries_by_event ON deliveries (tenant_id, event_id);

CREATE TABLE attempts (
    tenant_id    TEXT    NOT NULL,
    delivery_id  TEXT    NOT NULL,
    number       INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    duration_us  INTEGER NOT NULL,
    status       INTEGER,
    reason       TEXT,
    resolved_ip  TEXT,
    response     TEXT,
    -- Why this attempt was made: schedule, a person, a recovery or the breaker's probe.
    cause        TEXT    NOT NULL CHECK (cause IN ('scheduled', 'manual', 'recover', 'probe')),
    PRIMARY KEY (tenant_id, delivery_id, number)
) STRICT;
