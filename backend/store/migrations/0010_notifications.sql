-- What people were told of, and what became of each attempt to tell them.

CREATE TABLE notice (
    id   TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    at   TEXT NOT NULL,
    -- What is sent, as JSON; the same at every attempt.
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What a notice told of: nothing is told twice, after a restart either.
CREATE TABLE noticed (
    item   TEXT NOT NULL PRIMARY KEY,
    notice TEXT NOT NULL REFERENCES notice (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    notice       TEXT    NOT NULL REFERENCES notice (id),
    target       TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'sent', 'given up')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- When it is tried next; whoever tries moves it ahead first, so that nobody else tries meanwhile.
    next_at      TEXT    NOT NULL,
    attempted_at TEXT,
    error        TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (notice, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_due ON delivery (next_at) WHERE state = 'waiting';
