-- Candidates, what was decided on them and why, and the waivers of findings. Decisions and waivers are never rewritten.

CREATE TABLE candidate (
    digest        TEXT NOT NULL PRIMARY KEY,
    registry      TEXT NOT NULL,
    host          TEXT NOT NULL,
    repository    TEXT NOT NULL,
    -- Over the evidence in force and the waivers; what a decision binds to.
    evidence_hash TEXT NOT NULL,
    -- What gates look at of the evidence in force, as JSON: the queue reads thousands of these at once.
    summaries     TEXT NOT NULL
) STRICT;

CREATE INDEX candidate_by_repository ON candidate (registry, repository);

CREATE TABLE submission (
    seq          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest       TEXT    NOT NULL REFERENCES candidate (digest),
    registry     TEXT    NOT NULL,
    repository   TEXT    NOT NULL,
    rule         TEXT    NOT NULL,
    rule_author  TEXT    NOT NULL,
    submitted_by TEXT    NOT NULL,
    by_worker    INTEGER NOT NULL CHECK (by_worker IN (0, 1)),
    -- The last decision on the digest before it; 0: none. A later submission reopens what that decision ended.
    after_seq    INTEGER NOT NULL,
    at           TEXT    NOT NULL
) STRICT;

CREATE INDEX submission_by_digest ON submission (digest);

-- Which evidence and waivers a hash stands for, so that it can be told what changed since it was shown.
CREATE TABLE evidence_set (
    hash     TEXT NOT NULL PRIMARY KEY,
    digest   TEXT NOT NULL,
    evidence TEXT NOT NULL,
    waivers  TEXT NOT NULL,
    at       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE decision (
    seq              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id               TEXT    NOT NULL UNIQUE,
    digest           TEXT    NOT NULL REFERENCES candidate (digest),
    reference        TEXT    NOT NULL,
    verdict          TEXT    NOT NULL CHECK (verdict IN ('approve', 'reject', 'revoke')),
    actor            TEXT    NOT NULL,
    actor_source     TEXT    NOT NULL,
    at               TEXT    NOT NULL,
    reason           TEXT    NOT NULL CHECK (reason <> ''),
    ticket           TEXT    NOT NULL,
    evidence_hash    TEXT    NOT NULL,
    policy_hash      TEXT    NOT NULL,
    approvals_needed INTEGER NOT NULL CHECK (approvals_needed > 0),
    expires_at       TEXT
) STRICT;

CREATE INDEX decision_by_digest ON decision (digest, seq);

CREATE TRIGGER decision_keeps_rows BEFORE DELETE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are kept');
END;

CREATE TRIGGER decision_keeps_columns BEFORE UPDATE ON decision
BEGIN
    SELECT RAISE(ABORT, 'decisions are not rewritten');
END;

CREATE TABLE waiver (
    seq     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id      TEXT    NOT NULL UNIQUE,
    digest  TEXT    NOT NULL REFERENCES candidate (digest),
    finding TEXT    NOT NULL,
    owner   TEXT    NOT NULL,
    actor   TEXT    NOT NULL,
    reason  TEXT    NOT NULL CHECK (reason <> ''),
    until   TEXT    NOT NULL,
    at      TEXT    NOT NULL
) STRICT;

CREATE INDEX waiver_by_digest ON waiver (digest);

CREATE TRIGGER waiver_keeps_rows BEFORE DELETE ON waiver
BEGIN
    SELECT RAISE(ABORT, 'waivers are kept');
END;

CREATE TRIGGER waiver_keeps_columns BEFORE UPDATE ON waiver
BEGIN
    SELECT RAISE(ABORT, 'waivers are not rewritten');
END;
