-- What was let out in the last day, once under each thing that a limit can be set for: whoever asks how much that was reads
-- only what counts. Rows go when they are too old to count.
CREATE TABLE counted_releases (
    tenant_id    TEXT COLLATE "C" NOT NULL,
    -- `tenant`, or one of `mailbox:`, `agent:`, `app:`, `domain:` of a recipient, and `automatic:` of an address to which
    -- nobody's yes was needed, with its name behind it.
    subject      TEXT COLLATE "C" NOT NULL,
    released_at  BIGINT NOT NULL,
    draft_id     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, subject, released_at, draft_id)
);

-- Those of the day before this step count as well.
INSERT INTO counted_releases (tenant_id, subject, released_at, draft_id)
WITH late AS (
    SELECT * FROM releases WHERE released_at > (extract(epoch FROM now())::bigint - 86400) * 1000000
), addressed AS (
    SELECT late.*, lower(t.recipient) AS recipient,
        regexp_replace(lower(t.recipient), '^.*@', '') AS domain
    FROM late JOIN transmissions AS t ON t.tenant_id = late.tenant_id AND t.release_id = late.release_id
)
SELECT tenant_id, 'tenant', released_at, draft_id FROM late
UNION SELECT tenant_id, 'mailbox:' || mailbox_id, released_at, draft_id FROM late
UNION SELECT tenant_id, 'agent:' || agent_id, released_at, draft_id FROM late WHERE agent_id IS NOT NULL
UNION SELECT late.tenant_id, 'app:' || m.app_id, released_at, draft_id FROM late
    JOIN mailboxes AS m ON m.tenant_id = late.tenant_id AND m.mailbox_id = late.mailbox_id WHERE m.app_id IS NOT NULL
UNION SELECT tenant_id, 'domain:' || domain, released_at, draft_id FROM addressed
UNION SELECT tenant_id, 'automatic:' || recipient, released_at, draft_id FROM addressed WHERE evidence LIKE '%"policy"%';

-- For words that are like others' to people who were new: nothing else of a release is read.
DROP INDEX releases_by_time;
CREATE INDEX releases_to_newcomers ON releases (tenant_id, released_at, draft_id, similarity, newcomers) WHERE newcomers > 0;
