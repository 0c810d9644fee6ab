-- What is known of digests. Rows stay when newer evidence takes their place (superseded_at), so that what a decision
-- was made on can be shown later.

CREATE TABLE evidence (
    id            TEXT NOT NULL PRIMARY KEY,
    digest        TEXT NOT NULL,
    kind          TEXT NOT NULL,
    origin        TEXT NOT NULL,
    state         TEXT NOT NULL,
    summary       TEXT NOT NULL,
    source        TEXT NOT NULL,
    asserted_by   TEXT NOT NULL,
    key           TEXT NOT NULL,
    measured_at   TEXT,
    -- When it was first and last seen so.
    recorded_at   TEXT NOT NULL,
    collected_at  TEXT NOT NULL,
    database_at   TEXT,
    payload       TEXT NOT NULL,
    content_hash  TEXT NOT NULL,
    superseded_at TEXT
) STRICT;

CREATE INDEX evidence_in_force ON evidence (digest) WHERE superseded_at IS NULL;

CREATE TABLE evidence_finding (
    evidence TEXT    NOT NULL REFERENCES evidence (id),
    position INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    severity TEXT    NOT NULL,
    package  TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    fixed    TEXT    NOT NULL,
    title    TEXT    NOT NULL,
    purl     TEXT    NOT NULL,
    PRIMARY KEY (evidence, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX evidence_finding_by_id ON evidence_finding (id, evidence);

CREATE TABLE evidence_package (
    evidence TEXT    NOT NULL REFERENCES evidence (id),
    position INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    purl     TEXT    NOT NULL,
    licence  TEXT    NOT NULL,
    PRIMARY KEY (evidence, position)
) STRICT, WITHOUT ROWID;

-- What was recorded is never rewritten; only the two times that say how long it held move.
CREATE TRIGGER evidence_keeps_columns
BEFORE UPDATE OF id, digest, kind, origin, state, summary, source, asserted_by, key, measured_at, recorded_at,
    database_at, payload, content_hash ON evidence
BEGIN
    SELECT RAISE(ABORT, 'evidence is not rewritten');
END;

CREATE TRIGGER evidence_keeps_rows BEFORE DELETE ON evidence
BEGIN
    SELECT RAISE(ABORT, 'evidence is kept');
END;
