-- Who made a version of the policy; empty for those of before it was kept here.
ALTER TABLE policies ADD COLUMN created_by TEXT NOT NULL DEFAULT '';

-- What the gate said, and what it was told, so that it can be asked again by another policy.
CREATE TABLE verdicts (
    tenant_id       TEXT    NOT NULL,
    at              INTEGER NOT NULL,
    draft_id        TEXT    NOT NULL,
    version         INTEGER NOT NULL,
    -- Asked for release, or about to be sent.
    occasion        TEXT    NOT NULL CHECK (occasion IN ('request', 'sending')),
    ruling          TEXT    NOT NULL CHECK (ruling IN ('release', 'hold', 'handoff', 'deny')),
    -- JSON list of the rules that applied.
    codes           TEXT    NOT NULL,
    policy_version  TEXT    NOT NULL,
    -- JSON: what was known, but for the policy and the message; null where it was too much.
    ground          TEXT,
    PRIMARY KEY (tenant_id, at, draft_id)
) STRICT, WITHOUT ROWID;
