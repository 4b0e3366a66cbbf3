-- How a route reads what it takes: as a plain copy, a forward, or a journal report of a pinned layout.
ALTER TABLE routes ADD COLUMN reader TEXT COLLATE "C" NOT NULL DEFAULT 'bcc' CHECK (reader IN ('bcc', 'fwd', 'journal-plain', 'journal-exchange', 'journal-exchange-legacy', 'journal-workmail'));
ALTER TABLE routes DROP COLUMN kind;
