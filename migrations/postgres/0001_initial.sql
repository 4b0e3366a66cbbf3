-- Times are microseconds since 1970 UTC, ids are text with a prefix, JSON is text, flags are 0 or 1.
-- Every table of customers' data begins its key with the tenant. Additive changes only, in new files.

CREATE TABLE tenants (
    tenant_id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name          TEXT COLLATE "C" NOT NULL UNIQUE,
    -- Position of the tenant's newest event; counted up in the event's own transaction, so that it has no gaps.
    event_cursor  BIGINT NOT NULL DEFAULT 0,
    created_at    BIGINT NOT NULL,
    suspended_at  BIGINT
);

CREATE TABLE domains (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    domain      TEXT COLLATE "C" NOT NULL UNIQUE,
    state       TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'verified', 'failing', 'suspended')),
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, domain)
);

CREATE TABLE apps (
    tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    app_id      TEXT COLLATE "C" NOT NULL,
    name        TEXT COLLATE "C" NOT NULL,
    -- JSON: statusMap, allowedStatuses, inboxes, synonyms, industry.
    profile     TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, app_id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE mailboxes (
    tenant_id           TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    mailbox_id          TEXT COLLATE "C" NOT NULL,
    address             TEXT COLLATE "C" NOT NULL,
    -- Form for comparison: no letter case, NFC, domain as A-label. Unique over all tenants: an address has one owner.
    address_key         TEXT COLLATE "C" NOT NULL UNIQUE,
    app_id              TEXT COLLATE "C",
    identity_owner      TEXT COLLATE "C" NOT NULL CHECK (identity_owner IN ('connex', 'source_app', 'customer_domain')),
    reply_policy        TEXT COLLATE "C" NOT NULL CHECK (reply_policy IN ('source_app_only', 'human_approval', 'policy_auto', 'never')),
    external_reply_url  TEXT COLLATE "C",
    state               TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    state_since         BIGINT NOT NULL,
    created_at          BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, mailbox_id)
);

CREATE TABLE routes (
    tenant_id       TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    route_id        TEXT COLLATE "C" NOT NULL,
    kind            TEXT COLLATE "C" NOT NULL CHECK (kind IN ('bcc')),
    -- SHA-256 of the token: the address is a secret and is looked up by its hash only.
    token_hash      BYTEA    NOT NULL UNIQUE,
    -- The whole address, encrypted with the instance key, for administrators.
    address_sealed  TEXT COLLATE "C" NOT NULL,
    app_id          TEXT COLLATE "C",
    -- JSON list of address ranges whose peers are authorised for this route.
    peers           TEXT COLLATE "C" NOT NULL,
    state           TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'paused', 'deleted')),
    state_since     BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, route_id)
);

CREATE TABLE api_keys (
    tenant_id     TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    key_id        TEXT COLLATE "C" NOT NULL,
    name          TEXT COLLATE "C" NOT NULL,
    environment   TEXT COLLATE "C" NOT NULL CHECK (environment IN ('live', 'test')),
    -- HMAC-SHA-256 of the key under the instance's pepper; the key itself is nowhere.
    hash          BYTEA    NOT NULL UNIQUE,
    last4         TEXT COLLATE "C" NOT NULL,
    scopes        TEXT COLLATE "C" NOT NULL,
    -- JSON: apps, mailboxes, agent.
    bindings      TEXT COLLATE "C" NOT NULL,
    -- JSON list of address ranges from which the key may be used; empty means everywhere.
    networks      TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    revoked_at    BIGINT,
    last_used_at  BIGINT,
    last_used_ip  TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, key_id)
);

-- How far each node's index has read its spool.
CREATE TABLE spool_cursors (
    node        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    segment     BIGINT NOT NULL,
    position    BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
);

CREATE TABLE messages (
    tenant_id     TEXT COLLATE "C" NOT NULL,
    message_id    TEXT COLLATE "C" NOT NULL,
    received_at   BIGINT NOT NULL,
    size          BIGINT NOT NULL,
    state         TEXT COLLATE "C" NOT NULL CHECK (state IN ('spooled', 'parsed', 'decided', 'emitted', 'duplicate', 'held', 'quarantined', 'poisoned')),
    -- Why it is held, quarantined or poisoned; public words.
    reason        TEXT COLLATE "C",
    -- For a duplicate, the message that was taken instead.
    duplicate_of  TEXT COLLATE "C",
    -- JSON: envelope, origin, defects of the transfer.
    manifest      TEXT COLLATE "C" NOT NULL,
    -- JSON: where the bytes are, their size and SHA-256.
    body          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
);

-- De-duplication: one row per (mailbox or route, message). The bucket is the month of arrival: new rows go to one end of
-- the index whatever its size, and old months are dropped whole.
CREATE TABLE copy_keys (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    bucket      BIGINT NOT NULL,
    scope       TEXT COLLATE "C" NOT NULL,
    copy_key    BYTEA    NOT NULL,
    message_id  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, bucket, scope, copy_key)
);

CREATE TABLE threads (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    thread_id   TEXT COLLATE "C" NOT NULL,
    scope       TEXT COLLATE "C" NOT NULL,
    -- Number of the thread's newest event.
    sequence    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, thread_id)
);

CREATE TABLE thread_references (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    scope       TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of a Message-ID of the thread.
    reference   BYTEA    NOT NULL,
    thread_id   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, scope, reference)
);

CREATE TABLE events (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    -- Place in the tenant's stream: 1, 2, 3 … without gaps.
    cursor           BIGINT NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    source_kind      TEXT COLLATE "C" NOT NULL,
    source_event_id  TEXT COLLATE "C",
    app_id           TEXT COLLATE "C",
    -- Mailbox or route, for mail.
    scope            TEXT COLLATE "C",
    message_id       TEXT COLLATE "C",
    thread_id        TEXT COLLATE "C",
    sequence         BIGINT,
    occurred_at      BIGINT NOT NULL,
    recorded_at      BIGINT NOT NULL,
    -- JSON: the canonical event, version 1.
    content          TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, event_id),
    UNIQUE (tenant_id, cursor)
);
CREATE INDEX events_by_message ON events (tenant_id, message_id);

CREATE TABLE decisions (
    tenant_id          TEXT COLLATE "C" NOT NULL,
    decision_id        TEXT COLLATE "C" NOT NULL,
    event_id           TEXT COLLATE "C" NOT NULL,
    status             TEXT COLLATE "C" NOT NULL,
    area               TEXT COLLATE "C" NOT NULL,
    priority           TEXT COLLATE "C" NOT NULL CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    approval_required  BIGINT NOT NULL CHECK (approval_required IN (0, 1)),
    abstained          BIGINT NOT NULL CHECK (abstained IN (0, 1)),
    engine_version     TEXT COLLATE "C" NOT NULL,
    -- JSON: the whole answer as it was given.
    answer             TEXT COLLATE "C" NOT NULL,
    decided_at         BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, decision_id)
);
CREATE INDEX decisions_by_event ON decisions (tenant_id, event_id);

CREATE TABLE operations (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    operation_id     TEXT COLLATE "C" NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    position         BIGINT NOT NULL,
    kind             TEXT COLLATE "C" NOT NULL,
    idempotency_key  TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('proposed', 'applied', 'rejected', 'expired')),
    -- JSON: the operation as it was given.
    content          TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, operation_id)
);
CREATE INDEX operations_by_event ON operations (tenant_id, event_id, position);

CREATE TABLE tasks (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    task_id      TEXT COLLATE "C" NOT NULL,
    event_id     TEXT COLLATE "C" NOT NULL,
    app_id       TEXT COLLATE "C",
    title        TEXT COLLATE "C" NOT NULL,
    priority     TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('open', 'done', 'cancelled')),
    due_at       TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, task_id)
);
CREATE INDEX tasks_by_event ON tasks (tenant_id, event_id);

CREATE TABLE approvals (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    approval_id  TEXT COLLATE "C" NOT NULL,
    event_id     TEXT COLLATE "C" NOT NULL,
    draft_id     TEXT COLLATE "C",
    -- JSON list of public codes.
    reasons      TEXT COLLATE "C" NOT NULL,
    state        TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired', 'void')),
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, approval_id)
);
CREATE INDEX approvals_by_event ON approvals (tenant_id, event_id);

CREATE TABLE drafts (
    tenant_id           TEXT COLLATE "C" NOT NULL,
    draft_id            TEXT COLLATE "C" NOT NULL,
    event_id            TEXT COLLATE "C" NOT NULL,
    identity_owner      TEXT COLLATE "C" NOT NULL CHECK (identity_owner IN ('connex', 'source_app', 'customer_domain')),
    state               TEXT COLLATE "C" NOT NULL CHECK (state IN ('draft', 'pending_approval', 'approved', 'released', 'sending', 'sent', 'partly_sent', 'bounced', 'failed', 'unknown', 'handed_off', 'denied', 'cancelled', 'withdrawn', 'expired')),
    external_reply_url  TEXT COLLATE "C",
    -- JSON: what is known of the text so far.
    content             TEXT COLLATE "C" NOT NULL,
    created_at          BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, draft_id)
);
CREATE INDEX drafts_by_event ON drafts (tenant_id, event_id);

-- integration-event: the source's id of an event names it for ever.
CREATE TABLE source_events (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    app_id           TEXT COLLATE "C" NOT NULL,
    source_system    TEXT COLLATE "C" NOT NULL,
    source_event_id  TEXT COLLATE "C" NOT NULL,
    -- SHA-256 of the canonical body of the first call.
    fingerprint      BYTEA    NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    created_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, app_id, source_system, source_event_id)
);
CREATE INDEX source_events_by_source ON source_events (tenant_id, source_system, source_event_id);

-- The Idempotency-Key header: the stored answer of a call, for a day.
CREATE TABLE idempotency_keys (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    principal        TEXT COLLATE "C" NOT NULL,
    idempotency_key  TEXT COLLATE "C" NOT NULL,
    fingerprint      BYTEA    NOT NULL,
    -- Null while the first call is still at work.
    status           BIGINT,
    body             TEXT COLLATE "C",
    created_at       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, principal, idempotency_key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

CREATE TABLE outcomes (
    tenant_id       TEXT COLLATE "C" NOT NULL,
    outcome_id      TEXT COLLATE "C" NOT NULL,
    event_id        TEXT COLLATE "C" NOT NULL,
    operation_id    TEXT COLLATE "C",
    app_id          TEXT COLLATE "C",
    key_id          TEXT COLLATE "C",
    outcome         TEXT COLLATE "C" NOT NULL CHECK (outcome IN ('applied', 'approved', 'rejected', 'advanced', 'won', 'lost', 'spam', 'override', 'ignored', 'failed')),
    applied_status  TEXT COLLATE "C",
    note            TEXT COLLATE "C",
    amount          DOUBLE PRECISION,
    currency        TEXT COLLATE "C",
    workflow        TEXT COLLATE "C",
    agent_id        TEXT COLLATE "C",
    occurred_at     BIGINT NOT NULL,
    recorded_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, outcome_id)
);
CREATE INDEX outcomes_by_event ON outcomes (tenant_id, event_id);

CREATE TABLE webhook_endpoints (
    tenant_id      TEXT COLLATE "C" NOT NULL REFERENCES tenants (tenant_id),
    endpoint_id    TEXT COLLATE "C" NOT NULL,
    -- Null: events of every app of the tenant.
    app_id         TEXT COLLATE "C",
    url            TEXT COLLATE "C" NOT NULL,
    -- JSON list of signing secrets, newest first, encrypted with the instance key.
    secrets        TEXT COLLATE "C" NOT NULL,
    -- JSON list of exact types or `prefix.*`.
    event_types    TEXT COLLATE "C" NOT NULL,
    mode           TEXT COLLATE "C" NOT NULL CHECK (mode IN ('operations', 'thin', 'full')),
    schedule       TEXT COLLATE "C" NOT NULL CHECK (schedule IN ('default', 'short')),
    -- JSON object of extra request headers.
    headers        TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    state_reason   TEXT COLLATE "C",
    -- JSON: consecutive failures, breaker, first and last failure.
    health         TEXT COLLATE "C" NOT NULL,
    -- The breaker: no claims before this time.
    blocked_until  BIGINT NOT NULL DEFAULT 0,
    -- The breaker again: how many attempts may be under way at once; 1 while it is only probed.
    flight_limit   BIGINT NOT NULL DEFAULT 1000000,
    created_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, endpoint_id)
);

-- The exact bytes of one event in one rendering, so that every replay is the same to the byte.
CREATE TABLE payloads (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    event_id     TEXT COLLATE "C" NOT NULL,
    mode         TEXT COLLATE "C" NOT NULL,
    api_version  TEXT COLLATE "C" NOT NULL,
    body         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, event_id, mode, api_version)
);

CREATE TABLE deliveries (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    delivery_id      TEXT COLLATE "C" NOT NULL,
    endpoint_id      TEXT COLLATE "C" NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    event_type       TEXT COLLATE "C" NOT NULL,
    mode             TEXT COLLATE "C" NOT NULL,
    api_version      TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'in_flight', 'succeeded', 'retry_wait', 'exhausted', 'held', 'cancelled')),
    -- Attempts that were finished.
    attempts         BIGINT NOT NULL DEFAULT 0,
    next_attempt_at  BIGINT NOT NULL,
    lease_owner      TEXT COLLATE "C",
    lease_until      BIGINT,
    created_at       BIGINT NOT NULL,
    finished_at      BIGINT,
    PRIMARY KEY (tenant_id, delivery_id)
);
-- Only work that waits is in the queue's index, so that its size is that of the backlog.
CREATE INDEX deliveries_due ON deliveries (tenant_id, endpoint_id, next_attempt_at) WHERE state IN ('pending', 'retry_wait');
CREATE INDEX deliveries_leased ON deliveries (tenant_id, endpoint_id, lease_until) WHERE state = 'in_flight';
CREATE INDEX deliveries_by_event ON deliveries (tenant_id, event_id);

CREATE TABLE attempts (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    delivery_id  TEXT COLLATE "C" NOT NULL,
    number       BIGINT NOT NULL,
    started_at   BIGINT NOT NULL,
    duration_us  BIGINT NOT NULL,
    status       BIGINT,
    reason       TEXT COLLATE "C",
    resolved_ip  TEXT COLLATE "C",
    response     TEXT COLLATE "C",
    -- Why this attempt was made: schedule, a person, a recovery or the breaker's probe.
    cause        TEXT COLLATE "C" NOT NULL CHECK (cause IN ('scheduled', 'manual', 'recover', 'probe')),
    PRIMARY KEY (tenant_id, delivery_id, number)
);
