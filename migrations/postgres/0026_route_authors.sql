-- Whose copies a bcc route takes, as a JSON list of rules; null: those of every author.
ALTER TABLE routes ADD COLUMN authors TEXT COLLATE "C";
