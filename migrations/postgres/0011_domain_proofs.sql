-- Many may claim a domain, and one alone can prove it: a claim must not keep its owner out.
ALTER TABLE domains DROP CONSTRAINT domains_domain_key;
-- What the domain's TXT record must hold.
ALTER TABLE domains ADD COLUMN proof TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE domains ADD COLUMN state_since BIGINT NOT NULL DEFAULT 0;
-- When the record was last seen.
ALTER TABLE domains ADD COLUMN proven_at BIGINT;
UPDATE domains SET state_since = created_at;
ALTER TABLE domains ALTER COLUMN proof DROP DEFAULT;
ALTER TABLE domains ALTER COLUMN state_since DROP DEFAULT;
CREATE UNIQUE INDEX domains_by_owner ON domains (domain) WHERE state <> 'pending';
