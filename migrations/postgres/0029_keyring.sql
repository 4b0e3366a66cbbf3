-- Which instance key each running node has: after a change of the key, the one before is given up only when nobody has it
-- any more. The keyring itself is in `instance`, by the name `keyring`; none until the key was changed once.
CREATE TABLE key_holders (
    node     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL,
    key_id   TEXT COLLATE "C" NOT NULL,
    seen_at  BIGINT NOT NULL
);
