-- Hosts of customers' domains to which reports about their mail are delegated: they lead here, and stand in reverse-paths.
CREATE TABLE bounce_hosts (
    tenant_id   TEXT COLLATE "C" NOT NULL,
    domain      TEXT COLLATE "C" NOT NULL,
    host        TEXT COLLATE "C" NOT NULL,
    created_at  BIGINT NOT NULL,
    -- When it was last seen to lead here, when it was looked for last, and looks since then that did not see it.
    seen_at     BIGINT,
    checked_at  BIGINT,
    misses      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, domain)
);
CREATE INDEX bounce_hosts_by_host ON bounce_hosts (host);

-- By what a report is tied to what it is about: each version with such a reverse-path has one of its own.
CREATE INDEX draft_versions_by_path ON draft_versions (reverse_path) WHERE reverse_path LIKE 'bounce-%';
