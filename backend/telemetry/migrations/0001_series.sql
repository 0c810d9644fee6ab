-- What GPUs, services and GPU types did: nothing here decides anything, and all of it may be lost.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- kind: of what (gpu, service, type, holding); key identifies it in its kind; label is its name for people.
-- seen_at: milliseconds since 1970, as all times here, of the last sample.
CREATE TABLE series (
    id      INTEGER NOT NULL PRIMARY KEY,
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    label   TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    UNIQUE (kind, key)
) STRICT;

-- tier: 0 samples, 1 minutes, 2 hours. data: all metrics of the series from start to until, as series_blocks packs them.
CREATE TABLE block (
    tier   INTEGER NOT NULL,
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    start  INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    data   BLOB    NOT NULL,
    UNIQUE (series, tier, start)
) STRICT;

CREATE INDEX block_by_age ON block (tier, start);

-- Who held a GPU, from when until when it was last seen so.
CREATE TABLE tenure (
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    since  INTEGER NOT NULL,
    until  INTEGER NOT NULL,
    holder TEXT    NOT NULL,
    PRIMARY KEY (series, since)
) STRICT, WITHOUT ROWID;

-- The last snapshot of whoever samples, for the yard's other processes.
CREATE TABLE latest (
    id       INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at       INTEGER NOT NULL,
    snapshot BLOB    NOT NULL
) STRICT;

CREATE TABLE lease (
    name        TEXT NOT NULL PRIMARY KEY,
    holder      TEXT NOT NULL,
    acquired_at TEXT NOT NULL,
    expires_at  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
