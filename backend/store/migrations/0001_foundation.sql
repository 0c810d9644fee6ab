-- What every yard has: facts about the database itself, the hash-chained audit log, and who holds which lease.

CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- detail is JSON text and part of the hash byte for byte; previous is the hash of the entry before.
CREATE TABLE ledger (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           TEXT    NOT NULL,
    actor        TEXT    NOT NULL,
    actor_source TEXT    NOT NULL,
    action       TEXT    NOT NULL,
    object       TEXT    NOT NULL,
    outcome      TEXT    NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'started')),
    detail       TEXT    NOT NULL,
    previous     TEXT    NOT NULL,
    hash         TEXT    NOT NULL
) STRICT;

CREATE INDEX ledger_by_object ON ledger (object, seq);

CREATE TRIGGER ledger_keeps_entries BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_keeps_columns BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

-- INSERT OR REPLACE does not fire the delete trigger, so the place of a new entry is checked as well.
CREATE TRIGGER ledger_grows_at_its_head BEFORE INSERT ON ledger
WHEN NEW.seq <> 1 + coalesce((SELECT seq FROM ledger ORDER BY seq DESC LIMIT 1), 0)
    OR NEW.previous <> coalesce((SELECT hash FROM ledger ORDER BY seq DESC LIMIT 1), NEW.previous)
BEGIN
    SELECT RAISE(ABORT, 'a ledger entry follows the last one');
END;

CREATE TABLE lease (
    name        TEXT NOT NULL PRIMARY KEY,
    holder      TEXT NOT NULL,
    acquired_at TEXT NOT NULL,
    expires_at  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
