-- When the mail system's own test of its connector to the route was last seen.
ALTER TABLE routes ADD COLUMN validated_at INTEGER;
