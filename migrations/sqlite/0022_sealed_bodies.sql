-- The key of a body whose rows are sealed, itself sealed, in its first row (part 0). Null: it is in the clear, from before bodies
-- were sealed.
ALTER TABLE spool_bodies ADD COLUMN sealed_key BLOB;
