-- Looks at a proven domain's record that did not find it, one after the other, and when it was looked for last.
ALTER TABLE domains ADD COLUMN misses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE domains ADD COLUMN checked_at INTEGER;
