-- A draft may be proposed by somebody, without an event.
DROP INDEX drafts_by_event;
ALTER TABLE drafts RENAME COLUMN event_id TO event_before;
ALTER TABLE drafts ADD COLUMN event_id TEXT COLLATE "C";
UPDATE drafts SET event_id = event_before;
ALTER TABLE drafts DROP COLUMN event_before;
CREATE INDEX drafts_by_event ON drafts (tenant_id, event_id);
-- As which mailbox it would be sent, in which conversation, and which event it answers; null: none.
ALTER TABLE drafts ADD COLUMN mailbox_id TEXT COLLATE "C";
ALTER TABLE drafts ADD COLUMN thread_id TEXT COLLATE "C";
ALTER TABLE drafts ADD COLUMN app_id TEXT COLLATE "C";
-- The agent that proposed it.
ALTER TABLE drafts ADD COLUMN agent_id TEXT COLLATE "C";
ALTER TABLE drafts ADD COLUMN answers TEXT COLLATE "C";
-- Its present version; 0 while nothing is written.
ALTER TABLE drafts ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
-- Whether an approval that lifts the last hold releases it at once, and not before when it leaves.
ALTER TABLE drafts ADD COLUMN release_on_approval BIGINT NOT NULL DEFAULT 1 CHECK (release_on_approval IN (0, 1));
ALTER TABLE drafts ADD COLUMN send_at BIGINT;
ALTER TABLE drafts ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE drafts SET updated_at = created_at;
CREATE INDEX drafts_by_state ON drafts (tenant_id, state, draft_id);
CREATE INDEX events_by_thread ON events (tenant_id, thread_id, cursor) WHERE thread_id IS NOT NULL;
CREATE INDEX drafts_by_thread ON drafts (tenant_id, thread_id);

-- Fixed renderings of drafts: envelope and exact unsigned bytes. Never changed.
CREATE TABLE draft_versions (
    tenant_id     TEXT COLLATE "C" NOT NULL,
    draft_id      TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    -- JSON: who wrote it.
    author        TEXT COLLATE "C" NOT NULL,
    -- MAIL FROM; empty for the null reverse-path.
    reverse_path  TEXT COLLATE "C" NOT NULL,
    -- JSON list of every RCPT TO, in order.
    recipients    TEXT COLLATE "C" NOT NULL,
    message       BYTEA NOT NULL,
    -- 64 hexadecimal digits over all of it.
    content_hash  TEXT COLLATE "C" NOT NULL,
    -- JSON: the parts that it was written from, for whoever edits it.
    parts         TEXT COLLATE "C" NOT NULL,
    created_at    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, draft_id, version)
);

-- What a person was asked, about which content, and what came of it.
DROP INDEX approvals_by_event;
ALTER TABLE approvals RENAME COLUMN event_id TO event_before;
ALTER TABLE approvals ADD COLUMN event_id TEXT COLLATE "C";
UPDATE approvals SET event_id = event_before;
ALTER TABLE approvals DROP COLUMN event_before;
CREATE INDEX approvals_by_event ON approvals (tenant_id, event_id);
ALTER TABLE approvals ADD COLUMN content_hash TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN expires_at BIGINT;
ALTER TABLE approvals ADD COLUMN decided_at BIGINT;
-- JSON: who decided.
ALTER TABLE approvals ADD COLUMN decided_by TEXT COLLATE "C";
-- JSON list of the holds that were accepted.
ALTER TABLE approvals ADD COLUMN accepted TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN is_stepped_up BIGINT NOT NULL DEFAULT 0 CHECK (is_stepped_up IN (0, 1));
-- Why it was rejected, in a word, and in the approver's own words.
ALTER TABLE approvals ADD COLUMN reject_reason TEXT COLLATE "C";
ALTER TABLE approvals ADD COLUMN note TEXT COLLATE "C";
CREATE INDEX approvals_by_draft ON approvals (tenant_id, draft_id);
CREATE INDEX approvals_by_state ON approvals (tenant_id, state, approval_id);

-- Permissions to send one content once to each of its recipients: data, of which the gate makes a permission again.
CREATE TABLE releases (
    tenant_id     TEXT COLLATE "C" NOT NULL,
    release_id    TEXT COLLATE "C" NOT NULL,
    draft_id      TEXT COLLATE "C" NOT NULL,
    version       BIGINT NOT NULL,
    mailbox_id    TEXT COLLATE "C" NOT NULL,
    content_hash  TEXT COLLATE "C" NOT NULL,
    -- JSON: the approval, or the policy, by which it was released.
    evidence      TEXT COLLATE "C" NOT NULL,
    policy_version  TEXT COLLATE "C" NOT NULL,
    owner         TEXT COLLATE "C" NOT NULL CHECK (owner IN ('connex', 'customer_domain')),
    released_at   BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    -- Who asked for it, where that was an agent.
    agent_id      TEXT COLLATE "C",
    -- What its words look like, and how many of its recipients were new.
    similarity    BIGINT NOT NULL,
    newcomers     BIGINT NOT NULL,
    -- Nothing more is sent under it.
    ended_at      BIGINT,
    PRIMARY KEY (tenant_id, release_id)
);
CREATE INDEX releases_by_time ON releases (tenant_id, released_at);
-- A draft has one permission at a time.
CREATE UNIQUE INDEX releases_open ON releases (tenant_id, draft_id) WHERE ended_at IS NULL;

-- Each recipient of a release, and how far it has come.
CREATE TABLE transmissions (
    tenant_id        TEXT COLLATE "C" NOT NULL,
    release_id       TEXT COLLATE "C" NOT NULL,
    position         BIGINT NOT NULL,
    recipient        TEXT COLLATE "C" NOT NULL,
    state            TEXT COLLATE "C" NOT NULL CHECK (state IN ('pending', 'in_flight', 'accepted', 'deferred', 'rejected', 'unknown')),
    attempts         BIGINT NOT NULL DEFAULT 0,
    next_attempt_at  BIGINT NOT NULL,
    lease_owner      TEXT COLLATE "C",
    lease_until      BIGINT,
    -- Committed before the end of data is written: from then on nobody sends it again by itself.
    eod_started_at   BIGINT,
    -- What the next hop said last, and who it was; null before it was tried.
    host             TEXT COLLATE "C",
    reply            TEXT COLLATE "C",
    finished_at      BIGINT,
    PRIMARY KEY (tenant_id, release_id, position)
);
CREATE INDEX transmissions_waiting ON transmissions (next_attempt_at) WHERE state IN ('pending', 'deferred');
CREATE INDEX transmissions_in_flight ON transmissions (lease_until) WHERE state = 'in_flight';

-- Everything that was decided and by whom, one chain for each tenant: each row's hash is over the row before.
CREATE TABLE audit_log (
    tenant_id      TEXT COLLATE "C" NOT NULL,
    number         BIGINT NOT NULL,
    at             BIGINT NOT NULL,
    actor          TEXT COLLATE "C" NOT NULL,
    action         TEXT COLLATE "C" NOT NULL,
    subject        TEXT COLLATE "C" NOT NULL,
    -- JSON; null once what it held was erased. The chain is over its SHA-256, which stays.
    detail         TEXT COLLATE "C",
    detail_digest  BYTEA NOT NULL,
    hash           BYTEA NOT NULL,
    PRIMARY KEY (tenant_id, number)
);
CREATE INDEX audit_by_subject ON audit_log (tenant_id, subject, number);
CREATE TABLE audit_heads (
    tenant_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    number     BIGINT NOT NULL,
    hash       BYTEA NOT NULL
);

-- Whom nothing is sent to any more, and why.
CREATE TABLE suppressions (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    address_key  TEXT COLLATE "C" NOT NULL,
    reason       TEXT COLLATE "C" NOT NULL CHECK (reason IN ('hard_bounce', 'complaint', 'unsubscribe', 'manual')),
    event_id     TEXT COLLATE "C",
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, address_key)
);

-- Switches that stop all sending of a tenant, a mailbox or an agent.
CREATE TABLE pauses (
    tenant_id  TEXT COLLATE "C" NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('tenant', 'mailbox', 'agent')),
    -- The mailbox's or agent's id; empty for the tenant.
    subject    TEXT COLLATE "C" NOT NULL,
    since      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, kind, subject)
);
-- The switch that stops the whole gateway: one row while it is on.
CREATE TABLE gateway_pauses (
    gateway  TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (gateway IN ('all')),
    since    BIGINT NOT NULL
);

-- The settings that the gate obeys, as JSON; the newest counts.
CREATE TABLE policies (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    version     BIGINT NOT NULL,
    content     TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

-- Keys that sign what leaves for a domain; those of the gateway's own domains are the operator's.
CREATE TABLE dkim_keys (
    tenant_id      TEXT COLLATE "C" NOT NULL,
    domain         TEXT COLLATE "C" NOT NULL,
    selector       TEXT COLLATE "C" NOT NULL,
    algorithm      TEXT COLLATE "C" NOT NULL CHECK (algorithm IN ('ed25519', 'rsa')),
    -- PKCS #8, encrypted with the instance key.
    secret_sealed  TEXT COLLATE "C" NOT NULL,
    -- The TXT record to be published.
    record         TEXT COLLATE "C" NOT NULL,
    state          TEXT COLLATE "C" NOT NULL CHECK (state IN ('active', 'retired')),
    created_at     BIGINT NOT NULL,
    -- When the record was last seen in DNS as it should be, and when it was looked for last.
    seen_at        BIGINT,
    checked_at     BIGINT,
    PRIMARY KEY (tenant_id, domain, selector)
);
