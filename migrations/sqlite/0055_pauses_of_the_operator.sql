-- What the operator has stopped, only the operator lets go on. All pauses were the operator's until now.
ALTER TABLE pauses ADD COLUMN by_operator INTEGER NOT NULL DEFAULT 1 CHECK (by_operator IN (0, 1));
