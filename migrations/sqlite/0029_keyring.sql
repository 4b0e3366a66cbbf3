-- Which instance key each running node has: after a change of the key, the one before is given up only when nobody has it
-- any more. The keyring itself is in `instance`, by the name `keyring`; none until the key was changed once.
CREATE TABLE key_holders (
    node     TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    key_id   TEXT NOT NULL,
    seen_at  INTEGER NOT NULL
) STRICT;
