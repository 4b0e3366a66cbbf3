-- What this installation is: one row a name. `key_fingerprint`: with which instance key the secrets here are sealed.
CREATE TABLE instance (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value  TEXT COLLATE "C" NOT NULL
);
