-- What was let out to leave in the last day or later, once under each thing that a limit can be set for: whoever asks how much
-- that was reads only what counts. Rows go when they are too old to count.
CREATE TABLE counted_releases (
    tenant_id   TEXT    NOT NULL,
    -- `tenant`, or one of `mailbox:`, `agent:`, `app:`, `domain:` of a recipient, and `automatic:` of an address to which
    -- nobody's yes was needed, with its name behind it.
    subject     TEXT    NOT NULL,
    -- When it leaves.
    leaves_at   INTEGER NOT NULL,
    draft_id    TEXT    NOT NULL,
    -- Of the tenant's rows: what the words look like, and how many recipients were new.
    similarity  INTEGER,
    newcomers   INTEGER,
    PRIMARY KEY (tenant_id, subject, leaves_at, draft_id)
) STRICT, WITHOUT ROWID;

-- Those of the day before this step count as well.
INSERT INTO counted_releases (tenant_id, subject, leaves_at, draft_id, similarity, newcomers)
WITH leaving AS (
    SELECT r.*, CASE WHEN d.send_at > r.released_at THEN d.send_at ELSE r.released_at END AS leaves_at
    FROM releases AS r JOIN drafts AS d ON d.tenant_id = r.tenant_id AND d.draft_id = r.draft_id
), late AS (
    SELECT * FROM leaving WHERE leaves_at > (unixepoch() - 86400) * 1000000
), addressed AS (
    SELECT late.tenant_id, late.draft_id, late.leaves_at, late.evidence, lower(t.recipient) AS recipient,
        replace(lower(t.recipient), rtrim(lower(t.recipient), replace(lower(t.recipient), '@', '')), '') AS domain
    FROM late JOIN transmissions AS t ON t.tenant_id = late.tenant_id AND t.release_id = late.release_id
)
SELECT tenant_id, 'tenant', leaves_at, draft_id, similarity, newcomers FROM late
UNION SELECT tenant_id, 'mailbox:' || mailbox_id, leaves_at, draft_id, NULL, NULL FROM late
UNION SELECT tenant_id, 'agent:' || agent_id, leaves_at, draft_id, NULL, NULL FROM late WHERE agent_id IS NOT NULL
UNION SELECT late.tenant_id, 'app:' || m.app_id, leaves_at, draft_id, NULL, NULL FROM late
    JOIN mailboxes AS m ON m.tenant_id = late.tenant_id AND m.mailbox_id = late.mailbox_id WHERE m.app_id IS NOT NULL
UNION SELECT tenant_id, 'domain:' || domain, leaves_at, draft_id, NULL, NULL FROM addressed
UNION SELECT tenant_id, 'automatic:' || recipient, leaves_at, draft_id, NULL, NULL FROM addressed
    WHERE evidence LIKE '%"policy"%';

-- Nothing else asked for releases by their time.
DROP INDEX releases_by_time;
