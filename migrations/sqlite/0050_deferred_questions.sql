-- Until when a person put a question off: it stays open, and is shown behind the others.
ALTER TABLE approvals ADD COLUMN deferred_until INTEGER;
