-- Who made a version of the policy; empty for those of before it was kept here.
ALTER TABLE policies ADD COLUMN created_by TEXT COLLATE "C" NOT NULL DEFAULT '';

-- What the gate said, and what it was told, so that it can be asked again by another policy.
CREATE TABLE verdicts (
    tenant_id       TEXT COLLATE "C" NOT NULL,
    at              BIGINT NOT NULL,
    draft_id        TEXT COLLATE "C" NOT NULL,
    version         BIGINT NOT NULL,
    -- Asked for release, or about to be sent.
    occasion        TEXT COLLATE "C" NOT NULL CHECK (occasion IN ('request', 'sending')),
    ruling          TEXT COLLATE "C" NOT NULL CHECK (ruling IN ('release', 'hold', 'handoff', 'deny')),
    -- JSON list of the rules that applied.
    codes           TEXT COLLATE "C" NOT NULL,
    policy_version  TEXT COLLATE "C" NOT NULL,
    -- JSON: what was known, but for the policy and the message; null where it was too much.
    ground          TEXT COLLATE "C",
    PRIMARY KEY (tenant_id, at, draft_id)
);
